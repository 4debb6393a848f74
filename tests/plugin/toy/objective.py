"""An objective: `objectives: [{_target_: toy.NoisedForces, noise: 0.02}]` of a training."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cgrec.roles import Batch, LabelledFrames, Loss
from cgrec.units import thermal_energy


@dataclass(frozen=True, kw_only=True)
class NoisedForces:
    """Denoising score matching (P. Vincent, Neural Comput. 23, 1661 (2011)).

    Sites are moved by noise e of variance s^2: -kT e / s^2 is a force label at the moved place. Its
    mean there is the mean force of the ensemble smeared by s, so no forces are needed.

    Args:
        noise: s, nm.
        weight: in the sum of objectives.
    """

    noise: float
    weight: float = 1.0
    column = "noised_loss"

    def loss_of(self, data: LabelledFrames, /) -> Loss:
        """(n_frames,) mean squared force error at moved sites, in units of its label."""
        kT = thermal_energy(data.frames.temperature)

        def loss(batch: Batch, /) -> Tensor:
            shape = tuple(batch.positions.shape)
            drawn = torch.from_numpy(self.noise * batch.random.normal(size=shape))
            moved = batch.at(batch.positions.detach() + drawn.to(batch.positions))
            label = -kT / self.noise**2 * drawn.to(batch.positions)
            error = moved.forces + moved.prior_forces() - label
            return (error * self.noise / kT).square().mean((1, 2))

        return loss
