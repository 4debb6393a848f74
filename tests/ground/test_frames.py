import numpy as np
import pytest
from contracts import random_frames, small_system

import cgrec
from cgrec import CollectiveVariable, Frames, System


def test_system_survives_json(tmp_path):
    system = small_system()
    system.save(tmp_path / "s.json")
    assert System.load(tmp_path / "s.json").fingerprint() == system.fingerprint()
    # none is handed on
    assert system.select(range(system.n_sites - 1)).fingerprint() != system.fingerprint()


def test_bonded_paths_of_a_branched_chain():
    system = small_system()
    assert system.bonded_paths(2) == [(0, 1), (1, 2), (2, 3), (2, 5), (3, 4)]
    assert (1, 2, 5) in system.bonded_paths(3) and len(system.bonded_paths(4)) == 4


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"names": (), "masses": []}, "at least one site"),
        ({"names": ("A",), "masses": [1.0, 2.0]}, "expected 1 entries"),
        ({"names": ("A",), "masses": [-1.0]}, "positive amu"),
        ({"names": ("A", "B"), "masses": [1, 1], "bonds": [(0, 2)]}, "site indices 0..1"),
    ],
)
def test_bad_system_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        System(**fields)


def test_sites_are_found_by_label_and_ambiguity_is_refused():
    system = System(names=("C", "C", "N"), masses=[1, 1, 1], residue_names=("ACE", "ALA", "ALA"))
    assert (system.site("ALA:C"), system.site("N"), system.site("#0")) == (1, 2, 0)
    with pytest.raises(KeyError, match="found 2"):
        system.site("C")


def with_nan(shape):
    array = np.zeros(shape)
    array[2] = np.nan
    return array


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"positions": np.zeros((0, 6, 3))}, "n_frames >= 1"),
        ({"positions": with_nan((4, 6, 3))}, "NaN or infinity, first at index 2"),
        ({"forces": np.zeros((4, 5, 3))}, r"expected shape \(4, 6, 3\), found \(4, 5, 3\)"),
        ({"forces": with_nan((4, 6, 3))}, "Frames.forces: found NaN"),
        ({"energies": np.zeros(3)}, "Frames.energies"),
        ({"box": np.zeros((2, 3))}, "Frames.box"),
        ({"weights": np.array([1, -1, 1, 1])}, "non-negative"),
        ({"temperature": 0.0}, "positive number of K"),
    ],
)
def test_bad_frames_are_refused(fields, message):
    good = {"system": small_system(), "positions": np.zeros((4, 6, 3)), "temperature": 300.0}
    with pytest.raises(ValueError, match=message):
        Frames(**{**good, **fields})


def test_frames_survive_the_disk_and_are_not_overwritten(tmp_path):
    frames = random_frames(
        7, weights=np.arange(1.0, 8.0), box=np.eye(3) * 2, replicas=np.arange(7) % 2
    )
    frames.save(tmp_path / "f")
    found = Frames.load(tmp_path / "f")
    for name in ("positions", "weights", "box", "replicas"):
        np.testing.assert_array_equal(getattr(found, name), getattr(frames, name))
    with pytest.raises(FileExistsError):
        frames.save(tmp_path / "f")


def test_truncated_array_is_named(tmp_path):
    random_frames(50).save(tmp_path / "f")
    path = tmp_path / "f" / "positions.npy"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="positions.npy"):
        Frames.load(tmp_path / "f")


def test_concatenation_keeps_replicas_apart_and_refuses_mixtures():
    a, b = random_frames(3), random_frames(4, seed=1)
    both = Frames.concatenate([a, b])
    assert len(both) == 7 and len(set(both.replicas[:3]) & set(both.replicas[3:])) == 0
    with pytest.raises(ValueError, match="temperatures differ"):
        Frames.concatenate([a, Frames(b.system, b.positions, 310.0)])


def test_blocks_are_replicas_or_times():
    frames = random_frames(12, replicas=np.tile([0, 1, 2], 4))
    assert [set(frames.replicas[i]) for i in frames.block_indices(3)] == [{0}, {1}, {2}]
    assert [i.tolist() for i in random_frames(6).block_indices(2)] == [[0, 1, 2], [3, 4, 5]]


def test_dihedral_has_the_iupac_sign():
    positions = np.array([[[1.0, 0, 0], [0, 0, 0], [0, 0, 1], [0, 1, 1]]])
    system = System(names=tuple("abcd"), masses=np.ones(4))
    value = CollectiveVariable("x", tuple("abcd")).of(Frames(system, positions, 300.0))
    assert value[0] == pytest.approx(np.pi / 2)  # seen along b->c, a turns clockwise onto d


def test_public_names_are_there():
    for name in ("System", "Frames", "Mapping", "Potential", "Level", "Chain", "read", "load"):
        assert getattr(cgrec, name) is not None
    with pytest.raises(AttributeError, match="Chain"):
        _ = cgrec.Nothing
