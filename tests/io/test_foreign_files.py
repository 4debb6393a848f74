"""Files as strangers bring them: each is read with the right numbers, or refused in words that
help.

The inputs in tests/data/foreign are one exact sample of carbon monoxide, written by
tests/data/make_foreign.py.
"""

from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

import cgrec
from cgrec import Frames, System
from cgrec.io import write
from cgrec.remarks import Remark
from cgrec.sources import FileSource

FOREIGN = Path(__file__).parents[1] / "data" / "foreign"
CASES = Path(__file__).parents[3] / "shared" / "cases"
REFERENCE = np.load(FOREIGN / "reference.npz")
CO = ["C", "O"] * 3
T = 300.0
REAL = {"lammps_units": "real", "species": CO}
OURS = {"length_unit": "nm", "energy_unit": "kJ/mol"}


def read(name, *topology, **options) -> Frames:
    return cgrec.read(FOREIGN / name, *topology, temperature=T, **options)


def right(
    frames: Frames, *, forces: bool = True, energies: bool = False, box: float | None = None
) -> None:
    """The frames are those of the reference."""
    np.testing.assert_allclose(frames.positions, REFERENCE["positions"], atol=1e-6)
    if forces:
        np.testing.assert_allclose(frames.need_forces(), REFERENCE["forces"], atol=1e-4)
    else:
        assert frames.forces is None
    if energies:
        np.testing.assert_allclose(frames.energies, REFERENCE["energies"], atol=1e-5)
    else:
        assert frames.energies is None
    if box is None:
        assert frames.box is None
    else:
        np.testing.assert_allclose(frames.box, box * np.eye(3), atol=1e-6)
    assert frames.system.elements == tuple(CO)
    assert frames.system.bonds.tolist() == [[0, 1], [2, 3], [4, 5]]


def npz(path: Path, **arrays) -> Path:
    np.savez(
        path,
        **{
            "positions": REFERENCE["positions"],
            "forces": REFERENCE["forces"],
            "species": CO,
            **arrays,
        },
    )
    return path


# --- LAMMPS dumps
# -------------------------------------------------------------------------------------------


def test_a_dump_without_ids_is_refused_unless_its_order_is_said_to_be_that_of_ids():
    with pytest.raises(
        ValueError, match=r"no column id among type x y z.*id type x y z fx fy fz.*'id': 'line'"
    ):
        read("no_id.lammpstrj", **REAL)


def test_a_dump_sorted_by_its_writer_is_read(tmp_path):
    text = (FOREIGN / "vacuum_fff.lammpstrj").read_text().replace("ATOMS id type", "ATOMS mol type")
    (tmp_path / "a.dump").write_text(text)
    right(cgrec.read(tmp_path / "a.dump", temperature=T, keys={"id": "line"}, **REAL))


def test_units_a_dump_states_are_used():
    right(read("units_time.lammpstrj", species=CO), box=2.0)
    with pytest.raises(ValueError, match="states units real and lammps_units='metal'"):
        read("units_time.lammpstrj", species=CO, lammps_units="metal")
    with pytest.raises(
        ValueError, match="its length unit is stated as angstrom, and length_unit='nm'"
    ):
        read("units_time.lammpstrj", species=CO, length_unit="nm")


@pytest.mark.parametrize(
    "flags, outcome",
    [
        ("ff ff ff", None),
        ("ss ss ss", None),
        ("mm mm mm", None),
        ("fs sm mf", None),
        ("f f f", None),
    ]
    + [("pp pp pp", 2.0), ("p p p", 2.0), ("", 2.0)]
    + [("pp pp ff", "along x and y and not along z"), ("ff ff pp", "along z and not along x and y")]
    + [("p p s", "along x and y and not along z"), ("mm pp pp", "along y and z and not along x")]
    + [
        ("pf pp pp", "one side of a direction is periodic"),
        ("xx pp pp", "expected three of p, f, s, m"),
    ],
)
@pytest.mark.parametrize("header", ["", "xy xz yz ", "abc origin "])
def test_boundary_flags(tmp_path, flags, outcome, header):
    text = (FOREIGN / "vacuum_fff.lammpstrj").read_text()
    text = text.replace("BOUNDS ff ff ff", f"BOUNDS {header}{flags}".rstrip())
    if header.startswith("xy"):
        text = text.replace("0.0 20.0\n", "0.0 20.0 0.0\n")
    if header.startswith("abc"):
        text = text.replace("0.0 20.0\n" * 3, "20 0 0 0\n0 20 0 0\n0 0 20 0\n")
    (tmp_path / "a.lammpstrj").write_text(text)
    if isinstance(outcome, str):
        with pytest.raises(ValueError, match=outcome):
            cgrec.read(tmp_path / "a.lammpstrj", temperature=T, **REAL)
        return
    right(cgrec.read(tmp_path / "a.lammpstrj", temperature=T, **REAL), box=outcome)


