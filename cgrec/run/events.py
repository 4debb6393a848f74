"""What happens in a run while it happens: `events.jsonl` and `log.txt` in its folder.

events.jsonl has one json object a line, added and never changed. Each has `time` (s since 1970) and
`event`; those of a level have its number `level` and its `name`, those of a step `step` too:

    climb_begin, climb_resume    pid, host, version, levels (their names)
    climb_end                    seconds
    climb_stopped                text: asked to stop, by which signal; or at the end of one job
    climb_refused, climb_failed  kind (class), text: before any step began, or for its recipe; or after
    step_begin, step_end         step: source, map, mean forces, fit, run, correct, ledger; seconds
    progress                     task, done, total, unit, left (s); and what stands on the bar
    remark                       text
    verdict                      value, text

Events are no product: no recipe and no digest knows them. A line that a kill cut short is left out
by readers and ended by the next start. What cannot be written, as on a full disk, is lost; that is
said once and ends nothing. Only the process that holds the lock of the folder writes.
"""

from __future__ import annotations

import json
import math
import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from ..remarks import listened
from . import layout
from .lock import Busy, only_here

#: What stands under a name of an event.
Value = str | int | float | bool | None | list[str]
Event = dict[str, Value]
#: Events of a climb that is over, by what is said of it.
ENDS = {
    "climb_end": "finished",
    "climb_stopped": "stopped",
    "climb_refused": "refused",
    "climb_failed": "failed",
}


#: s: a step that takes less is one line, at its end.
SHORT = 2.0


class _Lines:
    """A file that whole lines are added to. What cannot be written is lost, which is said once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lost = False
        self.file: int | None = None
        self.empty = True
        self.cut = False
        try:
            self.file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            size = os.fstat(self.file).st_size
            self.empty = size == 0
            self.cut = size > 0 and os.pread(self.file, 1, size - 1) != b"\n"
        except OSError as error:
            self._lose(error)

    def add(self, line: str) -> None:
        """One more line; where an earlier one was cut short, that one is ended first."""
        if self.file is None:
            return
        whole = ("\n" if self.cut else "") + line + "\n"
        data = whole.encode("utf-8", "replace")
        try:
            self.cut = os.write(self.file, data) < len(data)
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        if not self.lost:
            sys.stderr.write(
                f"cgrec: note: {self.path} cannot be written ({error.strerror}): what happens is "
                "not kept there; the work goes on\n"
            )
        self.lost = True

    def close(self) -> None:
        if self.file is not None:
            os.close(self.file)
        self.file = None


class _Journal:
    """The two files of a run that is climbed."""

    def __init__(self, folder: Path) -> None:
        self.pid = os.getpid()
        self.events = _Lines(folder / layout.EVENTS)
        self.log = _Lines(folder / layout.LOG)
        self.worked = False  # whether a step began

    @property
    def mine(self) -> bool:
        """Whether this is the process that opened it, not a child of that."""
        return os.getpid() == self.pid

    def write(self, event: Event) -> None:
        self.events.add(json.dumps(event, ensure_ascii=False))

    def note(self, text: str) -> None:
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        for line in text.splitlines():
            self.log.add(f"{now}  {line}")

    def close(self) -> None:
        self.events.close()
        self.log.close()


@dataclass(eq=False)
class Step:
    """A step that is under way.

    Attributes:
        name: source, map, fit, ...
        level: its number, and its name, as in an event.
        outer: the step it is part of.
        begin: s of `time.monotonic`.
        last: what its last bar came to, in words.
    """

    name: str
    level: tuple[int, str] | None
    outer: Step | None
    begin: float
    last: str = field(default="", init=False)
    said: bool = field(default=False, init=False)

    @property
    def label(self) -> str:
        """l1: fit"""
        return f"{self.level[1]}: {self.name}" if self.level else self.name

    @property
    def seen(self) -> bool:
        """Whether it has lines: a step inside one of the same level has none."""
        return self.outer is None or self.outer.level != self.level

    def announce(self) -> None:
        """Say that it began, unless that was said."""
        if self.outer is not None:
            self.outer.announce()
        if self.seen and not self.said:
            self.said = True
            _say(self.label)

    def announce_if_long(self) -> None:
        """The same, where it has taken `SHORT`."""
        if not self.said and time.monotonic() - self.begin > SHORT:
            self.announce()


_OPEN: ContextVar[_Journal | None] = ContextVar("files of the run that is climbed", default=None)
_WAITING: ContextVar[list[Event] | None] = ContextVar("events before the files", default=None)
_LEVEL: ContextVar[tuple[int, str] | None] = ContextVar("level that is made", default=None)
_STEP: ContextVar[Step | None] = ContextVar("step that is under way", default=None)


def emit(event: str, **about: Value) -> None:
    """Keep an event of the run that is climbed, if there is one; numbers that are not finite are
    kept as null.
    """
    level, current = _LEVEL.get(), _STEP.get()
    of: Event = {} if level is None else {"level": level[0], "name": level[1]}
    if current is not None:
        of["step"] = current.name
    plain = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in about.items()
    }
    whole: Event = {"time": round(time.time(), 3), "event": event, **of, **plain}
    journal, waiting = _OPEN.get(), _WAITING.get()
    if journal is not None:
        if journal.mine:
            journal.write(whole)
    elif waiting is not None:
        waiting.append(whole)


def note(text: str) -> None:
    """Keep `text` in log.txt of the run that is climbed, if there is one."""
    journal = _OPEN.get()
    if journal is not None and journal.mine:
        journal.note(text)


def say(line: str) -> None:
    """`line` in log.txt; and on stderr where that is no terminal, for bars are drawn on one. That the
    step of the moment began is said before it.
    """
    current = _STEP.get()
    if current is not None:
        current.announce()
    _say(line)


def _say(line: str) -> None:
    if not terminal():
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    note(line)


def terminal() -> bool:
    """Whether stderr is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def current_step() -> Step | None:
    """The step that is under way."""
    return _STEP.get()


