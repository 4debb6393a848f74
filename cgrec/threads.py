"""How many threads of a CPU the kernels of a long step take: measured where nobody gave a number (threads: 0).

A second thread gains where cores are free and loses where other programs use them, and only a measurement knows which.
What is chosen are threads of our own kernels, whose every bit is the same for any number of them. torch's sums and matrix
products are not (after 40 steps the loss of one-site water differed in the eighth digit), so torch works on one thread meanwhile; where no
kernel serves a step its number follows from the size of the step alone. So what comes out follows from recipe and seed, never from
what else ran on the machine; a step can be measured again at any time, and resumed with another number.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

#: Seconds one measurement takes (a first round is always made, a second one if the first took less), and from one to the next.
LONGEST, AGAIN = 0.3, 300.0
#: More threads are taken where they need less than this share of the time of fewer.
GAIN = 0.9
#: Rounds of a measurement at most.
ROUNDS = 15
#: Sites of all frames of a step from which torch's own operations gain by more than one thread.
MANY = 10_000


@dataclass
class _Now:
    kernels: int | None = None  # threads of kernels; None: as many as torch
    choices: dict[str, Any] | None = None  # None: nobody asked to choose


_now = _Now()


def kernel_threads() -> int:
    """Threads a kernel takes."""
    return torch.get_num_threads() if _now.kernels is None else _now.kernels


@contextmanager
def use_threads(n: int) -> Iterator[dict[str, Any]]:
    """Let torch and kernels use `n` threads inside the block; 0: every long step chooses (`chosen`).

    Gives {name of a step: {"threads": its number, "milliseconds": {number: of one call}}}, filled as steps begin; empty for n > 0.
    """
    before, torch_before = _now.choices, torch.get_num_threads()
    choices: dict[str, Any] = {}
    _now.choices = None if n else choices
    torch.set_num_threads(n or torch_before)
    try:
        yield choices
    finally:
        _now.choices = before
        torch.set_num_threads(torch_before)


@contextmanager
def chosen(name: str, step: Callable[[], Any] | None, n_sites: int) -> Iterator[Callable[[], None]]:
    """Inside the block, use the number of threads that suits a long step; nothing where a number was given.

    Args:
        name: of the step, for run.json.
        step: does what the step does again and again and leaves no trace; None where no kernel has a part in it.
        n_sites: of all its frames together.

    Gives a function to call now and then, which measures again after `AGAIN` seconds.
    """
    choices, most = _now.choices, torch.get_num_threads()
    if choices is None:
        yield lambda: None
        return
    torch.set_num_threads(1 if step or n_sites < MANY else most)
    measured_at = [time.monotonic()]

    def measure() -> None:
        times = measured(step, numbers(most)) if step else {}
        _now.kernels = quickest(times) if times else None
        took = {str(n): round(1000 * t, 3) for n, t in times.items()}
        choices[name] = {"threads": _now.kernels or torch.get_num_threads(), "milliseconds": took}

    def again() -> None:
        if step and time.monotonic() - measured_at[0] > AGAIN:
            measured_at[0] = time.monotonic()
            measure()

    try:
        measure()
        yield again
    finally:
        _now.kernels = None
        torch.set_num_threads(most)


def numbers(most: int) -> list[int]:
    """Numbers of threads worth a try: 1, 2, 4, ... and `most`."""
    return sorted({2**k for k in range(most.bit_length())} | {most})


def measured(
    step: Callable[[], Any], tried: Sequence[int], clock: Callable[[], float] = time.perf_counter
) -> dict[int, float]:
    """{number of threads: median seconds of `step`}: in turn, so that a burst of other work meets all of them alike."""
    times: dict[int, list[float]] = {n: [] for n in tried}
    if len(tried) == 1:
        return {}
    begin, shortest = clock(), float("inf")
    for done in range(1, ROUNDS + 1):
        round_began = clock()
        for _now.kernels in tried:
            start = clock()
            step()
            times[_now.kernels].append(clock() - start)
        spent, shortest = clock() - begin, min(shortest, clock() - round_began)
        if spent > LONGEST or (done > 1 and spent + shortest > LONGEST):
            break
    # The first round wakes the threads and fills caches.
    return {n: statistics.median(t[1:] or t) for n, t in times.items()}


def quickest(times: dict[int, float]) -> int:
    """The number to take: more threads only for a gain."""
    taken = min(times)
    for n in sorted(times):
        if times[n] < GAIN * times[taken]:
            taken = n
    return taken
