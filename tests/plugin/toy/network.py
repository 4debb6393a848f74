"""A network: a Potential with parameters. It describes its sites, so its runs are guarded."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from cgrec import Frames, Potential
from cgrec.potential.graph import SiteGraph


class SoftPairs(Potential):
    """U = sum over pairs of a radial Gaussian expansion, one set of coefficients for all types.

    Args:
        types: site types.
        n_centres: Gaussians from 0 to `reach`.
        reach: nm.
        scale: kJ/mol that a coefficient of one stands for.
    """

    def __init__(
        self,
        *,
        types,
        n_centres: int = 6,
        reach: float = 2.0,
        scale: float = 1.0,
        cutoff: float = 0.0,
    ) -> None:
        super().__init__(types=types, cutoff=cutoff, n_centres=n_centres, reach=reach, scale=scale)
        self.reach_of_centres = reach
        self.scale = scale
        self.coefficients = nn.Parameter(torch.zeros(n_centres))
        self.register_buffer(
            "centres", torch.linspace(0, reach, n_centres, dtype=torch.float64), persistent=False
        )

    @classmethod
    def shapes(cls, config):
        return {"coefficients": (config.get("n_centres", 6),)}

    @classmethod
    def for_frames(
        cls, frames: Frames, seed: int = 0, *, n_centres: int = 6, reach: float = 2.0
    ) -> SoftPairs:
        """Untrained, its unit from the forces of `frames`."""
        scale = float(np.sqrt(np.mean(np.asarray(frames.need_forces()) ** 2))) * reach
        return cls(
            types=sorted(set(frames.system.types)), n_centres=n_centres, reach=reach, scale=scale
        )

    def _distances(self, graph: SiteGraph) -> Tensor:
        """(n_frames, n_sites, n_sites) nm, one on the diagonal, where the derivative of a distance
        has no meaning.
        """
        x = graph.per_frame(graph.positions)
        square = (x[:, :, None] - x[:, None]).square().sum(-1)
        return (square + torch.eye(x.shape[1], dtype=x.dtype, device=x.device)).sqrt()

    def energy(self, graph: SiteGraph) -> Tensor:
        radial = self._radial(self._distances(graph)).sum(2)
        return self.scale * (radial @ self.coefficients.to(radial.dtype)).sum(1)

    def descriptors(self, graph: SiteGraph) -> Tensor:
        return self._radial(self._distances(graph)).sum(2).flatten(0, 1)

    def _radial(self, distances: Tensor) -> Tensor:
        width = self.reach_of_centres / len(self.centres)
        pairs = 1 - torch.eye(distances.shape[1], dtype=distances.dtype, device=distances.device)
        return pairs[..., None] * torch.exp(-(((distances[..., None] - self.centres) / width) ** 2))
