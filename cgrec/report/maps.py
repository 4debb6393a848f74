"""Pictures of proposed mappings: what they cost, and the molecule with its beads coloured."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.sparse.csgraph import shortest_path

from ..files import write_whole
from ..mapping.choose.proposals import METHODS, SCORES, Proposal
from ..system import System
from .figures import INK, MUTED, _figure, _panels, _style, level_colour


def pareto(proposals: Sequence[Proposal]) -> Figure | None:
    """Each score against the number of sites, a colour a method; None without scores."""
    known = [s for s in SCORES if any(s in p.scores for p in proposals)]
    if not known:
        return None
    figure = _figure(3.4 * max(2, len(known)), 3.2)
    methods = [m for m in METHODS if any(p.method == m for p in proposals)]
    for axes, score in zip(_panels(figure, len(known), 2), known):
        for method, place in product(methods, ("centre", "atom")):
            some = sorted(
                (
                    p
                    for p in proposals
                    if (p.method, p.place) == (method, place) and score in p.scores
                ),
                key=lambda p: p.coarse.n_sites,
            )
            if not some:
                continue
            values = np.array([(p.coarse.n_sites, *p.scores[score]) for p in some]).reshape(-1, 3)
            colour = level_colour(1 + list(METHODS).index(method))
            axes.errorbar(
                *values.T[:2],
                yerr=values[:, 2],
                fmt="o-" if place == "centre" else "s:",
                ms=4,
                lw=0.8,
                color=colour,
                label=f"{method.replace('_', ' ')}, {place}",
            )
        _style(
            axes,
            score,
            "sites",
            SCORES[score].rpartition(" / ")[2] if " / " in SCORES[score] else "",
        )
    figure.axes[0].legend(fontsize=7, frameon=False)
    return figure


def beads(proposals: Sequence[Proposal], positions: NDArray[np.floating] | None = None) -> Figure:
    """The molecule once for each proposal, atoms coloured by bead; positions (n_sites, 3) nm, by
    default laid out from the bonds.
    """
    system = proposals[0].fine
    flat = flat_view(layout(system) if positions is None else np.asarray(positions, float))
    columns = min(4, len(proposals))
    rows = -(-len(proposals) // columns)
    figure = _figure(3.4 * columns, 3.3 * rows)
    colours = matplotlib.colormaps["tab20"]
    for k, proposal in enumerate(proposals):
        axes = figure.add_subplot(rows, columns, k + 1)
        for i, j in system.bonds:
            axes.plot(*flat[[i, j]].T, color=MUTED, lw=1, zorder=1)
        owner = np.full(system.n_sites, -1)
        for site, atoms in enumerate(proposal.beads):
            owner[list(atoms)] = site
        size = np.where(np.array(system.elements) == "H", 25, 90)
        shade = [MUTED if o < 0 else colours(o % 20) for o in owner]
        axes.scatter(
            flat[:, 0], flat[:, 1], s=size, c=shade, zorder=2, edgecolors="white", linewidths=0.5
        )
        for i in np.flatnonzero(np.array(system.elements) != "H"):
            axes.annotate(system.names[i], flat[i], fontsize=5, ha="center", va="center", zorder=3)
        if proposal.place == "atom":
            picks = flat[proposal.position_weights.argmax(1)]
            axes.scatter(
                picks[:, 0], picks[:, 1], s=150, facecolors="none", edgecolors=INK, zorder=2
            )
        axes.set_title(
            f"{proposal.method.replace('_', ' ')}, {proposal.coarse.n_sites} sites", fontsize=9
        )
        axes.set_aspect("equal")
        axes.axis("off")
    return figure


def layout(system: System) -> NDArray[np.float64]:
    """(n_sites, 3) places whose distances are as near as can be to numbers of bonds (classical
    scaling).
    """
    graph = np.zeros((system.n_sites,) * 2)
    graph[tuple(system.bonds.T)] = 1
    hops = shortest_path(graph, directed=False)
    hops = np.where(np.isfinite(hops), hops, hops[np.isfinite(hops)].max() + 2)
    centred = np.eye(len(hops)) - 1 / len(hops)
    values, vectors = np.linalg.eigh(-centred @ hops**2 @ centred / 2)
    return vectors[:, -3:] * np.sqrt(np.maximum(values[-3:], 0))


def flat_view(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2): the view along which least is hidden."""
    x = x - x.mean(0)
    return x @ np.linalg.svd(x, full_matrices=False)[2][:2].T


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    write_whole(path, lambda partial: figure.savefig(partial, dpi=150, format="png"))
