"""The radius of gyration."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from ..frames import Frames
from ..geometry import X
from ..site_labels import SiteError
from ..system import System
from ..trace import largest_molecule
from .base import FrameVariable
from .evaluate import in_portions, like


@dataclass(frozen=True, kw_only=True)
class RadiusOfGyration(FrameVariable):
    """Radius of gyration, nm: the root of sum m |x - c|^2 / sum m, c the centre of mass.

    Of a level it is that of its sites: what lies inside a site does not count, so that a level of
    centres of mass has a smaller one than its atoms.

    Attributes:
        sites: labels; by default the largest molecule.
        name: what plots and tables call it.
    """

    sites: tuple[str, ...] = ()
    name: str = "Rg"

    def __post_init__(self) -> None:
        object.__setattr__(self, "sites", tuple(self.sites))

    @property
    def unit(self) -> str:
        """nm."""
        return "nm"

    def missing_on(self, system: System) -> str | None:
        """Why it cannot be computed there, in words; None where it can."""
        try:
            self._places(system)
        except SiteError as error:
            return str(error)
        return None

    def values(self, positions: X, system: System) -> X:
        """(...,) nm for positions (..., n_sites, 3) nm, a numpy array or a torch tensor."""
        places = self._places(system)
        share = system.masses[places] / system.masses[places].sum()
        x = positions[..., places, :]
        weights = like(x, share)
        x = x - (weights[:, None] * x).sum(-2)[..., None, :]
        scaled: X = weights[:, None] ** 0.5 * x
        found: X = geometry.norm(scaled.reshape((*scaled.shape[:-2], -1)))
        return found

    def of(self, frames: Frames) -> NDArray[np.float64]:
        """(n_frames,) nm. Molecules must be whole."""
        return in_portions(self.values, frames)

    def _places(self, system: System) -> list[int]:
        return _places(self.sites, system)


@lru_cache(maxsize=32)  # a potential asks at every step
def _places(sites: tuple[str, ...], system: System) -> list[int]:
    return [system.site(label) for label in sites] or largest_molecule(system)
