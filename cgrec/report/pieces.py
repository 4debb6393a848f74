"""How the page is put together: templates, pictures inside the page, numbers in words of the page.

Templates are in templates/: one for each section, pieces.html for what they share. They escape text
themselves; what is HTML already, such as the parts below, is Markup.
"""

from __future__ import annotations

import base64
import io

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from .private import without_paths


def _shown(value: object) -> object:
    """What a template writes of a value: text without paths of the user's disk."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return without_paths(value)
    return value


_TEMPLATES = Environment(
    loader=PackageLoader("cgrec.report"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_shown,
)
NOT_YET = Markup('<span class="missing">not there yet</span>')
DASH = "–"
_PICTURE = Markup(
    '<div class="picture"><img alt="{}" width="{}" style="--width:{}px" '
    'src="data:image/png;base64,{}"></div>'
)
#: Twice the pixels below, for screens that have them.
_DOTS_PER_INCH = 200
#: Of the page, for an inch of the figure.
_PIXELS_PER_INCH = 100


def render(template: str, **values: object) -> Markup:
    """A template filled in."""
    return Markup(_TEMPLATES.get_template(template).render(**values).strip())


def image(figure: Figure | None, alt: str) -> Markup:
    """A figure inside the page."""
    if figure is None:
        return NOT_YET
    layout = figure.get_layout_engine()
    if layout is not None:
        # once by itself: savefig would draw all for it, and then again
        figure.set_dpi(_DOTS_PER_INCH)
        layout.execute(figure)
        figure.set_layout_engine("none")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH)
    data = base64.b64encode(buffer.getvalue()).decode()
    width = round(float(figure.get_figwidth()) * _PIXELS_PER_INCH)
    return _PICTURE.format(alt, width, width, data)


def number(value: object, digits: int = 3) -> str:
    """Three figures, or a dash where there is no number."""
    if not isinstance(value, int | float) or not np.isfinite(value):
        return DASH
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}" if size >= 1e-3 else f"{value:.1e}"


def duration(seconds: object) -> str:
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
    rounded = round(value, digits) + 0.0  # no minus zero
    return f"{rounded:.{digits}f} ± {error:.{digits}f}"
