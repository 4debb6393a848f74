"""`PairStiffness`: a trainable harmonic network, exact for Gaussian systems. The recursion is
tested with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..frames import Frames
from ..system import System
from .base import Potential
from .graph import SiteGraph


class PairStiffness(Potential):
    """U = 1/2 sum_{i<j} k_ij |r_i - r_j|^2 with one k for every pair of sites of one System.

    Args:
        types: site types.
        n_sites: of the System.
        scale: kJ/mol/nm^2 that a parameter of one stands for.
    """

    def __init__(
        self, *, types: Sequence[str], n_sites: int, scale: float = 1.0, cutoff: float = 0.0
    ) -> None:
        super().__init__(types=types, cutoff=cutoff, n_sites=n_sites, scale=scale)
        self.scale = scale
        self.n_sites = n_sites
        self.first, self.second = torch.triu_indices(n_sites, n_sites, 1)
        self.stiffness = nn.Parameter(torch.zeros(len(self.first)))

    def check(self, system: System) -> None:
        if system.n_sites != self.n_sites:
            raise ValueError(
                f"PairStiffness was made for a System of {self.n_sites} sites, this one has "
                f"{system.n_sites}: make one for it"
            )

    def energy(self, graph: SiteGraph) -> Tensor:
        positions = graph.per_frame(graph.positions)
        square = (positions[:, self.first] - positions[:, self.second]).square().sum(-1)
        return 0.5 * self.scale * (square @ self.stiffness.to(square.dtype))

    @classmethod
    def for_frames(cls, frames: Frames, seed: int = 0) -> PairStiffness:
        """Untrained, of the size of `frames`; its unit is the root mean square force over that of
        the extension.
        """
        # Extension about each frame's own centre: free chains diffuse, and their place says nothing
        # about springs.
        extension = frames.positions - frames.positions.mean(1, keepdims=True)
        scale = float(np.std(frames.need_forces()) / np.std(extension))
        return cls(types=sorted(set(frames.system.types)), n_sites=frames.n_sites, scale=scale)
