"""`cgrec export torch_sim`: a model for torch-sim that gives the energies and forces of cgrec."""

import json
import runpy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from contracts import random_frames, to_double
from samples import water_box

from cgrec.export import write_torch_sim
from cgrec.export.ase import PotentialCalculator, atoms_of
from cgrec.export.torch_sim import ANGSTROM, ELECTRONVOLT, FORCE, SitesModel
from cgrec.potential import DensityNetwork, fit_priors


@pytest.fixture(scope="module", params=["open", "box"])
def frames(request):
    return random_frames(4) if request.param == "open" else water_box(4)


@pytest.fixture(scope="module")
def potential(frames):
    types, cutoff = sorted(set(frames.system.types)), 0.5 if frames.box is None else 0.4
    network = DensityNetwork(types=types, cutoff=cutoff, channels=8, width=8)
    return sum(fit_priors(frames, types=types, cutoff=cutoff), to_double(network)).made_at(300.0)


def state_of(frames):
    """What the model reads of a state with all frames as systems."""
    boxes = 100 * np.eye(3)[None].repeat(len(frames), 0) if frames.box is None else frames.boxes()
    return SimpleNamespace(
        positions=torch.tensor(frames.positions.reshape(-1, 3) / ANGSTROM),
        cell=torch.tensor(np.array(boxes) / ANGSTROM).transpose(1, 2),
        pbc=frames.box is not None,
    )


def test_a_batch_has_the_energies_and_forces_of_cgrec(potential, frames):
    found = SitesModel(potential, frames.system)(state_of(frames))
    energy, forces = potential.energy_and_forces(frames)
    np.testing.assert_allclose(found["energy"] * ELECTRONVOLT, energy, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(found["forces"] * FORCE, forces.reshape(-1, 3), rtol=1e-5, atol=1e-3)


def test_its_stress_is_that_of_the_calculator_of_ase(potential, frames):
    model = SitesModel(potential, frames.system, stress=True)
    if frames.box is None:
        with pytest.raises(ValueError, match="stress: expected systems in boxes"):
            model(state_of(frames))
        return
    atoms = atoms_of(frames)
    atoms.calc = PotentialCalculator(potential, frames.system)
    found = model(state_of(frames))["stress"][0].numpy()
    np.testing.assert_allclose(found, atoms.get_stress(voigt=False), rtol=1e-5, atol=1e-9)


def test_other_systems_are_refused(potential, frames):
    state = state_of(frames)
    state.positions = state.positions[:-1]
    with pytest.raises(ValueError, match=f"systems of {frames.n_sites} sites"):
        SitesModel(potential, frames.system)(state)


def test_torch_sim_itself_runs_the_folder(potential, frames, tmp_path):
    torch_sim = pytest.importorskip("torch_sim")
    folder = write_torch_sim(
        potential, frames, tmp_path / "level", steps=4, save_every=1, copies=2, timestep=0.00002
    )
    made = runpy.run_path(str(folder / "run.py"))
    known = json.loads((folder / "check.json").read_text())
    first = made["model"](made["state"])
    assert len(first["energy"]) == 2
    np.testing.assert_allclose(first["energy"] * ELECTRONVOLT, known["energy"], atol=1e-4)
    paths = sorted(folder.glob("copy*.h5"))
    with torch_sim.TorchSimTrajectory(paths[1]) as trajectory:
        positions = trajectory.get_array("positions")
    assert len(paths) == 2 and positions.shape == (4, frames.n_sites, 3)
    moved = positions[-1] - positions[0]
    if frames.box is not None:  # torch-sim puts sites back into the box
        edge = frames.box[0, 0] / ANGSTROM
        moved -= edge * np.round(moved / edge)
    assert 1e-5 < np.abs(moved).max() < 1


@pytest.mark.parametrize("wrong", [{"copies": 0}, {"friction": 0.0}])
def test_numbers_that_make_no_sense_are_refused(wrong, potential, frames, tmp_path):
    with pytest.raises(ValueError, match=f"torch-sim export.{next(iter(wrong))}: expected"):
        write_torch_sim(potential, frames, tmp_path / "x", **wrong)
    assert not list(tmp_path.iterdir())
