"""`Learner`: the potential that is trained, its averaged weights, and the step of the optimiser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

import torch
from pytorch_optimizer import SOAP
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..potential.base import Potential
from .schedule import Schedule

#: Largest norm of a gradient. The objective is of order one, and so are its gradients: ten is what
#: a single frame far from all others makes, which must not throw the weights away.
CLIP = 10.0


class LearnerState(TypedDict):
    """A `Learner` in a checkpoint."""

    potential: Mapping[str, Tensor]
    averaged: Mapping[str, Tensor]
    optimiser: dict[str, object]


class Learner:
    """The potential that is trained, its averaged weights, and the step of the optimiser.

    Args:
        potential: trained in place.
        schedule: learning rate of each step.
        weight_decay: decoupled from the gradient, as in AdamW.
        average: decay of the exponential moving average of the weights.
        compiled: evaluate through `Potential.compiled`.

    Attributes:
        evaluate, evaluate_average: the potential and its average, as they are evaluated.
    """

    def __init__(
        self,
        potential: Potential,
        schedule: Schedule,
        *,
        weight_decay: float,
        average: float,
        compiled: bool,
    ) -> None:
        self.potential = potential
        self.schedule = schedule
        self.parameters = [p for p in potential.parameters() if p.requires_grad]
        self.optimiser = SOAP(self.parameters, lr=schedule.peak, weight_decay=weight_decay)
        self.averaged = _Averaged(potential, average)
        smooth = self.smooth
        self.evaluate: nn.Module = potential.compiled() if compiled else potential
        self.evaluate_average: nn.Module = smooth.compiled() if compiled else smooth

    @property
    def smooth(self) -> Potential:
        """The potential with averaged weights."""
        found = self.averaged.module
        assert isinstance(found, Potential)  # a copy of the potential
        return found

    def step(self, objective: Tensor, step: int) -> None:
        """Go down the gradient of an objective."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule(step)
        self.optimiser.zero_grad()
        objective.backward()
        nn.utils.clip_grad_norm_(self.parameters, CLIP)
        self.optimiser.step()
        self.averaged.update_parameters(self.potential)

    def gradient(self, objective: Tensor) -> None:
        """Compute the gradient as `step` does, and keep it nowhere."""
        torch.autograd.grad(objective, self.parameters, allow_unused=True)

    def to_state(self) -> LearnerState:
        """For a checkpoint."""
        return {
            "potential": self.potential.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def load_state(self, state: LearnerState) -> None:
        """Inverse of `to_state`."""
        self.potential.load_state_dict(state["potential"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])


class _Averaged(AveragedModel):
    """A copy of a potential whose weights follow by an exponential moving average.

    `AveragedModel` finds and sorts the weights again at each step, which in a small fit takes as
    long as the network; what is computed is the same.
    """

    def __init__(self, potential: Potential, decay: float) -> None:
        super().__init__(potential)
        self._move = get_ema_multi_avg_fn(decay)
        self._pairs = list(self.module.parameters()), list(potential.parameters())

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Follow the weights of `model`, the potential that this was made of."""
        if int(self.n_averaged) == 0:
            super().update_parameters(model)
            return
        self._move(*self._pairs, self.n_averaged)
        for own, current in zip(self.module.buffers(), model.buffers()):
            own.copy_(current)
        self.n_averaged += 1
