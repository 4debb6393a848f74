"""Pairs counted by cells against all pairs with all images, with and without a compiler."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from cgrec import Frames, System
from cgrec.native import NoKernel
from cgrec.observables import pair_counts, radial_distributions, rdf
from cgrec.observables.pair_counts import half_width, pair_rows, pair_tables

CUBE, OBLONG = 2.4 * np.eye(3), np.diag([1.1, 2.0, 3.7])
TRICLINIC = np.array([[2.2, 0, 0], [0.7, 2.2, 0], [-0.6, 0.8, 2.2]])
#: Lower triangle, upper triangle and none: lattice vectors of any software.
SKEWED = np.array([[2.0, 0.3, -0.2], [0.4, 2.3, 0.5], [-0.7, 0.2, 1.9]])


@pytest.fixture(params=["compiled", "plain"])
def library(request, monkeypatch):
    """Both ways to count."""
    if request.param == "plain":
        monkeypatch.setattr(pair_counts, "_library", lambda: None)
    elif pair_counts._library() is None:
        pytest.skip("no C++ compiler")


def mixture(numbers, n_frames=2, box=CUBE, seed=1, spread=3, bonds=None):
    """Sites of several types at random, each in another cell of the lattice of boxes."""
    rng = np.random.default_rng(seed)
    names = tuple(t for t, n in numbers.items() for _ in range(n))
    x = rng.random((n_frames, len(names), 3)) + rng.integers(
        -spread, spread + 1, (n_frames, len(names), 3)
    )
    return Frames(
        System(names=names, masses=np.ones(len(names)), bonds=bonds), x @ box, 300.0, box=box
    )


def counted(frames, k, types_a, types_b, edges, intermolecular=False):
    """Ordered pairs of frame k by distance: every site, every image, no cells."""
    types, owner = np.array(frames.system.types), frames.system.molecules
    x, box = frames.positions[k], frames.boxes()[k]
    a, b = np.flatnonzero(np.isin(types, types_a)), np.flatnonzero(np.isin(types, types_b))
    d = x[a][:, None] - x[b]
    d -= np.floor(d @ np.linalg.inv(box)) @ box
    images = np.array(list(product(range(-2, 3), repeat=3))) @ box
    r = np.linalg.norm(d[:, :, None] + images, axis=-1).min(-1)
    same = owner[a][:, None] == owner[b] if intermolecular else a[:, None] == b
    return np.histogram(r[~same], edges)[0], int((~same).sum())


@pytest.mark.parametrize(
    "box", [CUBE, OBLONG, TRICLINIC, SKEWED], ids=["cube", "oblong", "triclinic", "skewed"]
)
@pytest.mark.parametrize("share", [0.2, 0.61, 1.0])
def test_every_pair_is_counted_once_up_to_half_the_box(box, share, library):
    frames = mixture({"A": 90, "B": 41, "C": 1}, box=box)
    edges = np.linspace(0, share * half_width(frames)[0], 38)
    ends = [
        (("A",), ("A",)),
        (("A",), ("B",)),
        (("B",), ("A",)),
        (("A", "C"), ("A", "B")),
        (("C",), ("B",)),
    ]
    tables = pair_tables(frames, ends, edges)
    shells = 4 / 3 * np.pi * np.diff(edges**3) / np.linalg.det(box)
    for one, table in zip(ends, tables):
        for k in range(len(frames)):
            counts, n_pairs = counted(frames, k, *one, edges)
            assert table.n_pairs == n_pairs
            np.testing.assert_allclose(table.rows[k] * shells * n_pairs, counts, atol=1e-9)
        np.testing.assert_array_equal(pair_rows(frames, *one, edges).rows, table.rows)


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3, 20, 700])
def test_few_sites_and_many(n, library):
    frames = mixture({"A": n}, n_frames=1, box=np.diag([2.0, 2.5, 9.0]))
    edges = np.linspace(0, 1.0, 21)
    counts, n_pairs = counted(frames, 0, ("A",), ("A",), edges)
    shells = 4 / 3 * np.pi * np.diff(edges**3) / 45.0
    np.testing.assert_allclose(
        pair_rows(frames, ("A",), ("A",), edges).rows[0] * shells * n_pairs, counts, atol=1e-9
    )


def test_pairs_within_a_molecule_are_left_out(library):
    bonds = [(k, k + 1) for k in range(59) if k % 4 != 3]
    frames = mixture({"A": 30, "B": 30}, box=TRICLINIC, bonds=bonds)
    edges = np.linspace(0, half_width(frames)[0], 12)
    shells = 4 / 3 * np.pi * np.diff(edges**3) / np.linalg.det(TRICLINIC)
    for one in ((("A",), ("A",)), (("A",), ("B",))):
        rows, n_pairs = pair_rows(frames, *one, edges, intermolecular=True)
        counts, expected = counted(frames, 1, *one, edges, intermolecular=True)
        assert n_pairs == expected
        np.testing.assert_allclose(rows[1] * shells * n_pairs, counts, atol=1e-9)


def test_edges_need_not_begin_at_zero_nor_be_even(library):
    frames = mixture({"A": 120}, n_frames=1)
    edges = np.array([0.11, 0.12, 0.5, 0.51, 0.9, 1.15])
    counts, n_pairs = counted(frames, 0, ("A",), ("A",), edges)
    shells = 4 / 3 * np.pi * np.diff(edges**3) / 2.4**3
    np.testing.assert_allclose(
        pair_rows(frames, ("A",), ("A",), edges).rows[0] * shells * n_pairs, counts, atol=1e-9
    )


def test_a_box_that_changes_is_each_frames_own(library):
    wide = mixture({"A": 50}, box=CUBE)
    boxes = np.stack([CUBE, 1.3 * CUBE])
    frames = Frames(
        wide.system, wide.positions * np.array([1, 1.3])[:, None, None], 300.0, box=boxes
    )
    edges = np.linspace(0, 1.0, 11)
    table = pair_rows(frames, ("A",), ("A",), edges)
    for k in range(2):
        counts, n_pairs = counted(frames, k, ("A",), ("A",), edges)
        shells = 4 / 3 * np.pi * np.diff(edges**3) / np.linalg.det(boxes[k])
        np.testing.assert_allclose(table.rows[k] * shells * n_pairs, counts, atol=1e-9)


def test_a_crystal_has_its_shells(library):
    """Simple cubic, 0.3 nm: 6, 12 and 8 neighbours at 0.3, 0.424 and 0.520 nm."""
    x = 0.3 * np.stack(np.meshgrid(*[np.arange(6)] * 3, indexing="ij"), -1).reshape(1, -1, 3)
    frames = Frames(System(names=("A",) * 216, masses=np.ones(216)), x, 300.0, box=1.8 * np.eye(3))
    g = rdf(frames, "A", "A", 0.56, bins=32)
    n = np.cumsum(g.g * 4 / 3 * np.pi * np.diff(np.linspace(0, 0.56, 33) ** 3) * 215 / 1.8**3)
    # up to 0.28, 0.35, 0.49 and 0.56 nm
    assert n[[15, 19, 27, 31]] == pytest.approx([0, 6, 18, 26])


def test_positions_of_single_precision_on_disk(tmp_path, library):
    frames = mixture({"A": 60})
    small = Frames(frames.system, frames.positions.astype("f4"), 300.0, box=frames.box)
    loaded = Frames.load(small.save(tmp_path / "frames"))
    whole = Frames(frames.system, small.positions.astype(float), 300.0, box=frames.box)
    for found, expected in zip(radial_distributions(loaded), radial_distributions(whole)):
        np.testing.assert_array_equal(found.g, expected.g)


def test_no_compiler_is_said_and_the_numbers_are_the_same(monkeypatch):
    frames = mixture({"A": 40, "B": 30}, box=SKEWED)
    expected = radial_distributions(frames)
    monkeypatch.setattr(
        "cgrec.native.native_library", lambda source: (_ for _ in ()).throw(NoKernel("no compiler"))
    )
    pair_counts._library.cache_clear()
    try:
        with pytest.warns(
            UserWarning, match="no compiler; radial distribution functions of large boxes"
        ):
            found = radial_distributions(frames)
    finally:
        pair_counts._library.cache_clear()
    for a, b in zip(found, expected):
        np.testing.assert_array_equal(a.g, b.g)


def test_what_cannot_be_counted_is_refused():
    frames = mixture({"A": 9, "B": 1})
    with pytest.raises(ValueError, match=r"no pair of types B and B; the types are \['A', 'B'\]"):
        pair_rows(frames, ("B",), ("B",), np.linspace(0, 1, 5))
    with pytest.raises(ValueError, match="no pair of types A and X"):
        rdf(frames, "A", "X", 1.0)
    with pytest.raises(
        ValueError, match=r"r_max <= 1\.2000 nm, half the smallest width of the box, found 1\.21"
    ):
        rdf(frames, "A", "A", 1.21)
    with pytest.raises(ValueError, match="no box"):
        rdf(Frames(frames.system, frames.positions, 300.0), "A", "A", 1.0)
