"""Pieces of HTML that the sections of the page are made of."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np
from matplotlib.figure import Figure

NOT_YET = '<span class="missing">not there yet</span>'
DASH = "&ndash;"


def section(title: str, body: str, note: str = "") -> str:
    """A box of the page."""
    remark = f'<p class="note">{note}</p>' if note else ""
    return f"<section><h2>{title}</h2>{remark}{body}</section>"


def image(figure: Figure | None, alt: str) -> str:
    """A figure inside the page."""
    if figure is None:
        return NOT_YET
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    data = base64.b64encode(buffer.getvalue()).decode()
    width = round(float(figure.get_figwidth()) * 100)
    return f'<img alt="{escape(alt)}" width="{width}" src="data:image/png;base64,{data}">'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """A table; cells are HTML already."""
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    inner = f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="scroll"><table class="{kind}">{inner}</table></div>'


def number(value: Any, digits: int = 3) -> str:
    """Three figures, or a dash where there is no number."""
    if not isinstance(value, int | float) or not np.isfinite(value):
        return DASH
    if value == 0:
        return "0"
    size = abs(value)
    return (
        f"{value:,.0f}"
        if size >= 100
        else f"{value:.{digits}g}"
        if size >= 1e-3
        else f"{value:.1e}"
    )


def duration(seconds: Any) -> str:
    """Seconds, minutes or hours."""
    if not isinstance(seconds, int | float) or not np.isfinite(seconds) or seconds == 0:
        return DASH
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def within(value: float, error: float, digits: int = 4) -> str:
    """A number with its error."""
    if not np.isfinite(value):
        return DASH
    # + 0.0: no minus zero
    return f"{round(value, digits) + 0.0:.{digits}f} &plusmn; {error:.{digits}f}"


def folded(title: str, text: str) -> str:
    """Plain text behind a line to click on."""
    if not text.strip():
        return ""
    return f"<details><summary>{escape(title)}</summary><pre>{escape(text)}</pre></details>"
