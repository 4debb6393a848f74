"""The exact inverse of a linear map, x = R X + N u with M R = I and M N = 0: whatever u is, the
atoms map back onto the sites.

Everything that restores or corrects atoms moves u alone, so the round trip holds by construction:
for disjoint beads, picked atoms and beads that share atoms, for any state of a network and any
number of correction steps.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import null_space
from torch import Tensor

from ..bonds import connected_components, members_of, neighbours
from ..cell import lattice_steps
from ..mapping import Mapping
from ..system import System

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Unit:
    """Alike molecules, each with the sites its atoms are in; molecules that share a site are one.

    Attributes:
        fine: System of one copy. coarse: its sites.
        weights: (n_sites, n_atoms) position weights within a copy.
        atoms: (n_copies, n_atoms) indices in the fine System.
        sites: (n_copies, n_sites) indices in the coarse System.
    """

    fine: System
    coarse: System
    weights: NDArray[np.float64]
    atoms: NDArray[np.int64]
    sites: NDArray[np.int64]

    @cached_property
    def key(self) -> str:
        """What makes units alike: names, bonds and weights."""
        same = [self.fine.labels, self.fine.types, self.fine.bonds.tolist(), self.coarse.types]
        text = json.dumps([*same, np.round(self.weights, 9).tolist()])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @cached_property
    def owner(self) -> NDArray[np.int64]:
        """(n_atoms,) the site each atom goes with: that of its largest weight, else of the nearest
        such atom along bonds.
        """
        owner = np.where((self.weights != 0).any(0), np.abs(self.weights).argmax(0), -1)
        near, last = self.fine.neighbours(), -1
        while (owner < 0).any() and (owner < 0).sum() != last:
            last = int((owner < 0).sum())
            found = {
                i: owner[j] for i in np.flatnonzero(owner < 0) for j in near[i] if owner[j] >= 0
            }
            for i, site in found.items():
                owner[i] = site
        return np.where(owner < 0, 0, owner)

    @property
    def disjoint(self) -> bool:
        """Whether no atom is in two sites."""
        return bool(((self.weights != 0).sum(0) <= 1).all())

    @cached_property
    def expansion(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """R (n_atoms, n_sites) and N (n_atoms, n_atoms - n_sites), which is orthonormal in the
        masses.

        R copies each site to the atoms that go with it, A, and corrects that where sites share
        atoms: R = A + R0 (1 - M A) with the least mass-weighted R0, so that its rows sum to one and
        a shift of the sites shifts the atoms.
        """
        mass, M = self.fine.masses, self.weights
        copied = np.eye(len(M))[self.owner]
        scaled = M / mass
        least = np.linalg.solve(scaled @ M.T, scaled).T
        root = np.sqrt(mass)
        return copied + least @ (np.eye(len(M)) - M @ copied), null_space(M / root) / root[:, None]


def units_of(mapping: Mapping) -> list[Unit]:
    """What the systems of `mapping` consist of.

    Raises:
        ValueError: molecules without a site: the mapping dropped them, and `Resolvation` puts such
            back.
    """
    entries, fine = mapping.sparse_position_weights.tocoo(), mapping.fine
    n_sites, n_atoms = entries.shape
    links = np.concatenate([fine.bonds, np.column_stack([entries.col, n_atoms + entries.row])])
    labels = connected_components(n_atoms + n_sites, links)
    lone = sorted(set(labels[:n_atoms]) - set(labels[n_atoms:]))
    if lone:
        atoms = np.flatnonzero(np.isin(labels[:n_atoms], lone))
        names = ", ".join(sorted({fine.residue_names[i] for i in atoms}))
        raise ValueError(
            f"{len(lone)} molecules ({names}) have no coarse site, so there is nothing to "
            "expand: put them back with Resolvation"
        )
    parts = _parts(mapping, labels)
    found: dict[str, list[tuple[Indices, Indices]]] = {}
    for part in parts:
        found.setdefault(part.signature, []).append((part.atoms, part.sites))
    first = {part.signature: part.weights for part in reversed(parts)}
    units = []
    for signature, copies in found.items():
        atoms, sites = copies[0]
        systems = fine.select(atoms.tolist()), mapping.coarse.select(sites.tolist())
        every = (np.stack([copy[n] for copy in copies]) for n in (0, 1))
        units.append(Unit(*systems, first[signature], *every))
    return units


class _Part(NamedTuple):
    """Atoms and sites that hang together, their weights (n_sites, n_atoms), and what makes such
    parts alike.
    """

    atoms: Indices
    sites: Indices
    weights: NDArray[np.float64]
    signature: str


def _parts(mapping: Mapping, labels: Indices) -> list[_Part]:
    """The connected parts in order of their first atom; `labels` (n_atoms + n_sites,) says which
    part each is in.
    """
    fine, entries = mapping.fine, mapping.sparse_position_weights.tocoo()
    atoms, atom_place = members_of(labels[: fine.n_sites])
    sites, site_place = members_of(labels[fine.n_sites :])
    bonds, _ = members_of(labels[fine.bonds[:, 0]])
    weights, _ = members_of(labels[entries.col])
    names = list(zip(fine.residue_names, fine.names, fine.types))
    coarse_types, none = mapping.coarse.types, np.zeros(0, np.int64)
    found = []
    for k, own in atoms.items():
        block = np.zeros((len(sites[k]), len(own)))
        here = weights[k]
        block[site_place[entries.row[here]], atom_place[entries.col[here]]] = entries.data[here]
        same = [
            [names[i] for i in own.tolist()],
            [coarse_types[i] for i in sites[k].tolist()],
            atom_place[fine.bonds[bonds.get(k, none)]].tolist(),
            np.round(block, 9).tolist(),
        ]
        found.append(_Part(own, sites[k], block, json.dumps(same)))
    return found


class Split:
    """Both halves of the atoms' positions: R X, which the sites fix, and u, which is free.

    u is mass-weighted (N^T m N = 1): in it every kinetic energy is |du/dt|^2 / 2, and a fine force
    f becomes N^T f.

    Args:
        mapping: any that leaves no molecule without a site.
    """

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping
        self.units = units_of(mapping)
        self.n_atoms = mapping.fine.n_sites
        self.n_free = mapping.fine.n_sites - mapping.coarse.n_sites
        self._R = [torch.tensor(u.expansion[0]) for u in self.units]
        self._N = [torch.tensor(u.expansion[1]) for u in self.units]
        self._masses = torch.tensor(mapping.fine.masses)[:, None]

    def atoms(self, sites: Tensor, u: Tensor) -> Tensor:
        """(n_frames, n_atoms, 3) nm of sites (n_frames, n_sites, 3) nm and u (n_frames, n_free, 3)
        amu^1/2 nm.
        """
        x = sites.new_empty(len(sites), self.n_atoms, 3)
        for k, (unit, some) in enumerate(self._parts()):
            fixed = self._R[k] @ sites[:, unit.sites]
            free = self._N[k] @ u[:, some].unflatten(1, (len(unit.atoms), -1))
            x[:, unit.atoms] = fixed + free
        return x

    def sites(self, x: Tensor) -> Tensor:
        """(n_frames, n_sites, 3) nm, M x."""
        X = x.new_empty(len(x), self.mapping.coarse.n_sites, 3)
        for unit in self.units:
            X[:, unit.sites] = torch.tensor(unit.weights) @ x[:, unit.atoms]
        return X

    def free(self, x: Tensor) -> Tensor:
        """(n_frames, n_free, 3) u of atoms x (n_frames, n_atoms, 3) nm."""
        X, u = self.sites(x), x.new_empty(len(x), self.n_free, 3)
        for k, (unit, some) in enumerate(self._parts()):
            left = x[:, unit.atoms] - self._R[k] @ X[:, unit.sites]
            u[:, some] = (self._N[k].T @ (self._masses[unit.atoms] * left)).flatten(1, 2)
        return u

    def force(self, forces: Tensor) -> Tensor:
        """(n_frames, n_free, 3) force on u of forces (n_frames, n_atoms, 3) kJ/mol/nm."""
        f = forces.new_empty(len(forces), self.n_free, 3)
        for k, (unit, some) in enumerate(self._parts()):
            f[:, some] = (self._N[k].T @ forces[:, unit.atoms]).flatten(1, 2)
        return f

    def exact(self, x: Tensor, sites: Tensor) -> Tensor:
        """`x` with what rounding has left between M x and `sites` taken away."""
        x, miss = x.clone(), sites - self.sites(x)
        for k, unit in enumerate(self.units):
            x[:, unit.atoms] += self._R[k] @ miss[:, unit.sites]
        return x

    def _parts(self) -> Iterator[tuple[Unit, slice]]:
        """Units with their places in u."""
        start = 0
        for unit in self.units:
            copies, n = unit.atoms.shape
            end = start + copies * (n - unit.sites.shape[1])
            yield unit, slice(start, end)
            start = end


def whole(
    units: list[Unit], sites: NDArray[np.floating], boxes: NDArray[np.floating] | None
) -> NDArray[np.float64]:
    """(n_frames, n_sites, 3) nm with the sites of each unit on the same side of a periodic box as
    its first.

    Neighbours in a unit are sites whose atoms are bonded; they have to be closer than half the box.
    """
    x = np.array(sites, float)
    if boxes is None:
        return x
    for unit in units:
        for child, parent in _tree(unit):
            a, b = unit.sites[:, child], unit.sites[:, parent]
            apart = x[:, a] - x[:, b]
            x[:, a] -= lattice_steps(apart, boxes) @ boxes
    return x


def site_bonds(unit: Unit) -> list[tuple[int, int]]:
    """Pairs of sites with a bond between atoms that go with them; sites that share atoms are
    bonded, too.
    """
    i, j = (
        unit.owner[unit.fine.bonds].T
        if len(unit.fine.bonds)
        else (np.zeros(0, int), np.zeros(0, int))
    )
    shared = np.argwhere((unit.weights != 0).astype(float) @ (unit.weights != 0).T > 0)
    pairs = np.concatenate([np.column_stack([i, j]), shared])
    return sorted({(min(p), max(p)) for p in pairs.tolist() if p[0] != p[1]})


def _tree(unit: Unit) -> list[tuple[int, int]]:
    """(site, an earlier neighbour of it), in an order that reaches all that hang together."""
    near = neighbours(unit.coarse.n_sites, site_bonds(unit))
    found, queue, seen = [], [0], {0}
    while queue:
        parent = queue.pop(0)
        for child in near[parent]:
            if child not in seen:
                seen.add(child)
                queue.append(child)
                found.append((child, parent))
    return found
