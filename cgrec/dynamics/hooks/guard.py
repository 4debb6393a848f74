"""`Watch`: a guard stops the replicas that leave what the potential was trained on."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ...frames import Frames
from ...potential.base import Potential
from ...roles import Guard, Replicas
from ...units import thermal_energy
from .hook import Hook


class Watch(Hook):
    """Asks a guard for the score of each replica at each saved frame.

    Args:
        guard: whose score above 1 stops a replica.
    """

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.largest: float | None = None

    def begin(self, replicas: Replicas, potential: Potential, start: Frames) -> None:
        self.largest = None

    def at_frame(self, replicas: Replicas) -> None:
        """Stop replicas beyond the bound, and note the largest score of those that go on."""
        score = self.guard.score(replicas.graph(torch.nan_to_num(replicas.positions)))
        # A hot rung wanders further: variances grow as its temperature does.
        score = score / (replicas.kT[:, 0, 0] / thermal_energy(replicas.temperature)).sqrt()
        replicas.lose(
            replicas.alive & ~(score <= 1),
            "left the region the potential was trained on",
            score=score,
        )
        if bool(replicas.alive.any()):
            self.largest = max(self.largest or 0.0, float(score[replicas.alive].max()))

    def state(self) -> object:
        return self.largest

    def restore(self, state: object, replicas: Replicas) -> None:
        self.largest = state if isinstance(state, float) else None

    def about(self) -> Mapping[str, object]:
        if self.largest is None:
            return {}
        return {"guard": {**self.guard.about(), "largest_score": self.largest}}
