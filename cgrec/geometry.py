"""Distances, angles and dihedrals: one set of formulas for numpy arrays and torch tensors (autograd included).

Positions are (..., n_sites, 3); `sites` is (n_terms, k); results are (..., n_terms). Molecules must be whole.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def _library(x: Any) -> Any:
    return np if isinstance(x, np.ndarray) else sys.modules["torch"]


def distance(positions: Any, sites: Any) -> Any:
    """(..., n_terms) distance of sites (n_terms, 2), in the unit of `positions`."""
    return _norm(positions[..., sites[:, 1], :] - positions[..., sites[:, 0], :])


def angle(positions: Any, sites: Any) -> Any:
    """(..., n_terms) angle at the middle site of (n_terms, 3), rad in [0, pi]."""
    u = positions[..., sites[:, 0], :] - positions[..., sites[:, 1], :]
    v = positions[..., sites[:, 2], :] - positions[..., sites[:, 1], :]
    lib = _library(u)
    # atan2 keeps its gradient finite where arccos loses it, near a straight angle.
    return lib.arctan2(_norm(lib.linalg.cross(u, v)), (u * v).sum(-1))


def dihedral(positions: Any, sites: Any) -> Any:
    """(..., n_terms) dihedral of (n_terms, 4), rad in (-pi, pi], IUPAC sign (trans = pi)."""
    a, b, c, d = (positions[..., sites[:, k], :] for k in range(4))
    u, v, w = b - a, c - b, d - c
    lib = _library(u)
    m, n = lib.linalg.cross(u, v), lib.linalg.cross(v, w)
    return lib.arctan2((_norm(v)[..., None] * u * n).sum(-1), (m * n).sum(-1))


def signed_volume(positions: Any, sites: Any) -> Any:
    """(..., n_terms) triple product of the three arms from the first site of (n_terms, 4), normalised to unit arms: its sign is the handedness."""
    centre = positions[..., sites[:, 0], :]
    u, v, w = (positions[..., sites[:, k], :] - centre for k in (1, 2, 3))
    lib = _library(u)
    return (u * lib.linalg.cross(v, w)).sum(-1) / (_norm(u) * _norm(v) * _norm(w))


def _norm(x: Any) -> Any:
    return (x * x).sum(-1) ** 0.5
