"""`Schedule`: how large a step of the optimiser is."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Steps in which the rate grows to its full value: in the first ones the preconditioner of the
#: optimiser is an average over next to nothing.
WARM_UP = 50
#: Share of the peak at which the cosine ends: the weights still move while their average settles.
FLOOR = 2e-3


@dataclass(frozen=True)
class Schedule:
    """A short linear warm-up, then half a cosine (I. Loshchilov and F. Hutter, arXiv:1608.03983)
    down to a floor.

    Attributes:
        peak: learning rate at its highest.
        steps: of the whole fit.
    """

    peak: float
    steps: int

    def __call__(self, step: int) -> float:
        """Learning rate of a step, the first is 0."""
        warm = min(1.0, (step + 1) / WARM_UP)
        return self.peak * warm * (0.5 * (1 + math.cos(math.pi * (step / self.steps))) + FLOOR)
