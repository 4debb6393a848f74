"""The number of threads is chosen by a clock, here a false one, and changes no bit of what comes out."""

import numpy as np
import pytest
import torch
from contracts import random_frames

from cgrec import threads
from cgrec.dynamics import Langevin
from cgrec.frames import Frames
from cgrec.native import NoKernel, compiler_name
from cgrec.potential import DensityNetwork, ExcludedVolume
from cgrec.threads import chosen, kernel_threads, measured, numbers, quickest, use_threads
from cgrec.training import ForceMatching


def has_compiler():
    try:
        return bool(compiler_name())
    except NoKernel:
        return False


class FalseClock:
    """A clock that only `step` moves, by the seconds its number of threads takes; some calls meet a burst of other work."""

    def __init__(self, takes, bursts=()):
        self.now, self.calls, self.takes, self.bursts = 0.0, 0, takes, set(bursts)

    def __call__(self):
        return self.now

    def step(self):
        self.now += self.takes[kernel_threads()] * (20 if self.calls in self.bursts else 1)
        self.calls += 1


@pytest.fixture(autouse=True)
def as_before():
    torch_before = torch.get_num_threads()
    yield
    assert (threads._now.kernels, threads._now.choices) == (None, None)
    torch.set_num_threads(torch_before)


def measured_with(clock, tried=(1, 2)):
    try:
        return measured(clock.step, tried, clock)
    finally:
        threads._now.kernels = None


@pytest.mark.parametrize(
    "times, wanted",
    [
        ({1: 10, 2: 6}, 2),
        ({1: 10, 2: 9.5}, 1),
        ({1: 10, 2: 16}, 1),
        ({1: 10, 2: 8, 4: 7.9}, 2),
        ({1: 10, 2: 9.5, 4: 5}, 4),
        ({1: 10, 2: 6, 4: 3, 6: 20}, 4),
    ],
)
def test_more_threads_only_for_a_gain(times, wanted):
    assert quickest(times) == wanted


def test_numbers_worth_a_try():
    assert [numbers(n) for n in (1, 2, 6, 16)] == [[1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8, 16]]


@pytest.mark.parametrize("bursts", [(), (0, 1), (4, 5), (3, 8)])
def test_a_burst_does_not_decide(bursts):
    clock = FalseClock({1: 0.006, 2: 0.004}, bursts)
    found = measured_with(clock)
    assert found == pytest.approx({1: 0.006, 2: 0.004})
    assert clock.now <= threads.LONGEST + 19 * 0.006 * len(bursts)


@pytest.mark.parametrize("takes", [1e-5, 0.01, 0.09, 2.0])
def test_a_measurement_is_short(takes):
    clock = FalseClock({1: takes, 2: takes / 2})
    assert measured_with(clock) == pytest.approx({1: takes, 2: takes / 2})
    assert clock.now <= max(2 * threads.LONGEST, 1.5 * takes)
    assert clock.calls >= 2


def test_a_single_core_is_not_measured():
    assert measured(lambda: pytest.fail("measured"), [1]) == {}


def test_a_number_that_was_given_is_obeyed():
    with use_threads(3) as choices, chosen("fit", lambda: pytest.fail("measured"), 10) as again:
        again()
        assert torch.get_num_threads() == kernel_threads() == 3
    assert choices == {}


def test_without_a_climb_nothing_is_chosen():
    torch.set_num_threads(2)
    with chosen("fit", lambda: pytest.fail("measured"), 10):
        assert torch.get_num_threads() == kernel_threads() == 2


def test_kernels_get_the_number_and_torch_one_thread(monkeypatch):
    torch.set_num_threads(2)
    found = iter([{1: 0.010, 2: 0.005}, {1: 0.010, 2: 0.020}])
    monkeypatch.setattr(threads, "measured", lambda step, tried: next(found))
    with use_threads(0) as choices:
        with chosen("l1: fit", lambda: None, 10) as again:
            assert (torch.get_num_threads(), kernel_threads()) == (1, 2)
            again()  # too early
            assert choices["l1: fit"] == {"threads": 2, "milliseconds": {"1": 10.0, "2": 5.0}}
            monkeypatch.setattr(threads, "AGAIN", -1.0)
            again()
            assert (kernel_threads(), choices["l1: fit"]["threads"]) == (1, 1)
        assert torch.get_num_threads() == kernel_threads() == 2


@pytest.mark.parametrize("n_sites, wanted", [(threads.MANY - 1, 1), (threads.MANY, 2)])
def test_without_a_kernel_the_size_decides(n_sites, wanted):
    torch.set_num_threads(2)
    with use_threads(0) as choices, chosen("fit", None, n_sites):
        assert torch.get_num_threads() == wanted
    assert choices["fit"] == {"threads": wanted, "milliseconds": {}}


def liquid(n_frames=24, seed=0):
    """Frames of eight sites in a box with forces that a network can learn something of."""
    frames = random_frames(n_frames, seed=seed)
    forces = np.random.default_rng(seed).normal(scale=50.0, size=frames.positions.shape)
    return Frames(frames.system, frames.positions, 300.0, forces=forces - forces.mean(1, keepdims=True))


def climbed(folder, monkeypatch, number, stop=None):
    """Weights, frames and choices of a training and a run in which the clock chooses `number`; None: threads=1, nothing measured."""
    frames = liquid()
    network = DensityNetwork.for_frames(frames, 1, n_layers=2, cutoff=1.0, channels=8, width=16)
    calls = []

    def choose(step, tried):
        step()
        calls.append(len(tried))
        return {1: 1.0, number: 0.1 if number > 1 else 1.0}

    monkeypatch.setattr(threads, "measured", choose)
    monkeypatch.setattr(threads, "AGAIN", -1.0)
    torch.set_num_threads(2)
    with use_threads(1 if number is None else 0) as choices:
        fit = ForceMatching(steps=12, batch_size=16, validate_every=4, compile=True)
        fitted, _ = fit(network, frames, seed=3)
        run = Langevin(n_replicas=8, length=0.2, save_every=0.02, equilibration=0.02, compile=True)
        wall = ExcludedVolume.fit(frames, types=network.types, cutoff=0.6)
        made, _ = run(fitted + wall, frames, folder, seed=5)
    weights = [p.detach().numpy() for p in fitted.parameters()]
    return weights, [np.array(made.positions), np.array(made.forces)], choices, calls


@pytest.mark.skipif(not has_compiler(), reason="kernels need a compiler")
def test_no_number_changes_a_bit(tmp_path, monkeypatch):
    """Measured often, with one and with two threads, and not measured at all: the same weights and frames."""
    plain = climbed(tmp_path / "plain", monkeypatch, None)
    assert plain[2:] == ({}, [])
    for number in (1, 2):
        weights, frames, choices, calls = climbed(tmp_path / str(number), monkeypatch, number)
        assert {k: v["threads"] for k, v in choices.items()} == {"training": number, "simulation": number}
        assert len(calls) > 6
        for own, wanted in zip(weights + frames, plain[0] + plain[1], strict=True):
            np.testing.assert_array_equal(own, wanted)
