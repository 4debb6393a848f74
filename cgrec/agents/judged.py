"""Numbers of reports as answers: each with the word of whoever looked at it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from ..commands._runs import level_of
from ..files import Json, missing, read_json
from ..frames import Frames
from ..io import read
from ..level import Level
from ..level.unfinished import Unfinished, way_to
from ..observables import LedgerRow, LiquidDifference
from ..roles import Variable
from ..run import layout
from ..statistics import effective_sample_size
from ..verdict import DO_NOT_USE, LOOK, TRUST, WORDS, Verdict, shape, word_in
from ..verdict.making import N_EFF_LEAST, N_EFF_LOOK
from ..verdict.reasons import Report, entries, joined, mapping, number
from .answers import NOT_JUDGED, Cause, Judged, Quantity, Row, Word, quantity
from .place import Place

#: Why some numbers have no error.
ESTIMATED = "itself an estimate from autocorrelation, right to a few tens of per cent"
ONCE = "one number of one sample"


def judged(level: Level) -> Judged:
    """What is thought of a level, by its report."""
    word = word_in(level.report)
    if word not in WORDS:
        return Judged(NOT_JUDGED, f"{level.name} has no verdict yet")
    return Judged(cast(Word, word), f"the verdict on {level.name}")


def level_inside(place: Place, tool: str, run: str, level: int, made: bool = False) -> Level:
    """A level of a run, or of a package, inside the root.

    Args:
        made: its frames must be there.

    Raises:
        ValueError: it lies outside, or there is none.
        Unfinished: its frames are not made yet.
    """
    place.path("run", run)
    found = level_of(tool, run, level, packed=True)
    if made:
        _ = found.frames
    return found


def causes(verdict: object) -> list[Cause]:
    """The reasons of a verdict as report.json holds it, the gravest first."""
    found = mapping(verdict)
    if not found:
        return []
    return [Cause(**vars(reason)) for reason in Verdict.from_json(found).reasons]


def by_samples(n: float, judged: Judged) -> Judged:
    """The graver of `judged` and what so many independent frames are worth."""
    word = DO_NOT_USE if n < N_EFF_LEAST else LOOK if n < N_EFF_LOOK else TRUST
    if judged.word != NOT_JUDGED and WORDS.index(judged.word) >= WORDS.index(word):
        return judged
    return Judged(cast(Word, word), f"the number of independent frames alone, {n:.0f}")


def by_excess(excess: float, error: float, look: float, most: float) -> Judged:
    """The word for a difference, by the bounds of the verdicts."""
    word = cast(Word, shape.word_for(excess, error, look, most) or TRUST)
    said = f"look above {look:g}, do not use above {most:g}"
    return Judged(word, f"the rules of verdicts on the difference of this row: {said}")


def independent(frames: Frames, variable: Variable) -> float:
    """How many frames are independent in a variable."""
    return effective_sample_size(frames, variable.of(frames), variable.periodic)


def renewed(report: Report, judged: Judged) -> dict[str, Quantity]:
    """How many independent surroundings the molecules of a liquid had."""
    own = mapping(mapping(report.get("surroundings")).get("own"))
    return {
        f"surroundings, {name}": quantity(
            number(mapping(found).get("independent")), None, "surroundings", judged, ESTIMATED
        )
        for name, found in own.items()
    }


def of_sample(folder: str, path: Path) -> tuple[Frames, Judged, Level | None]:
    """The frames that a path names, who judged them, and their level.

    Args:
        folder: as the user wrote it, for messages.
        path: a folder of a level (runs/x/level1), a folder of frames, one that holds frames/, or a
            file.

    Raises:
        FileNotFoundError, ValueError: none of these, or as `cgrec.read`.
    """
    if path.name.removeprefix("level").isdigit() and (path / layout.FRAMES).is_dir():
        level = level_of("sample", str(path.parent), layout.level_number(path))
        return level.frames, judged(level), level
    nobody = Judged(NOT_JUDGED, "no verdict is about these frames")
    for place in (path, path / layout.FRAMES):
        if (place / "frames.json").exists():
            return Frames.load(place), nobody, None
    if not path.is_file():
        later = way_to(path)
        raise (
            Unfinished(f"sample: expected frames in {folder}, found none: {later}")
            if later
            else (missing("sample", folder))
        )
    return read(path), nobody, None


def row_of(row: LedgerRow, judged: Judged) -> Row:
    """A line of the ledger."""
    counts = (row.n_eff_model, row.n_eff_reference)
    return Row(
        level=row.level,
        against=row.against,
        of=list(row.variables),
        difference=quantity(row.excess, row.error, "nats", judged),
        floor=quantity(row.floor, row.floors.get("spread"), "nats", judged),
        worst={
            f"{kind} {term['term']}": quantity(
                term["wasserstein"],
                None,
                term["unit"],
                judged,
                f"sampling alone gives {term['floor']:.3g} {term['unit']}",
            )
            for kind, term in row.worst.items()
        },
        independent_frames=[quantity(n, None, "frames", judged, ESTIMATED) for n in counts],
        basins={
            name: quantity(pair[0], pair[1], "kT", judged) for name, pair in row.basins.items()
        },
    )


def row_of_liquid(level: str, against: str, found: LiquidDifference, judged: Judged) -> Row:
    """A distribution of a liquid as a line of the ledger."""
    unit = "1" if found.what == "g(r)" else "per unit of the variable"
    floor = quantity(found.floor, None, unit, judged, "the mean of what chance gives")
    return Row(
        level=level,
        against=against,
        of=[found.what, *found.types],
        difference=quantity(found.value - found.floor, found.error, unit, judged),
        floor=floor,
        worst={},
        independent_frames=[],
        basins={},
    )


def of_report(report: Json, judged: Judged) -> dict[str, Quantity]:
    """What report.json of a level or of a run says, beside its ledger."""
    training = mapping(report.get("training"))
    heat = report.get("kinetic_temperature")
    pair = heat if isinstance(heat, Sequence) and len(heat) == 2 else (None, None)
    found = {
        "explained fraction of forces": quantity(
            report.get("explained_fraction"), training.get("explained_fraction_error"), "1", judged
        ),
        "kinetic temperature": quantity(pair[0], pair[1], "K", judged),
        "temperature": quantity(report.get("temperature"), None, "K", judged, "as asked for"),
    }
    for name, n in mapping(report.get("n_eff")).items():
        found[f"independent frames in {name}"] = quantity(n, None, "frames", judged, ESTIMATED)
    found.update(renewed(report, judged))
    for name, one in mapping(report.get("drift")).items():
        drift = mapping(one)
        found[f"drift of {name}"] = quantity(
            drift.get("shift"), drift.get("error"), "standard deviations", judged
        )
    found.update(_of_states(report, judged))
    return {name: one for name, one in found.items() if one.value is not None}


def _of_states(report: Json, judged: Judged) -> Iterator[tuple[str, Quantity]]:
    """Populations of basins."""
    own = mapping(mapping(report.get("states")).get("own"))
    for name, one in mapping(own.get("basins")).items():
        basin = mapping(one)
        share, error = basin.get("population"), basin.get("population_error")
        yield f"population of {name}", quantity(share, error, "1", judged)
        energy, error = basin.get("free_energy"), basin.get("free_energy_error")
        yield f"free energy of {name}", quantity(energy, error, "kT", judged)


def of_run(folder: Path, judged: Judged) -> dict[str, Quantity]:
    """What `cgrec run` left in a folder."""
    report = read_json(folder / layout.REPORT)
    found = of_report(report, judged)
    for name, one in mapping(report.get("variables")).items():
        about = mapping(one)
        key = f"divergence of {name} from the level's own run, above the floor"
        found[key] = quantity(about.get("excess"), about.get("error"), "nats", judged)
    for one in entries(report.get("radial")):
        key = f"difference of g(r) {joined(one.get('types'), '-')}"
        found[key] = quantity(one.get("value"), one.get("error"), "1", judged)
    return found


def of_descent(folder: Path, judged: Judged) -> dict[str, Quantity]:
    """What `cgrec descend` left."""
    found = {}
    for step in entries(read_json(folder / "descent.json").get("steps")):
        for key in ("ess", "acceptance"):
            name = {"ess": "effective share of the weights"}.get(key, key)
            found[f"{step.get('level')}: {name}"] = quantity(step.get(key), None, "1", judged, ONCE)
    return found


def of_audit(folder: Path, judged: Judged) -> dict[str, Quantity]:
    """What `cgrec analyse-backmapping` left in the folder of a level."""
    found = {}
    audit = folder / layout.AUDIT
    units = {"rms": "kT", "slope": "1", "entropy": "nats"}
    about = read_json(audit) if audit.exists() else {}
    for key, unit in units.items():
        if key in about:
            found[f"PMF by its backmapper: {key}"] = quantity(
                about[key][0], about[key][1], unit, judged
            )
    for name, report in read_json(folder / layout.BACKMAPPING).items():
        for key, one in mapping(report).items():
            pair = mapping(one)
            if "value" in pair and "error" in pair:
                unit = _UNITS.get(key, "1")
                found[f"{name}: {key}"] = quantity(pair["value"], pair["error"], unit, judged)
    return found


#: Of the metrics of `BackmappingReport` that have one.
_UNITS: Mapping[str, str] = {
    "missing_bonds": "a frame",
    "spurious_bonds": "a frame",
    "clashes": "a frame",
    "spread": "nm",
    "rmsd_one": "nm",
    "rmsd_best": "nm",
    "round_trip": "nm",
    "energy": "kT an atom",
    "energy_shift": "kT an atom",
}
