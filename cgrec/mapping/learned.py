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
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..system import System
from .linear import Mapping
from .sites import from_partition

#: Elements the network was taught.
ELEMENTS = ("C", "N", "O", "S", "F", "Cl", "Br", "I", "Si", "P", "B", "Se")
#: Pairs of heavy atoms up to so many bonds apart are judged.
REACH = 6
#: Log-odds of sharing a bead for atoms farther apart: people do not make such beads.
FAR = -5.0
#: Borders are moved between beads that have together so many heavy atoms at most; the cost grows
#: with the third power.
LARGEST_PAIR = 64
#: Gains below this are none.
TIE = 1e-9
#: Rings up to this size are seen.
LARGEST_RING = 8

Partition = list[list[int]]
#: Of each atom, the log-odds with others.
Worth = list[dict[int, float]]


class Molecule(NamedTuple):
    """The heavy atoms of one molecule: `elements`, bonded `hydrogens` of each, and `bonds` between
    them (i < j).
    """

    elements: tuple[str, ...]
    hydrogens: tuple[int, ...]
    bonds: tuple[tuple[int, int], ...]

    def neighbours(self) -> list[list[int]]:
        """Bonded heavy atoms of each."""
        near: list[list[int]] = [[] for _ in self.elements]
        for i, j in self.bonds:
            near[i].append(j)
            near[j].append(i)
        return near

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


def canonical_order(molecule: Molecule) -> list[int]:
    """An order of the atoms that does not depend on how they came, but for atoms that symmetry
    makes alike.

    Ranks are refined by those of the neighbours; while some are equal, one of the first such goes
    before the others.
    """
    near = molecule.neighbours()
    ranks = _ranks(list(zip(molecule.elements, molecule.hydrogens)))
    while True:
        ranks = _refined(ranks, near)
        twice = np.flatnonzero(np.bincount(ranks) > 1)
        if not len(twice):
            return np.argsort(ranks).tolist()
        chosen = ranks.index(twice[0])
        ranks = _ranks([(rank, i != chosen) for i, rank in enumerate(ranks)])


def _ranks(keys: Sequence[Any]) -> list[int]:
    place = {key: k for k, key in enumerate(sorted(set(keys)))}
    return [place[key] for key in keys]


def _refined(ranks: list[int], near: list[list[int]]) -> list[int]:
    while True:
        finer = _ranks(
            [(ranks[i], *sorted(ranks[j] for j in around)) for i, around in enumerate(near)]
        )
        if finer == ranks:
            return ranks
        ranks = finer


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
        (i, j): d for i in range(len(near)) for j, d in _distances(near, i, REACH).items() if i < j
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


def _distances(
    near: list[list[int]], start: int, reach: int, without: tuple[int, int] | None = None
) -> dict[int, int]:
    """Bonds from `start` to every atom within `reach`, not using the bond `without`."""
    found, edge = {start: 0}, {start}
    for d in range(1, reach + 1):
        edge = {j for i in edge for j in near[i] if j not in found and {i, j} != set(without or ())}
        found.update(dict.fromkeys(sorted(edge), d))
    return found


def _rings(near: list[list[int]], i: int, j: int) -> tuple[int, list[list[int]]]:
    """Size of the smallest ring through a bond, and all rings of that size; (LARGEST_RING + 1,
    none) without.
    """
    away = _distances(near, i, LARGEST_RING - 1, (i, j))
    if j not in away:
        return LARGEST_RING + 1, []
    paths = [[j]]
    for d in reversed(range(away[j])):
        paths = [[*path, k] for path in paths for k in near[path[-1]] if away.get(k) == d]
    return away[j] + 1, paths


@lru_cache(maxsize=1024)
def _cut(molecule: Molecule, n_sites: int | None) -> Partition:
    from . import learned_network

    given = features(molecule)
    values = learned_network.log_odds(_networks(), given, n_sites)
    return group(molecule.neighbours(), pair_values(given, values), n_sites)


def pair_values(given: Features, values: NDArray[np.float64]) -> dict[tuple[int, int], float]:
    """{(i, j): value} of the pairs."""
    return {(i, j): value for (i, j), value in zip(given.pairs.tolist(), values.tolist())}


@lru_cache(maxsize=1)
def _networks() -> Any:
    from . import learned_network

    with as_file(files("cgrec") / "data" / "learned_mapping" / "weights.npz") as path:
        return learned_network.load(path)


