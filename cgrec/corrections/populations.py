"""`Populations`: let the parent say how often each basin is visited, which its forces are too noisy
to say.

Forces fix the shape of a PMF inside a basin, but the noise of their labels adds up along the way
from one basin to the next, to more than a kT where labels are few. How often the parent visits each
basin is known far better. So the model's ensemble is given the smallest change that brings the
averages of a few low Fourier modes of its dihedrals to the parent's, each as closely as both
samples know it (`maximum_entropy`). On the model's own frames the change is a weight, so no second
run is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..frames import Frames
from ..potential import BondGraph, DihedralSeries, Potential, half_space
from ..ranges import expect
from ..roles import Corrected, Reruns
from ..units import thermal_energy
from ..variables import CollectiveVariable, variables_from_config
from .maximum_entropy import multipliers

#: Highest Fourier order per dihedral: three minima, the most of a dihedral of single bonds, show in
#: two of them (sine and cosine of each).
ORDER = 2


class Populations:
    """Brings the populations along one or two dihedrals to the parent's.

    Args:
        variables: {name: four site labels} of one or two dihedrals, or these variables.
        order: highest Fourier order per dihedral.

    Raises:
        ValueError: not one or two dihedrals.
    """

    def __init__(
        self,
        variables: Mapping[str, Sequence[str]] | Sequence[CollectiveVariable],
        order: int = ORDER,
    ) -> None:
        expect("Populations", at_least=1, order=order)
        if isinstance(variables, Mapping):
            variables = variables_from_config(variables)
        self.variables = tuple(variables)
        self.order = order
        _check(self.variables)

    def __call__(
        self, potential: Potential, run: Frames, targets: Frames, again: Reruns
    ) -> Corrected:
        """The PMF with a series of the dihedrals, and the frames of `run` with its weights."""
        refined, frames = refine(potential, run, targets, self.variables, self.order)
        along = {v.name: list(v.sites) for v in self.variables}
        return Corrected(refined, frames, {"refined_along": along})


def refine(
    potential: Potential,
    model: Frames,
    target: Frames,
    variables: Sequence[CollectiveVariable],
    order: int = ORDER,
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
    _check(variables)
    orders = half_space(order, len(variables))
    kT = thermal_energy(model.temperature)
    found = multipliers(
        model, target, _modes(model, variables, orders), _modes(target, variables, orders)
    )
    series = DihedralSeries(
        types=potential.types,
        n_sites=model.n_sites,
        bond_graph=BondGraph.of(model.system).config,
        sites=[v.indices(model.system)[0].tolist() for v in variables],
        orders=orders.tolist(),
        cosine=(kT * found[: len(orders)]).tolist(),
        sine=(kT * found[len(orders) :]).tolist(),
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


def _check(variables: Sequence[CollectiveVariable]) -> None:
    if not 1 <= len(variables) <= 2 or not all(v.periodic for v in variables):
        raise ValueError(
            "refine: expected one or two dihedrals, each of four labels, found "
            f"{', '.join(v.name for v in variables)}; name their sites, or leave refine out"
        )


def _modes(
    frames: Frames, variables: Sequence[CollectiveVariable], orders: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(n_frames, 2 n_terms) cosines, then sines."""
    angles = np.stack([v.of(frames) for v in variables], 1) @ orders.T
    return np.concatenate([np.cos(angles), np.sin(angles)], 1)
