"""`BiasPlan`: a bias that grows, is frozen, and helps replicas over barriers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ...frames import Frames
from ...potential.base import Potential
from ...potential.bias import MetadynamicsBias
from ...ranges import expect
from ...roles import Replicas
from ...run import layout
from .hook import Hook


class BiasPlan(Hook):
    """Grow a well-tempered metadynamics bias for a while, then freeze it and sample.

    Args:
        variables: {name: [four site labels]}, one or two dihedrals.
        growth: ps per replica during which the bias grows, before equilibration.
        bias_factor: how flat the landscape becomes: free energies are divided by it.
        height: kJ/mol each walker adds at first per `every` steps.
        every: steps between deposits.
        points: grid points per variable.
    """

    pushes = True
    bias: MetadynamicsBias

    def __init__(
        self,
        *,
        variables: dict[str, list[str]],
        growth: float,
        bias_factor: float = 6.0,
        height: float = 0.05,
        every: int = 25,
        points: int = 36,
    ) -> None:
        expect("BiasPlan", above=0, height=height)
        expect("BiasPlan", above=1, bias_factor=bias_factor)
        expect("BiasPlan", at_least=0, growth=growth)
        expect("BiasPlan", at_least=1, every=every, points=points)
        self.variables = variables
        self.growth = growth
        self.warm_up = growth
        self.bias_factor = bias_factor
        self.height = height
        self.every = every
        self.points = points

    def make(self, potential: Potential, start: Frames) -> MetadynamicsBias:
        """The empty bias for these frames."""
        bias = MetadynamicsBias(
            types=potential.types,
            variables=self.variables,
            temperature=start.temperature,
            bias_factor=self.bias_factor,
            height=self.height,
            points=self.points,
        )
        return bias.bind(start.system)

    def begin(self, replicas: Replicas, potential: Potential, start: Frames) -> None:
        self.bias = self.make(potential, start).to(potential.device)
        self.growing = round(self.growth / replicas.timestep)  # steps

    def push(self, replicas: Replicas) -> tuple[Tensor, Tensor]:
        return self.bias(replicas.graph())

    def after_step(self, replicas: Replicas) -> None:
        """Let the walkers raise the bias under them, while it grows."""
        if replicas.step <= self.growing and replicas.step % self.every == 0:
            self.bias.deposit(self.bias.coordinates(replicas.graph())[replicas.alive])

    def about_lost(self, replicas: Replicas, replica: int) -> Mapping[str, float]:
        """Its variables there."""
        values = self.bias.coordinates(replicas.graph())[replica].tolist()
        return {variable.name: value for variable, value in zip(self.bias.variables, values)}

    def state(self) -> object:
        return self.bias.heights

    def restore(self, state: object, replicas: Replicas) -> None:
        self.bias.heights.copy_(torch.as_tensor(state))

    def finish(self, folder: Path) -> None:
        self.bias.save(folder / layout.BIAS)
