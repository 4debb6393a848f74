"""Jobs that are submitted once, watched, and submitted again where they ended before their work.

What a job came to it says itself, in a file beside the book of jobs; the queue only says whether it
still waits or runs. So a command that watches can be killed: jobs go on, and the next command finds
them by the book. Nothing that a job leaves is unpickled here.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from ..files import Json, read_json, write_json
from ..stopping import Stopped, interruptible
from .queue import Call, Queue

#: Of the jobs of a run.
BOOK = "jobs.json"
#: Looks at which a job has left the queue and has said nothing, before it counts as dead: what it
#: wrote may come late over a network.
LOOKS = 3
#: Times in a row that a job may die without a word. One that has too little memory would do so for
#: ever.
DEATHS = 2

#: What a job does, told where to say what it came to.
Work = Callable[[Path], None]


class JobFailed(ValueError):
    """A job ended with an error, or ended too often before its work."""


class Answer(Exception):
    """Ends the work of a job with something that its watcher should know.

    Attributes:
        about: json.
    """

    def __init__(self, about: Json) -> None:
        self.about = about
        super().__init__(str(about))


@contextmanager
def said_in(path: Path) -> Iterator[None]:
    """Write what the block came to: {"said": done, stopped or failed, ...}; nothing where it is
    killed.
    """
    try:
        with interruptible(), _warned():
            yield
    except Answer as answer:
        write_json(path, {"said": "done", **answer.about})
    except Stopped as stop:
        write_json(path, {"said": "stopped", "text": str(stop)})
    except Exception as error:
        text = str(error) or type(error).__name__
        if not isinstance(error, ValueError | OSError):
            text = f"{type(error).__name__}: {text}"
        write_json(path, {"said": "failed", "text": text})
        raise
    else:
        write_json(path, {"said": "done"})


@contextmanager
def _warned() -> Iterator[None]:
    """submitit has jobs sent SIGUSR2 before their time is up, and would put them into the queue again
    at once; here they leave a checkpoint first, as at every signal of `cgrec.stopping`.
    """
    before = signal.signal(signal.SIGUSR2, lambda *_: signal.raise_signal(signal.SIGUSR1))
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR2, before)


@dataclass
class _Job:
    """A job in the book.

    Attributes:
        number: of the queue.
        file: in which it says what it came to.
        tries: how often this work was submitted.
        deaths: how often in a row it died without a word.
    """

    number: str
    file: str
    tries: int = 1
    deaths: int = 0


class Jobs:
    """The jobs of one run.

    Args:
        folder: of their book and files, beside that of the run.
        queue: takes them.
        words: of the command: jobs of other words are not attached to.
        resubmit: times that a work may be submitted again.
        look: called after each look at the queue.

    Raises:
        ValueError: jobs of other words are alive.
    """

    def __init__(
        self,
        folder: Path,
        queue: Queue,
        words: Sequence[str],
        resubmit: int,
        look: Callable[[Sequence[str]], None] = lambda tasks: None,
    ) -> None:
        self.folder = folder
        self.queue = queue
        self.words = list(words)
        self.resubmit = resubmit
        self.look = look
        self.count = 0
        self.known: dict[str, _Job] = {}
        self._attach()

    def _attach(self) -> None:
        """Find the jobs of an earlier command that are alive, and forget the others."""
        path = self.folder / BOOK
        if not path.exists():
            return
        book = read_json(path)
        self.count = int(book["count"])
        there = {task: _Job(**about) for task, about in book["jobs"].items()}
        alive = self.queue.alive([job.number for job in there.values()])
        self.known = {task: job for task, job in there.items() if job.number in alive}
        if self.known and book["words"] != self.words:
            numbers = " ".join(job.number for job in self.known.values())
            raise ValueError(
                f"{self.folder}: jobs of another command are at work here: "
                f"{' '.join(book['words'])}; give that command, or end them first: "
                f"{self.queue.cancel} {numbers}"
            )

    @property
    def numbers(self) -> list[str]:
        """Of all jobs that were not seen to end."""
        return [job.number for job in self.known.values()]

    def finish(self, works: Mapping[str, Work]) -> dict[str, Json]:
        """Have works done by jobs, and wait.

        Args:
            works: {task: what its job does}; a task that a job is at work on is not submitted.

        Returns:
            {task: what its job said}.

        Raises:
            JobFailed: one failed, or ended before its work once too often.
        """
        self._submit({task: work for task, work in works.items() if task not in self.known})
        found: dict[str, Json] = {}
        unseen = dict.fromkeys(works, 0)
        while True:
            found |= self._said(task for task in works if task not in found)
            left = [task for task in works if task not in found]
            if not left:
                return {task: found[task] for task in works}
            self.look(left)
            time.sleep(self.queue.every)
            alive = self.queue.alive([self.known[task].number for task in left])
            for task in left:
                gone = self.known[task].number not in alive
                unseen[task] = unseen[task] + 1 if gone else 0
            again = [task for task in left if self._ended(task, unseen)]
            self._submit({task: works[task] for task in again})
            unseen |= dict.fromkeys(again, 0)

    def _said(self, tasks: Iterator[str]) -> dict[str, Json]:
        """What jobs that did their work said of it; they leave the book.

        Raises:
            JobFailed: of one that failed.
        """
        found = {}
        for task in list(tasks):
            about = self._answer(task)
            if about is None or about["said"] == "stopped":
                continue
            job = self.known.pop(task)
            self._keep()
            if about["said"] == "failed":
                raise JobFailed(f"{about['text']} (job {job.number}, {task})")
            found[task] = about
        return found

    def _answer(self, task: str) -> Json | None:
        path = self.folder / self.known[task].file
        return read_json(path) if path.exists() else None

    def _ended(self, task: str, unseen: Mapping[str, int]) -> bool:
        """Whether a job ended before its work, and is to be submitted again.

        Raises:
            JobFailed: that happened too often.
        """
        job, about = self.known[task], self._answer(task)
        if about is not None:
            if about["said"] != "stopped":
                return False  # it has just said so
            job.deaths = 0
        elif unseen[task] < LOOKS:
            return False
        else:
            job.deaths += 1
        if job.deaths < DEATHS and job.tries <= self.resubmit:
            return True
        del self.known[task]
        self._keep()
        end = self.queue.last_words(job.number) if about is None else about["text"]
        raise JobFailed(
            f"{task}: its job ended before its work {job.tries} times; the last, {job.number}, "
            f"said: {end}. What is made is kept: give more slurm.time or slurm.mem, or what it "
            "says, and the same command again"
        )

    def _submit(self, works: Mapping[str, Work]) -> None:
        if not works:
            return
        self.count += 1
        files = {task: f"{task}.{self.count}.json" for task in works}
        calls: list[Call] = [partial(w, self.folder / files[task]) for task, w in works.items()]
        numbers = self.queue.submit(next(iter(works)), calls)
        for task, number in zip(works, numbers):
            before = self.known.get(task)
            tries, deaths = (before.tries + 1, before.deaths) if before else (1, 0)
            self.known[task] = _Job(number, files[task], tries, deaths)
        # Who is killed just before this line submits a second job, which finds the folder locked by
        # the first, or all made.
        self._keep()
        again = [task for task in works if self.known[task].tries > 1]
        sys.stderr.write(f"jobs {' '.join(numbers)}: {', '.join(works)}{_again(again)}\n")
        sys.stderr.flush()

    def _keep(self) -> None:
        jobs = {task: asdict(job) for task, job in self.known.items()}
        book = {"words": self.words, "count": self.count, "jobs": jobs}
        write_json(self.folder / BOOK, book)


def _again(tasks: Sequence[str]) -> str:
    return f"; again, from the checkpoint: {', '.join(tasks)}" if tasks else ""
