"""Cards: what a notebook shows of an object. Plain HTML with a drawing in SVG, no scripts, readable on
light and dark pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

#: {chemical symbol: colour}; a bead takes one of the `BEADS` by its type.
ELEMENTS = {"C": "#6b7785", "N": "#3a66b7", "O": "#cf4035", "H": "#b4bcc6", "S": "#c9a227"}
BEADS = ("#2f6fab", "#c8553d", "#3d8b6a", "#8a5a9e", "#b8862b", "#4f9aa8", "#a84f73", "#6b7785")
#: {word of a verdict: colour}.
VERDICTS = {"trust": "#2f7d57", "look": "#b07a1e", "do not use": "#b83a2b"}
#: Sites above which nothing is drawn: the page would grow heavy and the drawing black.
MOST_DRAWN = 600
#: Width and height of a drawing, and its rim, in pixels.
_WIDTH, _HEIGHT, _RIM = 210, 160, 14


def card(
    title: str,
    rows: Sequence[tuple[str, str]],
    *,
    word: str = "",
    table: Sequence[Sequence[str]] = (),
    picture: str = "",
) -> str:
    """HTML of a card.

    Args:
        title: what it is of.
        rows: (name, value); those without a value are left out.
        word: a verdict, shown beside the title.
        table: its first row is the head.
        picture: SVG.
    """
    colour = VERDICTS.get(word, "#6b7785")
    badge = (
        f'<span style="background:{colour};color:#fff;border-radius:3px;padding:1px 7px;'
        f'margin-left:8px;font-weight:normal">{escape(word)}</span>'
    )
    cell = '<td style="text-align:left;padding:1px 12px 1px 0;vertical-align:top">'
    pairs = "".join(
        f"<tr>{cell}<b>{escape(name)}</b></td>{cell}{escape(value)}</td></tr>"
        for name, value in rows
        if value
    )
    more = "".join(
        "<tr>" + "".join(f"{cell}{_bold(text, k == 0)}</td>" for text in row) + "</tr>"
        for k, row in enumerate(table)
    )
    tables = "".join(f"<table>{inside}</table>" for inside in (pairs, more) if inside)
    return (
        '<div style="border:1px solid rgba(128,128,128,.4);border-radius:6px;padding:10px 14px;'
        'display:inline-flex;gap:18px;flex-wrap:wrap;align-items:flex-start;max-width:100%">'
        f'<div style="overflow-x:auto"><div><b>{escape(title)}</b>{badge if word else ""}</div>'
        f"{tables}</div>{picture}</div>"
    )


def _bold(text: str, head: bool) -> str:
    return f"<b>{escape(text)}</b>" if head else escape(text)


def drawing(
    positions: NDArray[np.floating],
    bonds: NDArray[np.int64],
    elements: Sequence[str],
    types: Sequence[str],
) -> str:
    """SVG of sites and bonds, seen along the direction in which they are thinnest; empty for more than
    `MOST_DRAWN` sites.

    Args:
        positions: (n_sites, 3), molecules whole.
        bonds: (n_bonds, 2).
        elements: chemical symbols, "X" of beads.
        types: of the sites.
    """
    if len(positions) > MOST_DRAWN:
        return ""
    x = np.asarray(positions, float) - np.mean(positions, 0, dtype=float)
    axes = np.linalg.svd(x, full_matrices=False)[2]
    seen = x @ axes.T if len(axes) == 3 else x
    room = np.array([_WIDTH - 2 * _RIM, _HEIGHT - 2 * _RIM])
    size = np.maximum(np.ptp(seen[:, :2], axis=0), 1e-9)
    flat = (seen[:, :2] - seen[:, :2].min(0) - size / 2) * (room / size).min()
    flat += [_WIDTH / 2, _HEIGHT / 2]
    radius = float(np.clip(60 / np.sqrt(len(x)), 2.0, 9.0))
    kinds = sorted(set(types))
    colours = [ELEMENTS.get(e, BEADS[kinds.index(t) % len(BEADS)]) for e, t in zip(elements, types)]
    lines = "".join(
        f'<line x1="{flat[i, 0]:.1f}" y1="{flat[i, 1]:.1f}" x2="{flat[j, 0]:.1f}" '
        f'y2="{flat[j, 1]:.1f}" stroke="#8a94a0" stroke-width="2"/>'
        for i, j in bonds.tolist()
    )
    dots = "".join(
        f'<circle cx="{flat[k, 0]:.1f}" cy="{flat[k, 1]:.1f}" r="{radius:.1f}" '
        f'fill="{colours[k]}"/>'
        for k in np.argsort(seen[:, -1] if seen.shape[1] == 3 else flat[:, 0])
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}">{lines}{dots}</svg>'
    )


def some(words: Sequence[str], most: int = 6) -> str:
    """The first of `words` with commas, and how many there are where these are not all."""
    shown = ", ".join(words[:most])
    return shown if len(words) <= most else f"{shown}, ... ({len(words)} in all)"
