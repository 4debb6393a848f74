"""Does a sample still move? Its beginning beside its end, in one variable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..frames import Frames
from .errors import effective_sample_size, jackknife_error

#: Shares of every replica that are compared: its first quarter and its last half, which leave
#: time between them (Geweke, in Bayesian Statistics 4 (1992), takes a tenth and a half).
_EARLY, _LATE = 0.25, 0.5
#: Replicas from which on they alone give the error; of fewer, correlation in time does.
_REPLICAS = 8


@dataclass(frozen=True)
class Drift:
    """How far the mean of a variable moves from the beginning of a sample to its end.

    Attributes:
        shift: (end - beginning) / standard deviation of the whole sample.
        error: standard error of `shift`. That of many replicas comes from their differences and
            holds however slow the variable is; that of a single run from its own correlation,
            which a run too short for its slowest motion underestimates.
    """

    shift: float
    error: float


def drift(frames: Frames, series: ArrayLike, periodic: bool = False) -> Drift | None:
    """The drift of `series` from the first quarter of every replica to its last half.

    Args:
        frames: gives weights and replicas.
        series: (n_frames,) values.
        periodic: values are angles in rad: of their cosine and sine the one that moves more
            certainly.

    Returns:
        None where nothing can be said: a constant, or fewer than eight frames.

    Raises:
        ValueError: `series` does not have one value a frame.
    """
    x = np.asarray(series, float)
    if x.shape != (len(frames),):
        raise ValueError(f"drift: expected ({len(frames)},) values, one a frame, found {x.shape}")
    components = (np.cos(x), np.sin(x)) if periodic else (x,)
    found = [one for c in components if (one := _drift(frames, c)) is not None]
    return max(found, key=lambda one: abs(one.shift) / one.error, default=None)


def _drift(frames: Frames, x: NDArray[np.float64]) -> Drift | None:
    walk, share = progress(frames)
    weights = frames.normalised_weights()
    mean = float(weights @ x)
    spread = float(np.sqrt(weights @ (x - mean) ** 2))
    parts = share < _EARLY, share >= 1 - _LATE
    if len(x) < 8 or spread <= 1e-12 * max(1.0, abs(mean)):
        return None
    n_walks = walk.max() + 1
    # (2, n_walks): what each walk adds to the mean of either part
    weight = np.array([np.bincount(walk[p], weights[p], n_walks) for p in parts])
    total = np.array([np.bincount(walk[p], (weights * x)[p], n_walks) for p in parts])
    if not (weight.sum(1) > 0).all():
        return None
    early, late = total.sum(1) / weight.sum(1)
    if n_walks >= _REPLICAS:
        left = weight.sum(1, keepdims=True) - weight
        if not (left > 0).all():
            return None
        means = (total.sum(1, keepdims=True) - total) / left
        error = float(jackknife_error(means[1] - means[0]))
    else:
        variances = [
            np.average((x[p] - m) ** 2, weights=weights[p])
            / effective_sample_size(frames[np.flatnonzero(p)], x[p])
            for p, m in zip(parts, (early, late), strict=True)
        ]
        error = float(np.sqrt(sum(variances)))
    return Drift(float(late - early) / spread, error / spread) if error > 0 else None


def progress(frames: Frames) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(n_frames,) number of the walk of each frame, and the share of that walk before it."""
    n = len(frames)
    if frames.replicas is None:
        return np.zeros(n, np.int64), np.arange(n) / n
    _, walk, length = np.unique(frames.replicas, return_inverse=True, return_counts=True)
    order = np.argsort(walk, kind="stable")
    first = np.concatenate([[0], np.cumsum(length)[:-1]])
    place = np.empty(n, np.int64)
    place[order] = np.arange(n) - first[walk[order]]
    return walk, place / length[walk]
