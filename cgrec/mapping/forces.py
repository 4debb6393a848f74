"""Force maps: which B of the many with B M^T = I to use. Each is `(mapping, frames) -> Mapping`, another B.

All give unbiased labels of the same mean force; they differ in noise and in whether constraint forces cancel.

Sources. Mean force and constraints: Noid et al., J. Chem. Phys. 128, 244114 (2008); Ciccotti, Lelièvre,
Vanden-Eijnden, Commun. Pure Appl. Math. 61, 371 (2008). Least noise: Krämer, Durumeric, Charron, Chen,
Clementi, Noé, J. Phys. Chem. Lett. 14, 3970 (2023).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve

from ..frames import Frames
from ..system import connected_components
from .linear import Mapping, basic_force_weights, frame_chunks, need_same_system

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


def basic(mapping: Mapping, frames: Frames | None = None) -> Mapping:
    """The sum over a site's atoms, or the pseudo-inverse where sites share atoms; `frames` play no part."""
    return replace(mapping, force_weights=basic_force_weights(mapping.position_weights))


def constraint_aware(mapping: Mapping, frames: Frames | None = None) -> Mapping:
    """The map nearest to the basic one in which atoms tied by constraints enter with equal weight.

    A picked atom becomes the sum over its rigid group; without constraints this is the basic map. `frames`
    play no part.

    Raises:
        ValueError: no such B exists, e.g. two sites are two atoms of one rigid group.
    """
    problems = [_problem(mapping, block) for block in _blocks(mapping, within_molecule=True)]
    return _assemble(mapping, problems, [p.nearest for p in problems])


def least_noise(
    mapping: Mapping, frames: Frames, *, within_molecule: bool = True, ridge: float = 1e-9
) -> Mapping:
    """The map of least mean square mapped force: min tr(B S B^T), S = <sum_xyz F F^T>, under B M^T = I.

    The mean force is the same for every legal B, so the least total is the least noise. Constraints hold as
    in `constraint_aware`. B is fitted to these frames; its excess noise is of order n_fine / (3 n_frames).

    Args:
        mapping: gives M; its own B plays no part.
        frames: of `mapping.fine`, with forces; weights are used.
        within_molecule: only atoms of the molecules a site is made of may enter its force.
        ridge: added to the diagonal of S relative to its mean, for directions in which no force acts.

    Raises:
        ValueError: no forces, another System, too few frames to determine B, or constraints that allow no B.
    """
    forces = frames.need_forces()
    need_same_system(
        frames.system, mapping.fine, "least_noise: the System of the frames", "the Mapping's fine System"
    )
    problems = [_problem(mapping, block) for block in _blocks(mapping, within_molecule)]
    _need_samples(problems, len(frames))
    moments = _second_moments(forces, frames.normalised_weights(), [p.atoms for p in problems])
    return _assemble(mapping, problems, [_minimise(p, s, ridge) for p, s in zip(problems, moments)])


def force_noise(mapping: Mapping, frames: Frames) -> Array:
    """(n_sites,) mean square mapped force <|B F|^2>, (kJ/mol/nm)^2: of two B of one M, less is less noise.

    Raises:
        ValueError: no forces, another System, or a B that the constraints forbid.
    """
    frames.need_forces()
    squares = (np.asarray(mapping(frames).forces) ** 2).sum(axis=-1)
    return frames.normalised_weights() @ squares


#: Force maps by the name a config gives them.
FORCE_MAPS: dict[str, Callable[..., Mapping]] = {
    "basic": basic,
    "constraint_aware": constraint_aware,
    "least_noise": least_noise,
}


class _Problem(NamedTuple):
    """Part of B that can be found by itself: b = basis h, with (M basis) h = I.

    `sites`, `atoms`: indices of its rows and columns. `basis` (n_atoms, n_groups): orthonormal, one column
    per rigid group. `nearest` (n_groups, n_sites): the legal h closest to the basic map. `free` (n_groups,
    n_free): directions that leave B M^T alone.
    """

    sites: Indices
    atoms: Indices
    basis: Array
    nearest: Array
    free: Array


