"""`distil`: a trained PMF -> a fast one, its neighbour part replaced by two- and three-body splines
(`UF3Potential`).

The PMF's own forces are labels without noise, so a few hundred frames fix every coefficient by one
linear solve. Bonded priors are kept as they are. Splines know neither more than three bodies nor
left from right; in a molecule that is the dihedrals' business, so a series in the dihedrals about
neighbouring rotatable bonds is fitted along. What is lost all the same is measured on frames the
fit never saw, and written down.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, product

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve
from torch import Tensor

from .. import geometry
from ..frames import Frames
from ..potential import (
    BondGraph,
    DihedralSeries,
    Potential,
    SumPotential,
    UF3Potential,
    half_space,
    summands,
)
from ..potential.graph import SiteGraph
from ..statistics.sampling import blocks_of
from ..system import System

#: Most coefficients the dense solve is meant for: minutes on one core.
MOST_COEFFICIENTS = 5000
#: Cutoffs, and for each the knot spacings, tried in turn for the three-body term, nm.
CUTOFFS, SPACINGS = (0.45, 0.35, 0.3), (0.03, 0.04, 0.05, 0.06, 0.075, 0.09, 0.1)
_ENTRIES = 2_000_000


@dataclass(frozen=True)
class DistillationReport:
    """What a distillation came to. Errors are against the PMF, on frames the fit has not seen.

    Attributes:
        force_rmse: kJ/mol/nm, per component.
        explained_fraction: of the mean squared force of the parts that were replaced.
        explained_fraction_of_all: of the mean squared force of the whole PMF, whose stiff bonded
            priors are exact.
        energy_error: kJ/mol, standard deviation of the difference in energy over the frames.
        energy_spread: kJ/mol, standard deviation of the PMF's energy itself.
        kept, replaced: class names of the parts of the PMF.
        three_cutoff, three_spacing: nm, of the three-body term; zero where there is none.
        n_coefficients: of splines, that the data determine.
        n_torsion_terms: of the dihedral series fitted along.
        n_fitted, n_held_out: frames.
        seconds: of wall time.
    """

    force_rmse: float
    explained_fraction: float
    explained_fraction_of_all: float
    energy_error: float
    energy_spread: float
    kept: tuple[str, ...]
    replaced: tuple[str, ...]
    three_cutoff: float
    three_spacing: float
    n_coefficients: int
    n_torsion_terms: int
    n_fitted: int
    n_held_out: int
    seconds: float


def distil(
    potential: Potential,
    frames: Frames,
    *,
    cutoff: float | None = None,
    spacing: float = 0.025,
    three_cutoff: float | None = None,
    three_spacing: float | None = None,
    across_spacing: float | None = None,
    n_frames: int = 0,
    n_held_out: int = 50,
    disturbed: float = 0.25,
    disturbance: float = 0.02,
    curvature: float = 1e-8,
    ridge: float = 1e-12,
    torsions: int = 3,
    seed: int = 0,
) -> tuple[Potential, DistillationReport]:
    """Fit splines to the neighbour part of a PMF and put them in its place.

    Args:
        potential: the PMF: a neighbour potential, alone or in a sum with bonded priors.
        frames: of its own run.
        cutoff: nm, of the two-body term; default: the PMF's.
        spacing: nm, between its knots.
        three_cutoff: nm, of the three-body term, 0 for none. The price of a step grows with its
            sixth power in a liquid: try how short it can be.
        three_spacing: nm, between its knots. By default this and three_cutoff are the first of
            `SPACINGS` and `CUTOFFS` whose coefficients can be solved for; no three-body term if
            there are none.
        across_spacing: nm, between its knots for the side across; default: three_spacing.
        n_frames: to fit, spread over the run; 0: enough for 60 000 force components, at least 100.
        n_held_out: to judge by, from other blocks of the run.
        disturbed: how many more frames to fit, as a share of n_frames, with molecules moved at
            random: they show the repulsive core between molecules, where a run seldom goes.
        disturbance: nm, standard deviation of that move along each axis.
        torsions: highest Fourier order per dihedral of the series fitted along in a system of one
            molecule, 0 for none.
        curvature: weight of the squared change of slope from knot to knot, both in units of the
            typical force.
        ridge: weight of the squared coefficients.
        seed: of the random moves.

    Returns:
        The kept parts plus any `DihedralSeries` and a `UF3Potential`, and the report.

    Raises:
        ValueError: nothing to replace, too few frames, or more coefficients than the solve can
            take.
    """
    begin = time.time()
    _check(
        n_frames=n_frames,
        n_held_out=n_held_out,
        disturbed=disturbed,
        disturbance=disturbance,
        torsions=torsions,
        curvature=curvature,
        ridge=ridge,
    )
    n_frames = n_frames or max(100, 60_000 // (3 * frames.n_sites))
    kept, replaced = parts_of(potential)
    teacher = replaced[0] if len(replaced) == 1 else SumPotential(replaced)
    cutoff = teacher.cutoff if cutoff is None else cutoff
    fitted, held_out = split(frames, n_frames, n_held_out)
    shaken = _disturb(fitted, int(disturbed * n_frames), disturbance, seed)
    samples = [labelled(teacher, f) for f in (fitted, shaken) if f is not None]
    splines = _splines(
        samples,
        three_cutoff,
        three_spacing,
        types=potential.types,
        cutoff=cutoff,
        spacing=spacing,
        across_spacing=across_spacing,
    )
    series = torsion_series(potential, frames.system, torsions)
    n_coefficients, series = fit_splines(splines, samples, series, curvature=curvature, ridge=ridge)
    result = SumPotential([*kept, *series, splines]) if kept or series else splines
    result.at_state_of(potential)
    errors = _errors(potential, teacher, result, splines, held_out)
    names = [tuple(type(p).__name__ for p in parts) for parts in (kept, replaced)]
    return result, DistillationReport(
        **errors,
        kept=names[0],
        replaced=names[1],
        three_cutoff=splines.three_cutoff,
        three_spacing=splines.config["three_spacing"] if splines.three_cutoff else 0.0,
        n_coefficients=n_coefficients,
        n_torsion_terms=sum(len(one.orders) for one in series),
        n_fitted=sum(map(len, samples)),
        n_held_out=len(held_out),
        seconds=time.time() - begin,
    )


def _splines(
    samples: list[Frames],
    three_cutoff: float | None,
    three_spacing: float | None,
    *,
    types: Sequence[str],
    cutoff: float,
    spacing: float,
    across_spacing: float | None,
) -> UF3Potential:
    """Untrained, with the three-body term asked for; where that is left open, the first with few
    enough coefficients.
    """
    pairs = partial(
        UF3Potential, types=types, cutoff=cutoff, spacing=spacing, across_spacing=across_spacing
    )
    if three_cutoff == 0:
        return pairs()
    reaches = (
        dict.fromkeys(min(c, cutoff) for c in CUTOFFS) if three_cutoff is None else (three_cutoff,)
    )
    spacings = SPACINGS if three_spacing is None else (three_spacing,)
    choices = list(product(reaches, spacings))
    for reach, fine in choices:
        if fine <= reach / 4 or len(choices) == 1:
            made = pairs(three_cutoff=reach, three_spacing=fine)
            if len(choices) == 1 or len(_active(made, samples)) <= MOST_COEFFICIENTS:
                return made
    return pairs()


def parts_of(potential: Potential) -> tuple[list[Potential], list[Potential]]:
    """(kept, replaced) parts of a PMF: those without neighbours, and the others.

    Raises:
        ValueError: no part has neighbours.
    """
    parts = summands(potential)
    replaced = [p for p in parts if p.cutoff > 0]
    if not replaced:
        raise ValueError(
            "distil: expected a potential with a neighbour part (cutoff > 0) to replace, "
            f"found {', '.join(type(p).__name__ for p in parts)} "
            "without one; it is as fast as it gets"
        )
    return [p for p in parts if p.cutoff == 0], replaced


def split(frames: Frames, n_fit: int, n_held_out: int, n_blocks: int = 20) -> tuple[Frames, Frames]:
    """About so many frames to fit and to hold out, from different blocks of the run (whole replicas
    where there are enough).

    Raises:
        ValueError: fewer than two frames.
    """
    if len(frames) < 2:
        raise ValueError(
            f"distil: expected at least 2 frames, to hold some out, found {len(frames)}"
        )
    blocks = blocks_of(frames, min(n_blocks, len(frames)))
    held = {k for k in range(len(blocks)) if k % 5 == 2} or {len(blocks) - 1}
    groups = [
        np.concatenate([b for k, b in enumerate(blocks) if (k in held) == side])
        for side in (False, True)
    ]
    fit, out = (_spread(np.sort(g), n) for g, n in zip(groups, (n_fit, n_held_out)))
    return frames[fit], frames[out]


def labelled(teacher: Potential, frames: Frames) -> Frames:
    """`frames` with the teacher's forces and energies, and nothing else."""
    energies, forces = teacher.energy_and_forces(frames, batch_size=_batch(frames.n_sites))
    return replace(frames, forces=forces, energies=energies, weights=None)


