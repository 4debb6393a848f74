"""A sample that still moves is told from one that does not."""

import numpy as np
import pytest

from cgrec import Frames, System
from cgrec.statistics import drift

N, MEMORY = 200, 20.0  # frames a walk, and their correlation time


def walks(n, seed=0, start=0.0, memory=MEMORY):
    """(Frames, values): stationary walks of unit variance, moved by `start` where they begin."""
    rng = np.random.default_rng(seed)
    keep = np.exp(-1 / memory)
    x = rng.normal(size=n)
    rows = []
    for _ in range(N):
        rows.append(x)
        x = keep * x + np.sqrt(1 - keep**2) * rng.normal(size=n)
    values = np.array(rows).T + start * np.exp(-np.arange(N) / memory)
    frames = Frames(
        System(names=("A",), types=("A",), masses=np.ones(1)),
        np.zeros((n * N, 1, 3)),
        300.0,
        replicas=np.repeat(np.arange(n), N),
    )
    return frames, values.reshape(-1)


@pytest.mark.parametrize("n", [1, 4, 32])
def test_the_error_is_the_spread_of_the_shift_over_repeated_samples(n):
    found = [drift(*walks(n, seed)) for seed in range(60)]
    spread = np.std([one.shift for one in found])
    assert np.mean([one.shift for one in found]) == pytest.approx(0, abs=4 * spread / np.sqrt(60))
    assert np.mean([one.error for one in found]) == pytest.approx(spread, rel=0.4)


def test_walks_that_begin_elsewhere_are_found():
    still, moves = drift(*walks(128)), drift(*walks(128, start=2.0))
    assert abs(still.shift) < 4 * still.error
    # of the first 50 frames the mean start is 2 * 20 (1 - exp(-2.5)) / 50
    assert moves.shift < -4 * moves.error and moves.shift == pytest.approx(
        -0.7, abs=4 * moves.error
    )


def test_the_order_of_stored_frames_does_not_matter_only_that_within_a_walk():
    frames, values = walks(8, start=2.0)
    by_time = np.arange(8 * N).reshape(8, N).T.reshape(-1)
    one, other = drift(frames, values), drift(frames[by_time], values[by_time])
    assert other.shift == pytest.approx(one.shift, rel=1e-12)
    assert other.error == pytest.approx(one.error, rel=1e-12)


def test_weights_that_undo_a_bias_leave_no_drift():
    frames, values = walks(64)
    late = np.tile(np.arange(N) >= N // 2, 64)
    pushed = values + late  # the last half was pushed by one standard deviation
    assert drift(frames, pushed).shift > 0.5
    weighted = Frames(
        frames.system,
        frames.positions,
        300.0,
        weights=np.where(late, np.exp(0.5 - pushed), 1.0),
        replicas=frames.replicas,
    )
    found = drift(weighted, pushed)
    assert abs(found.shift) < 4 * found.error and found.error < 0.2


def test_an_angle_that_moves_over_the_seam():
    frames, values = walks(32)
    early = np.tile(np.arange(N) < N // 4, 32)
    angle = 0.1 * values + np.where(early, np.pi - 0.5, np.pi + 0.5)
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    found = drift(frames, angle, periodic=True)
    assert abs(found.shift) > 1 and abs(found.shift) > 10 * found.error


def test_what_says_nothing():
    frames, values = walks(4)
    assert drift(frames, np.ones(len(frames))) is None
    assert drift(frames[:5], values[:5]) is None
    with pytest.raises(ValueError, match="one a frame"):
        drift(frames, values[:-1])
