"""Whether a level should be believed: `trust`, `look` or `do not use`, from stated rules on the
numbers of its report.

`judge` reads what report.json holds, so a verdict can be made again from the disk at any time. A
rule is a function of those numbers that gives a `Reason` or None; where a number is not there its
rule is silent. `RULES` lists all with their bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import making, shape
from .reasons import (
    DO_NOT_USE,
    LOOK,
    TRUST,
    WORDS,
    NotToBeUsed,
    Reason,
    Report,
    Verdict,
    word_in,
)

__all__ = [
    "DO_NOT_USE",
    "LOOK",
    "RULES",
    "TRUST",
    "WORDS",
    "NotToBeUsed",
    "Reason",
    "Rule",
    "Verdict",
    "judge",
    "word_in",
]


@dataclass(frozen=True)
class Rule:
    """A rule as the page shows it.

    Attributes:
        of: what is looked at.
        look, do_not_use: bounds of either word.
        find: the function that applies it.
    """

    of: str
    look: str
    do_not_use: str
    find: Callable[[Report], Reason | None]


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


_CERTAIN = f"and {shape.SIGMA:g} standard errors"
_JS = f"above {shape.JS_LOOK} {_CERTAIN}", f"above {shape.JS_MOST}"

#: The gravest kinds first: of two reasons with one word the earlier is the one on the terminal.
RULES: dict[str, Rule] = {
    "cis": Rule(
        "cis share of every peptide bond, from the level below (before proline in brackets)",
        f"{_percent(shape.CIS_LOOK)} off ({_percent(shape.IMINO_LOOK)}) {_CERTAIN}; or as "
        "below, but not proline",
        f"{_percent(shape.CIS_MOST)} off ({_percent(shape.IMINO_MOST)})",
        shape.cis,
    ),
    "hands": Rule(
        "frames with the other hand at any stereocentre",
        "one",
        f"more than {_percent(shape.HAND_MOST)}",
        shape.hands,
    ),
    "explained": Rule(
        "explained fraction of forces not trained on",
        f"less than {making.SIGMA:g} standard errors above 0",
        "0 or below",
        making.explained,
    ),
    "replicas": Rule(
        "replicas lost",
        f"more than {_percent(making.REPLICAS_LOOK)}",
        f"more than {_percent(making.REPLICAS_MOST)}",
        making.replicas,
    ),
    "heat": Rule(
        "kinetic temperature",
        f"off by {making.SIGMA_HEAT:g} standard errors and {_percent(making.HEAT_LOOK)}",
        f"and by {_percent(making.HEAT_MOST)}",
        making.heat,
    ),
    "handed_on": Rule(
        "distribution of the ledger's variables, from level 0: excess JS", *_JS, shape.handed_on
    ),
    "distribution": Rule("the same, from the parent", *_JS, shape.distribution),
    "torsions": Rule("every phi and psi, from the parent: excess JS", *_JS, shape.torsions),
    "bonded": Rule(
        "every bond, angle and dihedral, from the parent: excess JS, and Wasserstein distance",
        f"above {shape.BONDED_LOOK} {_CERTAIN}, and 2 pm, 1 or 5 degrees",
        f"above {shape.BONDED_MOST}, and 10 pm, 5 or 30 degrees",
        shape.bonded,
    ),
    "liquid": Rule(
        "g(r) of every two types, from the parent and level 0: mean difference above the floor",
        f"above {shape.RADIAL_LOOK} {_CERTAIN}",
        f"above {shape.RADIAL_MOST}",
        shape.liquid,
    ),
    "forces": Rule(
        "temperature that the forces of level 0 imply",
        "off by 2 % and four standard errors",
        "-",
        making.forces_of,
    ),
    "network": Rule(
        "force error of an all-atom network on fresh labels of its own run",
        f"above {making.NETWORK_LOOK:g} meV/A {_CERTAIN}",
        "-",
        making.network,
    ),
    "parent_samples": Rule(
        "independent frames it was made from, in the slowest variable",
        f"fewer than {making.N_EFF_LOOK:g}",
        f"fewer than {making.N_EFF_LEAST:g} (not level 0)",
        making.parent_samples,
    ),
    "own_samples": Rule(
        "independent frames of its own run, in the slowest variable",
        f"fewer than {making.N_EFF_LEAST:g}",
        "-",
        making.own_samples,
    ),
    "parent_surroundings": Rule(
        "independent surroundings of the molecules in the box it was made from, of the two kinds that "
        "have fewest",
        f"fewer than {making.N_EFF_LOOK:g}; at level 0 also: neighbours changed fewer than "
        f"{making.RENEWED_LOOK:g} times in a run",
        f"fewer than {making.N_EFF_LEAST:g} (not level 0)",
        making.parent_surroundings,
    ),
    "own_surroundings": Rule(
        "the same of its own run",
        f"fewer than {making.N_EFF_LEAST:g}",
        "-",
        making.own_surroundings,
    ),
    "still_moves": Rule(
        "drift of its variables, from the first quarter of its run to the last half, in standard "
        "deviations",
        f"more than {making.DRIFT_LOOK:g} and {making.SIGMA_DRIFT:g} standard errors",
        "-",
        making.still_moves,
    ),
    "overfit": Rule(
        "share of the explained forces that is lost on new frames",
        f"more than {_percent(making.LOST_LOOK)} {_CERTAIN}",
        f"more than {_percent(making.LOST_MOST)}",
        making.overfit,
    ),
    "no_row": Rule("rows in the error ledger", "none", "-", making.no_row),
    "parent": Rule("verdict of the level below", "-", DO_NOT_USE, making.parent),
}


def judge(report: Report, below: Report | None = None) -> Verdict:
    """The verdict on a level.

    Args:
        report: of the level, as report.json holds it.
        below: of the level it was made from, the same; None for level 0.
    """
    about = {**report, "below": below}
    found = [reason for rule in RULES.values() if (reason := rule.find(about)) is not None]
    return Verdict(tuple(sorted(found, key=lambda reason: -WORDS.index(reason.word))))
