"""Periodic boxes in the forms files use, whole molecules, and close pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import cell
from ..system import System

#: Sites of an open system up to which all distances cost less than cells.
_DENSE = 200


def box_rows(box: ArrayLike) -> NDArray[np.float64]:
    """Any usual form of a periodic box as lattice vectors in rows, in the unit it came in.

    Args:
        box: an edge (), edges (3,), edges and angles in degrees (6,), rows (3, 3); or edges per
            frame (n, 3), edges and angles per frame (n, 6), rows per frame (n, 3, 3). A (3, 3)
            array always means rows.

    Returns:
        (3, 3), also where all frames share one box; else (n, 3, 3).

    Raises:
        ValueError: another shape.
    """
    array = np.asarray(box, float)
    if array.ndim == 0:
        array = np.repeat(array, 3)
    if array.shape[-1] == 6 and array.ndim <= 2:
        array = _rows_from_angles(array)
    elif array.shape[-1] == 3 and (array.ndim == 1 or (array.ndim == 2 and len(array) != 3)):
        edges, array = array, np.zeros((*array.shape, 3))
        array[..., range(3), range(3)] = edges
    if array.shape[-2:] != (3, 3) or array.ndim not in (2, 3):
        raise ValueError(
            "box: expected one edge, 3 edges, 3 edges and 3 angles or 3 x 3 rows, found shape "
            f"{np.shape(box)}"
        )
    if array.ndim == 3 and len(array) and np.allclose(array, array[0], rtol=1e-6, atol=0):
        return array[0]
    return array


def check_rows(rows: NDArray[np.float64], where: str) -> None:
    """ValueError where lattice vectors (3, 3) or (n, 3, 3) span no space, or edges are negative."""
    each = rows.reshape(-1, 3, 3)
    with np.errstate(invalid="ignore", over="ignore"):
        sizes = np.linalg.norm(each, axis=-1).prod(-1)
        flat = ~(np.abs(np.linalg.det(each)) > 1e-6 * sizes)
    # edges along x, or a in x and b in xy as programs write them
    lower = (np.triu(each, 1) == 0).all((1, 2))
    negative = lower & (np.diagonal(each, axis1=1, axis2=2) < 0).any(-1)
    wrong = np.flatnonzero(flat | negative | ~np.isfinite(each).all((1, 2)))
    if not len(wrong):
        return
    k = int(wrong[0])
    found = " | ".join(" ".join(f"{v:.4g}" for v in row) for row in each[k])
    which = "" if len(each) == 1 else f" of frame {k}"
    raise ValueError(
        f"{where}: the box{which} has the rows {found} nm: expected three vectors that span a "
        "space, with "
        "positive edges; give box= (edges in the file's unit of length), or box='open' for a "
        "system without "
        "one"
    )


def _rows_from_angles(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 6) edges and angles (degrees) -> (..., 3, 3) rows: a along x, b in the xy plane."""
    edges, cosines = box[..., :3], np.cos(np.radians(box[..., 3:]))
    cosines = np.where(np.abs(cosines) < 1e-7, 0.0, cosines)
    sine = np.sqrt(1 - cosines[..., 2] ** 2)
    rows = np.zeros((*box.shape[:-1], 3, 3))
    rows[..., 0, 0] = 1
    rows[..., 1, :2] = np.stack([cosines[..., 2], sine], -1)
    x, y = cosines[..., 1], (cosines[..., 0] - cosines[..., 1] * cosines[..., 2]) / sine
    rows[..., 2, :] = np.stack([x, y, np.sqrt(1 - x**2 - y**2)], -1)
    return rows * edges[..., None]


def make_whole(
    positions: NDArray[np.floating], system: System, box: NDArray[np.floating] | None
) -> NDArray[np.floating]:
    """(n_frames, n_sites, 3) with no bond across the box; the first site of each molecule stays
    where it is.

    Args:
        positions: (n_frames, n_sites, 3).
        system: its bonds say what belongs together.
        box: (3, 3) or (n_frames, 3, 3), same unit as `positions`, or None.
    """
    if box is None or not len(system.bonds):
        return positions
    roots = np.unique(system.molecules, return_index=True)[1]
    return cell.make_whole(positions, system.neighbours(), roots, box)


def close_pairs(
    positions: NDArray[np.floating], cutoff: float, box: NDArray[np.floating] | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Pairs of sites of one frame closer than `cutoff`, each once.

    Args:
        positions: (n_sites, 3); molecules may be anywhere, images are taken.
        cutoff: same unit.
        box: (3, 3) or None.

    Returns:
        (n_pairs, 2) site indices and (n_pairs, 3) the vector from the first to the second.
    """
    from vesin import NeighborList

    periodic = box is not None
    if not periodic and len(positions) <= _DENSE:
        return _close_pairs_dense(np.asarray(positions, float), cutoff)
    rows = np.asarray(box, float) if periodic else np.zeros((3, 3))
    points = np.ascontiguousarray(positions, float)
    i, j, vectors = NeighborList(cutoff=cutoff, full_list=False).compute(
        points, rows, periodic, "ijD"
    )
    return np.stack([i, j], -1).astype(np.int64), vectors


def _close_pairs_dense(
    positions: NDArray[np.floating], cutoff: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """`close_pairs` of an open system by all distances: cells would be many where few sites lie far
    apart.
    """
    i, j = np.triu_indices(len(positions), 1)
    vectors = positions[j] - positions[i]
    near = (vectors**2).sum(1) < cutoff**2
    return np.stack([i[near], j[near]], -1).astype(np.int64), vectors[near]
