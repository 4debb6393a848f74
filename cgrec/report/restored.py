"""Sections on frames that were restored from a level, and on the audit of its PMF by them."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from ..backmapping.judge import BackmappingReport, Quantity
from ..observables.structure import KINDS
from . import figures
from .pieces import DASH, image, number, render
from .read import LevelFiles, RunFiles

_NONE = Markup()


def restored(run: RunFiles) -> Markup:
    """Frames restored from each level, beside true ones."""
    levels = [level for level in run.levels if level.backmapping]
    return render("restored.html", levels=[_level(level) for level in levels]) if levels else _NONE


def _level(level: LevelFiles) -> dict[str, object]:
    own = _own_method(level.backmapping)
    drawing = figures.restored_energies(own)
    reports = level.backmapping.items()
    text = "\n\n".join(f"{name}: {report.table()}" for name, report in reports)
    return {
        "name": level.name,
        "rows": _rows(level.backmapping),
        "text": text.replace("+-", "±"),
        "terms": image(figures.restored_terms(own), f"bonded terms restored from {level.name}"),
        "energies": drawing and image(drawing, f"energies restored from {level.name}"),
    }


def audit(run: RunFiles) -> Markup:
    """The PMF of each level beside free energies of single frames."""
    rows = [
        [
            level.name,
            *(
                " ± ".join((number(level.audit[k][0]), number(level.audit[k][1], 1)))
                for k in ("rms", "slope", "entropy")
            ),
            f"{100 * level.audit['ess']:.0f} %",
        ]
        for level in run.levels
        if level.audit
    ]
    if not rows:
        return _NONE
    return render(
        "audit.html", rows=rows, picture=image(figures.audit(run.levels), "audit of the PMF")
    )


def _rows(reports: Mapping[str, BackmappingReport]) -> list[list[str]]:
    """One for each set of frames, the true frames first."""
    first = next(iter(reports.values()))
    true = [
        f"{first.n_reference:,} true frames",
        *[DASH] * 3,
        *(_true(first, k) for k in _RESTORED),
        _worst_hand(first, True),
    ]
    found = [
        [
            name,
            *(_js(r, k) for k in KINDS),
            *(_quantity(getattr(r, k)) for k in _RESTORED),
            _worst_hand(r),
        ]
        for name, r in reports.items()
    ]
    return [true, *found]


def _own_method(reports: Mapping[str, BackmappingReport]) -> dict[str, BackmappingReport]:
    """Sets of the first method, which is the level's own; a template would set the scale of
    everything.
    """
    method = next(iter(reports)).split(",")[0]
    return {name: report for name, report in reports.items() if name.startswith(method)}


_RESTORED = (
    "missing_bonds",
    "spurious_bonds",
    "clashes",
    "energy",
    "rmsd_best",
    "group_efficiency",
)


def _quantity(q: Quantity | None) -> str:
    return DASH if q is None else f"{number(q.value, 2)} ± {number(q.error, 1)}"


def _true(report: BackmappingReport, name: str) -> str:
    q = getattr(report, name)
    return DASH if q is None else number(q.reference, 2)


def _js(report: BackmappingReport, kind: str) -> str:
    term = report.worst(kind)
    return DASH if term is None else f"{term.excess:.4f} ± {term.error:.4f}"


def _worst_hand(report: BackmappingReport, true: bool = False) -> str:
    values = [q.reference if true else q.value for q in report.chirality.values()]
    return number(max(values)) if values else DASH
