"""`Frames.write`, `to_mdanalysis`, `to_mdtraj`, `to_ase`: what other programs find there."""

import MDAnalysis
import mdtraj
import numpy as np
import pytest
from ase.io import read as read_atoms
from ase.units import kJ, mol, nm

import cgrec
from cgrec import Frames, System
from cgrec.remarks import Remark

#: What other libraries say of beads when they read them: nothing of ours.
pytestmark = [
    pytest.mark.filterwarnings("ignore:::MDAnalysis"),
    pytest.mark.filterwarnings("ignore:::mdtraj"),
]
EDGE = 3.0
#: A chain of three beads and a lone one, drawn with the chain across the box.
BONDS = [(0, 1), (1, 2)]


def beads(n=4, seed=0, **fields):
    """A trimer that hangs over the side of the box, whole, and one site alone."""
    rng = np.random.default_rng(seed)
    rest = np.array([[2.7, 1, 1], [3.05, 1.2, 1], [3.4, 1, 1.1], [0.5, 2, 2]])
    system = System(
        names=("A", "B", "C", "W"),
        types=("A", "B", "A", "W"),
        masses=[10.0, 20.0, 30.0, 18.0],
        charges=[0.5, -0.5, 0, 0],
        bonds=BONDS,
        residue_names=("TRI", "TRI", "TRI", "SOL"),
    )
    positions = rest + 0.02 * rng.normal(size=(n, 4, 3))
    return Frames(system, positions, 300.0, box=EDGE * np.eye(3), **fields)


@pytest.fixture
def whole():
    rng = np.random.default_rng(1)
    return beads(forces=100 * rng.normal(size=(4, 4, 3)), energies=10 * rng.normal(size=4))


@pytest.fixture
def torn(whole):
    """The same, each site put back into the box."""
    return Frames(
        whole.system,
        whole.positions % EDGE,
        300.0,
        forces=whole.forces,
        energies=whole.energies,
        box=whole.box,
    )


@pytest.mark.parametrize("ending", ["xtc", "trr", "dcd", "h5md"])
def test_mdanalysis_reads_trajectory_and_topology(ending, whole, tmp_path):
    written = whole.write(tmp_path / f"run.{ending}")
    assert written == [tmp_path / f"run.{ending}", tmp_path / "run.pdb"]
    universe = MDAnalysis.Universe(str(written[1]), str(written[0]))
    assert list(universe.atoms.names) == list(whole.system.names)
    assert sorted(map(tuple, universe.bonds.indices.tolist())) == BONDS
    for k, step in enumerate(universe.trajectory):
        np.testing.assert_allclose(step.positions, 10 * whole.positions[k], atol=0.006)
        np.testing.assert_allclose(step.dimensions[:3], 10 * EDGE, rtol=1e-5)
        if ending in ("trr", "h5md"):
            np.testing.assert_allclose(step.forces, whole.forces[k] / 10, rtol=1e-4)
    assert universe.trajectory.n_frames == len(whole)


@pytest.mark.parametrize("ending", ["xtc", "dcd", "pdb", "gro"])
def test_mdtraj_reads_it_with_the_psf(ending, whole, tmp_path):
    path = whole.write(tmp_path / f"run.{ending}")[0]
    (psf,) = whole.write(tmp_path / "run.psf")
    found = mdtraj.load(str(path), top=str(psf))
    np.testing.assert_allclose(found.xyz, whole.positions, atol=1e-3)
    np.testing.assert_allclose(found.unitcell_lengths, EDGE, atol=1e-4)
    assert [(a.index, b.index) for a, b in found.topology.bonds] == BONDS


def test_mdanalysis_reads_charges_masses_and_bonds_of_a_psf(whole, tmp_path):
    (psf,) = whole.write(tmp_path / "run.psf")
    universe = MDAnalysis.Universe(str(psf))
    np.testing.assert_allclose(universe.atoms.charges, whole.system.charges)
    np.testing.assert_allclose(universe.atoms.masses, whole.system.masses)
    assert list(universe.atoms.resnames) == list(whole.system.residue_names)
    assert universe.bonds.indices.tolist() == [list(bond) for bond in BONDS]