def test_a_slab_is_read_with_a_box_of_the_callers(tmp_path):
    text = (FOREIGN / "vacuum_fff.lammpstrj").read_text().replace("ff ff ff", "pp pp ff")
    (tmp_path / "a.lammpstrj").write_text(text)
    path = tmp_path / "a.lammpstrj"
    frames = cgrec.read(path, temperature=T, box=[20.0, 20.0, 200.0], **REAL)
    np.testing.assert_allclose(np.diag(frames.box), [2, 2, 20])
    right(cgrec.read(path, temperature=T, box="open", **REAL))


def test_a_changing_number_of_atoms_is_named_as_such():
    with pytest.raises(ValueError, match="frame 3 holds 4 sites and the first frame 6"):
        read("changing_number.lammpstrj", **REAL)
    assert len(read("changing_number.lammpstrj", stop=3, **REAL)) == 3


def test_a_dumps_own_columns_say_what_its_sites_are():
    frames = read("columns.lammpstrj", lammps_units="real")
    right(frames, box=2.0)
    np.testing.assert_allclose(frames.system.charges, [0.1, -0.1] * 3)
    np.testing.assert_allclose(frames.system.masses, [12.011, 15.999] * 3)


def test_a_dumps_columns_are_compared_with_the_topology():
    other = System(names=["O", "C"] * 3, masses=[15.999, 12.011] * 3, elements=["O", "C"] * 3)
    with pytest.raises(ValueError, match="site 0 is C and the topology says MOL:O"):
        read("columns.lammpstrj", other, lammps_units="real")
    mixed = System(
        names=["C", "C", "O"] * 2, masses=[12.011, 12.011, 15.999] * 2, elements=["C", "C", "O"] * 2
    )
    with pytest.raises(
        ValueError, match=r"sites 0 and 2 are both of type 1, and the topology says .*C.*O"
    ):
        read("vacuum_fff.lammpstrj", mixed, lammps_units="real")
    heavy = System(names=CO, masses=[14.0, 15.999] * 3, elements=CO)
    with pytest.raises(ValueError, match="site 0 has a mass of 12.011 amu and the topology 14"):
        read("columns.lammpstrj", heavy, lammps_units="real")


