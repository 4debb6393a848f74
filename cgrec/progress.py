"""`Progress`: the one progress bar. It draws itself on a terminal and in a notebook, is lines where
neither is there, and events of the run that is climbed.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import NoReturn

from tqdm.auto import tqdm

from .run.events import counted, current_step, duration, emit, say, terminal

#: s between events of one bar: of a short step; of one of days, whose file stays small so.
EVENT_EVERY, EVENT_AT_LEAST = 2.0, 30.0
#: Events of a bar before they become rarer.
MANY = 500
#: s and share of the work between lines; and s after which there is a line in any case.
LINE_EVERY, LINE_SHARE, LINE_AT_LEAST = 30.0, 0.1, 600.0
#: s between two drawings.
DRAWN_EVERY = 0.5
#: How numbers are shown. Their names say what they are in events: K, ns of each replica, a share of
#: the mean squared force, (kJ/mol/nm)^2.
_WORDS = {
    "loss": "loss {:.4g}",
    "validation": "validation {:.4f}",
    "explained_fraction": "explained {:.2%}",
    "ns": "{:.3g} ns",
    "ns_per_day": "{:.1f} ns/day",
    "temperature": "{:.0f} K",
    "lost_replicas": "{:.0f} replicas lost",
    "ess": "ESS {:.0%}",
}
#: Numbers that an event holds and no bar or line has room for.
_ONLY_EVENTS = ("loss", "ns")


class Progress:
    """Progress of one task, to be used in `with`.

    Args:
        name: of the task.
        total: units of it, here and before.
        unit: what is counted, in the singular.
        done: units that were made before.
        shown: False: neither drawn nor kept, as of all processes but the first.
    """

    def __init__(
        self, name: str, total: int, unit: str = "step", *, done: int = 0, shown: bool = True
    ) -> None:
        self.name = name
        self.total = total
        self.unit = unit
        self.done = self.before = done
        self.shown = shown
        self.numbers: dict[str, float] = {}
        self.begin = self.event_at = self.line_at = time.monotonic()
        self.line_done = done
        drawn = shown and (terminal() or _in_notebook())
        self.lines = shown and not terminal()
        self.bar: tqdm[NoReturn] = tqdm(
            total=total,
            initial=done,
            desc=name,
            unit=unit,
            mininterval=DRAWN_EVERY,
            disable=not drawn,
        )

    def __enter__(self) -> Progress:
        self._emit()
        if self.shown and current_step() is None:
            say(f"{self.name}: {self._count()}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.close()
        self._emit()
        if kind is not None or not self.shown:
            return
        said = ", ".join([self._count(), *self._words()])
        step = current_step()
        if step is None:
            say(f"{self.name} done in {duration(time.monotonic() - self.begin)}: {said}")
        else:
            step.last = said

    def advance(self, n: int = 1) -> None:
        """`n` units more are done."""
        self.done += n
        self.bar.update(n)
        self._tell()

    def grow(self, n: int) -> None:
        """`n` units more are to do."""
        self.total += n
        self.bar.total = self.total

    def show(self, **numbers: float) -> None:
        """Numbers to stand on the bar from now on, and in events under these names."""
        self.numbers.update(numbers)
        self.bar.set_postfix_str(", ".join(self._words()), refresh=False)

    def word(self, word: str) -> None:
        """What is being done, on the bar alone."""
        self.bar.set_postfix_str(word, refresh=False)

    @property
    def left(self) -> float | None:
        """s until the end, at the mean speed so far; None before the first unit."""
        made = self.done - self.before
        if made <= 0:
            return None
        return (self.total - self.done) * (time.monotonic() - self.begin) / made

    def _tell(self) -> None:
        """An event and a line where it is time for them."""
        step = current_step()
        if step is not None:
            step.announce_if_long()
        now = time.monotonic()
        gap = min(max(EVENT_EVERY, (now - self.begin) / MANY), EVENT_AT_LEAST)
        if now - self.event_at >= gap:
            self._emit()
        share = (self.done - self.line_done) / max(1, self.total)
        quiet = now - self.line_at
        if quiet >= LINE_EVERY and (share >= LINE_SHARE or quiet >= LINE_AT_LEAST):
            self.line_at, self.line_done = now, self.done
            left = self.left
            until = [] if left is None else [f"{duration(left)} left"]
            if self.shown:
                say(f"{self.name}: {', '.join([self._count(), *self._words(), *until])}")

    def _emit(self) -> None:
        self.event_at = time.monotonic()
        if not self.shown:
            return
        left = self.left
        emit(
            "progress",
            task=self.name,
            done=self.done,
            total=self.total,
            unit=self.unit,
            left=None if left is None else round(left, 1),
            **self.numbers,
        )

    def _count(self) -> str:
        units = counted(self.total, self.unit)
        if self.done >= self.total:
            return units
        if self.done == 0:
            return f"{units} to do"
        return f"{self.done} of {units} ({self.done / self.total:.0%})"

    def _words(self) -> list[str]:
        return [
            _WORDS.get(name, name + " {:.4g}").format(value)
            for name, value in self.numbers.items()
            if name not in _ONLY_EVENTS
        ]


def _in_notebook() -> bool:
    """Whether tqdm draws bars of a notebook, whose stderr is no terminal."""
    return any("notebook" in base.__module__ for base in tqdm.__mro__)
