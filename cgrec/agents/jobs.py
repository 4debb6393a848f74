"""Commands of cgrec in the background: they go on when the server ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..run.lock import Owner, ask_to_stop, holder
from .answers import Quantity, Work

#: s that a tool waits at most: clients give up after a minute.
LONGEST = 50.0
#: s between looks at a process that is no child of this server.
_LOOK = 0.1
#: Characters of what a command wrote last: its error is one line.
_TAIL = 2000


@dataclass(frozen=True)
class Job:
    """A command that was begun.

    Attributes:
        command: its name.
        folder: of its results.
        process: of it.
        output: file with all that it prints.
        numbers: reads what it found, when it has finished.
        next: what to do then.
    """

    command: str
    folder: Path
    process: subprocess.Popen[bytes]
    output: Path
    numbers: Callable[[], dict[str, Quantity]]
    next: str

    @property
    def said(self) -> str:
        """The last line that it printed: of a command that failed, its error."""
        lines = self.output.read_text(errors="replace")[-_TAIL:].strip().splitlines()
        return lines[-1] if lines else ""

    def answer(self) -> Work:
        """How far it is."""
        status = self.process.poll()
        folder = str(self.folder)
        if status is None:
            return Work(folder=folder, state="running", next=f"ask status(folder={folder!r})")
        if status == 0:
            return Work(folder=folder, state="finished", numbers=self.numbers(), next=self.next)
        stopped = status in (128 + signal.SIGTERM, -signal.SIGTERM)
        return Work(
            folder=folder,
            state="stopped" if stopped else "failed",
            said=self.said,
            next="the same call goes on from what is there; correct first what it says",
        )


@dataclass
class Jobs:
    """Those that this server began, by folder."""

    root: Path
    begun: dict[Path, Job] = field(default_factory=dict)

    def begin(
        self,
        words: Sequence[str],
        folder: Path,
        wait: float,
        numbers: Callable[[], dict[str, Quantity]] = dict,
        next: str = "",
    ) -> Job:
        """Start `cgrec words`, and wait a while for its end.

        Args:
            words: of the command line.
            folder: of its results.
            wait: s.
            numbers: reads what it found.
            next: what to do when it has finished.

        Raises:
            ValueError: a process works in the folder, whoever began it; a wait longer than clients
                wait.
        """
        _check_wait(wait)
        owner = self.at_work(folder)
        if owner is not None:
            raise ValueError(
                f"{folder}: expected no work in it, found {said_of(owner)} at it; ask "
                f"status(folder={self._named(folder)!r}) how far it is, or "
                f"stop(folder={self._named(folder)!r}) it first"
            )
        output = Path(tempfile.mkdtemp(prefix="cgrec-mcp-")) / "output.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "cgrec", *words],
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.begun[folder] = Job(words[0], folder, process, output, numbers, next)
        _wait(process, wait)
        return self.begun[folder]

    def at_work(self, folder: Path) -> Owner | None:
        """The process that works in a folder, begun here, by a server before, or in a terminal."""
        job = self.begun.get(folder)
        if job is not None and job.process.poll() is None:  # before it has its lock, too
            return holder(folder) or Owner(job.process.pid, "", "")
        return holder(folder)

    def stop(self, folder: Path, wait: float) -> None:
        """Ask the process that works in a folder to leave a checkpoint and to end, and wait a while.

        Raises:
            ValueError: none works there, or none that can be stopped from here; a wait longer than
                clients wait.
        """
        _check_wait(wait)
        job = self.begun.get(folder)
        if job is not None and job.process.poll() is None:
            job.process.terminate()
            _wait(job.process, wait)
            return
        owner = ask_to_stop(folder)
        end = time.monotonic() + wait
        while holder(folder) == owner and time.monotonic() < end:
            time.sleep(_LOOK)

    def _named(self, folder: Path) -> str:
        """A folder as an agent calls it."""
        return (
            str(folder.relative_to(self.root)) if folder.is_relative_to(self.root) else str(folder)
        )


def said_of(owner: Owner) -> str:
    """Process 41 on host a, since then."""
    where = f" on host {owner.host}" if owner.host else ""
    return f"process {owner.pid}{where}{f', since {owner.since},' if owner.since else ''}"


def _check_wait(seconds: float) -> None:
    if not 0 <= seconds <= LONGEST:
        raise ValueError(
            f"wait: expected 0 to {LONGEST:g} s, found {seconds:g}; wait less, and ask status "
            "afterwards"
        )


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
