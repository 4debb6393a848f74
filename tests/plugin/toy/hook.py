"""A hook: a spring holds the ends together, and counts how often it was looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from cgrec import Frames, Potential
from cgrec.dynamics import Hook
from cgrec.roles import Replicas


class Tether(Hook):
    """U = 1/2 spring |r_last - r_first|^2, which the weights of frames take out again.

    Args:
        spring: kJ/mol/nm^2.
    """

    pushes = True

    def __init__(self, spring: float = 10.0) -> None:
        if spring < 0:
            raise ValueError(f"Tether: expected a spring of 0 or more, found {spring}")
        self.spring = spring

    def begin(self, replicas: Replicas, potential: Potential, start: Frames) -> None:
        self.looks = 0

    def push(self, replicas: Replicas) -> tuple[Tensor, Tensor]:
        apart = replicas.positions[:, -1] - replicas.positions[:, 0]
        forces = torch.zeros_like(replicas.positions)
        forces[:, 0] = self.spring * apart
        forces[:, -1] = -self.spring * apart
        return 0.5 * self.spring * apart.square().sum(-1), forces

    def at_frame(self, replicas: Replicas) -> None:
        self.looks += 1

    def state(self) -> object:
        return self.looks

    def restore(self, state: object, replicas: Replicas) -> None:
        self.looks = cast(int, state)

    def about(self) -> Mapping[str, object]:
        return {"tether": {"spring": self.spring, "looks": self.looks}}
