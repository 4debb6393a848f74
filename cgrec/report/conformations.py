"""Conformations of a chain: groups of frames that are alike, with the share of each in the level's own
run and in its parent's.

A level may agree with its parent in every single number and still hold a fold that its parent never
has, or lack one: here it can be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.axes3d import Axes3D
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2, vq

from .. import geometry
from ..frames import Frames
from ..statistics.errors import jackknife_rows
from ..statistics.resampling import resampled
from ..trace import longest_chain
from ..variables import RMSD
from .figures import INK, MUTED, superpose
from .read import LevelFiles, thin

#: Groups of each level: as many as fit side by side.
GROUPS = 4
#: Frames of either ensemble that are looked at.
_MOST = 4_000
#: Places apart along the chain, and how many sites a chain is thinned to: distances of nearer sites
#: tell nothing of the fold, and those of fifty sites tell all.
_APART, _SITES = 2, 50
#: Sites of the shortest chain that has folds.
_SHORTEST = 4


class Group(NamedTuple):
    """Frames that are alike.

    Attributes:
        trace: (n, 3) nm, chain of the frame in the middle.
        own, parent: (share, error).
    """

    trace: NDArray[np.float64]
    own: tuple[float, float]
    parent: tuple[float, float]


def groups_of(level: LevelFiles) -> list[Group]:
    """The groups of a level and its parent, the largest of the parent first; none where it has no
    chain, or no frames of both.
    """
    own, parent = level.frames, level.targets
    if own is None or parent is None or min(len(own), len(parent)) < 10 * GROUPS:
        return []
    chain = longest_chain(own.system)
    if len(chain) < _SHORTEST:
        return []
    ensembles = [thin(own, _MOST), thin(parent, _MOST)]
    traces = [np.asarray(f.positions[:, chain], float) for f in ensembles]
    of_each = [_distances(x) for x in traces]
    features = np.concatenate(of_each)
    rng = np.random.default_rng(0)
    drawn = [x[resampled(f, len(f), rng)] for f, x in zip(ensembles, of_each)]
    centres, _ = kmeans2(np.concatenate(drawn), GROUPS, minit="++", rng=rng)
    label, _ = vq(features, centres)
    split = np.split(label, [len(traces[0])])
    everything = np.concatenate(traces)
    groups = []
    for k in range(GROUPS):
        inside = np.flatnonzero(label == k)
        if not len(inside):
            continue
        middle = inside[((features[inside] - centres[k]) ** 2).sum(1).argmin()]
        shares = [_share(f, own_label == k) for f, own_label in zip(ensembles, split)]
        groups.append(Group(everything[middle], *shares))
    return sorted(groups, key=lambda group: -group.parent[0])


def _distances(traces: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n_frames, n_pairs) nm, along a chain that is thinned where it is long."""
    thinned = traces[:, :: 1 + traces.shape[1] // _SITES]
    i, j = np.triu_indices(thinned.shape[1], _APART)
    return geometry.distance(thinned, np.stack([i, j], 1))


def _share(frames: Frames, inside: NDArray[np.bool_]) -> tuple[float, float]:
    """Share of the weight that is inside, and its error."""
    found = jackknife_rows(frames, inside[:, None].astype(float))
    return float(found.value[0]), float(found.error[0])


def conformations(levels: Sequence[LevelFiles]) -> Figure | None:
    """A row for each level: the native structure where an RMSD names one, then its groups."""
    found = [(level, groups) for level in levels if (groups := groups_of(level))]
    if not found:
        return None
    natives = [_native(level) for level, _ in found]
    first = any(native is not None for native in natives)
    columns = GROUPS + first
    figure = Figure(figsize=(2.2 * columns, 2.5 * len(found)))
    for row, ((level, groups), native) in enumerate(zip(found, natives)):
        drawn = [(group.trace, _title(group)) for group in groups]
        if first:
            title = f"{level.name}: native" if native is not None else level.name
            drawn.insert(0, (np.zeros((0, 3)) if native is None else native, title))
        else:
            drawn[0] = (drawn[0][0], f"{level.name}\n{drawn[0][1]}")
        _row(figure, drawn, (len(found), columns, row * columns))
    figure.subplots_adjust(0, 0, 1, 0.92, 0, 0.15)
    return figure


def _native(level: LevelFiles) -> NDArray[np.float64] | None:
    """(n, 3) nm, chain of the structure of an RMSD, with the sites of the level."""
    frames = level.frames
    for variable in level.variables:
        if isinstance(variable, RMSD) and frames is not None and variable.defined_on(frames.system):
            return variable.reference(frames.system, longest_chain(frames.system))
    return None


def _title(group: Group) -> str:
    own, parent = (f"{100 * share:.0f} ± {100 * error:.0f} %" for share, error in group[1:])
    return f"{own}, parent {parent}"


def _row(
    figure: Figure, drawn: list[tuple[NDArray[np.float64], str]], place: tuple[int, int, int]
) -> None:
    """Chains side by side, each turned onto the first."""
    rows, columns, before = place
    there = [trace for trace, _ in drawn if len(trace)]
    turned = iter(superpose(np.array(there), np.ones(there[0].shape[0])))
    radius = max(float(np.abs(x - x.mean(0)).max()) for x in there)
    for k, (trace, title) in enumerate(drawn):
        axes = cast(Axes3D, figure.add_subplot(rows, columns, before + k + 1, projection="3d"))
        axes.set_title(title, fontsize=8, color=INK if k == 0 else MUTED, y=0.97)
        axes.set_axis_off()
        if len(trace):
            _draw(axes, next(turned), radius)


def _draw(axes: Axes3D, trace: NDArray[np.float64], radius: float) -> None:
    """A chain, dark at its first site and bright at its last."""
    colours = colormaps["viridis"](np.linspace(0.0, 0.9, len(trace)))
    axes.computed_zorder = False
    for k in range(len(trace) - 1):
        axes.plot(*trace[k : k + 2].T, color=colours[k], lw=3.0, solid_capstyle="round", zorder=1)
    axes.scatter(*trace.T, c=colours, s=36, depthshade=False, lw=0.4, ec="white", zorder=2)
    axes.set(xlim=(-radius, radius), ylim=(-radius, radius), zlim=(-radius, radius))
    axes.set_box_aspect((1, 1, 1), zoom=1.15)
    axes.view_init(elev=88, azim=-90)
