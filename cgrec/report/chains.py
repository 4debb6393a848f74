"""The section of the page on a chain of residues: contacts, states, pair distances, hand."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from ..files import Json
from .conformations import conformations
from .contacts import contact_maps
from .pieces import DASH, image, render, within
from .read import LevelFiles, RunFiles

#: Worst pairs of sites that are named.
_NAMED = 3


def chains(run: RunFiles) -> Markup:
    """Contact maps and tables of levels that are a chain of residues; nothing of a run without."""
    pairs = [row for level in run.levels for row in level.report.get("pair_distances") or []]
    states = [row for level in run.levels for row in _states(level)]
    hands = [_hand(level) for level in run.levels if level.report.get("hand")]
    if not (pairs or states or hands):
        return Markup()
    long = [level for level in run.levels if level.report.get("pair_distances") or not level.number]
    return render(
        "chains.html",
        picture=image(contact_maps(long), "contact maps of every level") if pairs else None,
        folds=image(conformations(run.levels), "groups of conformations of every level"),
        pairs=[_pair_row(row) for row in pairs],
        states=states,
        hands=hands,
    )


def _pair_row(row: Json) -> list[str]:
    worst = [f"{w['pair']} {w['js']:.3f}" for w in (row.get("worst") or [])[:_NAMED]]
    return [
        row["level"],
        row["against"],
        str(row["n_pairs"]),
        f"{row['js']:.4f}",
        f"{row['floor']:.4f}",
        within(row["js"] - row["floor"], row["error"], 4),
        "; ".join(worst) or DASH,
    ]


def _states(level: LevelFiles) -> Iterator[list[str]]:
    """A row for each basin, of the level and of its parent beside it."""
    found = level.report.get("states") or {}
    own, parent = (found.get(key) or {} for key in ("own", "parent"))
    for name, basin in (own.get("basins") or {}).items():
        other = (parent.get("basins") or {}).get(name)
        yield [
            level.name,
            name,
            _number(basin, "population"),
            _number(other, "population"),
            _energy(basin, name, own),
            _energy(other, name, parent),
            _passages(own.get("transitions")),
        ]


def _number(basin: Json | None, key: str) -> str:
    value, error = (None if basin is None else basin.get(k) for k in (key, f"{key}_error"))
    return DASH if value is None else within(value, float("nan") if error is None else error, 3)


def _energy(basin: Json | None, name: str, of: Json) -> str:
    """kT above the basin that all are relative to, which is named where it is another one."""
    if basin is None:
        return DASH
    return "0" if of.get("relative_to") == name else _number(basin, "free_energy")


def _passages(found: Json | None) -> str:
    if not found:
        return DASH
    return f"{found['down']} to {found['low']}, {found['up']} to {found['high']}"


def _hand(level: LevelFiles) -> list[str]:
    found = level.report["hand"]
    own, parent = found.get("own"), found.get("parent")
    cells = [_share(of, hand) for of in (own, parent) for hand in ("right", "left")]
    return [level.name, *cells]


def _share(of: Json | None, hand: str) -> str:
    if of is None or None in of[hand]:
        return DASH
    return within(of[hand][0], of[hand][1], 4)
