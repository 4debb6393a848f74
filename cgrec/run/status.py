"""How far a run is, from its folder alone: no other package is imported for it than PyYAML."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from ..files import Json
from . import layout
from .events import ENDS, Event, counted, duration, read_events
from .lock import Owner, holder

#: Products of a level in the order they are made, and what is being done while one is not there.
STEPS = (
    (layout.TARGETS, "map"),
    (layout.POTENTIAL, "fit"),
    (layout.FRAMES, "run"),
    (layout.REPORT, "ledger"),
)
DONE, BEGUN, TO_DO = "done", "begun", "to do"


@dataclass(frozen=True)
class LevelStatus:
    """One level of a run.

    Attributes:
        number, name: 0 and "level 0", 1 and its key in the configuration, ...
        state: done, begun, or to do.
        missing: steps that are not finished yet.
        verdict: its word; "" where there is none yet.
        reasons: of the verdict, in words.
        remarks: what users should know.
    """

    number: int
    name: str
    state: str
    missing: tuple[str, ...] = ()
    verdict: str = ""
    reasons: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunStatus:
    """A run.

    Attributes:
        run: its folder, as it was given.
        state: running, finished, stopped (asked to), killed, failed, refused (the last command,
            before it began), or unfinished where no event says more.
        said: the error or signal that ended it; "" where none did.
        process: that holds the lock of the folder; None where none does.
        levels: level 0 first, also those not begun yet.
        now: the last progress of what runs now, or ran when it ended; None where there is none.
        age: s since that.
        command: that goes on with it, or repeats it; "" where unknown.
        seconds: of all finished levels; None where unknown.
        report: whether report.html is there.
    """

    run: str
    state: str
    said: str
    process: Owner | None
    levels: tuple[LevelStatus, ...]
    now: Event | None = None
    age: float | None = None
    command: str = ""
    seconds: float | None = None
    report: bool = False
    running: str = ""

    @property
    def done(self) -> int:
        """Levels above level 0 that are finished."""
        return sum(level.state == DONE for level in self.levels if level.number)

    @property
    def whole(self) -> bool:
        """Whether every level is finished."""
        return bool(self.levels) and all(level.state == DONE for level in self.levels)

    def to_json(self) -> dict[str, object]:
        """All of it, as plain values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For reading."""
        return _lines(self)


def status_of(run: str | Path) -> RunStatus:
    """How far the run in a folder is; nothing is locked, compared or changed.

    Raises:
        FileNotFoundError: there is no such folder, or nothing of a climb in it.
    """
    folder = Path(run)
    events = read_events(folder)
    if not events and not layout.level_folder(folder, 0).is_dir():
        raise FileNotFoundError(
            f"{run}: expected the folder of a run, found nothing of a climb in it; "
            "cgrec climb makes one"
        )
    about = _json(folder / layout.RUN)
    names = _names(folder, events)
    levels = tuple(_level(folder, k, name) for k, name in enumerate(names))
    process = holder(folder)
    state, said = _state(events, process, levels)
    now, running = _now(events)
    seconds = about.get("seconds")
    return RunStatus(
        run=str(run),
        state=state,
        said=said,
        process=process,
        levels=levels,
        now=now if state != "finished" else None,
        age=None if now is None else max(0.0, time.time() - _number(now["time"])),
        command=_for(folder, str(about.get("command", ""))),
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
        report=(folder / layout.PAGE).exists(),
        running=running if state != "finished" else "",
    )


def _for(folder: Path, command: str) -> str:
    """A command for this folder, where the run was moved or copied since."""

    def here(found: re.Match[str]) -> str:
        stated = "".join(shlex.split(found[1]))
        same = Path(stated).resolve() == folder.resolve()
        return found[0] if same else f"run={shlex.quote(str(folder))}"

    return re.sub(r"(?<= )run=('[^']*'|\S+)", here, command)


def _json(path: Path) -> Json:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _names(folder: Path, events: list[Event]) -> list[str]:
    """Of the levels, from the configuration, else the last climb, else the folders."""
    try:
        config = yaml.safe_load((folder / layout.CONFIG).read_text())
    except (OSError, yaml.YAMLError):
        config = None
    planned = config.get("levels") if isinstance(config, dict) else None
    if isinstance(planned, dict):
        return ["level 0", *map(str, planned)]
    for event in reversed(events):
        named = event.get("levels")
        if isinstance(named, list):
            return ["level 0", *named]
    return ["level 0", *(f"l{layout.level_number(p)}" for p in layout.level_folders(folder)[1:])]


def _level(run: Path, number: int, name: str) -> LevelStatus:
    folder = layout.level_folder(run, number)
    steps = STEPS if number else ((layout.FRAMES, "source"), (layout.REPORT, "ledger"))
    missing = tuple(step for product, step in steps if not (folder / product).exists())
    begun = folder.is_dir() and any(folder.iterdir())
    report = _json(folder / layout.REPORT)
    verdict = report.get("verdict")
    verdict = verdict if isinstance(verdict, dict) else {}
    reasons = verdict.get("reasons")
    said = [r for r in reasons if isinstance(r, dict)] if isinstance(reasons, list) else []
    return LevelStatus(
        number=number,
        name=name,
        state=DONE if not missing else BEGUN if begun else TO_DO,
        missing=missing,
        verdict=str(verdict.get("value", verdict.get("word", ""))),
        reasons=tuple(f"{r.get('found', '')}: {r.get('do', '')}" for r in said),
        remarks=_remarks(folder / layout.REMARKS),
    )


def _remarks(path: Path) -> tuple[str, ...]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return ()
    return tuple(map(str, found)) if isinstance(found, list) else ()


def _state(
    events: list[Event], process: Owner | None, levels: tuple[LevelStatus, ...]
) -> tuple[str, str]:
    """The state of a run, and what ended it."""
    if process is not None:
        return "running", ""
    finished = bool(levels) and all(level.state == DONE for level in levels)
    last = next((e for e in reversed(events) if str(e["event"]).startswith("climb_")), None)
    if last is None:
        return ("finished" if finished else "unfinished"), ""
    kind, text = str(last["event"]), str(last.get("text", ""))
    if finished and kind == "climb_refused":
        return ENDS[kind], f"all levels are made; the last command was refused: {text}"
    if kind in ENDS:
        return ENDS[kind], text
    if last.get("host") != socket.gethostname():
        return "killed", f"its process was on host {last.get('host')}, and holds the lock no more"
    return "killed", f"process {last.get('pid')} ended without a word"


def _now(events: list[Event]) -> tuple[Event | None, str]:
    """The last progress of the innermost step that is open, and the name of that step."""
    start = max((i for i, e in enumerate(events) if "pid" in e), default=0)
    open_steps: list[Event] = []
    last: Event | None = None
    for event in events[start:]:
        if event["event"] == "step_begin":
            open_steps.append(event)
            last = event
        elif event["event"] == "step_end" and open_steps:
            open_steps.pop()
            last = open_steps[-1] if open_steps else None
        elif event["event"] == "progress":
            last = event
    if not open_steps:
        return last, ""
    inner = open_steps[-1]
    return last, f"{inner.get('name', '')}: {inner.get('step', '')}"


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _lines(status: RunStatus) -> list[str]:
    found = [f"{status.run}: {status.state}{_of_process(status)}"]
    if status.said:
        found.append(f"  {status.said}")
    width = max(len(level.name) for level in status.levels)
    for level in status.levels:
        missing = f", without {', '.join(level.missing)}" if level.state == BEGUN else ""
        word = f", verdict: {level.verdict}" if level.verdict else ""
        found.append(f"  {level.name:{width}}  {level.state}{missing}{word}")
        found += [f"  {'':{width}}    {reason}" for reason in level.reasons]
    if status.now is not None and not status.whole:
        when = "now" if status.state == "running" else "last"
        found.append(f"{when}: {_progress(status)}")
    remarks = [text for level in status.levels for text in level.remarks]
    if remarks:
        found.append(f"notes ({len(remarks)}):")
        found += [f"  {text}" for text in remarks]
    return [*found, *_way_on(status)]


def _of_process(status: RunStatus) -> str:
    if status.process is None:
        return ""
    who = status.process
    return f" (process {who.pid} on host {who.host}, since {who.since})"


def _progress(status: RunStatus) -> str:
    """What runs, with its numbers."""
    event = status.now or {}
    if "total" not in event:
        return status.running or str(event.get("event", ""))
    words = progress_words(event)
    left = event.get("left")
    if status.state == "running" and isinstance(left, int | float):
        words.append(f"{duration(left)} left of this step")
    age = f" ({duration(status.age)} ago)" if status.age is not None else ""
    return ", ".join(words) + age


def progress_words(event: Event) -> list[str]:
    """An event of progress in words: how far, and its numbers."""
    done, total = _number(event["done"]), max(1.0, _number(event["total"]))
    plain = {"task", "done", "total", "unit", "left", "time", "event", "level", "name", "step"}
    numbers = [
        f"{name} {value:.4g}"
        for name, value in event.items()
        if name not in plain and isinstance(value, int | float)
    ]
    return [
        f"{event['task']}: {done:.0f} of {counted(total, str(event['unit']))} ({done / total:.0%})",
        *numbers,
    ]


def _way_on(status: RunStatus) -> list[str]:
    """How to go on."""
    command = status.command or "the command that made it"
    if status.state == "running":
        return [f"it is under way; to stop it so that it can go on: kill {_pid(status)}"]
    if status.whole:
        page = f"open {os.path.join(status.run, layout.PAGE)}"
        return [page if status.report else f"write its page: cgrec report run={status.run}"]
    count = f"{status.done} of {len(status.levels) - 1} levels"
    return [f"unfinished: {count}; go on with: {command}"]


def _pid(status: RunStatus) -> int | str:
    return status.process.pid if status.process else ""
