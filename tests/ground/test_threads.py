"""The number of threads is chosen by a clock, here a false one, and changes no bit of what comes
out.
"""

import numpy as np
import pytest
import torch
from contracts import random_frames

from cgrec import threads
from cgrec.dynamics import Langevin, run
from cgrec.frames import Frames
from cgrec.native import NoKernel, compiler_name
from cgrec.potential import DensityNetwork, ExcludedVolume
from cgrec.threads import chosen, kernel_threads, measured, numbers, quickest, use_threads
from cgrec.training import Fit, ForceMatching


def has_compiler():
    try:
        return bool(compiler_name())
    except NoKernel:
        return False


class FalseClock:
    """A clock that only `step` moves, by the seconds its number of threads takes; some calls are
    put aside for 20 ms.
    """

    def __init__(self, takes, bursts=()):
        self.now = 0.0
        self.calls = 0
        self.takes = takes
        self.bursts = set(bursts)

    def __call__(self):
        return self.now

    def step(self):
        self.now += self.takes[kernel_threads()] + (0.02 if self.calls in self.bursts else 0.0)
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


@pytest.mark.parametrize("bursts", [(), (0, 1), (4, 5), (3, 8), (20,)])
def test_a_moment_of_other_work_does_not_decide(bursts):
    clock = FalseClock({1: 0.006, 2: 0.004}, bursts)
    assert quickest(measured_with(clock)) == 2
    assert clock.now <= threads.LONGEST + 0.02 * len(bursts)


def test_the_rare_long_call_decides():
    """What two threads are slow by where others compute: the median of these calls says 2."""
    clock = FalseClock({1: 0.006, 2: 0.004})

    def step():
        slow = kernel_threads() == 2 and clock.calls % 4 == 0
        clock.bursts = {clock.calls} if slow else set()
        clock.step()

    assert quickest(measured(step, [1, 2], clock)) == 1
    threads._now.kernels = None


@pytest.mark.parametrize("takes", [1e-4, 0.01, 0.09, 2.0])
def test_a_measurement_is_short(takes):
    """At most LONGEST and a burst of each number; of long calls the first and one of each."""
    clock = FalseClock({1: takes, 2: takes / 2})
    assert measured_with(clock) == pytest.approx({1: takes, 2: takes / 2}, rel=0.01)
    assert clock.now <= max(threads.LONGEST + 4 * threads.BURST, 2.01 * takes)


def test_of_long_calls_few_threads_are_not_tried():
    clock = FalseClock({n: 2.0 / n for n in (1, 2, 4, 8, 16)})
    assert measured_with(clock, numbers(16)) == pytest.approx({16: 0.125, 8: 0.25})
    assert clock.now == pytest.approx(0.5)


def test_a_single_core_is_not_measured():
    assert measured(lambda: pytest.fail("measured"), [1]) == {}


def test_a_number_that_was_given_is_obeyed():
    with use_threads(3) as choices, chosen("fit", lambda: pytest.fail("asked"), 10) as again:
        again()
        assert torch.get_num_threads() == kernel_threads() == 3
    assert choices == {}


def test_without_a_climb_nothing_is_chosen():
    torch.set_num_threads(2)
    with chosen("fit", lambda: pytest.fail("asked"), 10):
        assert torch.get_num_threads() == kernel_threads() == 2


def test_kernels_get_the_number_and_torch_one_thread(monkeypatch):
    torch.set_num_threads(2)
    found = iter([{1: 0.010, 2: 0.005}, {1: 0.010, 2: 0.020}])
    monkeypatch.setattr(threads, "measured", lambda step, tried: next(found))
    with use_threads(0) as choices:
        with chosen("l1: fit", lambda: lambda: None, 10) as again:
            assert (torch.get_num_threads(), kernel_threads()) == (1, 2)
            monkeypatch.setattr(threads.time, "monotonic", lambda: 0.0)
            again()  # too early
            assert choices["l1: fit"] == {"threads": 2, "milliseconds": {"1": 10.0, "2": 5.0}}
            with chosen("inside", lambda: pytest.fail("asked"), 10):
                assert (torch.get_num_threads(), kernel_threads()) == (1, 2)
            monkeypatch.setattr(threads.time, "monotonic", lambda: 1e9)
            again()
            assert (kernel_threads(), choices["l1: fit"]["threads"]) == (1, 1)
        assert torch.get_num_threads() == kernel_threads() == 2