@contextmanager
def at_level(number: int, name: str) -> Iterator[None]:
    """Events inside the block are of this level."""
    token = _LEVEL.set((number, name))
    try:
        yield
    finally:
        _LEVEL.reset(token)


@contextmanager
def step(name: str) -> Iterator[None]:
    """A step of the level of the moment: its begin and its end are events and lines; a short one is
    one line. Outside a run that is climbed nothing is kept or said.
    """
    journal, outer = _OPEN.get(), _STEP.get()
    if journal is None:
        yield
        return
    journal.worked = True
    current = Step(name, _LEVEL.get(), outer, time.monotonic())
    token = _STEP.set(current)
    try:
        emit("step_begin")
        yield
        seconds = time.monotonic() - current.begin
        emit("step_end", seconds=round(seconds, 3))
    finally:
        _STEP.reset(token)
    if current.seen:
        came = f": {current.last}" if current.last else ""
        say(f"{current.label} done in {duration(seconds)}{came}")
    elif outer is not None:
        outer.last = current.last


@contextmanager
def waiting(folder: str | Path) -> Iterator[None]:
    """Events of the block wait until the files of `folder` are open (`kept_events`). Where an error
    comes before, and the folder has events of earlier climbs, it is kept there as a refusal.
    """
    if _WAITING.get() is not None:
        yield
        return
    held: list[Event] = []
    token = _WAITING.set(held)
    try:
        with listened(_remarked):
            yield
    except Exception as error:
        if not any(event["event"] == "opened" for event in held):
            _keep_refusal(Path(folder), held, error)
        raise
    finally:
        _WAITING.reset(token)


def _remarked(sentence: str) -> None:
    emit("remark", text=sentence)
    note(f"note: {sentence}")


def _keep_refusal(folder: Path, held: Sequence[Event], error: Exception) -> None:
    """In the events of earlier climbs, where there are any and no process works there."""
    if not (folder / layout.EVENTS).exists():
        return
    try:
        with only_here(folder):
            journal = _Journal(folder)
            for event in held:
                journal.write(event)
            _end(journal, error)
            journal.close()
    except (Busy, OSError):
        return


@contextmanager
def kept_events(folder: str | Path, levels: Sequence[str], whole: bool = True) -> Iterator[None]:
    """Keep every event of the block, which climbs the run in `folder` and holds its lock.

    Args:
        folder: of the run.
        levels: names of the levels above level 0.
        whole: all of them are made; else the climb stops before its end.
    """
    journal = _Journal(Path(folder))
    begin = time.monotonic()
    first = journal.events.empty
    token = _OPEN.set(journal)
    try:
        with listened(_remarked):
            emit(
                "climb_begin" if first else "climb_resume",
                pid=os.getpid(),
                host=socket.gethostname(),
                version=version("cgrec"),
                levels=list(levels),
            )
            say(f"climb {'begins' if first else 'goes on'}: {folder}, {len(levels)} levels")
            _write_waiting(journal)
            yield
        seconds = time.monotonic() - begin
        if not whole:
            emit("climb_stopped", text="the levels of one job are made")
            return
        emit("climb_end", seconds=round(seconds, 3))
        say(f"climb done in {duration(seconds)}")
    except BaseException as error:
        _end(journal, error)
        raise
    finally:
        _OPEN.reset(token)
        journal.close()


@contextmanager
def kept_progress(folder: Path) -> Iterator[None]:
    """Keep what the block emits in `folder`: it is part of a climb that another process makes."""
    folder.mkdir(parents=True, exist_ok=True)
    journal = _Journal(folder)
    token = _OPEN.set(journal)
    try:
        yield
    finally:
        _OPEN.reset(token)
        journal.close()


def _write_waiting(journal: _Journal) -> None:
    held = _WAITING.get()
    if held is None:
        return
    for event in held:
        journal.write(event)
        if event["event"] == "remark":
            journal.note(f"note: {event['text']}")
    held.append({"event": "opened"})  # an error that comes now is kept by the files


def _end(journal: _Journal, error: BaseException) -> None:
    """The last event of a climb that an error ended."""
    # a run at work refuses an end that it has passed: by its name, for recipes stand on events
    refused = not journal.worked or type(error).__name__ == "OtherRecipe"
    ends = "climb_refused" if refused else "climb_failed"
    if not isinstance(error, Exception):  # KeyboardInterrupt: asked to stop
        ends = "climb_stopped"
    text = str(error) or type(error).__name__
    event: Event = {"time": round(time.time(), 3), "event": ends, "kind": type(error).__name__}
    journal.write({**event, "text": text})
    journal.note(f"climb {ENDS[ends]}: {text}")


def read_events(folder: str | Path) -> list[Event]:
    """Events of a run in their order; none where nothing is kept. Lines that were cut are left
    out.
    """
    path = Path(folder) / layout.EVENTS
    if not path.exists():
        return []
    found: list[Event] = []
    for line in path.read_bytes().split(b"\n"):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and "event" in event and "time" in event:
            found.append(event)
    return found


def counted(n: float, unit: str) -> str:
    """1 batch, 2 batches, 3 steps."""
    ending = "" if n == 1 or unit.endswith("s") else "es" if unit.endswith("ch") else "s"
    return f"{n:.0f} {unit}{ending}"


def duration(seconds: float) -> str:
    """3.2 s, 4 min 10 s, 2 h 5 min, 3 d 4 h."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    days, h = divmod(hours, 24)
    if days:
        return f"{days} d {h} h"
    return f"{h} h {m} min" if h else f"{m} min {s} s"