def group(
    near: list[list[int]], log_odds: dict[tuple[int, int], float], n_sites: int | None = None
) -> Partition:
    """Connected beads whose pairs have together high log-odds: the best merges, then moves while
    they gain.

    Moves are of one atom to the bead beside its own, and of the border between two beads to another
    bond. Two beads of a small molecule without rings are the best of all; more are the best that
    moves find.

    Args:
        near: neighbours of each atom of one molecule.
        log_odds: of sharing a bead, for pairs i < j; other pairs have FAR.
        n_sites: how many beads; None: as many as the log-odds favour.

    Returns:
        Atoms of each bead.
    """
    worth: Worth = [{} for _ in near]
    for (i, j), value in log_odds.items():
        worth[i][j] = worth[j][i] = value - FAR
    beads = _merged(near, worth, n_sites)
    while True:
        beads = _moved(near, worth, beads, n_sites is None)
        shifted = _shifted(near, worth, beads)
        if shifted == beads:
            return beads
        beads = shifted


def _merged(near: list[list[int]], worth: Worth, n_sites: int | None) -> Partition:
    """Bonded beads merged, best gain first, down to `n_sites` or while it gains."""
    beads = {i: [i] for i in range(len(near))}
    known = [dict(row) for row in worth]
    touch = [set(around) for around in near]
    gain = lambda a, b: known[a].get(b, 0.0) + FAR * len(beads[a]) * len(beads[b])  # noqa: E731
    while len(beads) > (n_sites or 1):
        best, a, b = max((gain(a, b), -a, -b) for a in beads for b in touch[a] if a < b)
        if n_sites is None and best <= 0:
            break
        a, b = -a, -b
        beads[a] += beads.pop(b)
        touch[a] = (touch[a] | touch[b]) - {a, b}
        for c in touch[b] - {a}:
            touch[c] = (touch[c] - {b}) | {a}
        for c, value in known[b].items():
            known[c].pop(b, None)
            if c != a:
                known[a][c] = known[c][a] = known[a].get(c, 0.0) + value
    return list(beads.values())


def _moved(near: list[list[int]], worth: Worth, beads: Partition, free: bool) -> Partition:
    """Single atoms moved to a bead they are bonded to, or, where the number is `free`, alone, while
    that gains.
    """
    home = {i: k for k, bead in enumerate(beads) for i in bead}
    members = {k: set(bead) for k, bead in enumerate(beads)}
    moved = True
    while moved:
        moved = False
        for i in range(len(near)):
            own = home[i]
            if (len(members[own]) == 1 and not free) or not _connected(near, members[own] - {i}):
                continue
            others = {home[j] for j in near[i]} - {own}
            value = {k: FAR * len(members[k]) for k in others} | {
                own: FAR * (len(members[own]) - 1)
            }
            if free:
                value[max(members) + 1] = 0.0
            for j, w in worth[i].items():
                if home[j] in value:
                    value[home[j]] += w
            best = max(value, key=lambda k: (value[k], k == own, -k))
            if value[best] > value[own] + TIE:
                members[own].remove(i)
                members.setdefault(best, set()).add(i)
                home[i], moved = best, True
                if not members[own]:
                    del members[own]
    return sorted(sorted(bead) for bead in members.values())


def _shifted(near: list[list[int]], worth: Worth, beads: Partition) -> Partition:
    """The border between two beads moved to another bond of theirs, each side taking the atoms
    nearest to it.
    """
    beads = list(beads)
    home = {i: k for k, bead in enumerate(beads) for i in bead}
    for i, around in enumerate(near):
        for j in around:
            a, b = home[i], home[j]
            if a == b or i > j:
                continue
            both = sorted(beads[a] + beads[b])
            if len(both) > LARGEST_PAIR:
                continue
            halves = _halves(near, both)
            best = max(halves, key=lambda sides: _worth_within(worth, sides))
            if _worth_within(worth, best) > _worth_within(worth, (beads[a], beads[b])) + TIE:
                beads[a], beads[b] = best
                home |= dict.fromkeys(best[0], a) | dict.fromkeys(best[1], b)
    return sorted(beads)


def _halves(near: list[list[int]], atoms: list[int]) -> list[tuple[list[int], list[int]]]:
    """For each bond among `atoms`, those nearer to its one end and those nearer to its other."""
    inside = set(atoms)
    part = [
        [j for j in around if j in inside] if i in inside else [] for i, around in enumerate(near)
    ]
    away = {i: _distances(part, i, len(atoms)) for i in atoms}
    return [
        (
            [k for k in atoms if away[i][k] <= away[j][k]],
            [k for k in atoms if away[i][k] > away[j][k]],
        )
        for i in atoms
        for j in part[i]
    ]


def _worth_within(worth: Worth, beads: Sequence[list[int]]) -> float:
    total = 0.0
    for bead in beads:
        inside = set(bead)
        total += sum(w for i in bead for j, w in worth[i].items() if j in inside) / 2
        total += FAR * len(bead) * (len(bead) - 1) / 2
    return total


def _connected(near: list[list[int]], atoms: set[int]) -> bool:
    if not atoms:
        return True
    found = {min(atoms)}
    queue = list(found)
    while queue:
        new = (set(near[queue.pop()]) & atoms) - found
        found |= new
        queue += new
    return found == atoms
