"""`Problem`: what a fit minimises, over which frames, and the losses of a model on them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..frames import Frames
from ..potential.base import Potential
from ..potential.graph import SiteGraph
from ..roles import Objective
from .data import LabelledGraphs, Order, split, thinned
from .evaluation import Evaluation, Setting
from .objectives import MatchEnergies, MatchForces, MatchTorques, Total
from .options import FitOptions
from .processes import Processes

#: Stream of the random numbers of steps, for objectives that draw some.
_STEPS = 1
#: Stream of those of validations.
_VALIDATION = 2


class Problem:
    """What a fit minimises, and over which frames.

    Args:
        options: of the trainer.
        potential: that is trained.
        frames: with forces.
        priors: subtracted from the labels.
        seed: of the order of frames, and of what objectives draw.
        processes: that share every batch.

    Attributes:
        training, validation: frames with what the priors leave of their labels.
        total: the sum of objectives.
    """

    def __init__(
        self,
        options: FitOptions,
        potential: Potential,
        frames: Frames,
        priors: Sequence[Potential],
        seed: int,
        processes: Processes,
    ) -> None:
        self.batch_size = options.batch_size
        self.most = options.most_validation_frames
        self.numbers, blocks = split(frames, options.validation_fraction)
        held = thinned(np.concatenate(blocks), self.most)
        self.training = LabelledGraphs(potential, frames, self.numbers, priors)
        self.validation = LabelledGraphs(potential, frames, held, priors)
        self.total = Total(objectives_of(options), self.training)
        self.setting = Setting(potential, priors, self.training.scale, seed, processes.mean)
        self.order = Order(len(self.training), options.batch_size, seed, *processes.share)

    def batches(self, begin: int, end: int) -> Iterator[SiteGraph]:
        """Batches of the steps `begin` ... `end`, one at a time."""
        return (self.training[self.order.batch(step)] for step in range(begin, end))

    def by_frame(
        self, model: nn.Module, graph: SiteGraph, step: int
    ) -> tuple[Tensor, Tensor | None]:
        """What `Total` gives for the batch of a step, to be differentiated."""
        stream = (_STEPS, step, self.order.share)
        return self.total(Evaluation(model, graph, self.setting, stream, differentiable=True))

    def objective(self, model: nn.Module, graph: SiteGraph, step: int) -> tuple[Tensor, float]:
        """() what a step goes down, and the force loss of its batch in units of scale^2.

        Raises:
            ValueError: it is not finite; the frames are named.
        """
        by_frame, of_batch = self.by_frame(model, graph, step)
        objective, loss = by_frame[:2] @ graph.frame_weights / len(graph.frame_weights)
        if of_batch is not None:
            objective = objective + of_batch
        # both at once: a GPU is waited for once
        value, said = torch.stack([objective.detach().double(), loss.detach().double()]).tolist()
        if not math.isfinite(value):
            self._name_bad_frame(model, step)
        return objective, said

    def _name_bad_frame(self, model: nn.Module, step: int) -> None:
        batch = self.order.batch(step)
        losses = self.losses(model, self.training, batch)[0]
        bad = self.numbers[batch[~np.isfinite(losses)]].tolist()
        which = f"of frames {bad[:5]}" if bad else "of its energies"
        raise ValueError(
            f"training step {step}: expected a finite loss, found one {which} that is "
            "not; are two sites at one place there? "
            "Leave these frames out, or give a smaller learning_rate"
        )

    @torch.no_grad()
    def losses(
        self, model: nn.Module, data: LabelledGraphs, which: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        """(2 + n_columns, n_frames) losses by frame of `Total`, of frames `which` of the data
        (default: all); the first two in (kJ/mol/nm)^2 per component.
        """
        found = [
            self.total(Evaluation(model, graph, self.setting, (_VALIDATION, k)))[0]
            for k, graph in enumerate(data.batches(self.batch_size, which))
        ]
        losses: NDArray[np.float64] = torch.cat(found, 1).cpu().numpy()
        return np.concatenate([losses[:2] * self.setting.scale**2, losses[2:]])

    def losses_of_training(
        self, model: nn.Module
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n,) force losses, and mean squares of the labels, of at most as many training frames as
        there are for validation.
        """
        which = thinned(np.arange(len(self.training)), self.most)
        return self.losses(model, self.training, which)[1], self.training.squares[which]


def objectives_of(options: FitOptions) -> list[Objective]:
    """What is minimised, in the order in which it is summed."""
    if options.objectives is not None:
        return list(options.objectives)
    objectives: list[Objective] = [MatchForces()]
    if options.torque_weight > 0:
        objectives.append(MatchTorques(weight=options.torque_weight))
    if options.energy_weight > 0:
        objectives.append(MatchEnergies(weight=options.energy_weight))
    return objectives