def _blocks(mapping: Mapping, within_molecule: bool) -> list[tuple[Indices, Indices]]:
    """(sites, atoms) of the pieces not connected by bonds, constraints or sites; else all as one piece."""
    n_sites, n_fine = mapping.position_weights.shape
    if not within_molecule:
        return [(np.arange(n_sites), np.arange(n_fine))]
    sites, atoms = np.nonzero(mapping.position_weights)
    shared = np.column_stack([atoms, sites + n_fine])
    pairs = np.vstack([mapping.fine.bonds, mapping.fine.constraints, shared])
    piece = connected_components(n_fine + n_sites, pairs)
    atom_piece, site_piece = piece[:n_fine], piece[n_fine:]
    return [(np.flatnonzero(site_piece == k), np.flatnonzero(atom_piece == k)) for k in np.unique(site_piece)]


def _problem(mapping: Mapping, block: tuple[Indices, Indices]) -> _Problem:
    sites, atoms = block
    weights = mapping.position_weights[np.ix_(sites, atoms)]
    basis = _rigid_basis(mapping, atoms)
    u, singular, vt = np.linalg.svd(weights @ basis)
    solvable = singular > 1e-10 * singular.max()
    if solvable.sum() < len(sites):
        _refuse(mapping, sites[np.abs(u[:, -1]) > 1e-8])
    inverse = vt[: len(sites)].T / singular @ u.T
    wanted = basis.T @ basic_force_weights(weights).T
    nearest = wanted + inverse @ (np.eye(len(sites)) - weights @ basis @ wanted)
    return _Problem(sites, atoms, basis, nearest, vt[len(sites) :].T)


def _rigid_basis(mapping: Mapping, atoms: Indices) -> Array:
    groups = connected_components(mapping.fine.n_sites, mapping.fine.constraints)[atoms]
    members = (groups[:, None] == np.unique(groups)).astype(float)
    return members / np.sqrt(members.sum(axis=0))


def _refuse(mapping: Mapping, sites: Indices) -> None:
    found = []
    for site in sites[:6]:
        atoms = np.flatnonzero(mapping.position_weights[site])[:8]
        names = ", ".join(f"{mapping.fine.labels[i]} (#{i})" for i in atoms)
        found.append(f"{mapping.coarse.labels[site]} made of {names}")
    raise ValueError(
        "no force map gives equal weight to atoms tied by constraints: expected sites that can move "
        f"independently, found these in one rigid group: {'; '.join(found)}. Keep one site per rigid "
        "group, or make frames without constraints"
    )


def _need_samples(problems: Sequence[_Problem], n_frames: int) -> None:
    unknowns = max(p.free.shape[1] for p in problems)
    if 3 * n_frames < unknowns:
        raise ValueError(
            f"least_noise: {n_frames} frames give {3 * n_frames} force components per atom, expected "
            f"at least {unknowns} to determine B; give more frames, keep within_molecule=True, "
            "or use constraint_aware"
        )


def _second_moments(forces: Array, weights: Array, blocks: Sequence[Indices]) -> list[Array]:
    """[(n_atoms, n_atoms)] <sum_xyz F F^T> over the weighted frames, one for the atoms of each block."""
    moments = [np.zeros((len(atoms), len(atoms))) for atoms in blocks]
    for chunk in frame_chunks(forces):
        scaled = np.asarray(forces[chunk], float) * np.sqrt(weights[chunk])[:, None, None]
        for moment, atoms in zip(moments, blocks):
            columns = scaled[:, atoms].transpose(1, 0, 2).reshape(len(atoms), -1)
            moment += columns @ columns.T
    return moments


def _minimise(problem: _Problem, moment: Array, ridge: float) -> Array:
    """(n_groups, n_sites) the h of least noise: stationary along every free direction (the KKT point)."""
    if problem.free.shape[1] == 0:
        return problem.nearest
    reduced = problem.basis.T @ moment @ problem.basis
    scale = np.trace(reduced) / len(reduced) or 1.0
    reduced = reduced + ridge * scale * np.eye(len(reduced))
    free, slope = problem.free, reduced @ problem.nearest
    return problem.nearest - free @ solve(free.T @ reduced @ free, free.T @ slope, assume_a="pos")


def _assemble(mapping: Mapping, problems: Sequence[_Problem], solutions: Sequence[Array]) -> Mapping:
    weights = np.zeros_like(mapping.position_weights)
    for problem, solution in zip(problems, solutions):
        weights[np.ix_(problem.sites, problem.atoms)] = (problem.basis @ solution).T
    weights[np.abs(weights) < 1e-12] = 0  # rounding of exact zeros; keeps a local map sparse
    return replace(mapping, force_weights=weights)
