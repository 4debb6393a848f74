"""Frames drawn by their weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..frames import Frames


def draw(frames: Frames, n: int, rng: np.random.Generator) -> Frames:
    """`n` frames drawn by weight, in random order."""
    return frames[rng.permutation(resampled(frames, n, rng))]


def resampled(frames: Frames, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(n,) indices drawn by weight, spread evenly (systematic resampling) and in order."""
    points = (np.arange(n) + rng.uniform()) / n
    return np.minimum(
        np.searchsorted(np.cumsum(frames.normalised_weights()), points), len(frames) - 1
    )
