"""Beads as people draw them: a small network, taught by 2,000 hand-made mappings of organic
molecules, and a grouping.

The network reads elements and bonds alone and gives, for pairs of nearby heavy atoms, the log-odds
that a person would put them into one bead; the grouping looks for the connected beads of highest
total log-odds. Trained and measured by scripts/make_learned_mapping.py; what it reached is in
cgrec/data/learned_mapping/about.json.

Sources. Data: the HAM set of human-annotated mappings (CC0) and the idea of learning it, Li,
Wellawatte, Chakraborty, Gandhi, Xu, White, Chem. Sci. 11, 9524 (2020). Grouping: greedy additive
edge contraction and moves after Keuper et al., ICCV (2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import heapify, heappop, heapreplace
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ....system import System
from ...linear import Mapping
from ...sites import from_partition
from .grouping import Partition, group
from .molecule import ELEMENTS, Features, Molecule, canonical_order, features

if TYPE_CHECKING:
    from .network import PairNetwork


def learned_beads(system: System, n_sites: int | Sequence[int] | None = None) -> Partition:
    """Beads as a person would draw them, for any number of beads.

    Hydrogens stay with the atom they are bonded to. Every bead is connected. Only elements and
    bonds are read: the order of the atoms plays no part, and molecules that are the same get the
    same beads (up to their symmetry). People drew beads of two or three heavy atoms, ten at most:
    larger ones are a guess.

    Args:
        system: with elements and bonds.
        n_sites: number of beads. None: the network chooses. An int: in all, shared among the
            molecules in proportion to their heavy atoms. A sequence: for each molecule, in the
            order of `System.molecules`.

    Returns:
        Atom indices of each bead, sorted; beads in the order of their first atoms.

    Raises:
        ValueError: an element unknown or, in a molecule of several heavy atoms, not taught
            (ELEMENTS); more beads than heavy atoms, or fewer than molecules.
    """
    _need_elements(system)
    near, molecules = system.neighbours(), _molecules(system)
    beads = [
        sorted(atom for group in bead for atom in groups[group])
        for groups, n in zip(molecules, _shares(system, molecules, n_sites))
        for bead in _beads_of(system, groups, near, n)
    ]
    return sorted(beads)


@dataclass(frozen=True)
class Learned:
    """Beads of `learned_beads`, each at its centre of mass.

    Attributes:
        n_sites: see `learned_beads`.
    """

    n_sites: int | Sequence[int] | None = None

    def __call__(self, system: System) -> Mapping:
        """The Mapping; ValueError: see `learned_beads`."""
        return from_partition(system, learned_beads(system, self.n_sites))


def _need_elements(system: System) -> None:
    if "X" in system.elements:
        i = system.elements.index("X")
        raise ValueError(
            "learned_beads: expected a chemical element at every site, found none ('X') at "
            f"site {i} "
            f"({system.labels[i]}); give System.elements, or group the sites by a rule that "
            "needs no chemistry"
        )


def _molecules(system: System) -> list[Partition]:
    """For each molecule its groups: a heavy atom first, then its hydrogens."""
    near = system.neighbours()
    return [_groups(system, atoms.tolist(), near) for atoms in system.molecule_sites()]


def _groups(system: System, atoms: list[int], near: list[list[int]]) -> Partition:
    heavy = [i for i in atoms if system.elements[i] != "H"]
    if not heavy:  # hydrogen itself
        return [atoms]
    groups = {i: [i] for i in heavy}
    for i in sorted(set(atoms) - set(heavy)):
        hosts = [j for j in near[i] if j in groups]
        groups[min(hosts, default=heavy[0])].append(i)
    return list(groups.values())


def _shares(
    system: System, molecules: list[Partition], n_sites: int | Sequence[int] | None
) -> Sequence[int | None]:
    """Beads of each molecule."""
    sizes = [len(groups) for groups in molecules]
    if n_sites is None:
        return [None] * len(sizes)
    if not isinstance(n_sites, Sequence):
        if not len(sizes) <= n_sites <= sum(sizes):
            raise ValueError(
                f"learned_beads: expected {len(sizes)} (one a molecule) to {sum(sizes)} beads "
                "(one a heavy atom), found "
                f"n_sites = {n_sites}; a bead lies in one molecule and hydrogens stay with "
                "their heavy atoms"
            )
        return _in_proportion(sizes, n_sites)
    if len(n_sites) != len(sizes):
        raise ValueError(
            f"learned_beads: expected n_sites for each of {len(sizes)} molecules, found "
            f"{len(n_sites)}"
        )
    for groups, size, n in zip(molecules, sizes, n_sites):
        if not 1 <= n <= size:
            raise ValueError(
                f"learned_beads: expected 1 to {size} beads (one a heavy atom) for the molecule of "
                f"{system.labels[groups[0][0]]} (#{groups[0][0]}), found {n}"
            )
    return n_sites


def _in_proportion(sizes: list[int], total: int) -> list[int]:
    """`total` shared as `sizes`, each one at least and its size at most: seats after Sainte-Lague."""
    shares = [1] * len(sizes)
    queue = [(-size / 1.5, m) for m, size in enumerate(sizes) if size > 1]
    heapify(queue)
    for _ in range(total - len(sizes)):
        m = queue[0][1]
        shares[m] += 1
        if shares[m] < sizes[m]:
            heapreplace(queue, (-sizes[m] / (shares[m] + 0.5), m))
        else:
            heappop(queue)
    return shares


def _beads_of(
    system: System, groups: Partition, near: list[list[int]], n_sites: int | None
) -> Partition:
    """Beads of one molecule, as indices of its groups."""
    if len(groups) == 1 or n_sites == 1:
        return [list(range(len(groups)))]
    molecule = _molecule(system, groups, near)
    order = canonical_order(molecule)
    return [[order[k] for k in bead] for bead in _cut(molecule.reordered(order), n_sites)]


def _molecule(system: System, groups: Partition, near: list[list[int]]) -> Molecule:
    elements = tuple(system.elements[g[0]] for g in groups)
    unknown = sorted(set(elements) - set(ELEMENTS))
    if unknown:
        atom = groups[elements.index(unknown[0])][0]
        raise ValueError(
            f"learned_beads: expected the elements {', '.join(ELEMENTS)} and H, found "
            f"{', '.join(unknown)} at "
            f"{system.labels[atom]} (#{atom}), of which the network has seen no bead; group "
            "that molecule by hand"
        )
    home = {atom: k for k, g in enumerate(groups) for atom in g}
    bonds = {(home[i], home[j]) for i in home for j in near[i] if home[i] < home[j]}
    return Molecule(elements, tuple(len(g) - 1 for g in groups), tuple(sorted(bonds)))


@lru_cache(maxsize=1024)
def _cut(molecule: Molecule, n_sites: int | None) -> Partition:
    from . import network

    given = features(molecule)
    values = network.log_odds(_networks(), given, n_sites)
    return group(molecule.neighbours(), pair_values(given, values), n_sites)


def pair_values(given: Features, values: NDArray[np.float64]) -> dict[tuple[int, int], float]:
    """{(i, j): value} of the pairs."""
    return {(i, j): value for (i, j), value in zip(given.pairs.tolist(), values.tolist())}


@lru_cache(maxsize=1)
def _networks() -> list[PairNetwork]:
    from . import network

    with as_file(files("cgrec") / "data" / "learned_mapping" / "weights.npz") as path:
        return network.load(path)