def test_types_that_change_in_time_are_refused(tmp_path):
    text = (FOREIGN / "vacuum_fff.lammpstrj").read_text()
    first, rest = text[: len(text) // 2], text[len(text) // 2 :]
    (tmp_path / "a.dump").write_text(first + rest.replace("\n1 1 ", "\n1 2 "))
    with pytest.raises(
        ValueError, match=r"frame \d+: site 0 is of type 2, and 1 in the first frame"
    ):
        cgrec.read(tmp_path / "a.dump", temperature=T, **REAL)


def test_forces_under_other_column_names(tmp_path):
    text = (
        (FOREIGN / "vacuum_fff.lammpstrj").read_text().replace("fx fy fz", "f_a[1] f_a[2] f_a[3]")
    )
    (tmp_path / "a.dump").write_text(text)
    keys = {"forces": ["f_a[1]", "f_a[2]", "f_a[3]"]}
    right(cgrec.read(tmp_path / "a.dump", temperature=T, keys=keys, **REAL))
    with pytest.raises(ValueError, match=r"has no column fx2; it has id type x y z"):
        cgrec.read(tmp_path / "a.dump", temperature=T, keys={"forces": ["fx2"] * 3}, **REAL)


# Sizes of the units in nm and kJ/mol/nm, from docs.lammps.org/units.html: newton, dyne, and so on
# per particle.
STYLES = {
    "si": (1e9, 6.02214076e11),
    "cgs": (1e7, 6.02214076e6),
    "electron": (0.0529177210903, 49614.75258),
    "micro": (1e3, 602.214076),
    "nano": (1.0, 0.602214076),
    "metal": (0.1, 964.8533212),
}


@pytest.mark.parametrize("style", STYLES)
def test_units_styles_of_lammps(style):
    length, force = STYLES[style]
    raw = read("vacuum_fff.lammpstrj", check_units=False, **REAL)
    found = cgrec.read(
        FOREIGN / "vacuum_fff.lammpstrj",
        temperature=T,
        species=CO,
        lammps_units=style,
        check_units=False,
    )
    np.testing.assert_allclose(found.positions, raw.positions / 0.1 * length, rtol=1e-6)
    np.testing.assert_allclose(found.forces, raw.forces / 41.84 * force, rtol=1e-6)


def test_reduced_units_need_their_sizes():
    with pytest.raises(ValueError, match=r"reduced units, lj: expected lj=\{'sigma': nm"):
        read("vacuum_fff.lammpstrj", species="A", lammps_units="lj")
    lj = {"sigma": 0.1, "epsilon": 4.184, "mass": 39.9}
    frames = read("vacuum_fff.lammpstrj", species="A", lammps_units="lj", lj=lj)
    np.testing.assert_allclose(frames.positions, REFERENCE["positions"], atol=1e-6)
    np.testing.assert_allclose(frames.forces, REFERENCE["forces"], atol=1e-4)
    assert set(frames.system.masses) == {39.9} and set(frames.system.elements) == {"X"}
    with pytest.raises(ValueError, match="lj= belongs to lammps_units='lj'"):
        read("vacuum_fff.lammpstrj", lj=lj, **REAL)


@pytest.mark.parametrize(
    "style, line",
    [
        ("atomic", "{i} {t} 1 1 1"),
        ("charge", "{i} {t} 0.5 1 1 1"),
        ("molecular", "{i} 1 {t} 1 1 1"),
        ("full", "{i} 1 {t} 0.5 1 1 1"),
    ],
)
def test_reduced_masses_of_a_data_file(tmp_path, style, line):
    head = (
        "t\n\n6 atoms\n2 atom types\n\n0 10 xlo xhi\n0 10 ylo yhi\n0 10 zlo zhi\n\nMasses\n\n1 "
        "1.0\n2 2.0\n\n"
    )
    lines = [line.format(i=i + 1, t=1 + i % 2) for i in range(6)]
    (tmp_path / "a.data").write_text(f"{head}Atoms # {style}\n\n" + "\n".join(lines) + "\n")
    lj = {"sigma": 0.1, "epsilon": 4.184, "mass": 39.9}
    frames = read("vacuum_fff.lammpstrj", tmp_path / "a.data", lammps_units="lj", lj=lj)
    np.testing.assert_allclose(frames.system.masses, [39.9, 79.8] * 3)
    assert set(frames.system.elements) == {"X"} and frames.system.types == ("1", "2") * 3


# --- two files, other names, other units
# ---------------------------------------------------------------------


def test_amber_forces_are_in_a_second_file():
    right(read("mdcrd.nc", species=CO), forces=False)
    right(read("mdcrd.nc", species=CO, forces_path=FOREIGN / "mdfrc.nc"))
    with pytest.raises(ValueError, match=r"mdfrc.nc: no variable 'coordinates'.*forces_path="):
        read("mdfrc.nc", species=CO)


def test_cp2k_pairs_are_in_angstrom_and_hartree_over_bohr():
    right(read("x-pos-1.xyz", forces_path=FOREIGN / "x-frc-1.xyz"), energies=True)
    with pytest.raises(ValueError, match="holds the positions of .* once more"):
        read("x-pos-1.xyz", forces_path=FOREIGN / "x-pos-1.xyz")


def test_steps_of_two_files_are_compared(tmp_path):
    shifted = (FOREIGN / "x-frc-1.xyz").read_text().replace("i =        5,", "i =       55,")
    (tmp_path / "f.xyz").write_text(shifted)
    with pytest.raises(ValueError, match="frame 5 is step 5 of the one and 55 of the other"):
        read("x-pos-1.xyz", forces_path=tmp_path / "f.xyz")
    lines = shifted.splitlines(keepends=True)
    (tmp_path / "f.xyz").write_text("".join(lines[:80]))
    with pytest.raises(ValueError, match=r"x-pos-1.xyz holds at least 24 frames and .*f.xyz 10"):
        read("x-pos-1.xyz", forces_path=tmp_path / "f.xyz")


def test_a_second_file_of_any_format(tmp_path):
    path = npz(tmp_path / "f.npz", **OURS)
    right(read("mdcrd.nc", species=CO, forces_path=path))
    right(read("x-pos-1.xyz", forces_path=FOREIGN / "mdfrc.nc"), energies=True)
    frames = read("mdcrd.nc", species=CO)
    xtc = write(frames, tmp_path / "a.xtc")
    found = cgrec.read(
        xtc,
        frames.system,
        temperature=T,
        forces_path=FOREIGN / "vacuum_fff.lammpstrj",
        lammps_units="real",
    )
    np.testing.assert_allclose(found.forces, REFERENCE["forces"], atol=1e-4)
    with pytest.raises(ValueError, match="holds forces itself, so forces_path= means nothing"):
        cgrec.read(path, temperature=T, forces_path=FOREIGN / "mdfrc.nc")
    with pytest.raises(ValueError, match=r"a\.xtc holds no forces"):
        cgrec.read(xtc, frames.system, temperature=T, forces_path=xtc)


def test_one_candidate_for_forces_is_used_and_named():
    with pytest.warns(Remark, match="'REF_forces' is taken as forces"):
        right(read("REF_forces.xyz"), energies=True, box=2.0)
    right(read("REF_forces.xyz", keys={"forces": "REF_forces"}), energies=True, box=2.0)
    with pytest.raises(ValueError, match="has no dft; it holds REF_energy, REF_forces"):
        read("REF_forces.xyz", keys={"forces": "dft"})


def test_of_several_candidates_one_must_be_chosen():
    with pytest.raises(ValueError, match=r"REF_forces, MACE_forces could all be the forces.*keys="):
        read("two_forces.xyz")
    right(read("two_forces.xyz", keys={"forces": "REF_forces"}), energies=True, box=2.0)


@pytest.mark.parametrize("name", ["MACE_forces", "DFT_forces", "force", "dft_force", "Forces"])
def test_names_of_forces(tmp_path, name):
    text = (FOREIGN / "REF_forces.xyz").read_text().replace("REF_forces", name)
    (tmp_path / "a.xyz").write_text(text)
    right(cgrec.read(tmp_path / "a.xyz", temperature=T), energies=True, box=2.0)
    path = npz(tmp_path / "a.npz", **OURS)
    with np.load(path) as arrays:
        np.savez(path, **{(name if k == "forces" else k): v for k, v in arrays.items()})
    with pytest.warns(Remark, match=f"{name!r} is taken as forces"):
        right(cgrec.read(path, temperature=T))


def test_hdf5_without_units_is_read_with_units_given():
    with pytest.raises(ValueError, match="no_units.h5md states no units: give length_unit="):
        read("no_units.h5md", species=CO)
    for unit in ({"force_unit": "kcal/mol/angstrom"}, {"energy_unit": "kcal/mol"}):
        right(read("no_units.h5md", species=CO, length_unit="angstrom", **unit), box=2.0)


def test_hdf5_with_a_unit_nobody_knows(tmp_path):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "a.h5md"
    with h5py.File(path, "w") as file, h5py.File(FOREIGN / "no_units.h5md") as other:
        other.copy("particles", file)
        file["particles/all/position/value"].attrs["unit"] = "furlong"
        file["particles/all/force/value"].attrs["unit"] = "kcal mol-1 Angstrom-1"
    with pytest.raises(
        ValueError, match="states its length unit as 'furlong', which is not known.*length_unit="
    ):
        cgrec.read(path, temperature=T, species=CO)
    right(cgrec.read(path, temperature=T, species=CO, length_unit="angstrom"), box=2.0)


def test_hdf5_of_mdtraj_and_of_others(tmp_path):
    h5py = pytest.importorskip("h5py")
    atoms = [
        [{"index": 2 * m + k, "name": s, "element": s} for k, s in enumerate("CO")]
        for m in range(3)
    ]
    residues = [{"index": m, "name": "CMO", "resSeq": m + 1, "atoms": atoms[m]} for m in range(3)]
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["coordinates"] = REFERENCE["positions"].astype("f4")
        file["coordinates"].attrs["units"] = "nanometers"
        file["topology"] = np.array(
            [json.dumps({"chains": [{"residues": residues}], "bonds": []}).encode()]
        )
        file["cell_lengths"], file["cell_angles"] = np.full((24, 3), 2.0), np.full((24, 3), 90.0)
    frames = cgrec.read(tmp_path / "m.h5", temperature=T)
    right(frames, forces=False, box=2.0)
    assert set(frames.system.residue_names) == {"CMO"}
    with h5py.File(tmp_path / "ml.h5", "w") as file:
        file["set/mol/cg_coords"], file["set/mol/cg_forces"] = (
            REFERENCE["positions"] * 10,
            REFERENCE["forces"] / 41.84,
        )
    units = {"length_unit": "angstrom", "energy_unit": "kcal/mol", "species": CO, "temperature": T}
    right(cgrec.read(tmp_path / "ml.h5", **units))
    with h5py.File(tmp_path / "ml.h5", "a") as file:
        file["set/other/cg_coords"] = REFERENCE["positions"]
    with pytest.raises(
        ValueError, match="set/mol/cg_coords, set/other/cg_coords could all be the positions"
    ):
        cgrec.read(tmp_path / "ml.h5", **units)
    right(cgrec.read(tmp_path / "ml.h5", keys={"positions": "set/mol/cg_coords"}, **units))


# --- further formats
# ----------------------------------------------------------------------------------------


def test_ase_trajectories(tmp_path):
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write as write_atoms

    images = []
    for x, f, e in zip(REFERENCE["positions"], REFERENCE["forces"], REFERENCE["energies"]):
        image = Atoms(CO, x * 10, cell=[20] * 3, pbc=True)
        image.calc = SinglePointCalculator(
            image, forces=f / 964.8533212331, energy=e / 96.48533212331
        )
        images.append(image)
    write_atoms(tmp_path / "a.traj", images)
    right(cgrec.read(tmp_path / "a.traj", temperature=T), energies=True, box=2.0)
    images[3] = images[3][:4]
    write_atoms(tmp_path / "b.xyz", images, format="extxyz")
    with pytest.raises(ValueError, match="frame 3 holds 4 sites and the first frame 6"):
        cgrec.read(tmp_path / "b.xyz", temperature=T)


def deepmd(folder: Path) -> Path:
    (folder / "set.000").mkdir(parents=True)
    (folder / "set.001").mkdir()
    (folder / "type.raw").write_text("0\n1\n0\n1\n0\n1\n")
    (folder / "type_map.raw").write_text("C O\n")
    for k in range(2):
        part, place = slice(12 * k, 12 * k + 12), folder / f"set.00{k}"
        np.save(place / "coord.npy", REFERENCE["positions"][part].reshape(12, -1) * 10)
        np.save(place / "force.npy", REFERENCE["forces"][part].reshape(12, -1) / 964.8533212331)
        np.save(place / "energy.npy", REFERENCE["energies"][part] / 96.48533212331)
        np.save(place / "box.npy", np.tile(20 * np.eye(3).ravel(), (12, 1)))
    return folder


def test_deepmd_folders(tmp_path):
    folder = deepmd(tmp_path / "data")
    right(cgrec.read(folder, temperature=T), energies=True, box=2.0)
    (folder / "nopbc").touch()
    right(cgrec.read(folder, temperature=T), energies=True)
    for k in range(2):
        np.save(folder / f"set.00{k}" / "real_atom_types.npy", np.tile([0, 1, 0, 1, 0, 1], (12, 1)))
    right(cgrec.read(folder, temperature=T), energies=True)
    mixed = np.tile([0, 1, 0, 1, 0, 1], (12, 1))
    mixed[5] = 0
    np.save(folder / "set.001" / "real_atom_types.npy", mixed)
    with pytest.raises(ValueError, match="real_atom_types of frame 17 differ"):
        cgrec.read(folder, temperature=T)
    (folder / "set.001" / "force.npy").unlink()
    with pytest.raises(ValueError, match="set.001 has no force.npy"):
        cgrec.read(folder, temperature=T)


def test_n2p2_files_are_in_units_given(tmp_path):
    lines, bohr, hartree = [], 0.0529177210903, 2625.4996394798254
    for x, f, e in zip(REFERENCE["positions"], REFERENCE["forces"], REFERENCE["energies"]):
        lines += [
            "begin",
            "comment made",
            *(f"lattice {r[0]} {r[1]} {r[2]}" for r in 2 / bohr * np.eye(3)),
        ]
        for name, a, b in zip(CO, x / bohr, f / hartree * bohr):
            lines.append(f"atom {a[0]} {a[1]} {a[2]} {name} 0.0 0.0 {b[0]} {b[1]} {b[2]}")
        lines += [f"energy {e / hartree}", "charge 0.0", "end"]
    (tmp_path / "input.data").write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match="input.data states no units"):
        cgrec.read(tmp_path / "input.data", temperature=T)
    units = {"length_unit": "bohr", "energy_unit": "hartree"}
    right(cgrec.read(tmp_path / "input.data", temperature=T, **units), energies=True, box=2.0)
    (tmp_path / "input.data").write_text("\n".join(lines[:-3]) + "\n")
    with pytest.raises(ValueError, match="is truncated: its last structure has no 'end'"):
        cgrec.read(tmp_path / "input.data", temperature=T, **units)


