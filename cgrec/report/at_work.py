"""The picture of a run of a finished level: its distributions over those of the level's own run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..files import write_whole
from ..frames import Frames
from ..observables import radial_distributions
from ..observables.free_energy import Grid, free_energy
from ..roles import Variable

#: {which: colour}.
_COLOURS = {"the run of the level": "#7b8794", "this run": "#c8553d"}
#: Panels at most, and frames that a g(r) is drawn from.
_MOST, _FRAMES = 6, 400
BINS = 48


def draw_run(path: Path, frames: Frames, own: Frames, variables: Sequence[Variable]) -> Path | None:
    """A .png with F/kT of each variable, and g(r) of a liquid, of a run and of the level's own run,
    with bands of one block error; None where there is nothing to draw.

    Args:
        path: of the picture.
        frames, own: of the run and of the level.
        variables: that both have.
    """
    both = dict(zip(_COLOURS, (own, frames)))
    panels: list[Callable[[Axes], None]] = []
    if frames.system.agrees_with(own.system):
        panels += [_profile(both, v) for v in variables if v.defined_on(own.system)]
    if frames.box is not None and own.box is not None:
        panels += _radial(both)
    if not panels or min(len(frames), len(own)) < 2:
        return None
    panels = panels[:_MOST]
    figure = Figure(figsize=(4.2 * len(panels), 3.2), layout="constrained")
    for axes, draw in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        draw(axes)
        axes.legend(fontsize=8, frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    write_whole(path, lambda partial: figure.savefig(partial, dpi=160, format="png"))
    return path


def _profile(both: dict[str, Frames], variable: Variable) -> Callable[[Axes], None]:
    def draw(axes: Axes) -> None:
        grid = Grid.over([variable], *both.values(), bins=BINS)
        for name, frames in both.items():
            curve = free_energy(frames, grid)
            y = np.where(np.isfinite(curve.values), curve.values, np.nan)
            _curve(axes, grid.centres[0], y, curve.errors, name)
        axes.set_xlabel(f"{variable.name} / {variable.unit}")
        axes.set_ylabel("F / kT")

    return draw


def _radial(both: dict[str, Frames]) -> list[Callable[[Axes], None]]:
    every = {name: max(1, len(frames) // _FRAMES) for name, frames in both.items()}
    found = {name: radial_distributions(f[:: every[name]]) for name, f in both.items()}
    names = list(dict.fromkeys(g.types for curves in found.values() for g in curves))

    def panel(types: tuple[str, str]) -> Callable[[Axes], None]:
        def draw(axes: Axes) -> None:
            for name, curves in found.items():
                for g in (g for g in curves if g.types == types):
                    _curve(axes, g.r, g.g, g.error, name)
            axes.set_xlabel("r / nm")
            axes.set_ylabel(f"g(r) {'-'.join(types)}")

        return draw

    return [panel(types) for types in names]


def _curve(
    axes: Axes,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    error: NDArray[np.float64],
    name: str,
) -> None:
    axes.plot(x, y, color=_COLOURS[name], lw=1.6, label=name)
    axes.fill_between(x, y - error, y + error, color=_COLOURS[name], alpha=0.2, lw=0)
