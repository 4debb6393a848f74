"""Distance, angle and dihedral of a few sites named by their labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from ..frames import Frames
from ..geometry import X
from ..system import System

_KINDS: dict[int, geometry.Formula] = {
    2: geometry.distance,
    3: geometry.angle,
    4: geometry.dihedral,
}


@dataclass(frozen=True)
class CollectiveVariable:
    """Distance (2 sites, nm), angle (3 sites, rad) or dihedral (4 sites, rad) of the sites with
    these labels.

    Attributes:
        name: what plots and tables call it.
        sites: site labels, as `System.site` takes them.
    """

    name: str
    sites: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "sites", tuple(self.sites))
        wrong = [site for site in self.sites if not isinstance(site, str)]
        if wrong:
            raise ValueError(
                f"variables.{self.name}: expected labels of sites, which are text, "
                f"found {wrong[0]!r}; give the site of that number as '#{wrong[0]}'"
            )
        if len(self.sites) not in _KINDS:
            raise ValueError(
                f"variables.{self.name}: expected labels of 2 sites (a distance), 3 (an angle) or 4 "
                f"(a dihedral), found {len(self.sites)}; give as many, such as [A, B]"
            )
        twice = [site for site in self.sites if self.sites.count(site) > 1]
        if twice:
            raise ValueError(
                f"variables.{self.name}: expected sites that are not the same, found {twice[0]!r} "
                "twice; name another in its place"
            )

    @property
    def periodic(self) -> bool:
        """Whether -pi and pi are the same value."""
        return len(self.sites) == 4

    @property
    def unit(self) -> str:
        """Unit of the value."""
        return "nm" if len(self.sites) == 2 else "rad"

    def defined_on(self, system: System) -> bool:
        """Whether all its sites exist in `system`, that is, whether it is a function of that
        level's own sites.
        """
        try:
            self.indices(system)
        except KeyError:
            return False
        return True

    def indices(self, system: System) -> NDArray[np.int64]:
        """(1, k) site indices. Raises KeyError where a site does not exist."""
        return np.array([[system.site(label) for label in self.sites]])

    def values(self, positions: X, system: System) -> X:
        """(...,) value for positions (..., n_sites, 3) nm, a numpy array or a torch tensor."""
        return _KINDS[len(self.sites)](positions, self.indices(system))[..., 0]

    def of(self, frames: Frames) -> NDArray[np.float64]:
        """(n_frames,) value in every frame."""
        return self.values(np.asarray(frames.positions, float), frames.system)

    def __call__(self, frames: Frames) -> NDArray[np.float64]:
        """The same as `of`."""
        return self.of(frames)
