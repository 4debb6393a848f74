"""`Watch`: a guard stops the replicas that leave what the potential was trained on."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ...frames import Frames
from ...potential.base import Potential
from ...roles import Guard, Replicas
from ...units import thermal_energy
from .hook import Hook

#: Looks in a row at which a replica is beyond the bound before it is stopped. A model's tails are a
#: little wider than its parent's, and most replicas that cross the bound are back at the next look:
#: of 128 of CLN025's alpha carbons 24 did so in 200 looks, 14 of them for three looks at most. What
#: they are beyond it is not kept.
PATIENCE = 4
#: Score that stops a replica at once: no tail reaches so far.
FAR = 1.5


class Watch(Hook):
    """Asks a guard for the score of each replica at each saved frame.

    Args:
        guard: whose score above 1 keeps a frame out of the ensemble; above 1 at `PATIENCE` looks in a
            row, or above `FAR` at one, it stops the replica.
    """

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.largest: float | None = None
        self.beyond: Tensor | None = None

    def begin(self, replicas: Replicas, potential: Potential, start: Frames) -> None:
        self.largest = None
        self.beyond = None

    def at_frame(self, replicas: Replicas) -> None:
        """Stop replicas that stay beyond the bound, leave out those that are, and note the largest
        score of those that go on.
        """
        score = self.guard.score(replicas.graph(torch.nan_to_num(replicas.positions)))
        # A hot rung wanders further: variances grow as its temperature does.
        score = score / (replicas.kT[:, 0, 0] / thermal_energy(replicas.temperature)).sqrt()
        before = 0 if self.beyond is None else self.beyond
        self.beyond = torch.where(score <= 1, 0, before + 1)
        replicas.lose(
            replicas.alive & ((self.beyond >= PATIENCE) | ~(score <= FAR)),
            "left the region the potential was trained on",
            score=score,
        )
        replicas.aside = self.beyond > 0
        if bool(replicas.alive.any()):
            self.largest = max(self.largest or 0.0, float(score[replicas.alive].max()))

    def state(self) -> object:
        return {"largest": self.largest, "beyond": self.beyond}

    def restore(self, state: object, replicas: Replicas) -> None:
        # a checkpoint from before there was patience holds the largest score alone
        held = state if isinstance(state, dict) else {"largest": state, "beyond": None}
        self.largest = held["largest"] if isinstance(held["largest"], float) else None
        beyond = held["beyond"]
        self.beyond = beyond.to(replicas.positions.device) if torch.is_tensor(beyond) else None

    def about(self) -> Mapping[str, object]:
        if self.largest is None:
            return {}
        return {"guard": {**self.guard.about(), "largest_score": self.largest}}
