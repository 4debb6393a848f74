"""`refine`, `correct_pairs`: let the parent's distribution say what its forces are too noisy to
say.

Forces fix the shape of a PMF inside a basin, but the noise of their labels adds up along the way
from one basin to the next, to more than a kT where labels are few. How often the parent visits each
basin is known far better. So the model's ensemble is given the smallest change that brings the
averages of a few low Fourier modes of its dihedrals to the parent's, each as closely as both
samples know it (maximum entropy with uncertain averages: A. Cesari, S. Reisser, G. Bussi,
Computation 6, 15 (2018)). On the model's own frames the change is a weight, so no second run is
needed.

In a liquid the noise adds up over a barrier between two shells of neighbours in the same way, and
how many neighbours the parent has at each distance is known far better. There the averages are
those of B-splines of all distances: what comes out is a correction of the pair potentials. Weights
of so many pairs soon rest on a few frames, so only a step is taken by weights and the model is run
again (as in inverse Monte Carlo: A. P. Lyubartsev, A. Laaksonen, Phys. Rev. E 52, 3730 (1995)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize

from .analysis import effective_sample_size
from .analysis.statistics import effective_share
from .collective_variables import CollectiveVariable
from .frames import Frames
from .potential import BondGraph, DihedralSeries, Potential, UF3Potential, half_space
from .units import thermal_energy


def refine(
    potential: Potential,
    model: Frames,
    target: Frames,
    variables: tuple[CollectiveVariable, ...],
    order: int = 2,
) -> tuple[Potential, Frames]:
    """Correct a PMF and the frames of its own run along a few dihedrals.

    Args:
        potential: the fitted PMF.
        model: frames of its own run, with forces, and weights if it was biased.
        target: frames of the parent mapped to the same sites.
        variables: one or two dihedrals.
        order: highest Fourier order per dihedral.

    Returns:
        potential + DihedralSeries, and the frames of `model` reweighted to it, with its forces.

    Raises:
        ValueError: not one or two dihedrals.
    """
    if not 1 <= len(variables) <= 2 or not all(v.periodic for v in variables):
        raise ValueError(
            f"refine: expected one or two dihedrals, found {[v.name for v in variables]}"
        )
    orders = half_space(order, len(variables))
    kT = thermal_energy(model.temperature)
    modes = (_modes(f, variables, orders) for f in (model, target))
    multipliers = _multipliers(model, target, *modes)
    series = DihedralSeries(
        types=potential.types,
        n_sites=model.n_sites,
        bond_graph=BondGraph.of(model.system).config,
        sites=[v.indices(model.system)[0].tolist() for v in variables],
        orders=orders.tolist(),
        cosine=(kT * multipliers[: len(orders)]).tolist(),
        sine=(kT * multipliers[len(orders) :]).tolist(),
    )
    energy, forces = series.energy_and_forces(model)
    weights = model.normalised_weights() * np.exp((energy.min() - energy) / kT)
    corrected = replace(
        model,
        weights=weights / weights.mean(),
        forces=np.asarray(model.need_forces()) + forces,
        energies=None if model.energies is None else np.asarray(model.energies) + energy,
    )
    return potential + series, corrected


#: Pairs a spline must have met, in all frames of either ensemble, to get a coefficient of its own.
FEWEST_PAIRS = 100.0


@dataclass(frozen=True)
class PairRefinement:
    """How the pair potentials of a liquid are brought to the parent's radial distributions.

    Attributes:
        cutoff: nm, reach of the correction.
        spacing: nm between the knots of its splines.
        rounds: of correcting and running again.
        efficiency: least Kish efficiency of the weights a correction may amount to; a larger one is
            scaled down.
    """

    cutoff: float
    spacing: float = 0.04
    rounds: int = 3
    efficiency: float = 0.2


def correct_pairs(
    types: Sequence[str],
    model: Frames,
    target: Frames,
    options: PairRefinement,
    so_far: UF3Potential | None = None,
) -> UF3Potential:
    """`so_far` plus a step towards the pair potentials under which `model` would have the distances
    of `target`.

    Args:
        types: table of the potential's site types.
        model: unweighted frames of a run with `so_far` in its potential.
        target: frames of the parent mapped to the same sites.
        options: reach, resolution and length of the step.
        so_far: the correction until now; None for none.
    """
    step = UF3Potential(types=types, cutoff=options.cutoff, spacing=options.spacing)
    x, y = _pair_modes(step, model), _pair_modes(step, target)
    known = np.minimum(x.sum(0), y.sum(0)) > FEWEST_PAIRS
    multipliers = _multipliers(model, target, x[:, known], y[:, known])
    deviation = (x[:, known] - x[:, known].mean(0)) @ multipliers
    scale = 1.0
    while effective_share(-scale * deviation) < options.efficiency:
        scale *= 0.8
    print(
        f"pairs: a step of {100 * scale:.0f} %, efficiency of its weights "
        f"{effective_share(-scale * deviation):.2f}"
    )
    with torch.no_grad():
        step.coefficients[torch.from_numpy(known)] = torch.from_numpy(
            scale * thermal_energy(model.temperature) * multipliers
        )
        _fill_inwards(step, known)
        if so_far is not None:
            step.coefficients.add_(so_far.coefficients)
    return step


def _fill_inwards(splines: UF3Potential, known: NDArray[np.bool_]) -> None:
    """Below the shortest distances that occur the correction stays what it is there: without a
    force, the wall rules.
    """
    for columns in splines.pair_columns.flatten(0, 1):
        columns = columns[columns < len(known)]
        first = np.flatnonzero(known[columns.numpy()])
        if len(first):
            splines.coefficients[columns[: first[0]]] = splines.coefficients[
                columns[first[0]]
            ].item()


def _pair_modes(splines: UF3Potential, frames: Frames) -> NDArray[np.float64]:
    """(n_frames, n_coefficients) sums of the splines over all pairs."""
    graphs = (splines.graph(frames[k : k + 64]) for k in range(0, len(frames), 64))
    return np.concatenate([splines.energy_design(graph).numpy() for graph in graphs])


def _multipliers(
    model: Frames, target: Frames, x: NDArray[np.float64], y: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n,) Lagrange multipliers that bring the averages of `x` over the model to those of `y`, from
    the convex dual.

    Args:
        x, y: (n_frames, n) modes of the frames of either.
    """
    p, q = model.normalised_weights(), target.normalised_weights()
    unit = np.sqrt(np.maximum(q @ (y - q @ y) ** 2, 1e-300))
    x, y = x / unit, y / unit
    wanted = q @ y
    # Squared error of each average: from the target's sample and from the model's.
    variance = (q @ (y - wanted) ** 2) / effective_sample_size(target, y)
    variance += (p @ (x - p @ x) ** 2) / effective_sample_size(model, x)
    log_p = np.log(np.maximum(p, 1e-300))

    def dual(m: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        exponent = log_p - x @ m
        log_z = np.logaddexp.reduce(exponent)
        return log_z + m @ wanted + 0.5 * variance @ m**2, wanted - np.exp(
            exponent - log_z
        ) @ x + variance * m

    return minimize(dual, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x / unit


def _modes(
    frames: Frames, variables: tuple[CollectiveVariable, ...], orders: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(n_frames, 2 n_terms) cosines, then sines."""
    angles = np.stack([v.of(frames) for v in variables], 1) @ orders.T
    return np.concatenate([np.cos(angles), np.sin(angles)], 1)
