"""`TemplateBackmapper`: the mean of what was seen. No training; the baseline others have to beat."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Model, Options
from .coordinate_backmapper import CoordinateBackmapper
from .scaled import Scaled
from .split import Unit


class TemplateBackmapper(CoordinateBackmapper):
    """Every bond, angle and dihedral at its mean; directions that nothing determines are drawn."""

    @classmethod
    def _learn(
        cls, unit: Unit, scaled: Scaled, sites: Tensor, y: Tensor, options: Options
    ) -> Model:
        if options:
            raise ValueError(f"TemplateBackmapper takes no options, found {sorted(options)}")
        mean = torch.where(scaled.circles, torch.exp(1j * y).mean(0).angle(), y.mean(0))
        return {"mean": mean}

    def _draw(
        self, unit: Unit, scaled: Scaled, sites: Tensor, generator: torch.Generator, density: bool
    ) -> tuple[Tensor, None]:
        return self.models[unit.key]["mean"].expand(len(sites), -1).clone(), None
