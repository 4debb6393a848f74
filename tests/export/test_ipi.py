"""`cgrec export ipi`: a client of i-PI's protocol that gives the energies and forces of cgrec."""

import json
import os
import runpy
import shutil
import subprocess
import threading
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from ase.calculators.socketio import SocketIOCalculator
from ase.units import Bohr
from contracts import random_frames, to_double
from samples import water_box

from cgrec.export import write_ipi
from cgrec.export.ase import ANGSTROM, ELECTRONVOLT, FORCE, PotentialCalculator, atoms_of
from cgrec.potential import DensityNetwork, fit_priors


def model(frames, cutoff):
    types = sorted(set(frames.system.types))
    network = DensityNetwork(types=types, cutoff=cutoff, channels=8, width=8)
    return sum(fit_priors(frames, types=types, cutoff=cutoff), to_double(network)).made_at(300.0)


@pytest.fixture(scope="module", params=["open", "box"])
def frames(request):
    return random_frames(20) if request.param == "open" else water_box(8)


@pytest.fixture(scope="module")
def potential(frames):
    return model(frames, 0.5 if frames.box is None else 0.4)


@pytest.fixture
def folder(potential, frames, tmp_path):
    pressure = frames.box is not None
    return write_ipi(
        potential,
        frames,
        tmp_path / "level",
        steps=4,
        save_every=1,
        timestep=0.0005,
        seed=os.getpid(),  # the name of the socket, which is in /tmp, follows from it
        pressure=pressure,
    )


def test_the_client_gives_what_cgrec_gives(folder, potential, frames):
    """ASE's own server asks client.py for the frame of check.json, and for a moved one."""
    atoms = atoms_of(frames, len(frames) - 1)
    known = json.loads((folder / "check.json").read_text())
    moved = atoms.copy()
    moved.positions[0] += 0.05
    address = ElementTree.parse(folder / "input.xml").findtext("ffsocket/address").strip()
    with SocketIOCalculator(unixsocket=address, timeout=60) as server:
        client = threading.Thread(target=runpy.run_path, args=[str(folder / "client.py")])
        client.start()
        atoms.calc = server
        energy, forces = atoms.get_potential_energy() * ELECTRONVOLT, atoms.get_forces() * FORCE
        moved.calc = server
        other = moved.get_potential_energy() * ELECTRONVOLT
        if frames.box is not None:
            stress = atoms.get_stress()
    client.join()
    assert energy == pytest.approx(known["energy"], abs=1e-5)
    np.testing.assert_allclose(forces, known["forces"], rtol=1e-6, atol=1e-3)
    moved.calc = PotentialCalculator(potential, frames.system)
    assert other == pytest.approx(moved.get_potential_energy() * ELECTRONVOLT, abs=1e-4)
    assert abs(other - energy) > 1e-3
    if frames.box is not None:
        atoms.calc = PotentialCalculator(potential, frames.system)
        np.testing.assert_allclose(stress, atoms.get_stress(), rtol=1e-5, atol=1e-9)


def test_input_has_the_sites_of_the_last_frame(folder, frames):
    start = ElementTree.parse(folder / "input.xml").find("system/initialize")
    found = {node.tag: node.text.strip(" []").split(",") for node in start}
    assert len(found["labels"]) == frames.n_sites
    np.testing.assert_allclose(np.array(found["masses"], float), frames.system.masses)
    np.testing.assert_allclose(
        np.array(found["positions"], float) * Bohr * ANGSTROM,
        frames.positions[-1].ravel(),
        atol=1e-6,
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("i-pi") is None, reason="pip install ipi")
def test_ipi_itself_runs_the_folder(folder, potential, frames):
    done = subprocess.run(["bash", folder / "run.sh"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + (folder / "i-pi.log").read_text()
    energies = np.loadtxt(folder / "run.out")[:, 3] * ELECTRONVOLT
    assert len(energies) == 5 and np.ptp(energies) > 1e-3
    known = json.loads((folder / "check.json").read_text())
    assert energies[0] == pytest.approx(known["energy"], abs=1e-4)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"timestep": -1.0}, {"pressure": True}])
def test_what_makes_no_sense_is_refused(wrong, tmp_path):
    frames = random_frames(3)
    with pytest.raises(ValueError, match=f"i-PI export.{next(iter(wrong))}: expected"):
        write_ipi(model(frames, 0.5), frames, tmp_path / "x", **wrong)
    assert not list(tmp_path.iterdir())
