"""`cgrec export openmm`: a folder whose script runs, and gives the energies of cgrec."""

import csv
import subprocess
import sys

import numpy as np
import pytest
from contracts import random_frames, to_double

from cgrec.export import write_openmm
from cgrec.potential import DensityNetwork, fit_priors

openmm = pytest.importorskip("openmm")
needs_python_force = pytest.mark.skipif(
    not hasattr(openmm, "PythonForce"), reason="OpenMM before 8.4 has no PythonForce"
)


@pytest.fixture(scope="module")
def frames():
    return random_frames(50)


@pytest.fixture(scope="module")
def potential(frames):
    types = sorted(set(frames.system.types))
    network = DensityNetwork(types=types, cutoff=0.5, channels=8, width=8)
    found = sum(fit_priors(frames, types=types, cutoff=0.5), to_double(network))
    return found.made_at(300.0)


@pytest.mark.slow
@needs_python_force
def test_the_script_runs_and_its_energies_are_those_of_cgrec(potential, frames, tmp_path):
    import mdtraj

    folder = write_openmm(
        potential, frames, tmp_path / "level", steps=30, save_every=10, timestep=0.001
    )
    done = subprocess.run([sys.executable, folder / "run.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with (folder / "run.csv").open() as file:
        rows = list(csv.reader(file))
    found = mdtraj.load(str(folder / "run.dcd"), top=str(folder / "topology.pdb"))
    assert found.n_frames == len(rows) - 1 == 3
    again = random_frames(3)
    object.__setattr__(again, "positions", found.xyz.astype(float))
    energies = potential.energy_and_forces(again)[0]
    theirs = np.array([float(row[1]) for row in rows[1:]])
    # a DCD keeps 1e-6 nm, and forces are some 1e3 kJ/mol/nm
    np.testing.assert_allclose(theirs, energies, atol=0.05)
    assert np.ptp(theirs) > 0.1


def test_a_guard_is_written_where_there_is_one(potential, frames, tmp_path):
    folder = write_openmm(potential, frames, tmp_path / "with", lambda p: p.write_text("x"))
    assert (folder / "guard.npz").read_text() == "x"
    assert not (write_openmm(potential, frames, tmp_path / "out") / "guard.npz").exists()


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"timestep": -1.0}, {"save_every": 0}])
def test_numbers_that_make_no_sense_are_refused(wrong, potential, frames, tmp_path):
    with pytest.raises(ValueError, match=f"OpenMM export.{next(iter(wrong))}: expected"):
        write_openmm(potential, frames, tmp_path / "x", **wrong)
    assert not list(tmp_path.iterdir())
