"""`ExcludedVolume`: the wall every level stands behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...bonds import close_pairs
from ...frames import Frames
from ...ranges import expect, expect_reach
from ...system import System
from ...units import thermal_energy
from ..base import Potential
from ..bond_graph import BondGraph, BondGraphConfig, check_edges
from ..graph import SiteGraph
from .contacts import among, contact_distances

#: Sites of all frames together in which contacts are looked for: seconds of work.
MOST_SITES = 1_000_000
#: Frames at least, however many sites they have: two for each of the blocks of `contacts`.
FEWEST_FRAMES = 40


class ExcludedVolume(Potential):
    """Repulsive wall kT (d / r)^12 between sites more than two bonds apart, d per pair of types.

    d is how close the pair comes in the data (see `contacts`), so the wall costs 1 kT there and
    little elsewhere.

    Args:
        types: site types.
        cutoff: nm, reach of the wall (smoothed to zero there).
        energy: kJ/mol, its height at d.
        diameters: (n_types, n_types) nm, symmetric.
        n_sites: of the System `excluded` belongs to. A System of copies of it, one after the other,
            is served as well.
        excluded: site pairs (both orders) closer than three bonds, as indices of that System.
        bond_graph: of that System (`BondGraph.config`): another one is refused.
    """

    diameters: Tensor
    first: Tensor
    partners: Tensor
    codes: Tensor

    def __init__(
        self,
        *,
        types: Sequence[str],
        cutoff: float,
        energy: float,
        diameters: Sequence[Sequence[float]],
        n_sites: int,
        excluded: Sequence[Sequence[int]] = (),
        bond_graph: BondGraphConfig | None = None,
    ) -> None:
        super().__init__(
            types=types,
            cutoff=cutoff,
            energy=energy,
            diameters=diameters,
            n_sites=n_sites,
            excluded=excluded,
            bond_graph=bond_graph,
        )
        self.height = energy
        self.n_sites = n_sites
        self.bond_graph = BondGraph.from_config(bond_graph)
        self.register_buffer(
            "diameters", torch.tensor(diameters, dtype=torch.float64), persistent=False
        )
        # Row s of `partners` is first[s]:first[s + 1]: two numbers a pair instead of a square of
        # all sites.
        pairs = np.unique(np.array(excluded, dtype=np.int64).reshape(-1, 2), axis=0)
        first = np.searchsorted(pairs[:, 0], np.arange(n_sites + 1))
        self.register_buffer("first", torch.from_numpy(first), persistent=False)
        self.register_buffer(
            "partners", torch.from_numpy(np.ascontiguousarray(pairs[:, 1])), persistent=False
        )
        self.register_buffer("codes", torch.from_numpy(pairs @ [n_sites, 1]), persistent=False)

    def check(self, system: System) -> None:
        if self.bond_graph is not None and len(self.partners):
            self.bond_graph.check(system, "ExcludedVolume")
        elif len(self.partners):
            # Among pairs one or two bonds apart nobody knows which are bonds: only a bond between
            # copies tells.
            check_edges(system, [], self.n_sites, "ExcludedVolume")

    def compiled(self) -> Potential:
        from ..pairs import CompiledPairs, library

        if self.device.type != "cpu" or library() is None:
            return self
        first = self.first if len(self.partners) else self.first[:0]
        return CompiledPairs(
            self, "excluded_volume", self.diameters, first, self.partners, self.n_sites, self.height
        )

    def energy(self, graph: SiteGraph) -> Tensor:
        r = graph.neighbour_vectors().norm(dim=-1)
        ratio = self.diameters[graph.species[:, None], graph.species[graph.neighbour_index]] / r
        x = r / self.cutoff
        wall = torch.where(x < 1, ratio**12 * (1 - x**2) ** 3, 0.0)
        if len(self.partners):
            wall = wall.masked_fill(among(self.codes, graph, self.n_sites), 0.0)
        return 0.5 * self.height * graph.per_frame(wall.sum(1)).sum(1)

    @classmethod
    def fit(
        cls,
        frames: Frames,
        types: Sequence[str],
        cutoff: float,
        most_frames: int = 2000,
        height: float = 1.0,
    ) -> ExcludedVolume:
        """Diameters by `contact_distances` among at most `most_frames` frames (fewer of many
        sites); `height` is in kT.
        """
        excluded = close_pairs(frames.n_sites, frames.system.bonds)
        wall = cls(
            types=types,
            cutoff=cutoff,
            energy=height * thermal_energy(frames.temperature),
            n_sites=frames.n_sites,
            excluded=excluded.tolist(),
            bond_graph=BondGraph.of(frames.system).config,
            diameters=np.zeros((len(types),) * 2).tolist(),
        )
        most = int(
            np.clip(MOST_SITES // frames.n_sites, min(FEWEST_FRAMES, most_frames), most_frames)
        )
        every = -(-len(frames) // most)
        diameters = contact_distances(wall, frames[::every])
        return cls(**{**wall.config, "diameters": diameters.tolist()}).made_at(frames.temperature)


@dataclass(frozen=True, kw_only=True)
class Repulsion:
    """The prior of all pairs more than two bonds apart: an `ExcludedVolume`.

    Args:
        cutoff: nm, its reach.
        height: kT it costs to be as close as the closest pairs of the data.
        most_frames: in which contacts are looked for.
    """

    cutoff: float
    height: float = 1.0
    most_frames: int = 2000

    def __post_init__(self) -> None:
        expect("Repulsion", at_least=0, cutoff=self.cutoff)  # 0: of a network that sees nothing
        expect("Repulsion", above=0, height=self.height)
        expect_reach("Repulsion", cutoff=self.cutoff)
        expect("Repulsion", at_least=1, most_frames=self.most_frames)

    def __call__(self, frames: Frames, types: Sequence[str], /) -> ExcludedVolume:
        """Fitted to `frames`."""
        return ExcludedVolume.fit(frames, types, self.cutoff, self.most_frames, self.height)
