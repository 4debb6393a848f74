"""Force maps: which B of the many with B M^T = I to use. Each is `(mapping, frames) -> Mapping`,
another B.

All give unbiased labels of the same mean force; they differ in noise and in whether constraint
forces cancel.

Sources. Mean force and constraints: Noid et al., J. Chem. Phys. 128, 244114 (2008); Ciccotti,
Lelièvre, Vanden-Eijnden, Commun. Pure Appl. Math. 61, 371 (2008). Least noise: Krämer, Durumeric,
Charron, Chen, Clementi, Noé, J. Phys. Chem. Lett. 14, 3970 (2023).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ..bonds import connected_components, members_of
from ..frames import Frames
from .linear import (
    Mapping,
    basic_force_weights,
    frame_chunks,
    need_same_system,
    way_for_rigid,
)

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

#: Numbers of the molecules of a kind that are worked on at a time: 8 MB.
_PORTION = 1_000_000


def basic(mapping: Mapping, frames: Frames | None = None) -> Mapping:
    """The sum over a site's atoms, or the pseudo-inverse where sites share atoms; `frames` play no
    part.
    """
    return mapping.with_force_weights(basic_force_weights(mapping.sparse_position_weights))


def constraint_aware(mapping: Mapping, frames: Frames | None = None) -> Mapping:
    """The map nearest to the basic one in which atoms tied by constraints enter with equal weight.

    A picked atom becomes the sum over its rigid group; without constraints this is the basic map.
    `frames` play no part.

    Raises:
        ValueError: no such B exists, e.g. two sites are two atoms of one rigid group.
    """
    problems = [_problem(mapping, kind) for kind in _kinds(mapping, within_molecule=True)]
    return _assemble(mapping, problems, [_copies(p, p.nearest) for p in problems])


def least_noise(
    mapping: Mapping, frames: Frames, *, within_molecule: bool = True, ridge: float = 1e-9
) -> Mapping:
    """The map of least mean square mapped force: min tr(B S B^T), S = <sum_xyz F F^T>, under B M^T
    = I.

    The mean force is the same for every legal B, so the least total is the least noise. Constraints
    hold as in `constraint_aware`. B is fitted to these frames; its excess noise is of order n_fine
    / (3 n_frames).

    Args:
        mapping: gives M; its own B plays no part.
        frames: of `mapping.fine`, with forces; weights are used.
        within_molecule: only atoms of the molecules a site is made of may enter its force.
        ridge: added to the diagonal of S relative to its mean, for directions in which no force
            acts.

    Raises:
        ValueError: no forces, another System, too few frames to determine B, or constraints that
            allow no B.
    """
    forces = frames.need_forces()
    need_same_system(
        frames.system,
        mapping.fine,
        "least_noise: the System of the frames",
        "the Mapping's fine System",
    )
    kinds = _kinds(mapping, within_molecule)
    _need_samples(kinds, len(frames))
    problems = [_problem(mapping, kind) for kind in kinds]
    weights = frames.normalised_weights()
    solutions = []
    for problem in problems:
        if problem.free.shape[1] == 0:  # constraints and sites leave one B only
            solutions.append(_copies(problem, problem.nearest))
            continue
        moments = _second_moments(forces, weights, problem.kind.atoms)
        solutions.append(_minimise(problem, moments, ridge))
    return _assemble(mapping, problems, solutions)


def force_noise(mapping: Mapping, frames: Frames) -> Array:
    """(n_sites,) mean square mapped force <|B F|^2>, (kJ/mol/nm)^2: of two B of one M, less is less
    noise.

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


class _Kind(NamedTuple):
    """Parts of B that can be found by themselves, alike in weights and rigid groups: the molecules
    of one kind.

    `sites` (n_copies, n_sites), `atoms` (n_copies, n_atoms): the rows and columns of each.
    `weights` (n_sites, n_atoms): M within a copy, sparse. `groups` (n_atoms,): which atoms are tied
    to each other by constraints, numbered in order.
    """

    sites: Indices
    atoms: Indices
    weights: csr_array
    groups: Indices


class _Problem(NamedTuple):
    """B of a kind: b = basis h, with (M basis) h = I.

    `basis` (n_atoms, n_groups): orthonormal, one column per rigid group. `nearest` (n_groups,
    n_sites): the legal h closest to the basic map. `free` (n_groups, n_free): directions that leave
    B M^T alone.
    """

    kind: _Kind
    basis: Array
    nearest: Array
    free: Array


def _kinds(mapping: Mapping, within_molecule: bool) -> list[_Kind]:
    """The pieces not connected by bonds, constraints or sites, alike ones together; else all as one
    piece.
    """
    entries = mapping.sparse_position_weights.tocoo()
    n_sites, n_fine = entries.shape
    tied = connected_components(n_fine, mapping.fine.constraints)
    if not within_molecule:
        everything = np.arange(n_sites)[None], np.arange(n_fine)[None]
        return [_Kind(*everything, mapping.sparse_position_weights, _numbered(tied))]
    links = np.column_stack([entries.col, entries.row + n_fine])
    piece = connected_components(
        n_fine + n_sites, np.vstack([mapping.fine.bonds, mapping.fine.constraints, links])
    )
    sites, site_place = members_of(piece[n_fine:])
    atoms, atom_place = members_of(piece[:n_fine])
    rows, columns = site_place[entries.row], atom_place[entries.col]
    parts, _ = members_of(piece[entries.col])
    found: dict[tuple[bytes, ...], list[int]] = {}
    for k in sites:
        own = parts[k]
        what = (rows[own], columns[own], entries.data[own], _numbered(tied[atoms[k]]))
        found.setdefault(tuple(array.tobytes() for array in what), []).append(k)
    kinds = []
    for same in found.values():
        own, k = parts[same[0]], same[0]
        shape = len(sites[k]), len(atoms[k])
        weights = csr_array((entries.data[own], (rows[own], columns[own])), shape=shape)
        copies = np.stack([sites[k] for k in same]), np.stack([atoms[k] for k in same])
        kinds.append(_Kind(*copies, weights, _numbered(tied[atoms[k]])))
    return kinds


