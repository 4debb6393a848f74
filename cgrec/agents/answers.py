"""What a tool answers: every number with its unit, its error, and who believes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ..verdict.reasons import number

#: Of a verdict; "not judged" where no rule of cgrec looks at the number.
Word = Literal["trust", "look", "do not use", "not judged"]
NOT_JUDGED: Literal["not judged"] = "not judged"


class Judged(NamedTuple):
    """A word and who said it."""

    word: Word
    by: str


#: Of what a user or a file says.
STATED = Judged(NOT_JUDGED, "stated, not measured")
EXACT = "stated, so it has no error"


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number.

    Attributes:
        value: None where it is not known.
        unit: of value and error.
        error: one standard error; None where there is none.
        no_error: why there is none.
        verdict: whether to believe it.
        judged_by: what gave the verdict.
    """

    value: float | None
    unit: str
    error: float | None
    no_error: str
    verdict: Word
    judged_by: str

    def __post_init__(self) -> None:
        if self.error is None and not self.no_error:
            raise ValueError(f"Quantity: expected an error of {self.value}, or why there is none")


def quantity(
    value: object, error: object, unit: str, judged: Judged, no_error: str = ""
) -> Quantity:
    """A number of a report, where what is not finite is unknown.

    Args:
        value, error: as read; an error that is no number is none.
        unit: of both.
        judged: who believes it.
        no_error: why there is no error.
    """
    known, spread = number(value), number(error)
    if known is None:
        no_error = no_error or "the value itself is not known"
    return Quantity(
        value=known,
        unit=unit,
        error=spread,
        no_error="" if spread is not None else no_error or "unknown: too few blocks to tell",
        verdict=judged.word,
        judged_by=judged.by,
    )


@dataclass(frozen=True, kw_only=True)
class Cause:
    """A reason of a verdict: the rule, what was found and expected, and what to do."""

    rule: str
    word: str
    found: str
    expected: str
    do: str


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What every tool says.

    Attributes:
        notes: what a user must know about the result.
    """

    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Inspection(Answer):
    """Frames that were read.

    Attributes:
        n_frames, n_sites, n_molecules: counts.
        sites: labels of the first sites.
        holds: forces, energies, weights: those that are there.
        temperature: K, as stated.
        temperature_of_forces: K, what the forces imply.
        forces: what that says of the forces.
        box: nm, mean edges; empty: open.
        independent_frames: in each variable that was looked at; of a liquid, independent surroundings
            of its molecules.
        verdict, reasons: on the sample, as that of level 0.
    """

    n_frames: int
    n_sites: int
    n_molecules: int
    sites: list[str]
    holds: list[str]
    temperature: Quantity
    temperature_of_forces: Quantity
    forces: str
    box: list[Quantity]
    independent_frames: dict[str, Quantity]
    verdict: Word
    reasons: list[Cause]


@dataclass(frozen=True, kw_only=True)
class Proposed:
    """A mapping: its method, the fine sites of each bead, and what it costs."""

    method: str
    place: str
    n_sites: int
    beads: list[list[str]]
    scores: dict[str, Quantity]


@dataclass(frozen=True, kw_only=True)
class Proposals(Answer):
    """Mappings, best first, and the YAML of the chosen one."""

    proposals: list[Proposed]
    left_out: list[str]
    chosen: str


@dataclass(frozen=True, kw_only=True)
class Experiment(Answer):
    """A YAML that `climb` runs, and the sentences that say why it is as it is."""

    experiment: str
    found: list[str]
    text: str


@dataclass(frozen=True, kw_only=True)
class Measured(Answer):
    """Mean and standard deviation of variables over a sample of `n_frames` frames."""

    n_frames: int
    means: dict[str, Quantity]
    deviations: dict[str, Quantity]
    independent_frames: dict[str, Quantity]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was looked at, and what was found."""

    what: str
    found: str


@dataclass(frozen=True, kw_only=True)
class Checked(Answer):
    """An experiment that can be climbed."""

    run: str
    found: list[Found]


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A level to come. `n_sites` is None where frames choose the sites."""

    name: str
    n_sites: int | None
    fit: Quantity
    run: Quantity
    timestep: Quantity


@dataclass(frozen=True, kw_only=True)
class Plan(Answer):
    """The levels of an experiment, and what they will take on this machine."""

    levels: list[Planned]
    found: list[Found]


@dataclass(frozen=True, kw_only=True)
class LevelState:
    """A level of a run: done, begun or to do; the steps it lacks; its verdict, "not judged" before
    it has one.
    """

    number: int
    name: str
    state: str
    missing: list[str]
    verdict: Word
    reasons: list[str]


@dataclass(frozen=True, kw_only=True)
class Work(Answer):
    """Work that takes time.

    Attributes:
        folder: where its results are.
        state: running, finished, stopped, failed, refused, killed or unfinished.
        said: what ended it early.
        step: what is done now.
        done, total: of that step.
        levels: of a climb.
        numbers: what it found; empty until it is finished.
        next: what to do.
    """

    folder: str
    state: str
    said: str = ""
    step: str = ""
    done: int = 0
    total: int = 0
    levels: list[LevelState] = field(default_factory=list)
    numbers: dict[str, Quantity] = field(default_factory=dict)
    next: str


@dataclass(frozen=True, kw_only=True)
class Verdict(Answer):
    """The verdict on a level, its reasons, and the numbers it was made from."""

    level: str
    verdict: Word
    reasons: list[Cause]
    numbers: dict[str, Quantity]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the ledger: how far a level is from another ensemble, in what.

    Attributes:
        difference: Jensen-Shannon divergence above its floor, nats; of g(r) the mean |difference|
            above its floor.
        floor: what two samples of one ensemble show by chance.
        worst: the largest Wasserstein distance of bonds, angles and dihedrals.
        independent_frames: of the level and of what it is compared with.
        basins: difference of their free energies, kT.
    """

    level: str
    against: str
    of: list[str]
    difference: Quantity
    floor: Quantity
    worst: dict[str, Quantity]
    independent_frames: list[Quantity]
    basins: dict[str, Quantity]


@dataclass(frozen=True, kw_only=True)
class Ledger(Answer):
    """Rows of the error ledger."""

    rows: list[Row]


@dataclass(frozen=True, kw_only=True)
class Properties(Answer):
    """Numbers of a level, and those that it cannot have, with the reason."""

    numbers: dict[str, Quantity]
    unknown: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Exported(Answer):
    """What was written of a level, and what is thought of the level."""

    made: str
    verdict: Word
    reasons: list[Cause]