@pytest.mark.parametrize("n_sites, wanted", [(threads.MANY - 1, 1), (threads.MANY, 2)])
def test_without_a_kernel_the_size_decides(n_sites, wanted):
    torch.set_num_threads(2)
    with use_threads(0) as choices, chosen("fit", lambda: None, n_sites):
        assert torch.get_num_threads() == wanted
    assert choices["fit"] == {"threads": wanted, "milliseconds": {}}


def liquid(n_frames=100, seed=0):
    """Frames of six sites with forces that a network can learn something of."""
    frames = random_frames(n_frames, seed=seed)
    forces = np.random.default_rng(seed).normal(scale=50.0, size=frames.positions.shape)
    return Frames(
        frames.system, frames.positions, 300.0, forces=forces - forces.mean(1, keepdims=True)
    )


class Killed(Exception):
    pass


def killed_once(monkeypatch, owner, name, after):
    """The method stops with `Killed` at call number `after`, and never again."""
    real, calls = getattr(owner, name), []

    def method(self, *arguments):
        calls.append(1)
        if len(calls) == after:
            raise Killed
        return real(self, *arguments)

    monkeypatch.setattr(owner, name, method)


class Climb:
    """A training and a run in which the clock chooses the numbers of threads of `turns`, one after
    the other; None: threads=1.
    """

    def __init__(self, folder, monkeypatch, turns):
        self.folder = folder
        self.turns = turns
        self.calls = 0
        monkeypatch.setattr(threads, "measured", self.measured)
        monkeypatch.setattr(threads, "PAUSE", -1.0)

    def measured(self, step, tried):
        step()
        self.calls += 1
        return {1: 2.0, 2: 1.0 if self.turns[self.calls % len(self.turns)] == 2 else 4.0}

    def __call__(self):
        """Weights and frames."""
        torch.set_num_threads(2)
        self.folder.mkdir(exist_ok=True)
        frames = liquid()
        network = DensityNetwork.for_frames(frames, 1, n_layers=2, cutoff=1.0, channels=8, width=16)
        with use_threads(0 if self.turns else 1) as self.choices:
            # 384 sites a batch: gradients of three parts.
            fit = ForceMatching(steps=12, batch_size=64, validate_every=3, compile=True)
            fitted, _ = fit(network, frames, seed=3, folder=self.folder)
            dynamics = Langevin(
                n_replicas=48,
                length=0.2,
                save_every=0.02,
                equilibration=0.02,
                compile=True,
                checkpoint_every=2,
            )
            wall = ExcludedVolume.fit(frames, types=network.types, cutoff=0.6)
            made, _ = dynamics(fitted + wall, frames, self.folder / "run", seed=5)
        weights = [p.detach().numpy() for p in fitted.parameters()]
        return [*weights, np.array(made.positions), np.array(made.forces)]


@pytest.mark.slow
@pytest.mark.skipif(not has_compiler(), reason="kernels need a compiler")
def test_no_number_changes_a_bit(tmp_path, monkeypatch):
    """Measured often, with one, with two and with now one, now two threads, and not measured at
    all: the same weights and frames.
    """
    plain = Climb(tmp_path / "plain", monkeypatch, None)
    wanted = plain()
    assert (plain.choices, plain.calls) == ({}, 0)
    for turns in ((1,), (2,), (1, 2)):
        climb = Climb(tmp_path / "".join(map(str, turns)), monkeypatch, turns)
        for own, right in zip(climb(), wanted, strict=True):
            np.testing.assert_array_equal(own, right)
        assert set(climb.choices) == {"training", "simulation"}
        assert climb.calls > 8
        if len(turns) == 1:
            assert [c["threads"] for c in climb.choices.values()] == [*turns, *turns]


@pytest.mark.skipif(not has_compiler(), reason="kernels need a compiler")
@pytest.mark.parametrize("owner, name, after", [(Fit, "advance", 3), (run.Run, "stretch", 6)])
def test_killed_and_resumed_with_another_number(tmp_path, monkeypatch, owner, name, after):
    wanted = Climb(tmp_path / "whole", monkeypatch, (1,))()
    killed_once(monkeypatch, owner, name, after)
    with pytest.raises(Killed):
        Climb(tmp_path / "killed", monkeypatch, (2,))()
    for own, right in zip(Climb(tmp_path / "killed", monkeypatch, (1,))(), wanted, strict=True):
        np.testing.assert_array_equal(own, right)
