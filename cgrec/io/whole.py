"""Frames with whole molecules, whatever brought them here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .. import cell
from ..frames import Frames, pieces, release, room
from .periodic import make_whole


def whole(frames: Frames) -> Frames:
    """`frames` with no bond across the box: the same object where none is, which is the rule.

    Large arrays are read in pieces, and what is made of them is a temporary file.
    """
    boxes = frames.boxes()
    if boxes is None or not len(frames.system.bonds):
        return frames
    parts = list(pieces(frames.positions))
    if not any(_broken(frames, boxes, part) for part in parts):
        return frames
    positions = room(frames.positions.shape)
    for part in parts:
        positions[part] = make_whole(frames.positions[part], frames.system, boxes[part])
        release(frames.positions)
        release(positions)
    return replace(frames, positions=positions)


def _broken(frames: Frames, boxes: NDArray[np.floating], part: slice) -> bool:
    """Whether a bond of some frames has a shorter image."""
    positions, bonds = frames.positions[part], frames.system.bonds
    vectors = positions[:, bonds[:, 1]].astype(float) - positions[:, bonds[:, 0]]
    found = bool(cell.lattice_steps(vectors, np.asarray(boxes[part], float)).any())
    release(frames.positions)
    return found
