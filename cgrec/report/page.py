"""The page itself: tables and plots of a run in one HTML file that needs nothing from outside."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ..analysis.ledger import LedgerRow, Triangle, check_triangle
from ..files import write_whole
from ..remarks import remark
from ..units import shown
from . import figures
from .pieces import DASH, NOT_YET, duration, folded, image, number, section, table, within
from .read import Ensembles, LevelFiles, RunFiles, read_run
from .restored import audit, restored
from .verdicts import verdict_rules, verdicts

_STYLE = Path(__file__).with_name("style.css").read_text()


def write_report(run: str | Path) -> Path:
    """Write report.html into the run's folder from what lies there, and return its path.

    An unfinished run gives a page that says where something is not there yet.

    Raises:
        FileNotFoundError: the folder holds no run.
    """
    found = read_run(run)
    for problem in found.problems:
        remark(f"cannot be read as it was made: {problem}")
    path = found.folder / "report.html"
    text = page(found)
    # a reader never sees half a page
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))
    return path


def page(run: RunFiles) -> str:
    """The whole document."""
    title = run.folder.resolve().name
    body = "".join(_surely(draw, run) for draw in SECTIONS)
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head = f"<head>{meta}<title>{escape(title)}</title><style>{_STYLE}</style></head>"
    return f'<!DOCTYPE html><html lang="en">{head}<body><main>{body}</main></body></html>\n'


def _surely(draw: Callable[[RunFiles], str], run: RunFiles) -> str:
    """A section; or, where a damaged file makes that impossible, a line that says so, and the page
    goes on.
    """
    try:
        return draw(run)
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, ArithmeticError) as error:
        name = draw.__name__.strip("_").replace("_", " ")
        told = escape(
            f"{name}: could not be drawn, a file of the run holds what was not expected ({error!r})"
        )
        return section(name.capitalize(), f'<p class="bad">{told}</p>')


def _nothing(run: RunFiles, title: str) -> str:
    """Of a run that goes on the section is still to come; of a complete one there is nothing of the
    kind to show.
    """
    return "" if run.complete else section(title, NOT_YET)


# ---- sections ----------------------------------------------------------------------------------


def _header(run: RunFiles) -> str:
    cards = "".join(
        f'<div class="card"><b>{value}</b><span>{label}</span></div>'
        for value, label in _cards(run)
    )
    problems = "".join(
        f'<p class="bad">cannot be read: {escape(text)}</p>' for text in run.problems
    )
    state = f'<p class="{"sub" if run.complete else "bad"}">{escape(run.state)}</p>'
    title = escape(run.folder.resolve().name)
    return (
        f"<header><h1>{title}</h1>{state}{problems}{verdicts(run)}<div "
        f'class="cards">{cards}</div></header>'
    )


def _cards(run: RunFiles) -> list[tuple[str, str]]:
    """(value, what it is) of the few numbers at the top."""
    replicas = [r for level in run.levels if (r := level.report.get("replicas"))]
    lost, started = (sum(int(r.get(key) or 0) for r in replicas) for key in ("lost", "started"))
    return [
        (" &rarr; ".join(number(level.n_sites) for level in run.levels) or DASH, "sites per level"),
        _distance(run),
        (f"{lost} of {started}" if started else DASH, "replicas lost"),
        (
            duration(run.about.get("seconds")),
            f"on {escape(str(run.about.get('device') or 'unknown device'))}",
        ),
    ]


def _distance(run: RunFiles) -> tuple[str, str]:
    """The largest distance of a level's own run: in the collective variables, or in g(r) for a
    liquid without any.
    """
    names = {level.name for level in run.levels}  # not the controls, such as "l2 (direct)"
    far = [row for row in _rows(run) if row.against == "level 0" and row.level in names]
    radial = [
        row
        for level in run.levels
        for row in level.liquid
        if (row["what"], row["against"], row["level"]) == ("g(r)", "parent", level.name)
    ]
    if radial and not far:
        row = max(radial, key=lambda row: float(row["value"]))
        pair = escape("-".join(row["types"]))
        return within(
            row["value"], row["error"], 4
        ), f"largest mean |difference| of g(r) from the parent ({pair})"
    worst = max(far, key=lambda row: row.excess, default=None)
    if worst is None:
        return DASH, "largest JS from level 0, above the floor"
    which = escape(f"{worst.level}, {', '.join(worst.variables)}")
    return within(
        worst.excess, worst.error, 4
    ), f"largest JS from level 0, above the floor ({which})"


def _rows(run: RunFiles) -> list[LedgerRow]:
    return [row for level in run.levels for row in level.ledger]


def _ladder(run: RunFiles) -> str:
    head = (
        "level",
        "sites",
        "frames",
        "simulated<br>ns",
        "training",
        "simulation",
        "cost<br>s per ns",
        "ns per day",
        "speed-up over<br>level 0",
        "explained<br>force fraction",
    )
    base = next((level.cost for level in run.levels if level.number == 0), None)
    rows = [_ladder_row(level, base) for level in run.levels]
    note = (
        "Cost is wall time per nanosecond of simulated time summed over replicas, on the "
        "device named above."
    )
    return section("The ladder", table(head, rows) if rows else NOT_YET, note)


def _ladder_row(level: LevelFiles, base: float | None) -> list[str]:
    report, seconds = level.report, level.report.get("seconds") or {}
    speed = base / level.cost if base and level.cost else None
    explained = report.get("explained_fraction")
    return [
        f"<b>{escape(level.name)}</b>",
        str(level.n_sites or DASH),
        f"{len(level.frames):,}" if level.frames is not None else NOT_YET,
        number(report.get("simulated_ns")),
        duration(seconds.get("training")),
        duration(seconds.get("simulation")),
        number(level.cost),
        number(report.get("ns_per_day")),
        f"{number(speed)}&times;" if speed else DASH,
        f"{100 * explained:.1f} %" if isinstance(explained, int | float) else DASH,
    ]


def _structures(run: RunFiles) -> str:
    ensembles = [
        f for level in run.levels for f in (level.frames or level.targets,) if f is not None
    ]
    liquid = [figures.is_liquid(frames) for frames in ensembles]
    note = (
        ""
        if liquid and all(liquid)
        else "One frame solid, five more from the same run superposed on it. "
    )
    note += "A liquid: one frame, its molecules moved into the box." if any(liquid) else ""
    return section(
        "Structures", image(figures.structures(run.levels), "structures of every level"), note
    )


def _free_energy(run: RunFiles) -> str:
    surfaces = profiles = ""
    for variables, ensembles in run.comparisons:
        names = ", ".join(v.name for v in variables)
        if len(variables) == 2:
            surfaces += image(figures.surfaces(ensembles, variables), f"free energy over {names}")
        profiles += image(figures.profiles(ensembles, variables), f"free energy along {names}")
        profiles += _undefined(run, names, ensembles)
    if not surfaces + profiles:
        return _nothing(run, "Free energy")
    note = "Finer levels are mapped up to the sites that define the variables. "
    if surfaces:
        note += (
            "One colour scale for all levels, contours every kT, white where nothing was seen "
            "or above "
            f"{figures.TOP:.0f} kT; below, where a level lies higher (red) or lower (blue) "
            "than level 0; black: "
            "only level 0 was there, orange: only the level. "
        )
    note += "Bands are one standard error from blocks."
    return section("Free energy", surfaces + profiles, note)


def _undefined(run: RunFiles, names: str, ensembles: Ensembles) -> str:
    shown = [level.number for level, _ in ensembles]
    without = [x.name for x in run.levels if x.frames is not None and x.number not in shown]
    lines = [f"{name} has no {names}: its own sites do not define it." for name in without]
    return "".join(f'<p class="note">{escape(line)}</p>' for line in lines)


def _errors(run: RunFiles) -> str:
    rows = _rows(run)
    order = [level.name for level in run.levels]
    if not rows:
        return _nothing(run, "Error per level")
    head = (
        "level",
        "from",
        "variables",
        "&radic;JS",
        "JS<br>floor",
        "JS<br>excess",
        "&radic;<br>excess",
        "N<sub>eff</sub><br>model / other",
        "worst<br>bond",
        "worst<br>angle",
        "worst<br>dihedral",
    )
    note = (
        "&radic;JS is a metric: it can only shrink under mapping and adds at most linearly "
        "over the levels. "
        "Bars are the excess, JS with its sampling floor (the JS expected of two samples of "
        "this size from one "
        "distribution) taken off, with one standard error; grey is how far that floor scatters "
        "from sample to sample. "
        "An excess below zero is luck, or what refinement does to a small sample. Worst terms "
        "are Wasserstein "
        "distances, their own floor in brackets."
    )
    body = image(figures.errors(rows, order), "error per level") + table(
        head, [_error_row(row) for row in rows]
    )
    return section("Error per level", body + _triangles(rows, order) + _basins(rows), note)


def _error_row(row: LedgerRow) -> list[str]:
    return [
        escape(row.level),
        escape(row.against),
        escape(", ".join(row.variables)),
        f"{row.sqrt_js:.4f}",
        f"{row.floor:.5f}",
        within(row.excess, row.error, 5),
        f"{row.sqrt_excess:.3f}",
        f"{number(row.n_eff_model)} / {number(row.n_eff_reference)}",
        *(_worst(row.worst.get(kind)) for kind in ("bond", "angle", "dihedral")),
    ]


def _worst(term: dict[str, Any] | None) -> str:
    if term is None:
        return DASH
    factor, unit = (1000.0, "pm") if term["unit"] == "nm" else (180 / np.pi, "&deg;")
    text = (
        f"{shown(factor * term['wasserstein'])} {unit} "
        f"<small>({shown(factor * term['floor'], 1)})</small>"
    )
    return f'<span title="{escape(str(term["term"]))}">{text}</span>'


def _triangles(rows: Sequence[LedgerRow], order: Sequence[str]) -> str:
    # one step is its own total
    found = [t for t in check_triangle(rows, order[1:]) if t.level != order[1]]
    return "".join(f'<p class="note">{_triangle(t)}</p>' for t in found)


def _triangle(t: Triangle) -> str:
    verdict = (
        '<span class="good">holds</span>'
        if t.holds
        else '<span class="bad">violated: a mistake in the bookkeeping</span>'
    )
    names = escape(", ".join(t.variables))
    start = f"Triangle to {escape(t.level)} ({names}): "
    return f"{start}{t.total:.4f} &le; {t.steps:.4f}, the sum of the steps: {verdict}."


def _basins(rows: Sequence[LedgerRow]) -> str:
    known = [row for row in rows if row.basins]
    if not known:
        return ""
    names = list(dict.fromkeys(name for row in known for name in row.basins))
    body = [
        [escape(r.level), escape(r.against), *(_basin(r.basins.get(name)) for name in names)]
        for r in known
    ]
    title = "<h3>Basins: free energy minus that of the other ensemble, kT</h3>"
    return title + table(("level", "from", *map(escape, names)), body)


def _basin(value: Sequence[float] | None) -> str:
    if not value or not np.isfinite(value[0]):
        return DASH
    return "0" if value[0] == 0 else within(value[0], value[1], 2)


def _liquid(run: RunFiles) -> str:
    levels = [level for level in run.levels if level.number > 0 and level.periodic]
    drawn = [(level, figures.liquid(level)) for level in levels]
    body = "".join(
        f"<h3>{escape(level.name)}</h3>{image(figure, f'liquid structure of {level.name}')}"
        for level, figure in drawn
        if figure is not None
    )
    rows = [row for level in levels for row in level.liquid]
    if not body + "".join(row["level"] for row in rows):
        return ""
    head = (
        "level",
        "from",
        "distribution",
        "mean |difference|",
        "floor",
        "rms",
        "largest",
        "peak ratio",
        "range",
    )
    note = (
        "Line: the level's own run. Grey: its target, its parent mapped up, within one "
        "standard error; both from "
        "at most 500 frames. The table is from all frames: g(r) between molecules, and angles, "
        "tetrahedral order and "
        "triangles in the first shell, per rad, 1 and nm. Floor: what two samples of one "
        "liquid would show "
        "by chance. Peak ratio: height of the highest peak over that of the other ensemble."
    )
    below = (
        table(head, [_liquid_row(row) for row in rows]) if rows else _nothing(run, "Differences")
    )
    return section("Liquid structure", body + below, note)


def _liquid_row(row: dict[str, Any]) -> list[str]:
    return [
        escape(row["level"]),
        escape(row["against"]),
        escape(f"{row['what']} {'-'.join(row['types'])}"),
        within(row["value"], row["error"]),
        f"{row['floor']:.4f}",
        f"{row['rms']:.4f}",
        f"{row['largest']:.3f}",
        f"{row['peak']:.3f}",
        _range(row["what"], row["low"], row["high"]),
    ]


def _range(what: str, low: float, high: float) -> str:
    if what == "angles":
        return f"{np.degrees(low):.0f} to {np.degrees(high):.0f}&deg;"
    return f"{low:.2f} to {high:.2f}" + ("" if what == "tetrahedrality" else " nm")


def _training(run: RunFiles) -> str:
    note = (
        "Force-matching loss per component. It cannot fall below the scatter of the forces "
        "that a coarse state does "
        "not determine, of which the noise floor is an estimate; what counts is the distance to it."
    )
    figure = figures.losses(run.levels)
    if figure is None and len(run.levels) < 2:
        return _nothing(run, "Training")
    return section("Training", image(figure, "loss curves"), note)


def _bonded(run: RunFiles) -> str:
    body = "".join(
        f"<h3>{escape(level.name)}</h3>{image(figures.bonded(level), f'bonded terms of {level.name}')}"
        for level in run.levels
        if level.number > 0 and (level.sites is None or len(level.sites.bonds))
    )
    if not body:
        return _nothing(run, "Bonds, angles, dihedrals")
    note = (
        "Line: the level's own run. Grey: its target, its parent mapped up. Worst first; nm, "
        "degrees."
    )
    return section("Bonds, angles, dihedrals", body, note)


def _health(run: RunFiles) -> str:
    head = (
        "level",
        "temperature asked<br>K",
        "kinetic temperature<br>K",
        "replicas",
        "lost",
        "frames of the other hand",
        "where lost",
    )
    rows = [_health_row(level) for level in run.levels]
    drawing = figures.energies(run.levels)
    plot = f"<h3>Energies</h3>{image(drawing, 'energies')}" if drawing is not None else ""
    return section("Simulation health", (table(head, rows, "last") if rows else NOT_YET) + plot)


def _health_row(level: LevelFiles) -> list[str]:
    kinetic, replicas = level.report.get("kinetic_temperature"), level.report.get("replicas") or {}
    known = isinstance(kinetic, list) and len(kinetic) == 2 and None not in kinetic
    where = [_place(place) for place in replicas.get("where") or []]
    return [
        escape(level.name),
        number(float(level.frames.temperature)) if level.frames is not None else DASH,
        within(float(kinetic[0]), float(kinetic[1]), 2) if kinetic and known else DASH,
        number(replicas.get("started")),
        _lost(replicas.get("lost")),
        ", ".join(
            f"{escape(k)} {_lost(n)}"
            for k, n in (level.report.get("chirality_flips") or {}).items()
        )
        or DASH,
        escape("; ".join(where[:4]) + (" ..." if len(where) > 4 else "")) or DASH,
    ]


def _place(lost: dict[str, Any]) -> str:
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
    return f'<span class="{"bad" if number else "good"}">{int(number)}</span>'


def _redo(run: RunFiles) -> str:
    about = run.about
    command = about.get("command")
    lines = [str(command), f"cgrec report run={run.folder}"] if command else []
    rows: list[tuple[str, Any]] = [
        (key, about[key]) for key in ("commit", "seed", "device") if key in about
    ]
    rows += sorted((about.get("versions") or {}).items())
    rows += [(f"data: {key}", value) for level in run.levels for key, value in level.source.items()]
    facts = [
        [escape(str(key)), escape(value if isinstance(value, str) else json.dumps(value))]
        for key, value in rows
    ]
    commands = f"<pre>{escape(chr(10).join(lines))}</pre>" if lines else NOT_YET
    below = table(("what", "value"), facts, "left") if facts else ""
    return section("Do it again", commands + below + folded("config.yaml", run.config))


#: The page from top to bottom.
SECTIONS: tuple[Callable[[RunFiles], str], ...] = (
    _header,
    _ladder,
    _structures,
    _free_energy,
    _errors,
    _liquid,
    _training,
    _bonded,
    restored,
    audit,
    _health,
    verdict_rules,
    _redo,
)
