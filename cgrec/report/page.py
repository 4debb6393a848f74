"""The page itself: tables and plots of a run in one HTML file that needs nothing from outside."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..analysis.backmapping import BackmappingReport, Quantity
from ..analysis.ledger import LedgerRow, Triangle, check_triangle
from ..analysis.structure import KINDS
from . import figures
from .read import Ensembles, LevelFiles, RunFiles, read_run

NOT_YET = '<span class="missing">not there yet</span>'
DASH = "&ndash;"
_STYLE = Path(__file__).with_name("style.css").read_text()


def write_report(run: str | Path) -> Path:
    """Write report.html into the run's folder from what lies there, and return its path.

    An unfinished run gives a page that says where something is not there yet.

    Raises:
        FileNotFoundError: the folder holds no run.
    """
    found = read_run(run)
    path = found.folder / "report.html"
    partial = path.with_suffix(".html.partial")
    partial.write_text(page(found), encoding="utf-8")
    os.replace(partial, path)  # a reader never sees half a page
    return path


def page(run: RunFiles) -> str:
    """The whole document."""
    title = str(run.about.get("name") or run.folder.resolve().name)
    sections = (
        _header(run, title), _ladder(run), _structures(run), _free_energy(run), _errors(run), _liquid(run),
        _training(run), _bonded(run), _restored(run), _audit(run), _health(run), _redo(run),
    )  # fmt: skip
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head = f"<head>{meta}<title>{escape(title)}</title><style>{_STYLE}</style></head>"
    body = f"<body><main>{''.join(sections)}</main></body>"
    return f'<!DOCTYPE html><html lang="en">{head}{body}</html>\n'


# ---- pieces ------------------------------------------------------------------------------------


def _section(title: str, body: str, note: str = "") -> str:
    remark = f'<p class="note">{note}</p>' if note else ""
    return f"<section><h2>{title}</h2>{remark}{body}</section>"


def _nothing(run: RunFiles, title: str) -> str:
    """Of a run that goes on the section is still to come; of a complete one there is nothing of the kind to show."""
    return "" if run.complete else _section(title, NOT_YET)


def _image(figure: Figure | None, alt: str) -> str:
    if figure is None:
        return NOT_YET
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    data = base64.b64encode(buffer.getvalue()).decode()
    width = round(float(figure.get_figwidth()) * 100)
    return f'<img alt="{escape(alt)}" width="{width}" src="data:image/png;base64,{data}">'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table; cells are HTML already."""
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    inner = f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="scroll"><table class="{kind}">{inner}</table></div>'


def _number(value: Any, digits: int = 3) -> str:
    """Three figures, or a dash where there is no number."""
    if not isinstance(value, int | float) or not np.isfinite(value):
        return DASH
    if value == 0:
        return "0"
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.{digits}g}" if size >= 1e-3 else f"{value:.1e}"


def _time(seconds: Any) -> str:
    if not isinstance(seconds, int | float) or seconds == 0:
        return DASH
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _within(value: float, error: float, digits: int = 4) -> str:
    if not np.isfinite(value):
        return DASH
    return f"{round(value, digits) + 0.0:.{digits}f} &plusmn; {error:.{digits}f}"  # + 0.0: no minus zero


def _folded(title: str, text: str) -> str:
    return (
        f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"
        if text.strip()
        else ""
    )


# ---- sections ----------------------------------------------------------------------------------


def _header(run: RunFiles, title: str) -> str:
    boxes = "".join(
        f'<div class="card"><b>{value}</b><span>{label}</span></div>' for value, label in _cards(run)
    )
    note = run.about.get("note")
    remark = f'<p class="sub">{escape(str(note))}</p>' if note else ""
    problems = "".join(f'<p class="bad">cannot be read: {escape(text)}</p>' for text in run.problems)
    return f'<header><h1>{escape(title)}</h1>{remark}{problems}<div class="cards">{boxes}</div></header>'


