"""A climb by jobs of a cluster: one for each level, and for blocks of replicas where asked for.

This command submits a job, waits, and submits the next; jobs find what is made by the folder of the
run, as any climb does. Killed, it leaves its jobs at work, and the same command waits for them again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..configuration import Composed, cluster_options
from ..devices import is_gpu
from ..files import Json
from ..needs import need
from ..run import layout
from ..run.lock import only_here
from ._climbing import climb_one, looked_at
from ._words import Words

if TYPE_CHECKING:
    from ..cluster import Slurm
    from ..cluster.jobs import Jobs
    from ..cluster.watching import Watch

#: What is added to the name of a run's folder for that of its jobs.
JOBS = ".jobs"


def climb_by_jobs(words: Words, config: Composed) -> None:
    """Make every level that is not there by a job, and wait for it.

    Raises:
        JobFailed: a job failed, or ended before its work too often.
        Busy: the same command is at work.
        ValueError: what a climb refuses, an option of `slurm`, or a machine without SLURM.
    """
    need("cgrec climb submit", "submitit", "slurm")
    is_gpu(config.device)
    here = config.copy()
    here.device = "auto"  # that of the jobs need not be one of this machine
    chain = looked_at(here, words.trust, words.given)
    from ..cluster.jobs import Jobs
    from ..cluster.queue import QUEUES
    from ..cluster.watching import Watch

    options = cluster_options(config)
    names = ["level0", *chain.recipes]
    folder = chain.folder.with_name(chain.folder.name + JOBS)
    with only_here(folder):
        queue = QUEUES[config.submit](options, folder)
        watch = Watch(chain.folder)
        said = [*words.overrides, *(f"--config-dir={own}" for own in words.folders)]
        jobs = Jobs(folder, queue, said, options.resubmit, watch)
        climb = _Climb(words, chain.folder, jobs, watch)
        with _told_when_left(jobs):
            for k in range(_first(chain.folder, len(chain.recipes)), len(names)):
                climb.make_level(k, options.of(names[k]))
    print(f"report: {chain.folder / layout.PAGE}")


def _first(run: Path, last: int) -> int:
    """Number of the first level that has no report, or of the last: its job looks at all."""
    there = [(layout.level_folder(run, k) / layout.REPORT).exists() for k in range(last)]
    return there.index(False) if False in there else last


@contextmanager
def _told_when_left(jobs: Jobs) -> Iterator[None]:
    """Say what goes on without this command where it is stopped."""
    try:
        yield
    except KeyboardInterrupt:
        if jobs.numbers:
            numbers = " ".join(jobs.numbers)
            sys.stderr.write(
                f"\njobs {numbers} go on without this command; {jobs.queue.cancel} {numbers} "
                "ends them\n"
            )
        raise


@dataclass(frozen=True)
class _Climb:
    """The jobs of one climb.

    Attributes:
        words: of the command.
        run: its folder.
        jobs: that are at work.
        watch: shows what they write.
    """

    words: Words
    run: Path
    jobs: Jobs
    watch: Watch

    def make_level(self, k: int, options: Slurm) -> None:
        """Level `k`: its job, and as often as that asks for them, jobs for blocks of replicas; what
        they ask for.
        """
        self.jobs.queue.ask(options)
        task = f"level{k}"
        work = partial(level_job, self.words, k, options.replicas)
        while "blocks" in (said := self.jobs.finish({task: work})[task]):
            self._make_blocks(said)

    def _make_blocks(self, said: Json) -> None:
        """The blocks that the job of a level asked for."""
        from ..dynamics.blocks import progress_folder

        blocks, numbers = Path(said["blocks"]), said["numbers"]
        parts = blocks.relative_to(self.run).with_suffix("").parts
        self.watch.folders = [progress_folder(blocks, n) for n in numbers]
        try:
            name = "_".join(parts)
            self.jobs.finish({f"{name}_{n}": partial(block_job, blocks, n) for n in numbers})
        finally:
            self.watch.folders = [self.run]


def level_job(words: Words, k: int, replicas: int, said: Path) -> None:
    """What the job of level `k` does.

    Args:
        words: of the command.
        k: number of the level; those below are there, or are made.
        replicas: of a block; 0: no run is divided.
        said: file for what it came to.
    """
    from ..cluster.jobs import Answer, said_in
    from ..dynamics.blocks import BlocksWanted, in_blocks

    with said_in(said), in_blocks(replicas):
        try:
            climb_one(words.configuration(), words.trust, words.given, k)
        except BlocksWanted as wanted:
            raise Answer({"blocks": str(wanted.folder), "numbers": wanted.numbers}) from None


def block_job(blocks: Path, number: int, said: Path) -> None:
    """What the job of one block of replicas does."""
    from ..cluster.jobs import said_in
    from ..dynamics.blocks import run_block

    with said_in(said):
        run_block(blocks, number)
