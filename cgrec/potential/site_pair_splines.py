"""`SitePairSplines`: a spline of the distance of each of some pairs of numbered sites."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import geometry
from ..frames import Frames
from .bond_graph import BondGraphConfig
from .bonded import BondedPotential
from .cubic_spline import CubicSpline, four
from .graph import SiteGraph

#: Splines at either end that have the coefficient of the one beside them: the function ends there
#: with slope and curvature zero, and goes on as a constant.
TIED = 2
#: Frames whose splines are counted at a time, which bounds the memory.
_PORTION = 2000


class SitePairSplines(BondedPotential):
    """U = sum over pairs of a cubic B-spline of their distance, without a force below the first and
    above the last knot.

    Unlike `UF3Potential` it has a function for each pair of sites and none by type: what a chain is
    corrected with, in which sites of one type at different places have different partners.

    Args:
        types: site types, for `Potential`.
        n_sites: of the System the numbers belong to.
        sites: (n_pairs, 2) site numbers.
        knots: (n,) nm, rising.
        coefficients: (n_pairs, n - 2) kJ/mol.
        bond_graph: of the System, as in `BondedPotential`.
    """

    coefficients: Tensor

    def __init__(
        self,
        *,
        types: Sequence[str],
        n_sites: int,
        sites: Sequence[Sequence[int]],
        knots: Sequence[float],
        coefficients: Sequence[Sequence[float]],
        bond_graph: BondGraphConfig | None = None,
        cutoff: float = 0.0,
    ) -> None:
        super().__init__(
            types=types,
            n_sites=n_sites,
            sites=sites,
            bond_graph=bond_graph,
            cutoff=cutoff,
            knots=knots,
            coefficients=coefficients,
        )
        self.spline = CubicSpline(knots)

    def energy(self, graph: SiteGraph) -> Tensor:
        place, basis = self._alive(self.positions(graph))
        pair = torch.arange(len(self.sites), device=place.device)
        found = self.coefficients[pair[:, None], self._columns(place)]
        return (found * basis).sum((1, 2, 3))

    def design(self, frames: Frames) -> NDArray[np.float64]:
        """(n_frames, n_pairs * n_coefficients) the energy per coefficient."""
        starts = range(0, len(frames), _PORTION)
        parts = [self._design(frames[k : k + _PORTION]) for k in starts]
        return np.concatenate(parts)

    def _design(self, frames: Frames) -> NDArray[np.float64]:
        positions = torch.as_tensor(np.asarray(frames.positions, float))
        place, basis = self._alive(positions.unflatten(1, (-1, self.n_sites)))
        columns = self._columns(place)
        found = basis.new_zeros(len(place), *self.coefficients.shape)
        for copy in range(place.shape[1]):
            found.scatter_add_(2, columns[:, copy], basis[:, copy])
        return found.flatten(1).numpy()

    def _columns(self, place: Tensor) -> Tensor:
        """(..., 4) columns of the coefficients of the splines alive."""
        last = self.coefficients.shape[1] - 1
        return (place[..., None] + four(place) - TIED).clamp(0, last)

    def _alive(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """(n_frames, n_copies, n_pairs) first of the splines alive, and the values of the four."""
        r = geometry.distance(positions, self.sites).double()
        inside = r.clamp(self.spline.knots[0], self.spline.knots[-1])
        place, basis = self.spline(inside.flatten())
        return place.view_as(r), basis.view(*r.shape, 4)
