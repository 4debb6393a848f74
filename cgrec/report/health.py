"""How the runs of the levels went."""

from __future__ import annotations

from markupsafe import Markup

from ..files import Json
from ..units import MEV_PER_ANGSTROM
from . import figures
from .pieces import DASH, image, number, render, within
from .read import LevelFiles, RunFiles

_COUNT = Markup('<span class="{}">{}</span>')


def health(run: RunFiles) -> Markup:
    """What each run came to: temperature, lost replicas, exchange, corrections, energies."""
    drawing = figures.energies(run.levels)
    return render(
        "health.html",
        rows=[_health_row(level) for level in run.levels],
        said=[
            say(level)
            for level in run.levels
            for say in (network_said, ladder_said, corrected_said, pressure_said, renewed_said)
        ],
        picture=image(drawing, "energies") if drawing is not None else None,
    )


def network_said(level: LevelFiles) -> str:
    """How far an all-atom network is from the quantum chemistry; nothing where nobody looked."""
    found = level.report.get("force_error") or {}
    if found.get("value") is None:
        return ""
    value, error = (
        DASH if found.get(name) is None else f"{found[name] / MEV_PER_ANGSTROM:.1f}"
        for name in ("value", "error")
    )
    return (
        f"{level.name}: its network is {value} ± {error} meV/Å off the quantum chemistry, root mean "
        f"square of a force component on {number(found.get('frames'))} frames of its own run."
    )


def ladder_said(level: LevelFiles) -> str:
    """How the temperatures of its run exchanged; nothing without a ladder."""
    found = level.report.get("exchange") or {}
    factors, accepted = found.get("factors") or [], found.get("acceptance") or []
    if not factors or not accepted or None in (*factors, *accepted):
        return ""
    return (
        f"{level.name}, replica exchange: rungs at {', '.join(f'{f:.3g}' for f in factors)} times the "
        f"temperature; neighbours accept {', '.join(f'{100 * a:.0f} %' for a in accepted)} of the "
        f"attempts; {number(found.get('round_trips'))} round trips of all replicas."
    )


def corrected_said(level: LevelFiles) -> str:
    """What the rounds of a correction came to; nothing where none is judged."""
    found = level.report.get("correction") or {}
    rounds, best = found.get("held_out_divergence") or [], found.get("round")
    if found.get("left_out"):
        return (
            f"{level.name}: the correction {found['left_out']} lost all replicas and is left out."
        )
    if not rounds or best is None:
        return ""
    told = ["all replicas lost" if js is None else f"{js:.4f}" for js in rounds]
    taken = f"round {best} is taken" if best else "no round is better: the model stays as it was"
    return (
        f"{level.name}, correction: divergence of held-out distances {told[0]} before it, "
        f"{', '.join(told[1:])} in its rounds, {number(found.get('floor'))} between halves of the "
        f"parent; {taken}."
    )


def pressure_said(level: LevelFiles) -> str:
    """What the level presses with beside its parent, without and with the volume's own term; nothing
    without one.
    """
    found = (level.report.get("correction") or {}).get("pressure") or {}
    if isinstance(found.get("densities"), list):
        names = ("densities", "parent", "without_term", "with_term", "error")
        rows = zip(*(map(number, found.get(name) or []) for name in names))
        told = [
            f"{density} sites per nm³: {parent}; {without}; {its} ± {error} bar"
            for density, parent, without, its, error in rows
        ]
        return (
            f"{level.name}, pressure of its parent; of the level without the volume's own term; with "
            f"it: at {', at '.join(told)}."
        )
    if "without_term" not in found:
        return ""
    squeezed, error = (
        f"{1e6 * found[name]:.1f}" if found.get(name) is not None else DASH
        for name in ("compressibility", "compressibility_error")
    )
    return (
        f"{level.name}: without the volume's own term it presses with {number(found['without_term'])} "
        f"± {number(found.get('error'))} bar where its parent has {number(found.get('at'))}. With it, "
        f"it has its parent's compressibility, ({squeezed} ± {error}) 10⁻⁶/bar, known by "
        f"{number(found.get('independent_volumes'))} independent volumes."
    )


def renewed_said(level: LevelFiles) -> str:
    """How many independent surroundings the molecules in a box had; nothing of anything else."""
    own = (level.report.get("surroundings") or {}).get("own") or {}
    told = [
        f"{name} {number(found.get('independent'))}, neighbours changed {number(found.get('renewed'))} "
        "times in a run"
        for name, found in own.items()
    ]
    if not told:
        return ""
    return f"{level.name}: independent surroundings of its molecules: {'; '.join(told)}."


def _health_row(level: LevelFiles) -> list[str]:
    kinetic, replicas = level.report.get("kinetic_temperature"), level.report.get("replicas") or {}
    known = isinstance(kinetic, list) and len(kinetic) == 2 and None not in kinetic
    where = [_place(place) for place in replicas.get("where") or []]
    flips = (level.report.get("chirality_flips") or {}).items()
    return [
        level.name,
        number(float(level.frames.temperature)) if level.frames is not None else DASH,
        within(float(kinetic[0]), float(kinetic[1]), 2) if kinetic and known else DASH,
        number(replicas.get("started")),
        _lost(replicas.get("lost")),
        Markup(", ").join(Markup("{} {}").format(k, _lost(n)) for k, n in flips) or DASH,
        "; ".join(where[:4]) + (" ..." if len(where) > 4 else "") or DASH,
    ]


def _place(lost: Json) -> str:
    """Where a replica was lost, as the simulation reports it, in words."""
    values = [
        f"{k} {v:.2f}"
        for k, v in lost.items()
        if isinstance(v, float) and k not in ("time", "replica")
    ]
    place = f" ({', '.join(values)})" if values else ""
    return (
        f"replica {number(lost.get('replica'))} at {number(lost.get('time'))} ps "
        f"{lost.get('why')}{place}"
    )


def _lost(number: int | None) -> str:
    if number is None:
        return DASH
    return _COUNT.format("bad" if number else "good", int(number))