def test_dcd_has_no_forces_and_its_end_is_looked_at(tmp_path):
    MDAnalysis = pytest.importorskip("MDAnalysis")
    path = tmp_path / "a.dcd"
    universe = MDAnalysis.Universe.empty(6, trajectory=True)
    with MDAnalysis.Writer(str(path), 6) as writer:
        for x in REFERENCE["positions"]:
            universe.atoms.positions = x * 10
            universe.dimensions = [20, 20, 20, 90, 90, 90]
            writer.write(universe.atoms)
    right(cgrec.read(path, temperature=T, species=CO), forces=False, box=2.0)
    right(cgrec.read(path, temperature=T, species=CO, forces_path=FOREIGN / "mdfrc.nc"), box=2.0)
    with pytest.raises(ValueError, match=r"a\.dcd: these Frames carry no forces.*forces_path="):
        cgrec.read(path, temperature=T, species=CO, need_forces=True)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="a.dcd is truncated: only 132 bytes of its last frame"):
        cgrec.read(path, temperature=T, species=CO)


@pytest.mark.parametrize("ending, package", [("gsd", "gsd"), ("tng", "pytng")])
def test_a_missing_package_is_named(tmp_path, monkeypatch, ending, package):
    (tmp_path / f"a.{ending}").write_bytes(b"0")
    monkeypatch.setattr("cgrec.io.molecular_dynamics.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=f"needs the package {package}: pip install {package}"):
        cgrec.read(tmp_path / f"a.{ending}", species=CO, temperature=T)


@pytest.mark.parametrize(
    "ending, words", [("pkl", "runs code"), ("db", "ase convert"), ("mdcrd", "cpptraj")]
)
def test_formats_that_are_refused_by_name(tmp_path, ending, words):
    (tmp_path / f"a.{ending}").touch()
    with pytest.raises(ValueError, match=words):
        cgrec.read(tmp_path / f"a.{ending}", temperature=T)


@pytest.mark.parametrize("opener, ending", [(gzip.open, ".gz"), (bz2.open, ".bz2")])
@pytest.mark.parametrize("name", ["REF_forces.xyz", "units_time.lammpstrj"])
def test_packed_files(tmp_path, opener, ending, name):
    path = tmp_path / f"{name}{ending}"
    with opener(path, "wb") as file:
        file.write((FOREIGN / name).read_bytes())
    own = name.endswith("xyz")
    right(cgrec.read(path, temperature=T, species=None if own else CO), energies=own, box=2.0)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=f"{name}{ending} cannot be unpacked"):
        cgrec.read(path, temperature=T)


