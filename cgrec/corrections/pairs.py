"""`PairRefinement`: let the parent say how many neighbours stand at each distance.

In a liquid the noise of force labels adds up over a barrier between two shells of neighbours, and
how many neighbours the parent has at each distance is known far better than its forces say. So the
averages of B-splines of all distances are brought to the parent's (`maximum_entropy`): what comes
out is a correction of the pair potentials. Weights of so many pairs soon rest on a few frames, so
only a step is taken by weights and the model is run again (as in inverse Monte Carlo: A. P.
Lyubartsev, A. Laaksonen, Phys. Rev. E 52, 3730 (1995)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from ..frames import Frames
from ..potential import Potential, UF3Potential
from ..ranges import expect, expect_reach
from ..roles import Corrected, Reruns
from ..run.digests import keep, made
from ..statistics.errors import effective_share
from ..units import thermal_energy
from .lost_rounds import run_or_nothing
from .maximum_entropy import multipliers, step_length

#: Pairs a spline must have met, in all frames of either ensemble, to get a coefficient of its own:
#: their number is then known to a tenth.
FEWEST_PAIRS = 100.0
#: Frames whose pairs are counted at a time, which bounds the memory.
_PORTION = 64


@dataclass(frozen=True)
class PairRefinement:
    """Brings the pair potentials of a liquid to the parent's radial distributions.

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

    def __post_init__(self) -> None:
        expect_reach("PairRefinement", cutoff=self.cutoff)
        expect("PairRefinement", above=0, spacing=self.spacing)
        expect("PairRefinement", at_least=1, rounds=self.rounds)
        expect("PairRefinement", at_least=0, at_most=1, efficiency=self.efficiency)

    def __call__(
        self, potential: Potential, run: Frames, targets: Frames, again: Reruns
    ) -> Corrected:
        """Correct and run again, `rounds` times. The level makes the last of these runs, whose
        frames are its ensemble. A round that loses all its replicas ends them: what was there
        before it is taken.
        """
        correction: UF3Potential | None = None
        total = potential
        for k in range(1, self.rounds + 1):
            path = again.folder / f"correction_{k}.pt"
            if not made(path):
                step = correct_pairs(potential.types, run, targets, self, correction)
                keep(path, step.save)
            correction = cast(UF3Potential, Potential.load(path, again.device))
            if k < self.rounds:
                found = run_or_nothing(again, potential + correction, f"round_{k}")
                if found is None:
                    break
                run = found
            total = potential + correction
        return Corrected(total)


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
    x = pair_modes(step, model)
    y = pair_modes(step, target)
    known = np.minimum(x.sum(0), y.sum(0)) > FEWEST_PAIRS
    found = multipliers(model, target, x[:, known], y[:, known])
    deviation = (x[:, known] - x[:, known].mean(0)) @ found
    scale = step_length(deviation, options.efficiency)
    print(
        f"pairs: a step of {100 * scale:.0f} %, efficiency of its weights "
        f"{effective_share(-scale * deviation):.2f}"
    )
    with torch.no_grad():
        step.coefficients[torch.from_numpy(known)] = torch.from_numpy(
            scale * thermal_energy(model.temperature) * found
        )
        _fill_inwards(step, known)
        if so_far is not None:
            step.coefficients.add_(so_far.coefficients)
    return step


def _fill_inwards(splines: UF3Potential, known: NDArray[np.bool_]) -> None:
    """Below the shortest distance that occurs the correction keeps the value it has there: it has
    no force, so that only the wall acts.
    """
    for columns in splines.pair_columns.flatten(0, 1):
        columns = columns[columns < len(known)]
        first = np.flatnonzero(known[columns.numpy()])
        if len(first):
            splines.coefficients[columns[: first[0]]] = splines.coefficients[
                columns[first[0]]
            ].item()


def pair_modes(splines: UF3Potential, frames: Frames) -> NDArray[np.float64]:
    """(n_frames, n_coefficients) sums of the splines over all pairs of sites."""
    starts = range(0, len(frames), _PORTION)
    graphs = (splines.graph(frames[k : k + _PORTION]) for k in starts)
    return np.concatenate([splines.energy_design(graph).numpy() for graph in graphs])
