"""What a job asks a SLURM cluster for: the table `slurm` of a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from ..ranges import expect

#: Fields that are ours; all others are sbatch's, under the names that submitit gives them.
_OURS = ("replicas", "resubmit", "levels")
#: Fields that no level has of its own.
_OF_ALL = ("resubmit", "levels")


@dataclass(frozen=True, kw_only=True)
class Slurm:
    """What each job of `cgrec climb submit=slurm` asks for, by the names of submitit.SlurmExecutor.

    Attributes:
        partition: where jobs wait; null: the default one of the cluster.
        time: min that a job may take. A step that takes longer goes on in the next job.
        cpus_per_task: cores.
        gpus_per_node: GPUs; 0: none is asked for.
        mem: memory as sbatch writes it, such as 16GB; null: what the cluster gives.
        account: that is charged.
        qos: quality of service.
        constraint: features that a node has to have.
        exclude: nodes that are not taken.
        setup: lines of shell before the work, such as module load cuda.
        additional_parameters: {option of sbatch: value} of all that has no name here.
        array_parallelism: blocks of replicas that run at a time.
        signal_delay_s: s before the end of its time at which a job leaves a checkpoint and ends.
        replicas: of a run in one job: a run of more is divided into blocks of so many, jobs of an
            array, where neither bias nor exchange moves them together; 0: a run is one job.
        resubmit: times that a job which ended before its work is submitted again.
        levels: {level: {field: value}} that its jobs ask for instead; "level0" is that below the
            first.

    Raises:
        ValueError: a number out of its range; a level asks for what none has of its own.
    """

    partition: str | None = None
    time: int = 720
    cpus_per_task: int = 8
    gpus_per_node: int = 0
    mem: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    exclude: str | None = None
    setup: Sequence[str] = ()
    additional_parameters: Mapping[str, str | int] | None = None
    array_parallelism: int = 64
    signal_delay_s: int = 120
    replicas: int = 0
    resubmit: int = 10
    levels: Mapping[str, Mapping[str, Any]] | None = None

    def __post_init__(self) -> None:
        expect("Slurm", at_least=1, time=self.time, cpus_per_task=self.cpus_per_task)
        expect("Slurm", at_least=1, array_parallelism=self.array_parallelism)
        expect("Slurm", at_least=0, gpus_per_node=self.gpus_per_node)
        expect("Slurm", at_least=0, replicas=self.replicas, resubmit=self.resubmit)
        expect("Slurm", at_least=0, signal_delay_s=self.signal_delay_s)
        for level in self.levels or {}:
            self.of(level)

    def of(self, level: str) -> Slurm:
        """What the jobs of a level ask for.

        Raises:
            ValueError: its name for `levels`, and the field that is wrong there.
        """
        own = dict((self.levels or {}).get(level, {}))
        known = [f.name for f in fields(self) if f.name not in _OF_ALL]
        wrong = [name for name in own if name not in known]
        if wrong:
            raise ValueError(
                f"Slurm.levels.{level}: expected {', '.join(known)}, found {', '.join(wrong)}"
            )
        try:
            return replace(self, levels=None, **own)
        except ValueError as error:
            raise ValueError(f"Slurm.levels.{level}: {error}") from None

    def parameters(self) -> dict[str, object]:
        """What submitit is told: all that was given."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _OURS}
        given["setup"] = list(self.setup)
        given["additional_parameters"] = dict(self.additional_parameters or {})
        return {name: value for name, value in given.items() if value not in (None, 0, [], {})}