def torsion_series(potential: Potential, system: System, order: int) -> list[DihedralSeries]:
    """Series, all zero, in the dihedrals about every two neighbouring rotatable bonds (about each
    that has no neighbour).

    Empty where the system has several molecules, or order is 0.
    """
    if order == 0 or system.molecules.max() > 0:
        return []
    paths = {tuple(sorted(p[1:3])): p for p in reversed(system.bonded_paths(4))}
    turning = [p for bond, p in sorted(paths.items()) if system.beyond(*bond) is not None]
    pairs = [[p, q] for p, q in combinations(turning, 2) if set(p[1:3]) & set(q[1:3])]
    alone = [[p] for p in turning if not any(p in pair for pair in pairs)]
    made = []
    for group in [*pairs, *alone]:
        orders = half_space(order, len(group)).tolist()
        zeros = [0.0] * len(orders)
        made.append(
            DihedralSeries(
                types=potential.types,
                n_sites=system.n_sites,
                bond_graph=BondGraph.of(system).config,
                sites=[list(p) for p in group],
                orders=orders,
                cosine=zeros,
                sine=zeros,
            )
        )
    return made


def fit_splines(
    splines: UF3Potential,
    samples: list[Frames],
    series: Sequence[DihedralSeries] = (),
    *,
    curvature: float = 1e-8,
    ridge: float = 1e-12,
) -> tuple[int, list[DihedralSeries]]:
    """Set the coefficients by regularised linear least squares on the forces of `samples`.

    Three-body coefficients that no triple of the data touches stay zero. Two-body ones closer than
    the closest pair continue the wall ever more steeply.

    Args:
        splines: changed in place.
        samples: with forces; an outlier's force counts less the larger it is.
        series: to be fitted along.
        curvature, ridge: as in `distil`.

    Returns:
        How many spline coefficients the data determine, and the series with their coefficients.

    Raises:
        ValueError: more coefficients than `MOST_COEFFICIENTS`.
    """
    scale = float(np.sqrt(np.mean(np.asarray(samples[0].need_forces(), float) ** 2)))
    active = _active(splines, samples)
    if len(active) > MOST_COEFFICIENTS:
        raise ValueError(
            f"distil: {len(active)} coefficients are touched by the data, expected at most "
            f"{MOST_COEFFICIENTS}; use a wider three_spacing or "
            "across_spacing, a shorter three_cutoff, or three_cutoff=0"
        )
    matrix, right = _normal_equations(splines, samples, series, active, scale)
    n = len(active)
    seen = np.zeros(len(splines.coefficients))
    seen[active] = np.diag(matrix)[:n]
    unit = scale * splines.config["spacing"] / splines.energy_scale
    matrix[:n, :n] += curvature / unit**2 * _curvature(splines, active)
    matrix[np.diag_indices_from(matrix)] += ridge / unit**2
    solution = cho_solve(cho_factor(matrix, lower=True, overwrite_a=True), right)
    coefficients = np.zeros(len(splines.coefficients))
    coefficients[active] = solution[:n]
    _continue_walls(splines, coefficients, seen, unit)
    splines.coefficients.data = torch.from_numpy(coefficients).to(splines.coefficients)
    return int((seen > 1e-12 * seen.max()).sum()), _filled(series, solution[n:])


