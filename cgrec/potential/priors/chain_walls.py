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
from .flat_bottom import BEYOND, FEWEST, NOWHERE, FlatBottomPrior

#: Share of a sample that lies behind each wall, where it is large enough.
SHARE = 1e-4


@dataclass(frozen=True, kw_only=True)
class ChainWalls:
    """The prior of sites `offset` or more places apart along the chain: a wall for each pair of them,
    where its distances end (`FlatBottomPrior`).

    Attributes:
        offset: least number of places between the two along the chain, which is that of the alpha
            carbons, else the longest along bonds.
        rise: nm behind the wall at which it is half a kT high; four times as far it is 8 kT.
    """

    offset: int = OFFSET
    rise: float = 0.02

    def __post_init__(self) -> None:
        expect("ChainWalls", at_least=1, offset=self.offset)
        expect("ChainWalls", above=0, rise=self.rise)

    def __call__(self, frames: Frames, types: Sequence[str], /) -> FlatBottomPrior | None:
        """Fitted to `frames`, as they are, without weights: a place that a bias has reached is known.
        None for a chain too short, or too few frames to know where it ends.
        """
        chosen = SitePairs(offset=self.offset)
        if len(frames) < FEWEST or chosen.missing_on(frames.system):
            return None
        pairs = chosen.pairs(frames.system)
        distances = geometry.distance(np.asarray(frames.positions, float), pairs)
        lower = np.quantile(distances, max(SHARE, BEYOND / len(frames)), axis=0)
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
