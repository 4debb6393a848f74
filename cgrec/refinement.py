"""`refine`: let the parent's distribution say what its forces are too noisy to say.

Forces fix the shape of a PMF inside a basin, but the noise of their labels adds up along the way from one basin to the
next, to more than a kT where labels are few. How often the parent visits each basin is known far better. So the model's
ensemble is given the smallest change that brings the averages of a few low Fourier modes of its dihedrals to the parent's,
each as closely as both samples know it (maximum entropy with uncertain averages: A. Cesari, S. Reisser, G. Bussi, Computation
6, 15 (2018)). On the model's own frames the change is a weight, so no second run is needed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from .analysis import effective_sample_size
from .collective_variables import CollectiveVariable
from .frames import Frames
from .potential import DihedralSeries, Potential, half_space
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
        raise ValueError(f"refine: expected one or two dihedrals, found {[v.name for v in variables]}")
    orders = half_space(order, len(variables))
    kT = thermal_energy(model.temperature)
    multipliers = _multipliers(model, target, variables, orders)
    series = DihedralSeries(
        types=potential.types,
        n_sites=model.n_sites,
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
    total = potential + series
    total.temperature = potential.temperature
    return total, corrected


def _multipliers(
    model: Frames, target: Frames, variables: tuple[CollectiveVariable, ...], orders: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(2 n_terms,) Lagrange multipliers of cosines and sines, from the convex dual."""
    x, y = _modes(model, variables, orders), _modes(target, variables, orders)
    p, q = model.normalised_weights(), target.normalised_weights()
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

    return minimize(dual, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x


def _modes(
    frames: Frames, variables: tuple[CollectiveVariable, ...], orders: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(n_frames, 2 n_terms) cosines, then sines."""
    angles = np.stack([v.of(frames) for v in variables], 1) @ orders.T
    return np.concatenate([np.cos(angles), np.sin(angles)], 1)
