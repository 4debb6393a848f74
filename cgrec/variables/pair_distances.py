"""The distances of site pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from ..frames import Frames
from ..geometry import X
from ..system import System
from .evaluate import in_portions
from .pairs import OFFSET, PairVariable


@dataclass(frozen=True, kw_only=True)
class PairDistances(PairVariable):
    """Distances, nm, of all pairs of sites along a chain that are `offset` places apart or more:
    one column a pair.

    Attributes:
        sites: labels in the order of the chain; by default the alpha carbons of the largest
            molecule, else its longest way along bonds.
        offset: least number of places between the two sites of a pair.
        name: what plots and tables call them.
    """

    sites: tuple[str, ...] = ()
    offset: int = OFFSET
    name: str = "distances"

    @property
    def unit(self) -> str:
        """nm."""
        return "nm"

    def values(self, positions: X, system: System) -> X:
        """(..., n_pairs) nm for positions (..., n_sites, 3) nm, a numpy array or a torch tensor."""
        found: X = geometry.distance(positions, self.pairs(system))
        return found

    def of(self, frames: Frames) -> NDArray[np.float64]:
        """(n_frames, n_pairs) nm. Molecules must be whole."""
        return in_portions(self.values, frames, len(self.pairs(frames.system)))
