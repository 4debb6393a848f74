"""Frames as objects of MDAnalysis and mdtraj, whose analyses are checks of ours."""

from pathlib import Path

import mdtraj
import numpy as np
import pytest

import cgrec
from cgrec import Frames, System, geometry
from cgrec.io import to_mdanalysis, to_mdtraj

DATA = str(Path(__file__).parents[1] / "data" / "disulphide.pdb")


@pytest.fixture(scope="module")
def protein(request):
    path = request.config.rootpath / DATA
    return cgrec.read(path, temperature=300, check_units=False)


def test_a_protein_keeps_chains_residues_sites_and_bonds(protein):
    found = to_mdtraj(protein).topology
    system = protein.system
    assert [a.name for a in found.atoms] == list(system.names)
    assert [a.residue.name for a in found.atoms] == list(system.residue_names)
    assert found.n_bonds == len(system.bonds)
    assert found.n_residues == len(set(system.residues.tolist()))


def test_mdtraj_measures_what_we_measure(protein):
    theirs = to_mdtraj(protein)
    pairs = protein.system.bonds
    ours = geometry.distance(np.asarray(protein.positions, float), pairs)
    np.testing.assert_allclose(mdtraj.compute_distances(theirs, pairs), ours, atol=1e-5)
    assert mdtraj.rmsd(theirs, theirs)[0] < 1e-4
    assert mdtraj.compute_dssp(theirs).shape == (len(protein), theirs.topology.n_residues)


def test_a_box_and_beads():
    beads = System(names=("W", "W"), masses=np.full(2, 18.0))
    box = np.array([[2.0, 0, 0], [0.3, 2.1, 0], [0.1, 0.2, 2.2]])
    frames = Frames(beads, np.random.default_rng(0).uniform(size=(3, 2, 3)), 300.0, box=box)
    theirs = to_mdtraj(frames)
    np.testing.assert_allclose(theirs.unitcell_vectors, np.broadcast_to(box, (3, 3, 3)), atol=1e-6)
    assert [a.element.symbol for a in theirs.topology.atoms] == ["VS", "VS"]


def test_mdanalysis_has_forces_and_box_in_its_units():
    rng = np.random.default_rng(0)
    system = System(names=("C", "O"), elements=("C", "O"), masses=np.array([12.0, 16.0]))
    positions, forces = rng.normal(size=(2, 4, 2, 3))
    frames = Frames(system, positions, 300.0, forces=forces, box=np.diag([3.0, 4.0, 5.0]))
    universe = to_mdanalysis(frames)
    for k, step in enumerate(universe.trajectory):
        np.testing.assert_allclose(step.positions, 10 * positions[k], rtol=1e-5)
        np.testing.assert_allclose(step.forces, forces[k] / 10, rtol=1e-5)
        np.testing.assert_allclose(step.dimensions, [30, 40, 50, 90, 90, 90], rtol=1e-5)
    assert universe.select_atoms("name O").n_atoms == 1
