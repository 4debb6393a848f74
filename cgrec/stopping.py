"""Being asked to stop: SIGTERM, SIGINT and SIGUSR1 wait for a checkpoint, then end the process with
128 + signal.

A long step does its work inside `deferred` and asks for `due` between two pieces of it; when it is,
the step leaves its checkpoint and raises `Stopped`. Outside such a block `interruptible` raises at
once: every product is whole or not there.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

#: s in which a signal that comes again is the same one: `timeout` sends it to a process and to its
#: group.
SAME = 1.0
#: What clusters and users send. SIGUSR1 is what SLURM's --signal is mostly told to send before the
#: time is up.
SIGNALS = tuple(getattr(signal, n) for n in ("SIGTERM", "SIGINT", "SIGUSR1") if hasattr(signal, n))


class Stopped(KeyboardInterrupt):
    """The process was asked to stop; what is there lets the same command go on.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int, kept: str = "") -> None:
        self.number = number
        also = f"; {kept}" if kept else ""
        super().__init__(
            f"stopped by {signal.Signals(number).name}{also}. The same command goes on from there"
        )

    @property
    def exit_code(self) -> int:
        """What a shell expects of a process that a signal ended."""
        return 128 + self.number


@dataclass
class Request:
    """Whether a signal has come, and which."""

    number: int = 0

    @property
    def due(self) -> bool:
        """Whether to stop at the next chance."""
        return self.number != 0

    def stop(self, kept: str) -> None:
        """Raise Stopped where it is due; `kept` says what was left to go on from."""
        if self.due:
            raise Stopped(self.number, kept)


@contextmanager
def deferred() -> Iterator[Request]:
    """Signals only leave a request inside this block; one that nobody asked about stops the process
    at its end.

    A second signal, `SAME` seconds later, does not wait.
    """
    request = Request()

    def note(number: int) -> None:
        if request.due:
            raise Stopped(number, "at once, for it was asked twice")
        request.number = number

    with _handled(note):
        yield request
    request.stop("what was made is kept")


@contextmanager
def interruptible() -> Iterator[None]:
    """Signals raise Stopped at once inside this block."""

    def raise_stopped(number: int) -> None:
        raise Stopped(number, "what was made is kept")

    with _handled(raise_stopped):
        yield


@contextmanager
def _handled(act: Callable[[int], None]) -> Iterator[None]:
    # only the main thread may set handlers
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    last = -SAME

    def handler(number: int, frame: FrameType | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < SAME:
            return
        last = now
        act(number)

    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
