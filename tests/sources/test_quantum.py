import numpy as np
import pytest
from ase.calculators.calculator import CalculationFailed
from ase.calculators.lj import LennardJones
from contracts import random_frames

from cgrec import Frames, System
from cgrec.cli import build, composed
from cgrec.dynamics import Langevin
from cgrec.files import package_path
from cgrec.io import read
from cgrec.sources import Labeller, QuantumSource
from cgrec.sources.nnp.quantum import scatter, within_reach
from cgrec.training import ForceMatching


class SometimesFails(LennardJones):
    """Does not converge when the first atom lies left of the origin."""

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        if self.atoms.positions[0, 0] < 0:
            raise CalculationFailed("no convergence")


def make_failing():
    return SometimesFails(sigma=1.0, epsilon=0.01)


def molecule():
    return System(
        names=("C", "C", "C"),
        elements=("C", "C", "C"),
        masses=np.full(3, 12.0),
        bonds=[(0, 1), (1, 2)],
    )


@pytest.mark.slow
def test_a_calculation_that_does_not_converge_is_skipped_and_counted():
    positions = np.random.default_rng(0).normal(scale=0.005, size=(12, 3, 3)) + [
        [0, 0, 0],
        [0.15, 0, 0],
        [0.3, 0, 0],
    ]
    labelled, failed = Labeller(
        calculator="test_quantum:make_failing", arguments={}, processes=1
    ).label(molecule(), positions, 300.0)
    left = (positions[:, 0, 0] < 0).sum()
    assert failed == left and len(labelled) == 12 - left and 0 < left < 12


@pytest.mark.slow
def test_nothing_converged_is_an_error():
    positions = np.array([[[-0.1, 0, 0], [0.15, 0, 0], [0.3, 0, 0]]])
    with pytest.raises(ValueError, match="none of 1"):
        Labeller(calculator="test_quantum:make_failing", arguments={}, processes=1).label(
            molecule(), positions, 300.0
        )


@pytest.mark.slow
def test_labels_are_the_calculator_in_our_units():
    from ase import Atoms

    positions = np.array([[[0.01, 0, 0], [0.15, 0.01, 0], [0.3, 0, 0]]])
    labelled, _ = Labeller(calculator="test_quantum:make_failing", arguments={}, processes=1).label(
        molecule(), positions, 300.0
    )
    atoms = Atoms("C3", positions[0] * 10, calculator=make_failing())
    assert labelled.energies[0] == pytest.approx(atoms.get_potential_energy() * 96.4853321)
    np.testing.assert_allclose(labelled.forces[0], atoms.get_forces() * 964.853321, rtol=1e-6)


def test_scatter_turns_dihedrals_and_nothing_else():
    start = read(package_path("package:alanine_dipeptide.pdb"), temperature=300.0)
    angles = {"phi": ["ACE:C", "ALA:N", "ALA:CA", "ALA:C"]}
    out = scatter(start.system, start.positions[0], angles, 8, np.random.default_rng(0))
    bonds = np.array(start.system.bonded_paths(2))
    length = lambda x: np.linalg.norm(x[..., bonds[:, 0], :] - x[..., bonds[:, 1], :], axis=-1)  # noqa: E731
    np.testing.assert_allclose(
        length(out), length(np.asarray(start.positions)).repeat(8, 0), atol=0.015
    )
    assert np.ptp(out[:, 0, 0]) > 0.05 or np.ptp(out[:, -1, 0]) > 0.05


def test_structures_that_broke_apart_are_not_worth_a_label():
    frames = random_frames(3, energies=np.array([0.0, 10.0, 1e4]))
    kept, dropped = within_reach(frames, 0.0)
    assert len(kept) == 2 and dropped == 1


@pytest.mark.slow
def test_active_learning_end_to_end_and_resume(tmp_path):
    """Water from GFN2-xTB: labels, committee, exploration, NNP, dynamics; the second call makes
    nothing again.
    """
    xyz = tmp_path / "water.xyz"
    xyz.write_text("3\n\nO 0.0 0.0 0.12\nH 0.0 0.76 -0.48\nH 0.0 -0.76 -0.48\n")
    run = Langevin(
        n_replicas=8,
        length=0.5,
        save_every=0.01,
        equilibration=0.1,
        timestep=0.0005,
        keep_energies=True,
    )
    fit = ForceMatching(
        steps=1500, batch_size=16, learning_rate=0.01, validate_every=200, energy_weight=0.02
    )
    source = QuantumSource(
        structure=str(xyz),
        temperature=300.0,
        dynamics=run,
        exploration=run,
        training=fit,
        final_training=fit,
        network={"cutoff": 0.4, "channels": 8, "l_max": 2},
        first_runs=10,
        first_frames=60,
        rounds=1,
        labels=60,
        check_labels=40,
    )
    frames = source.make(tmp_path / "level0", 1)
    assert isinstance(frames, Frames) and frames.forces is not None and frames.energies is not None
    import json

    report = json.loads((tmp_path / "level0" / "frames" / "simulation.json").read_text())
    error = json.loads((tmp_path / "level0" / "force_error.json").read_text())
    assert error["force_rmse"] < 0.1 * np.asarray(frames.forces).std() and report["lost"] == []
    before = (tmp_path / "level0" / "frames" / "positions.npy").stat().st_mtime_ns
    source.make(tmp_path / "level0", 1)
    assert (tmp_path / "level0" / "frames" / "positions.npy").stat().st_mtime_ns == before


def test_shipped_network_runs_at_the_temperature_asked_for():
    source = build(composed(["source.temperature=400"])).source
    _, starts = source._shipped()
    assert starts.temperature == 400.0


def test_how_a_fit_is_computed_is_no_part_of_the_recipe():
    recipes = [
        build(
            composed([f"+source.training.compile={c}", f"+source.dynamics.compile={c}"])
        ).source.recipe()
        for c in ("true", "false")
    ]
    assert recipes[0] == recipes[1]
