"""Foreign files and units: every format against the library that owns it, the unit check, and bad
input.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

import cgrec
from cgrec import Frames, System
from cgrec.io import (
    atoms_to_frames,
    check_force_units,
    read,
    select_sites,
    system_from_atoms,
    system_to_atoms,
    write,
)
from cgrec.io.periodic import box_rows, close_pairs, make_whole
from cgrec.io.topology import guess_element
from cgrec.units import BOLTZMANN

DATA = Path(__file__).parents[3] / "shared" / "data"
T = 300.0
TRICLINIC = np.array([[2.0, 0, 0], [0.3, 2.1, 0], [0.2, -0.4, 2.2]])


def diatomics(
    n_frames: int, n_molecules: int = 2, seed: int = 0, k: float = 1e5, r0: float = 0.12
) -> Frames:
    """Carbon monoxides with U = k/2 (r - r0)^2 each, drawn exactly at 300 K, far apart in
    TRICLINIC.
    """
    rng = np.random.default_rng(seed)
    grid = r0 * np.linspace(0.5, 1.5, 20001)
    weight = grid**2 * np.exp(-k * (grid - r0) ** 2 / (2 * BOLTZMANN * T))
    r = np.interp(rng.random((n_frames, n_molecules)), np.cumsum(weight) / weight.sum(), grid)
    e = rng.normal(size=(n_frames, n_molecules, 3))
    e /= np.linalg.norm(e, axis=-1, keepdims=True)
    first = np.linspace(0.4, 1.5, n_molecules)[:, None] * np.ones(3) + 0.02 * rng.normal(
        size=e.shape
    )
    positions = np.stack([first, first + r[..., None] * e], 2).reshape(n_frames, -1, 3)
    pull = (k * (r - r0))[..., None] * e
    forces = np.stack([pull, -pull], 2).reshape(n_frames, -1, 3)
    energies = 0.5 * k * ((r - r0) ** 2).sum(1)
    system = System(
        names=("C", "O") * n_molecules,
        masses=[12.011, 15.999] * n_molecules,
        elements=("C", "O") * n_molecules,
        bonds=[(2 * m, 2 * m + 1) for m in range(n_molecules)],
    )
    return Frames(system, positions, T, forces=forces, energies=energies, box=TRICLINIC)


@pytest.fixture
def frames() -> Frames:
    return diatomics(30)


def same(found: Frames, expected: Frames, atol: float = 1e-5, forces: bool = True) -> None:
    np.testing.assert_allclose(found.positions, expected.positions, atol=atol)
    np.testing.assert_allclose(found.box, expected.box, atol=atol)
    assert found.temperature == expected.temperature
    assert found.system.bonds.tolist() == expected.system.bonds.tolist()
    assert found.system.elements == expected.system.elements
    np.testing.assert_allclose(found.system.masses, expected.system.masses, atol=0.01)
    if forces:
        scale = np.abs(expected.forces).max()
        np.testing.assert_allclose(found.need_forces() / scale, expected.forces / scale, atol=3e-6)
    else:
        assert found.forces is None


# --- formats
# ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["trr", "h5md"])
def test_simulation_formats_keep_positions_forces_and_box(frames, tmp_path, ending):
    path = write(frames, tmp_path / f"a.{ending}")
    same(read(path, frames.system, temperature=T), frames)


def test_xtc_and_pdb_have_no_forces(frames, tmp_path):
    pdb, xtc = write(frames, tmp_path / "a.pdb"), write(frames, tmp_path / "a.xtc")
    same(read(xtc, pdb, temperature=T), frames, atol=1e-3, forces=False)
    same(read(pdb, temperature=T), frames, atol=2e-4, forces=False)


def test_extended_xyz_keeps_energies(frames, tmp_path):
    found = read(write(frames, tmp_path / "a.extxyz"), temperature=T)
    same(found, frames, atol=1e-8)
    np.testing.assert_allclose(found.energies, frames.energies, atol=1e-4)


def test_extended_xyz_in_other_units(frames, tmp_path):
    path = write(frames, tmp_path / "a.extxyz")
    found = read(path, temperature=T, length_unit="bohr", energy_unit="hartree", check_units=False)
    np.testing.assert_allclose(found.positions, frames.positions * 0.529177210903, rtol=1e-6)
    np.testing.assert_allclose(
        found.forces, frames.forces * 27.211386245988 / 0.529177210903, rtol=1e-4, atol=1
    )


def test_npz_of_our_own_keeps_everything(frames, tmp_path):
    weighted = Frames(**{**vars(frames), "weights": np.ones(30), "replicas": np.arange(30) // 10})
    found = read(write(weighted, tmp_path / "a.npz"))
    same(found, frames, atol=0)
    assert found.system.fingerprint() == frames.system.fingerprint()
    assert found.replicas.tolist() == weighted.replicas.tolist()
    assert np.array_equal(found.energies, frames.energies)


@pytest.mark.parametrize(
    "names", [("pos", "F", "E", "cell", "z"), ("coords", "Fs", "energy", "box", "species")]
)
def test_npz_of_others(frames, tmp_path, names):
    values = (
        frames.positions * 10,
        frames.forces / 41.84,
        frames.energies / 4.184,
        frames.box * 10,
    )
    species = [6, 8, 6, 8] if names[4] == "z" else ["C", "O", "C", "O"]
    np.savez(tmp_path / "a.npz", **dict(zip(names, values)), **{names[4]: species})
    found = read(tmp_path / "a.npz", temperature=T, length_unit="angstrom", energy_unit="kcal/mol")
    same(found, frames, atol=1e-6)
    np.testing.assert_allclose(found.energies, frames.energies, rtol=1e-6)


def test_npz_keys_sum_several_arrays(frames, tmp_path):
    np.savez(
        tmp_path / "a.npz",
        x=frames.positions,
        near=0.3 * frames.forces,
        far=0.7 * frames.forces,
        L=3.0,
    )
    keys = {"positions": "x", "forces": ["near", "far"], "box": "L"}
    found = read(
        tmp_path / "a.npz",
        frames.system,
        temperature=T,
        length_unit="nm",
        energy_unit="kJ/mol",
        keys=keys,
    )
    np.testing.assert_allclose(found.forces, frames.forces, atol=1e-9)
    np.testing.assert_array_equal(found.box, 3 * np.eye(3))


def test_npy_pair(frames, tmp_path):
    np.save(tmp_path / "x.npy", frames.positions * 10)
    np.save(tmp_path / "f.npy", frames.forces / 41.84)
    units = {"length_unit": "angstrom", "force_unit": "kcal/mol/angstrom", "box": frames.box * 10}
    found = read(
        tmp_path / "x.npy", frames.system, temperature=T, forces_path=tmp_path / "f.npy", **units
    )
    same(found, frames, atol=1e-6)


def test_amber_netcdf(frames, tmp_path):
    pytest.importorskip("netCDF4")
    write_with_mdanalysis(frames, tmp_path / "a.nc", forces=True)
    same(read(tmp_path / "a.nc", frames.system, temperature=T), frames)


def write_with_mdanalysis(frames: Frames, path: Path, **options) -> None:
    import MDAnalysis
    from MDAnalysis.lib.mdamath import triclinic_box

    universe = MDAnalysis.Universe.empty(frames.n_sites, trajectory=True, forces=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with MDAnalysis.Writer(str(path), n_atoms=frames.n_sites, **options) as writer:
            for x, f in zip(frames.positions, frames.forces):
                universe.dimensions = triclinic_box(*(frames.box * 10))
                universe.atoms.positions, universe.atoms.forces = x * 10, f / 10
                writer.write(universe.atoms)


def write_dump(frames: Frames, path: Path, energy: float) -> None:
    """A LAMMPS dump with shuffled ids in angstrom and `energy` kJ/mol per angstrom."""
    (lx, *_), (xy, ly, _), (xz, yz, lz) = frames.box * 10
    low, high = min(0, xy, xz, xy + xz), max(0, xy, xz, xy + xz)
    lines = []
    for t in range(len(frames)):
        lines += ["ITEM: TIMESTEP", str(t), "ITEM: NUMBER OF ATOMS", str(frames.n_sites)]
        lines += [
            "ITEM: BOX BOUNDS xy xz yz pp pp pp",
            f"{low} {lx + high} {xy}",
            f"{min(0, yz)} {ly + max(0, yz)} {xz}",
            f"0 {lz} {yz}",
        ]
        lines += ["ITEM: ATOMS id type xu yu zu fx fy fz"]
        for i in np.random.default_rng(t).permutation(frames.n_sites):
            values = [*(frames.positions[t, i] * 10), *(frames.forces[t, i] / 10 / energy)]
            lines.append(f"{i + 1} 1 " + " ".join(f"{v:.9g}" for v in values))
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("style, energy", [("real", 4.184), ("metal", 96.48533212331002)])
def test_lammps_dump(frames, tmp_path, style, energy):
    write_dump(frames, tmp_path / "a.lammpstrj", energy)
    same(read(tmp_path / "a.lammpstrj", frames.system, temperature=T, lammps_units=style), frames)
    same(
        read(
            tmp_path / "a.lammpstrj",
            species=["C", "O", "C", "O"],
            temperature=T,
            lammps_units=style,
        ),
        frames,
    )


def test_lammps_data_topology(tmp_path):
    (tmp_path / "a.data").write_text(
        "title\n\n2 atoms\n1 bonds\n2 atom types\n1 bond types\n\n0 10 xlo xhi\n0 10 ylo "
        "yhi\n0 10 zlo "
        "zhi\n\nMasses\n\n1 12.011\n2 15.999\n\n"
        "Atoms # full\n\n1 1 1 0.1 1 1 1\n2 1 2 -0.1 2.2 1 1\n\nBonds\n\n1 1 1 2\n"
    )
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((3, 2, 3)))
    found = read(
        tmp_path / "x.npy",
        tmp_path / "a.data",
        temperature=T,
        length_unit="nm",
        energy_unit="kJ/mol",
        check_units=False,
    )
    assert found.system.elements == ("C", "O")
    assert found.system.bonds.tolist() == [[0, 1]]
    np.testing.assert_allclose(found.system.charges, [0.1, -0.1])


def test_folder_of_frames(frames, tmp_path):
    frames.save(tmp_path / "f")
    same(read(tmp_path / "f"), frames, atol=0)
    assert len(read(tmp_path / "f", start=2, stop=8, step=2)) == 3
    assert cgrec.read is read


@pytest.mark.parametrize("ending", ["trr", "npz", "extxyz"])
def test_frames_and_sites_are_picked(frames, tmp_path, ending):
    path = write(frames, tmp_path / f"a.{ending}")
    topology = frames.system if ending == "trr" else None
    found = read(path, topology, temperature=T, start=1, stop=20, step=3, selection="index 2:3")
    np.testing.assert_allclose(found.positions, frames.positions[1:20:3, 2:], atol=1e-5)
    assert found.system.bonds.tolist() == [[0, 1]]


def test_write_refuses_to_overwrite_and_unknown_endings(frames, tmp_path):
    write(frames, tmp_path / "a.npz")
    with pytest.raises(FileExistsError, match="a.npz exists"):
        write(frames, tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"expected one of .xtc, .trr"):
        write(frames, tmp_path / "a.doc")
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


# --- boxes, whole molecules, topologies
# -----------------------------------------------------------------------


def test_molecules_are_made_whole(frames, tmp_path):
    fractional = frames.positions @ np.linalg.inv(TRICLINIC) + [0.45, 0.1, -0.3]
    wrapped = (fractional % 1.0) @ TRICLINIC
    whole = make_whole(wrapped, frames.system, TRICLINIC)
    np.testing.assert_allclose(
        whole[:, 1::2] - whole[:, ::2],
        frames.positions[:, 1::2] - frames.positions[:, ::2],
        atol=1e-9,
    )
    write(Frames(**{**vars(frames), "positions": wrapped}), tmp_path / "a.trr")
    found = read(tmp_path / "a.trr", frames.system, temperature=T)
    np.testing.assert_allclose(found.positions, whole, atol=1e-5)


@pytest.mark.parametrize(
    "box, rows",
    [
        (2.0, 2 * np.eye(3)),
        ([1, 2, 3], np.diag([1, 2, 3])),
        ([2, 2, 2, 90, 90, 90], 2 * np.eye(3)),
        (TRICLINIC, TRICLINIC),
        (np.full((5, 3), 2.0), 2 * np.eye(3)),
    ],
)
def test_box_forms(box, rows):
    np.testing.assert_allclose(box_rows(box), rows, atol=1e-12)


def test_box_angles_agree_with_mdanalysis():
    from MDAnalysis.lib.mdamath import triclinic_vectors

    np.testing.assert_allclose(
        box_rows([3, 4, 5, 70, 80, 100]), triclinic_vectors([3, 4, 5, 70, 80, 100]), rtol=1e-5
    )
    with pytest.raises(ValueError, match=r"found shape \(4,\)"):
        box_rows([1, 2, 3, 4])


def test_close_pairs_take_images():
    pairs, vectors = close_pairs(np.array([[0.05, 1, 1], [1.95, 1, 1]]), 0.3, 2 * np.eye(3))
    assert sorted(pairs[0].tolist()) == [0, 1]
    np.testing.assert_allclose(np.abs(vectors), [[0.1, 0, 0]], atol=1e-12)


@pytest.mark.parametrize(
    "name, mass, element",
    [
        ("CA", None, "C"),
        ("Ca", None, "Ca"),
        ("CL", None, "Cl"),
        ("HW1", 1.008, "H"),
        ("W", 18.015, "X"),
        ("OW", None, "O"),
        ("NA", 22.99, "Na"),
        ("C1", 9.99, "C"),
        ("", 15.999, "O"),
        ("BB", 72.0, "X"),
        ("Cl-", None, "Cl"),
    ],
)
def test_elements_are_guessed(name, mass, element):
    assert guess_element(name, mass) == element


def test_bonds_are_guessed_in_water_with_ions():
    ase = pytest.importorskip("ase")
    atoms = ase.Atoms(
        "OHHNaOHH",
        [
            (0, 0, 0),
            (0.96, 0, 0),
            (-0.24, 0.93, 0),
            (-2.3, 0, 0),
            (1.9 + 0.9, 0, 0),
            (3.4, 0.75, 0),
            (3.4, -0.75, 0),
        ],
    )
    system = system_from_atoms(atoms)
    assert system.bonds.tolist() == [[0, 1], [0, 2], [4, 5], [4, 6]]
    assert system.residue_names == ("HOH", "HOH", "HOH", "NA", "HOH", "HOH", "HOH")
    assert select_sites(system, "resname HOH and element O") == [0, 4]


def test_rigid_pairs_become_constraints():
    rng = np.random.default_rng(0)
    water = np.array([[0, 0, 0], [0.1, 0, 0], [-0.033, 0.094, 0]])
    turns = np.linalg.qr(rng.normal(size=(20, 3, 3)))[0]
    system = System(
        names=("O", "H", "H"), masses=[16, 1, 1], bonds=[(0, 1), (0, 2)], elements=("O", "H", "H")
    )
    frames = Frames(system, water @ turns, T)
    from cgrec.io.topology import add_rigid_pairs

    assert add_rigid_pairs(system, frames.positions).constraints.tolist() == [
        [0, 1],
        [0, 2],
        [1, 2],
    ]
    flexible = diatomics(20)
    assert len(add_rigid_pairs(flexible.system, flexible.positions).constraints) == 0


def test_ase_atoms_there_and_back(frames):
    from ase.calculators.singlepoint import SinglePointCalculator

    images = [system_to_atoms(frames.system, x, frames.box) for x in frames.positions[:3]]
    for image, f, e in zip(images, frames.forces, frames.energies):
        image.calc = SinglePointCalculator(
            image, forces=f / 964.8533212331, energy=e / 96.48533212331
        )
    found = atoms_to_frames(images, T, frames.system)
    np.testing.assert_allclose(found.positions, frames.positions[:3], atol=1e-12)
    np.testing.assert_allclose(found.forces, frames.forces[:3], rtol=1e-9)
    np.testing.assert_allclose(found.energies, frames.energies[:3], rtol=1e-9)
    with pytest.raises(ValueError, match="no element"):
        system_to_atoms(System(names=("W",), masses=[18.0]), np.zeros((1, 3)))


# --- bad input
# ------------------------------------------------------------------------------------------------


def test_missing_forces_are_refused_where_needed(frames, tmp_path):
    pdb = write(frames, tmp_path / "a.pdb")
    assert read(pdb, temperature=T).forces is None
    with pytest.raises(ValueError, match=r"a\.pdb: these Frames carry no forces.*TRR"):
        read(pdb, temperature=T, need_forces=True)


def test_temperature_is_asked_for_and_compared(frames, tmp_path):
    with pytest.raises(ValueError, match="a.trr does not state its temperature: give temperature="):
        read(write(frames, tmp_path / "a.trr"), frames.system)
    path = write(frames, tmp_path / "a.npz")
    assert read(path, temperature=300.1).temperature == 300.1
    with pytest.raises(ValueError, match="a.npz states 300 K and temperature=310"):
        read(path, temperature=310)


@pytest.mark.parametrize(
    "ending", ["trr", "xtc", "nc", "h5md", "lammpstrj", "extxyz", "npz", "npy"]
)
@pytest.mark.parametrize("kept", [0.56, 0.995])
def test_truncated_files_are_refused(tmp_path, ending, kept):
    frames, path = diatomics(40, 4), tmp_path / f"a.{ending}"
    options = {"topology": frames.system, "temperature": T}
    if ending == "nc":
        pytest.importorskip("netCDF4")
        write_with_mdanalysis(frames, path, forces=True)
    elif ending == "lammpstrj":
        write_dump(frames, path, 4.184)
        options["lammps_units"] = "real"
    elif ending == "npy":
        np.save(path, frames.positions)
        options |= {"length_unit": "nm", "energy_unit": "kJ/mol"}
    else:
        write(frames, path)
    read(path, **options)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ValueError, match=f"a.{ending}.*truncated"):
        read(path, **options)


@pytest.mark.parametrize("ending", ["trr", "xtc", "lammpstrj", "extxyz", "npz", "nc"])
def test_empty_files_are_refused(frames, tmp_path, ending):
    (tmp_path / f"a.{ending}").touch()
    options = {"lammps_units": "real"} if ending == "lammpstrj" else {}
    with pytest.raises(ValueError, match=f"a.{ending}"):
        read(tmp_path / f"a.{ending}", frames.system, temperature=T, **options)


def test_zero_frames_and_empty_ranges_are_refused(frames, tmp_path):
    np.savez(tmp_path / "a.npz", positions=np.zeros((0, 4, 3)), length_unit="nm")
    with pytest.raises(ValueError, match="a.npz holds zero frames"):
        read(tmp_path / "a.npz", frames.system, temperature=T)
    for path in (write(frames, tmp_path / "b.npz"), write(frames, tmp_path / "b.trr")):
        with pytest.raises(ValueError, match=r"start=100, stop=None, step=None leaves zero frames"):
            read(path, frames.system, temperature=T, start=100)


def test_nan_is_named_with_its_file(frames, tmp_path):
    broken = frames.forces.copy()
    broken[7, 1, 0] = np.nan
    np.savez(tmp_path / "a.npz", positions=frames.positions, forces=broken)
    with pytest.raises(
        ValueError, match=r"a\.npz: Frames\.forces: found NaN or infinity, first at index 7"
    ):
        read(
            tmp_path / "a.npz", frames.system, temperature=T, length_unit="nm", energy_unit="kJ/mol"
        )


def test_sizes_that_disagree(frames, tmp_path):
    other = System(names=("C",) * 3, masses=[12.0] * 3)
    for ending in ("trr", "npz", "extxyz"):
        with pytest.raises(
            ValueError, match=rf"a\.{ending} holds 4 sites and its topology .* 3: expected the same"
        ):
            read(write(frames, tmp_path / f"a.{ending}"), other, temperature=T)
    np.savez(tmp_path / "b.npz", positions=frames.positions, forces=frames.forces[:-1])
    with pytest.raises(ValueError, match="b.npz: 30 frames of positions and 29 of forces"):
        read(
            tmp_path / "b.npz", frames.system, temperature=T, length_unit="nm", energy_unit="kJ/mol"
        )


def test_what_is_not_stated_is_asked_for(frames, tmp_path):
    np.savez(tmp_path / "a.npz", positions=frames.positions, forces=frames.forces)
    with pytest.raises(ValueError, match="a.npz states no units: give length_unit="):
        read(tmp_path / "a.npz", frames.system, temperature=T)
    with pytest.raises(ValueError, match="does not say what its 4 sites are: give topology="):
        read(tmp_path / "a.npz", temperature=T, length_unit="nm", energy_unit="kJ/mol")
    with pytest.raises(ValueError, match=r"site 0 \(W\) has no mass"):
        read(
            tmp_path / "a.npz",
            species="W",
            masses={"W": 0},
            temperature=T,
            length_unit="nm",
            energy_unit="kJ/mol",
        )
    write_dump(frames, tmp_path / "a.dump", 4.184)
    with pytest.raises(ValueError, match="expected lammps_units= one of"):
        read(tmp_path / "a.dump", frames.system, temperature=T)


def test_unknown_formats_files_and_arguments(frames, tmp_path):
    (tmp_path / "a.doc").touch()
    with pytest.raises(
        ValueError, match=r"unknown format '\.doc'; expected one of trr \(\.trr\), .*npz"
    ):
        read(tmp_path / "a.doc")
    with pytest.raises(FileNotFoundError, match="expected a file, found none at .*b.trr"):
        read(tmp_path / "b.trr")
    with pytest.raises(ValueError, match="length_unit means nothing for trr"):
        read(write(frames, tmp_path / "a.trr"), frames.system, temperature=T, length_unit="nm")


def test_frames_of_several_compositions_are_refused(tmp_path):
    from ase import Atoms
    from ase.io import write as write_atoms

    write_atoms(
        tmp_path / "a.xyz",
        [Atoms("CO", [(0, 0, 0), (0, 0, 1.1)]), Atoms("N2", [(0, 0, 0), (0, 0, 1.1)])],
        format="extxyz",
    )
    with pytest.raises(ValueError, match="a.xyz: frame 1 holds N2 and frame 0 CO"):
        read(tmp_path / "a.xyz", temperature=T)


# --- the unit check
# -------------------------------------------------------------------------------------------


def test_identity_is_exact_for_diatomics():
    check = check_force_units(diatomics(20000))
    assert check.verdict == "ok" and check.pairs == "bonds"
    assert abs(check.estimate - T) < 4 * check.error < 10


def test_identity_is_exact_for_a_loose_bond():
    """Wide bonds feel the 2 (r - r0) / r of the divergence."""
    check = check_force_units(diatomics(20000, k=3e4))
    assert abs(check.estimate - T) < 4 * check.error < 15


@pytest.mark.slow
@pytest.mark.parametrize(
    "factor, words",
    [
        (1 / 4.184, "the forces are in kcal/mol/nm, not kJ/mol/nm"),
        (0.1, "the forces are in kJ/mol/angstrom, not kJ/mol/nm"),
        (1 / 96.485, "the forces are in eV/nm, not"),
        (1 / 41.84, "the forces are in kcal/mol/angstrom, not"),
        (1 / 49614.7, "the forces are in hartree/bohr, not"),
        (-1, "their sign is wrong"),
    ],
)
def test_wrong_units_are_named(factor, words, tmp_path):
    frames = diatomics(2000)
    wrong = Frames(**{**vars(frames), "forces": factor * frames.forces})
    check = check_force_units(wrong)
    assert check.verdict == "wrong unit" and words in check.message
    path = write(wrong, tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"a\.npz: forces along bonds imply"):
        read(path)
    assert read(path, check_units=False).forces is not None


def test_the_stated_unit_is_taken_into_account(frames, tmp_path):
    frames = diatomics(2000)
    np.savez(tmp_path / "a.npz", positions=frames.positions, forces=frames.forces / 41.84)
    with pytest.raises(ValueError, match="the forces are in kcal/mol/angstrom, not eV/angstrom"):
        read(
            tmp_path / "a.npz",
            frames.system,
            temperature=T,
            length_unit="nm",
            force_unit="eV/angstrom",
        )


@pytest.mark.slow
def test_an_unexplained_temperature_warns(tmp_path):
    frames = diatomics(2000)
    path = write(Frames(**{**vars(frames), "forces": 1.4 * frames.forces}), tmp_path / "a.npz")
    with pytest.warns(UserWarning, match="no usual mistake of units"):
        read(path)


def test_a_wrong_length_is_seen_where_both_units_are_wrong(frames, tmp_path):
    np.savez(tmp_path / "a.npz", positions=frames.positions * 10, forces=frames.forces / 10)
    with pytest.raises(ValueError, match="the length unit is probably wrong"):
        read(
            tmp_path / "a.npz", frames.system, temperature=T, length_unit="nm", energy_unit="kJ/mol"
        )


@pytest.mark.parametrize("factor", [0.1, 10, 1.89, 0.529])
def test_a_wrong_length_is_seen_in_a_structure_without_bonds(tmp_path, factor):
    water = [(0.0, 0.0, 0.0), (0.0957, 0.0, 0.0), (-0.024, 0.0927, 0.0)]
    np.savez(
        tmp_path / "a.npz",
        positions=np.array([water]) * factor,
        species=["O", "H", "H"],
        length_unit="nm",
    )
    with pytest.raises(ValueError, match=r"a\.npz: neighbouring atoms are about"):
        read(tmp_path / "a.npz", temperature=T)
    np.savez(
        tmp_path / "b.npz", positions=np.array([water]), species=["O", "H", "H"], length_unit="nm"
    )
    assert len(read(tmp_path / "b.npz", temperature=T).system.bonds) == 2


def test_few_frames_are_untested(frames):
    assert check_force_units(frames[:5]).verdict == "untested"


@pytest.mark.slow
def test_identity_without_bonds_on_lennard_jones_pairs():
    frames = pair_in_box(20000)
    check = check_force_units(frames)
    assert check.pairs == "molecules"
    assert abs(check.estimate - T) < 5 * check.error < 0.1 * T


def pair_in_box(n_frames: int) -> Frames:
    """One Lennard-Jones pair, its distance drawn exactly between 0.2 and 1 nm."""
    rng = np.random.default_rng(3)
    epsilon, sigma = 3 * BOLTZMANN * T, 0.3
    r = np.linspace(0.2, 1.0, 8001)
    u = 4 * epsilon * ((sigma / r) ** 12 - (sigma / r) ** 6)
    weight = r**2 * np.exp(-u / (BOLTZMANN * T))
    d = np.interp(rng.random(n_frames), np.cumsum(weight) / weight.sum(), r)
    e = rng.normal(size=(n_frames, 3))
    e /= np.linalg.norm(e, axis=1, keepdims=True)
    slope = 4 * epsilon * (-12 * (sigma / d) ** 12 + 6 * (sigma / d) ** 6) / d
    positions = np.stack([np.zeros((n_frames, 3)), d[:, None] * e], 1)
    forces = np.stack([slope[:, None] * e, -slope[:, None] * e], 1)
    return Frames(System(names=("A", "B"), masses=[20.0, 30.0]), positions, T, forces=forces)


# --- real data
# ------------------------------------------------------------------------------------------------

EV = {"length_unit": "angstrom", "energy_unit": "eV"}
OURS = {"length_unit": "nm", "energy_unit": "kJ/mol"}
LICL_KEYS = {"forces": ["forces_sr", "forces_coul"], "box": "L"}
REAL = {
    "water_dimer/waterdimer.npz": {"species": list("OHHOHH"), "temperature": 300, **OURS},
    "water_onesite_spce/frames_000_799.npz": {
        "species": "W",
        "masses": {"W": 18.015},
        "step": 4,
        **OURS,
    },
    "water_aimd_deepmd/water_aimd_early240.npz": {"temperature": 330, **EV},
    "nacl_4M_spce/ions_0000_3199.npz": {"step": 4, **OURS},
    "licl_ions_model_trajectory/licl_cg_share_0000_0999.npz": {
        "temperature": 300,
        "species": ["Li"] * 24 + ["Cl"] * 24,
        "keys": LICL_KEYS,
        **EV,
    },
}


@pytest.mark.parametrize("name", REAL)
def test_real_forces_agree_with_their_temperature(name):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"shared data {name} is not here")
    frames = read(path, need_forces=True, **REAL[name])
    check = check_force_units(frames)
    assert check.verdict == "ok", check.message
    assert abs(check.ratio - 1) < max(0.1, 3 * check.error / check.temperature), check.message


def test_real_forces_in_a_wrong_unit_are_refused():
    path = DATA / "water_onesite_spce/frames_000_799.npz"
    if not path.exists():
        pytest.skip("shared data is not here")
    with pytest.raises(ValueError, match="the forces are in kJ/mol/nm, not kcal/mol/nm"):
        read(
            path,
            species="W",
            masses={"W": 18.015},
            length_unit="nm",
            energy_unit="kcal/mol",
            step=4,
        )