# --- several files
# ------------------------------------------------------------------------------------------


def test_several_files_and_patterns_are_replicas(tmp_path):
    for k in range(2):
        half = slice(12 * k, 12 * k + 12)
        npz(
            tmp_path / f"run{k}.npz",
            positions=REFERENCE["positions"][half],
            forces=REFERENCE["forces"][half],
            **OURS,
        )
    for path in (str(tmp_path / "run*.npz"), [tmp_path / "run0.npz", tmp_path / "run1.npz"]):
        frames = cgrec.read(path, temperature=T)
        right(frames)
        assert frames.replicas.tolist() == [0] * 12 + [1] * 12
    made = FileSource(path=str(tmp_path / "run*.npz"), temperature=T).make(
        tmp_path / "level0", seed=0
    )
    right(made)
    said = json.loads((tmp_path / "level0" / "source.json").read_text())
    assert len(said["files"]) == 2
    with pytest.raises(FileNotFoundError, match=r"found none that .*walk\*.npz fits"):
        cgrec.read(str(tmp_path / "walk*.npz"), temperature=T)


def test_several_pairs_of_files(tmp_path):
    paths, forces = [FOREIGN / "x-pos-1.xyz"] * 2, [FOREIGN / "x-frc-1.xyz"] * 2
    frames = cgrec.read(paths, temperature=T, forces_path=forces)
    assert frames.replicas.tolist() == [0] * 24 + [1] * 24
    np.testing.assert_allclose(frames.forces[24:], REFERENCE["forces"], atol=1e-4)
    with pytest.raises(ValueError, match="2 files of positions and 1 in forces_path"):
        cgrec.read(paths, temperature=T, forces_path=forces[0])
    made = FileSource(path=paths, forces_path=forces, temperature=T).make(
        tmp_path / "level0", seed=0
    )
    assert len(made) == 48


