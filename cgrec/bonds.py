"""The bond graph: which sites hang together, how far apart they are in bonds, and which of them it
cannot tell apart.

Functions take pairs of sites (n_bonds, 2), or `near`, the list of bonded sites of each site, as
`neighbours` gives it. A `System` has the same as properties of its own bonds.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components as label_components

Indices = NDArray[np.int64]
#: Bonded sites of each site.
Near = Sequence[Sequence[int]]


def as_pairs(pairs: ArrayLike | None) -> Indices:
    """(n, 2) of any list of pairs; (0, 2) where there are none."""
    if pairs is None:
        return np.zeros((0, 2), np.int64)
    return np.asarray(pairs, np.int64).reshape(-1, 2)


def neighbours(n: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The sites joined to each of `n` sites, in the order of the pairs."""
    near: list[list[int]] = [[] for _ in range(n)]
    for i, j in pairs:
        near[i].append(j)
        near[j].append(i)
    return near


def connected_components(n: int, pairs: ArrayLike) -> Indices:
    """(n,) component of each of `n` sites joined by `pairs`, numbered in order of first site."""
    i, j = as_pairs(pairs).T
    graph = coo_array((np.ones(len(i)), (i, j)), shape=(n, n))
    labels = label_components(graph, directed=False)[1]
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)


def members_of(labels: Indices) -> tuple[dict[int, Indices], Indices]:
    """{label: the indices that have it, in order}, and the place (n,) of each index among those of
    its label.

    Args:
        labels: (n,) not negative.
    """
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
    place = np.empty(len(labels), np.int64)
    place[order] = np.arange(len(labels)) - np.repeat(starts, np.diff(starts, append=len(labels)))
    return dict(zip(labels[order][starts].tolist(), np.split(order, starts[1:]))), place


def paths(near: Near, n: int) -> list[tuple[int, ...]]:
    """Simple paths of `n` sites along bonds, each once: n = 2 bonds, 3 angles, 4 proper dihedrals."""
    found: list[tuple[int, ...]] = [(i,) for i in range(len(near))]
    for _ in range(n - 1):
        found = [(*p, k) for p in found for k in near[p[-1]] if k not in p]
    return sorted(p for p in found if p[0] < p[-1])


def shortest_paths(near: Near, start: int, allowed: Collection[int]) -> dict[int, list[int]]:
    """{site: shortest path to it from `start` inside `allowed`}."""
    found, queue = {start: [start]}, [start]
    for site in queue:
        for k in near[site]:
            if k in allowed and k not in found:
                found[k] = [*found[site], k]
                queue.append(k)
    return found


def distances(
    near: Near, start: int, reach: int, without: tuple[int, int] | None = None
) -> dict[int, int]:
    """{site: bonds from `start`} of all sites within `reach`, not using the bond `without`."""
    found, edge = {start: 0}, {start}
    for d in range(1, reach + 1):
        edge = {j for i in edge for j in near[i] if j not in found and {i, j} != set(without or ())}
        found.update(dict.fromkeys(sorted(edge), d))
    return found


def close_pairs(n: int, pairs: Indices, bonds: int = 2) -> Indices:
    """(n_pairs, 2) both orders of all pairs of `n` sites at most `bonds` bonds apart, sorted."""
    i, j = pairs.T
    step = coo_array((np.ones(len(i)), (i, j)), shape=(n, n))
    bonded = (step + step.T).tocsr()
    reached = near = bonded
    for _ in range(bonds - 1):
        reached = reached @ bonded
        near = near + reached
    near = near.tocoo()
    found = np.stack([near.row, near.col], 1).astype(np.int64)
    return np.unique(found[found[:, 0] != found[:, 1]], axis=0)


def generations(near: Near, roots: Sequence[int]) -> list[dict[int, int]]:
    """{site: its parent} of a spanning forest that grows from `roots`, one table a generation."""
    seen, front, found = set(roots), list(roots), []
    while front:
        edges = [(i, j) for i in front for j in near[i]]
        fresh = {j: i for i, j in edges if j not in seen}
        front = list(fresh)
        seen.update(front)
        if fresh:
            found.append(fresh)
    return found


def beyond(near: Near, b: int, c: int) -> list[int] | None:
    """Sites that turn with c about the bond b-c while those of b stay; None in a ring, where
    nothing turns freely.
    """
    found, queue = {c}, [c]
    while queue:
        new = set(near[queue.pop()]) - found - {b}
        found |= new
        queue += new
    return None if found & set(near[b]) != {c} else sorted(found)


def ranks(keys: Sequence[Hashable]) -> list[int]:
    """The place of each key among the sorted different ones."""
    place: Mapping[Hashable, int] = {key: k for k, key in enumerate(sorted(set(keys)))}  # type: ignore[type-var]
    return [place[key] for key in keys]


def refined(numbers: list[int], near: Near) -> list[int]:
    """A number per site, equal for sites of equal number whose surroundings are equal, too.

    Weisfeiler-Lehman refinement (B. Weisfeiler and A. Leman, Nauchno-Technicheskaya Informatsia 2,
    12 (1968)): a site is told from another by the numbers of its neighbours, until nothing changes.
    """
    while True:
        around = [tuple(sorted(numbers[j] for j in bonded)) for bonded in near]
        finer = ranks(list(zip(numbers, around)))
        if len(set(finer)) == len(set(numbers)):
            return numbers
        numbers = finer


def four_different(near: Near, numbers: Sequence[int]) -> list[tuple[int, ...]]:
    """Sites with four neighbours of four different `numbers`, each followed by these neighbours:
    with numbers from `refined` the stereocentres that a bond graph knows of.
    """
    return [
        (i, *around)
        for i, around in enumerate(near)
        if len(around) == 4 and len({numbers[j] for j in around}) == 4
    ]
