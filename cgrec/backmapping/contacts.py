"""What is too near and too far in restored atoms: bonds that distances do not show, and clashes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frames import Frames
from ..system import System

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# times the sum of covalent radii, as for bonds guessed from a trajectory file
BOND_TOLERANCE = 1.25
CLASH_OVERLAP = 0.04  # nm
HYDROGEN_BOND = 0.06  # nm that donor and acceptor may overlap more
_POLAR = ("N", "O", "F", "S")
_CHUNK = 4_000_000  # sites times frames at a time


@dataclass(frozen=True)
class Contacts:
    """Too far and too near: (n_frames,) numbers of missing bonds, spurious bonds and clashes."""

    missing: Integers
    spurious: Integers
    clashes: Integers


def contacts(frames: Frames) -> Contacts:
    """Bond graph and clashes of every frame, of nearest images where there is a box.

    Bonded are two atoms closer than 1.25 times the sum of their covalent radii (Cordero et al.,
    Dalton Trans. 2832 (2008)). A bond of the System not found so is missing, one found and not in
    the System spurious.

    A clash is an overlap of van der Waals radii of 0.04 nm or more (Word et al., J. Mol. Biol. 285,
    1711 (1999); Chen et al., Acta Cryst. D 66, 12 (2010)) between atoms more than three bonds
    apart, or four where one is hydrogen. Radii are Bondi's (J. Phys. Chem. 68, 441 (1964)), 0.11 nm
    for H (Rowland & Taylor, J. Phys. Chem. 100, 7384 (1996)). N, O, F or S that carries hydrogen,
    and that hydrogen, may be another 0.06 nm nearer to N, O, F or S, as in a hydrogen bond. A
    spurious bond so far apart is a clash as well.

    Atoms without bonds, such as ions, and beads take no part: neither radius tells how near they
    may come.

    Raises:
        ValueError: no site is an atom with a bond.
    """
    able = np.flatnonzero(bonded_atoms(frames.system)).tolist()
    if not able:
        raise ValueError(
            "contacts: expected atoms with elements and bonds, found elements "
            f"{sorted(set(frames.system.elements))} "
            f"and {len(frames.system.bonds)} bonds; give System.elements and System.bonds"
        )
    rules = ContactRules.of(frames.system.select(able))
    step = max(1, _CHUNK // (100 * len(able)))
    parts = [
        rules.count(
            frames.positions[i : i + step][:, able], None if boxes is None else boxes[i : i + step]
        )
        for boxes in (frames.boxes(),)
        for i in range(0, len(frames), step)
    ]
    return Contacts(*np.concatenate(parts, axis=1))


@dataclass(frozen=True)
class Clash:
    """Two atoms that overlap.

    Attributes:
        atoms: their labels.
        overlap: nm, the largest of all frames, see `contacts`.
        frames: in which they clash.
    """

    atoms: tuple[str, str]
    overlap: float
    frames: int


def worst_clashes(frames: Frames, most: int = 10) -> list[Clash]:
    """The pairs of atoms that overlap most, worst first; clashes are those of `contacts`.

    Args:
        frames: atoms with bonds.
        most: pairs at most.
    """
    system = frames.system
    rules, boxes, labels = ContactRules.of(system), frames.boxes(), system.unique_labels
    pairs: dict[tuple[int, int], list[float]] = {}
    for t in range(len(frames)):
        box = None if boxes is None else boxes[t : t + 1]
        _, i, j, d = rules.close(np.asarray(frames.positions[t : t + 1]), box)
        over = rules.overlap(i, j, d)
        for k in np.flatnonzero(over >= CLASH_OVERLAP).tolist():
            pairs.setdefault((int(i[k]), int(j[k])), []).append(float(over[k]))
    worst = sorted(pairs.items(), key=lambda item: -max(item[1]))[:most]
    return [Clash((labels[i], labels[j]), max(over), len(over)) for (i, j), over in worst]


def bonded_atoms(system: System) -> NDArray[np.bool_]:
    """(n_sites,) whether a site is an atom bonded to another."""
    atom = np.array(system.elements) != "X"
    bonded = system.bonds[atom[system.bonds].all(1)]
    return np.bincount(bonded.ravel(), minlength=system.n_sites) > 0


@dataclass(frozen=True)
class ContactRules:
    """Who may come how near, of the n atoms that take part; a pair i < j is the number i n + j.

    covalent, radius: (n,) nm; donor, acceptor: the two ends of hydrogen bonds; bonds: pairs of the
    System; near: pairs too few bonds apart to clash.
    """

    covalent: Floats
    radius: Floats
    donor: NDArray[np.bool_]
    acceptor: NDArray[np.bool_]
    bonds: Integers
    near: Integers

    @classmethod
    def of(cls, system: System) -> ContactRules:
        from ase.data import atomic_numbers, covalent_radii, vdw_radii

        numbers = np.array([atomic_numbers[e] for e in system.elements])
        acceptor, hydrogen = np.isin(system.elements, _POLAR), numbers == 1
        # both atoms of N-H, O-H, F-H or S-H
        able = system.bonds[
            (acceptor | hydrogen)[system.bonds].all(1) & hydrogen[system.bonds].any(1)
        ]
        donor = np.bincount(able.ravel(), minlength=system.n_sites) > 0
        ends_in_h = lambda path: hydrogen[path[0]] or hydrogen[path[-1]]  # noqa: E731
        ends = [
            (p[0], p[-1])
            for k in (2, 3, 4, 5)
            for p in system.bonded_paths(k)
            if k < 5 or ends_in_h(p)
        ]
        number = lambda pairs: np.unique(pairs.min(1) * system.n_sites + pairs.max(1))  # noqa: E731
        return cls(
            covalent_radii[numbers] / 10,
            np.where(hydrogen, 0.11, vdw_radii[numbers] / 10),
            donor,
            acceptor,
            number(system.bonds),
            number(np.array(ends)),
        )

    def count(
        self, positions: NDArray[np.floating], boxes: NDArray[np.floating] | None
    ) -> Integers:
        """(3, n_frames) missing bonds, spurious bonds, clashes."""
        n, n_frames = len(self.radius), len(positions)
        frame, i, j, d = self.close(positions, boxes)
        pair = i * n + j
        bonded = d < BOND_TOLERANCE * (self.covalent[i] + self.covalent[j])
        known = np.isin(pair, self.bonds)
        clash = self.overlap(i, j, d) >= CLASH_OVERLAP
        found, spurious, clashes = (
            np.bincount(frame[which], minlength=n_frames)
            for which in (bonded & known, bonded & ~known, clash)
        )
        return np.stack([len(self.bonds) - found, spurious, clashes])

    def close(
        self,
        positions: NDArray[np.floating],
        boxes: NDArray[np.floating] | None,
        least: float = CLASH_OVERLAP,
    ) -> tuple[Integers, Integers, Integers, Floats]:
        """Frame, sites i < j and distance (nm) of all pairs within reach of a bond or of an overlap
        of `least` nm, each by its nearest image.
        """
        from vesin import NeighborList

        reach = max(2 * BOND_TOLERANCE * self.covalent.max(), 2 * np.nanmax(self.radius) - least)
        search = NeighborList(cutoff=float(reach), full_list=False)
        pairs = []
        for k, x in enumerate(positions):
            box = np.zeros((3, 3)) if boxes is None else np.array(boxes[k], float)
            i, j, d = search.compute(np.array(x, float), box, boxes is not None, "ijd")
            pairs.append((np.full(len(i), k), np.minimum(i, j), np.maximum(i, j), d))
        frame, i, j = (np.concatenate([p[c] for p in pairs]).astype(np.int64) for c in range(3))
        d = np.concatenate([p[3] for p in pairs])
        order = np.lexsort((d, j, i, frame))
        frame, i, j, d = (a[order] for a in (frame, i, j, d))
        first = np.append(True, (np.diff(frame) != 0) | (np.diff(i) != 0) | (np.diff(j) != 0))[
            : len(d)
        ]
        first &= i != j  # an atom and its own image
        return frame[first], i[first], j[first], d[first]

    def overlap(self, i: Integers, j: Integers, d: Floats) -> Floats:
        """(n,) nm by which sites i < j at distance d come nearer than they may; -inf for those a
        few bonds apart.
        """
        held = (self.donor[i] & self.acceptor[j]) | (self.donor[j] & self.acceptor[i])
        over = self.radius[i] + self.radius[j] - d - HYDROGEN_BOND * held
        return np.where(np.isin(i * len(self.radius) + j, self.near), -np.inf, over)