def _filled(
    series: Sequence[DihedralSeries], solution: NDArray[np.float64]
) -> list[DihedralSeries]:
    filled = []
    for one in series:
        n = len(one.orders)
        config = {
            **one.config,
            "cosine": solution[:n].tolist(),
            "sine": solution[n : 2 * n].tolist(),
        }
        filled.append(DihedralSeries(**config))
        solution = solution[2 * n :]
    return filled


def series_design(series: DihedralSeries, positions: Tensor) -> Tensor:
    """(3 * n_sites of all frames, 2 * n_terms) 1/nm: force of each cosine, then sine, with a
    coefficient of one.
    """
    x = positions.detach().requires_grad_()
    angles = geometry.dihedral(x, series.sites)
    slopes = torch.stack(
        [
            torch.autograd.grad(angle.sum(), x, retain_graph=True)[0].flatten(1)
            for angle in angles.T
        ],
        -1,
    )
    phase = angles.detach() @ series.orders.T
    # (n_frames, 3 * n_sites, n_terms): slope of each term's phase
    slopes = slopes @ series.orders.T
    both = torch.cat([torch.sin(phase)[:, None] * slopes, -torch.cos(phase)[:, None] * slopes], -1)
    return both.flatten(0, 1)


def _active(splines: UF3Potential, samples: list[Frames]) -> NDArray[np.int64]:
    """Coefficients to solve for: those the data touch."""
    seen = torch.zeros(len(splines.coefficients) + 1, dtype=torch.bool)
    for graph, _ in _batches(splines, samples):
        seen[splines.touched(graph)] = True
    # Beyond the pairs of the data the two-body term goes on smoothly to its cutoff.
    columns = splines.pair_columns
    seen[columns[seen[columns].cumsum(-1) > 0]] = True
    return seen[:-1].nonzero()[:, 0].numpy()


