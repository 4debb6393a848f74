"""Effective sample sizes and error bars against series whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from samples import DISTANCE, ar1, pair_frames

from cgrec.observables import (
    block_average,
    effective_sample_size,
    jackknife,
    statistical_inefficiency,
)
from cgrec.statistics import jackknife_rows


@pytest.mark.parametrize(
    ("n_replicas", "n", "decay"), [(1, 60_000, 0.9), (20, 3000, 0.95), (200, 300, 0.8)]
)
def test_effective_sample_size_of_ar1(n_replicas, n, decay):
    x = ar1(np.random.default_rng(0), n_replicas, n, decay)
    interleaved = x.T.ravel()  # time-major, as a batch of replicas is stored
    replicas = np.tile(np.arange(n_replicas), n)
    exact = x.size * (1 - decay) / (1 + decay)
    n_eff = effective_sample_size(pair_frames(interleaved + 10, replicas=replicas), interleaved)
    assert n_eff == pytest.approx(exact, rel=0.15)


def test_inefficiency_of_independent_and_constant_series():
    rng = np.random.default_rng(1)
    assert statistical_inefficiency(rng.normal(size=20_000)) < 1.1
    assert statistical_inefficiency(np.ones(10)) == 1.0
    assert statistical_inefficiency([1.0]) == 1.0


def test_replicas_stuck_in_different_basins_count_once_each():
    series = np.repeat(np.arange(10.0), 100) + 0.01 * np.random.default_rng(0).normal(size=1000)
    g = statistical_inefficiency(series, np.repeat(np.arange(10), 100))
    assert 1000 / g < 20


def test_effective_sample_size_with_weights_is_kish():
    rng = np.random.default_rng(2)
    weights = np.exp(rng.normal(size=20_000))
    x = rng.normal(size=20_000)
    kish = weights.sum() ** 2 / (weights**2).sum()
    frames = pair_frames(x + 10, weights=weights)
    assert effective_sample_size(frames, x) == pytest.approx(kish, rel=0.1)
    assert effective_sample_size(frames, x, periodic=True) == pytest.approx(kish, rel=0.1)
    assert effective_sample_size(frames, np.ones(20_000)) == pytest.approx(kish, rel=1e-9)


def test_series_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="expected 3 values"):
        effective_sample_size(pair_frames(np.ones(3)), np.ones(4))
    with pytest.raises(ValueError, match="at least two frames"):
        block_average(pair_frames(np.ones(1)), lambda f: 0.0)


def test_block_and_jackknife_errors_of_a_mean():
    x = 5 + np.random.default_rng(3).normal(size=4000)
    frames = pair_frames(x)
    mean = lambda f: DISTANCE.of(f).mean()  # noqa: E731
    for estimate in (block_average(frames, mean, 100), jackknife(frames, mean, 100)):
        assert estimate.value == pytest.approx(x.mean())
        assert estimate.error == pytest.approx(1 / np.sqrt(4000), rel=0.2)


def test_jackknife_of_rows_is_the_jackknife_of_frames():
    rng = np.random.default_rng(31)
    frames = pair_frames(
        rng.uniform(1, 2, 60), weights=rng.random(60), replicas=np.repeat(np.arange(12), 5)
    )

    def ratio(f):
        r, w = f.positions[:, 1, 0], f.normalised_weights()
        return (w @ r) ** 2 / (w @ r**2)

    r = frames.positions[:, 1, 0]
    found = jackknife_rows(frames, np.stack([r, r**2], 1), lambda m: m[0] ** 2 / m[1])
    assert found == pytest.approx(jackknife(frames, ratio))
    assert np.isnan(jackknife_rows(frames[:1], np.ones((1, 2))).error).all()