@pytest.mark.parametrize("kept", ["file", "object"])
def test_ase_finds_forces_and_energies_in_its_units(kept, whole, tmp_path):
    images = whole.to_ase()
    if kept == "file":
        (path,) = whole.write(tmp_path / "run.extxyz")
        images = read_atoms(path, ":")
    for k, atoms in enumerate(images):
        np.testing.assert_allclose(atoms.positions, whole.positions[k] * nm, atol=1e-6)
        force = whole.forces[k] * (kJ / mol) / nm
        np.testing.assert_allclose(atoms.get_forces(), force, atol=1e-7)
        assert atoms.get_potential_energy() == pytest.approx(whole.energies[k] * kJ / mol)
        np.testing.assert_allclose(atoms.cell.array, whole.box * nm)
        np.testing.assert_allclose(atoms.get_masses(), whole.system.masses)
        assert list(atoms.arrays["names"]) == list(whole.system.names)
        assert set(atoms.symbols) == {"X"} and atoms.pbc.all()


def test_ase_atoms_without_labels_have_no_calculator():
    assert [atoms.calc for atoms in beads(2).to_ase()] == [None, None]


@pytest.mark.parametrize("ending", ["xtc", "pdb", "extxyz", "npz", "gro"])
def test_torn_molecules_are_written_whole(ending, torn, whole, tmp_path):
    torn.write(tmp_path / f"torn.{ending}")
    if ending == "npz":
        found = np.load(tmp_path / "torn.npz")["positions"]
    elif ending == "extxyz":
        found = np.array([atoms.positions for atoms in read_atoms(tmp_path / "torn.extxyz", ":")])
        found /= 10
    else:
        top = {} if ending in ("pdb", "gro") else {"top": str(tmp_path / "torn.pdb")}
        found = mdtraj.load(str(tmp_path / f"torn.{ending}"), **top).xyz
    for i, j in BONDS:
        wanted = whole.positions[:, j] - whole.positions[:, i]
        np.testing.assert_allclose(found[:, j] - found[:, i], wanted, atol=2e-3)


def test_objects_are_whole(torn, whole):
    step = whole.positions[:, 2] - whole.positions[:, 0]
    universe = torn.to_mdanalysis()
    theirs = np.array([s.positions[2] - s.positions[0] for s in universe.trajectory]) / 10
    np.testing.assert_allclose(theirs, step, atol=1e-5)
    xyz = torn.to_mdtraj().xyz
    np.testing.assert_allclose(xyz[:, 2] - xyz[:, 0], step, atol=1e-5)
    image = torn.to_ase()[0].positions
    np.testing.assert_allclose(image[2] - image[0], 10 * step[0], atol=1e-9)


def test_frames_that_are_whole_are_taken_as_they_are(whole):
    assert cgrec.io.whole(whole) is whole


def test_npz_comes_back_as_it_was(whole, tmp_path):
    (path,) = whole.write(tmp_path / "all.npz")
    again = cgrec.read(path, check_units=False)
    for name in ("positions", "forces", "energies", "box"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))
    assert again.system.agrees_with(whole.system)


@pytest.mark.parametrize("there", ["run.xtc", "run.pdb"])
def test_nothing_is_overwritten_and_nothing_half_written(there, whole, tmp_path):
    (tmp_path / there).write_text("mine")
    with pytest.raises(FileExistsError, match=there):
        whole.write(tmp_path / "run.xtc")
    assert [p.name for p in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


def test_the_topology_can_be_left_out(whole, tmp_path):
    (tmp_path / "run.pdb").write_text("mine")
    assert whole.write(tmp_path / "run.xtc", topology=False) == [tmp_path / "run.xtc"]


def test_an_unknown_ending_is_refused_with_those_that_are_known(whole, tmp_path):
    with pytest.raises(ValueError, match=r"expected one of \.xtc.*\.psf"):
        whole.write(tmp_path / "run.abc")


def test_weights_that_a_file_has_no_place_for_are_remarked(tmp_path, recwarn):
    frames = beads(2, weights=np.array([0.5, 1.5]))
    with pytest.warns(Remark, match="no place for the weights of its 2 frames"):
        frames.write(tmp_path / "a.xtc")
    frames.write(tmp_path / "a.npz")
    assert not [w for w in recwarn if issubclass(w.category, Remark)]
