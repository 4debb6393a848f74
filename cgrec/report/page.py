"""The page itself: tables and plots of a run in one HTML file that needs nothing from outside."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from markupsafe import Markup

from ..files import Json, write_whole
from ..observables.ledger import LedgerRow, WorstTerm, check_triangle
from ..remarks import remark
from ..run import layout
from ..run.events import ENDS, read_events
from ..units import shown
from ..variables import compared_together
from . import figures
from .chains import chains
from .health import health
from .pieces import DASH, NOT_YET, duration, image, number, render, within
from .read import Ensembles, LevelFiles, RunFiles, read_run
from .restored import audit, restored
from .scenes import MOST_SITES, library, scenes, script
from .verdicts import next_steps, verdict_rules, verdicts

#: Anchor and title of a section, for the contents.
_TITLE = re.compile(r'<section id="([^"]+)"><h2>(.*?)</h2>')
#: A worst term with its floor.
_WORST = Markup('<span title="{}">{} <small>({})</small></span>')


def write_report(run: str | Path) -> Path:
    """Write report.html into the run's folder from what lies there, and return its path.

    An unfinished run gives a page that says where something is not there yet.

    Raises:
        FileNotFoundError: the folder holds no run.
    """
    found = read_run(run)
    for problem in found.problems:
        remark(f"cannot be read as it was made: {problem}")
    path = found.folder / layout.PAGE
    text = page(found)
    # a reader never sees half a page
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))
    return path


def page(run: RunFiles) -> str:
    """The whole document."""
    title = run.folder.resolve().name
    header = _surely(_header, run)
    sections = [_surely(draw, run) for draw in SECTIONS]
    contents = [found for section in sections for found in _TITLE.findall(section)]
    whole = render(
        "page.html",
        title=title,
        header=header,
        sections=sections,
        contents=[(name, Markup(text)) for name, text in contents],
    )
    return f"{whole}\n"


def _surely(draw: Callable[[RunFiles], Markup], run: RunFiles) -> Markup:
    """A section; or, where a damaged file makes that impossible, a line that says so, and the page
    goes on.
    """
    try:
        return draw(run)
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, ArithmeticError) as error:
        name = draw.__name__.strip("_").replace("_", " ")
        return render("broken.html", name=name, error=repr(error))


def _nothing(run: RunFiles, title: str) -> Markup:
    """Of a run that goes on the section is still to come; of a complete one there is nothing of the
    kind to show.
    """
    return Markup() if run.complete else render("missing.html", title=title)


# ---- sections ----------------------------------------------------------------------------------


def _header(run: RunFiles) -> Markup:
    return render(
        "header.html",
        title=run.folder.resolve().name,
        complete=run.complete,
        state=run.state,
        banner=_banner(run),
        command=run.about.get("command") or "",
        problems=run.problems,
        levels=verdicts(run),
        steps=next_steps(run),
        cards=_cards(run),
    )


def _banner(run: RunFiles) -> str:
    """How much of a run there is that is not complete; "" of a complete one."""
    if run.complete:
        return ""
    done = sum(level.number > 0 and level.step is None for level in run.levels)
    planned = len(run.planned or run.levels[1:])
    said = f"Unfinished: {done} of {planned} level{'s' if planned != 1 else ''} above level 0"
    ends = [event for event in read_events(run.folder) if event["event"] in ENDS]
    if ends and ends[-1].get("text"):
        return f"{said}. The last climb {ENDS[str(ends[-1]['event'])]}: {str(ends[-1]['text']).rstrip('.')}"
    return said


def _cards(run: RunFiles) -> list[tuple[str, str]]:
    """(value, what it is) of the few numbers at the top."""
    replicas = [r for level in run.levels if (r := level.report.get("replicas"))]
    lost, started = (sum(int(r.get(key) or 0) for r in replicas) for key in ("lost", "started"))
    return [
        (" → ".join(number(level.n_sites) for level in run.levels) or DASH, "sites per level"),
        _distance(run),
        (f"{lost} of {started}" if started else DASH, "replicas lost"),
        (
            duration(run.about.get("seconds")),
            f"on {_device(run)}",
        ),
    ]


def _device(run: RunFiles) -> str:
    """The processor; runs of older versions name only its architecture."""
    device = str(run.about.get("device") or "")
    bare = {"x86_64": "a processor of type x86_64", "": "unknown device"}
    return bare.get(device, device)


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
        pair = "-".join(row["types"])
        value = within(row["value"], row["error"], 4)
        return value, f"largest mean |difference| of g(r) from the parent ({pair})"
    worst = max(far, key=lambda row: row.excess, default=None)
    if worst is None:
        return DASH, "largest JS from level 0, above the floor"
    which = f"{worst.level}, {', '.join(worst.variables)}"
    value = within(worst.excess, worst.error, 4)
    return value, f"largest JS from level 0, above the floor ({which})"


def _rows(run: RunFiles) -> list[LedgerRow]:
    return [row for level in run.levels for row in level.ledger]


def _ladder(run: RunFiles) -> Markup:
    base = next((level.cost for level in run.levels if level.number == 0), None)
    return render("ladder.html", rows=[_ladder_row(level, base) for level in run.levels])


def _ladder_row(level: LevelFiles, base: float | None) -> list[str]:
    report, seconds = level.report, level.report.get("seconds") or {}
    speed = base / level.cost if base and level.cost else None
    return [
        Markup("<b>{}</b>").format(level.name),
        str(level.n_sites or DASH),
        f"{len(level.frames):,}" if level.frames is not None else NOT_YET,
        number(report.get("simulated_ns")),
        duration(seconds.get("training")),
        duration(seconds.get("simulation")),
        number(level.cost),
        number(report.get("ns_per_day")),
        f"{number(speed)}×" if speed else DASH,
        _explained(report),
    ]


def _explained(report: Json) -> str:
    """The fraction of the forces, in per cent, with its error where one is known."""
    found = report.get("explained_fraction")
    if not isinstance(found, int | float):
        return DASH
    error = (report.get("training") or {}).get("explained_fraction_error")
    if not isinstance(error, int | float):
        return f"{100 * found:.1f} %"
    return f"{within(100 * found, 100 * error, 1)} %"


def _structures(run: RunFiles) -> Markup:
    ensembles = [
        f for level in run.levels for f in (level.frames or level.targets,) if f is not None
    ]
    liquid = [figures.is_liquid(frames) for frames in ensembles]
    drawn = scenes(run.levels)
    code, licence = library()
    return render(
        "structures.html",
        any_liquid=any(liquid),
        picture=image(figures.structures(run.levels), "structures of every level"),
        scenes=drawn,
        residues=any(scene["residue"] for scene in drawn),
        left_out=[x.name for x in run.levels if (x.n_sites or 0) > MOST_SITES],
        library=code,
        licence=licence,
        data=script(drawn),
    )


def _free_energy(run: RunFiles) -> Markup:
    surfaces = []
    profiles = []
    for variables, ensembles in run.comparisons:
        names = ", ".join(v.name for v in variables)
        sets = compared_together(variables, ensembles[0][1].system) if ensembles else []
        for pair in (members for members in sets if len(members) == 2):
            drawing = figures.surfaces(ensembles, pair)
            over = ", ".join(v.name for v in pair)
            surfaces.append(image(drawing, f"free energy over {over}"))
        single = [v for members in sets for v in members]
        profile = image(figures.profiles(ensembles, single), f"free energy along {names}")
        profiles.append((profile, [(name, names) for name in _undefined(run, ensembles)]))
    if not profiles:
        return _nothing(run, "Free energy")
    top = f"{figures.TOP:.0f}"
    return render("free_energy.html", surfaces=surfaces, profiles=profiles, top=top)


def _undefined(run: RunFiles, ensembles: Ensembles) -> list[str]:
    """Names of levels whose own sites do not define the variables."""
    shown = [level.number for level, _ in ensembles]
    return [x.name for x in run.levels if x.frames is not None and x.number not in shown]


def _errors(run: RunFiles) -> Markup:
    rows = _rows(run)
    order = [level.name for level in run.levels]
    if not rows:
        return _nothing(run, "Error per level")
    # one step is its own total
    triangles = [t for t in check_triangle(rows, order[1:]) if t.level != order[1]]
    return render(
        "errors.html",
        picture=image(figures.errors(rows, order), "error per level"),
        rows=[_error_row(row) for row in rows],
        triangles=triangles,
        basins=_basins(rows),
    )


def _error_row(row: LedgerRow) -> list[str]:
    return [
        row.level,
        row.against,
        ", ".join(row.variables),
        f"{row.sqrt_js:.4f}",
        f"{row.floor:.5f}",
        within(row.excess, row.error, 5),
        f"{row.sqrt_excess:.3f}",
        f"{number(row.n_eff_model)} / {number(row.n_eff_reference)}",
        *(_worst(row.worst.get(kind)) for kind in ("bond", "angle", "dihedral")),
    ]


def _worst(term: WorstTerm | None) -> str:
    if term is None:
        return DASH
    factor, unit = (1000.0, "pm") if term["unit"] == "nm" else (180 / np.pi, "°")
    value = f"{shown(factor * term['wasserstein'])} {unit}"
    floor = shown(factor * term["floor"], 1)
    return _WORST.format(str(term["term"]), value, floor)


def _basins(rows: Sequence[LedgerRow]) -> dict[str, object] | None:
    """Head and rows of their table."""
    known = [row for row in rows if row.basins]
    if not known:
        return None
    names = list(dict.fromkeys(name for row in known for name in row.basins))
    if (
        len(names) < 2
    ):  # its free energy is relative to itself; its population stands with the states
        return None
    body = [[r.level, r.against, *(_basin(r.basins.get(name)) for name in names)] for r in known]
    return {"head": ("level", "from", *names), "rows": body}


def _basin(value: Sequence[float] | None) -> str:
    if not value or not np.isfinite(value[0]):
        return DASH
    return "0" if value[0] == 0 else within(value[0], value[1], 2)


def _liquid(run: RunFiles) -> Markup:
    levels = [level for level in run.levels if level.number > 0 and level.periodic]
    drawn = [(level.name, figures.liquid(level)) for level in levels]
    pictures = [
        (name, image(figure, f"liquid structure of {name}"))
        for name, figure in drawn
        if figure is not None
    ]
    rows = [_liquid_row(row) for level in levels for row in level.liquid]
    if not pictures and not rows:
        return Markup()
    otherwise = _nothing(run, "Differences")
    return render("liquid.html", pictures=pictures, rows=rows, otherwise=otherwise)


def _liquid_row(row: Json) -> list[str]:
    return [
        row["level"],
        row["against"],
        f"{row['what']} {'-'.join(row['types'])}",
        within(row["value"], row["error"]),
        f"{row['floor']:.4f}",
        f"{row['rms']:.4f}",
        f"{row['largest']:.3f}",
        f"{row['peak']:.3f}",
        _range(row["what"], row["low"], row["high"]),
    ]


def _range(what: str, low: float, high: float) -> str:
    if what == "angles":
        return f"{np.degrees(low):.0f} to {np.degrees(high):.0f}°"
    return f"{low:.2f} to {high:.2f}" + ("" if what == "tetrahedrality" else " nm")


def _training(run: RunFiles) -> Markup:
    figure = figures.losses(run.levels)
    if figure is None and len(run.levels) < 2:
        return _nothing(run, "Training")
    return render("training.html", picture=image(figure, "loss curves"))


def _bonded(run: RunFiles) -> Markup:
    pictures = [
        (level.name, image(figures.bonded(level), f"bonded terms of {level.name}"))
        for level in run.levels
        if level.number > 0 and (level.sites is None or len(level.sites.bonds))
    ]
    if not pictures:
        return _nothing(run, "Bonds, angles, dihedrals")
    return render("bonded.html", pictures=pictures)


def _redo(run: RunFiles) -> Markup:
    about = run.about
    command = about.get("command")
    rows: list[tuple[str, object]] = [
        (key, about[key]) for key in ("commit", "seed", "device") if key in about
    ]
    rows += sorted((about.get("versions") or {}).items())
    rows += [(f"data: {key}", value) for level in run.levels for key, value in level.source.items()]
    return render(
        "redo.html",
        lines=[str(command), f"cgrec report run={run.folder.resolve()}"] if command else [],
        facts=[(key, v if isinstance(v, str) else json.dumps(v)) for key, v in rows],
        config=run.config,
    )


#: The page from top to bottom, below its header.
SECTIONS: tuple[Callable[[RunFiles], Markup], ...] = (
    _ladder,
    _structures,
    _free_energy,
    _errors,
    chains,
    _liquid,
    _training,
    _bonded,
    restored,
    audit,
    health,
    verdict_rules,
    _redo,
)
