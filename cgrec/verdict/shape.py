"""Rules on what a level's ensemble looks like, beside its parent's, level 0's and what chemistry
allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from ..units import shown
from .reasons import (
    DO_NOT_USE,
    LOOK,
    WORDS,
    Reason,
    Report,
    and_more,
    entries,
    joined,
    mapping,
    number,
)

#: Standard errors by which a difference has to be certain.
SIGMA = 3.0

#: Cis share of a peptide bond, off from the parent's. Nature has 0.03 % before other residues and 5
#: to 6 % before proline (Weiss, Jabs & Hilgenfeld, Nat. Struct. Biol. 5, 676 (1998); Stewart,
#: Sarkar & Wampler, J. Mol. Biol. 214, 253 (1990)).
CIS_LOOK, CIS_MOST = 0.001, 0.01
IMINO_LOOK, IMINO_MOST = 0.05, 0.2

#: Share of frames with the other hand at a stereocentre. Molecules do not invert, so a single frame
#: is worth a look.
HAND_MOST = 0.01

#: Jensen-Shannon divergence above its floor, nats. A population p off by d has d^2 / (8 p (1 - p)):
#: at one half the first is an error of 0.06, the second of 0.45, which is another ensemble.
JS_LOOK, JS_MOST = 0.002, 0.1

#: The same of single bonds, angles and dihedrals. They are narrow, so the Wasserstein distance has
#: to matter, too.
BONDED_LOOK, BONDED_MOST = 0.02, 0.2
#: That distance: nm of a bond, rad of an angle or a dihedral.
BONDED_SIZE = {
    "bond": (0.002, 0.01),
    "angle": (float(np.radians(1)), float(np.radians(5))),
    "dihedral": (float(np.radians(5)), float(np.radians(30))),
}

#: Mean |difference| of g(r) above its floor. Published models of liquids reach 0.02; at 0.2 the
#: first shell is another one.
RADIAL_LOOK, RADIAL_MOST = 0.05, 0.2


def word_for(value: float | None, error: float | None, look: float, most: float) -> str | None:
    """The word for a difference, which has to be large and certain; None where it is not."""
    if value is None or value <= look or value <= SIGMA * (error or 0.0):
        return None
    return DO_NOT_USE if value > most else LOOK


#: What is found.
T = TypeVar("T")


def gravest(found: list[tuple[str, float, T]]) -> tuple[str, float, T]:
    """Of (word, size, what) the one with the gravest word, then the largest size."""
    return max(found, key=lambda entry: (WORDS.index(entry[0]), entry[1]))


def cis(report: Report) -> Reason | None:
    """Every peptide bond: cis where the parent is trans, or the other way round, or where chemistry
    has none.
    """
    found = []
    for bond in entries(mapping(report.get("conformation")).get("cis")):
        (own, error), (parent, other) = _pair(bond.get("model")), _pair(bond.get("reference"))
        imino = bool(bond.get("imino"))
        look, most = (IMINO_LOOK, IMINO_MOST) if imino else (CIS_LOOK, CIS_MOST)
        word = word_for(abs(own - parent), float(np.hypot(error, other)), look, most)
        if word is None and not imino and own > CIS_LOOK:
            word = LOOK  # as its parent has it, and chemistry hardly ever
        if word:
            found.append((word, abs(own - parent), (bond.get("bond"), own, parent)))
    if not found:
        return None
    word, _, (name, own, parent) = gravest(found)
    return Reason(
        rule="cis",
        word=word,
        found=f"{shown(100 * own)} % of the frames have {name} "
        f"cis{and_more(len(found), 'peptide bond')}",
        expected=f"{shown(100 * parent)} %, as in the level below; nature has 0.03 %, before proline 5 %",
        do="look for cis bonds in level 0; keep N, CA and C as sites, give more frames or "
        "priors.dihedrals=true",
    )


def _pair(value: object) -> tuple[float, float]:
    """(value, error); an error that is not known is zero."""
    first, second = value if isinstance(value, list | tuple) and len(value) == 2 else (value, None)
    return number(first) or 0.0, number(second) or 0.0


def hands(report: Report) -> Reason | None:
    """Every stereocentre: frames that have its other hand."""
    counts = [
        (n, name)
        for name, value in mapping(report.get("chirality_flips")).items()
        if (n := number(value))
    ]
    if not counts:
        return None
    frames = number(report.get("n_frames"))
    count, name = max(counts)
    of = f" of {frames:,.0f}" if frames else ""
    return Reason(
        rule="hands",
        word=DO_NOT_USE if frames and count > HAND_MOST * frames else LOOK,
        found=f"{count:,.0f} frames{of} have the other hand at "
        f"{name}{and_more(len(counts), 'centre')}",
        expected="none: molecules do not invert",
        do="keep the centre and its neighbours as sites, with priors.branches=true, or shorten "
        "the time step",
    )


def bonded(report: Report) -> Reason | None:
    """Every bond, angle and dihedral, beside the parent's."""
    found = []
    for term in entries(mapping(report.get("conformation")).get("bonded")):
        js, floor, size = (number(term.get(k)) for k in ("js", "js_floor", "wasserstein"))
        bounds = BONDED_SIZE.get(str(term.get("kind")))
        if js is None or floor is None or size is None or bounds is None:
            continue
        look, most = bounds
        word = word_for(js - floor, number(term.get("js_error")), BONDED_LOOK, BONDED_MOST)
        if word and size > max(look, 2 * (number(term.get("wasserstein_floor")) or 0.0)):
            found.append((word if size > most else LOOK, size / most, term))
    if not found:
        return None
    word, _, term = gravest(found)
    factor, unit = (1000.0, "pm") if term["kind"] == "bond" else (180 / np.pi, "degrees")
    size, floor = (
        factor * (number(term.get(k)) or 0.0) for k in ("wasserstein", "wasserstein_floor")
    )
    return Reason(
        rule="bonded",
        word=word,
        found=f"the {term['kind']} {term.get('label')} is {shown(size, 3)} {unit} off its parent's"
        + and_more(len(found), "term"),
        expected=f"about {shown(floor, 1)} {unit}, as sampling alone gives",
        do="look at its distribution in the report; train longer or give more frames",
    )


