"""Tools that climb: look before, plan, begin, watch, stop."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from ..chain.chain import Chain, foreseen
from ..chain.forecast import forecast
from ..commands._calls import as_words
from ..configuration import SUFFIXES, build, checked, composed
from ..files import Json
from ..run import layout
from ..run.lock import Owner
from ..run.status import RunStatus, status_of
from ..setup.cost import Cost
from ..setup.times import times_of
from ..verdict import WORDS
from .answers import (
    NOT_JUDGED,
    Checked,
    Found,
    Judged,
    LevelState,
    Plan,
    Planned,
    Quantity,
    Word,
    Work,
    quantity,
)
from .jobs import Jobs, said_of
from .place import Place

#: Keys of a configuration, also those of groups and new ones.
_KEY = re.compile(r"\+{0,2}[A-Za-z_][\w./@-]*")
#: Who judges a time that was measured here.
_TIMED = Judged(NOT_JUDGED, "a few steps timed on this machine")
_NO_TIME = "timed once; other work on this machine makes it longer"


@dataclass(frozen=True)
class OnRuns:
    """Tools that climb.

    Attributes:
        place: what they may read and write.
        jobs: what works in the background.
    """

    place: Place
    jobs: Jobs

    def check(
        self,
        experiment: str,
        changes: Json | None = None,
        without: list[str] | None = None,
        run: str = "",
    ) -> Checked:
        """Look at an experiment before it is climbed: every setting, labels of sites, boxes, disk.
        Nothing is written; what cannot work is refused, by its key.

        Args:
            experiment: the name of one that ships, or the path of a YAML (x.yaml).
            changes: {key: value}, such as {"levels.l1.dynamics.length": 20}.
            without: keys to leave out, such as levels.l2.
            run: folder of the run to be; by default the experiment says it.
        """
        words = self._words(experiment, changes, without, run)
        plain, chain = self._built(words)
        return Checked(
            run=str(plain["run"]), found=[Found(what=w, found=f) for w, f in forecast(chain)]
        )

    def plan(
        self,
        experiment: str,
        changes: Json | None = None,
        without: list[str] | None = None,
        timing: bool = True,
    ) -> Plan:
        """What a climb will make and take: sites of every level, minutes of its fit and run on this
        machine, and the time step that its priors bear.

        Minutes are known where level 0 is read from files, or run under a force field: a few steps
        of each part are timed. `found` says the time of all, level 0 included.

        Args:
            experiment, changes, without: as of check.
            timing: time them, some ten seconds a level.
        """
        _, chain = self._built(self._words(experiment, changes, without, ""))
        found = [Found(what=what, found=said) for what, said in forecast(chain)]
        systems = foreseen(chain) or [None] * (1 + len(chain.recipes))
        times = times_of(chain) if timing else None
        if times is not None:
            found.append(Found(what="time", found=times.said()))
        costs = {} if times is None else times.levels
        levels = [
            _planned(name, None if system is None else system.n_sites, costs.get(name))
            for name, system in zip(chain.recipes, systems[1:])
        ]
        return Plan(levels=levels, found=found)

    def climb(
        self,
        experiment: str,
        changes: Json | None = None,
        without: list[str] | None = None,
        run: str = "",
        wait: float = 5.0,
    ) -> Work:
        """Make every level of an experiment, in the background. The same call goes on after a stop
        or a kill; what is made is not made again.

        It is checked first. A level whose verdict is "do not use" ends the climb. A run that is
        climbed already is refused.

        Args:
            experiment, changes, without, run: as of check.
            wait: s to wait for its end before this answers, 50 at most.
        """
        words = self._words(experiment, changes, without, run)
        plain, chain = self._built(words)
        list(forecast(chain))
        folder = self.place.path("run", str(plain["run"]))
        self.jobs.begin(["climb", *words], folder, wait)
        return self.status(str(plain["run"]))

    def status(self, folder: str) -> Work:
        """How far work in a folder is: of a climb, run, descend, audit or friction, whoever began it:
        this server, one before it, or a terminal. Also after a kill.

        Args:
            folder: the run of a climb, or what the tool that began the work called its folder.
        """
        path = self.place.path("folder", folder)
        job, owner = self.jobs.begun.get(path), self.jobs.at_work(path)
        ended = job is not None and job.process.poll() is not None
        try:
            found = status_of(path)
        except FileNotFoundError:
            if job is not None and not (ended and owner):
                return job.answer()
            return _without_events(folder, path, owner)
        if job is not None and job.command != "climb":
            return job.answer()
        answer = _of_climb(replace(found, run=folder))
        if owner is not None:
            answer = replace(answer, state="running", next=f"ask status(folder={folder!r})")
        if job is None or not ended or job.process.poll() == 0:
            return answer
        if owner is not None:  # that of another process, at whose lock ours ended
            return replace(answer, notes=[*answer.notes, f"the climb begun here ended: {job.said}"])
        if found.state in ("finished", "unfinished"):
            return replace(answer, state="failed", said=job.said)
        return answer

    def stop(self, folder: str, wait: float = 20.0) -> Work:
        """Ask work, whoever began it on this machine, to leave a checkpoint and end; the same call as
        before goes on from there.

        Args:
            folder: as of status.
            wait: s to wait for its end before this answers, 50 at most.
        """
        self.jobs.stop(self.place.path("folder", folder), wait)
        return self.status(folder)

    def _words(
        self,
        experiment: str,
        changes: Mapping[str, object] | None,
        without: list[str] | None,
        run: str,
    ) -> list[str]:
        """The words of the command line; flags are none of them."""
        given = dict(changes or {})
        if run:
            given["run"] = run
        for key in (*given, *(without or ())):
            if not _KEY.fullmatch(key) or key.split(".")[0] == "hydra":
                raise ValueError(
                    "changes: expected keys of the configuration, such as levels.l1.training.steps, "
                    f"found {key!r}"
                )
        self.place.check("changes", given)
        if experiment.endswith(SUFFIXES):
            first = str(self.place.path("experiment", experiment))
        else:
            first = f"experiment={experiment}"
        if not _KEY.fullmatch(experiment) and not experiment.endswith(SUFFIXES):
            raise ValueError(
                f"experiment: expected a name or the path of a YAML, found {experiment!r}"
            )
        return [first, *as_words((), given), *(f"~{key}" for key in without or ())]

    def _built(self, words: list[str]) -> tuple[Json, Chain]:
        """The configuration, allowed and inside the root, and its chain.

        What an agent writes is nobody's word for a program: an interpreter or a model file that
        holds code is refused, as in a YAML.
        """
        config = composed(words)
        plain = checked(config)
        self.place.check("configuration", plain)
        return plain, build(config)


def _without_events(folder: str, path: Path, owner: Owner | None) -> Work:
    """Of work that is no climb, and that another server or a terminal began.

    Raises:
        FileNotFoundError: there is none.
    """
    if owner is not None:
        said, way = f"{said_of(owner)} works in it", f"ask status(folder={folder!r})"
        return Work(folder=folder, state="running", said=said, next=way)
    if not (path / layout.RECORD).is_file() or path.name.removeprefix("level").isdigit():
        raise FileNotFoundError(
            f"folder: expected the folder of a run, or what the tool that began the work called its "
            f"folder, found neither work nor its results in {folder}; correct the folder"
        )
    products = (layout.REPORT, "descent.json")
    whole = any((path / product).is_file() for product in products)
    return Work(
        folder=folder,
        state="finished" if whole else "unfinished",
        next="nothing works in it now; the same call goes on from what is there, and says what it "
        "came to",
    )


def _of_climb(found: RunStatus) -> Work:
    now = found.now or {}
    levels = [
        LevelState(
            number=one.number,
            name=one.name,
            state=one.state,
            missing=list(one.missing),
            verdict=cast(Word, one.verdict) if one.verdict in WORDS else NOT_JUDGED,
            reasons=list(one.reasons),
        )
        for one in found.levels
    ]
    ways = {
        "running": f"ask status(folder={found.run!r})",
        "finished": f"ask verdict(run={found.run!r}, level=1)",
    }
    return Work(
        folder=found.run,
        state=found.state,
        said=found.said,
        step=found.running,
        done=_count(now.get("done")),
        total=_count(now.get("total")),
        levels=levels,
        next=ways.get(found.state, "the same call of climb goes on; correct first what is said"),
        notes=[text for one in found.levels for text in one.remarks],
    )


def _count(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _planned(name: str, n_sites: int | None, found: Cost | None) -> Planned:
    why = (
        _NO_TIME
        if found
        else (
            "not timed: level 0 is not read from files nor run under a force field, or timing=false"
        )
    )

    def time(value: float | None, unit: str) -> Quantity:
        return quantity(value, None, unit, _TIMED, why)

    return Planned(
        name=name,
        n_sites=n_sites,
        fit=time(found.fit if found else None, "min"),
        run=time(found.run if found else None, "min"),
        timestep=time(found.timestep if found else None, "ps"),
    )
