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
from .pairs import OFFSET, SitePairs, pair_names


@dataclass(frozen=True, kw_only=True)
class PairDistances:
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "sites", tuple(self.sites))
        self._chosen  # noqa: B018  refuses what it cannot be

    @property
    def _chosen(self) -> SitePairs:
        return SitePairs(self.sites, self.offset)

    @property
    def periodic(self) -> bool:
        """No."""
        return False

    @property
    def unit(self) -> str:
        """nm."""
        return "nm"

    def columns(self, system: System) -> tuple[str, ...]:
        """Names of the pairs."""
        return tuple(pair_names(system, self.pairs(system)))

    def pairs(self, system: System) -> NDArray[np.int64]:
        """(n_pairs, 2) sites of `system`.

        Raises:
            SiteError: a label that it does not have. ValueError: a chain too short.
        """
        return self._chosen.pairs(system)

    def missing_on(self, system: System) -> str | None:
        """Why they cannot be computed there, in words; None where they can."""
        return self._chosen.missing_on(system)

    def defined_on(self, system: System) -> bool:
        """Whether there are such pairs."""
        return self.missing_on(system) is None

    def values(self, positions: X, system: System) -> X:
        """(..., n_pairs) nm for positions (..., n_sites, 3) nm, a numpy array or a torch tensor."""
        found: X = geometry.distance(positions, self.pairs(system))
        return found

    def of(self, frames: Frames) -> NDArray[np.float64]:
        """(n_frames, n_pairs) nm. Molecules must be whole."""
        return in_portions(self.values, frames, len(self.pairs(frames.system)))

    def __call__(self, frames: Frames) -> NDArray[np.float64]:
        """The same as `of`."""
        return self.of(frames)