def torsions(report: Report) -> Reason | None:
    """Every phi and psi, beside the parent's."""
    found = []
    for torsion in entries(mapping(report.get("conformation")).get("torsions")):
        excess, error = number(torsion.get("excess")), number(torsion.get("error"))
        word = word_for(excess, error, JS_LOOK, JS_MOST)
        if word and excess is not None:
            found.append((word, excess, (torsion.get("torsion"), error or 0.0)))
    if not found:
        return None
    word, excess, (name, error) = gravest(found)
    return Reason(
        rule="torsions",
        word=word,
        found=f"{name} is {excess:.3g} +- {shown(error, 1)} nats off its parent's, above the floor"
        + and_more(len(found), "backbone dihedral"),
        expected=f"at most {JS_LOOK}, or {SIGMA:.0f} standard errors",
        do="refine along it, train longer, or give more frames",
    )


def _far(report: Report, against: str) -> list[tuple[str, float, Mapping[str, object]]]:
    """Rows of the level itself, not of its controls, that are off."""
    found = []
    for row in entries(report.get("ledger")):
        excess = number(row.get("excess"))
        word = word_for(excess, number(row.get("error")), JS_LOOK, JS_MOST)
        if (
            word
            and excess is not None
            and (row.get("against"), row.get("level")) == (against, report.get("name"))
        ):
            found.append((word, excess, row))
    return found


def distribution(report: Report) -> Reason | None:
    """The joint distribution of the ledger's variables, beside the parent's."""
    found = _far(report, "parent")
    if not found:
        return None
    word, _, row = gravest(found)
    return Reason(
        rule="distribution",
        word=word,
        found=f"{_distance(row)} off the parent's, above the floor",
        expected=f"at most {JS_LOOK}, or {SIGMA:.0f} standard errors",
        do="refine along these variables, train longer, or give more frames",
    )


def handed_on(report: Report) -> Reason | None:
    """The same, beside level 0's. A level fitted to a wrong parent agrees with it and is wrong."""
    found = _far(report, "level 0")
    if not found or report.get("below") is None:
        return None
    word, _, row = gravest(found)
    far = [mapping(r).get("variables") for _, _, r in _far(report, "parent")]
    agrees = row.get("variables") not in far
    below = mapping(report["below"]).get("name")
    return Reason(
        rule="handed_on",
        word=word,
        found=("it agrees with its parent, but not with level 0: " if agrees else "")
        + f"{_distance(row)} off level 0's, above the floor",
        expected=f"at most {JS_LOOK}, or {SIGMA:.0f} standard errors",
        do=f"mend {below} first: it is off in {joined(row.get('variables'))} already, whether or "
        "not its own rows show it"
        if agrees
        else "mend what is off from the parent first",
    )


def _distance(row: Mapping[str, object]) -> str:
    variables, error = joined(row.get("variables")), number(row.get("error")) or 0.0
    return f"the distribution of {variables} is {row['excess']:.3g} +- {shown(error, 1)} nats"


def liquid(report: Report) -> Reason | None:
    """g(r) of every two types, beside the parent's and level 0's."""
    found = []
    for row in entries(report.get("liquid")):
        value, floor = number(row.get("value")), number(row.get("floor"))
        own = row.get("what") == "g(r)" and row.get("level") == report.get("name")
        if not own or row.get("against") == "direct model" or value is None or floor is None:
            continue
        word = word_for(value - floor, number(row.get("error")), RADIAL_LOOK, RADIAL_MOST)
        if word:
            found.append((word, value, (row, floor)))
    if not found:
        return None
    word, off, (row, least) = gravest(found)
    types = joined(row.get("types"), "-")
    return Reason(
        rule="liquid",
        word=word,
        found=f"g(r) of {types} is {off:.3f} off that of the {row.get('against')}, on average",
        expected=f"{least:.3f}, as sampling alone gives, and at most {RADIAL_LOOK} more",
        do="add refine_pairs to the level, train longer, or give more frames",
    )
