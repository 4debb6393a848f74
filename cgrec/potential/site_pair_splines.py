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
from .cubic_spline import FlatEnds
from .graph import SiteGraph

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
    polynomials: Tensor

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
        self.splines = FlatEnds(knots)
        self.register_buffer(
            "polynomials", self.splines.polynomials(self.coefficients), persistent=False
        )

    def energy(self, graph: SiteGraph) -> Tensor:
        r = geometry.distance(self.positions(graph), self.sites)
        return self.splines.total(r, self.polynomials)

    def design(self, frames: Frames) -> NDArray[np.float64]:
        """(n_frames, n_pairs * n_coefficients) the energy per coefficient."""
        starts = range(0, len(frames), _PORTION)
        parts = [self._design(frames[k : k + _PORTION]) for k in starts]
        return np.concatenate(parts)

    def _design(self, frames: Frames) -> NDArray[np.float64]:
        positions = torch.as_tensor(np.asarray(frames.positions, float))
        r = geometry.distance(positions.unflatten(1, (-1, self.n_sites)), self.sites)
        return self.splines.design(r).numpy()
