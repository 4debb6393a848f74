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
from .pulled_dihedral import PulledDihedral


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
        self.sites: list[list[int]] = []  # of each variable, once they are known

    def bind(self, system: System) -> MetadynamicsBias:
        """Tell it which System's sites its labels mean. Raises KeyError where one does not exist."""
        self.sites = [[system.site(label) for label in v.sites] for v in self.variables]
        return self

    def energy(self, graph: SiteGraph) -> Tensor:
        return self.value(self.coordinates(graph))

    def forward(self, graph: SiteGraph, differentiable: bool = False) -> tuple[Tensor, Tensor]:
        if differentiable:
            return super().forward(graph, differentiable)
        with torch.no_grad():
            dihedrals = self._dihedrals(graph)
            energy, slopes = self._value_and_slopes(_values(dihedrals))
            forces = torch.zeros_like(graph.positions)
            for dihedral, slope in zip(dihedrals, slopes.unbind(-1)):
                dihedral.push(slope, graph.per_frame(forces))
        return energy, forces

    def coordinates(self, graph: SiteGraph) -> Tensor:
        """(n_frames, n_variables) rad."""
        return _values(self._dihedrals(graph))

    def _dihedrals(self, graph: SiteGraph) -> list[PulledDihedral]:
        if not self.sites:
            raise RuntimeError("MetadynamicsBias: call bind(system) before the first energy")
        positions = graph.per_frame(graph.positions)
        return [PulledDihedral(positions, sites) for sites in self.sites]

    def value(self, coordinates: Tensor) -> Tensor:
        """(n_frames,) bias in kJ/mol at (n_frames, n_variables)."""
        return self._joined(self._bumps(coordinates[..., None] - self.grid))[0]

    def _bumps(self, away: Tensor) -> Tensor:
        """Each bump's share at angles `away` from its place."""
        return torch.exp(self.concentration * (torch.cos(away) - 1))

    def _joined(self, bumps: Tensor) -> tuple[Tensor, Tensor | None]:
        """(n_frames,) kJ/mol; of two variables also their heights summed over the first one."""
        if len(self.variables) == 1:
            return bumps[:, 0] @ self.heights, None
        row = bumps[:, 0] @ self.heights
        return (row * bumps[:, 1]).sum(-1), row

    def _value_and_slopes(self, coordinates: Tensor) -> tuple[Tensor, Tensor]:
        """(n_frames,) kJ/mol and its derivatives (n_frames, n_variables), kJ/mol/rad, by the
        operations of autograd.
        """
        away = coordinates[..., None] - self.grid
        bumps = self._bumps(away)
        energy, row = self._joined(bumps)
        if row is None:
            by_bumps = self.heights.expand_as(bumps)
        else:
            by_bumps = torch.stack([bumps[:, 1] @ self.heights.T, row], 1)
        return energy, (by_bumps * bumps * self.concentration * -torch.sin(away)).sum(-1)

    def deposit(self, coordinates: Tensor) -> None:
        """Let every walker at (n_walkers, n_variables) raise the bias under it, the less the higher
        it stands already.
        """
        kT = thermal_energy(self.config["temperature"])
        heights = self.height * torch.exp(-self.value(coordinates) / (kT * (self.bias_factor - 1)))
        points = len(self.grid)
        place = torch.round((coordinates + math.pi) * (points / (2 * math.pi))).long() % points
        self.heights.index_put_(tuple(place.T), heights, accumulate=True)


def _values(dihedrals: Sequence[PulledDihedral]) -> Tensor:
    """(n_frames, n_variables) rad."""
    return torch.stack([dihedral.value for dihedral in dihedrals], dim=-1)
