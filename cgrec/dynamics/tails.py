"""How large may a number get by chance? Tails of samples, extrapolated to more looks than the
sample has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Share of a sample that is its tail, within these numbers of values.
TAIL, FEWEST, MOST = 0.05, 10, 5000
#: Heaviest tail believed in: beyond it, a sample says that it has outliers.
HEAVIEST = 0.5


@dataclass(frozen=True)
class Tail:
    """Generalised Pareto tail of a sample (peaks over a threshold; J. Pickands, Ann. Stat. 3, 119
    (1975)).

    Attributes:
        threshold: where the tail begins.
        share: of the sample beyond it.
        scale: sigma.
        shape: xi; 0 is exponential.
        largest: value of the sample.
    """

    threshold: float
    share: float
    scale: float
    shape: float
    largest: float

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> Tail:
        """Fitted by probability-weighted moments (J. Hosking, J. Wallis, Technometrics 29, 339
        (1987)).

        The shape is raised by its own standard error and never negative: a sample does not show
        that it has a highest value, and what is asked of the tail lies beyond it.
        """
        rising = np.sort(np.asarray(values, float))
        n = len(rising)
        number = int(np.clip(TAIL * n, min(FEWEST, n // 2), MOST))
        if number < 2:
            return cls(float(rising[-1]), 1.0, 0.0, 0.0, float(rising[-1]))
        threshold = float(rising[n - number - 1])
        above = rising[n - number :] - threshold
        mean = float(above.mean())
        weighted = float((above * (1 - (np.arange(number) + 0.65) / number)).mean())
        spread = mean - 2 * weighted
        shape = 2 - mean / spread if spread > 1e-12 * max(mean, 1e-300) else 0.0
        shape = float(np.clip(shape + (1 + abs(shape)) / np.sqrt(number), 0.0, HEAVIEST))
        # The scale that keeps the mean excess, sigma / (1 - xi), which is what the sample knows
        # best.
        return cls(threshold, number / n, mean * (1 - shape), shape, float(rising[-1]))

    def level(self, probability: float) -> float:
        """Value that is exceeded with `probability`."""
        times = self.share / probability
        if times <= 1:
            return self.threshold
        grown = np.log(times) if self.shape < 1e-6 else (times**self.shape - 1) / self.shape
        return float(self.threshold + self.scale * grown)
