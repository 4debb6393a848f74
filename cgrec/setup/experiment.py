"""An experiment for frames that were read: their solvent, levels, sizes and cost."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..chain.chain import Chain
from ..configuration import build, composed
from ..files import Json, write_text
from ..frames import Frames
from ..report.ladder import ladder_picture
from ..report.maps import save
from .better import better
from .cost import cost, runs_of
from .files import Sample
from .ladder import Rung, Situation, ladder_of, situation_of
from .sizes import FIT, WATER, permittivity_of, settle
from .times import times_of
from .writing import text_of

#: Share of a fit and of a run that is kept at least, however slow the machine.
LEAST = 0.25
#: Times the minutes of a goal, from which it is said.
LONGER = 1.5


def experiment(path: Path, sample: Sample, budget: float, longer: float, timing: bool) -> str:
    """Write the YAML and a picture of its ladder; returns what was found and chosen.

    Args:
        path: of the YAML.
        sample: what there is to begin with.
        budget: minutes that all levels may take.
        longer: factor of the length of runs.
        timing: time a few steps of each level.

    Raises:
        ValueError: frames of several molecules without a box.
    """
    frames, situation = _without_solvent(sample)
    _check_box(frames, situation)
    rungs = ladder_of(frames, situation)
    permittivity = WATER
    if situation.word == "ions":
        permittivity, said = permittivity_of(frames, situation)
        sample.notes.append(said)
    for rung in rungs:
        settle(rung, situation, permittivity, dear=sample.group == "quantum")
    comments = _found(sample, frames, situation, rungs)
    if longer != 1:
        _scale(rungs, 1.0, longer)
    if timing and sample.group == "file":
        comments += _forecast(text_of(path, sample, rungs, comments), rungs, budget)
    elif sample.group == "force_field":
        comments += _of_structure(text_of(path, sample, rungs, comments), rungs, timing)
    write_text(path, text_of(path, sample, rungs, comments))
    drawn = _draw(path.with_suffix(".png"), rungs, frames)
    last = f"{path}{drawn}: read it, change what you know better, and run it by cgrec climb {path}"
    return "\n".join([*comments, *map(_line, rungs), last])


def _check_box(frames: Frames, situation: Situation) -> None:
    if situation.dense and frames.box is None and frames.forces is not None:
        count = sum(kind.count for kind in situation.kinds)
        raise ValueError(
            f"expected a box around {count} molecules, found none: without one they fly apart, and "
            "no sample of them is in equilibrium; give box= of the run (an edge or three, in the "
            "length unit of the file), or selection= of one molecule"
        )


def _draw(path: Path, rungs: Sequence[Rung], frames: Frames) -> str:
    """Write the picture of the ladder, unless there is a file of that name; says so."""
    titles = [f"{rung.name}: {rung.frames.n_sites} sites" for rung in rungs]
    picture = ladder_picture([rung.mapping for rung in rungs], titles, frames.positions[0])
    if picture is None or path.exists():
        return ""
    save(picture, path)
    return f", {path.name}"


def _without_solvent(sample: Sample) -> tuple[Frames, Situation]:
    """The frames without a solvent around molecules; the settings of the source say so."""
    frames = sample.frames
    situation = situation_of(frames.system)
    dropped = sorted(set(situation.dropped))
    if not dropped:
        return frames, situation
    sample.settings["selection"] = f"not resname {' '.join(dropped)}"
    sample.notes.append(
        f"{', '.join(dropped)} left out when the frames are read: the potential of mean force of "
        "the rest is what its forces average to"
    )
    kept = [i for i, name in enumerate(frames.system.residue_names) if name not in dropped]
    arrays = {name: getattr(frames, name)[:, kept] for name in ("positions", "forces")}
    return replace(frames, system=frames.system.select(kept), **arrays), situation


def _found(
    sample: Sample, frames: Frames, situation: Situation, rungs: Sequence[Rung]
) -> list[str]:
    """What the files hold, what was chosen and what would be better, in sentences."""
    kinds = ", ".join(map(str, situation.kinds))
    box = "no box"
    if frames.box is not None:
        sides = np.linalg.norm(np.asarray(frames.boxes(), float)[0], axis=-1)
        box = f"box {' x '.join(f'{s:.2f}' for s in sides)} nm"
    system = sample.frames.system
    rigid = f", {len(system.constraints)} rigid distances" if len(system.constraints) else ""
    found = [
        f"Found: {kinds}; {box}{rigid}; "
        + (
            f"{len(frames)} frames at {frames.temperature:.0f} K with forces."
            if sample.group == "file"
            else "one structure, to be run in a force field."
            if sample.group == "force_field"
            else "one structure, whose energy is to be learned."
        )
    ]
    found += [f"Note: {note}." for note in sample.notes]
    found.append(f"Taken for: {_words(situation)}.")
    found += [f"Better data: {said}." for said in better(frames, situation, rungs)]
    return found


_WORDS = {
    "protein": "a protein",
    "peptide": "a short peptide",
    "molecule": "one molecule",
    "ions": "ions in a solvent, which is integrated out",
    "liquid": "a liquid, mixture or melt: all distances between molecules count",
}


def _words(situation: Situation) -> str:
    around = situation.solvent is not None and situation.word != "ions"
    return _WORDS[situation.word] + (f" in {situation.solvent.name}" if around else "")  # type: ignore[union-attr]


def _forecast(text: str, rungs: Sequence[Rung], budget: float) -> list[str]:
    """Put minutes into every rung, after sizes were brought within the budget; what to say where
    they could not be.
    """
    recipes = _chain_of(text).recipes
    costs = []
    for rung in rungs:
        sys.stderr.write(f"cgrec init: timing a few steps of {rung.name}\n")
        costs.append(cost(rung.name, recipes[rung.name], rung.frames))
        _shorten(rung.settings["dynamics"], costs[-1].timestep)
    runs = [runs_of(recipes[rung.name]) for rung in rungs]
    total = sum(c.fit + n * c.run for c, n in zip(costs, runs))
    counting = sum(c.pairs for c in costs)  # as many frames are saved of a shorter run
    share = min(1.0, max(LEAST, (budget - counting) / total))
    if share < 1:
        _scale(rungs, share, share)
    for rung, found, n in zip(rungs, costs, runs):
        rung.minutes = share * (found.fit + n * found.run) + found.pairs
    minutes = share * total + counting
    if minutes <= LONGER * budget:
        return []
    return [
        f"Cost: {minutes:.0f} minutes, more than goal= asks for: fits and runs are as short "
        "as they may be. Take fewer molecules, a coarser first level, or a faster machine."
    ]


def _of_structure(text: str, rungs: Sequence[Rung], timing: bool) -> list[str]:
    """Put minutes into every rung above a structure that has to be run; what it takes in all.

    Raises:
        ValueError: the force field does not know the structure.
    """
    chain = _chain_of(text)
    if chain.source is not None:
        chain.source.system()
    if not timing:
        return []
    found = times_of(
        chain, lambda name: sys.stderr.write(f"cgrec init: timing a few steps of {name}\n")
    )
    if found is None:
        return []
    for rung in rungs:
        rung.minutes = found.of(rung.name)
    return [f"Cost: {found.said()}."]


def _chain_of(text: str) -> Chain:
    """What a YAML that is not written yet comes to."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "forecast.yaml"
        write_text(path, text)
        return build(composed([str(path)]))


def _shorten(dynamics: Json, timestep: float) -> None:
    """As many steps, each shorter."""
    ratio = timestep / dynamics["timestep"]
    dynamics["timestep"] = timestep
    _stretch(dynamics, ratio)


def _scale(rungs: Sequence[Rung], fit: float, run: float) -> None:
    for rung in rungs:
        training: Json = rung.settings.setdefault("training", {"steps": FIT})
        training["steps"] = max(1, round(training["steps"] * fit / 100)) * 100
        _stretch(rung.settings["dynamics"], run)


def _stretch(dynamics: Json, factor: float) -> None:
    """All times of a run but its step, to two digits, and no shorter than a step."""
    for key in ("length", "equilibration", "save_every"):
        dynamics[key] = max(float(f"{dynamics[key] * factor:.2g}"), dynamics["timestep"])


def _line(rung: Rung) -> str:
    return f"{rung.name}: {rung.frames.n_sites} sites, {rung.why}" + (
        "" if rung.minutes != rung.minutes else f"; about {rung.minutes:.1f} min on this machine"
    )
