"""The temperature that forces imply, frame by frame, put together from all kinds of pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frames import Frames
from ..units import BOLTZMANN
from .hypervirial import Sample

#: Below so many frames the scatter between pairs gives the error, and there are no blocks to
#: compare.
FEW = 20
#: Blocks of frames whose scatter gives the error.
BLOCKS = 20
_REGULAR = 1.4826  # standard deviation of a Gaussian over its median absolute deviation


@dataclass(frozen=True)
class Series:
    """Temperatures that single frames imply, put together from all kinds of pairs with the least
    noise.

    Attributes:
        values: (n_used,) K; their weighted mean is the estimate.
        weights: (n_used,) sum to one.
        noise: K, standard error from the scatter between pairs.
        frames: (n_used,) numbers of the frames.
    """

    values: NDArray[np.float64]
    weights: NDArray[np.float64]
    noise: float
    frames: NDArray[np.int64]

    @classmethod
    def of(cls, frames: Frames, sample: Sample) -> Series | None:
        """None where no kind of pair tells anything."""
        kinds = [k for k in sample.kinds if np.mean(k.divergence) > 0]
        if not kinds:
            return None
        p = frames.normalised_weights()[sample.used]
        p = p / p.sum()
        c = np.array([np.mean(k.divergence) / max(spread_of(k.work) ** 2, 1e-300) for k in kinds])
        c = c / c.max()
        norm = sum(w * (p @ k.divergence) for w, k in zip(c, kinds))
        work = sum(w * k.work for w, k in zip(c, kinds))
        divergence = sum(w * k.divergence for w, k in zip(c, kinds))
        # linear in the deviation of the divergence, so that a mean over frames is the ratio of sums
        values = -work / norm / BOLTZMANN
        estimate = float(p @ values)
        values = values - estimate * (divergence / norm - 1)
        pairs = sum((w * k.noise) ** 2 * k.n_pairs for w, k in zip(c, kinds))
        noise = float(np.sqrt(pairs * (p**2).sum()) / norm / BOLTZMANN)
        return cls(values, p, noise, sample.used)

    @property
    def estimate(self) -> float:
        """K."""
        return float(self.weights @ self.values)

    @property
    def error(self) -> float:
        """K, standard error: the largest of what pairs, frames and blocks of frames scatter."""
        z = self.weights * (self.values - self.estimate)
        n = len(z)
        found = [self.noise] if n < FEW else [float(np.sqrt((z**2).sum()))]
        if n > 1:
            blocks = np.array([b.sum() for b in np.array_split(z, min(BLOCKS, n))])
            found.append(float(np.sqrt((blocks**2).sum() * len(blocks) / max(len(blocks) - 1, 1))))
        return max(found)


def spread_of(x: NDArray[np.float64]) -> float:
    """Standard deviation that single wild values do not move; the plain one where most values are
    equal.
    """
    robust = _REGULAR * float(np.median(np.abs(x - np.median(x))))
    return robust if robust > 0 else float(np.std(x))


def kelvin(estimate: float, error: float) -> str:
    digits = max(0, 1 - int(np.floor(np.log10(max(error, 1e-3)))))
    return f"{estimate:.{digits}f} +- {error:.{digits}f} K"
