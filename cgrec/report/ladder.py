"""Picture of a ladder before it is climbed: one molecule, at every level with a circle for each site."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.typing import NDArray

from ..mapping import Mapping
from ..trace import largest_molecule
from .figures import MUTED, _figure
from .maps import flat_view

#: nm between the outermost atom of a site and the circle around it.
_RIM = 0.04

Colour = tuple[float, float, float, float] | str


def ladder_picture(
    mappings: Sequence[Mapping], names: Sequence[str], positions: NDArray[np.floating]
) -> Figure | None:
    """The largest molecule once for each level; None where it is a single site.

    Args:
        mappings: of the levels, each from the level below.
        names: what stands above each.
        positions: (n_sites, 3) nm of level 0.
    """
    system = mappings[0].fine
    sites = largest_molecule(system)
    if len(sites) < 2:
        return None
    flat = flat_view(np.asarray(positions, float)[sites])
    place = {site: k for k, site in enumerate(sites)}
    bonds = [(place[i], place[j]) for i, j in system.bonds.tolist() if i in place]
    figure = _figure(3.4 * len(mappings), 3.3)
    total: Mapping | None = None
    for k, (mapping, name) in enumerate(zip(mappings, names)):
        total = mapping if total is None else mapping @ total
        weights = np.asarray(total.position_weights)[:, sites]
        axes = figure.add_subplot(1, len(mappings), k + 1)
        for bond in bonds:
            axes.plot(*flat[list(bond)].T, color=MUTED, lw=1, zorder=1)
        axes.scatter(
            flat[:, 0],
            flat[:, 1],
            s=_sizes(system.elements, sites),
            c=_colours(weights),
            zorder=2,
            edgecolors="white",
        )
        _circles(axes, weights, total.coarse.names, flat)
        axes.set_title(name, fontsize=9)
        axes.set_aspect("equal")
        axes.axis("off")
    return figure


def _circles(
    axes: Axes, weights: NDArray[np.float64], names: Sequence[str], flat: NDArray[np.floating]
) -> None:
    """A circle around the atoms of each site, with its name in the middle.

    Args:
        axes: to draw in.
        weights: (n_sites, n_atoms) of the positions.
        names: (n_sites,) of the sites.
        flat: (n_atoms, 2) nm.
    """
    here = np.flatnonzero(weights.any(axis=1))
    for n, site in enumerate(here.tolist()):
        colour = _colour(n)
        middle = weights[site] @ flat
        radius = np.linalg.norm(flat[weights[site] != 0] - middle, axis=1).max() + _RIM
        axes.add_patch(Circle(middle, radius, facecolor=(*colour[:3], 0.12), edgecolor=colour))
        axes.annotate(names[site], middle, fontsize=6, ha="center", va="center", zorder=3)


def _sizes(elements: Sequence[str], sites: Sequence[int]) -> list[int]:
    return [25 if elements[i] == "H" else 90 for i in sites]


def _colours(weights: NDArray[np.float64]) -> list[Colour]:
    """A colour for the site that each atom lies in, grey for those in none."""
    here = weights[weights.any(axis=1)]
    return [_colour(int(column.argmax())) if column.any() else MUTED for column in np.abs(here).T]


def _colour(n: int) -> tuple[float, float, float, float]:
    """Of the n-th site of a molecule."""
    return matplotlib.colormaps["tab20"](n % 20)
