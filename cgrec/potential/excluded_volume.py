"""`ExcludedVolume`: the wall every level stands behind."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.sparse import coo_array
from torch import Tensor

from ..frames import Frames
from ..system import System
from ..units import thermal_energy
from .base import Potential
from .graph import SiteGraph


class ExcludedVolume(Potential):
    """Repulsive wall kT (d / r)^12 between sites more than two bonds apart, d per pair of types.

    d is the shortest distance of the pair in the data, so the wall costs 1 kT there and little elsewhere; pairs of
    types never seen within the cutoff get the cutoff's half.

    Args:
        types: site types.
        cutoff: nm, reach of the wall (smoothed to zero there).
        energy: kJ/mol, its height at d.
        diameters: (n_types, n_types) nm, symmetric.
        excluded: site pairs (both orders) closer than three bonds, as indices of one System of `n_sites`. A System of
            copies of it, one after the other, is served as well.
    """

    diameters: Tensor
    excluded: Tensor

    def __init__(
        self,
        *,
        types: Sequence[str],
        cutoff: float,
        energy: float,
        diameters: Sequence[Sequence[float]],
        n_sites: int,
        excluded: Sequence[Sequence[int]] = (),
    ) -> None:
        super().__init__(
            types=types, cutoff=cutoff, energy=energy, diameters=diameters, n_sites=n_sites, excluded=excluded
        )
        self.height, self.n_sites = energy, n_sites
        self.register_buffer("diameters", torch.tensor(diameters, dtype=torch.float64), persistent=False)
        mask = (
            torch.zeros(n_sites, n_sites, dtype=torch.bool)
            if len(excluded)
            else torch.zeros(0, 0, dtype=torch.bool)
        )
        if len(excluded):
            mask[tuple(torch.tensor(excluded).T)] = True
        self.register_buffer("excluded", mask, persistent=False)

    def compiled(self) -> Potential:
        from .pairs import CompiledPairs, library

        if self.device.type != "cpu" or library() is None:
            return self
        excluded = self.excluded.to(torch.uint8).contiguous()
        return CompiledPairs(self, "excluded_volume", self.diameters, excluded, self.n_sites, self.height)

    def energy(self, graph: SiteGraph) -> Tensor:
        r = graph.neighbour_vectors().norm(dim=-1)
        ratio = self.diameters[graph.species[:, None], graph.species[graph.neighbour_index]] / r
        x = r / self.cutoff
        wall = torch.where(x < 1, ratio**12 * (1 - x**2) ** 3, 0.0)
        if self.excluded.numel():
            own, other = torch.arange(len(r), device=r.device)[:, None], graph.neighbour_index
            pair = self.excluded[own % self.n_sites, other % self.n_sites]
            wall = wall.masked_fill(pair & (own // self.n_sites == other // self.n_sites), 0.0)
        return 0.5 * self.height * graph.per_frame(wall.sum(1)).sum(1)

    @classmethod
    def fit(
        cls, frames: Frames, types: Sequence[str], cutoff: float, most_frames: int = 2000, height: float = 1.0
    ) -> ExcludedVolume:
        """Diameters from the shortest distance of each pair of types among at most `most_frames` frames; `height` is in kT."""
        excluded = _close_pairs(frames.system)
        wall = cls(
            types=types,
            cutoff=cutoff,
            energy=height * thermal_energy(frames.temperature),
            n_sites=frames.n_sites,
            excluded=excluded,
            diameters=np.full((len(types),) * 2, cutoff / 2).tolist(),
        )
        shortest = np.full((len(types), len(types)), np.inf)
        for start in range(0, len(frames), step := max(1, len(frames) // most_frames) * 50):
            graph = wall.graph(frames[start : start + step : max(1, len(frames) // most_frames)])
            _shortest(wall, graph, shortest)
        shortest = np.minimum(shortest, shortest.T)
        diameters = np.where(np.isfinite(shortest), shortest, cutoff / 2)
        return cls(**{**wall.config, "diameters": diameters.tolist()})


def _close_pairs(system: System) -> list[list[int]]:
    """Both orders of all pairs one or two bonds apart."""
    i, j = system.bonds.T
    n = system.n_sites
    step = coo_array((np.ones(len(i)), (i, j)), shape=(n, n))
    bonded = (step + step.T).tocsr()
    near = (bonded + bonded @ bonded).tocoo()
    return [[int(a), int(b)] for a, b in zip(near.row, near.col) if a != b]


def _shortest(wall: ExcludedVolume, graph: SiteGraph, shortest: np.ndarray) -> None:
    r = graph.neighbour_vectors().norm(dim=-1).numpy()
    own = np.arange(len(r))[:, None] % wall.n_sites
    near = r < wall.cutoff
    if wall.excluded.numel():
        near &= ~wall.excluded.numpy()[own, graph.neighbour_index.numpy() % wall.n_sites]
    pair = (
        np.broadcast_to(graph.species.numpy()[:, None], r.shape)[near],
        graph.species[graph.neighbour_index].numpy()[near],
    )
    np.minimum.at(shortest, pair, r[near])
