"""The plots of the report, each a matplotlib Figure or None where there is nothing to draw yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from mpl_toolkits.mplot3d import Axes3D
from mpl_toolkits.mplot3d.art3d import Line3DCollection
from numpy.typing import NDArray

from ..backmapping.judge import BackmappingReport
from ..frames import Frames
from ..observables.free_energy import FreeEnergy, Grid, free_energy
from ..observables.ledger import AGAINST, LedgerRow
from ..observables.liquid import (
    LocalOrder,
    NoShell,
    compared_range,
    first_minimum,
    first_shell_angles,
    radial_distributions,
)
from ..observables.structure import (
    KINDS,
    bonded_terms,
    bonded_values,
    circular_wasserstein,
    wasserstein,
)
from ..roles import Variable
from ..system import System
from .read import Ensembles, LevelFiles, thin

INK, MUTED, GRID = "#1f2933", "#7b8794", "#e4e7eb"
COLOURS = {"parent": "#2f6fab", "level 0": "#c8553d", "direct model": "#8a8fa3"}
LEVEL_COLOURS = ("#1f2933", "#2f6fab", "#c8553d", "#3d8b6a", "#8a5a9e", "#b8862b")
ELEMENT_COLOURS = {
    "C": "#4a5560",
    "N": "#3a66b7",
    "O": "#cf4035",
    "H": "#c9ced6",
    "S": "#c9a227",
    "Li": "#b06fc4",
    "Na": "#8a5a9e",
    "K": "#6d4aa8",
    "Cl": "#3d8b6a",
    "X": "#3d8b6a",
}
TOP = 8.0  # kT at which the colour scale of the surfaces ends
_MOST = 20_000  # frames a bonded distribution is drawn from
_PAIRS = 3e7  # site pairs times frames a g(r) is drawn from: seconds


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def _style(axes: Axes, title: str = "", x: str = "", y: str = "") -> Axes:
    axes.set_title(title, fontsize=10, color=INK, loc="left", fontweight="bold")
    axes.set_xlabel(x, fontsize=9, color=INK)
    axes.set_ylabel(y, fontsize=9, color=INK)
    axes.tick_params(which="both", labelsize=8, colors=MUTED)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED)
    return axes


def _panels(figure: Figure, n: int, least: int) -> NDArray[np.object_]:
    """`n` panels in a row, as wide as if there were at least `least`."""
    axes = figure.subplots(1, max(n, least), squeeze=False)[0]
    for unused in axes[n:]:
        unused.set_axis_off()
    return axes[:n]


def level_colour(number: int) -> str:
    """One colour per level, the same in every plot."""
    return LEVEL_COLOURS[number % len(LEVEL_COLOURS)]


# ---- training ----------------------------------------------------------------------------------


def losses(levels: Sequence[LevelFiles]) -> Figure | None:
    """Training and validation loss of each level, with the noise floor where the history states
    one.
    """
    trained = [level for level in levels if len(level.training.get("step", ()))]
    if not trained:
        return None
    figure = _figure(3.4 * max(2, len(trained)), 2.9)
    for axes, level in zip(_panels(figure, len(trained), 2), trained):
        _style(
            axes,
            level.name,
            "step",
            r"loss / (kJ mol$^{-1}$ nm$^{-1}$)$^2$" if level is trained[0] else "",
        )
        _loss_curves(axes, level.training)
    return figure


def _loss_curves(axes: Axes, history: dict[str, NDArray[np.float64]]) -> None:
    step = history["step"]
    for column, colour, width in (
        ("training_loss", "#9fb3c8", 1.0),
        ("validation_loss", "#2f6fab", 1.8),
    ):
        values = history.get(column, np.full(len(step), np.nan))
        known = np.isfinite(values)
        axes.plot(step[known], values[known], color=colour, lw=width, label=column.split("_")[0])
    noise = history.get("noise_estimate", np.array([]))
    if np.isfinite(noise).any():
        floor = noise[np.isfinite(noise)][-1]
        axes.axhline(floor, color="#c8553d", lw=1.2, ls="--", label="noise floor")
    axes.set_yscale("log")
    axes.grid(axis="y", which="both", color=GRID, lw=0.6)
    axes.legend(fontsize=8, frameon=False, labelcolor=INK)


# ---- free energy -------------------------------------------------------------------------------


def surfaces(ensembles: Ensembles, variables: Sequence[Variable], bins: int = 48) -> Figure | None:
    """F/kT of two variables, all levels on one colour scale; below, the difference from the finest."""
    if not ensembles:
        return None
    grid = Grid.over(variables, *(frames for _, frames in ensembles), bins=bins)
    drawn = [(level, free_energy(frames, grid)) for level, frames in ensembles]
    rows = 2 if len(drawn) > 1 else 1
    figure = _figure(2.7 * max(3, len(drawn)) + 0.9, 2.9 * rows)
    axes = figure.subplots(rows, len(drawn), squeeze=False, sharex=True, sharey=True)
    for column, (level, surface) in zip(axes[0], drawn):
        _style(column, f"{level.name}, {level.n_sites} sites")
        top = _surface(column, surface)
    figure.colorbar(top, ax=axes[0].tolist(), label="F / kT", shrink=0.9, pad=0.01)
    if rows == 2:
        _differences(figure, axes[1], drawn)
    _label_axes(axes, grid)
    return figure


def _scaled(values: Sequence[NDArray[np.float64]], grid: Grid) -> list[NDArray[np.float64]]:
    """Radians as degrees, nm as they are."""
    return [np.degrees(x) if v.unit == "rad" else x for x, v in zip(values, grid.variables)]


def _axis(variable: Variable) -> str:
    unit = "deg" if variable.unit == "rad" else variable.unit
    return _symbol(variable.name) + ("" if unit == "1" else f" / {unit}")


def _surface(axes: Axes, surface: FreeEnergy) -> QuadMesh:
    x, y = _scaled(surface.grid.centres, surface.grid)
    values = np.where(surface.values < TOP, surface.values, np.nan).T
    edges = _scaled(surface.grid.edges, surface.grid)
    image = axes.pcolormesh(*edges, values, cmap="viridis", vmin=0, vmax=TOP, rasterized=True)
    axes.contour(
        x,
        y,
        np.ma.masked_invalid(values),
        levels=range(1, int(TOP) - 1),
        colors="white",
        linewidths=0.5,
    )
    return image


def _differences(
    figure: Figure, axes: NDArray[np.object_], drawn: Sequence[tuple[LevelFiles, FreeEnergy]]
) -> None:
    name, first = drawn[0][0].name, drawn[0][1]
    axes[0].set_axis_off()
    middle = {"ha": "center", "va": "center", "transform": axes[0].transAxes, "color": MUTED}
    axes[0].text(0.5, 0.5, f"difference\nfrom {name}", **middle)
    images = []
    for column, (_, surface) in zip(axes[1:], drawn[1:]):
        both = (first.values < TOP - 2) & np.isfinite(surface.values)
        difference = np.full(both.shape, np.nan)
        difference[both] = surface.values[both] - first.values[both]
        if both.any():  # the constant is free: none where the finest level is populated
            difference -= np.average(difference[both], weights=np.exp(-first.values[both]))
        edges = _scaled(surface.grid.edges, surface.grid)
        _only_one(column, edges, first.values, surface.values)
        images.append(
            column.pcolormesh(*edges, difference.T, cmap="RdBu_r", vmin=-2, vmax=2, rasterized=True)
        )
        _style(column)
    figure.colorbar(images[-1], ax=axes.tolist(), label=r"$\Delta$F / kT", shrink=0.9, pad=0.01)


#: kT below which a bin is so populated that the other ensemble's never having been there means
#: something.
_POPULATED = 3.0


def _only_one(
    axes: Axes,
    edges: Sequence[NDArray[np.float64]],
    first: NDArray[np.float64],
    other: NDArray[np.float64],
) -> None:
    """Mark bins that one of two surfaces has well populated and the other never saw: the worst of
    differences.
    """
    marks = np.full(first.shape, np.nan)
    marks[(first < _POPULATED) & ~np.isfinite(other)] = 0
    marks[(other < _POPULATED) & ~np.isfinite(first)] = 1
    axes.pcolormesh(
        *edges, marks.T, cmap=ListedColormap([INK, "#e08a1e"]), vmin=0, vmax=1, rasterized=True
    )


def _label_axes(axes: NDArray[np.object_], grid: Grid) -> None:
    x, y = (_axis(v) for v in grid.variables)
    for column in axes.ravel():
        column.set_box_aspect(1)
        if grid.variables[0].periodic:
            column.set_xticks([-120, 0, 120])
        if grid.variables[1].periodic:
            column.set_yticks([-120, 0, 120])
    for column in axes[-1]:
        column.set_xlabel(x, fontsize=9)
    axes[0][0].set_ylabel(y, fontsize=9)
    if len(axes) == 2:  # the first panel below is only text: it has no axis to carry the ticks
        axes[0][0].tick_params(labelbottom=True)
        axes[0][0].set_xlabel(x, fontsize=9)


def _symbol(name: str) -> str:
    return rf"$\{name}$" if name in ("phi", "psi", "omega", "theta", "chi") else name


def profiles(ensembles: Ensembles, variables: Sequence[Variable], bins: int = 50) -> Figure | None:
    """F/kT of each variable alone, all levels over each other, with bands of one block error."""
    if not ensembles:
        return None
    figure = _figure(4.0 * max(2, len(variables)), 3.1)
    for axes, variable in zip(_panels(figure, len(variables), 2), variables):
        _style(axes, "", _axis(variable), "F / kT")
        grid = Grid.over([variable], *(frames for _, frames in ensembles), bins=bins)
        for level, frames in ensembles:
            _profile(axes, free_energy(frames, grid), level)
        axes.set_ylim(-0.3, TOP)
        axes.legend(fontsize=8, frameon=False)
    return figure


def _profile(axes: Axes, curve: FreeEnergy, level: LevelFiles) -> None:
    x = _scaled(curve.grid.centres, curve.grid)[0]
    y = np.where(np.isfinite(curve.values), curve.values, np.nan)
    axes.plot(x, y, color=level_colour(level.number), lw=1.6, label=level.name)
    low, high = y - curve.errors, y + curve.errors
    axes.fill_between(x, low, high, color=level_colour(level.number), alpha=0.2, lw=0)


# ---- the ledger --------------------------------------------------------------------------------


def errors(rows: Sequence[LedgerRow], order: Sequence[str]) -> Figure | None:
    """Jensen-Shannon divergence of each level above its sampling floor, with its error, and how far
    that floor scatters.
    """
    groups = list(dict.fromkeys(row.variables for row in rows))
    if not groups:
        return None
    figure = _figure(max(6.5, 4.8 * len(groups)), 3.4)
    for axes, variables in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups):
        mine = [row for row in rows if row.variables == variables]
        names = sorted({row.level: None for row in mine}, key=lambda name: _rank(order, name))
        title = (
            ", ".join(_symbol(v) for v in variables)
            + f"   {' x '.join(map(str, mine[0].bins))} bins"
        )
        _style(axes, title, "", "JS above its floor / nats")
        _error_bars(axes, mine, names)
        axes.set_xticks(range(len(names)), [name.replace(" ", "\n") for name in names], fontsize=8)
        axes.set_xlim(-0.6, max(len(names), 2) - 0.4)
        axes.grid(axis="y", color=GRID, lw=0.6)
        axes.set_axisbelow(True)
        axes.axhline(0, color=INK, lw=0.8)
        axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _rank(order: Sequence[str], name: str) -> tuple[int, str]:
    """Levels from the finest up; a control such as "backbone (direct)" right after its level."""
    known = [k for k, level in enumerate(order) if name == level or name.startswith(f"{level} ")]
    return (max(known) if known else len(order), name)


def _error_bars(axes: Axes, rows: Sequence[LedgerRow], names: Sequence[str]) -> None:
    kinds = [a for a in AGAINST if any(row.against == a for row in rows)]
    width = 0.8 / max(len(kinds), 1)
    for k, against in enumerate(kinds):
        mine = [row for row in rows if row.against == against]
        x = np.array([names.index(row.level) + (k - (len(kinds) - 1) / 2) * width for row in mine])
        spread = np.array([row.floors.get("spread", np.nan) for row in mine], float)
        label = "scatter of the floor" if k == 0 else None
        axes.bar(x, 2 * spread, width, bottom=-spread, color="#d5dbe1", lw=0, label=label)
        height, error = [row.excess for row in mine], [row.error for row in mine]
        colour = COLOURS[against]
        axes.bar(x, height, 0.7 * width, color=colour, label=f"from {against}")
        axes.errorbar(x, height, yerr=error, fmt="none", ecolor=INK, capsize=3, lw=1)


# ---- structure ---------------------------------------------------------------------------------


def bonded(level: LevelFiles, most: int = 6) -> Figure | None:
    """The worst bonds, angles and dihedrals of a level's own run over its target."""
    if level.frames is None or level.targets is None:
        return None
    own, target = thin(level.frames, _MOST), thin(level.targets, _MOST)
    worst = {kind: _worst(own, target, kind, most) for kind in KINDS}
    kinds = [kind for kind in KINDS if worst[kind]]
    if not kinds:
        return None
    figure = _figure(10.5, 1.75 * len(kinds))
    axes = figure.subplots(len(kinds), most, squeeze=False)
    for row, kind in zip(axes, kinds):
        for column in row[len(worst[kind]) :]:
            column.set_axis_off()
        for column, (label, sites) in zip(row, worst[kind]):
            _overlay(
                column, kind, label, [(own, level_colour(level.number)), (target, None)], sites
            )
        row[0].set_ylabel(kind, fontsize=10, color=INK, fontweight="bold")
    return figure