def _cards(run: RunFiles) -> list[tuple[str, str]]:
    """(value, what it is) of the few numbers at the top."""
    replicas = [r for level in run.levels if (r := level.report.get("replicas"))]
    lost, started = (sum(int(r.get(key) or 0) for r in replicas) for key in ("lost", "started"))
    return [
        (" &rarr; ".join(str(level.n_sites or "?") for level in run.levels) or DASH, "sites per level"),
        _distance(run),
        (f"{lost} of {started}" if replicas else DASH, "replicas lost"),
        (_time(run.about.get("seconds")), f"on {escape(str(run.about.get('device', 'unknown device')))}"),
    ]


def _distance(run: RunFiles) -> tuple[str, str]:
    """The largest distance of all: in the collective variables, or in g(r) for a liquid without any."""
    far = [row for row in _rows(run) if row.against == "level 0"]
    radial = [
        row for level in run.levels for row in level.liquid
        if (row["what"], row["against"], row["level"]) == ("g(r)", "parent", level.name)
    ]  # fmt: skip
    if radial and not far:
        row = max(radial, key=lambda row: float(row["value"]))
        pair = escape("-".join(row["types"]))
        return _within(
            row["value"], row["error"], 4
        ), f"largest mean |difference| of g(r) from the parent ({pair})"
    worst = max(far, key=lambda row: row.sqrt_excess, default=None)
    distance = DASH if worst is None else _within(worst.sqrt_excess, worst.sqrt_excess_error, 3)
    return distance, "largest &radic;JS from level 0, over the floor"


def _rows(run: RunFiles) -> list[LedgerRow]:
    return [row for level in run.levels for row in level.ledger]


def _ladder(run: RunFiles) -> str:
    head = (
        "level", "sites", "frames", "simulated<br>ns", "training", "simulation", "cost<br>s per ns",
        "ns per day", "speed-up over<br>level 0", "explained<br>force fraction",
    )  # fmt: skip
    base = next((level.cost for level in run.levels if level.number == 0), None)
    rows = [_ladder_row(level, base) for level in run.levels]
    note = (
        "Cost is wall time per nanosecond of simulated time summed over replicas, on the device named above."
    )
    return _section("The ladder", _table(head, rows) if rows else NOT_YET, note)


def _ladder_row(level: LevelFiles, base: float | None) -> list[str]:
    report, seconds = level.report, level.report.get("seconds") or {}
    speed = base / level.cost if base and level.cost else None
    explained = report.get("explained_fraction")
    return [
        f"<b>{escape(level.name)}</b>", str(level.n_sites or DASH),
        f"{len(level.frames):,}" if level.frames is not None else NOT_YET,
        _number(report.get("simulated_ns")), _time(seconds.get("training")), _time(seconds.get("simulation")),
        _number(level.cost), _number(report.get("ns_per_day")), f"{_number(speed)}&times;" if speed else DASH,
        f"{100 * explained:.1f} %" if isinstance(explained, int | float) else DASH,
    ]  # fmt: skip


def _structures(run: RunFiles) -> str:
    ensembles = [f for level in run.levels for f in (level.frames or level.targets,) if f is not None]
    liquid = [figures.is_liquid(frames) for frames in ensembles]
    note = "" if liquid and all(liquid) else "One frame solid, five more from the same run superposed on it. "
    note += "A liquid: one frame, its molecules moved into the box." if any(liquid) else ""
    return _section("Structures", _image(figures.structures(run.levels), "structures of every level"), note)


