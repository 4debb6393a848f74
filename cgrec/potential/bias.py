"""`MetadynamicsBias`: a bias on one or two collective variables that helps replicas over barriers.

It is a Potential like any other, but its force never enters a force label: the simulator keeps it
apart and gives the frames the weight exp(+V / kT) instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..system import System
from ..units import thermal_energy
from ..variables import variables_from_config
from .base import Potential
from .graph import SiteGraph


class MetadynamicsBias(Potential):
    """Well-tempered metadynamics of many walkers on a grid of smooth bumps (Barducci, Bussi,
    Parrinello, PRL 100, 020603 (2008)).

    V(s) = sum over grid points of height x product of von Mises bumps: smooth and periodic, so
    forces come by autograd. Only dihedrals are supported, as they are what is slow in molecules.
    While it grows the walkers share it; frames are worth keeping only once it is frozen, with
    weight exp(V / kT).

    Args:
        types: site types of the potential it is added to.
        variables: {name: four site labels}.
        temperature: K.
        bias_factor: gamma; the walkers see F / gamma at convergence.
        height: kJ/mol deposited per walker at first.
        points: grid points per variable.
    """

    grid: Tensor
    heights: Tensor

    def __init__(
        self,
        *,
        types: Sequence[str],
        variables: Mapping[str, Sequence[str]],
        temperature: float,
        bias_factor: float = 6.0,
        height: float = 0.05,
        points: int = 36,
        cutoff: float = 0.0,
    ) -> None:
        plain = {name: list(sites) for name, sites in variables.items()}
        super().__init__(
            types=types,
            cutoff=cutoff,
            variables=plain,
            temperature=temperature,
            bias_factor=bias_factor,
            height=height,
            points=points,
        )
        self.variables = variables_from_config(plain)
        unfit = [v.name for v in self.variables if not v.periodic]
        if unfit or not 1 <= len(plain) <= 2:
            raise ValueError(
                "MetadynamicsBias: expected one or two dihedrals (four sites each), found "
                f"{list(plain)}; not dihedrals: {unfit}"
            )
        self.temperature = temperature
        self.bias_factor = bias_factor
        self.height = height
        self.register_buffer(
            "grid", torch.arange(points, dtype=torch.float64) * (2 * math.pi / points) - math.pi
        )
        self.register_buffer("heights", torch.zeros((points,) * len(plain), dtype=torch.float64))
        self.concentration = (points / (2 * math.pi * 1.2)) ** 2  # bumps 1.2 grid steps wide
        self.system: System | None = None

    def bind(self, system: System) -> MetadynamicsBias:
        """Tell it which System's sites its labels mean. Raises KeyError where one does not exist."""
        for variable in self.variables:
            variable.indices(system)
        self.system = system
        return self

    def energy(self, graph: SiteGraph) -> Tensor:
        return self.value(self.coordinates(graph))

    def coordinates(self, graph: SiteGraph) -> Tensor:
        """(n_frames, n_variables) rad."""
        if self.system is None:
            raise RuntimeError("MetadynamicsBias: call bind(system) before the first energy")
        positions = graph.per_frame(graph.positions)
        return torch.stack([v.values(positions, self.system) for v in self.variables], dim=-1)

    def value(self, coordinates: Tensor) -> Tensor:
        """(n_frames,) bias in kJ/mol at (n_frames, n_variables)."""
        bumps = torch.exp(self.concentration * (torch.cos(coordinates[..., None] - self.grid) - 1))
        out = self.heights
        if len(self.variables) == 1:
            return bumps[:, 0] @ out
        return ((bumps[:, 0] @ out) * bumps[:, 1]).sum(-1)

    def deposit(self, coordinates: Tensor) -> None:
        """Let every walker at (n_walkers, n_variables) raise the bias under it, the less the higher
        it stands already.
        """
        kT = thermal_energy(self.config["temperature"])
        heights = self.height * torch.exp(-self.value(coordinates) / (kT * (self.bias_factor - 1)))
        points = len(self.grid)
        place = torch.round((coordinates + math.pi) * (points / (2 * math.pi))).long() % points
        self.heights.index_put_(tuple(place.T), heights, accumulate=True)
