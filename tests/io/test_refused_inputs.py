"""Inputs that were read without a word, or ended in a traceback: each is refused, or said, by the
name of what is wrong.
"""

import numpy as np
import pytest
from samples import water_box

from cgrec import read
from cgrec.remarks import Remark


def npz(path, **changed):
    """A box of 27 waters as an npz, with some arrays changed."""
    frames = water_box()
    arrays = {
        "positions": frames.positions,
        "box": np.asarray(frames.box),
        "species": np.array(frames.system.names),
    }
    arrays["forces"] = np.random.default_rng(0).standard_normal(frames.positions.shape)
    np.savez(path, **{**arrays, "length_unit": "nm", "energy_unit": "kJ/mol", **changed})
    return path


def dump(path, *, columns=("fx fy fz",) * 3, bounds=("0 10",) * 3, types="111"):
    """A LAMMPS dump of three argon atoms, with columns and types a frame."""
    text = ""
    for k, (last, kind) in enumerate(zip(columns, types)):
        rows = "".join(f"{i + 1} {kind} {3.5 * i + 0.1 * k} 1 1 0.1 0.2 0.3\n" for i in range(3))
        text += f"ITEM: TIMESTEP\n{k}\nITEM: NUMBER OF ATOMS\n3\nITEM: BOX BOUNDS pp pp pp\n"
        text += "".join(f"{b}\n" for b in bounds) + f"ITEM: ATOMS id type x y z {last}\n{rows}"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "box",
    [
        0.0,
        -1.0,
        np.nan,
        np.inf,
        [1.0, 0.0, 1.0],
        [2.0, -2.0, 2.0],
        [[2.0, 0, 0], [4.0, 0, 0], [0, 0, 2.0]],
        [[2.0, 0, 0], [0.5, 2.0, 0], [0, 0, -2.0]],
    ],
)
def test_boxes_that_span_no_space_are_refused(box, tmp_path):
    in_file = npz(tmp_path / "a.npz", box=np.array(box))
    with pytest.raises(ValueError, match="a.npz: the box.*expected three vectors.*box='open'"):
        read(in_file, temperature=300)
    with pytest.raises(ValueError, match="b.npz: the box.*expected three vectors"):
        read(npz(tmp_path / "b.npz"), temperature=300, box=box)


def test_one_bad_box_among_many_is_named(tmp_path):
    boxes = np.repeat(np.asarray(water_box().box, float)[None], 40, axis=0)
    boxes[17] = 0
    with pytest.raises(ValueError, match="box of frame"):
        read(npz(tmp_path / "a.npz", box=boxes), temperature=300)


def test_a_left_handed_box_is_a_box(tmp_path):
    edges = np.asarray(water_box().box, float)
    frames = read(npz(tmp_path / "a.npz", box=edges[[1, 0, 2]]), temperature=300, check_units=False)
    assert np.linalg.det(frames.box) < 0