def test_several_files_of_other_sites_are_refused(tmp_path):
    first = npz(tmp_path / "a.npz", **OURS)
    other = npz(tmp_path / "b.npz", species=["O", "C"] * 3, **OURS)
    with pytest.raises(ValueError, match=r"b\.npz: site 0 is O and the topology says"):
        cgrec.read([first, other], temperature=T)


# --- arrays
# -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["L", "lattice", "cell_vectors", "box_vectors", "unitcell"])
def test_a_box_of_another_name_is_taken_and_named(tmp_path, name):
    path = npz(tmp_path / "a.npz", **{name: np.full(3, 2.0)}, **OURS)
    with pytest.warns(Remark, match=f"'{name}' is taken as box"):
        right(cgrec.read(path, temperature=T), box=2.0)


def test_an_unused_array_that_may_be_the_box_is_asked_about(tmp_path):
    path = npz(tmp_path / "a.npz", my_simulation=2 * np.eye(3), **OURS)
    with pytest.raises(
        ValueError, match="3 molecules and no box, and my_simulation is not used: is it the box"
    ):
        cgrec.read(path, temperature=T)
    right(cgrec.read(path, temperature=T, keys={"box": "my_simulation"}), box=2.0)
    right(cgrec.read(path, temperature=T, box="open"))


def test_arrays_not_used_are_named(tmp_path):
    path = npz(
        tmp_path / "a.npz", dipoles=np.zeros((24, 3, 2)), velocities=np.zeros((24, 6, 3)), **OURS
    )
    with pytest.warns(Remark, match="arrays not used: dipoles;"):
        right(cgrec.read(path, temperature=T))


def test_many_molecules_without_a_box_are_remarked(tmp_path):
    places = np.random.default_rng(0).random((30, 12, 3)) + 3 * np.arange(12)[:, None]
    np.savez(tmp_path / "a.npz", positions=places, species=["Ar"] * 12, length_unit="nm")
    with pytest.warns(Remark, match="12 molecules and no box: read as an open system"):
        cgrec.read(tmp_path / "a.npz", temperature=T)


def test_energies_beside_kinetic_ones(tmp_path):
    e = REFERENCE["energies"]
    kinetic = np.full_like(e, 11.0)
    path = npz(tmp_path / "a.npz", energies=np.stack([e, kinetic, e + kinetic], 1), **OURS)
    with pytest.warns(Remark, match="column 0 is taken as potential"):
        right(cgrec.read(path, temperature=T), energies=True)
    path = npz(tmp_path / "a.npz", energies=np.stack([e, -kinetic], 1), **OURS)
    with pytest.warns(Remark, match="are left out"):
        right(cgrec.read(path, temperature=T))
    right(cgrec.read(path, temperature=T, keys={"energies": "energies[0]"}), energies=True)


def test_boxes_of_another_number_of_frames_and_objects_are_refused(tmp_path):
    path = npz(tmp_path / "a.npz", box=np.full((7, 3), 2.0), **OURS)
    with pytest.raises(ValueError, match="24 frames of positions and 7 of box"):
        cgrec.read(path, temperature=T)
    with pytest.raises(ValueError, match="holds Python objects, which could run code"):
        cgrec.read(npz(tmp_path / "b.npz", positions=np.array([None, 1]), **OURS), temperature=T)