def _numbered(groups: Indices) -> Indices:
    """The groups numbered from 0 in order of their labels."""
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


def _problem(mapping: Mapping, kind: _Kind) -> _Problem:
    weights, n_sites = kind.weights.toarray(), kind.weights.shape[0]
    members = (kind.groups[:, None] == np.arange(kind.groups.max() + 1)).astype(float)
    basis = members / np.sqrt(members.sum(axis=0))
    u, singular, vt = np.linalg.svd(weights @ basis)
    solvable = singular > 1e-10 * singular.max()
    if solvable.sum() < n_sites:
        _refuse(mapping, kind.sites[0][np.abs(u[:, -1]) > 1e-8])
    inverse = vt[:n_sites].T / singular @ u.T
    wanted = basis.T @ basic_force_weights(weights).T
    nearest = wanted + inverse @ (np.eye(n_sites) - weights @ basis @ wanted)
    return _Problem(kind, basis, nearest, vt[n_sites:].T)


def _copies(problem: _Problem, solution: Array) -> Array:
    """(n_copies, n_groups, n_sites) the same h for every copy."""
    return np.broadcast_to(solution, (len(problem.kind.atoms), *solution.shape))


def _refuse(mapping: Mapping, sites: Indices) -> None:
    found = []
    for site in sites[:6]:
        atoms = mapping.sparse_position_weights[[site]].indices[:8]
        names = ", ".join(f"{mapping.fine.labels[i]} (#{i})" for i in atoms)
        found.append(f"{mapping.coarse.labels[site]} made of {names}")
    raise ValueError(
        "no force map gives equal weight to atoms tied by constraints: expected sites that can "
        "move "
        f"independently, found these in one rigid group: {'; '.join(found)}; "
        + way_for_rigid(mapping.fine, int(mapping.sparse_position_weights[[sites[0]]].indices[0]))
    )


def _need_samples(kinds: Sequence[_Kind], n_frames: int) -> None:
    unknowns = max(int(kind.groups.max()) + 1 - kind.weights.shape[0] for kind in kinds)
    if 3 * n_frames < unknowns:
        raise ValueError(
            f"least_noise: {n_frames} frames give {3 * n_frames} force components per atom, "
            "expected "
            f"at least {unknowns} to determine B; give more frames, keep within_molecule=True, "
            "or use constraint_aware"
        )


def _second_moments(forces: NDArray[np.floating], weights: Array, atoms: Indices) -> Array:
    """(n_copies, n_atoms, n_atoms) <sum_xyz F F^T> over the weighted frames, of the `atoms`
    (n_copies, n_atoms).
    """
    copies, size = atoms.shape
    moments = np.zeros((copies, size, size))
    for chunk in frame_chunks(forces):
        scaled = np.asarray(forces[chunk], float) * np.sqrt(weights[chunk])[:, None, None]
        columns = scaled.transpose(1, 0, 2).reshape(scaled.shape[1], -1)
        for part in _portions(copies, size * columns.shape[1]):
            own = columns[atoms[part]]
            moments[part] += own @ own.swapaxes(1, 2)
    return moments


def _minimise(problem: _Problem, moments: Array, ridge: float) -> Array:
    """(n_copies, n_groups, n_sites) the h of least noise: stationary along every free direction
    (the KKT point).
    """
    free, nearest = problem.free, problem.nearest
    found = np.empty((len(moments), *nearest.shape))
    for part in _portions(len(moments), moments[0].size):
        reduced = problem.basis.T @ moments[part] @ problem.basis
        scale = np.trace(reduced, axis1=1, axis2=2) / len(nearest)
        scale[scale == 0] = 1.0  # no force acts at all
        reduced += (ridge * scale)[:, None, None] * np.eye(len(nearest))
        slope = reduced @ nearest
        found[part] = nearest - free @ np.linalg.solve(free.T @ reduced @ free, free.T @ slope)
    return found


def _portions(copies: int, numbers: int) -> Iterator[slice]:
    """Slices over copies of so many numbers each: small molecules many at a time, large ones one by
    one.
    """
    step = max(1, _PORTION // numbers)
    return (slice(start, start + step) for start in range(0, copies, step))


def _assemble(
    mapping: Mapping, problems: Sequence[_Problem], solutions: Sequence[Array]
) -> Mapping:
    """The Mapping with B of the `solutions`, (n_copies, n_groups, n_sites) of each problem."""
    rows, columns, values = [], [], []
    for problem, solution in zip(problems, solutions):
        block = (problem.basis @ solution).transpose(0, 2, 1)
        rows.append(np.broadcast_to(problem.kind.sites[:, :, None], block.shape).ravel())
        columns.append(np.broadcast_to(problem.kind.atoms[:, None], block.shape).ravel())
        values.append(block.ravel())
    data = np.concatenate(values)
    kept = np.abs(data) >= 1e-12  # the rest is rounding of exact zeros; keeps a local map sparse
    entries = data[kept], (np.concatenate(rows)[kept], np.concatenate(columns)[kept])
    return mapping.with_force_weights(
        csr_array(entries, shape=mapping.sparse_position_weights.shape)
    )
