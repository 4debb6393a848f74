"""Pairs of sites in a periodic box counted by distance: what every g(r), shell and Kirkwood-Buff
integral begins with.

Public: `pair_tables` -> `PairTable`s of several pairs of types in one pass, `pair_rows` of one,
`half_width`.

Cells half of the range wide, in C++ where there is a compiler: time grows with the pairs within the
range. Without one all pairs are looked at, in portions.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..cell import widths
from ..frames import Frames
from ..remarks import remark
from ..system import System

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
#: The types at either end; types of one tuple are not told apart.
Ends = tuple[Sequence[str], Sequence[str]]
#: Pairs looked at at a time where there is no compiler: 24 MB of vectors.
_PORTION = 1_000_000


class PairTable(NamedTuple):
    """`rows` (n_frames, bins): g(r) of each single frame, as `rdf` defines it. `n_pairs`: the
    ordered pairs it counts.
    """

    rows: Array
    n_pairs: int


def pair_rows(
    frames: Frames,
    types_a: Sequence[str],
    types_b: Sequence[str],
    edges: Array,
    intermolecular: bool = False,
) -> PairTable:
    """`pair_tables` of one pair of ends."""
    return pair_tables(frames, [(types_a, types_b)], edges, intermolecular)[0]


def pair_tables(
    frames: Frames, ends: Sequence[Ends], edges: Array, intermolecular: bool = False
) -> list[PairTable]:
    """g(r) of each single frame, as `rdf` defines it, of each of `ends`.

    Args:
        frames: with a box, one frame in memory at a time.
        ends: the types at either end.
        edges: (bins + 1,) nm, rising.
        intermolecular: as for `rdf`.

    Raises:
        ValueError: as `rdf`.
    """
    half, boxes = half_width(frames)
    if edges[-1] > half:
        raise ValueError(
            f"rdf: expected r_max <= {half:.4f} nm, half the smallest width of the box, found "
            f"{edges[-1]}"
        )
    numbers = [_number_of_pairs(frames.system, *one, intermolecular) for one in ends]
    kinds = sorted({kind for one in ends for kind in (*one[0], *one[1])} & {*frames.system.types})
    shares = np.stack([_shares(kinds, *one) for one in ends])
    wanted = np.asarray(shares.any(axis=0))
    counter = _Counter(frames.system, kinds, wanted, np.asarray(edges, float), intermolecular)
    rows = np.empty((len(ends), len(frames), len(edges) - 1))
    for k, box in enumerate(boxes):
        counts = counter(np.asarray(frames.positions[k], float), box)
        rows[:, k] = (shares @ counts) * abs(np.linalg.det(box))
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    return [PairTable(row / (shells * number), number) for row, number in zip(rows, numbers)]


def half_width(frames: Frames) -> tuple[float, Array]:
    """Half the smallest width of any frame's box, nm: up to there the nearest image is the only
    one; and the boxes (n_frames, 3, 3).

    Raises:
        ValueError: no box.
    """
    boxes = frames.boxes()
    if boxes is None:
        raise ValueError(
            "these Frames have no box: a distribution in a liquid needs a periodic system; "
            "give Frames.box"
        )
    rows = np.asarray(boxes, float)
    return float(widths(rows).min()) / 2, rows


def _number_of_pairs(
    system: System, types_a: Sequence[str], types_b: Sequence[str], intermolecular: bool
) -> int:
    """Ordered pairs of a site of `types_a` and another of `types_b`."""
    types = np.array(system.types)
    owner = system.molecules if intermolecular else np.arange(system.n_sites)
    a, b = (
        np.bincount(owner[np.isin(types, some)], minlength=system.n_sites)
        for some in (types_a, types_b)
    )
    number = int(a.sum() * b.sum() - (a * b).sum())
    if number == 0:
        raise ValueError(
            f"rdf: no pair of types {', '.join(types_a)} and {', '.join(types_b)}; "
            f"the types are {sorted(set(system.types))}"
        )
    return number


def _shares(kinds: Sequence[str], types_a: Sequence[str], types_b: Sequence[str]) -> Indices:
    """(n_pairs_of_kinds,) ordered pairs that one unordered pair of each two kinds stands for, see
    `_numbered`.
    """
    n = len(kinds)
    found = np.zeros(n * (n + 1) // 2, np.int64)
    for i, first in enumerate(kinds):
        for j in range(i, n):
            forth = first in types_a and kinds[j] in types_b
            back = kinds[j] in types_a and first in types_b
            found[_numbered(n)[i, j]] = int(forth) + int(back)
    return found


@lru_cache
def _numbered(n: int) -> Indices:
    """(n, n) symmetric: a number for every two kinds."""
    numbers = np.zeros((n, n), np.int64)
    i, j = np.triu_indices(n)
    numbers[i, j] = numbers[j, i] = np.arange(len(i))
    return numbers


class _Counter:
    """Unordered pairs of one frame by kinds and distance; made once for all frames of a System.

    Args:
        kinds: types told apart; sites of others are left out.
        wanted: (n_pairs_of_kinds,) which are counted.
        edges: (bins + 1,) nm.
        intermolecular: leave out pairs within one molecule.
    """

    def __init__(
        self,
        system: System,
        kinds: Sequence[str],
        wanted: NDArray[np.bool_],
        edges: Array,
        intermolecular: bool,
    ) -> None:
        number = {kind: k for k, kind in enumerate(kinds)}
        every = np.array([number.get(kind, -1) for kind in system.types])
        self.sites = np.flatnonzero(every >= 0)
        self.kind = every[self.sites]
        self.edges = edges
        self.wanted = wanted
        self.owner = np.ascontiguousarray(system.molecules[self.sites]) if intermolecular else None
        self.row = _numbered(len(kinds)).copy()
        self.row[~wanted[self.row]] = -1

    def __call__(self, x: Array, box: Array) -> Indices:
        """(n_pairs_of_kinds, bins) of the sites x (n_sites, 3) nm in box (3, 3) nm."""
        x = np.ascontiguousarray(x[self.sites])
        counts = np.zeros((len(self.wanted), len(self.edges) - 1), np.int64)
        library = _library()
        if library is None:
            self._by_brute_force(x, box, counts)
            return counts
        library.pair_counts(
            len(x),
            x,
            np.ascontiguousarray(box, float),
            counts.shape[1],
            self.edges,
            len(self.row),
            self.kind,
            None if self.owner is None else self.owner.ctypes.data,
            self.row,
            counts,
        )
        return counts

    def _by_brute_force(self, x: Array, box: Array, counts: Indices) -> None:
        members = [np.flatnonzero(self.kind == k) for k in range(len(self.row))]
        for i, j in zip(*np.triu_indices(len(self.row))):
            row = self.row[i, j]
            if row < 0:
                continue
            for distances in _distances(x, box, members[i], members[j], self.owner):
                counts[row] += np.histogram(distances, self.edges)[0]
            if i == j:
                counts[row] //= 2


def _distances(
    x: Array, box: Array, a: Indices, b: Indices, owner: Indices | None
) -> Iterator[Array]:
    """Nearest-image distances of all ordered pairs but those of one owner, some at a time."""
    owner = np.arange(len(x)) if owner is None else owner
    fractional = x @ np.linalg.inv(box)
    step = max(1, _PORTION // len(b)) if len(b) else len(a)
    for start in range(0, len(a), step):
        some = a[start : start + step]
        difference = fractional[some, None] - fractional[b]
        difference = (difference - np.round(difference))[owner[some, None] != owner[b]]
        yield np.linalg.norm(difference @ box, axis=1)


@lru_cache
def _library() -> ctypes.CDLL | None:
    from ..native import NoKernel, native_library  # torch, whose import takes seconds

    try:
        library = native_library(Path(__file__).with_name("pair_counts.cpp"))
    except NoKernel as reason:
        remark(f"{reason}; radial distribution functions of large boxes take many times as long")
        return None
    integer, pointer = ctypes.c_int64, ctypes.c_void_p
    reals, integers = (np.ctypeslib.ndpointer(dtype, flags="C") for dtype in (np.float64, np.int64))
    library.pair_counts.restype = None
    library.pair_counts.argtypes = [
        integer,
        reals,
        reals,
        integer,
        reals,
        integer,
        integers,
        pointer,
        integers,
        integers,
    ]
    return library
