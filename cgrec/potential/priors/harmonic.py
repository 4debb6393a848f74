"""Springs in bonds, angles and branches, as stiff as the sample says: U = kT (x - x0)^2 / (2 var
x).

Boltzmann inversion of a coordinate whose distribution is taken to be normal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...frames import Frames
from ...remarks import remark
from ...system import System
from ...units import thermal_energy
from ..bond_graph import BondGraph, BondGraphConfig
from ..bonded import BondedPotential
from ..graph import SiteGraph
from .terms import COORDINATES, STRAIGHT, moments, reaches_line

#: Standard deviation (nm, rad, 1) no term is taken to be narrower than: a bond held rigid in the
#: data has none, and its spring would ask for a time step of zero. The stiffest bonds of chemistry
#: (CO, 300 K) have 0.0014 nm.
NARROWEST = {2: 1e-3, 3: 1e-2, 4: 1e-2}


class HarmonicTerms(BondedPotential):
    """Interface of springs U = 1/2 sum k (x - x0)^2 in coordinates x of numbered sites.

    Args:
        types: site types, for `Potential`.
        n_sites: of the System the indices belong to.
        sites: (n_terms, 2, 3 or 4) site indices.
        centre: (n_terms,) nm, rad or 1.
        stiffness: (n_terms,) kJ/mol over the square of the unit of `centre`.
        bond_graph: of the System, as in `BondedPotential`.
    """

    #: {sites of a term: pairs of places among them that are bonded}.
    PATHS: ClassVar[dict[int, tuple[tuple[int, int], ...]]]

    centre: Tensor
    stiffness: Tensor

    def __init__(
        self,
        *,
        types: Sequence[str],
        n_sites: int,
        sites: Sequence[Sequence[int]],
        centre: Sequence[float],
        stiffness: Sequence[float],
        bond_graph: BondGraphConfig | None = None,
        cutoff: float = 0.0,
    ) -> None:
        super().__init__(
            types=types,
            n_sites=n_sites,
            sites=sites,
            bond_graph=bond_graph,
            cutoff=cutoff,
            paths=self.PATHS[len(sites[0])],
            centre=centre,
            stiffness=stiffness,
        )

    def energy(self, graph: SiteGraph) -> Tensor:
        x = COORDINATES[self.sites.shape[1]](self.positions(graph), self.sites)
        return 0.5 * (self.stiffness * (x - self.centre) ** 2).sum((-1, -2))

    @classmethod
    def of_moments(
        cls,
        frames: Frames,
        types: Sequence[str],
        paths: list[tuple[int, ...]],
        mean: NDArray[np.float64],
        variance: NDArray[np.float64],
    ) -> Self:
        """The springs with which each of `paths` has this mean and, above `NARROWEST`, this
        variance at the temperature of `frames`.
        """
        narrowest = NARROWEST[len(paths[0])]
        stiffness = thermal_energy(frames.temperature) / np.maximum(variance, narrowest**2)
        return cls(
            types=types,
            n_sites=frames.n_sites,
            sites=[list(p) for p in paths],
            centre=mean.tolist(),
            stiffness=stiffness.tolist(),
            bond_graph=BondGraph.of(frames.system).config,
        ).made_at(frames.temperature)


class HarmonicPrior(HarmonicTerms):
    """Springs over bonds (2 sites, x in nm) or angles (3 sites, x in rad) of one System."""

    PATHS = {2: ((0, 1),), 3: ((0, 1), (1, 2))}

    @classmethod
    def fit(cls, frames: Frames, types: Sequence[str], n: int) -> HarmonicPrior | None:
        """Boltzmann inversion of every bond (n = 2) or angle (n = 3); None without terms.

        Angles that are straight on average are left out, with a remark: at pi an angle has no
        direction in which it could be opened, and neither its mean nor its variance says how stiff
        the line is. So are those that come to stand on a line (`cosine_springs`).
        """
        paths = frames.system.bonded_paths(n)
        if not paths:
            return None
        mean, variance = moments(frames, paths)
        if n == 3:
            bent = mean <= STRAIGHT
            _name_straight(frames.system, paths, ~bent)
            bent &= ~reaches_line(frames, paths)
            paths = [path for path, keep in zip(paths, bent) if keep]
            mean = mean[bent]
            variance = variance[bent]
        return cls.of_moments(frames, types, paths, mean, variance) if paths else None


class BranchPrior(HarmonicTerms):
    """Springs in the handedness x of each site with three bonded neighbours
    (`geometry.signed_volume`).

    Without the hydrogen that fills its fourth place a stereocentre can turn inside out, and no data
    say what that costs.
    """

    PATHS = {4: ((0, 1), (0, 2), (0, 3))}

    @classmethod
    def fit(cls, frames: Frames, types: Sequence[str]) -> BranchPrior | None:
        """Boltzmann inversion, each branch for itself: equal ones may be counted in opposite
        directions. None without branches.
        """
        near = frames.system.neighbours()
        paths = [(site, *others) for site, others in enumerate(near) if len(others) == 3]
        if not paths:
            return None
        return cls.of_moments(frames, types, paths, *moments(frames, paths, alike=False))


@dataclass(frozen=True)
class Branches:
    """The prior of all sites with three neighbours: a `BranchPrior`."""

    def __call__(self, frames: Frames, types: Sequence[str], /) -> BranchPrior | None:
        """Fitted to `frames`; None without branches."""
        return BranchPrior.fit(frames, types)


def _name_straight(
    system: System, paths: list[tuple[int, ...]], straight: NDArray[np.bool_]
) -> None:
    if straight.any():
        first = paths[int(np.argmax(straight))]
        remark(
            f"no harmonic angle prior for {int(straight.sum())} of {len(paths)} angles: their "
            f"mean is over {np.degrees(STRAIGHT):.0f} "
            "degrees, a line, where k (1 + cos x) holds them instead; first: "
            f"{', '.join(f'{system.labels[s]} (site {s})' for s in first)}"
        )
