"""The closest two sites of every frame: compiled, or in numpy where nothing can be compiled."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..remarks import remark
from .periodic import close_pairs

#: Distances of all pairs are taken where sites are so few and there is no box, else those of pairs
#: within reach (nm).
_DENSE_SITES, _REACH = 40, 0.5
#: nm, the first reach that is tried for beads; it grows where nothing is that near.
_START = 0.05
#: Sites times frames up to which starting a compiler costs more than it saves.
_FEW = 20_000
#: Sites times frames that are looked at without compiled code: half a minute.
SLOW_BUDGET = 1_500_000


@dataclass(frozen=True)
class Nearest:
    """Of each frame, the closest sites.

    Attributes:
        distances: (n,) nm; infinite where no two sites are within reach.
        pairs: (n, 2) the sites.
        ratios: (n,) the smallest distance over the sum of covalent radii; exact where it is below
            the `limit` asked for.
        tight: (n, 2) the sites of that.
    """

    distances: NDArray[np.float64]
    pairs: NDArray[np.int64]
    ratios: NDArray[np.float64]
    tight: NDArray[np.int64]

    @classmethod
    def empty(cls, n: int) -> Nearest:
        """Of n frames, nothing known yet."""
        far = lambda: np.full(n, np.inf)  # noqa: E731
        sites = lambda: np.zeros((n, 2), np.int64)  # noqa: E731
        return cls(far(), sites(), far(), sites())

    def put(self, where: slice, other: Nearest) -> None:
        """Fill in some frames."""
        for name in ("distances", "pairs", "ratios", "tight"):
            getattr(self, name)[where] = getattr(other, name)


class NearestSites:
    """Finds them, portion by portion.

    Args:
        radii: (n_sites,) nm, covalent; 0 for beads.
        limit: ratio of a distance to the sum of radii below which it must be seen.
        size: sites times frames there are in all.
    """

    def __init__(self, radii: NDArray[np.float64], limit: float, size: int):
        self._radii = np.ascontiguousarray(radii, np.float64)
        self._least = max(_START, limit * 2 * float(radii.max(initial=0.0)) * (1 + 1e-9))
        self._library = _library() if size > _FEW else None
        #: Whether every frame can be looked at in a bearable time.
        self.fast = self._library is not None or size <= SLOW_BUDGET

    def __call__(
        self, positions: NDArray[np.floating], box: NDArray[np.floating] | None
    ) -> Nearest:
        """Of frames (n, n_sites, 3) nm in their box (3, 3) or (n, 3, 3), or None."""
        n, n_sites = positions.shape[:2]
        if n_sites < 2:
            return Nearest.empty(n)
        dense = box is None and n_sites <= _DENSE_SITES
        boxes = None if box is None else np.ascontiguousarray(box, np.float64)
        if self._library is None:
            found, left = Nearest.empty(n), np.arange(n)
        else:
            found = self._compiled(positions, boxes, 0.0 if dense else max(_REACH, self._least))
            left = np.flatnonzero(found.distances < 0)  # boxes too narrow for one image a pair
        for t in left:
            found.put(slice(t, t + 1), self._of_frame(positions[t], boxes, int(t), dense))
        return found

    def _compiled(
        self, positions: NDArray[np.floating], boxes: NDArray[np.float64] | None, most: float
    ) -> Nearest:
        assert self._library is not None
        kind = np.float32 if positions.dtype == np.float32 else np.float64
        x = np.ascontiguousarray(positions, kind)
        n, n_sites = x.shape[:2]
        values, sites = np.empty((n, 2)), np.empty((n, 2, 2), np.int64)
        name = "float" if kind is np.float32 else "double"
        getattr(self._library, f"closest_pairs_{name}")(
            n,
            n_sites,
            x.ctypes.data,
            None if boxes is None else boxes.ctypes.data,
            0 if boxes is None or boxes.ndim == 2 else 9,
            self._radii.ctypes.data,
            self._least,
            most,
            values.ctypes.data,
            sites.ctypes.data,
        )
        values[values > 1e100] = np.inf
        return Nearest(values[:, 0], sites[:, 0], values[:, 1], sites[:, 1])

    def _of_frame(
        self,
        positions: NDArray[np.floating],
        boxes: NDArray[np.float64] | None,
        t: int,
        dense: bool,
    ) -> Nearest:
        """One frame in numpy."""
        x = np.asarray(positions, float)
        box = boxes[t] if boxes is not None and boxes.ndim == 3 else boxes
        reach, last = (1e100 if dense else self._least), max(_REACH, self._least)
        near, vectors = close_pairs(x, reach, box)
        while not len(near) and reach < last:
            reach = min(1.5 * reach, last)
            near, vectors = close_pairs(x, reach, box)
        if not len(near):
            return Nearest.empty(1)
        r = np.sqrt((vectors**2).sum(-1))
        atoms = (self._radii[near] > 0).all(1)
        ratio = np.where(atoms, r / np.maximum(self._radii[near].sum(1), 1e-12), np.inf)
        first, tight = int(np.argmin(r)), int(np.argmin(ratio))
        return Nearest(r[[first]], near[[first]], ratio[[tight]], near[[tight]])


@lru_cache
def _library() -> ctypes.CDLL | None:
    from ..native import NoKernel, native_library  # torch, whose import takes seconds

    try:
        library = native_library(Path(__file__).with_name("nearest.cpp"))
    except NoKernel as reason:
        remark(
            f"{reason}; of long trajectories only a share of the frames is searched for sites "
            "that coincide"
        )
        return None
    integer, real, pointer = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p
    for function in (library.closest_pairs_float, library.closest_pairs_double):
        function.restype = None
        function.argtypes = [
            integer,
            integer,
            pointer,
            pointer,
            integer,
            pointer,
            real,
            real,
            pointer,
            pointer,
        ]
    return library
