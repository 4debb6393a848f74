"""Distances, angles and dihedrals: one set of formulas for numpy arrays and torch tensors (autograd
included).

Positions are (..., n_sites, 3); `sites` is (n_terms, k); results are (..., n_terms). Molecules must
be whole.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

#: What the formulas take and give back.
X = TypeVar("X", NDArray[np.float64], "Tensor")


#: Square of a sine below which three sites count as a line for `dihedral_and_sines`.
LINE = 1e-20


class Formula(Protocol):
    """One of `distance`, `angle`, `cosine`, `dihedral` and `signed_volume`."""

    def __call__(self, positions: X, sites: NDArray[np.int64] | Tensor, /) -> X: ...


def _library(x: object) -> ModuleType:
    return np if isinstance(x, np.ndarray) else sys.modules["torch"]


def distance(positions: X, sites: NDArray[np.int64] | Tensor) -> X:
    """(..., n_terms) distance of sites (n_terms, 2), in the unit of `positions`."""
    return norm(positions[..., sites[:, 1], :] - positions[..., sites[:, 0], :])


def angle(positions: X, sites: NDArray[np.int64] | Tensor) -> X:
    """(..., n_terms) angle at the middle site of (n_terms, 3), rad in [0, pi]."""
    u = positions[..., sites[:, 0], :] - positions[..., sites[:, 1], :]
    v = positions[..., sites[:, 2], :] - positions[..., sites[:, 1], :]
    lib = _library(u)
    # atan2 keeps its gradient finite where arccos loses it, near a straight angle.
    return lib.arctan2(norm(lib.linalg.cross(u, v)), (u * v).sum(-1))


def cosine(positions: X, sites: NDArray[np.int64] | Tensor) -> X:
    """(..., n_terms) cosine of the angle at the middle site of (n_terms, 3): smooth for three sites
    on a line.
    """
    u = positions[..., sites[:, 0], :] - positions[..., sites[:, 1], :]
    v = positions[..., sites[:, 2], :] - positions[..., sites[:, 1], :]
    return (u * v).sum(-1) / (norm(u) * norm(v))


def dihedral(positions: X, sites: NDArray[np.int64] | Tensor) -> X:
    """(..., n_terms) dihedral of (n_terms, 4), rad in (-pi, pi], IUPAC sign (trans = pi)."""
    u, v, _, m, n = _planes(positions, sites)
    return _library(u).arctan2((norm(v)[..., None] * u * n).sum(-1), (m * n).sum(-1))


def dihedral_and_sines(positions: X, sites: NDArray[np.int64] | Tensor) -> tuple[X, X, X]:
    """(..., n_terms) dihedral of (n_terms, 4), and the squares of the sines of its first and second
    angle, which are smooth for three sites on a line. There a dihedral is not defined: 0, with a
    gradient of zero.
    """
    u, v, w, m, n = _planes(positions, sites)
    vv = (v * v).sum(-1)
    first = (m * m).sum(-1) / ((u * u).sum(-1) * vv)
    second = (n * n).sum(-1) / ((w * w).sum(-1) * vv)
    line = (first < LINE) | (second < LINE)
    # Before the angle is taken: no factor of zero makes a gradient finite that is not.
    lib = _library(u)
    across = lib.where(line, 0.0, (norm(v)[..., None] * u * n).sum(-1))
    along = lib.where(line, 1.0, (m * n).sum(-1))
    return lib.arctan2(across, along), first, second


def _planes(positions: X, sites: NDArray[np.int64] | Tensor) -> tuple[X, X, X, X, X]:
    """The three bonds of dihedrals, and the normals of the two planes they span."""
    a, b, c, d = (positions[..., sites[:, k], :] for k in range(4))
    u, v, w = b - a, c - b, d - c
    lib = _library(u)
    return u, v, w, lib.linalg.cross(u, v), lib.linalg.cross(v, w)


def signed_volume(positions: X, sites: NDArray[np.int64] | Tensor) -> X:
    """(..., n_terms) triple product of the three arms from the first site of (n_terms, 4),
    normalised to unit arms: its sign is the handedness.
    """
    centre = positions[..., sites[:, 0], :]
    u, v, w = (positions[..., sites[:, k], :] - centre for k in (1, 2, 3))
    lib = _library(u)
    return (u * lib.linalg.cross(v, w)).sum(-1) / (norm(u) * norm(v) * norm(w))


def superpose(
    x: NDArray[np.float64],
    masses: NDArray[np.float64],
    weights: NDArray[np.float64],
    tolerance: float = 1e-7,
) -> NDArray[np.float64]:
    """(n_frames, n_sites, 3) frames of one molecule, centred and turned onto their mean, which is
    found on the way.

    Mass-weighted fits (W. Kabsch, Acta Cryst. A32, 922 (1976)), repeated until the mean moves by
    less than `tolerance`.

    Args:
        x: (n_frames, n_sites, 3) positions, a numpy array.
        masses: (n_sites,).
        weights: (n_frames,) statistical weights that sum to one, for the mean.
        tolerance: in the unit of `x`.
    """
    share = masses / masses.sum()
    x = x - np.einsum("i,fik->fk", share, x)[:, None]
    mean = x[np.argmax(weights)]
    for _ in range(50):
        x = x @ rotation(x, share[:, None] * mean)
        before, mean = mean, np.tensordot(weights, x, 1)
        if np.abs(mean - before).max() < tolerance:
            break
    return x


def rotation(x: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 3, 3) R so that x @ R is nearest to `target` in least squares (W. Kabsch, Acta Cryst.
    A32, 922 (1976)).

    Args:
        x: (..., n_sites, 3), centred.
        target: (n_sites, 3), centred; each row times the weight of its site where they differ.
    """
    u, _, v = np.linalg.svd(np.einsum("...ia,ib->...ab", x, target, optimize=True))
    v[..., 2, :] *= np.sign(np.linalg.det(u @ v))[..., None]  # a rotation, never a mirror image
    found: NDArray[np.float64] = u @ v
    return found


def tanh(x: X) -> X:
    """The hyperbolic tangent, element by element."""
    return _library(x).tanh(x)


def norm(x: X) -> X:
    """(...,) length of vectors (..., n); its gradient at zero is zero."""
    if isinstance(x, np.ndarray):
        return (x * x).sum(-1) ** 0.5
    return sys.modules["torch"].linalg.vector_norm(x, dim=-1)  # of a root it is not finite
