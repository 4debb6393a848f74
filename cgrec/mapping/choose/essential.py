"""Beads that move together: sites chosen from the essential dynamics of one molecule.

Source: Z. Zhang, L. Lu, W. G. Noid, V. Krishna, J. Pfaendtner, G. A. Voth, Biophys. J. 95, 5073
(2008). There, the beads are found by annealing; here, those of a chain are the optimum (dynamic
programming), others are merged along bonds and then settled atom by atom. The dominant subspace is
that of A. Amadei, A. B. M. Linssen, H. J. C. Berendsen, Proteins 17, 412 (1993).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from ...bonds import connected_components
from ...frames import Frames
from ...geometry import superpose
from ...ranges import expect
from ...system import System
from ..linear import Mapping, frame_chunks
from ..sites import find_sites, from_partition

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]


def essential_dynamics(
    frames: Frames, n_sites: int, *, share: float = 0.9, protected: Sequence[int] = ()
) -> tuple[list[list[int]], float]:
    """The partition into `n_sites` beads of least residual chi^2 = sum_I sum_(i<j in I) <|d_i -
    d_j|^2> / (3 n_sites).

    d_i is the displacement of unit i from its mean in the dominant principal components after
    superposition, both mass weighted; a unit is a heavy atom with its hydrogens. Ends that the bond
    graph cannot tell apart (two methyl groups, two carboxyl oxygens) go with the atom that bears
    them where units are left for it. Units in a row give the least residual of all contiguous
    beads; a branched or cyclic molecule a low one, its beads connected by bonds.

    Args:
        frames: of one molecule, whole; weights are used.
        n_sites: number of beads.
        share: of the mass-weighted fluctuation that the principal components kept must carry, in
            (0, 1].
        protected: atoms that stay beads of their own, a heavy atom with its hydrogens.

    Returns:
        partition: atom indices of each bead, beads in the order of their first atoms.
        residual: chi^2 in nm^2.

    Raises:
        ValueError: several molecules, a `share` outside (0, 1], an unknown protected atom, more
            beads than units, or fewer than `protected` allows.
    """
    _need_one_molecule(frames.system)
    if not 0 < share <= 1:
        raise ValueError(
            f"essential_dynamics: expected a share of the fluctuation in (0, 1], found {share}"
        )
    unknown = [i for i in protected if not 0 <= i < frames.n_sites]
    if unknown:
        raise ValueError(
            f"essential_dynamics: expected protected atoms among 0 to {frames.n_sites - 1}, "
            f"found {unknown}"
        )
    unit = _units(frames.system, n_sites, set(map(int, protected)))
    members = (unit == np.arange(unit.max() + 1)[:, None]).astype(float)
    alone = members[:, list(protected)].any(axis=1)
    links = unit[frames.system.bonds]
    links = np.unique(np.sort(links[links[:, 0] != links[:, 1]], axis=1), axis=0)

    apart = _relative_fluctuation(frames, members * frames.system.masses, share)
    order = _row(len(members), links)
    # which also says whether `protected` leaves so few beads
    label = _merge(apart, links, n_sites, alone)
    if order is not None:
        label[order] = _cut(apart[np.ix_(order, order)], n_sites, alone[order])
    else:
        label = _settle(label, apart, links, alone)
    residual = sum(apart[np.ix_(label == k, label == k)].sum() / 2 for k in range(n_sites)) / (
        3 * n_sites
    )
    beads = (np.flatnonzero(label[unit] == k).tolist() for k in range(n_sites))
    return sorted(beads), float(residual)


def _need_one_molecule(system: System) -> None:
    n = len(np.unique(system.molecules))
    if n > 1:
        first = [system.labels[np.flatnonzero(system.molecules == k)[0]] for k in range(min(n, 4))]
        raise ValueError(
            f"essential_dynamics: expected one molecule, found {n} (from {', '.join(first)} "
            "on); molecules that move freely "
            "have no common frame to fluctuate in. Choose the sites of each kind from frames "
            "of one molecule of it"
        )


def _units(system: System, n_sites: int, protected: set[int]) -> Indices:
    """(n_atoms,) unit of each atom: what is never cut."""
    near = system.neighbours()
    heavy = [i for i, element in enumerate(system.elements) if element != "H" or i in protected]
    home = np.arange(system.n_sites)
    for i in set(range(system.n_sites)) - set(heavy):
        home[i] = next((j for j in near[i] if j in set(heavy)), i)
    tied, classes = home.copy(), system.equivalent_sites()
    ends = {i: around[0] for i in heavy if len(around := [j for j in near[i] if home[j] != i]) == 1}
    for i, bearer in ends.items():
        twins = [
            j
            for j in ends
            if j != i and ends[j] == bearer and classes[j] == classes[i] and j not in protected
        ]
        if twins and not {i, bearer} & protected:
            tied[home == i] = home[bearer]
    for choice in (tied, home):
        unit = np.unique(choice, return_inverse=True)[1].astype(np.int64)
        if 1 <= n_sites <= unit.max() + 1:
            return unit
    raise ValueError(
        f"essential_dynamics: expected 1 to {unit.max() + 1} beads, as there are atoms that "
        "are not hydrogen in "
        f"{system.labels[0]} ... {system.labels[-1]}, found n_sites = {n_sites}"
    )


def _relative_fluctuation(frames: Frames, masses: Array, share: float) -> Array:
    """(n_units, n_units) <|d_i - d_j|^2> in nm^2, d the displacements in the dominant subspace.

    masses: (n_units, n_atoms), amu of the atoms in each unit.
    """
    total, weights = masses.sum(axis=1), frames.normalised_weights()
    average = masses / total[:, None]
    x = np.concatenate(
        [average @ np.asarray(frames.positions[c], float) for c in frame_chunks(frames.positions)]
    )
    x = superpose(x, total, weights)
    root = np.sqrt(np.repeat(total, 3))
    scaled = (x - np.tensordot(weights, x, 1)).reshape(len(x), -1) * root
    scaled *= np.sqrt(weights)[:, None]
    values, modes = np.linalg.eigh(scaled.T @ scaled)
    values, modes = np.maximum(values[::-1], 0), modes[:, ::-1]
    kept = 1 + np.searchsorted(np.cumsum(values) / (values.sum() or 1.0), share * (1 - 1e-12))
    spread = (modes[:, :kept] * np.sqrt(values[:kept]) / root[:, None]).reshape(len(total), -1)
    return cdist(spread, spread, "sqeuclidean")


def _row(n: int, links: Indices) -> Indices | None:
    """Units along the chain, from the end that comes first; None where the molecule branches or
    closes a ring.
    """
    near: list[list[int]] = [[] for _ in range(n)]
    for i, j in links.tolist():
        near[i].append(j)
        near[j].append(i)
    if len(links) != n - 1 or max(map(len, near)) > 2:
        return None
    order = [next(i for i in range(n) if len(near[i]) < 2)]
    while len(order) < n:
        order.append(next(j for j in near[order[-1]] if j not in order[-2:]))
    return np.array(order)


def _cut(apart: Array, n_sites: int, alone: Flags) -> Indices:
    """(n,) bead of each unit of a row, of least residual over all ways to cut it: dynamic
    programming in O(n^2 n_sites).
    """
    n = len(apart)
    sums = np.pad(apart, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    square = np.diag(sums)
    cost = (square[None] + square[:, None]) / 2 - sums  # [a, b] of the bead a, ..., b - 1
    count = np.append(0, np.cumsum(alone))
    length = np.arange(n + 1) - np.arange(n + 1)[:, None]
    cost[(length < 1) | ((length > 1) & (count - count[:, None] > 0))] = np.inf
    best, cuts = cost[0], []
    for _ in range(n_sites - 1):
        options = best[:, None] + cost
        cuts.append(options.argmin(axis=0))
        best = options.min(axis=0)
    bounds = [n]
    for cut in reversed(cuts):
        bounds.append(cut[bounds[-1]])
    return np.searchsorted(bounds[::-1], np.arange(n), side="right")


def _merge(apart: Array, links: Indices, n_sites: int, alone: Flags) -> Indices:
    """(n,) bead of each unit: bonded beads merged in the order of what it adds to the residual."""
    label, cost = np.arange(len(apart)), apart.copy()
    bonded = np.zeros(cost.shape, bool)
    free = links[~alone[links].any(axis=1)]
    bonded[free[:, 0], free[:, 1]] = bonded[free[:, 1], free[:, 0]] = True
    for n_beads in range(len(apart), n_sites, -1):
        if not bonded.any():
            raise ValueError(
                f"essential_dynamics: {alone.sum()} protected atoms part the molecule into "
                f"{n_beads} beads or more, found "
                f"n_sites = {n_sites}; ask for more beads or protect fewer atoms"
            )
        a, b = np.unravel_index(np.where(bonded, cost, np.inf).argmin(), cost.shape)
        label[label == b] = a
        cost[a] += cost[b]
        cost[:, a] += cost[:, b]
        bonded[a] |= bonded[b]
        bonded[:, a] |= bonded[:, b]
        bonded[a, a] = bonded[b] = bonded[:, b] = False
    return np.unique(label, return_inverse=True)[1].astype(np.int64)


def _settle(label: Indices, apart: Array, links: Indices, alone: Flags) -> Indices:
    """Units at a boundary moved to the next bead as long as the residual falls and no bead falls
    apart.
    """
    label, least = label.copy(), -1e-12 * apart.sum()
    single = set(label[alone].tolist())
    moved = True
    while moved:
        moved = False
        for unit in np.flatnonzero(~alone):
            own = label == label[unit]
            own[unit] = False
            around = np.unique(label[links[(links == unit).any(axis=1)]])
            goals = [k for k in around.tolist() if k != label[unit] and k not in single]
            gain = [apart[unit, label == k].sum() - apart[unit, own].sum() for k in goals]
            if own.any() and gain and min(gain) < least and _connected(own, links):
                label[unit], moved = goals[int(np.argmin(gain))], True
    return label


def _connected(units: Flags, links: Indices) -> bool:
    inside = links[units[links].all(axis=1)]
    return len(np.unique(connected_components(len(units), inside)[units])) == 1


@dataclass(frozen=True)
class EssentialDynamics:
    """Beads of `essential_dynamics`, each at its centre of mass; a rule that looks at the parent's
    frames.

    Attributes:
        n_sites: number of beads.
        share: of the fluctuation, see `essential_dynamics`.
        protected: labels of sites that stay beads of their own.
        most: frames to look at, evenly spaced.
    """

    n_sites: int
    share: float = 0.9
    protected: Sequence[str] = ()
    most: int = 10_000
    needs_frames: ClassVar[bool] = True

    def __post_init__(self) -> None:
        expect("EssentialDynamics", at_least=1, n_sites=self.n_sites, most=self.most)
        expect("EssentialDynamics", above=0, at_most=1, share=self.share)

    def __call__(self, frames: Frames) -> Mapping:
        """The Mapping of the frames' System; ValueError and KeyError: see `essential_dynamics`."""
        some = frames[:: max(1, -(-len(frames) // self.most))]
        kept = find_sites(frames.system, self.protected, "EssentialDynamics")
        return from_partition(
            frames.system,
            essential_dynamics(some, self.n_sites, share=self.share, protected=kept)[0],
        )
