"""`CubicSpline`: cubic B-splines of a distance, four of them alive at a time, and `FlatEnds`, whose
sum is a constant beyond its knots.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.interpolate import BSpline, PPoly
from torch import Tensor, nn

DEGREE = 3
#: Splines at either end that have the coefficient of the one beside them: the function ends there
#: with slope and curvature zero, and goes on as a constant.
TIED = 2


class CubicSpline(nn.Module):
    """Cubic B-splines on clamped knots: at any r, four of them are not zero.

    Args:
        knots: (n,) nm, ascending; there are n + 2 splines.
    """

    knots: Tensor
    pieces: Tensor

    def __init__(self, knots: Sequence[float]) -> None:
        super().__init__()
        full = np.concatenate([[knots[0]] * DEGREE, knots, [knots[-1]] * DEGREE])
        n = len(knots) + DEGREE - 1
        powers = np.stack(
            [PPoly.from_spline(BSpline(full, one, DEGREE)).c for one in np.eye(n)], -1
        )
        # pieces[i, p, b]: factor of (r - knots[i])^p in the b-th of the four splines alive between
        # knots i and i + 1
        pieces = np.stack([powers[::-1, DEGREE + i, i : i + 4] for i in range(len(knots) - 1)])
        self.register_buffer("knots", torch.tensor(np.asarray(knots, float)), False)
        self.register_buffer("pieces", torch.tensor(pieces), False)

    def __len__(self) -> int:
        return len(self.knots) + DEGREE - 1

    def forward(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """(n,) first of the four splines alive at r (n,) nm, and (n, 4) their values."""
        place, t = self._place(r)
        one = torch.ones_like(t)
        return place, (torch.stack([one, t, t**2, t**3], 1)[:, None] @ self.pieces[place])[:, 0]

    def derivative(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """The same with (n, 4) slopes in 1/nm."""
        place, t = self._place(r)
        one = torch.ones_like(t)
        return place, (
            torch.stack([0 * one, one, 2 * t, 3 * t**2], 1)[:, None] @ self.pieces[place]
        )[:, 0]

    def _place(self, r: Tensor) -> tuple[Tensor, Tensor]:
        place = torch.bucketize(r.detach(), self.knots[1:-1], right=True)
        return place, r - self.knots[place]


def four(like: Tensor) -> Tensor:
    """0 to 3, the splines alive from the first of them on, where `like` lives."""
    return torch.arange(4, device=like.device)


class FlatEnds(nn.Module):
    """Functions of several numbers, each a cubic B-spline with slope and curvature zero at its first
    and last knot, and a constant beyond.

    Args:
        knots: (n,) rising, the same for all.
    """

    def __init__(self, knots: Sequence[float]) -> None:
        super().__init__()
        self.spline = CubicSpline(knots)

    @property
    def n_coefficients(self) -> int:
        """Of each function."""
        return len(self.spline) - 2 * TIED

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(..., 4) places of the coefficients that count at x (...), and their factors."""
        knots = self.spline.knots
        flat = x.double().clamp(knots[0], knots[-1]).flatten()
        first, basis = self.spline(flat)
        place = first.view_as(x)[..., None] + four(first) - TIED
        return place.clamp(0, self.n_coefficients - 1), basis.view(*x.shape, 4)

    def polynomials(self, coefficients: Tensor) -> Tensor:
        """(m, n_knots - 1, 4) the functions with these coefficients (m, n_coefficients) between two
        knots: factors of the powers of the distance from the first of them. Made once, they save
        most of the work of `total`.
        """
        pieces = self.spline.pieces
        first = torch.arange(len(pieces), device=pieces.device)
        place = (first[:, None] + four(first) - TIED).clamp(0, self.n_coefficients - 1)
        return torch.einsum("ipb,mib->mip", pieces, coefficients[:, place])

    def total(self, x: Tensor, polynomials: Tensor) -> Tensor:
        """(n_frames,) sum of the functions with these `polynomials` at x (n_frames, n_copies, m)."""
        knots = self.spline.knots
        inside = x.double().clamp(knots[0], knots[-1])
        place = torch.bucketize(inside.detach(), knots[1:-1], right=True)
        t = inside - knots[place]
        row = torch.arange(len(polynomials), device=x.device)
        c = polynomials[row, place].unbind(-1)
        return (c[0] + t * (c[1] + t * (c[2] + t * c[3]))).sum((1, 2))

    def design(self, x: Tensor) -> Tensor:
        """(n_frames, m * n_coefficients) what the sum of the functions is per coefficient."""
        place, basis = self(x)
        found = basis.new_zeros(len(x), x.shape[2], self.n_coefficients)
        for copy in range(x.shape[1]):
            found.scatter_add_(2, place[:, copy], basis[:, copy])
        return found.flatten(1)
