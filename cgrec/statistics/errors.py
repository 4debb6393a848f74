"""How much a correlated, weighted sample is worth, and the error of anything computed from it.

Public: `statistical_inefficiency`, `effective_sample_size`, `default_blocks`, `block_average`,
`jackknife`, `jackknife_rows`, `Estimate`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..frames import Frames
from .sampling import blocks_of, counted_once

#: A number or an array of them.
Value = TypeVar("Value")


class Estimate(NamedTuple, Generic[Value]):
    """A number, or an array of them, with its standard error in the same unit."""

    value: Value
    error: Value


def statistical_inefficiency(series: ArrayLike, replicas: ArrayLike | None = None) -> float:
    """g = 1 + 2 sum_t rho(t), how many correlated samples are worth an independent one; at least 1.

    The mean is taken over all replicas, so replicas that disagree (each stuck in its own basin)
    show as correlation that does not decay. The sum over lags stops by Geyer's initial positive
    sequence and is made monotone (Geyer, Stat. Sci. 7, 473 (1992)), which needs no window and keeps
    short series from summing noise.

    Args:
        series: (n,) or (n, d); a vector's components share one inefficiency, that of their summed
            autocovariance.
        replicas: (n,) replica of each sample; samples of a replica are in time order. Default: a
            single run.

    Raises:
        ValueError: `series` and `replicas` differ in length, or a value is not finite.
    """
    return inefficiency_of(autocovariance(series, replicas))


def inefficiency_of(covariance: NDArray[np.float64]) -> float:
    """`statistical_inefficiency` of a series with this autocovariance."""
    if covariance[0] <= 0:  # a constant: every sample says the same
        return 1.0
    rho = covariance / covariance[0]
    pairs = rho[: len(rho) // 2 * 2].reshape(-1, 2).sum(1)
    stop = int(np.argmax(pairs <= 0)) if (pairs <= 0).any() else len(pairs)
    return max(1.0, float(2 * np.minimum.accumulate(pairs[:stop]).sum() - 1))


def autocovariance(series: ArrayLike, replicas: ArrayLike | None = None) -> NDArray[np.float64]:
    """(n_lags,) autocovariance about the common mean, averaged over replicas; unbiased count at
    each lag.

    Raises:
        ValueError: as `statistical_inefficiency`.
    """
    x = _columns(series)
    x = x - x.mean(0)
    runs = _runs(x, replicas)
    n_lags = max(len(run) for run in runs)
    total, count = np.zeros(n_lags), np.zeros(n_lags)
    for run in runs:
        n = len(run)
        spectrum = np.fft.rfft(run, 2 * n, axis=0)  # zero padding: no wrap-around
        total[:n] += np.fft.irfft((spectrum * spectrum.conj()).sum(1), 2 * n)[:n]
        count[:n] += n - np.arange(n)
    return total / count


def effective_sample_size(frames: Frames, series: ArrayLike, periodic: bool = False) -> float:
    """Number of independent, unweighted samples that would give the mean of `series` the same
    variance.

    N_eff = (sum w)^2 var_w(x) / (g sum z^2), z = w (x - <x>_w), g the inefficiency of z:
    autocorrelation and weights in one (delta method for a ratio). Weights that know nothing of x
    give Kish's (sum w)^2 / sum w^2; equal weights give n / g. Never more than the number of frames;
    a frame that repeats an earlier one (a file read twice, restarts that overlap) is counted once.

    Args:
        frames: gives the weights and replicas.
        series: (n_frames,) or (n_frames, d) values.
        periodic: values are angles in rad; their cosine and sine are used.

    Raises:
        ValueError: `series` does not have one value a frame.
    """
    x = _columns(series)
    if len(x) != len(frames):
        raise ValueError(
            f"effective_sample_size: expected {len(frames)} values, one a frame, found {len(x)}"
        )
    once = counted_once(frames)
    if len(once) < len(frames):
        frames, x = frames[once], x[once]
    x = np.concatenate([np.cos(x), np.sin(x)], axis=1) if periodic else x
    return worth(x, frames.normalised_weights(), frames.replicas)


def worth(
    x: NDArray[np.float64], weights: NDArray[np.float64], replicas: ArrayLike | None = None
) -> float:
    """N_eff of `effective_sample_size` of values (n, d), weights that add up to one, and replicas."""
    w = weights[:, None]
    deviation = x - (w * x).sum(0)
    variance, z = (w * deviation**2).sum(), w * deviation
    if variance <= 0:  # a constant has no error of its own; what is left is the weights
        return float(1 / (w**2).sum())
    return float(min(len(x), variance / ((z**2).sum() * statistical_inefficiency(z, replicas))))


def effective_share(log_weights: ArrayLike) -> NDArray[np.float64]:
    """(...,) (sum w)^2 / (n sum w^2) over the last axis of weights given by their logarithms
    (Kish); 0 where all are zero.
    """
    x = np.asarray(log_weights, float)
    top = x.max(-1, keepdims=True)
    # relative to the largest, so that nothing overflows
    w = np.exp(x - np.where(np.isfinite(top), top, 0))
    return w.sum(-1) ** 2 / np.maximum(w.shape[-1] * (w**2).sum(-1), 1e-300)


def default_blocks(frames: Frames, most: int = 64) -> int:
    """Number of blocks for errors: every replica is one (up to `most`); few replicas are cut into
    20 runs of time.

    Raises:
        ValueError: a single frame, which has no error.
    """
    if len(frames) < 2:
        raise ValueError(
            "an error needs at least two frames, found one: run longer or give more frames"
        )
    n_replicas = 1 if frames.replicas is None else len(np.unique(frames.replicas))
    return min(
        len(frames), n_replicas if 10 <= n_replicas <= most else most if n_replicas > most else 20
    )


def block_average(
    frames: Frames, statistic: Callable[[Frames], Value], n_blocks: int | None = None
) -> Estimate[Value]:
    """`statistic` of all frames, with the standard error of its mean over blocks.

    For statistics that are averages; a ratio or a logarithm is less biased by `jackknife`.

    Raises:
        ValueError: fewer frames than blocks.
    """
    n_blocks = n_blocks or default_blocks(frames)
    values = np.array([statistic(frames[index]) for index in blocks_of(frames, n_blocks)])
    return Estimate(statistic(frames), values.std(0, ddof=1) / np.sqrt(len(values)))


def jackknife(
    frames: Frames, statistic: Callable[[Frames], Value], n_blocks: int | None = None
) -> Estimate[Value]:
    """`statistic` of all frames, with its delete-one-block jackknife error (Kunsch, Ann. Stat. 17,
    1217 (1989)).

    Raises:
        ValueError: fewer frames than blocks.
    """
    blocks = blocks_of(frames, n_blocks or default_blocks(frames))
    everything = np.ones(len(frames), bool)
    left = []
    for block in blocks:
        keep = everything.copy()
        keep[block] = False
        left.append(statistic(frames[np.flatnonzero(keep)]))
    return Estimate(statistic(frames), jackknife_error(np.array(left)))


def jackknife_rows(
    frames: Frames,
    rows: NDArray[np.float64],
    statistic: Callable[[NDArray[np.float64]], object] = np.asarray,
    n_blocks: int | None = None,
) -> Estimate[Any]:
    """`statistic` of the weighted mean of `rows`, with its jackknife error: what `jackknife` gives,
    at the cost of one pass over the frames.

    Args:
        frames: gives weights and blocks.
        rows: (n_frames, n) what each frame contributes.
        statistic: of the (n,) mean; default: the mean itself.
        n_blocks: default `default_blocks`. The error of fewer than two blocks, or of a single
            frame, is nan.
    """
    w = frames.normalised_weights()
    mean = w @ rows
    value = statistic(mean)
    n_blocks = n_blocks or default_blocks(frames) if len(frames) > 1 else 1
    if n_blocks < 2:
        return Estimate(value, np.full_like(value, np.nan))
    left = [
        statistic((mean - w[i] @ rows[i]) / max(1 - w[i].sum(), 1e-300))
        for i in blocks_of(frames, n_blocks)
    ]
    return Estimate(value, jackknife_error(np.array(left)))


def jackknife_error(left_out: NDArray[np.float64]) -> Any:
    """Standard error from the (n_blocks, ...) values of a statistic with one block left out each."""
    n = len(left_out)
    # an infinite value has an unknown error: nan, not a warning
    with np.errstate(invalid="ignore"):
        return np.sqrt((n - 1) / n * ((left_out - left_out.mean(0)) ** 2).sum(0))


def block_labels(frames: Frames, n_blocks: int | None = None) -> NDArray[np.int64]:
    """(n_frames,) number of the block each frame belongs to.

    Raises:
        ValueError: fewer than two blocks, or fewer frames than blocks.
    """
    n_blocks = default_blocks(frames) if n_blocks is None else n_blocks
    if n_blocks < 2:
        raise ValueError(f"an error needs at least two blocks, found {n_blocks}")
    labels = np.empty(len(frames), np.int64)
    for number, index in enumerate(blocks_of(frames, n_blocks)):
        labels[index] = number
    return labels


def _columns(series: ArrayLike) -> NDArray[np.float64]:
    x = np.asarray(series, float)
    if not np.isfinite(x).all():
        raise ValueError("series: found NaN or infinity; drop those frames first")
    return x.reshape(len(x), -1)


def _runs(x: NDArray[np.float64], replicas: ArrayLike | None) -> list[NDArray[np.float64]]:
    """The rows of `x` of each replica, in their order of time whatever the order they are stored
    in.
    """
    if replicas is None:
        return [x]
    labels = np.asarray(replicas)
    if len(labels) != len(x):
        raise ValueError(f"replicas: expected {len(x)} entries, one a sample, found {len(labels)}")
    order = np.argsort(labels, kind="stable")
    return np.split(x[order], np.flatnonzero(np.diff(labels[order])) + 1)
