"""`pierced_rings`: bonds that go through a ring, which no bond or angle tells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .. import bonds as graph
from ..system import System

Floats = NDArray[np.float64]
#: Atoms of a ring that is looked at: proline has five, the aromatic ones five and six. Larger ones,
#: such as the loop that a disulphide bond closes, may have a chain in them.
_SIZES = (3, 6)
#: nm from the centre of a ring within which the middle of a bond lies that goes through it.
_REACH = 0.25


def pierced_rings(system: System, positions: NDArray[np.floating]) -> dict[tuple[int, int], int]:
    """{(first atom of the ring, first atom of the bond): frames in which the bond goes through}.

    A bond goes through where it crosses the plane of the ring inside its edges (plane by least
    squares; inside by the winding number).

    Args:
        system: atoms and bonds.
        positions: (n_frames, n_sites, 3) nm, molecules whole.
    """
    rings = small_rings(system)
    x = np.asarray(positions, float)
    found: dict[tuple[int, int], int] = {}
    for ring in rings:
        apart = system.bonds[~np.isin(system.bonds, ring).any(1)]
        for t in range(len(x)):
            for k in _through(x[t], ring, apart).tolist():
                key = (ring[0], int(apart[k, 0]))
                found[key] = found.get(key, 0) + 1
    return found


def small_rings(system: System) -> list[list[int]]:
    """Atoms of each ring of three to six, in order around it."""
    near = system.neighbours()
    rings: dict[frozenset[int], list[int]] = {}
    for i, j in system.bonds.tolist():
        around = graph.distances(near, i, _SIZES[1] - 1, without=(i, j))
        if around.get(j, 0) >= _SIZES[0] - 1:
            ring = _back(near, around, j)
            rings.setdefault(frozenset(ring), ring)
    return list(rings.values())


def _back(near: Sequence[Sequence[int]], around: dict[int, int], end: int) -> list[int]:
    """The way from `end` to where `around` is counted from."""
    way = [end]
    while around[way[-1]]:
        here = around[way[-1]]
        way.append(next(k for k in near[way[-1]] if around.get(k, here) == here - 1))
    return way


def _through(x: Floats, ring: Sequence[int], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows of `pairs` (n, 2) whose bond goes through the ring, in positions (n_sites, 3)."""
    edge = x[list(ring)]
    centre = edge.mean(0)
    middle = x[pairs].mean(1) - centre
    some = np.flatnonzero((middle**2).sum(1) < _REACH**2)
    _, _, axes = np.linalg.svd(edge - centre)
    ends = (x[pairs[some]] - centre) @ axes.T  # in the plane, and above it
    above, below = ends[:, 0], ends[:, 1]
    rise = above[:, 2] - below[:, 2]
    crosses = above[:, 2] * below[:, 2] < 0
    share = above[:, 2] / np.where(crosses, rise, 1.0)
    point = above[:, :2] + share[:, None] * (below[:, :2] - above[:, :2])
    corners = (edge - centre) @ axes[:2].T
    arms = corners[None] - point[:, None]
    angles = np.arctan2(arms[..., 1], arms[..., 0])
    turns = np.diff(angles, axis=1, append=angles[:, :1])
    turns = (turns + np.pi) % (2 * np.pi) - np.pi
    inside = np.abs(turns.sum(1)) > np.pi
    return some[crosses & inside]
