"""`Evaluation`: a model at a batch of labelled frames, evaluated once however many objectives
ask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from ..potential.base import Potential
from ..potential.graph import SiteGraph, site_graph


def _alone(value: Tensor) -> Tensor:
    return value


@dataclass(frozen=True)
class Setting:
    """What all evaluations of a fit have in common.

    Attributes:
        potential: what is trained; its neighbour distance is that of its graphs.
        priors: what was subtracted from the labels.
        scale: kJ/mol/nm, root mean square of the training labels.
        seed: of what objectives draw.
        mean: of a number over all processes.
    """

    potential: Potential
    priors: Sequence[Potential]
    scale: float
    seed: int = 0
    mean: Callable[[Tensor], Tensor] = _alone


class Evaluation:
    """A model at a batch of labelled frames. What is asked twice is computed once.

    Args:
        model: the potential, or what evaluates it faster.
        graph: with labels, as `LabelledGraphs` gives it.
        setting: of the fit.
        stream: what the random numbers follow from, beside the seed.
        differentiable: in the parameters; else only values are needed.
    """

    def __init__(
        self,
        model: nn.Module,
        graph: SiteGraph,
        setting: Setting,
        stream: tuple[int, ...] = (),
        differentiable: bool = False,
    ) -> None:
        self.model = model
        self.graph = graph
        self.setting = setting
        self.stream = stream
        self.differentiable = differentiable

    @cached_property
    def _answer(self) -> tuple[Tensor, Tensor]:
        answer: tuple[Tensor, Tensor] = (
            self.model(self.graph, differentiable=True)
            if self.differentiable
            else self.model(self.graph)
        )
        return answer

    @property
    def scale(self) -> float:
        """kJ/mol/nm, root mean square of the training labels: losses are in units of it."""
        return self.setting.scale

    @property
    def energies(self) -> Tensor:
        """(n_frames,) kJ/mol, of the model without priors."""
        return self._answer[0]

    @property
    def forces(self) -> Tensor:
        """(n_frames, n_sites, 3) kJ/mol/nm, of the model without priors."""
        return self.graph.per_frame(self._answer[1])

    @cached_property
    def force_errors(self) -> Tensor:
        """(n_frames, n_sites, 3) kJ/mol/nm, forces less their labels."""
        return self.graph.per_frame(self._answer[1] - self.graph.labels)

    @cached_property
    def force_losses(self) -> Tensor:
        """(n_frames,) mean squared force error per component in units of scale^2."""
        return (self.force_errors / self.scale).square().mean((1, 2))

    @property
    def positions(self) -> Tensor:
        """(n_frames, n_sites, 3) nm."""
        return self.graph.per_frame(self.graph.positions)

    @cached_property
    def random(self) -> np.random.Generator:
        """Random numbers that follow from the seed and the step, so that a resumed fit draws the
        same; in validation they are the same each time, so that potentials can be compared.
        """
        return np.random.default_rng((self.setting.seed, *self.stream))

    def at(self, positions: Tensor) -> Evaluation:
        """The same model and labels with the sites at `positions` (n_frames, n_sites, 3) nm."""
        graph = self._graph(positions, self.setting.potential)
        for name in ("labels", "frame_energies", "frame_weights", "frame_temperatures"):
            setattr(graph, name, getattr(self.graph, name))
        return Evaluation(self.model, graph, self.setting, self.stream, self.differentiable)

    def prior_forces(self) -> Tensor:
        """(n_frames, n_sites, 3) kJ/mol/nm of the priors at these positions, which the model has to
        be added to.
        """
        total = torch.zeros_like(self.positions)
        for prior in self.setting.priors:
            force = prior(self._graph(self.positions, prior))[1]
            total = total + self.graph.per_frame(force.to(total.dtype))
        return total

    def mean(self, value: Tensor) -> Tensor:
        """Of a number over all processes, each of which has a share of the batch."""
        return self.setting.mean(value)

    def _graph(self, positions: Tensor, potential: Potential) -> SiteGraph:
        species = self.graph.species[: self.graph.sites_per_frame]
        return site_graph(positions.detach(), species, potential.reach(), self.graph.box)
