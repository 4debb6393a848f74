"""Flat-bottomed walls: a bond or an angle that leaves what was sampled is pushed back.

A spring of the right variance is too weak where a distribution ends. The angle of three alpha carbons
ends at 80 degrees, 1.6 standard deviations from its mean; a spring lets it go on to 50, where no force
was ever seen and a network may say anything.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from torch import Tensor

from ... import geometry
from ...frames import Frames
from ...units import thermal_energy
from ..bond_graph import BondGraph, BondGraphConfig
from ..bonded import BondedPotential
from ..graph import SiteGraph
from .harmonic import HarmonicPrior
from .terms import Alike, inverse_masses, moments, portions

#: Share of a sample that lies beyond each of its walls, where it has so many numbers that ...
SHARE = 1e-3
#: ... this many lie there: an end known to a tenth of a standard deviation.
BEYOND = 10
#: Numbers of a kind of term from which its ends are known: one in a hundred lies beyond a wall.
FEWEST = 1_000
#: A wall stands where the sample ends before this share of the standard deviations of a normal one:
#: elsewhere the spring itself is right.
EARLY = 0.9
#: Standard deviations over which a wall is let rise by half a kT at least: where the sample ends is
#: known no better.
SOFTEST = 0.2
#: 1/ps^2, squared angular frequency of a period of 0.1 ps. No wall swings faster than this and than
#: the stiffest bond: it must not ask for a shorter time step. A wall of twice the frequency of a C=O
#: bond lost 82 of 128 replicas of ten heavy atoms at 3 fs.
SWINGS = (2 * np.pi / 0.1) ** 2
#: Numbers that are looked at; more frames only repeat what is known.
MOST = 10_000_000
#: No term: a wall so far away is never met.
NOWHERE = 1e6

#: What walls are about: nm of bonds, the cosine of angles, which is smooth at a line too.
_COORDINATES: dict[int, geometry.Formula] = {2: geometry.distance, 3: geometry.cosine}


class FlatBottomPrior(BondedPotential):
    """U = 1/2 sum k (x - lower)^2 below `lower` and 1/2 sum K (x - upper)^2 above `upper`, zero
    between them.

    x is the length of a bond (2 sites, nm) or the cosine of an angle (3 sites).

    Args:
        types: site types, for `Potential`.
        n_sites: of the System the indices belong to.
        sites: (n_terms, 2 or 3) site indices.
        lower, upper: (n_terms,) nm or 1.
        below, above: (n_terms,) k and K, kJ/mol over the square of the unit of `lower`; 0 for no wall.
        bond_graph: of the System, as in `BondedPotential`.
    """

    lower: Tensor
    upper: Tensor
    below: Tensor
    above: Tensor

    def __init__(
        self,
        *,
        types: Sequence[str],
        n_sites: int,
        sites: Sequence[Sequence[int]],
        lower: Sequence[float],
        upper: Sequence[float],
        below: Sequence[float],
        above: Sequence[float],
        bond_graph: BondGraphConfig | None = None,
        cutoff: float = 0.0,
    ) -> None:
        super().__init__(
            types=types,
            n_sites=n_sites,
            sites=sites,
            bond_graph=bond_graph,
            cutoff=cutoff,
            paths=HarmonicPrior.PATHS[len(sites[0])],
            lower=lower,
            upper=upper,
            below=below,
            above=above,
        )

    def energy(self, graph: SiteGraph) -> Tensor:
        x = _COORDINATES[self.sites.shape[1]](self.positions(graph), self.sites)
        low = self.below * (self.lower - x).clamp(min=0) ** 2
        high = self.above * (x - self.upper).clamp(min=0) ** 2
        return 0.5 * (low + high).sum((-1, -2))

    @classmethod
    def fit(cls, frames: Frames, types: Sequence[str], n: int) -> FlatBottomPrior | None:
        """Walls of every bond (n = 2) or angle (n = 3) whose sample ends early; None where none
        does.

        A wall stands at the value that one number in a thousand exceeds, and rises by half a kT over
        the distance to it from the value that one in a hundred exceeds: as steeply as the sample
        itself ends, but not so steeply that it swings faster than the stiffest bond. Both are of the frames as they are, without weights: a place that a bias has
        reached is known.
        """
        paths = frames.system.bonded_paths(n)
        if not paths:
            return None
        alike = Alike(frames.system, paths)
        term = _COORDINATES[n]
        some = frames[:: 1 + len(frames) * len(paths) // MOST]
        values = np.concatenate([x for _, x in portions(some, term, np.array(paths))])
        ends = [_ends(values[:, alike.kinds == kind]) for kind in range(len(alike.number))]
        lower, below, upper, above = np.array(ends)[alike.kinds].T
        walled = (below > 0) | (above > 0)
        if not walled.any():
            return None
        kT = thermal_energy(frames.temperature)
        stiffest = _fastest_bond(frames) / inverse_masses(frames, term, paths)
        below, above = (np.minimum(kT * wall, stiffest) for wall in (below, above))
        return cls(
            types=types,
            n_sites=frames.n_sites,
            sites=[list(path) for path, keep in zip(paths, walled) if keep],
            lower=lower[walled].tolist(),
            upper=upper[walled].tolist(),
            below=below[walled].tolist(),
            above=above[walled].tolist(),
            bond_graph=BondGraph.of(frames.system).config,
        ).made_at(frames.temperature)


def _fastest_bond(frames: Frames) -> float:
    """1/ps^2, squared angular frequency of the stiffest bond, at least `SWINGS`."""
    bonds = frames.system.bonded_paths(2)
    spring = HarmonicPrior.of_moments(
        frames, sorted(set(frames.system.types)), bonds, *moments(frames, bonds)
    )
    swings = spring.stiffness.numpy() * inverse_masses(frames, geometry.distance, bonds)
    return float(max(SWINGS, swings.max()))


def _ends(values: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Where the walls of a kind of term stand and how stiff they are in kT: lower, below, upper,
    above.
    """
    lower, below = _end(-values)
    upper, above = _end(values)
    return -lower, below, upper, above


def _end(values: NDArray[np.float64]) -> tuple[float, float]:
    """The upper wall: its place, and its stiffness in kT; 0 where none is needed or known."""
    if values.size < FEWEST:
        return NOWHERE, 0.0
    share = max(SHARE, BEYOND / values.size)
    near, edge = np.quantile(values, [1 - 10 * share, 1 - share])
    spread = float(values.std())
    if edge - values.mean() > EARLY * norm.isf(share) * spread:
        return NOWHERE, 0.0
    rise = max(float(edge - near), SOFTEST * spread)
    return float(edge), rise**-2
