"""Contact maps: which sites of a chain are near each other, at every level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..frames import Frames
from ..system import System
from ..trace import longest_chain
from ..variables import ContactMap
from .figures import INK, MUTED, _figure, _style
from .read import LevelFiles, thin

#: Frames a map is averaged over: its error is far below what a colour shows.
_MOST = 20_000
#: Ends of the colours of a difference, at least: smaller ones would be made to look large.
_LEAST_SCALE = 0.2
#: Sites whose names fit along an axis.
_NAMED = 24
#: Standard errors above which a difference is marked.
_SIGMA = 3.0


class Maps(NamedTuple):
    """Mean maps (n, n) of a level and of its parent, and the error of their difference; nan where
    two sites are too near along the chain to say anything.
    """

    own: NDArray[np.float64]
    parent: NDArray[np.float64] | None
    error: NDArray[np.float64] | None


def can_be_mapped(level: LevelFiles) -> bool:
    """Whether it has frames, and a chain long enough for contacts."""
    frames = level.frames
    return frames is not None and len(frames) > 1 and ContactMap().defined_on(frames.system)


def maps_of(level: LevelFiles) -> Maps | None:
    """Of its own run and of its targets; None where it has no frames, or no chain long enough."""
    contacts = ContactMap()
    frames = level.frames
    if frames is None or not can_be_mapped(level):
        return None
    own = contacts.mean(thin(frames, _MOST))
    targets: Frames | None = level.targets
    if targets is None or len(targets) < 2:
        return Maps(own.value, None, None)
    parent = contacts.mean(thin(targets, _MOST))
    return Maps(own.value, parent.value, np.hypot(own.error, parent.error))


def contact_maps(levels: Sequence[LevelFiles]) -> Figure | None:
    """Above, the level's own map over the diagonal and its parent's under it; below, the level's
    less its parent's.
    """
    found = [(level, maps_of(level)) for level in levels]
    drawn = [(level, maps) for level, maps in found if maps is not None]
    if not drawn:
        return None
    rows = 2 if any(maps.parent is not None for _, maps in drawn) else 1
    figure = _figure(3.0 * max(2, len(drawn)) + 1.0, 3.1 * rows)
    axes = figure.subplots(rows, max(2, len(drawn)), squeeze=False)
    for column in axes.ravel():
        column.set_axis_off()
    top: QuadMesh | None = None
    bottom: QuadMesh | None = None
    scale = max([_LEAST_SCALE, *(_largest(maps) for _, maps in drawn)])
    for k, (level, maps) in enumerate(drawn):
        assert level.frames is not None  # maps_of has looked
        title = level.name if maps.parent is None else f"{level.name} ↖  parent ↘"
        top = _map(axes[0][k], _both(maps), title, level.frames.system, "viridis", 0.0, 1.0)
        if maps.parent is not None:
            difference = maps.own - maps.parent
            name = f"{level.name} - parent"
            system = level.frames.system
            bottom = _map(axes[1][k], difference, name, system, "RdBu_r", -scale, scale)
            _mark(axes[1][k], difference, maps.error)
    for image, row, label in ((top, 0, "share in contact"), (bottom, -1, "difference")):
        if image is not None:
            bar = figure.colorbar(image, ax=axes[row].tolist(), shrink=0.9, pad=0.01)
            bar.set_label(label, fontsize=9, color=INK)
            bar.ax.tick_params(labelsize=8, colors=MUTED)
    return figure


def _both(maps: Maps) -> NDArray[np.float64]:
    """(n, n): the row of a pair's smaller site holds the level's own, that of its larger site the
    parent's.
    """
    if maps.parent is None:
        return maps.own
    upper = np.triu(np.ones(maps.own.shape, bool))
    return np.where(upper, maps.own, maps.parent)


def _largest(maps: Maps) -> float:
    """Absolute difference from the parent."""
    if maps.parent is None:
        return 0.0
    return float(np.nanmax(np.abs(maps.own - maps.parent)))


def _map(
    axes: Axes,
    values: NDArray[np.float64],
    title: str,
    system: System,
    colours: str,
    low: float,
    high: float,
) -> QuadMesh:
    axes.set_axis_on()
    _style(axes, title)
    n = len(values)
    edges = np.arange(n + 1) - 0.5
    # rows go up: what lies over the diagonal has its smaller site along x
    image = axes.pcolormesh(edges, edges, values.T, cmap=colours, vmin=low, vmax=high)
    axes.plot([-0.5, n - 0.5], [-0.5, n - 0.5], color=MUTED, lw=0.6)
    axes.set_aspect("equal")
    axes.set_facecolor("#eef1f4")
    names = _short_names(system)
    step = max(1, -(-n // _NAMED))
    axes.set_xticks(range(0, n, step), names[::step], rotation=90, fontsize=6)
    axes.set_yticks(range(0, n, step), names[::step], fontsize=6)
    return image


def _mark(axes: Axes, difference: NDArray[np.float64], error: NDArray[np.float64] | None) -> None:
    """A dot where the difference is more than its error explains."""
    if error is None:
        return
    sure = np.isfinite(difference) & (np.abs(difference) > _SIGMA * np.maximum(error, 1e-12))
    axes.plot(*np.argwhere(sure).T, ".", color=INK, ms=2.0, lw=0)


def _short_names(system: System) -> list[str]:
    """ "TYR1" of each site along the chain."""
    numbers = system.residues + 1 if system.residue_numbers is None else system.residue_numbers
    return [f"{system.residue_names[i]}{numbers[i]}" for i in longest_chain(system)]
