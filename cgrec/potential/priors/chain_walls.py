"""`ChainWalls`: sites far along a chain come no closer than they were ever seen.

An excluded volume knows the size of sites by type. Two alpha carbons of a hairpin may be held 0.5 nm
apart by what stands between them, and no frame shows what force they would have at 0.35 nm: there a
network says anything, and a well that it makes there swallows the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ... import geometry
from ...frames import Frames
from ...ranges import expect
from ...units import thermal_energy
from ...variables.pairs import OFFSET, SitePairs
from ..bond_graph import BondGraph
from .flat_bottom import FEWEST, NOWHERE, FlatBottomPrior


@dataclass(frozen=True, kw_only=True)
class ChainWalls:
    """The prior of sites `offset` or more places apart along the chain: a wall for each pair of them,
    at its shortest distance (`FlatBottomPrior`).

    No label lies behind a wall. Where some do, a network learns to take the wall back and pulls the
    more the further behind it a pair is.

    Attributes:
        offset: least number of places between the two along the chain, which is that of the alpha
            carbons, else the longest along bonds.
        rise: nm behind the wall at which it is half a kT high: by default it is about as stiff as a
            bond of alpha carbons, for networks pull with thousands of kJ/mol/nm where they know
            nothing.
    """

    offset: int = OFFSET
    rise: float = 0.005

    def __post_init__(self) -> None:
        expect("ChainWalls", at_least=1, offset=self.offset)
        expect("ChainWalls", above=0, rise=self.rise)

    def __call__(self, frames: Frames, types: Sequence[str], /) -> FlatBottomPrior | None:
        """Fitted to `frames`, as they are, without weights: a place that a bias has reached is known.
        None for a chain too short, or too few frames to know how near they come.
        """
        chosen = SitePairs(offset=self.offset)
        if len(frames) < FEWEST or chosen.missing_on(frames.system):
            return None
        pairs = chosen.pairs(frames.system)
        distances = geometry.distance(np.asarray(frames.positions, float), pairs)
        lower = distances.min(0)
        stiffness = thermal_energy(frames.temperature) / self.rise**2
        n = len(pairs)
        return FlatBottomPrior(
            types=types,
            n_sites=frames.n_sites,
            sites=pairs.tolist(),
            lower=lower.tolist(),
            upper=[NOWHERE] * n,
            below=[stiffness] * n,
            above=[0.0] * n,
            bond_graph=BondGraph.of(frames.system).config,
        ).made_at(frames.temperature)
