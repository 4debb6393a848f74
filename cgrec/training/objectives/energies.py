"""Energies as labels, where they are true energies: then what is fitted is an energy, and no
PMF.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...potential.base import Potential
from ...ranges import expect
from ...roles import Batch, LabelledFrames

#: nm: a force of typical size over this way is the unit in which errors of energies count.
WAY = 0.1


class EnergyLoss:
    """Mean squared error of energy differences within a batch, per site."""

    def __call__(self, batch: Batch, /) -> Tensor:
        """() loss of a batch. Only differences count: the zero of the energy is set after
        training.
        """
        difference = (batch.energies - batch.graph.frame_energies) / (WAY * batch.scale)
        mean = batch.mean(difference.detach().mean())
        return (difference - mean).square().mean() / batch.graph.sites_per_frame

    @torch.no_grad()
    def set_zero(
        self, potential: Potential, evaluate: nn.Module, data: LabelledFrames, batch_size: int
    ) -> None:
        """Shift the site energies so that the mean error of the training energies is zero."""
        # The kernel gives forces at no price; without it they would cost twice the energy, and are
        # not asked for.
        kernel = evaluate is not potential
        errors = [
            g.frame_energies - (evaluate(g)[0] if kernel else potential.energy(g))
            for g in data.batches(batch_size)
        ]
        site_energy = potential.get_buffer("site_energy")
        site_energy += torch.cat(errors).mean() / data.frames.n_sites


@dataclass(frozen=True, kw_only=True)
class MatchEnergies:
    """Energies of frames, relative to each other.

    Args:
        weight: of the energies per site, in the sum of objectives.
    """

    weight: float

    def __post_init__(self) -> None:
        expect("MatchEnergies", at_least=0, weight=self.weight)

    def loss_of(self, data: LabelledFrames, /) -> EnergyLoss:
        """The loss of batches of `data`.

        Raises:
            ValueError: a network without a zero of energies, or no energies.
        """
        if not hasattr(data.potential, "site_energy"):
            raise ValueError(
                "ForceMatching: expected a network with site_energy, a buffer (n_types,) in "
                "kJ/mol that sets the zero of energies, found "
                f"{type(data.potential).__name__} without one: train it with energy_weight=0"
            )
        if data.frames.energies is None:
            raise ValueError(
                "ForceMatching: energy_weight > 0 needs Frames.energies, and these frames have "
                "none; a PMF has no energy labels, set energy_weight=0"
            )
        return EnergyLoss()