def test_a_ladder_of_temperatures_is_refused(tmp_path):
    path = npz(tmp_path / "a.npz", temperature=np.linspace(300, 400, 24), **OURS)
    with pytest.raises(
        ValueError, match="one number a frame, 350 K on average, and temperature=300"
    ):
        cgrec.read(path, temperature=T)


# --- arguments
# ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argument, value, why",
    [
        ("length_unit", "angstrom", "in nm and kJ/mol/nm by definition"),
        ("keys", {"forces": "f"}, "no names to choose"),
        ("lammps_units", "real", "it is no LAMMPS dump"),
        ("lj", {"sigma": 1}, "it is no LAMMPS dump"),
    ],
)
def test_an_argument_without_use_is_refused_with_the_reason(tmp_path, argument, value, why):
    frames = read("mdcrd.nc", species=CO, forces_path=FOREIGN / "mdfrc.nc")
    path = write(frames, tmp_path / "a.trr")
    with pytest.raises(ValueError, match=f"{argument} means nothing for trr: .*{why}"):
        cgrec.read(path, frames.system, temperature=T, **{argument: value})


def test_arrays_in_reduced_units_are_refused_with_the_way_that_works(tmp_path):
    """A chain of argon-like pairs in units of sigma and epsilon: multiplied as the message says, it
    is read right.
    """
    frames = read("mdcrd.nc", species=CO, forces_path=FOREIGN / "mdfrc.nc")
    sigma, epsilon = 0.34, 0.996
    x, f = np.asarray(frames.positions) / sigma, np.asarray(frames.forces) * sigma / epsilon
    np.savez(tmp_path / "r.npz", positions=x, forces=f)
    size = {"sigma": sigma, "epsilon": epsilon, "mass": 39.9}
    with pytest.raises(
        ValueError,
        match=r"multiplied before: positions and box by sigma in nm, forces by epsilon/sigma",
    ):
        cgrec.read(tmp_path / "r.npz", temperature=T, species=CO, lammps_units="lj", lj=size)
    np.savez(tmp_path / "nm.npz", positions=x * sigma, forces=f * epsilon / sigma)
    found = cgrec.read(
        tmp_path / "nm.npz",
        temperature=T,
        species=CO,
        length_unit="nm",
        force_unit="kJ/mol/nm",
        box="open",
    )
    np.testing.assert_allclose(found.positions, frames.positions, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.forces, frames.forces, rtol=1e-5, atol=1e-3)


def test_masses_and_species_beside_a_topology(tmp_path):
    frames = read("mdcrd.nc", species=CO)
    xtc, pdb = write(frames, tmp_path / "a.xtc"), write(frames, tmp_path / "a.pdb")
    for topology in (frames.system, pdb):
        found = cgrec.read(xtc, topology, temperature=T, masses={"C": 13.003})
        assert found.system.masses.tolist() == [
            13.003,
            15.999,
        ] * 3 and found.system.elements == tuple(CO)
        found = cgrec.read(xtc, topology, temperature=T, species=["N", "O"] * 3)
        assert found.system.names == ("N", "O") * 3 and found.system.masses[0] == pytest.approx(
            14.007
        )
        with pytest.raises(ValueError, match="masses: no site is called 'O1'; did you mean O"):
            cgrec.read(xtc, topology, temperature=T, masses={"O1": 16.0})
        with pytest.raises(ValueError, match="expected one a site for 6 sites"):
            cgrec.read(xtc, topology, temperature=T, masses=[12.0, 16.0])


def test_repartitioned_hydrogens_and_beads(tmp_path):
    gro = (
        "water\n3\n    1HOH     OW    1   0.000   0.000   0.000\n    1HOH    HW1    2   0.096   "
        "0.000   0.000\n"
    )
    (tmp_path / "a.gro").write_text(
        gro + "    1HOH    HW2    3  -0.024   0.093   0.000\n   0.0 0.0 0.0\n"
    )
    found = cgrec.read(tmp_path / "a.gro", temperature=T, masses={"H": 3.024})
    assert found.system.masses.tolist() == pytest.approx([15.999, 3.024, 3.024], abs=1e-3)
    assert found.system.elements == ("O", "H", "H")
    (tmp_path / "b.gro").write_text(
        "martini\n1\n    1W        W    1   0.000   0.000   0.000\n   5.0 5.0 5.0\n"
    )
    bead = cgrec.read(tmp_path / "b.gro", temperature=T, masses={"W": 72})
    assert (
        bead.system.masses.tolist() == [72.0]
        and bead.system.elements == ("X",)
        and bead.system.types == ("W",)
    )


# --- the cases of other users
# -------------------------------------------------------------------------------

