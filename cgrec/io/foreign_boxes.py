"""Has each frame its own box? Single frames whose edges are not those of the frames around them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..frames import Frames

#: Frames without which it cannot be told which box is the usual one.
_LEAST_FRAMES = 20
#: Share of the frames with the commonest box from which on the box is meant to be constant, and
#: longest run of others that is a slip and no second state.
_CONSTANT, _RUN = 0.7, 4
#: Standard deviations of differences from the frames around, and share of the edge, at which one
#: frame's box is foreign.
_DEVIATIONS, _SHARE = 6.0, 0.003
#: Share of frames with the box of the frame before from which on boxes move by jumps.
_STILL = 0.1
#: Share of frames with other boxes above which these are a mixture of states, not slips.
_SLIPS = 0.2


def foreign_boxes(frames: Frames) -> str:
    """What says that single frames have the box of others; "" where nothing does.

    Where the box is constant, a frame is foreign whose edge differs by more than 0.3 %. Where it
    moves, one whose edge differs from the mean of the two frames before and of the two after, to
    the same side, by more than 0.3 % and 6 robust standard deviations of what edges differ from the
    median of those four (where boxes jump: of what edges differ from their median). More than 4
    such frames in a row of a constant box, and more than a fifth of all, are taken for states of
    their own. Not looked at are angles, and the first and last frame of a box that moves.
    """
    if frames.box is None or frames.box.ndim == 2 or len(frames) < _LEAST_FRAMES:
        return ""
    edges = np.linalg.norm(np.asarray(frames.box, float), axis=-1)
    rounded = np.round(edges / edges.mean(0), 5)
    boxes, counts = np.unique(rounded, axis=0, return_counts=True)
    if counts.max() >= _CONSTANT * len(edges):
        middle = np.broadcast_to(boxes[counts.argmax()] * edges.mean(0), edges.shape)
        apart = (np.abs(edges / middle - 1) > _SHARE).any(1)
        apart &= ~_long_runs(apart)
        name = "most others have"
    else:
        apart, middle = _apart_from_neighbours(edges)
        apart &= ~_near_another_replica(frames)
        name = "the frames around it have about"
    if not 0 < apart.sum() <= _SLIPS * len(edges):
        return ""
    first = int(np.flatnonzero(apart)[0])
    return (
        f"{apart.sum()} of {len(edges)} frames have a box that is not that of the others, the "
        "first is frame "
        f"{first}: {_size(edges[first])} nm, {name} {_size(middle[first])} nm; is it another "
        "frame's?"
    )


def _apart_from_neighbours(
    edges: NDArray[np.float64],
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """(n,) frames of which an edge is far from the mean of the two before and of the two after, to
    the same side of both; and (n, 3) nm the median of the four.

    The first and the last frame are never.
    """
    n = len(edges)
    padded = np.concatenate([edges[[2, 1]], edges, edges[[-2, -3]]])
    around = np.stack([padded[k : k + n] for k in (0, 1, 3, 4)])
    around_it = np.median(around, axis=0)
    off = edges - np.stack([around[:2].mean(0), around[2:].mean(0)])
    apart = np.zeros(n, bool)  # at the ends of the sample nobody knows whether the box moves on
    for axis in range(3):
        edge = edges[:, axis].mean()
        # a barostat by Monte Carlo stands still and then jumps, and may jump back at once
        jumps = (np.diff(edges[:, axis]) == 0).mean() > _STILL
        middle = np.median(edges[:, axis]) if jumps else around_it[:, axis]
        usual = float(np.quantile(np.abs(edges[:, axis] - middle), 0.75)) / 1.15
        size, sign = np.abs(off[..., axis]).min(0), np.sign(off[..., axis])
        apart |= (size > max(_DEVIATIONS * usual, _SHARE * edge)) & (sign[0] == sign[1])
    apart[[0, -1]] = False
    return apart, around_it


def _near_another_replica(frames: Frames) -> NDArray[np.bool_]:
    """Frames within two of where another replica begins."""
    replicas = np.zeros(len(frames), int) if frames.replicas is None else frames.replicas
    starts = np.flatnonzero(np.diff(replicas)) + 1
    near = np.zeros(len(frames), bool)
    for k in (-2, -1, 0, 1):
        near[np.clip(starts + k, 0, len(frames) - 1)] = True
    return near


def _long_runs(apart: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where more than `_RUN` frames in a row are apart: another state on purpose."""
    ends = np.flatnonzero(np.diff(np.r_[False, apart, False].astype(int)))
    long = np.zeros(len(apart), bool)
    for start, stop in ends.reshape(-1, 2):
        long[start:stop] = stop - start > _RUN
    return long


def _size(edges: NDArray[np.float64]) -> str:
    return " x ".join(f"{v:.4g}" for v in edges)