def _free_energy(run: RunFiles) -> str:
    surfaces = profiles = ""
    for variables, ensembles in run.comparisons:
        names = ", ".join(v.name for v in variables)
        if len(variables) == 2:
            surfaces += _image(figures.surfaces(ensembles, variables), f"free energy over {names}")
        profiles += _image(figures.profiles(ensembles, variables), f"free energy along {names}")
        profiles += _undefined(run, names, ensembles)
    if not surfaces + profiles:
        return _nothing(run, "Free energy")
    note = "Finer levels are mapped up to the sites that define the variables. "
    if surfaces:
        note += (
            "One colour scale for all levels, contours every kT, white where nothing was seen or above "
            f"{figures.TOP:.0f} kT; below, where a level lies higher (red) or lower (blue) than the atoms. "
        )
    note += "Bands are one standard error from blocks."
    return _section("Free energy", surfaces + profiles, note)


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
        "level", "from", "variables", "&radic;JS", "JS<br>floor", "JS<br>excess", "&radic;<br>excess",
        "N<sub>eff</sub><br>model / other", "worst<br>bond", "worst<br>angle", "worst<br>dihedral",
    )  # fmt: skip
    note = (
        "&radic;JS is a metric: it can only shrink under mapping and adds at most linearly over the levels. "
        "Bars are the excess over the sampling floor (the JS expected of two samples of this size from one "
        "distribution; dashed), with one standard error. Worst terms are Wasserstein distances, "
        "their own floor in brackets."
    )
    body = _image(figures.errors(rows, order), "error per level") + _table(
        head, [_error_row(row) for row in rows]
    )
    return _section("Error per level", body + _triangles(rows, order) + _basins(rows), note)


def _error_row(row: LedgerRow) -> list[str]:
    return [
        escape(row.level), escape(row.against), escape(", ".join(row.variables)),
        f"{row.sqrt_js:.4f}", f"{row.floor:.5f}", _within(row.excess, row.error, 5), f"{row.sqrt_excess:.3f}",
        f"{_number(row.n_eff_model)} / {_number(row.n_eff_reference)}",
        *(_worst(row.worst.get(kind)) for kind in ("bond", "angle", "dihedral")),
    ]  # fmt: skip


def _worst(term: dict[str, Any] | None) -> str:
    if term is None:
        return DASH
    factor, unit = (1000.0, "pm") if term["unit"] == "nm" else (180 / np.pi, "&deg;")
    text = f"{factor * term['wasserstein']:.2g} {unit} <small>({factor * term['floor']:.1g})</small>"
    return f'<span title="{escape(str(term["term"]))}">{text}</span>'


def _triangles(rows: Sequence[LedgerRow], order: Sequence[str]) -> str:
    found = [t for t in check_triangle(rows, order[1:]) if t.level != order[1]]  # one step is its own total
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
        [escape(r.level), escape(r.against), *(_basin(r.basins.get(name)) for name in names)] for r in known
    ]
    title = "<h3>Basins: free energy minus that of the other ensemble, kT</h3>"
    return title + _table(("level", "from", *map(escape, names)), body)


def _basin(value: Sequence[float] | None) -> str:
    if not value or not np.isfinite(value[0]):
        return DASH
    return "0" if value[0] == 0 else _within(value[0], value[1], 2)


def _liquid(run: RunFiles) -> str:
    levels = [level for level in run.levels if level.number > 0 and level.periodic]
    drawn = [(level, figures.liquid(level)) for level in levels]
    body = "".join(
        f"<h3>{escape(level.name)}</h3>{_image(figure, f'liquid structure of {level.name}')}"
        for level, figure in drawn
        if figure is not None
    )
    rows = [row for level in levels for row in level.liquid]
    if not body + "".join(row["level"] for row in rows):
        return ""
    head = (
        "level", "from", "distribution", "mean |difference|", "floor", "rms", "largest", "peak ratio", "range",
    )  # fmt: skip
    note = (
        "Line: the level's own run. Grey: its target, its parent mapped up, within one standard error; both from "
        "at most 500 frames. The table is from all frames: g(r) between molecules, and angles, tetrahedral order and "
        "triangles in the first shell, per rad, 1 and nm. Floor: what two samples of one liquid would show "
        "by chance. Peak ratio: height of the highest peak over that of the other ensemble."
    )
    table = _table(head, [_liquid_row(row) for row in rows]) if rows else _nothing(run, "Differences")
    return _section("Liquid structure", body + table, note)


