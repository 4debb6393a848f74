"""Sites from the bond graph alone: groups of heavy atoms, and one greedy contraction that gives
every level at once.

`contract` merges atoms along bonds until each molecule is one bead. The order of the merges is a
dendrogram, so beads of one cut are unions of beads of any finer cut, and levels chosen from it are
nested. What the bond graph cannot tell apart (orbits of bonds, by Weisfeiler-Lehman colours) is
merged together; molecules of one kind are contracted alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..bonds import four_different
from ..ranges import expect
from ..system import System
from .linear import Mapping
from .sites import Sites, carriers, find_sites, from_partition

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Partition = list[list[int]]
Bonds = list[tuple[int, int]]
#: Labels of the beads (n_atoms,) -> a number to keep small.
Cost = Callable[[Indices], float]
#: Labels now -> the cost of other labels, of which beads are unions of beads now.
Rise = Callable[[Indices], Cost]


@dataclass(frozen=True)
class HeavyAtomGroups:
    """The fewest beads of at most `size` heavy atoms each, bonded among themselves, hydrogens with
    their heavy atom.

    Along a chain that is `size` consecutive atoms a bead, the last one shorter. On a branched
    molecule it is the optimum of S. Kundu, J. Misra, SIAM J. Comput. 6, 151 (1977) for a tree;
    rings are cut open first, so there it is a bound.

    Attributes:
        size: heavy atoms in a bead.
    """

    size: int

    def __post_init__(self) -> None:
        expect("HeavyAtomGroups", at_least=1, size=self.size)

    def __call__(self, system: System) -> Mapping:
        """The Mapping; ValueError: size below one, or a hydrogen that is bonded to no heavy atom."""
        return from_partition(system, heavy_atom_groups(system, self.size))


def heavy_atom_groups(system: System, size: int) -> Partition:
    """The partition of `HeavyAtomGroups`."""
    if size < 1:
        raise ValueError(f"HeavyAtomGroups: expected a size of at least 1 heavy atom, found {size}")
    near = system.neighbours()
    carrier = carriers(system)
    parent: dict[int, int] = {}  # of a spanning tree of each molecule, rooted at its last atom
    for root in reversed(range(system.n_sites)):
        front = [] if root in parent or root in carrier else [root]
        parent |= {i: -1 for i in front}
        for i in front:
            reached = [j for j in near[i] if j not in parent and j not in carrier]
            parent |= {j: i for j in reached}
            front += reached
    children: dict[int, list[int]] = {i: [] for i in (-1, *parent)}
    beads: dict[int, list[int]] = {}
    # leaves first: i takes its lightest open branches, the others are beads
    for i in reversed(parent):
        beads[i] = [i]
        for j in sorted(children[i], key=lambda j: (len(beads[j]), -j)):
            if len(beads[i]) + len(beads[j]) <= size:
                beads[i] += beads.pop(j)
        children[parent[i]].append(i)
    owner = {i: root for root, atoms in beads.items() for i in atoms}
    for hydrogen, heavy in carrier.items():
        beads[owner[heavy]].append(hydrogen)
    return _ordered(beads.values())


@dataclass(frozen=True)
class Contracted:
    """Beads of one cut of `contract`, each at its centre of mass.

    Attributes:
        n_sites: beads in all.
        cost: what a merge takes: slow modes of the bond graph, or a cut of bonds per mass.
        protected: labels, or a selection, of sites that stay beads of their own.
        modes: slow modes of each molecule that "local_variation" looks at.
        balance: how much unequal masses of beads cost.
        symmetric: treat equivalent atoms alike; false allows numbers of beads that do not.
    """

    n_sites: int
    cost: Literal["local_variation", "normalised_cut"] = "local_variation"
    protected: Sites = ()
    modes: int = 10
    balance: float = 1.0
    symmetric: bool = True

    def __post_init__(self) -> None:
        expect("Contracted", at_least=1, n_sites=self.n_sites, modes=self.modes)
        expect("Contracted", at_least=0, balance=self.balance)

    def __call__(self, system: System) -> Mapping:
        """The Mapping; ValueError and KeyError: see `contract` and `Contraction.beads`."""
        found = contract(system, self.cost, self.protected, modes=self.modes, balance=self.balance)
        return from_partition(system, found.beads(self.n_sites, symmetric=self.symmetric))


@dataclass(frozen=True, eq=False)
class Contraction:
    """The dendrogram: merges in the order in which they are made.

    Attributes:
        system: what was contracted.
        stages: bonds to merge along. A stage is what symmetry wants done at once, a step of it the
            least that keeps stereocentres whole in all molecules of a kind.
    """

    system: System
    stages: tuple[tuple[Bonds, ...], ...]

    @property
    def sizes(self) -> list[int]:
        """Numbers of beads that treat equivalent atoms alike, the most first."""
        return [n for n, whole in self._cuts() if whole]

    def beads(self, n_sites: int, *, symmetric: bool = True) -> Partition:
        """The cut with `n_sites` beads.

        Args:
            n_sites: beads in all molecules together.
            symmetric: False allows equivalent atoms to be treated differently where `n_sites` needs
                it.

        Raises:
            ValueError: there is no such cut; the message names what stands in the way and the
                nearest cuts.
        """
        cuts = [n for n, whole in self._cuts() if whole or not symmetric]
        if n_sites not in cuts:
            self._refuse(n_sites, cuts, symmetric)
        labels, left = np.arange(self.system.n_sites), self.system.n_sites
        for step in (step for stage in self.stages for step in stage):
            if left == n_sites:
                break
            left -= _merge(labels, step)
        return _ordered(np.flatnonzero(labels == k).tolist() for k in np.unique(labels))

    def _cuts(self) -> list[tuple[int, bool]]:
        """(number of beads, whether a stage is complete there) after each step."""
        labels, left = np.arange(self.system.n_sites), self.system.n_sites
        found = [(left, True)]
        for stage in self.stages:
            for step in stage:
                left -= _merge(labels, step)
                found.append((left, step is stage[-1]))
        return found

    def _refuse(self, n_sites: int, cuts: Sequence[int], symmetric: bool) -> None:
        labels = self.system.labels
        what = (
            f"Contraction.beads: expected a number of beads from {cuts[-1]} to {cuts[0]}, found "
            f"{n_sites}"
        )
        if n_sites > cuts[0]:
            raise ValueError(
                f"{what}: the atoms {', '.join(labels[:6])}, ... are {len(labels)}; ask for fewer"
            )
        if n_sites < cuts[-1]:
            raise ValueError(
                f"{what}: every molecule, every protected atom and each piece between them is "
                "a bead at least; ask for more"
            )
        more, less = min(n for n in cuts if n > n_sites), max(n for n in cuts if n < n_sites)
        start, stop = self.beads(more, symmetric=symmetric), self.beads(less, symmetric=symmetric)
        changed = [bead for bead in stop if bead not in start][:3]
        named = "; ".join(", ".join(f"{labels[i]} (#{i})" for i in bead[:8]) for bead in changed)
        way = (
            ", or symmetric=False" if symmetric and n_sites in [n for n, _ in self._cuts()] else ""
        )
        raise ValueError(
            f"{what}: the beads ({named}) would be made for some of equivalent atoms only, or "
            "would split a stereocentre; "
            f"take {more} or {less}{way}"
        )


def contract(
    system: System,
    cost: str = "local_variation",
    protected: Sites = (),
    *,
    modes: int = 10,
    balance: float = 1.0,
) -> Contraction:
    """Merge atoms along bonds, the cheapest first, until every molecule is one bead.

    Hydrogens join their heavy atom first. After that the orbit of bonds comes next that costs least
    for each bead that it saves: what `cost` rises by, and `balance` n times what sum_beads (m_bead
    / m)^2 rises by, with n the beads in one molecule of each kind and m the mass of the heaviest;
    that sum is least where masses are equal.

    An atom with four neighbours that the bond graph tells apart is a stereocentre, and it is never
    split: it shares its bead with at least three of the four, so that the handedness lies inside,
    or the five lie in at least four beads, whose places show it. Atoms that cannot be merged
    without splitting one bring more of its bonds with them.

    Greedy, so not the optimum for any one number of beads, and an early merge may leave numbers out
    of reach: a chain of even length whose middle bond is merged has no symmetric cut in two. Time
    grows with the cube of the largest molecule: 0.2 s for 140 atoms, 5 s for 560.

    Args:
        system: with all bonds; of atoms or of coarse sites (element "X").
        cost: a name in `COSTS`.
        protected: sites (labels or a selection) that stay beads of their own; their hydrogens,
            unless protected too, stay beads too, for they have no other neighbour.
        modes: of `local_variation`.
        balance: how much unequal masses cost.

    Raises:
        KeyError: an unknown protected site.
        ValueError: an unknown cost, or a hydrogen without a bond.
    """
    if cost not in COSTS:
        raise ValueError(f"contract: expected a cost of {', '.join(COSTS)}, found {cost!r}")
    frozen = np.zeros(system.n_sites, bool)
    frozen[find_sites(system, protected, "protected")] = True
    copies = _kinds(system, frozen)
    sample = system.select([int(i) for kind in copies for i in kind[0]])
    # columns[k] are the atoms of all molecules that atom k of the sample stands for
    columns = [column for kind in copies for column in kind.T.tolist()]
    frozen = np.array([frozen[column[0]] for column in columns])
    first = local_variation(sample, modes) if cost == "local_variation" else COSTS[cost](sample)
    stages = _Contractor(sample, frozen, first, balance).stages()
    spread = lambda step: [pair for i, j in step for pair in zip(columns[i], columns[j])]  # noqa: E731
    return Contraction(system, tuple(tuple(spread(step) for step in stage) for stage in stages))


def local_variation(system: System, modes: int = 10) -> Rise:
    """What a contraction takes from the slow modes of the bond graph, per mode.

    A. Loukas, J. Mach. Learn. Res. 20 (116), 1 (2019), Sec. 4: for the sets C of beads that become
    one, the sum of ||Pi_C A||^2 in the norm of L_C. A = B (B^T L B)^(-1/2) are the `modes` lowest
    non-trivial eigenvectors of the graph Laplacian of each molecule (all of a degenerate set),
    averaged over its beads (B) and made L-orthonormal on the graph of these (L: weights are numbers
    of bonds); Pi_C takes off the average over C, and L_C holds the bonds within C once and those
    that leave it twice. Here averages are over atoms, and the norm is the Frobenius norm.

    Args:
        system: its bonds all count as one.
        modes: kept for each molecule.
    """
    molecules = system.molecule_sites()
    slow = [_slow_modes(system, atoms, modes) for atoms in molecules]
    width = max(1, *(v.shape[1] for v in slow))
    vectors = np.zeros((system.n_sites, width))
    for atoms, v in zip(molecules, slow):
        vectors[atoms, : v.shape[1]] = v
    i, j = system.bonds.T
    inside = [np.isin(i, atoms) for atoms in molecules]

    def average(values: Array, labels: Indices) -> Array:
        places = (labels[:, None] * width + np.arange(width)).ravel()
        sums = np.bincount(places, values.ravel(), len(labels) * width).reshape(len(labels), width)
        return (sums / np.maximum(np.bincount(labels, minlength=len(labels)), 1)[:, None])[labels]

    def rise(labels: Indices) -> Cost:
        """See `local_variation`."""
        a = average(vectors, labels)
        for atoms, bonds in zip(molecules, inside):
            stretch = a[i[bonds]] - a[j[bonds]]
            values, axes = np.linalg.eigh(stretch.T @ stretch)
            kept = values > 1e-10 * max(values[-1], 1e-300)
            root = (axes[:, kept] / np.sqrt(values[kept])) @ axes[:, kept].T
            a[atoms] = a[atoms] @ root

        def cost(merged: Indices) -> float:
            lost = a - average(a, merged)
            within = merged[i] == merged[j]
            x, y = lost[i], lost[j]
            return (
                float(((x - y)[within] ** 2).sum() + 2 * (x[~within] ** 2 + y[~within] ** 2).sum())
                / width
            )

        return cost

    return rise


def normalised_cut(system: System) -> Rise:
    """Bonds that leave a bead over its mass, summed over beads; 1 for single atoms, 0 for whole
    molecules.

    The cut of J. Shi, J. Malik, IEEE Trans. Pattern Anal. 22, 888 (2000) with masses as the weights
    of nodes, so light beads with many bonds to others are the first to be merged: agglomeration of
    the least rise in the weighted kernel k-means of I. S. Dhillon, Y. Guan, B. Kulis, IEEE Trans.
    Pattern Anal. 29, 1944 (2007), of which Ward's is one. Several molecules: the sum over the
    largest term.
    """
    i, j = system.bonds.T
    single = np.bincount(system.bonds.ravel(), minlength=system.n_sites) / system.masses
    scale = max((single[atoms].sum() for atoms in system.molecule_sites()), default=0.0) or 1.0

    def cost(labels: Indices) -> float:
        out = labels[i] != labels[j]
        ends = np.concatenate([labels[i[out]], labels[j[out]]])
        cuts = np.bincount(ends, minlength=len(labels))
        masses = np.bincount(labels, system.masses, len(labels))
        return float((cuts[masses > 0] / masses[masses > 0]).sum()) / scale

    def rise(labels: Indices) -> Cost:
        """See `normalised_cut`."""
        before = cost(labels)
        return lambda merged: cost(merged) - before

    return rise


#: Costs by the name a config gives them.
COSTS = {"local_variation": local_variation, "normalised_cut": normalised_cut}


def mass_balance(system: System) -> Cost:
    """sum over beads of (mass / mass of the heaviest molecule)^2: least where n beads are equally
    heavy.
    """
    heaviest = max(system.masses[atoms].sum() for atoms in system.molecule_sites())

    def cost(labels: Indices) -> float:
        """See `mass_balance`."""
        return float(((np.bincount(labels, system.masses) / heaviest) ** 2).sum())

    return cost


def stereocentres(system: System) -> Indices:
    """(n, 5) atoms with four neighbours that the bond graph tells apart, each followed by these
    neighbours.
    """
    alike = system.equivalent_sites()
    found = [
        site
        for site in four_different(system.neighbours(), alike)
        if system.elements[site[0]] != "X"
    ]
    return np.array(found, np.int64).reshape(-1, 5)


class _Contractor:
    """Stages for a system with one molecule of each kind."""

    def __init__(self, system: System, frozen: NDArray[np.bool_], first: Rise, balance: float):
        self.system = system
        self.frozen = frozen
        self.centres = stereocentres(system)
        self.first = first
        self.second = mass_balance(system)
        self.balance = balance

    def stages(self) -> list[list[Bonds]]:
        """Whole orbits in the order in which they are merged, each in steps."""
        labels, free = np.arange(self.system.n_sites), ~self.frozen
        hydrogens = [(j, i) for i, j in carriers(self.system).items() if free[i] and free[j]]
        stages = [[[bond] for bond in orbit] for orbit in self._orbits(hydrogens)]
        _merge(labels, hydrogens)
        bonds = [(i, j) for i, j in self.system.bonds.tolist() if free[i] and free[j]]
        for stage in self._greedy(self._orbits(bonds), labels.copy()):
            steps = self._greedy([[bond] for bond in stage], labels)
            stages.append([*steps, stage] if _merge(labels, stage) else steps)
        return stages

    def _orbits(self, bonds: Bonds) -> list[Bonds]:
        """`bonds` that neither the bond graph nor protection tells apart, together."""
        kinds = [f"{k} {f}" for k, f in zip(self.system.equivalent_sites(), self.frozen)]
        unlike = replace(
            self.system, types=tuple(kinds), elements=("X",) * len(kinds)
        ).equivalent_sites()
        orbits: dict[tuple[int, ...], Bonds] = {}
        for i, j in bonds:
            orbits.setdefault(tuple(sorted((unlike[i], unlike[j]))), []).append((i, j))
        return list(orbits.values())

    def _greedy(self, orbits: list[Bonds], labels: Indices) -> list[Bonds]:
        """Orbits in the order in which they are merged, each with those it needs; `labels` follows."""
        orbit_of = {frozenset(bond): orbit for orbit in orbits for bond in orbit}
        done: list[Bonds] = []
        while orbits := [o for o in orbits if any(labels[i] != labels[j] for i, j in o)]:
            cost, best = self._cost(labels), (np.inf, labels, orbits[0])
            for orbit in orbits:
                merged = labels.copy()
                bonds = self._whole(orbit, orbit_of, merged, cost)
                if bonds:
                    saved = len(np.unique(labels)) - len(np.unique(merged))
                    rise = cost(merged) / saved
                    best = (rise, merged, bonds) if rise < best[0] - 1e-12 else best
            if best[0] == np.inf:
                break
            labels[:] = best[1]
            done.append(best[2])
        return done

    def _whole(
        self, orbit: Bonds, orbit_of: dict[frozenset[int], Bonds], labels: Indices, cost: Cost
    ) -> Bonds:
        """Merge `orbit` into `labels`, then what makes stereocentres whole again; empty where
        nothing does.
        """
        bonds = list(orbit)
        _merge(labels, orbit)
        while len(split := self._split(labels)):
            centre, *around = split[0].tolist()
            open_ = [frozenset((centre, j)) for j in around if labels[j] != labels[centre]]
            options = [orbit_of[bond] for bond in open_ if bond in orbit_of]
            if not options:
                return []
            more = min(options, key=lambda option: cost(_with(labels, option)))
            bonds += more
            _merge(labels, more)
        return bonds

    def _cost(self, labels: Indices) -> Cost:
        """What other labels cost from here; counts of beads make the balance as large at all
        levels.
        """
        first, before = self.first(labels), self.second(labels)
        scale = self.balance * len(np.unique(labels))
        return lambda merged: first(merged) + scale * (self.second(merged) - before)

    def _split(self, labels: Indices) -> Indices:
        """Rows of `centres` whose handedness neither lies in the centre's bead nor shows between
        beads.
        """
        beads = labels[self.centres]
        inside = (beads == beads[:, :1]).sum(axis=1)
        apart = 1 + (np.diff(np.sort(beads, axis=1), axis=1) != 0).sum(axis=1)
        return self.centres[(inside < 4) & (apart < 4)]


def _with(labels: Indices, bonds: Bonds) -> Indices:
    merged = labels.copy()
    _merge(merged, bonds)
    return merged


def _merge(labels: Indices, bonds: Sequence[tuple[int, int]]) -> int:
    """Give the beads at both ends of each bond one label; returns how many beads that saves."""
    saved = 0
    for i, j in bonds:
        if labels[i] != labels[j]:
            labels[labels == labels[j]] = labels[i]
            saved += 1
    return saved


def _kinds(system: System, frozen: NDArray[np.bool_]) -> list[Indices]:
    """(n_molecules, n_atoms) atoms of the molecules of each kind: the same atoms in the same order,
    bonded alike.
    """
    molecules = system.molecule_sites()
    bonds: list[Bonds] = [[] for _ in molecules]
    place, labels = np.empty(system.n_sites, np.int64), system.labels
    for atoms in molecules:
        place[atoms] = np.arange(len(atoms))
    for (i, j), molecule in zip(
        system.bonds.tolist(), system.molecules[system.bonds[:, 0]].tolist()
    ):
        bonds[molecule].append((int(place[i]), int(place[j])))
    kinds: dict[tuple[object, ...], list[Indices]] = {}
    for atoms, pairs in zip(molecules, bonds):
        per_atom = [
            (labels[i], system.elements[i], system.types[i], system.masses[i], frozen[i])
            for i in atoms
        ]
        kinds.setdefault((tuple(per_atom), tuple(pairs)), []).append(atoms)
    return [np.array(same) for same in kinds.values()]


def _slow_modes(system: System, atoms: Indices, modes: int) -> Array:
    """(n_atoms, n_modes) the lowest non-trivial eigenvectors of the Laplacian of one molecule over
    their root.
    """
    inside = system.select(atoms.tolist()).bonds
    laplacian = np.zeros((len(atoms), len(atoms)))
    for i, j in inside:
        laplacian[[i, j, i, j], [i, j, j, i]] += [1, 1, -1, -1]
    values, vectors = np.linalg.eigh(laplacian)
    values, vectors = values[1:], vectors[:, 1:]
    if len(values) > modes:  # the last of them with all that are degenerate with it
        modes = int((values <= values[modes - 1] + 1e-8).sum())
    return vectors[:, :modes] / np.sqrt(values[:modes])


def _ordered(beads: Iterable[Sequence[int]]) -> Partition:
    """Beads by their first atom."""
    return sorted(sorted(bead) for bead in beads)
