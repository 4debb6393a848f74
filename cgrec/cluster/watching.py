"""What is shown of jobs by who waits for them: the log that they write, and how far they are."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..progress import LINE_EVERY
from ..run import layout
from ..run.events import Event, read_events, terminal
from ..run.status import progress_words


class Watch:
    """Shows on stderr what is new at each look.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.log = folder / layout.LOG
        self.folders: Sequence[Path] = (folder,)
        self.read = self.log.stat().st_size if self.log.exists() else 0
        self.said_at = self.event_at = 0.0
        self.drawn = False

    def __call__(self, tasks: Sequence[str]) -> None:
        """A look, while jobs for `tasks` wait or run."""
        for line in self._lines():
            self._say(line)
        self._show(list(last_progress(self.folders)), tasks)

    def _lines(self) -> Iterable[str]:
        """New whole lines of log.txt."""
        if not self.log.exists():
            return []
        with self.log.open("rb") as file:
            file.seek(self.read)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self.read += len(whole)
        return whole.decode(errors="replace").splitlines()

    def _show(self, events: Sequence[Event], tasks: Sequence[str]) -> None:
        """How far the work of the moment is; on a terminal in one line that changes."""
        latest = max((float(str(event["time"])) for event in events), default=0.0)
        waited = time.monotonic() - self.said_at
        if latest <= self.event_at or (waited < LINE_EVERY and not terminal()):
            return
        self.event_at = latest
        text = together(events) if len(self.folders) > 1 else ", ".join(progress_words(events[-1]))
        if not terminal():
            self._say(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}")
            return
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()
        self.drawn = True

    def _say(self, line: str) -> None:
        sys.stderr.write(("\r\x1b[K" if self.drawn else "") + line + "\n")
        sys.stderr.flush()
        self.drawn = False
        self.said_at = time.monotonic()


def last_progress(folders: Iterable[Path]) -> Iterable[Event]:
    """The last progress that is kept in each folder that has some."""
    for folder in folders:
        found = [event for event in read_events(folder) if event["event"] == "progress"]
        yield from found[-1:]


def together(events: Sequence[Event]) -> str:
    """How far blocks of one run are, all of them together."""
    done, total = (sum(int(str(event[key])) for event in events) for key in ("done", "total"))
    task = str(events[0]["task"]).partition(", replicas")[0]
    return f"{task}: {done} of {total} steps ({done / max(1, total):.0%}) of {len(events)} blocks"
