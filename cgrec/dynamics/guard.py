"""Extrapolation guards: is a replica still where the potential was trained?"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor

from .. import geometry
from ..frames import Frames
from ..potential import Committee, DensityNetwork, SumPotential
from ..potential.base import Potential
from ..potential.graph import SiteGraph


class Guard(ABC):
    """Says per replica how far out it is; above 1 the replica is stopped."""

    @abstractmethod
    def score(self, graph: SiteGraph) -> Tensor:
        """(n_frames,)."""


class CommitteeGuard(Guard):
    """Spread of a committee's forces over the largest one allowed.

    Args:
        committee: members trained from different seeds.
        threshold: kJ/mol/nm.
    """

    def __init__(self, committee: Committee, threshold: float) -> None:
        self.committee, self.threshold = committee, threshold

    def score(self, graph: SiteGraph) -> Tensor:
        return self.committee.force_spread(graph) / self.threshold


class FeatureGuard(Guard):
    """Mahalanobis distance of each site's descriptor from those of its type in training, over the largest seen there.

    The length of every bond is watched in the same way: a site that has left all others sees nothing, and nothing can lie
    nearer to the mean descriptor than much of the training set does.

    Args:
        network: whose descriptors are used.
        mean: (n_types, n_features); whiten: (n_types, n_features, n_kept); reach: (n_types,) largest training distance.
        bonds: (n_bonds, 2) sites; lengths: (n_bonds,) nm mean; stretch: (n_bonds,) nm largest training deviation from it.
        margin: how many times `reach` and `stretch` are still trusted.
    """

    def __init__(
        self, network: DensityNetwork, mean: Tensor, whiten: Tensor, reach: Tensor, bonds: Tensor, lengths: Tensor, stretch: Tensor,
        margin: float,
    ) -> None:  # fmt: skip
        self.network, self.mean, self.whiten, self.reach = network, mean, whiten, reach
        self.bonds, self.lengths, self.stretch, self.margin = bonds, lengths, stretch, margin

    @torch.no_grad()
    def score(self, graph: SiteGraph) -> Tensor:
        x = self.network.descriptors(graph).double() - self.mean[graph.species]
        distance = torch.bmm(x[:, None], self.whiten[graph.species])[:, 0].norm(dim=1)
        score = graph.per_frame(distance / self.reach[graph.species]).amax(1)
        if len(self.bonds):
            length = geometry.distance(graph.per_frame(graph.positions), self.bonds)
            score = torch.maximum(score, ((length - self.lengths).abs() / self.stretch).amax(1))
        return score / self.margin

    @classmethod
    def fit(
        cls,
        potential: Potential,
        frames: Frames,
        *,
        margin: float = 2.0,
        components: int = 24,
        most_frames: int = 4000,
    ) -> FeatureGuard:
        """The guard of `potential` (a network, or a sum with one) trained on `frames`.

        Only the `components` strongest directions of each type are compared: in weaker ones a distance is noise.
        """
        network = find_network(potential)
        graphs = [network.graph(part) for part in _parts(frames, most_frames)]
        with torch.no_grad():
            described = torch.cat([network.descriptors(g).double() for g in graphs])
        species = torch.cat([g.species for g in graphs])
        n_types, width = len(network.types), described.shape[1]
        mean, whiten = (
            torch.zeros(n_types, width, dtype=torch.float64),
            torch.zeros(n_types, width, components, dtype=torch.float64),
        )
        reach = torch.full((n_types,), 1e-9, dtype=torch.float64)
        for kind in species.unique().tolist():
            x = described[species == kind]
            mean[kind] = x.mean(0)
            values, vectors = torch.linalg.eigh(torch.cov(x.T))
            strong = values[-components:].clamp_min(1e-6 * values[-1])
            whiten[kind, :, : len(strong)] = vectors[:, -components:] / strong.sqrt()
            reach[kind] = ((x - mean[kind]) @ whiten[kind]).norm(dim=1).max()
        bonds = torch.as_tensor(np.array(frames.system.bonds, dtype=int).reshape(-1, 2))
        length = geometry.distance(torch.from_numpy(np.array(frames.positions, float)), bonds)
        stretch = (length - length.mean(0)).abs().amax(0).clamp_min(1e-3)
        return cls(network, mean, whiten, reach, bonds, length.mean(0), stretch, margin)


def find_network(potential: Potential) -> DensityNetwork:
    """The network in a potential. Raises TypeError where there is none: only a network has descriptors."""
    candidates = list(potential.parts) if isinstance(potential, SumPotential) else [potential]
    for candidate in candidates:
        if isinstance(candidate, DensityNetwork):
            return candidate
    raise TypeError(f"expected a DensityNetwork or a sum with one, found {type(potential).__name__}")


def _parts(frames: Frames, most: int) -> list[Frames]:
    which = np.unique(np.linspace(0, len(frames) - 1, min(most, len(frames))).astype(int))
    return [frames[part] for part in np.array_split(which, -(-len(which) // 512))]