def test_crossed_bounds_of_a_dump(tmp_path):
    path = dump(tmp_path / "a.dump", bounds=("0 10", "10 0", "0 10"))
    with pytest.raises(ValueError, match="positive edges"):
        read(path, temperature=300, lammps_units="real", species="Ar")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (("fx fy fz", "fx fy fz", "vx vy vz"), "frame 2 has the columns.*without fx fy fz.*stop=2"),
        (
            ("vx vy vz", "fx fy fz", "fx fy fz"),
            "frame 1 has the columns.*not all frames have forces",
        ),
    ],
)
def test_dumps_whose_columns_change(columns, said, tmp_path):
    path = dump(tmp_path / "a.dump", columns=columns)
    with pytest.raises(ValueError, match=said):
        read(path, temperature=300, lammps_units="real", species="Ar")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"masses": [1.0, 2.0]}, r"masses: expected one a site for 81 sites, found shape \(2,\)"),
        ({"masses": {"O": -1.0, "H": 1.0}}, "has a mass of -1"),
        ({"elements": {"O": "Qq"}}, r"elements\['O'\]: expected the symbol.*'Qq'"),
        ({"elements": {"CX": "C"}}, "elements: no site is called 'CX'"),
        ({"step": 0}, "a.npz: step=0: expected a whole number other than 0"),
        ({"start": 1.5}, "a.npz: start=1.5: expected a whole number"),
        ({"stop": "10"}, "a.npz: stop='10': expected a whole number"),
        ({"step": True}, "a.npz: step=True: expected a whole number"),
        ({"species": "O"}, "bonds O-O.*expected at least 0.101 nm.*species="),
        ({"species": "N"}, "bonds N-N.*triple bond"),
        ({"species": "C"}, "bonds C-C.*triple bond"),
        ({"species": [1, 2, 2] * 27}, "numbers from 1 to 2.*H, He.*types"),
        ({"species": [3, 1, 2] * 27}, "numbers from 1 to 3"),
        ({"species": [8, 1, -1] * 27}, "-1 is no atomic number"),
    ],
)
def test_arguments_that_mean_nothing(given, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        read(npz(tmp_path / "a.npz"), **{"temperature": 300, "check_units": True, **given})


def test_species_as_bytes_and_as_atomic_numbers(tmp_path):
    by_name = read(npz(tmp_path / "a.npz"), temperature=300).system
    for species in (np.array([b"O", b"H", b"H"] * 27), np.array([8, 1, 1] * 27)):
        found = read(npz(tmp_path / "b.npz", species=species), temperature=300).system
        assert found.elements == by_name.elements and len(found.bonds) == len(by_name.bonds) == 54


def test_deuterium_has_its_own_mass(tmp_path):
    names = np.array(["O", "D", "D"] * 27)
    system = read(npz(tmp_path / "a.npz", species=names), temperature=300).system
    assert system.elements[:3] == ("O", "H", "H") and system.masses[1] == 2.014
    given = read(
        npz(tmp_path / "a.npz", species=names), temperature=300, masses={"D": 2.5, "O": 16.0}
    ).system
    assert given.masses[1] == 2.5
    head = '3\nLattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3\n'
    (tmp_path / "d.xyz").write_text(head + "O 0 0 0\nD 0.96 0 0\nD -0.24 0.93 0\n")
    with pytest.raises(ValueError, match=r"'D' is no chemical symbol.*masses=\{'H': 2.014\}"):
        read(tmp_path / "d.xyz", temperature=300)


@pytest.mark.parametrize("name", ["x-frc-1.xyz", "run_forces.xyz"])
def test_a_file_of_forces_in_the_place_of_positions(name, tmp_path):
    frames, rng = water_box(4), np.random.default_rng(1)
    text = ""
    for _ in range(4):
        rows = zip(frames.system.names, 0.02 * rng.standard_normal((81, 3)))
        text += "81\n i = 0\n" + "".join(f"{n} {v[0]:.6f} {v[1]:.6f} {v[2]:.6f}\n" for n, v in rows)
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match="By its name.*holds forces.*forces_path="):
        read(tmp_path / name, temperature=300, box=10.0)


def test_forces_that_are_all_zero(tmp_path):
    path = npz(tmp_path / "a.npz", forces=np.zeros((40, 81, 3)))
    with pytest.raises(ValueError, match="all forces are zero.*keys="):
        read(path, temperature=300)
    assert not read(path, temperature=300, check_units=False).forces.any()


def test_boxes_of_another_size_or_unit(tmp_path):
    box = np.asarray(water_box().box, float)
    with pytest.warns(Remark, match="half of each edge of the box"):
        read(npz(tmp_path / "a.npz", box=box * 10), temperature=300)
    with pytest.raises(
        ValueError, match="frames cannot be|bonded to nothing|would hold matter|cannot be, such as"
    ):
        read(npz(tmp_path / "a.npz", box=box * 0.5), temperature=300)
    far = npz(tmp_path / "b.npz", positions=water_box().positions * 1000)
    with pytest.raises(ValueError, match="frames cannot be|length unit|fill"):
        read(far, temperature=300)


@pytest.mark.parametrize("path", [None, 3, [None], ["a.npz", 3.0]])
def test_something_else_than_a_path_is_named(path):
    with pytest.raises(ValueError, match="path: expected a file, a pattern such as"):
        read(path, temperature=300)


@pytest.mark.parametrize("kelvin", ["108", [108], True, {"T": 300}])
def test_a_temperature_that_is_no_number_is_named(kelvin, tmp_path):
    np.savez(
        tmp_path / "a.npz",
        positions=np.zeros((3, 1, 3)),
        species=np.array(["Ar"]),
        length_unit="nm",
    )
    with pytest.raises(ValueError, match="a.npz: temperature=.*expected a number in K"):
        read(tmp_path / "a.npz", temperature=kelvin)


@pytest.mark.parametrize("kelvin", [108, np.float32(108), np.int64(108), np.array(108.0)])
def test_numbers_of_numpy_are_temperatures(kelvin, tmp_path):
    np.savez(
        tmp_path / "a.npz",
        positions=np.zeros((3, 1, 3)),
        species=np.array(["Ar"]),
        length_unit="nm",
    )
    assert read(tmp_path / "a.npz", temperature=kelvin).temperature == 108


def test_paths_may_come_from_a_generator(tmp_path):
    np.savez(
        tmp_path / "a.npz",
        positions=np.zeros((3, 1, 3)),
        species=np.array(["Ar"]),
        length_unit="nm",
    )
    assert len(read(tmp_path.glob("*.npz"), temperature=300)) == 3
