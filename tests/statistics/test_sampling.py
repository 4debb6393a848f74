"""Repeated frames and a lost order of time: cgrec/statistics/sampling.py and what effective sample sizes make
of them.
"""

import json

import numpy as np
import pytest

from cgrec.frames import Frames
from cgrec.io import read
from cgrec.observables import block_average, effective_sample_size, jackknife
from cgrec.remarks import Remark
from cgrec.sources import FileSource
from cgrec.statistics.sampling import blocks_of, order_is_lost, repeated_frames
from cgrec.system import System
from cgrec.training import split


def walk(n_frames: int = 1000, n: int = 6, seed: int = 0) -> Frames:
    """Sites that jiggle about fixed places with a memory of about 20 frames."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n_frames, n, 3))
    for t in range(1, n_frames):
        x[t] = 0.95 * x[t - 1] + np.sqrt(1 - 0.95**2) * x[t]
    places = 1.0 * np.arange(n)[:, None] * np.ones(3)
    return Frames(System(names=("A",) * n, masses=[12.0] * n), places + 0.1 * x, 300.0)


def repeats(frames: Frames) -> int:
    return int((repeated_frames(frames) != np.arange(len(frames))).sum())


A = np.arange(1000)
SPOILT = {
    "appended": (np.r_[A, A], 1000),
    "restart that overlaps": (np.r_[A[:600], A[500:]], 100),
    "duplicated and shuffled": (np.random.default_rng(0).permutation(np.r_[A, A]), 1000),
}


@pytest.mark.parametrize("name", SPOILT)
def test_repeated_frames_are_found_and_counted_once(name):
    frames = walk()
    index, n = SPOILT[name]
    spoilt = frames[index]
    assert repeats(frames) == 0 and repeats(spoilt) == n
    series = spoilt.positions[:, 0, 0]
    once = effective_sample_size(frames, frames.positions[:, 0, 0])
    if "shuffled" not in name:
        assert effective_sample_size(spoilt, series) == pytest.approx(once, rel=0.25)
    assert effective_sample_size(spoilt, series) < 1010  # a copy may follow its original by chance


@pytest.mark.parametrize("how", ["rounded to 0.001 nm", "moved and turned", "single precision"])
def test_copies_that_were_written_otherwise_are_found(how):
    frames = walk(400)
    x = frames.positions
    if how == "rounded to 0.001 nm":
        copy = np.round(x, 3)
    elif how == "single precision":
        copy = x.astype(np.float32).astype(float)
    else:
        copy = x @ np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0] + 2.0
    both = Frames(frames.system, np.concatenate([x, copy]), 300.0)
    assert repeats(both) == 400


def test_few_degrees_of_freedom_meet_by_chance():
    rng = np.random.default_rng(0)
    system = System(names=("A", "B"), masses=[12.0, 12.0])
    x = np.zeros((20_000, 2, 3))
    x[:, 1, 0] = 0.3 + 0.05 * rng.normal(size=20_000)
    assert repeats(Frames(system, x, 300.0)) == 0


def test_equal_neighbours_are_left_to_the_autocorrelation():
    frames = walk(500)
    twice = frames[np.repeat(np.arange(500), 2)]
    once = effective_sample_size(frames, frames.positions[:, 0, 0])
    assert effective_sample_size(twice, twice.positions[:, 0, 0]) == pytest.approx(once, rel=0.25)


def test_a_shuffled_sample_is_said_to_have_lost_its_order(tmp_path):
    frames = walk()
    shuffled = frames[np.random.default_rng(0).permutation(1000)]
    assert not order_is_lost(frames) and order_is_lost(shuffled)
    source = FileSource(path=shuffled.save(tmp_path / "shuffled"), need_forces=False)
    with pytest.warns(Remark, match="order of time was lost"):
        source.make(tmp_path / "level0", 0)
    kept = json.loads((tmp_path / "level0" / "source.json").read_text())["checks"]["sample"][0]
    assert "order_of_time" in kept


@pytest.mark.parametrize("name", SPOILT)
def test_a_frame_and_its_copy_are_in_one_block_and_on_one_side(name):
    frames = walk()[SPOILT[name][0]]
    original = repeated_frames(frames)
    number = np.full(len(frames), -1)
    for k, index in enumerate(blocks_of(frames, 10)):
        number[index] = k
    assert (number >= 0).all() and (number == number[original]).all() and number.max() == 9
    training, held = split(frames, 0.2)
    assert not set(original[training]) & set(original[np.concatenate(held)])
    assert sorted([*training, *np.concatenate(held)]) == list(range(len(frames)))


def test_errors_do_not_shrink_by_copies():
    frames = walk()
    twice = frames[np.r_[A, A]]
    mean = lambda f: f.positions[:, 0, 0].mean()  # noqa: E731
    for error in (block_average, jackknife):
        assert error(twice, mean, 20).error == pytest.approx(
            error(frames, mean, 20).error, rel=1e-6
        )


@pytest.mark.parametrize(
    "name, said",
    [
        ("twice", "repeat earlier ones, in runs"),
        ("frozen", "repeat earlier ones"),
        ("shuffled", "order of time was lost"),
    ],
)
def test_read_alone_says_it(name, said, tmp_path):
    index = {
        "twice": np.r_[A, A],
        "frozen": np.minimum(A, 500),
        "shuffled": np.random.default_rng(0).permutation(A),
    }
    path = tmp_path / "a.npz"
    np.savez(
        path, positions=walk()[index[name]].positions, species=np.array(["A"] * 6), length_unit="nm"
    )
    with pytest.warns(Remark, match=said):
        read(path, temperature=300, masses={"A": 12.0})


def test_a_rigid_molecule_that_turns_does_not_repeat_itself():
    rng = np.random.default_rng(0)
    axis = rng.normal(size=(500, 1, 3))
    axis *= 0.1 / np.linalg.norm(axis, axis=-1, keepdims=True)
    x = np.concatenate([-axis, axis], 1).astype(np.float32)
    frames = Frames(System(names=("A", "A"), masses=[12.0] * 2), x, 300.0)
    assert (repeated_frames(frames) == np.arange(500)).all()
    assert [len(b) for b in blocks_of(frames, 10)] == [50] * 10


def test_a_sample_that_never_moves_is_still_cut_in_blocks():
    frames = Frames(System(names=("A",), masses=[12.0]), np.zeros((40, 1, 3)), 300.0)
    assert [len(b) for b in blocks_of(frames, 10)] == [4] * 10
