"""The smallest change of a sample that gives averages the values they have in another one.

As closely as both samples know these averages: maximum entropy with uncertain averages (A. Cesari,
S. Reisser, G. Bussi, Computation 6, 15 (2018)).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ..frames import Frames
from ..observables import effective_sample_size
from ..statistics.errors import effective_share

#: By how much a step whose weights rest on too few frames is shortened at a time: short enough to
#: lose no more than a fifth of what would have been allowed.
SHORTER = 0.8


def multipliers(
    model: Frames,
    target: Frames,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    prior: NDArray[np.float64] | None = None,
    so_far: NDArray[np.float64] | float = 0.0,
    families: Sequence[int] | None = None,
) -> NDArray[np.float64]:
    """(n,) Lagrange multipliers m: under the weights exp(-x @ m) the averages of `x` over `model`
    are those of `y` over `target`. They minimise the convex dual function.

    Args:
        model, target: whose weights, replicas and order of time count.
        x, y: (n_frames, n) the n quantities in the frames of either.
        prior: (n, n) inverse covariance of what m + so_far is expected to be without any sample.
            It decides where neither sample says much, and counts as one independent frame does.
        so_far: (n,) multipliers that `model` was made with already.
        families: how many quantities, one after the other, have one number of independent frames:
            one that is slow is known from fewer. None: all of them together.
    """
    p = model.normalised_weights()
    q = target.normalised_weights()
    frames = _independent(target, y, families), _independent(model, x, families)
    doubt = np.sqrt(1 / frames[0] + 1 / frames[1])
    stiff = np.zeros((x.shape[1], x.shape[1])) if prior is None else np.outer(doubt, doubt) * prior
    # in units in which the curvature of the dual is about one, so that it is found fast
    unit = np.sqrt(q @ (y - q @ y) ** 2 + np.diag(stiff))
    unit = np.where(unit > 0, unit, 1.0)
    x, y, stiff = x / unit, y / unit, stiff / np.outer(unit, unit)
    wanted = q @ y
    # Squared error of each average: from the target's sample and from the model's.
    variance = (q @ (y - wanted) ** 2) / frames[0] + (p @ (x - p @ x) ** 2) / frames[1]
    log_p = np.log(np.maximum(p, 1e-300))
    begin = so_far * unit

    def dual(m: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        exponent = log_p - x @ m
        log_z = np.logaddexp.reduce(exponent)
        pull = stiff @ (begin + m)
        value = log_z + m @ wanted + 0.5 * variance @ m**2 + 0.5 * (begin + m) @ pull
        slope = wanted - np.exp(exponent - log_z) @ x + variance * m + pull
        return value, slope

    return minimize(dual, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x / unit


def _independent(
    frames: Frames, values: NDArray[np.float64], families: Sequence[int] | None
) -> NDArray[np.float64]:
    """(n,) independent frames in which each of the quantities is known."""
    sizes = [values.shape[1]] if families is None else list(families)
    parts = np.split(values, np.cumsum(sizes)[:-1], axis=1)
    return np.repeat([effective_sample_size(frames, part) for part in parts], sizes)


def step_length(
    deviation: NDArray[np.float64], efficiency: float, log_p: NDArray[np.float64] | float = 0.0
) -> float:
    """The longest of 1, `SHORTER`, `SHORTER`^2, ... times the multipliers whose weights rest on
    enough frames.

    Args:
        deviation: (n_frames,) the quantities times their multipliers, whose change is -ln weight.
        efficiency: least Kish efficiency of the weights.
        log_p: of the frames before.
    """
    scale = 1.0
    while effective_share(log_p - scale * deviation) < efficiency:
        scale *= SHORTER
    return scale
