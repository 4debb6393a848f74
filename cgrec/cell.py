"""The periodic box: its widths, shortest images, whole molecules.

A box is three lattice vectors in rows, (3, 3), or one such box for each frame, (n_frames, 3, 3).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .bonds import Near, generations

Floats = NDArray[np.floating]


def widths(box: Floats) -> NDArray[np.float64]:
    """(..., 3) distances between opposite faces of boxes (..., 3, 3): one over the lengths of the
    reciprocal vectors.

    Up to half the narrowest, the nearest image of a site is the only one.
    """
    return np.asarray(1 / np.linalg.norm(np.linalg.inv(box), axis=-2))


def lattice_steps(vectors: Floats, box: Floats) -> Floats:
    """(..., k, 3) lattice vectors, in numbers of box vectors, that `minimum_image` takes away."""
    return np.rint(vectors @ np.linalg.inv(box))


def minimum_image(vectors: Floats, box: Floats | None) -> Floats:
    """(..., k, 3) vectors moved by lattice vectors of `box` (..., 3, 3) to their shortest image;
    as they are without a box.

    Exact for vectors shorter than half the narrowest width of the box, which bonds are.
    """
    return vectors if box is None else vectors - lattice_steps(vectors, box) @ box


def make_whole(positions: Floats, near: Near, roots: NDArray[np.int64], box: Floats) -> Floats:
    """(n_frames, n_sites, 3) with no bond across the box; the roots stay where they are.

    Args:
        positions: (n_frames, n_sites, 3).
        near: bonded sites of each site.
        roots: a site of each molecule.
        box: (3, 3) or (n_frames, 3, 3), same unit as `positions`.
    """
    whole = np.array(positions)
    for parent_of in generations(near, roots.tolist()):
        children, parents = np.array(list(parent_of)), np.array(list(parent_of.values()))
        step = minimum_image(
            positions[:, children].astype(float) - positions[:, parents], np.asarray(box, float)
        )
        whole[:, children] = whole[:, parents] + step
    return whole
