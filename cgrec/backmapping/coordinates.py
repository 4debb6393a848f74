"""Coordinates of what a mapping leaves free: bond lengths, angles and dihedrals of each atom, in
frames its neighbouring sites and atoms span.

They are scalars, so anything learned in them turns with the molecule, and dihedrals have a sign, so
handedness is seen from the start. A methyl group that turns stays on its circle instead of being
averaged through its axis, and the stiff coordinates are close to Gaussian. The map to Cartesian
coordinates is exact, with its Jacobian; where sites share atoms the free half of `Split` is taken
in a frame of three sites.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..bonds import as_pairs
from .split import Unit, site_bonds

#: Plain values and tensors of which a .pt makes an object again.
State = dict[str, Any]
#: Sine of the smallest angle that may define a frame.
_BENT = 0.25
LINE, FREE = 0, -1  # else the number of equal places of an atom on its circle


class Placement(NamedTuple):
    """How one atom is placed: its distance from `parent`, its angle with `first` there, its
    dihedral about that axis from `second`.

    Points are numbered: atoms of the unit first, its sites after them; -1: nothing there to refer
    to, any direction is as good.
    """

    atom: int
    parent: int
    first: int
    second: int


class Coordinates(ABC):
    """A bijection between atoms (..., n_atoms, 3) with given sites (..., n_sites, 3) and numbers z
    (..., n).

    Attributes:
        n: how many.
        kinds: (n,) of each: `LINE` for the real line, `FREE` for a direction nothing in the
            molecule determines, s > 0 for an angle of a circle on which 2 pi / s makes no
            difference.
    """

    n: int
    kinds: list[int]

    @abstractmethod
    def state(self) -> State:
        """Plain arguments, for `coordinates_from`."""

    @abstractmethod
    def internal(self, sites: Tensor, atoms: Tensor) -> tuple[Tensor, Tensor]:
        """z, and ln |du/dz|: (...,)."""

    @abstractmethod
    def cartesian(self, sites: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Atoms whose sites are `sites` but for rounding, and ln |du/dz|."""