def _worst(
    own: Frames, target: Frames, kind: str, most: int
) -> list[tuple[str, NDArray[np.int64]]]:
    distance = circular_wasserstein if kind == "dihedral" else wasserstein
    ranked = []
    for label, sites in bonded_terms(own.system)[kind].items():
        values = [bonded_values(f, kind, sites) for f in (own, target)]
        weights = [np.repeat(f.normalised_weights(), len(sites)) for f in (own, target)]
        ranked.append((distance(*(v.ravel() for v in values), *weights), label, sites))
    ranked.sort(key=lambda entry: -entry[0])
    return [(label, sites) for _, label, sites in ranked[:most]]


def _overlay(
    axes: Axes,
    kind: str,
    label: str,
    shown: Sequence[tuple[Frames, str | None]],
    sites: NDArray[np.int64],
) -> None:
    factor = 1.0 if kind == "bond" else 180 / np.pi
    values = [bonded_values(frames, kind, sites).ravel() * factor for frames, _ in shown]
    low, high = (
        (-180, 180) if kind == "dihedral" else np.quantile(np.concatenate(values), [0.0005, 0.9995])
    )
    # a bond held by a constraint has no width of its own: show it as a narrow peak
    pad = 0 if kind == "dihedral" else max(0.05 * (high - low), 0.002 if kind == "bond" else 1.0)
    edges = np.linspace(low - pad, high + pad, 61)
    for x, (frames, colour) in zip(values, shown):
        w = np.repeat(frames.normalised_weights(), len(sites))
        density = np.histogram(x, edges, weights=w)[0] / np.diff(edges)
        if colour is None:
            axes.stairs(density, edges, fill=True, color="#cbd2d9", zorder=1)
        else:
            axes.stairs(density, edges, color=colour, lw=1.6, zorder=2)
    short = "-".join(part.split(":")[-1] for part in label.split("-"))
    axes.set_title(short, fontsize=8, color=INK)
    _bare(axes, [-180, 0, 180] if kind == "dihedral" else None)


