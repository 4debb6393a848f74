"""Commands of cgrec in the background: they go on when the server ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from .answers import Quantity, Work

#: s that a tool waits at most: clients give up after a minute.
LONGEST = 50.0
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
            ValueError: a command begun here works in the folder; a wait longer than clients wait.
        """
        _check_wait(wait)
        earlier = self.begun.get(folder)
        if earlier is not None and earlier.process.poll() is None:
            raise ValueError(
                f"{folder}: expected no work in it, found the command begun before; ask status, or "
                "stop it"
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

    def stop(self, folder: Path, wait: float) -> None:
        """Ask the command that works in a folder to leave a checkpoint and to end, and wait a while.

        Raises:
            ValueError: none that was begun here works there; a wait longer than clients wait.
        """
        _check_wait(wait)
        job = self.begun.get(folder)
        if job is None or job.process.poll() is not None:
            raise ValueError(
                f"{folder}: expected work that this server began and that still runs, found none; "
                "status says which process works there: whoever began it stops it"
            )
        job.process.terminate()
        _wait(job.process, wait)


def _check_wait(seconds: float) -> None:
    if not 0 <= seconds <= LONGEST:
        raise ValueError(
            f"wait: expected 0 to {LONGEST:g} s, found {seconds:g}; ask status afterwards"
        )


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
