"""One molecule as the network sees it: heavy atoms in an order that does not depend on how they came,
and numbers that describe atoms, bonds and pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....bonds import distances, neighbours, ranks, refined

#: Elements the network was taught.
ELEMENTS = ("C", "N", "O", "S", "F", "Cl", "Br", "I", "Si", "P", "B", "Se")
#: Pairs of heavy atoms up to so many bonds apart are judged.
REACH = 6
#: Rings up to this size are seen.
LARGEST_RING = 8


class Molecule(NamedTuple):
    """The heavy atoms of one molecule: `elements`, bonded `hydrogens` of each, and `bonds` between
    them (i < j).
    """

    elements: tuple[str, ...]
    hydrogens: tuple[int, ...]
    bonds: tuple[tuple[int, int], ...]

    def neighbours(self) -> list[list[int]]:
        """Bonded heavy atoms of each."""
        return neighbours(len(self.elements), self.bonds)

    def reordered(self, order: Sequence[int]) -> Molecule:
        """The same molecule with atom order[k] at place k."""
        new = {old: k for k, old in enumerate(order)}
        bonds = sorted((min(new[i], new[j]), max(new[i], new[j])) for i, j in self.bonds)
        return Molecule(
            tuple(self.elements[k] for k in order),
            tuple(self.hydrogens[k] for k in order),
            tuple(bonds),
        )


class Features(NamedTuple):
    """What the network is given: `atom` (n_atoms, ·), `bond` (n_bonds, ·) of `bonds`, `pair`
    (n_pairs, ·) of `pairs`.
    """

    atom: NDArray[np.float32]
    bonds: NDArray[np.int64]
    bond: NDArray[np.float32]
    pairs: NDArray[np.int64]
    pair: NDArray[np.float32]


def canonical_order(molecule: Molecule) -> list[int]:
    """An order of the atoms that does not depend on how they came, but for atoms that symmetry
    makes alike.

    Ranks are refined by those of the neighbours; while some are equal, one of the first such goes
    before the others.
    """
    near = molecule.neighbours()
    numbers = ranks(list(zip(molecule.elements, molecule.hydrogens)))
    while True:
        numbers = refined(numbers, near)
        twice = np.flatnonzero(np.bincount(numbers) > 1)
        if not len(twice):
            return np.argsort(numbers).tolist()
        chosen = numbers.index(twice[0])
        numbers = ranks([(rank, i != chosen) for i, rank in enumerate(numbers)])


def features(molecule: Molecule) -> Features:
    """What the network is given of a molecule: elements, degrees, hydrogens, rings and how far
    atoms are apart.
    """
    near = molecule.neighbours()
    rings = [_rings(near, i, j) for i, j in molecule.bonds]
    smallest = [LARGEST_RING + 1] * len(near)
    for size, around in rings:
        for i in {i for ring in around for i in ring}:
            smallest[i] = min(smallest[i], size)
    atom = [
        _one_hot(ELEMENTS.index(e), len(ELEMENTS))
        + _one_hot(len(near[i]), 6)
        + _one_hot(h, 5)
        + _ring(smallest[i])
        for i, (e, h) in enumerate(zip(molecule.elements, molecule.hydrogens))
    ]
    together = {
        (a, b) for _, around in rings for ring in around for a in ring for b in ring if a < b
    }
    apart = {
        (i, j): d for i in range(len(near)) for j, d in distances(near, i, REACH).items() if i < j
    }
    pair = [[*_one_hot(d - 1, REACH), float(ij in together)] for ij, d in apart.items()]
    return Features(
        np.array(atom, np.float32),
        np.array(molecule.bonds, np.int64),
        np.array([_ring(size) for size, _ in rings], np.float32),
        np.array(list(apart), np.int64),
        np.array(pair, np.float32),
    )


def _one_hot(k: int, n: int) -> list[float]:
    return [float(i == min(k, n - 1)) for i in range(n)]


def _ring(size: int) -> list[float]:
    return _one_hot(size - 3, LARGEST_RING - 1)


def _rings(near: list[list[int]], i: int, j: int) -> tuple[int, list[list[int]]]:
    """Size of the smallest ring through a bond, and all rings of that size; (LARGEST_RING + 1,
    none) without.
    """
    away = distances(near, i, LARGEST_RING - 1, (i, j))
    if j not in away:
        return LARGEST_RING + 1, []
    paths = [[j]]
    for d in reversed(range(away[j])):
        paths = [[*path, k] for path in paths for k in near[path[-1]] if away.get(k) == d]
    return away[j] + 1, paths
