"""Where jobs wait and run: SLURM, or processes of this machine."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol

from submitit import Job, LocalExecutor, SlurmExecutor
from submitit.core.utils import JobPaths

from .options import Slurm

#: Lines of a job's log that are shown of one that died.
_LINES = 5


#: What a job does; it can be pickled.
Call = Callable[[], None]


class Queue(Protocol):
    """Takes jobs.

    Attributes:
        every: s between two looks at it.
        cancel: the command that ends jobs.
    """

    every: float
    cancel: str

    def ask(self, options: Slurm) -> None:
        """Let the next jobs ask for other things."""
        ...

    def submit(self, name: str, calls: Sequence[Call]) -> list[str]:
        """Numbers of jobs for calls, in their order; of several the jobs are an array."""
        ...

    def alive(self, jobs: Collection[str]) -> set[str]:
        """Those of `jobs` that wait or run."""
        ...

    def last_words(self, job: str) -> str:
        """The end of what a job wrote, and where it stands."""
        ...


class _Submitting:
    """What submitit does for either queue.

    Args:
        executor: of submitit, which was told what jobs ask for.
        folder: of its files.
    """

    def __init__(self, executor: LocalExecutor | SlurmExecutor, folder: Path) -> None:
        self.executor = executor
        self.folder = folder
        self.own: dict[str, Job[None]] = {}

    def submit(self, name: str, calls: Sequence[Call]) -> list[str]:
        self.executor.update_parameters(**self._named(name))
        jobs = self.executor.submit_array(calls)
        self.own |= {job.job_id: job for job in jobs}
        return [job.job_id for job in jobs]

    def _named(self, name: str) -> dict[str, str]:
        """What gives the next jobs a name."""
        return {}

    def last_words(self, job: str) -> str:
        path = JobPaths(self.folder, job).stderr
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        said = " / ".join(line.strip() for line in lines[-_LINES:] if line.strip())
        return f"{said or 'nothing'} ({path})"


class SlurmQueue(_Submitting):
    """SLURM: sbatch takes jobs, squeue says which of them wait or run.

    Args:
        options: of each job.
        folder: of submitit's files, where compute nodes see it, too.

    Raises:
        ValueError: this machine has no SLURM.
    """

    every = 10.0
    cancel = "scancel"

    def __init__(self, options: Slurm, folder: Path) -> None:
        missing = [name for name in ("sbatch", "squeue", "srun") if shutil.which(name) is None]
        if missing:
            raise ValueError(
                f"submit: expected a machine with SLURM, found no {missing[0]}; give the command "
                "on a login node of the cluster, or submit=local to try it here"
            )
        super().__init__(_slurm(options, folder), folder)

    def ask(self, options: Slurm) -> None:
        """A new executor: what one was told once, it goes on to ask for."""
        self.executor = _slurm(options, self.folder)

    def _named(self, name: str) -> dict[str, str]:
        return {"job_name": name}

    def alive(self, jobs: Collection[str]) -> set[str]:
        """Those of `jobs` that wait or run. All of them where SLURM gives no answer, as while its
        controller starts again.
        """
        # -r: a line for each job of an array
        words = ["squeue", "--noheader", "-r", "-u", getpass.getuser(), "-o", "%i"]
        answer = subprocess.run(words, capture_output=True, text=True)
        return set(jobs) if answer.returncode else set(jobs) & set(answer.stdout.split())


def _slurm(options: Slurm, folder: Path) -> SlurmExecutor:
    executor = SlurmExecutor(folder)
    executor.update_parameters(**options.parameters())
    return executor


class LocalQueue(_Submitting):
    """Processes of this machine, all at once: to try what a cluster would do.

    Args:
        options: of each job, as far as they mean something here: its time.
        folder: of submitit's files.
    """

    every = 1.0
    cancel = "kill"

    def __init__(self, options: Slurm, folder: Path) -> None:
        super().__init__(LocalExecutor(folder), folder)
        self.ask(options)

    def ask(self, options: Slurm) -> None:
        self.executor.update_parameters(
            timeout_min=options.time, signal_delay_s=options.signal_delay_s
        )

    def alive(self, jobs: Collection[str]) -> set[str]:
        return {job for job in jobs if self._lives(job)}

    def _lives(self, job: str) -> bool:
        """Number of a local job is that of its process."""
        if job in self.own:
            return not self.own[job].done()
        try:
            os.kill(int(job), 0)
        except ProcessLookupError:
            return False
        return True


#: By the word that `submit` has.
QUEUES: dict[str, type[SlurmQueue] | type[LocalQueue]] = {"slurm": SlurmQueue, "local": LocalQueue}
