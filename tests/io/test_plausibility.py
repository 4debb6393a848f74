"""Frames, bonds and boxes that cannot be: cgrec/io/plausibility.py, bonding.py."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from samples import water_box

from cgrec.frames import Frames
from cgrec.io import read, write
from cgrec.io.bonding import add_sampled_bonds
from cgrec.io.plausibility import bad_frames, check_bonds, check_box
from cgrec.remarks import Remark
from cgrec.sources import FileSource
from cgrec.system import System

CASES = Path(__file__).parents[3] / "shared" / "cases"


def archive(frames: Frames, path: Path, **changed) -> Path:
    values = {
        "positions": frames.positions,
        "species": frames.system.elements,
        "length_unit": "nm",
        "box": frames.box,
    }
    np.savez(path, **{k: v for k, v in {**values, **changed}.items() if v is not None})
    return path


def test_whole_samples_are_let_through(tmp_path):
    frames = water_box()
    assert bad_frames(frames) == []
    check_bonds(frames, "a"), check_box(frames, "a")
    assert (
        len(
            read(archive(water_box(wrapped=True), tmp_path / "a.npz"), temperature=300).system.bonds
        )
        == 54
    )


@pytest.mark.parametrize("frame", [0, 7, 39])
def test_a_stretched_bond_of_one_frame_is_still_a_bond(frame):
    frames = water_box()
    x = frames.positions.copy()
    x[frame, 1] += 0.4 * (x[frame, 1] - x[frame, 0])
    bare = replace(frames.system, bonds=None, residues=None)
    assert len(add_sampled_bonds(bare, x, frames.box).bonds) == 54
    assert add_sampled_bonds(bare, x, frames.box).molecules.max() + 1 == 27


def test_molecules_that_touch_in_the_first_frame_stay_two():
    frames = water_box()
    x = frames.positions.copy()
    x[0, 3:6] += x[0, 0] - x[0, 3] + np.array([0.0, 0.0, 0.15])
    bare = replace(frames.system, bonds=None, residues=None)
    assert add_sampled_bonds(bare, x, frames.box).molecules.max() + 1 == 27


@pytest.mark.parametrize("order", ["elements together", "reversed"])
def test_another_order_of_atoms_is_refused_with_the_bond(order, tmp_path):
    frames = water_box()
    n = frames.n_sites
    index = (
        np.arange(n)[::-1]
        if order == "reversed"
        else np.concatenate([np.arange(k, n, 3) for k in range(3)])
    )
    path = archive(frames, tmp_path / "a.npz", positions=frames.positions[:, index], species=None)
    with pytest.raises(
        ValueError,
        match=r"bonds of the topology cannot be, such as .*nm long in frame 0 .*another order",
    ):
        read(path, frames.system, temperature=300)
    pdb = write(frames[0], tmp_path / "a.pdb")
    with pytest.raises(ValueError, match=r"a\.pdb shows cannot be here, such as .*another order"):
        read(path, pdb, temperature=300)
    with pytest.raises(ValueError, match="hydrogens are bonded to nothing"):
        read(path, species=frames.system.elements, temperature=300)


def test_cut_molecules_without_their_box_are_refused(tmp_path):
    path = archive(water_box(wrapped=True), tmp_path / "a.npz", box=None)
    with pytest.raises(
        ValueError,
        match="frames cannot be .frame 0: bond .* nm long.*the box that makes cut molecules",
    ):
        read(path, temperature=300, box="open")


@pytest.mark.parametrize("factor", [0.9, 0.95, 1.05, 1.1, 10])
def test_a_box_that_is_not_theirs_is_refused(factor, tmp_path):
    rng = np.random.default_rng(0)
    sites = System(names=("W",) * 64, masses=[18.0] * 64)
    frames = Frames(sites, 2.0 * rng.random((200, 64, 3)), 300.0, box=factor * 2.0 * np.eye(3))
    with pytest.raises(ValueError, match="molecules fill .* nm evenly up to sharp edges"):
        check_box(frames, "a")
    check_box(replace(frames, box=2.0 * np.eye(3)), "a")
    with pytest.raises(ValueError, match="g/cm3"):
        check_box(replace(frames, box=0.2 * np.eye(3)), "a")


def test_molecules_that_went_on_since_they_were_wrapped_are_in_their_box():
    """GROMACS wraps at every search of neighbours: until the next some are 0.05 nm outside."""
    rng = np.random.default_rng(0)
    sites = System(names=("W",) * 64, masses=[18.0] * 64)
    x = 2.7 * rng.random((400, 64, 3)) + 0.02 * rng.normal(size=(400, 64, 3))
    assert x.max() - x.min() > 1.03 * 2.7
    check_box(Frames(sites, x, 300.0, box=2.7 * np.eye(3)), "a")


def cores(n_frames: int, n: int = 20) -> Frames:
    """Beads in a row that keep 0.3 nm and more from each other."""
    rng = np.random.default_rng(1)
    x = np.cumsum(0.3 + 0.05 * rng.gamma(2.0, size=(n_frames, n, 1)), axis=1) * np.array(
        [1.0, 0, 0]
    )
    force = 100.0 * rng.normal(size=(n_frames, n, 3))
    return Frames(System(names=("B",) * n, masses=[50.0] * n), x, 300.0, forces=force)


@pytest.mark.parametrize("distance", [0.0, 0.017, 0.03, 0.1])
def test_coincident_beads_of_one_frame_are_found(distance):
    frames = cores(300)
    x = frames.positions.copy()
    x[123, 4] = x[123, 9] + [0, distance, 0]
    (bad,) = bad_frames(replace(frames, positions=x))
    assert bad.number == 123 and "site 4" in bad.reason and "site 9" in bad.reason and bad.geometry


@pytest.mark.parametrize("n_frames", [20, 300, 5000])
def test_sites_without_a_core_are_let_through(n_frames):
    """An ideal gas and a chain of Gaussian bonds: sites may meet."""
    rng = np.random.default_rng(2)
    system = System(names=("B",) * 8, masses=[50.0] * 8)
    gas = Frames(system, rng.random((n_frames, 8, 3)), 300.0)
    chain = Frames(system, np.cumsum(0.3 * rng.normal(size=(n_frames, 8, 3)), axis=1), 300.0)
    assert bad_frames(gas) == [] and bad_frames(chain) == []


@pytest.mark.parametrize("what", ["one site", "whole frame", "zero"])
def test_absurd_forces_of_one_frame_are_found(what):
    frames = cores(200)
    force = frames.forces.copy()
    if what == "one site":
        force[50, 3] = 1e7
    else:
        force[50] *= 1e6 if what == "whole frame" else 0.0
    (bad,) = bad_frames(replace(frames, forces=force))
    assert bad.number == 50 and not bad.geometry


def test_frames_in_another_unit_of_length_are_found():
    frames = cores(400)
    x = frames.positions.copy()
    x[100:160] *= 0.1
    assert [b.number for b in bad_frames(replace(frames, positions=x))] == list(range(100, 160))


def test_bad_frames_are_refused_or_dropped_on_request(tmp_path):
    frames = water_box()
    x = frames.positions.copy()
    x[5, 3] = x[5, 0] + [0.03, 0, 0]
    path = archive(frames, tmp_path / "a.npz", positions=x)
    with pytest.raises(
        ValueError,
        match=r"1 of 40 frames cannot be \(frame 5: .*drop_bad_frames=True leaves them out",
    ):
        read(path, temperature=300)
    with pytest.warns(Remark, match="1 of 40 frames cannot be"):
        kept = read(path, temperature=300, drop_bad_frames=True)
    np.testing.assert_allclose(kept.positions[5], x[6], atol=1e-6)
    assert len(read(path, temperature=300, check_units=False)) == 40
    with pytest.warns(Remark, match="left out"):
        FileSource(path=path, temperature=300, drop_bad_frames=True, need_forces=False).make(
            tmp_path / "level0", 0
        )
    source = json.loads((tmp_path / "level0" / "source.json").read_text())
    assert source["n_frames"] == 39 and source["checks"]["dropped"][0]["frames"] == [5]


def test_given_cases():
    if not CASES.exists():
        pytest.skip("shared cases are not here")
    with pytest.raises(ValueError, match="1 of 100 frames cannot be .frame 57"):
        read(CASES / "22_one_bad_frame.npz", temperature=300)
    with pytest.raises(ValueError, match="another order"):
        read(CASES / "23_other_order.npz", CASES / "water.pdb", temperature=300)
    frames = read(CASES / "34_stretched_first_frame.npz", temperature=300)
    assert frames.system.molecules.max() + 1 == 65


def test_a_selection_that_parts_a_constraint_is_refused(tmp_path):
    """Rigid molecules: their bonds never change. Whole molecules and forces left out are let
    through.
    """
    frames = water_box()
    forces = np.random.default_rng(0).normal(size=frames.positions.shape)
    path = archive(frames, tmp_path / "a.npz", forces=forces, force_unit="kJ/mol/nm")
    options = {"temperature": 300, "check_units": False}
    with pytest.raises(
        ValueError, match="selection='element O' parts .* constraints, such as .*whole"
    ):
        read(path, selection="element O", **options)
    assert read(path, selection="index 0:5", **options).n_sites == 6
    bare = archive(frames, tmp_path / "b.npz")
    assert read(bare, selection="element O", **options).n_sites == 27
