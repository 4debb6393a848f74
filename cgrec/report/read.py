"""What a run folder holds, finished or not: everything missing is None or empty, never an error."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import yaml
from numpy.typing import NDArray

from ..backmapping.judge import BackmappingReport
from ..files import Json, with_nan
from ..frames import Frames
from ..mapping import Mapping
from ..observables.ledger import LedgerRow
from ..remarks import remarks_in
from ..roles import Variable
from ..run import layout
from ..run.digests import REMARKS, Changed, Gone, faults, lost_record
from ..system import System
from ..variables import from_plain
from ..verdict import DO_NOT_USE, Verdict
from .schema import AUDIT, REPORT, RUN, SOURCE, Table, fitting

#: Variables as report.json describes them (`cgrec.variables.to_plain`).
Described = dict[str, object]
#: Levels that have an ensemble to show, with it.
Ensembles = list[tuple["LevelFiles", Frames]]

#: What a file is read as.
T = TypeVar("T")


@dataclass(frozen=True)
class LevelFiles:
    """One rung as found on disk.

    Attributes:
        number: 0 for the atoms.
        folder: where it lies.
        report: its report.json, or {}.
        system: its sites, or None.
        frames: its own run, or None.
        targets: its parent's frames mapped up, or None.
        mapping: from the level below, or None.
        training: {column: (n_rows,) values} of training.csv, or {}.
        source: source.json of level 0, or {}.
        backmapping: {name: report} of backmapping.json, frames of this level restored to the one
            below, or {}.
        audit: audit.json, of its PMF by its backmapper, or {}.
        remarks: sentences said while it was made.
        made: names of the files and folders in its folder.
        planned: its name in the configuration, or "".
        problems: files that are there but cannot be read.
    """

    number: int
    folder: Path
    report: Json = field(default_factory=dict)
    system: System | None = None
    frames: Frames | None = None
    targets: Frames | None = None
    mapping: Mapping | None = None
    training: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    source: Json = field(default_factory=dict)
    backmapping: dict[str, BackmappingReport] = field(default_factory=dict)
    audit: Json = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    made: frozenset[str] = frozenset()
    planned: str = ""
    problems: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name in the report, else in the configuration, else that of the folder."""
        return str(self.report.get("name") or self.planned or self.folder.name)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Those it was compared in."""
        return _made(self.report.get("variables") or {})

    @property
    def sites(self) -> System | None:
        """The System, from whichever file knows."""
        found = next((f for f in (self.frames, self.targets) if f is not None), None)
        return self.system or (found.system if found is not None else None)

    @property
    def n_sites(self) -> int | None:
        """Number of sites, from whichever file knows."""
        return self.sites.n_sites if self.sites is not None else self.report.get("n_sites")

    @property
    def periodic(self) -> bool:
        """Whether its own run or its target has a box."""
        return any(f is not None and f.box is not None for f in (self.frames, self.targets))

    @property
    def ledger(self) -> list[LedgerRow]:
        """Rows of the error ledger."""
        return [_row(row) for row in self.report.get("ledger") or []]

    @property
    def liquid(self) -> list[Json]:
        """`LiquidDifference`s of a periodic level as dicts, each with its "level" and what it is
        "against".
        """
        return [with_nan(row) for row in self.report.get("liquid") or []]

    @property
    def verdict(self) -> Verdict | None:
        """Whether it should be believed; None where nobody judged it yet."""
        found = self.report.get("verdict")
        return Verdict.from_json(found) if found else None

    @property
    def checks(self) -> list[Json]:
        """What was found out about the sample while it was read, of level 0."""
        return [
            entry
            for entries in (self.source.get("checks") or {}).values()
            for entry in entries or ()
        ]

    @property
    def step(self) -> str | None:
        """What is being made, or was when the run was interrupted, by its name among events; None of
        a level that is whole.
        """
        if layout.REPORT in self.made and "ledger" in self.report:
            return None
        if self.number == 0:
            return "ledger" if "frames" in self.made else "source"
        steps = {
            "targets": "map",
            "potential.pt": "fit",
            "frames": "run",
            "report.json": "ledger",
        }
        return next((step for name, step in steps.items() if name not in self.made), "ledger")

    @property
    def cost(self) -> float | None:
        """Wall seconds per nanosecond of simulated time, summed over replicas."""
        seconds = (self.report.get("seconds") or {}).get("simulation")
        simulated = self.report.get("simulated_ns")
        return seconds / simulated if seconds and simulated else None


@dataclass(frozen=True)
class RunFiles:
    """A run as found on disk: run.json, the text of config.yaml, and the levels from the atoms up."""

    folder: Path
    about: Json
    config: str
    levels: tuple[LevelFiles, ...]
    trouble: tuple[str, ...] = ()

    @property
    def planned(self) -> list[str] | None:
        """Names of the levels above the first in config.yaml; None where it does not say."""
        return _planned(self.config)

    @property
    def ended(self) -> LevelFiles | None:
        """The level at which its verdict ended the climb, if one did."""
        found = [
            level
            for level in self.levels
            if level.verdict is not None and level.verdict.word == DO_NOT_USE
        ]
        last = self.levels[-1] if self.levels else None
        return last if last is not None and found and found[-1] is last else None

    @property
    def complete(self) -> bool:
        """Whether every level of config.yaml is there and compared: what is missing now does not
        come later.
        """
        done = bool(self.levels) and all(level.step is None for level in self.levels)
        return done and len(self.levels) > len(self.planned or ())

    @property
    def state(self) -> str:
        """One sentence: finished, or where it stands."""
        if self.complete:
            return "Finished."
        again = "the command below goes on from there"
        for level in self.levels:
            if level.step is not None:
                return (
                    f"Not finished: interrupted in level {level.number}: {level.step}, or still at "
                    f"it; {again}."
                )
        if self.ended is not None:
            return f"Ended at {self.ended.name} by its verdict; with go_on=true {again}."
        names = ["level 0", *(self.planned or ())]
        return (
            f"Not finished: {names[min(len(self.levels), len(names) - 1)]} is not there yet; "
            f"{again}."
        )

    @property
    def comparisons(self) -> list[tuple[tuple[Variable, ...], Ensembles]]:
        """Each set of variables and what to draw over it: the levels that define it, and the finer
        ones mapped up to the first that does.
        """
        sets: list[tuple[Described, int]] = []
        for k, level in enumerate(self.levels):
            given = level.report.get("variables") or {}
            names = {name: d for name, d in given.items() if _can_be_drawn(d)}
            if names and not any(names == known and self._shared(names, j, k) for known, j in sets):
                sets.append((names, k))
        return [(_made(names), self._ensembles(names, home)) for names, home in sets]

    def _shared(self, names: Described, home: int, k: int) -> bool:
        """Whether level k compares itself in the set of variables that level `home` was the first
        to define.
        """
        by_number = any(site.startswith("#") for d in names.values() for site in _sites(d))
        # "#2" is another site at every level: such a set belongs to one level alone.
        return k == home or (
            not by_number and self.levels[k].report.get("variables", names) == names
        )

    def _ensembles(self, names: Described, home: int) -> Ensembles:
        variables, found = _made(names), list[tuple[LevelFiles, Frames]]()
        for k, level in enumerate(self.levels):
            frames = level.frames
            for above in self.levels[k + 1 : home + 1]:
                frames = None if above.mapping is None or frames is None else above.mapping(frames)
            if frames is None or len(frames) < 2 or not (k < home or self._shared(names, home, k)):
                continue
            if all(v.defined_on(frames.system) for v in variables):
                found.append((level, frames))
        return found

    @property
    def problems(self) -> list[str]:
        """Files that could not be read."""
        return [*self.trouble, *(text for level in self.levels for text in level.problems)]


def read_run(folder: str | Path) -> RunFiles:
    """Read what is there.

    Raises:
        FileNotFoundError: no such folder, or nothing in it looks like a run.
    """
    folder = Path(folder)
    numbered = sorted(
        (int(path.name[5:]), path)
        for path in folder.glob("level*")
        if path.is_dir() and path.name[5:].isdigit()
    )
    if not numbered and not (folder / layout.RUN).exists():
        raise FileNotFoundError(
            f"{folder} is no run: expected run.json or level0, level1, ... in it"
        )
    found, trouble = [*faults(folder, deep=False)], list[str]()
    lost = lost_record([folder, *(path for _, path in numbered)])
    found += [] if lost is None else [lost]
    about = _fitted(folder / layout.RUN, RUN, trouble)
    text = _try(Path.read_text, folder / layout.CONFIG, trouble) or ""
    names = dict(enumerate(["level 0", *(_planned(text) or ())]))
    levels = tuple(
        replace(_level(number, path), planned=names.get(number, "")) for number, path in numbered
    )
    return RunFiles(folder, about, text, levels, _told(folder, found, trouble))


def _planned(config: str) -> list[str] | None:
    """Names of the levels above the first in the text of config.yaml; None where it does not say."""
    try:
        found = yaml.safe_load(config)
    except yaml.YAMLError:  # a run may be writing it right now
        return None
    above = found.get("levels") if isinstance(found, dict) else None
    if isinstance(above, dict | list):
        return [str(name) for name in above]
    return [] if found else None


def _level(number: int, folder: Path) -> LevelFiles:
    whole = (folder / layout.REPORT).exists()
    # what is gone of another level is not there yet: the climb makes it anew
    found = [fault for fault in faults(folder) if whole or not isinstance(fault, Gone)]
    problems = list[str]()
    return LevelFiles(
        number,
        folder,
        report=_report(folder / layout.REPORT, problems),
        system=_try(System.load, folder / "system.json", problems),
        frames=_try(Frames.load, folder / layout.FRAMES, problems),
        targets=_try(Frames.load, folder / layout.TARGETS, problems),
        mapping=_try(Mapping.load, folder / layout.MAPPING, problems),
        training=_try(read_history, folder / layout.LOSSES, problems) or {},
        source=_fitted(folder / layout.SOURCE, SOURCE, problems),
        backmapping=_try(read_backmapping, folder / layout.BACKMAPPING, problems) or {},
        audit=_fitted(folder / layout.AUDIT, AUDIT, problems),
        remarks=tuple(map(str, _try(remarks_in, folder / REMARKS, problems) or ())),
        made=frozenset(path.name for path in folder.iterdir()),
        problems=_told(folder, found, problems),
    )


def _try(read: Callable[[Path], T], path: Path, problems: list[str]) -> T | None:
    if not path.exists():
        return None
    try:
        return read(path)
    # a run may be writing this file right now
    except (OSError, ValueError, KeyError, TypeError) as error:
        problems.append(f"{path.parent.name}/{path.name}: {error}")
        return None


def _told(folder: Path, found: list[Changed], problems: list[str]) -> tuple[str, ...]:
    """What is not as it was made, then what cannot be read and is not named yet."""
    damaged = [
        f"{folder.name}/{fault.file.relative_to(folder)}"
        for fault in found
        if fault.file is not None
    ]
    new = [
        text
        for text in problems
        if not any(
            text.startswith(d) or d.startswith(f"{text.partition(': ')[0]}/") for d in damaged
        )
    ]
    return (*map(str, found), *new)


def _report(path: Path, problems: list[str]) -> Json:
    """report.json, with the rows and the verdict that mean something."""
    found, where = _fitted(path, REPORT, problems), f"{path.parent.name}/{path.name}"
    rows = [
        row for row in found.get("ledger") or [] if _sound(_row, row, f"{where}.ledger", problems)
    ]
    if "ledger" in found:
        found["ledger"] = rows
    given = found.get("variables") or {}
    for name in [n for n, d in given.items() if not isinstance(d, list)]:
        if not _sound(partial(from_plain, name), given[name], f"{where}.variables", problems):
            del given[name]
    if not _sound(
        Verdict.from_json, found.get("verdict", {"reasons": []}), f"{where}.verdict", problems
    ):
        del found["verdict"]
    return found


def _can_be_drawn(described: object) -> bool:
    """Whether it describes a distance, an angle, a dihedral or another variable of ours."""
    if isinstance(described, list):
        return len(described) in (2, 3, 4)
    return from_plain("", described) is not None


def _made(names: Described) -> tuple[Variable, ...]:
    """The variables that can be made again: not those of somebody else's package."""
    found = [from_plain(name, described) for name, described in names.items()]
    return tuple(variable for variable in found if variable is not None)


