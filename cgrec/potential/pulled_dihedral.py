"""`PulledDihedral`: a dihedral of many frames, and the forces of an energy that depends on it.

With four sites and a few hundred frames autograd costs more than the arithmetic. Here are its own
operations, one by one and in its order, so that every bit is that of autograd through
`geometry.dihedral`, in half the time.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..geometry import norm


class PulledDihedral:
    """One dihedral in every frame.

    Args:
        positions: (n_frames, n_sites, 3) nm.
        sites: numbers of the four.

    Attributes:
        value: (n_frames,) rad in (-pi, pi], IUPAC sign (trans = pi).
    """

    def __init__(self, positions: Tensor, sites: Sequence[int]) -> None:
        self.sites = sites
        a, b, c, d = (positions[:, site] for site in sites)
        self.bonds = b - a, c - b, d - c
        u, v, w = self.bonds
        self.normals = torch.linalg.cross(u, v), torch.linalg.cross(v, w)
        self.length = norm(v)[:, None]
        self.arm = self.length * u
        first, second = self.normals
        self.across = (self.arm * second).sum(-1)
        self.along = (first * second).sum(-1)
        self.value = torch.arctan2(self.across, self.along)

    def push(self, slope: Tensor, forces: Tensor) -> None:
        """Add the forces of an energy whose derivative by `value` is `slope` (n_frames,), kJ/mol/rad,
        to `forces` (n_frames, n_sites, 3), kJ/mol/nm.
        """
        by_u, by_v, by_w = self._by_bonds(slope)
        a, b, c, d = self.sites
        forces[:, a] += by_u
        forces[:, b] += by_v - by_u
        forces[:, c] += by_w - by_v
        forces[:, d] -= by_w

    def _by_bonds(self, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Derivatives by the three bonds."""
        u, v, w = self.bonds
        first, second = self.normals
        square = self.across * self.across + self.along * self.along
        share = square.reciprocal().masked_fill(square == 0, 0.0)  # three sites on a line
        by_across = (slope * self.along * share)[:, None]
        by_along = (slope * -self.across * share)[:, None]
        by_first = by_along * second
        by_second = by_along * first + by_across * self.arm
        by_arm = by_across * second
        by_length = (by_arm * u).sum(-1, keepdim=True)
        by_u = by_arm * self.length + torch.linalg.cross(v, by_first)
        unit = (v / self.length).masked_fill(self.length == 0, 0.0)
        by_v = by_length * unit + torch.linalg.cross(w, by_second)
        return by_u, by_v + torch.linalg.cross(by_first, u), torch.linalg.cross(by_second, v)
