"""Sections on frames that were restored from a level, and on the audit of its PMF by them."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from ..analysis.backmapping import BackmappingReport, Quantity
from ..analysis.structure import KINDS
from . import figures
from .pieces import DASH, folded, image, number, section, table
from .read import RunFiles


def restored(run: RunFiles) -> str:
    levels = [level for level in run.levels if level.backmapping]
    if not levels:
        return ""
    body = "".join(
        f"<h3>{escape(level.name)}</h3>"
        + _restored_table(level.backmapping)
        + image(
            figures.restored_terms(_own_method(level.backmapping)),
            f"bonded terms restored from {level.name}",
        )
        + (image(drawing, f"energies restored from {level.name}") if drawing is not None else "")
        for level in levels
        for drawing in (figures.restored_energies(_own_method(level.backmapping)),)
    )
    note = (
        "Frames of this level with the sites of the level below restored, against true frames. "
        "Bars: "
        "Jensen-Shannon divergence above its sampling floor, with one standard error, the "
        "worst types first. A rate "
        "has at least the error of one event. A perfect sampler's two draws are as far apart "
        "as a draw and the true "
        "frame."
    )
    return section("Restored frames", body, note)


def audit(run: RunFiles) -> str:
    levels = [level for level in run.levels if level.audit]
    if not levels:
        return ""
    rows = [
        [
            escape(level.name),
            *(
                " ± ".join((number(level.audit[k][0]), number(level.audit[k][1], 1)))
                for k in ("rms", "slope", "entropy")
            ),
            f"{100 * level.audit['ess']:.0f} %",
        ]
        for level in levels
    ]
    head = ["level", "RMS difference / kT", "slope", "mapping entropy / nats", "ESS of the draws"]
    note = (
        "The free energy of single frames of each level's own run, from the energies of the "
        "level below and the density of its backmapper, "
        "beside the PMF that was learned from forces: no simulation and no label is shared "
        "between the two. The RMS is what is left "
        "beyond the errors of the draws."
    )
    return section(
        "Audit of the PMF",
        table(head, rows) + image(figures.audit(run.levels), "audit of the PMF"),
        note,
    )


def _restored_table(reports: Mapping[str, BackmappingReport]) -> str:
    """One row for each set of frames, the true frames first; everything else folded below."""
    head = (
        "frames",
        "worst JS above floor:<br>bond, nats",
        "angle",
        "dihedral",
        "bonds missing",
        "spurious",
        "clashes a frame",
        "energy an atom,<br>W1 / kT",
        "heavy atoms,<br>best draw / nm",
        "ESS within a<br>coarse frame",
        "wrong hand",
    )
    first = next(iter(reports.values()))
    true = [
        f"{first.n_reference:,} true frames",
        *[DASH] * 3,
        *(_true(first, k) for k in _RESTORED),
        _worst_hand(first, True),
    ]
    rows = [
        [
            escape(name),
            *(_js(r, k) for k in KINDS),
            *(_quantity(getattr(r, k)) for k in _RESTORED),
            _worst_hand(r),
        ]
        for name, r in reports.items()
    ]
    text = "\n\n".join(f"{name}: {report.table()}" for name, report in reports.items())
    return table(head, [true, *rows]) + folded("all numbers of all sets", text.replace("+-", "±"))


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