def _sites(described: object) -> list[str]:
    found = described.get("sites") if isinstance(described, dict) else described
    return [site for site in found if isinstance(site, str)] if isinstance(found, list) else []


def _row(data: Json) -> LedgerRow:
    if not isinstance(data.get("level"), str):
        raise ValueError(f"ledger row: expected the name of its level, found {data.get('level')!r}")
    return LedgerRow.from_json(with_nan(data))


def _sound(make: Callable[[Json], object], data: Json, where: str, problems: list[str]) -> bool:
    try:
        make(data)
    except ValueError as error:
        problems.append(f"{where}: {error}")
        return False
    return True


def _fitted(path: Path, specification: Table, problems: list[str]) -> Json:
    """A json table without what is of another type than it should be, which is named."""
    found = _try(_json, path, problems)
    return fitting(found, specification, f"{path.parent.name}/{path.name}", problems) or {}


def _json(path: Path) -> Json:
    return json.loads(path.read_text())


def read_backmapping(path: Path) -> dict[str, BackmappingReport]:
    """{name: report} of {name: what `BackmappingReport.to_json` gives}."""
    return {name: BackmappingReport.from_json(report) for name, report in _json(path).items()}


def read_history(path: Path) -> dict[str, NDArray[np.float64]]:
    """{column: values} of a csv with a header; an empty or unreadable entry is nan."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [key for key in (rows[0] if rows else {}) if key is not None]
    return {key: np.array([_number(row.get(key)) for row in rows]) for key in columns}


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")


def thin(frames: Frames, most: int) -> Frames:
    """At most `most` frames at equal distances: enough for a drawing."""
    return (
        frames if len(frames) <= most else frames[np.linspace(0, len(frames) - 1, most).astype(int)]
    )