def _liquid_row(row: dict[str, Any]) -> list[str]:
    return [
        escape(row["level"]), escape(row["against"]), escape(f"{row['what']} {'-'.join(row['types'])}"),
        _within(row["value"], row["error"]), f"{row['floor']:.4f}", f"{row['rms']:.4f}", f"{row['largest']:.3f}",
        f"{row['peak']:.3f}", _range(row["what"], row["low"], row["high"]),
    ]  # fmt: skip


def _range(what: str, low: float, high: float) -> str:
    if what == "angles":
        return f"{np.degrees(low):.0f} to {np.degrees(high):.0f}&deg;"
    return f"{low:.2f} to {high:.2f}" + ("" if what == "tetrahedrality" else " nm")


def _training(run: RunFiles) -> str:
    note = (
        "Force-matching loss per component. It cannot fall below the noise floor, the scatter of the forces "
        "that a coarse state does not determine; what counts is the distance to it."
    )
    figure = figures.losses(run.levels)
    if figure is None and len(run.levels) < 2:
        return _nothing(run, "Training")
    return _section("Training", _image(figure, "loss curves"), note)


def _bonded(run: RunFiles) -> str:
    body = "".join(
        f"<h3>{escape(level.name)}</h3>{_image(figures.bonded(level), f'bonded terms of {level.name}')}"
        for level in run.levels
        if level.number > 0 and (level.sites is None or len(level.sites.bonds))
    )
    if not body:
        return _nothing(run, "Bonds, angles, dihedrals")
    note = "Line: the level's own run. Grey: its target, its parent mapped up. Worst first; nm, degrees."
    return _section("Bonds, angles, dihedrals", body, note)


def _restored(run: RunFiles) -> str:
    levels = [level for level in run.levels if level.backmapping]
    if not levels:
        return ""
    body = "".join(
        f"<h3>{escape(level.name)}</h3>"
        + _restored_table(level.backmapping)
        + _image(
            figures.restored_terms(_own_method(level.backmapping)), f"bonded terms restored from {level.name}"
        )
        + (_image(drawing, f"energies restored from {level.name}") if drawing is not None else "")
        for level in levels
        for drawing in (figures.restored_energies(_own_method(level.backmapping)),)
    )
    note = (
        "Frames of this level with the sites of the level below restored, against true frames. Bars: "
        "Jensen-Shannon divergence above its sampling floor, with one standard error, the worst types first. A rate "
        "has at least the error of one event. A perfect sampler's two draws are as far apart as a draw and the true "
        "frame."
    )
    return _section("Restored frames", body, note)


def _audit(run: RunFiles) -> str:
    levels = [level for level in run.levels if level.audit]
    if not levels:
        return ""
    rows = [
        [escape(level.name), *(" ± ".join((_number(level.audit[k][0]), _number(level.audit[k][1], 1))) for k in ("rms", "slope", "entropy")), f"{100 * level.audit['ess']:.0f} %"]
        for level in levels
    ]  # fmt: skip
    head = ["level", "RMS difference / kT", "slope", "mapping entropy / nats", "ESS of the draws"]
    note = (
        "The free energy of single frames of each level's own run, from the energies of the level below and the density of its backmapper, "
        "beside the PMF that was learned from forces: no simulation and no label is shared between the two. The RMS is what is left "
        "beyond the errors of the draws."
    )
    return _section(
        "Audit of the PMF", _table(head, rows) + _image(figures.audit(run.levels), "audit of the PMF"), note
    )


def _restored_table(reports: Mapping[str, BackmappingReport]) -> str:
    """One row for each set of frames, the true frames first; everything else folded below."""
    head = (
        "frames", "worst JS above floor:<br>bond, nats", "angle", "dihedral", "bonds missing", "spurious", "clashes a frame",
        "energy an atom,<br>W1 / kT", "heavy atoms,<br>best draw / nm", "ESS within a<br>coarse frame", "wrong hand",
    )  # fmt: skip
    first = next(iter(reports.values()))
    true = [
        f"{first.n_reference:,} true frames",
        *[DASH] * 3,
        *(_true(first, k) for k in _RESTORED),
        _worst_hand(first, True),
    ]
    rows = [[escape(name), *(_js(r, k) for k in KINDS), *(_quantity(getattr(r, k)) for k in _RESTORED), _worst_hand(r)] for name, r in reports.items()]  # fmt: skip
    text = "\n\n".join(f"{name}: {report.table()}" for name, report in reports.items())
    return _table(head, [true, *rows]) + _folded("all numbers of all sets", text.replace("+-", "±"))