class InternalCoordinates(Coordinates):
    """ln r, ln tan(theta / 2) and phi of every atom but one of each site, which follows from the
    site's position.

    With these, d^3x = r^3 sin^2(theta) d(ln r) d(ln tan(theta / 2)) d(phi), and nothing has an end.
    u here is the atoms' places relative to the atom of their site that follows: it differs from
    that of `Split` by a constant factor in volume.

    Args:
        weights: (n_sites, n_atoms), no atom in two sites.
        owner: (n_atoms,) site each atom goes with.
        placements: in an order in which parents come first.
        folds: {atom: s} for the first of s alike atoms that turn about one axis.
    """

    def __init__(
        self,
        weights: NDArray[np.float64] | Tensor,
        owner: NDArray[np.int64] | Sequence[int],
        placements: Sequence[Sequence[int]],
        folds: dict[int, int],
    ) -> None:
        self.weights = torch.as_tensor(weights)
        self.owner = torch.as_tensor(owner)
        self.placements = [Placement(*p) for p in placements]
        self.folds = dict(folds)
        self.n = 3 * len(self.placements)
        self.kinds = []
        placed = {p.atom for p in self.placements}
        self.pivots = torch.tensor([i for i in range(len(owner)) if i not in placed])
        self.pivots = self.pivots[torch.argsort(self.owner[self.pivots])]
        for p in self.placements:
            bent = FREE if p.first < 0 else LINE
            self.kinds += [LINE, bent, FREE if p.second < 0 else self.folds.get(p.atom, LINE)]

    @classmethod
    def of(cls, unit: Unit, sites: Tensor, atoms: Tensor) -> InternalCoordinates:
        """A plan for `unit`, from some of its configurations (n, n_sites, 3) and (n, n_atoms, 3),
        which say what is bent enough to refer to.
        """
        return cls(unit.weights, unit.owner, _plan(unit, sites, atoms), _folds(unit))

    def state(self) -> State:
        """Plain arguments."""
        return {
            "weights": self.weights,
            "owner": self.owner.tolist(),
            "placements": [list(p) for p in self.placements],
            "folds": self.folds,
        }

    def internal(self, sites: Tensor, atoms: Tensor) -> tuple[Tensor, Tensor]:
        pivots = atoms[..., self.pivots, :]
        z, volume = [], torch.zeros(sites.shape[:-2], dtype=sites.dtype)
        for p in self.placements:
            base = sites - sites[..., self.owner[p.atom], None, :]
            origin = pivots[..., self.owner[p.atom], :]

            def point(k: int, base: Tensor = base, origin: Tensor = origin) -> Tensor:
                return (
                    atoms[..., k, :] - origin
                    if k < len(self.owner)
                    else base[..., k - len(self.owner), :]
                )

            e1, e2, e3 = axes_of(point(p.parent), *(None if k < 0 else point(k) for k in p[2:]))
            d = point(p.atom) - point(p.parent)
            r = d.norm(dim=-1)
            along, a, b = ((d * e).sum(-1) for e in (e1, e2, e3))
            across = torch.hypot(a, b)
            z += [r.log(), (across / (r + along)).log(), torch.atan2(b, a)]
            volume = volume + 3 * r.log() + 2 * (across / r).log()
        return torch.stack(z, -1) if z else sites.new_zeros(*sites.shape[:-2], 0), volume

    def cartesian(self, sites: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        places: dict[int, Tensor] = {}  # relative to the pivot of the site the atom goes with
        zero, volume = (
            torch.zeros_like(sites[..., 0, :]),
            torch.zeros(sites.shape[:-2], dtype=sites.dtype),
        )
        places |= {int(i): zero for i in self.pivots}
        for k, p in enumerate(self.placements):
            base = sites - sites[..., self.owner[p.atom], None, :]

            def point(k: int, base: Tensor = base) -> Tensor:
                return places[k] if k < len(self.owner) else base[..., k - len(self.owner), :]

            e1, e2, e3 = axes_of(point(p.parent), *(None if m < 0 else point(m) for m in p[2:]))
            r, t, phi = z[..., 3 * k].exp(), z[..., 3 * k + 1], z[..., 3 * k + 2]
            sine, cosine = 1 / torch.cosh(t), -torch.tanh(t)
            direction = (
                cosine[..., None] * e1
                + (sine * phi.cos())[..., None] * e2
                + (sine * phi.sin())[..., None] * e3
            )
            places[p.atom] = point(p.parent) + r[..., None] * direction
            volume = volume + 3 * z[..., 3 * k] + 2 * sine.log()
        relative = torch.stack([places[i] for i in range(len(self.owner))], -2)
        pivots = sites - self.weights.to(sites) @ relative
        return pivots[..., self.owner, :] + relative, volume


class FrameCoordinates(Coordinates):
    """Where sites share atoms: u of `Split` in a frame that three sites span.

    Args:
        expansion: R and N of the unit. masses: (n_atoms,) amu.
        three: the sites of the frame, -1 where there is none.
    """

    def __init__(
        self,
        expansion: Sequence[NDArray[np.float64] | Tensor],
        masses: NDArray[np.float64] | Tensor,
        three: Sequence[int],
    ) -> None:
        self.R, self.N = (torch.as_tensor(a) for a in expansion)
        self.masses = torch.as_tensor(masses)
        self.three = list(three)
        self.n = 3 * self.N.shape[1]
        self.kinds = [LINE] * self.n

    @classmethod
    def of(cls, unit: Unit, sites: Tensor, atoms: Tensor) -> FrameCoordinates:
        """For `unit`, from some of its configurations."""
        others = list(range(1, unit.coarse.n_sites))
        second = next((k for k in others[1:] if _bent(sites, 0, 1, k)), -1)
        return cls(unit.expansion, unit.fine.masses, [0, others[0] if others else -1, second])

    def state(self) -> State:
        """Plain arguments."""
        return {"expansion": [self.R, self.N], "masses": self.masses, "three": self.three}

    def internal(self, sites: Tensor, atoms: Tensor) -> tuple[Tensor, Tensor]:
        u = self.N.T @ (self.masses[:, None] * (atoms - self.R @ sites))
        return (u @ self._axes(sites)).flatten(-2), torch.zeros(sites.shape[:-2], dtype=sites.dtype)

    def cartesian(self, sites: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        u = z.unflatten(-1, (-1, 3)) @ self._axes(sites).transpose(-1, -2)
        return self.R @ sites + self.N @ u, torch.zeros(sites.shape[:-2], dtype=sites.dtype)

    def _axes(self, sites: Tensor) -> Tensor:
        points = [None if k < 0 else sites[..., k, :] for k in self.three]
        return torch.stack(axes_of(sites[..., 0, :], *points[1:]), -1)


def coordinates_of(unit: Unit, sites: Tensor, atoms: Tensor) -> Coordinates:
    """The coordinates that suit `unit`."""
    if unit.disjoint:
        return InternalCoordinates.of(unit, sites, atoms)
    return FrameCoordinates.of(unit, sites, atoms)


def coordinates_from(state: State) -> Coordinates:
    """Inverse of `state()`."""
    return InternalCoordinates(**state) if "placements" in state else FrameCoordinates(**state)


class Surroundings:
    """The sites of a unit described by scalars: ln r, ln tan(theta / 2), sin phi and cos phi along
    their bonds.

    Args:
        coordinates: of the sites as if they were atoms of one site that the first of them is.
    """

    def __init__(self, coordinates: InternalCoordinates) -> None:
        self.coordinates = coordinates
        dihedral = torch.arange(coordinates.n) % 3 == 2
        known = torch.tensor(coordinates.kinds, dtype=torch.long) != FREE
        self._plain = known & ~dihedral
        self._angles = known & dihedral
        self.n = int(self._plain.sum()) + 2 * int(self._angles.sum())

    @classmethod
    def of(cls, unit: Unit, sites: Tensor) -> Surroundings:
        """Of `unit`, from some configurations of its sites (n, n_sites, 3)."""
        from ..system import System

        n = unit.coarse.n_sites
        chain = System(
            names=unit.coarse.names, masses=unit.coarse.masses, bonds=as_pairs(site_bonds(unit))
        )
        first = np.eye(n)[:1]
        alone = Unit(chain, chain.select([0]), first, np.arange(n)[None], np.zeros((1, 1), int))
        return cls(InternalCoordinates(first, [0] * n, _plan(alone, sites[:, :1], sites), {}))

    @classmethod
    def from_state(cls, state: State) -> Surroundings:
        """From the state of its coordinates."""
        return cls(InternalCoordinates(**state))

    def __call__(self, sites: Tensor) -> Tensor:
        """(..., n) of sites (..., n_sites, 3) nm."""
        z, _ = self.coordinates.internal(sites[..., :1, :], sites)
        angles = z[..., self._angles]
        return torch.cat([z[..., self._plain], angles.sin(), angles.cos()], -1)


def spread(values: Tensor) -> Tensor:
    """Standard deviation over the first axis, never zero."""
    return (values - values.mean(0)).square().mean(0).sqrt().clamp(min=1e-6)


def axes_of(
    origin: Tensor, first: Tensor | None, second: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Right-handed axes: towards `first`, then `second` in the plane; axes of the laboratory in
    place of what is missing.
    """
    ones = torch.ones_like(origin[..., :1])
    if first is None:
        e1 = ones * origin.new_tensor([0.0, 0.0, 1.0])
    else:
        e1 = torch.nn.functional.normalize(first - origin, dim=-1)
    least = torch.nn.functional.one_hot(e1.abs().argmin(-1), 3).to(e1)
    w = least if second is None else second - origin
    e2 = torch.nn.functional.normalize(w - (w * e1).sum(-1, keepdim=True) * e1, dim=-1)
    return e1, e2, torch.linalg.cross(e1, e2)


def _plan(unit: Unit, sites: Tensor, atoms: Tensor) -> list[Placement]:
    """Placements outward from one atom of each site along bonds, end groups last."""
    near, plan = unit.fine.neighbours(), []
    for site in range(unit.coarse.n_sites):
        inside = np.flatnonzero(unit.owner == site).tolist()
        pivot = max(inside, key=lambda i: (abs(unit.weights[site, i]), len(near[i]), -i))
        points = torch.cat([atoms, sites + (atoms[:, pivot] - sites[:, site])[:, None]], 1)
        parents: dict[int, int] = {}
        for atom, parent in _outward(near, inside, pivot):
            placed = [pivot, *parents]
            candidates = _references(unit, parent, parents.get(parent), placed, near)
            plan.append(_bent_enough(atom, parent, candidates, points))
            parents[atom] = parent
    return plan


def _outward(near: list[list[int]], inside: list[int], pivot: int) -> list[tuple[int, int]]:
    """(atom, parent) along bonds from `pivot`; what no bond reaches has `pivot` for a parent."""
    found, placed = [], [pivot]
    while True:
        for parent in placed:  # grows while it is gone through
            for atom in sorted(
                set(near[parent]) & set(inside) - set(placed), key=lambda i: (-len(near[i]), i)
            ):
                found.append((atom, parent))
                placed.append(atom)
        left = [i for i in inside if i not in placed]
        if not left:
            return found
        found.append((left[0], pivot))
        placed = [*placed, left[0]]


def _references(
    unit: Unit, parent: int, grandparent: int | None, placed: list[int], near: list[list[int]]
) -> list[int]:
    """Points an atom on `parent` may refer to, best first: what the parent is bonded to, then what
    that is bonded to, then all others.
    """
    n, own = unit.fine.n_sites, unit.owner[parent]
    first = [] if grandparent is None else [grandparent]

    def around(atom: int) -> list[int]:
        """Atoms already placed and foreign sites along the bonds of `atom`."""
        inside = [j for j in near[atom] if j in placed and j not in first]
        return [n + unit.owner[j] for j in near[atom] if unit.owner[j] != own] + inside

    bonds = site_bonds(unit)
    sites = [k - n for k in around(parent) if k >= n]
    ring = [n + (j if i == k else i) for k in sites for i, j in bonds if k in (i, j)]
    rest = [n + k for k in range(unit.coarse.n_sites)] + placed
    ordered = [
        *first,
        *around(parent),
        *(around(grandparent) if grandparent is not None else []),
        *ring,
        *rest,
    ]
    return [int(k) for k in dict.fromkeys(ordered) if k not in (parent, n + own)]


def _bent_enough(atom: int, parent: int, candidates: list[int], points: Tensor) -> Placement:
    """The first reference the atom is not in line with, and the first that is not in line with
    that; points: (n, n_points, 3).
    """
    first = next((k for k in candidates if _bent(points, parent, atom, k)), -1)
    others = [k for k in candidates if k != first and first >= 0]
    second = next((k for k in others if _bent(points, parent, first, k)), -1)
    return Placement(atom, parent, first, second)


def _bent(points: Tensor, corner: int, a: int, b: int) -> bool:
    """Whether the angle at `corner` stays away from 0 and 180 degrees in all of the configurations."""
    u, v = (torch.nn.functional.normalize(points[:, k] - points[:, corner], dim=-1) for k in (a, b))
    return bool(torch.linalg.cross(u, v).norm(dim=-1).min() > _BENT)


def _folds(unit: Unit) -> dict[int, int]:
    """{first atom: s} of terminal groups of s alike atoms."""
    return {group[0]: len(group) for group in terminal_groups(unit)}


def terminal_groups(unit: Unit) -> list[list[int]]:
    """Groups of alike atoms that a turn about the one bond of their neighbour permutes, such as the
    hydrogens of a methyl group.
    """
    near, alike, groups = unit.fine.neighbours(), unit.fine.equivalent_sites(), []
    for around in near:
        leaves = [i for i in around if len(near[i]) == 1]
        group = [i for i in leaves if alike[i] == alike[leaves[0]]]
        same = len({(unit.owner[i], *unit.weights[:, i].tolist()) for i in group}) == 1
        if len(group) >= 2 and len(around) == len(group) + 1 and same:
            groups.append(sorted(group))
    return groups


def relabelled(unit: Unit, atoms: Tensor, generator: torch.Generator) -> Tensor:
    """The same configurations (n, n_atoms, 3) with each terminal group turned by a random number of
    places: as likely, but for the labels.
    """
    atoms = atoms.clone()
    for group in terminal_groups(unit):
        turn = torch.randint(len(group), (len(atoms), 1), generator=generator)
        source = torch.tensor(group)[(torch.arange(len(group)) + turn) % len(group)]
        atoms[:, group] = atoms[torch.arange(len(atoms))[:, None], source]
    return atoms
