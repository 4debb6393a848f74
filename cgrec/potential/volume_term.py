"""`VolumeTerm`: what the volume itself costs, which forces at one volume cannot see."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..ranges import expect
from .base import Potential
from .graph import SiteGraph


class VolumeTerm(Potential):
    """U(V) = N sum_k c_k (v / v0 - 1)^k, v = V / N the volume of a site.

    A potential of mean force on fewer sites depends on the volume, too: degrees of freedom that were
    averaged over press as well (A. Das, H. C. Andersen, J. Chem. Phys. 132, 164106 (2010)). The term
    moves no site and is felt at changing volume alone.

    Args:
        types: site types, for `Potential`.
        volume: nm^3 a site, v0.
        coefficients: c_1, c_2, ... kJ/mol a site.
    """

    own_forces = True

    coefficients: Tensor

    def __init__(
        self,
        *,
        types: Sequence[str],
        volume: float,
        coefficients: Sequence[float],
        cutoff: float = 0.0,
    ) -> None:
        super().__init__(types=types, cutoff=cutoff, volume=volume, coefficients=coefficients)
        expect("VolumeTerm", above=0, volume=volume)
        self.volume = volume
        values = torch.tensor(list(coefficients), dtype=torch.float64)
        self.register_buffer("coefficients", values, persistent=False)

    def energy(self, graph: SiteGraph) -> Tensor:
        if graph.box is None:
            raise ValueError("VolumeTerm: expected a system in a box, found an open one")
        n = graph.sites_per_frame
        strain = torch.linalg.det(graph.box.double()).abs() / (n * self.volume) - 1
        powers = torch.arange(1, len(self.coefficients) + 1, device=strain.device)
        return n * (strain[:, None] ** powers @ self.coefficients)

    def forward(self, graph: SiteGraph, differentiable: bool = False) -> tuple[Tensor, Tensor]:
        """No force on any site."""
        return self.energy(graph), torch.zeros_like(graph.positions)

    def compiled(self) -> Potential:
        return self