def _own_method(reports: Mapping[str, BackmappingReport]) -> dict[str, BackmappingReport]:
    """Sets of the first method, which is the level's own; a template would set the scale of everything."""
    method = next(iter(reports)).split(",")[0]
    return {name: report for name, report in reports.items() if name.startswith(method)}


_RESTORED = ("missing_bonds", "spurious_bonds", "clashes", "energy", "rmsd_best", "group_efficiency")


def _quantity(q: Quantity | None) -> str:
    return DASH if q is None else f"{_number(q.value, 2)} ± {_number(q.error, 1)}"


def _true(report: BackmappingReport, name: str) -> str:
    q = getattr(report, name)
    return DASH if q is None else _number(q.reference, 2)


def _js(report: BackmappingReport, kind: str) -> str:
    term = report.worst(kind)
    return DASH if term is None else f"{term.excess:.4f} ± {term.error:.4f}"


def _worst_hand(report: BackmappingReport, true: bool = False) -> str:
    values = [q.reference if true else q.value for q in report.chirality.values()]
    return _number(max(values)) if values else DASH


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
    plot = f"<h3>Energies</h3>{_image(drawing, 'energies')}" if drawing is not None else ""
    return _section("Simulation health", (_table(head, rows, "last") if rows else NOT_YET) + plot)


def _health_row(level: LevelFiles) -> list[str]:
    kinetic, replicas = level.report.get("kinetic_temperature"), level.report.get("replicas") or {}
    where = [_place(place) for place in replicas.get("where") or []]
    return [
        escape(level.name),
        _number(float(level.frames.temperature)) if level.frames is not None else DASH,
        _within(float(kinetic[0]), float(kinetic[1]), 2) if kinetic else DASH,
        _number(replicas.get("started")),
        _lost(replicas.get("lost")),
        ", ".join(f"{escape(k)} {_lost(n)}" for k, n in (level.report.get("chirality_flips") or {}).items())
        or DASH,
        escape("; ".join(where[:4]) + (" ..." if len(where) > 4 else "")) or DASH,
    ]


def _place(lost: Any) -> str:
    """Where a replica was lost, as the simulation reports it, in words."""
    if not isinstance(lost, dict):
        return str(lost)
    values = [f"{k} {v:.2f}" for k, v in lost.items() if isinstance(v, float) and k != "time"]
    return f"replica {lost['replica']} at {lost['time']:.1f} ps {lost['why']}" + (
        f" ({', '.join(values)})" if values else ""
    )


def _lost(number: int | None) -> str:
    if number is None:
        return DASH
    return f'<span class="{"bad" if number else "good"}">{int(number)}</span>'


def _redo(run: RunFiles) -> str:
    about = run.about
    command = about.get("command")
    text = " ".join(map(str, command)) if isinstance(command, list) else str(command or "")
    lines = [text, f"cgrec report run={run.folder}"] if text else []
    rows: list[tuple[str, Any]] = [(key, about[key]) for key in ("commit", "seed", "device") if key in about]
    rows += sorted((about.get("versions") or {}).items())
    rows += [(f"data: {key}", value) for level in run.levels for key, value in level.source.items()]
    facts = [
        [escape(str(key)), escape(value if isinstance(value, str) else json.dumps(value))]
        for key, value in rows
    ]
    recipes = "".join(
        _folded(f"recipe of {level.name}", path.read_text())
        for level in run.levels
        if (path := level.folder / "recipe.yaml").exists()
    )
    commands = f"<pre>{escape(chr(10).join(lines))}</pre>" if lines else NOT_YET
    table = _table(("what", "value"), facts, "left") if facts else ""
    return _section("Do it again", commands + table + _folded("config.yaml", run.config) + recipes)
