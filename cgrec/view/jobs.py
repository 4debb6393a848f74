"""Work that the page asks for: `cgrec init`, `cgrec climb` and `cgrec descend` as processes of their
own, in the folder that `cgrec view` was called in.

A run NAME that is begun here has its files in runs/NAME.files: what was sent, NAME.yaml, what the
commands said. The same commands in a terminal go on with it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from ..files import Json
from ..run import layout
from ..run.lock import ask_to_stop, holder
from ..run.status import status_of
from ..setup import GOALS
from ..setup.molecules import COORDINATES
from .runs import HOME, Runs, Unknown
from .uploads import OWN

#: Of a text that a command has written, the end that is shown.
SHOWN = 4000


class Occupied(ValueError):
    """Something is under way already."""


class Jobs:
    """Processes that the page has started, one at a time.

    Args:
        runs: of the page.
    """

    def __init__(self, runs: Runs) -> None:
        self.runs = runs
        self.home = runs.home
        self.name = ""
        self.kind = ""
        self.process: subprocess.Popen[bytes] | None = None
        self.lock = threading.Lock()

    def files(self, name: str) -> Path:
        """Folder of the files of a run that is begun here."""
        return self.home / HOME / f"{name}.files"

    def recipe(self, name: str) -> Path:
        """The YAML that cgrec init writes."""
        return self.files(name) / f"{name}.yaml"

    def uploaded(self, name: str) -> list[str]:
        """Names of the files that were sent."""
        folder = self.files(name)
        there = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
        return [one for one in there if not one.endswith(OWN)]

    def propose(self, name: str, temperature: float | None, goal: str) -> None:
        """Let cgrec init look at the files that were sent.

        Raises:
            ValueError: no files, a value it does not take. FileExistsError: such a run. Occupied.
        """
        files = self.uploaded(name)
        if not files:
            raise ValueError(
                "files: expected a structure or a trajectory, found none; drop one first"
            )
        if goal not in GOALS:
            raise ValueError(f"goal: expected one of {', '.join(GOALS)}, found {goal!r}")
        if name in self.runs.folders():
            raise FileExistsError(f"{name}: a run was made by its recipe; take another name")
        with self.lock:
            self._need_idle()
            for old in (".yaml", ".png", COORDINATES):
                (self.files(name) / f"{name}{old}").unlink(missing_ok=True)
            paths = [self._relative(self.files(name) / one) for one in files]
            words = [*paths, f"to={self._relative(self.recipe(name))}", f"goal={goal}"]
            words += [] if temperature is None else [f"temperature={float(temperature):g}"]
            self._start(name, "init", words)

    def climb(self, name: str, go_on: bool = False) -> None:
        """Begin a run, or go on with it.

        Args:
            name: of the run.
            go_on: also from a level that is not to be used.

        Raises:
            ValueError: there is no recipe for it. Occupied.
        """
        with self.lock:
            self._need_idle()
            if self.recipe(name).is_file():
                folder = self.home / HOME / name
                words = [self._relative(self.recipe(name)), f"run={self._relative(folder)}"]
            else:
                folder = self.runs.folder(name)
                if not (folder / layout.CONFIG).is_file():
                    raise ValueError(
                        f"{name}: expected {layout.CONFIG} in it, found none to go on with"
                    )
                words = [str(folder / layout.CONFIG), f"run={self._relative(folder)}"]
            self._need_free(folder)
            self._start(name, "climb", [*words, *(["go_on=true"] if go_on else [])])

    def descend(self, name: str, begin: int) -> None:
        """Bring the atoms back from the frames of a level, by the method that needs no fit.

        Raises:
            Occupied.
        """
        with self.lock:
            self._need_idle()
            folder = self.runs.folder(name)
            words = [f"run={self._relative(folder)}", f"from={int(begin)}", "to=0"]
            self._start(name, "descend", [*words, "method=library", "frames=200"])

    def stop(self, name: str) -> str:
        """Ask the process that works on a run to stop at its next checkpoint; says which.

        Raises:
            ValueError: none does, or one of another machine.
        """
        with self.lock:
            if self.running() and self.name == name and self.process is not None:
                self.process.send_signal(signal.SIGTERM)
                return f"cgrec {self.kind} was asked to stop; what is made is kept"
            owner = ask_to_stop(self.runs.folder(name))
            return f"process {owner.pid} was asked to stop; what is made is kept"

    def running(self) -> bool:
        """Whether the process started last still works."""
        return self.process is not None and self.process.poll() is None

    def state(self, name: str) -> Json:
        """What there is of a run that is begun here, and what its commands said.

        Raises:
            Unknown: neither files nor a run.
        """
        folder = self.home / HOME / name
        if not self.files(name).is_dir() and name not in self.runs.folders():
            raise Unknown(f"run: expected one that was begun, found {name!r}")
        here = self.name == name
        code = self.process.poll() if here and self.process is not None else None
        return {
            "name": name,
            "files": self.uploaded(name),
            "recipe": self.recipe(name).read_text() if self.recipe(name).is_file() else "",
            "working": self.kind if here and self.running() else "",
            "busy": self.name if self.running() else "",
            "last": self.kind if here else "",
            "code": code,
            "said": {kind: _end(self.files(name) / f"{kind}.txt") for kind in _KINDS},
            "status": _status(self.runs.folders().get(name, folder)),
        }

    def close(self) -> None:
        """What still works is asked to stop, and goes on with the next call of its command."""
        if self.running() and self.process is not None:
            self.process.send_signal(signal.SIGTERM)

    def _start(self, name: str, kind: str, words: Sequence[str]) -> None:
        self.files(name).mkdir(parents=True, exist_ok=True)
        with (self.files(name) / f"{kind}.txt").open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cgrec", kind, *words],
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # ctrl-C in the terminal of the page is not for it
            )
        self.name, self.kind = name, kind

    def _need_idle(self) -> None:
        if self.running():
            raise Occupied(
                f"cgrec {self.kind} of {self.name} is under way: wait for it, or stop it"
            )

    @staticmethod
    def _need_free(folder: Path) -> None:
        owner = holder(folder) if folder.is_dir() else None
        if owner is not None:
            raise Occupied(
                f"{folder.name}: process {owner.pid} on {owner.host} works on it already"
            )

    def _relative(self, path: Path) -> str:
        path, home = path.resolve(), self.home.resolve()
        return str(path.relative_to(home)) if path.is_relative_to(home) else str(path)


_KINDS = ("init", "climb", "descend")


def _end(path: Path) -> str:
    return path.read_text(errors="replace")[-SHOWN:] if path.is_file() else ""


def _status(folder: Path) -> Json | None:
    try:
        return status_of(folder).to_json()
    except FileNotFoundError:
        return None