def _bare(axes: Axes, ticks: Sequence[float] | None) -> None:
    axes.set_yticks([])
    axes.tick_params(labelsize=7, colors=MUTED)
    axes.locator_params(axis="x", nbins=3)
    axes.ticklabel_format(axis="x", useOffset=False)
    if ticks:
        axes.set_xticks(ticks)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)


def liquid(level: LevelFiles) -> Figure | None:
    """g(r) of every two types and the angles in the first shells: a level's own run over its
    target.
    """
    shown = {"target": level.targets, "own run": level.frames}
    found = {
        name: _for_liquid(f) for name, f in shown.items() if f is not None and f.box is not None
    }
    panels = _liquid_panels(found)
    if not panels:
        return None
    columns = min(4, max(3, len(panels)))
    rows = -(-len(panels) // columns)
    figure = _figure(10.5, 2.7 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for unused in axes[len(panels) :]:
        unused.set_axis_off()
    for k, (column, (title, x, y, curves)) in enumerate(zip(axes, panels)):
        _style(column, title, x, y)
        for name, curve in curves.items():
            _liquid_curve(column, curve, level_colour(level.number), name)
        column.set(xlim=(0, None), ylim=(0, None))
        column.grid(axis="y", color=GRID, lw=0.6)
        column.set_axisbelow(True)
        if x.startswith("r"):
            column.axhline(1, color=MUTED, lw=0.6, ls=(0, (2, 2)), zorder=0)
        else:
            column.set(xlim=(0, 180), xticks=[0, 60, 120, 180])
        if k == 0:
            column.legend(fontsize=8, frameon=False, labelcolor=INK)
    return figure


def _for_liquid(frames: Frames) -> Frames:
    return thin(frames, int(np.clip(_PAIRS / frames.n_sites**2, 20, 500)))


#: Title, label of x and of y, and the curves {"target" or "own run": (x, value, error)}.
_Curve = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
_Panel = tuple[str, str, str, dict[str, _Curve]]


def _liquid_panels(found: dict[str, Frames]) -> list[_Panel]:
    """Panels of g(r), then those of the angles."""
    if not found:
        return []
    reach = compared_range(*found.values())
    radial = {name: radial_distributions(frames, reach) for name, frames in found.items()}
    pairs: list[_Panel] = [
        (
            "-".join(gs[0].types),
            "r / nm",
            "g(r)",
            {n: (g.r, g.g, g.error) for n, g in zip(radial, gs)},
        )
        for gs in zip(*radial.values())
    ]
    angles = []
    for g in next(iter(radial.values())):  # the target says where a shell ends, as in the table
        kind, shell = g.types[0], first_minimum(g) if g.types[0] == g.types[1] else None
        curves = {name: _angles(frames, kind, shell) for name, frames in found.items() if shell}
        known = {
            n: (np.degrees(c.x), c.density, c.error) for n, c in curves.items() if c is not None
        }
        if known:
            title = f"{kind}-{kind}-{kind}, r < {shell:.2f} nm"
            angles.append((title, r"$\theta$ / degrees", r"P($\theta$) / rad$^{-1}$", known))
    return pairs + angles


def _angles(frames: Frames, kind: str, shell: float) -> LocalOrder | None:
    try:
        return first_shell_angles(frames, kind, r_shell=shell, bins=60)
    except NoShell:
        return None


def _liquid_curve(axes: Axes, curve: _Curve, colour: str, name: str) -> None:
    x, y, error = curve
    if name == "target":
        error = np.nan_to_num(error)  # a single frame has none
        axes.fill_between(
            x,
            y - error,
            y + error,
            label="target $\\pm$ error",
            color="#b8c2cc",
            lw=1.2,  # the edge keeps a narrow band in sight
            zorder=1,
        )
    else:
        axes.plot(x, y, color=colour, lw=1.3, zorder=2, label=name)


def structures(levels: Sequence[LevelFiles], copies: int = 6) -> Figure | None:
    """All levels in one view: a few superposed frames as sticks and balls, or one frame of a liquid
    in its box.
    """
    drawn = [level for level in levels if (level.frames or level.targets) is not None]
    if not drawn:
        return None
    figure = Figure(figsize=(2.8 * max(3, len(drawn)), 2.6))
    for k, level in enumerate(drawn):
        axes = figure.add_subplot(1, max(3, len(drawn)), k + 1, projection="3d")
        frames = level.frames if level.frames is not None else level.targets
        assert frames is not None
        (_in_box if is_liquid(frames) else _superposed)(axes, frames, copies)
        axes.set_title(
            f"{level.name}, {frames.n_sites} sites",
            fontsize=10,
            color=INK,
            fontweight="bold",
            y=0.98,
        )
    figure.subplots_adjust(0, 0, 1, 0.9, 0, 0)
    return figure


def is_liquid(frames: Frames) -> bool:
    """Whether these are several molecules in a periodic box."""
    return frames.box is not None and bool(frames.system.molecules.any())


def _superposed(axes: Axes3D, frames: Frames, copies: int) -> None:
    few = thin(frames, copies if frames.n_sites <= 200 else 1)
    x = superpose(np.asarray(few.positions, float), frames.system.masses)
    elements = frames.system.elements
    colours = [ELEMENT_COLOURS.get(e, "#6b7b8c") for e in elements]
    sizes = 28 * np.cbrt(frames.system.masses) * min(1.0, 30 / frames.n_sites + 0.3)
    for k, frame in enumerate(x):
        alpha = 1.0 if k == 0 else 0.22
        width = 2.2 if k == 0 else 1.0
        sticks = frame[frames.system.bonds]
        axes.add_collection3d(
            Line3DCollection(sticks, colors="#616e7c", lw=width, alpha=alpha, zorder=1)
        )
        axes.scatter(
            *frame.T,
            c=colours,
            s=sizes if k == 0 else sizes / 3,
            alpha=alpha,
            depthshade=False,
            lw=0,
        )
    _view(axes, float(np.abs(x).max()) * 0.85 + 1e-3, 88, -90)


def _in_box(axes: Axes3D, frames: Frames, _: int) -> None:
    """The first frame, molecules in the box and what is far pale; balls grow with mass^1/3, smaller
    where bonds are to be seen.
    """
    system, box = frames.system, np.asarray(frames[:1].boxes(), float)[0]
    x = wrap_molecules(np.asarray(frames.positions[0], float), system, box) - box.sum(0) / 2
    corners = np.array([np.array(c) @ box for c in product((0, 1), repeat=3)]) - box.sum(0) / 2
    edges = [(a, a | 1 << k) for a in range(8) for k in range(3) if not a & 1 << k]
    axes.computed_zorder = False  # lines behind the balls, whatever the mean depth of either
    lines = np.concatenate([corners[np.array(edges)], x[system.bonds]])
    inks = ["#9aa5b1"] * len(edges) + ["#616e7c"] * len(system.bonds)
    axes.add_collection3d(Line3DCollection(lines, colors=inks, lw=0.8, zorder=1))
    radius = float(np.abs(corners).max()) * 1.15
    sizes = ((2.8 if len(system.bonds) else 4.2) / radius * np.cbrt(system.masses)) ** 2
    colours = site_colours(system)
    axes.scatter(*x.T, c=colours, s=sizes, lw=0.3, ec="white", zorder=2)
    _view(axes, radius, 14, -68)
    kinds = dict(zip(system.types, colours))
    if 1 < len(kinds) <= 6:
        dots = [
            Line2D([], [], color=c, marker="o", lw=0, ms=4, label=kind) for kind, c in kinds.items()
        ]
        style = {
            "fontsize": 8,
            "frameon": False,
            "labelcolor": INK,
            "handletextpad": 0,
            "columnspacing": 0.8,
        }
        axes.legend(
            handles=dots, loc="lower center", bbox_to_anchor=(0.5, -0.04), ncols=len(dots), **style
        )


def site_colours(system: System) -> list[str]:
    """Of its element for an atom, else of its type."""
    beads = sorted({t for t, e in zip(system.types, system.elements) if e == "X"})
    palette = (ELEMENT_COLOURS["X"], *LEVEL_COLOURS[1:3], *LEVEL_COLOURS[4:])
    of_type = {t: palette[k % len(palette)] for k, t in enumerate(beads)}
    pairs = zip(system.types, system.elements)
    return [of_type[t] if e == "X" else ELEMENT_COLOURS.get(e, "#6b7b8c") for t, e in pairs]


def wrap_molecules(
    x: NDArray[np.float64], system: System, box: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n_sites, 3) nm of one frame, each molecule moved as a whole so that its centre of mass lies
    in the box.
    """
    molecules, masses = system.molecules, system.masses
    moments = np.stack([np.bincount(molecules, masses * column) for column in x.T], 1)
    centres = moments / np.bincount(molecules, masses)[:, None]
    return x - (np.floor(centres @ np.linalg.inv(box)) @ box)[molecules]


def _view(axes: Axes3D, radius: float, elevation: float, azimuth: float) -> None:
    axes.set(xlim=(-radius, radius), ylim=(-radius, radius), zlim=(-radius, radius))
    axes.set_box_aspect((1, 1, 1), zoom=1.25)
    axes.view_init(elev=elevation, azim=azimuth)
    axes.set_axis_off()


def superpose(x: NDArray[np.float64], masses: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n_frames, n_sites, 3) frames centred, the first turned to its principal axes and the others
    onto it (Kabsch).
    """
    w = masses / masses.sum()
    x = x - np.einsum("i,fik->fk", w, x)[:, None]
    axes = np.linalg.svd(x[0] * np.sqrt(w)[:, None], full_matrices=True)[2]
    # a rotation, not a mirror image: handedness is what is looked at
    axes[2] *= np.sign(np.linalg.det(axes))
    first = x[0] @ axes.T
    out = [first]
    for frame in x[1:]:
        u, _, v = np.linalg.svd(np.einsum("i,ia,ib->ab", w, frame, first))
        v[2] *= np.sign(np.linalg.det(u @ v))
        out.append(frame @ (u @ v))
    return np.array(out)


# ---- restored frames ---------------------------------------------------------------------------


def restored_terms(reports: Mapping[str, BackmappingReport], most: int = 12) -> Figure | None:
    """Jensen-Shannon divergence above its floor of the worst types of each kind, one bar for every
    set of frames.
    """
    worst = {kind: _worst_types(reports, kind, most) for kind in KINDS}
    kinds = [kind for kind in KINDS if worst[kind]]
    if not kinds:
        return None
    figure = _figure(10.5, 1.0 + 0.17 * max(map(len, worst.values())) * (1 + len(reports)) ** 0.7)
    for axes, kind in zip(_panels(figure, len(kinds), 1), kinds):
        labels = worst[kind]
        _style(axes, f"{kind}s", "JS - floor / nats")
        for k, (name, report) in enumerate(reports.items()):
            known = {t.label: t for t in report.terms if t.kind == kind}
            mine = [(row, known[label]) for row, label in enumerate(labels) if label in known]
            height = 0.8 / len(reports)
            places = [row + (k - (len(reports) - 1) / 2) * height for row, _ in mine]
            axes.barh(
                places,
                [t.excess for _, t in mine],
                0.85 * height,
                xerr=[t.error for _, t in mine],
                label=name,
                color=level_colour(k + 1),
                ecolor=INK,
                error_kw={"lw": 1},
            )
        axes.axvline(0, color=MUTED, lw=0.8)
        short = ["-".join(part.split(":")[-1] for part in label.split("-")) for label in labels]
        named = [name if short.count(name) == 1 else label for name, label in zip(short, labels)]
        axes.set_yticks(range(len(labels)), named, fontsize=7)
        axes.locator_params(axis="x", nbins=5)
        axes.invert_yaxis()
    figure.axes[len(kinds) - 1].legend(fontsize=8, frameon=False, loc="lower right")
    return figure


def _worst_types(reports: Mapping[str, BackmappingReport], kind: str, most: int) -> list[str]:
    excess: dict[str, float] = {}
    for term in (t for report in reports.values() for t in report.terms if t.kind == kind):
        excess[term.label] = max(term.excess, excess.get(term.label, -np.inf))
    return sorted(excess, key=lambda label: -excess[label])[:most]


def restored_energies(reports: Mapping[str, BackmappingReport]) -> Figure | None:
    """Energies of restored frames under the finer level (line) over those of true frames (grey)."""
    known = {name: r.energy_histogram for name, r in reports.items() if r.energy_histogram}
    if not known:
        return None
    figure = _figure(3.2 * max(3, len(known)), 2.3)
    for k, (axes, (name, h)) in enumerate(zip(_panels(figure, len(known), 3), known.items())):
        axes.stairs(h["reference"], h["edges"], fill=True, color="#cbd2d9")
        axes.stairs(h["model"], h["edges"], color=level_colour(k + 1), lw=1.6)
        _style(axes, name, "energy - mean of true frames / kT")
        axes.set_yticks([])
    return figure


def audit(levels: Sequence[LevelFiles]) -> Figure | None:
    """The PMF of every level that was audited against the free energy its backmapper's draws say,
    frame by frame.
    """
    known = [level for level in levels if level.audit]
    if not known:
        return None
    figure = _figure(3.2 * max(3, len(known)), 3.0)
    for axes, level in zip(_panels(figure, len(known), 3), known):
        found, learned, error = (
            np.array(level.audit[k], float) for k in ("audited", "learned", "error")
        )
        ends = min(found.min(), learned.min()), max(found.max(), learned.max())
        axes.plot(ends, ends, color=MUTED, lw=0.8)
        axes.errorbar(
            found, learned, xerr=error, fmt="o", ms=3, lw=0.7, color=level_colour(level.number)
        )
        _style(axes, level.name, "free energy from draws / kT", "learned PMF / kT")
    return figure


# ---- simulation --------------------------------------------------------------------------------


def energies(levels: Sequence[LevelFiles]) -> Figure | None:
    """Energies along the frames of every level that has them, relative to their mean."""
    known = [
        level for level in levels if level.frames is not None and level.frames.energies is not None
    ]
    if not known:
        return None
    figure = _figure(3.2 * max(3, len(known)), 2.3)
    for axes, level in zip(_panels(figure, len(known), 3), known):
        assert level.frames is not None and level.frames.energies is not None
        energy = np.asarray(level.frames.energies, float)
        weights = level.frames.normalised_weights()
        density, edges = np.histogram(energy - weights @ energy, 60, weights=weights, density=True)
        axes.stairs(density, edges, fill=True, color=level_colour(level.number), alpha=0.75)
        _style(axes, level.name, "energy - mean / kJ mol$^{-1}$")
        axes.set_yticks([])
    return figure