def _normal_equations(
    splines: UF3Potential,
    samples: list[Frames],
    series: Sequence[DihedralSeries],
    active: NDArray[np.int64],
    scale: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean over force components of A^T w A and A^T w f, forces in units of `scale`."""
    n = len(active)
    place = torch.full((len(splines.coefficients) + 1,), n)
    place[torch.from_numpy(active)] = torch.arange(n)
    size = n + sum(2 * len(one.orders) for one in series)
    matrix, right = (
        torch.zeros(size, size, dtype=torch.float64),
        torch.zeros(size, dtype=torch.float64),
    )
    total = 0
    for graph, forces in _batches(splines, samples):
        positions = graph.per_frame(graph.positions)
        torsions = [series_design(one, positions) for one in series]
        design = torch.cat([splines.force_design(graph, place, n + 1)[:, :n], *torsions], 1)
        # Robust: what is thrown out to many times the typical force must not decide how the rest is
        # fitted.
        square = forces.view(-1, 3).square().sum(1).repeat_interleave(3) / (3 * scale**2)
        root = 1 / (scale * torch.sqrt(1 + square / 25))
        design *= root[:, None]
        matrix += design.T @ design
        right += design.T @ (forces * root)
        total += len(forces)
    return (matrix / total).numpy(), (right / total).numpy()


def _batches(splines: UF3Potential, samples: list[Frames]) -> Iterator[tuple[SiteGraph, Tensor]]:
    """Graphs of a few frames with their forces, flat (3 * n_sites,)."""
    for frames in samples:
        forces = torch.from_numpy(np.array(frames.need_forces(), dtype=float))
        step = max(
            1, _ENTRIES // (3 * frames.n_sites * min(len(splines.coefficients), MOST_COEFFICIENTS))
        )
        for start in range(0, len(frames), step):
            yield (
                splines.graph(frames[start : start + step]),
                forces[start : start + step].flatten(),
            )


def _curvature(splines: UF3Potential, active: NDArray[np.int64]) -> NDArray[np.float64]:
    """P^T P of the second differences P of neighbouring coefficients along every axis of every
    table.
    """
    n, zero = len(active), len(splines.coefficients)
    place = np.full(zero + 1, -1)
    place[active] = np.arange(n)
    place[zero] = n
    tables = [(splines.pair_columns, 1)]
    if splines.three_cutoff > 0:
        tables.append((splines.triple_columns, 3))
    thirds = [
        table.unfold(-axis, 3, 1).reshape(-1, 3)
        for table, n_axes in tables
        for axis in range(1, n_axes + 1)
    ]
    lines = place[torch.unique(torch.cat(thirds), dim=0).numpy()]
    # Where one of the three is not solved for there is nothing to be smooth with.
    lines = lines[(lines >= 0).all(1) & (lines < n).any(1)]
    rows = np.repeat(np.arange(len(lines)), 3)
    second = sparse.coo_array(
        (np.tile([1.0, -2.0, 1.0], len(lines)), (rows, lines.ravel())), shape=(len(lines), n + 1)
    )
    second = second.tocsr()[:, :n]
    return (second.T @ second).toarray()


def _continue_walls(
    splines: UF3Potential, coefficients: NDArray[np.float64], seen: NDArray[np.float64], unit: float
) -> None:
    """Below the first coefficient the data determine, let the two-body energy rise, each step half
    as much again.

    `seen` (n_columns,) is how much the data say about each coefficient.
    """
    columns = splines.pair_columns.numpy()[..., : len(splines.pair_spline) - 3]
    for i, j in zip(*np.triu_indices(len(columns))):
        column = columns[i, j]
        known = np.flatnonzero(seen[column] > 1e-6 * seen[column].max())
        if not len(known):
            continue
        first = min(known[0], len(column) - 2)
        step = max(coefficients[column[first]] - coefficients[column[first + 1]], unit)
        for k in range(first - 1, -1, -1):
            step *= 1.5
            coefficients[column[k]] = coefficients[column[k + 1]] + step


def _check(**options: float) -> None:
    whole = ("n_frames", "n_held_out", "torsions")
    for name, value in options.items():
        least = 1 if name == "n_held_out" else 0
        if not value >= least or (name in whole and value != int(value)):
            kind = "whole number" if name in whole else "number"
            raise ValueError(f"distil: expected {name} a {kind} of at least {least}, found {value}")


def _disturb(frames: Frames, n: int, size: float, seed: int) -> Frames | None:
    """About `n` of `frames` with every molecule moved as a whole, or None: bonds are the business
    of the bonded priors.
    """
    molecules = frames.system.molecules
    if n == 0 or size == 0 or molecules.max() == 0:
        return None
    some = frames[_spread(np.arange(len(frames)), n)]
    moves = np.random.default_rng(seed).normal(scale=size, size=(len(some), molecules.max() + 1, 3))
    return replace(some, positions=some.positions + moves[:, molecules])


def _errors(
    potential: Potential,
    teacher: Potential,
    result: Potential,
    splines: UF3Potential,
    frames: Frames,
) -> dict[str, float]:
    batch = _batch(frames.n_sites)
    energy, force = potential.energy_and_forces(frames, batch)
    wanted = teacher.energy_and_forces(frames, batch)[1]
    found_energy, found = result.energy_and_forces(frames, batch)
    square = float(np.mean((found - force) ** 2))
    return {
        "force_rmse": square**0.5,
        "explained_fraction": 1 - square / float(np.mean(wanted**2)),
        "explained_fraction_of_all": 1 - square / float(np.mean(force**2)),
        "energy_error": float(np.std(found_energy - energy)),
        "energy_spread": float(np.std(energy)),
    }


def _spread(which: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """At most `n` of `which`, evenly."""
    return which[np.unique(np.linspace(0, len(which) - 1, min(n, len(which))).round().astype(int))]


def _batch(n_sites: int) -> int:
    return max(1, 2000 // n_sites)
