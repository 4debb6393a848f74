"""How many threads of a CPU the kernels of a long step take: measured where nobody gave a number
(threads: 0).

A second thread gains where cores are free and may lose where other programs use them, and only a
measurement knows which. What is chosen are threads of our own kernels, whose every bit is the same
for any number of them. torch's sums and matrix products are not (after 40 steps the loss of
one-site water differed in the eighth digit), so torch works on one thread meanwhile; where no
kernel serves a step, its number follows from the size of the step and the cores of the machine
alone. So what comes out follows from recipe, seed and machine, never from what else ran there: a
step can be measured again at any time, and one that was killed goes on with another number to the
same bits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

#: Seconds a measurement takes; more only where single calls are long, for every number is tried
#: once.
LONGEST = 0.3
#: Seconds of calls with one number before another has its turn: several slices of a scheduler, for
#: a thread that has just slept is let in before others and looks quicker than it stays.
BURST = 0.02
#: From one measurement to the next, in lengths of a measurement: 2 % of the time are spent on it,
#: and what was chosen in a moment that was not like the others is mended soon.
PAUSE = 50.0
#: More threads are taken where they need less than this share of the time of fewer.
GAIN = 0.9
#: Of long calls, fewer threads are not tried where the time has grown by this factor already.
WORSE = 1.5
#: Sites of all frames of a step from which torch's own operations gain by more than one thread.
MANY = 10_000


@dataclass
class _Now:
    kernels: int | None = None  # threads of kernels; None: as many as torch
    choices: dict[str, object] | None = None  # None: nobody asked to choose


_now = _Now()


def kernel_threads() -> int:
    """Threads a kernel takes."""
    return torch.get_num_threads() if _now.kernels is None else _now.kernels


def has_kernel(model: torch.nn.Module) -> bool:
    """Whether a kernel that takes `kernel_threads` computes some part of a potential."""
    return any(getattr(part, "threaded", False) for part in model.modules())


@contextmanager
def use_threads(n: int) -> Iterator[dict[str, object]]:
    """Let torch and kernels use `n` threads inside the block; 0: every long step chooses
    (`chosen`).

    Gives {name of a step: {"threads": its number, "milliseconds": {number: of one call}}}, filled
    as steps begin; empty for n > 0.
    """
    before, torch_before = _now.choices, torch.get_num_threads()
    choices: dict[str, object] = {}
    _now.choices = None if n else choices
    torch.set_num_threads(n or torch_before)
    try:
        yield choices
    finally:
        _now.choices = before
        torch.set_num_threads(torch_before)


@contextmanager
def chosen(
    name: str, trial: Callable[[], Callable[[], object] | None], n_sites: int
) -> Iterator[Callable[[], None]]:
    """Inside the block, use the number of threads that suits a long step; nothing where a number
    was given.

    Args:
        name: of the step, for run.json.
        trial: gives, for each measurement, what does once what the step does again and again and
            leaves no trace; or None where no kernel has a part in it.
        n_sites: of all its frames together.

    Gives a function to call now and then, which measures again when it is time (`PAUSE`).
    """
    choices, most = _now.choices, torch.get_num_threads()
    if choices is None:
        yield lambda: None
        return
    served, due = trial() is not None, 0.0
    torch.set_num_threads(1 if served or n_sites < MANY else most)

    def measure() -> None:
        nonlocal due
        step, begin = trial(), time.monotonic()
        times = measured(step, numbers(most)) if step else {}
        _now.kernels = quickest(times) if times else None
        took = {str(n): round(1000 * t, 3) for n, t in sorted(times.items())}
        choices[name] = {"threads": kernel_threads(), "milliseconds": took}
        end = time.monotonic()
        due = end + PAUSE * (end - begin)

    def again() -> None:
        if served and time.monotonic() > due:
            measure()

    _now.choices = None  # a step inside this one takes what this one took
    try:
        measure()
        yield again
    finally:
        _now.kernels, _now.choices = None, choices
        torch.set_num_threads(most)


def numbers(most: int) -> list[int]:
    """Numbers of threads worth a try: 1, 2, 4, ... and `most`."""
    return sorted({2**k for k in range(most.bit_length())} | {most})


def measured(
    step: Callable[[], object], tried: Sequence[int], clock: Callable[[], float] = time.perf_counter
) -> dict[int, float]:
    """{number of threads: seconds of one `step`, mean over bursts}; {} where there is nothing to
    choose.

    The numbers take turns, there and back, so that other work on the machine meets all of them
    alike. A mean, for where others compute it is the rare long call, whose threads wait for one
    that was put aside, that makes two threads slow: the median does not see it. `step` is called
    once before, to fill caches and wake the threads.
    """
    if len(tried) == 1:
        return {}
    begin, order = clock(), sorted(tried, reverse=True)
    found: dict[int, _Bursts] = {}
    _now.kernels = order[0]
    step()
    for n in order:
        found[n] = _Bursts()
        found[n].add(step, n, clock)
        if clock() - begin > LONGEST and found[n].mean > WORSE * min(
            one.mean for one in found.values()
        ):
            break
    round_takes = clock() - begin
    while clock() - begin + round_takes < LONGEST:
        round_began = clock()
        order.reverse()
        for n in order:
            found[n].add(step, n, clock)
        round_takes = clock() - round_began
    return {n: one.mean for n, one in found.items()}


@dataclass
class _Bursts:
    seconds: float = 0.0
    calls: int = 0

    @property
    def mean(self) -> float:
        return self.seconds / self.calls

    def add(self, step: Callable[[], object], n: int, clock: Callable[[], float]) -> None:
        """Calls with `n` threads that fill `BURST`; the first, which wakes them, counts only where
        it is as long as that.
        """
        _now.kernels = n
        begin = clock()
        step()
        start, calls = clock(), 0
        if start - begin > BURST:
            start, calls = begin, 1
        while clock() - start < BURST:
            step()
            calls += 1
        self.seconds += clock() - start
        self.calls += calls


def quickest(times: dict[int, float]) -> int:
    """The number to take: more threads only for a gain."""
    taken = min(times)
    for n in sorted(times):
        if times[n] < GAIN * times[taken]:
            taken = n
    return taken