PEPTIDE = list("CHHHCONHCHCHHHCONHCHHH")
REFUSED = {
    "01_no_id_permuted.lammpstrj": (
        {"topology": "water.pdb", "lammps_units": "real"},
        "no column id",
    ),
    "05_changing_number.lammpstrj": (
        {"topology": "water.pdb", "lammps_units": "real"},
        "192 sites and .* 195",
    ),
    "07_no_units.h5md": ({"topology": "water.pdb"}, "states no units"),
}
READ = {
    "02_units_time.lammpstrj": ({"topology": "water.pdb"}, 8, True),
    "03_vacuum_fff.lammpstrj": ({"species": PEPTIDE, "lammps_units": "real"}, 60, False),
    "07_no_units.h5md": (
        {"topology": "water.pdb", "length_unit": "angstrom", "force_unit": "kcal/mol/angstrom"},
        8,
        True,
    ),
    "08_mdcrd.nc": ({"species": PEPTIDE, "forces_path": "08_mdfrc.nc"}, 30, False),
    "x-pos-1.xyz": ({"forces_path": "x-frc-1.xyz"}, 30, False),
    "09_REF_forces.xyz": ({}, 25, True),
}


def case(name, options):
    if not CASES.exists():
        pytest.skip("the shared cases are not here")
    named = {k: CASES / v if k in ("topology", "forces_path") else v for k, v in options.items()}
    return cgrec.read(CASES / name, temperature=T, **named)


@pytest.mark.parametrize("name", REFUSED)
def test_cases_that_are_refused(name):
    options, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        case(name, options)


@pytest.mark.parametrize("name", READ)
def test_cases_that_are_read(name):
    options, n_frames, periodic = READ[name]
    frames = case(name, options)
    assert len(frames) == n_frames and (frames.box is not None) == periodic
    assert frames.need_forces().shape == frames.positions.shape


# --- trajectories larger than the memory
# --------------------------------------------------------------------


@pytest.mark.parametrize("compressed", [False, True])
def test_frames_in_temporary_files_are_the_same(tmp_path, monkeypatch, compressed):
    monkeypatch.setattr("cgrec.io.portions.MEMORY_BYTES", 100)
    monkeypatch.setattr("cgrec.io.portions.PORTION_BYTES", 1000)
    monkeypatch.setattr("cgrec.frames._PIECE_BYTES", 1000)
    monkeypatch.setattr("cgrec.io.arrays._IN_MEMORY", 10)
    wrapped = REFERENCE["positions"] % 2.0
    save = np.savez_compressed if compressed else np.savez
    save(
        tmp_path / "a.npz",
        positions=wrapped,
        forces=REFERENCE["forces"],
        species=CO,
        box=2.0,
        **OURS,
    )
    frames = cgrec.read(tmp_path / "a.npz", temperature=T, scratch=tmp_path)
    assert isinstance(frames.positions.base, np.memmap) and len(list(tmp_path.iterdir())) == 1
    bond = frames.positions[:, 1::2] - frames.positions[:, ::2]
    expected = REFERENCE["positions"][:, 1::2] - REFERENCE["positions"][:, ::2]
    np.testing.assert_allclose(bond, expected, atol=1e-9)
    np.testing.assert_array_equal(frames.forces, REFERENCE["forces"])
    saved = Frames.load(frames.save(tmp_path / "frames"))
    np.testing.assert_array_equal(saved.positions, frames.positions)
    picked = cgrec.read(
        tmp_path / "a.npz", temperature=T, start=20, stop=2, step=-3, selection="element O"
    )
    np.testing.assert_array_equal(picked.forces, REFERENCE["forces"][20:2:-3, 1::2])


def test_sites_of_lammps_data_are_called_by_element_and_type(tmp_path):
    """United atoms: the file numbers its types and names nothing."""
    head = "LAMMPS\n\n3 atoms\n2 atom types\n2 bonds\n1 bond types\n\n"
    head += "".join(f"0 20 {a}lo {a}hi\n" for a in "xyz")
    head += "\nMasses\n\n1 14.027\n2 15.035\n\nAtoms # molecular\n\n"
    x = [[1.0, 1, 1], [2.54, 1, 1], [3.0, 2.4, 1]]
    kinds = (2, 1, 2)
    atoms = [f"{i + 1} 1 {t} {p[0]} {p[1]} {p[2]}" for i, (t, p) in enumerate(zip(kinds, x))]
    bonds = "\nBonds\n\n1 1 1 2\n2 1 2 3\n"
    (tmp_path / "a.data").write_text(head + "\n".join(atoms) + "\n" + bonds)
    lines = ["ITEM: TIMESTEP", "0", "ITEM: NUMBER OF ATOMS", "3", "ITEM: BOX BOUNDS pp pp pp"]
    lines += ["0 20"] * 3 + ["ITEM: ATOMS id type x y z fx fy fz"]
    lines += [f"{i + 1} {t} {p[0]} {p[1]} {p[2]} 1 2 3" for i, (t, p) in enumerate(zip(kinds, x))]
    (tmp_path / "a.lammpstrj").write_text("\n".join(lines) + "\n")
    frames = cgrec.read(
        tmp_path / "a.lammpstrj",
        tmp_path / "a.data",
        temperature=300,
        lammps_units="real",
        check_units=False,
    )
    assert frames.system.names == ("C2", "C1", "C2")
