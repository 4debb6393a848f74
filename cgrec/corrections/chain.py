"""`ChainRefinement`: let the parent say how a chain is folded, which its forces are too noisy to
say.

Forces know every basin of a chain by its shape, and hardly how much of the ensemble is in it: the
noise of the labels adds up on the way from folded to unfolded. How often two sites far along the
chain are near each other, and which dihedrals the chain has, the parent's frames say far better. So
the averages of many observables at once, splines of the distances of sites and Fourier modes of
dihedrals along the chain, and splines of what Variables are named, are brought to the parent's, each as closely as both samples know it
(`maximum_entropy`). Weights of so many observables soon rest on a few frames, so only a step is
taken by weights and the model is run again, as in `PairRefinement`.

A part of the parent's frames and of the pairs of sites is held out of all this. They say which round
to take, and how good it is; after a round that is worse than the best, half of the step is taken
from the best. A round that loses replicas is worse, whatever its frames say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from .. import geometry
from ..frames import Frames
from ..potential import Potential, SumPotential
from ..potential.variable_splines import why_not
from ..ranges import expect, expect_unit
from ..roles import Corrected, Reruns, Variable
from ..run.digests import keep, made
from ..statistics.divergence import jensen_shannon_rows
from ..statistics.errors import effective_share
from ..statistics.sampling import blocks_of
from ..system import System
from ..units import thermal_energy
from ..variables import named_variables
from ..variables.evaluate import in_portions
from ..variables.pairs import OFFSET, SitePairs
from .chain_observables import Along, Distances, Family, Turns, known
from .lost_rounds import run_or_nothing
from .maximum_entropy import multipliers, step_length

#: Every so many pairs one is held out.
HELD_PAIRS = 5
#: Blocks of the parent's frames, of which some are held out: long enough to forget each other.
BLOCKS = 20
#: Share of a step that is taken again from where it began, when it led to something worse.
LESS = 0.5
#: Share of the frames of the best run so far that a better one has, or replicas were lost.
LEFT = 0.95
#: nm: no chain that folds is so long; in angstroms its distances are larger.
LONGEST = 15.0
#: nm, bins in which held-out distances are compared.
WIDTH = 0.02
#: Bins in which a Variable is compared, over what the parent knows of it.
BINS = 32


@dataclass(frozen=True, kw_only=True)
class ChainRefinement:
    """Brings the distances and dihedrals along a chain to the parent's, and Variables if asked.

    The chain is that of the alpha carbons, else the longest along bonds (`longest_chain`).

    Attributes:
        offset: least number of bonds along the chain between the sites of a pair.
        shortest, reach: nm between which distances are corrected.
        spacing: nm between the knots of the splines.
        order: highest Fourier order of a dihedral.
        rounds: of correcting and running again. The best of them is taken, if it is better than
            none.
        efficiency: least Kish efficiency of the weights a step may amount to; a larger one is scaled
            down.
        held_out: share of the parent's frames that judges the rounds.
        variables: {name: labels of two or three sites, or a Variable} of numbers of a frame that
            are corrected and judged as well, such as the fraction of native contacts. Each has a
            spline over the values that both samples have. None: distances and dihedrals alone.
    """

    offset: int = OFFSET
    shortest: float = 0.35
    reach: float = 2.0
    spacing: float = 0.1
    order: int = 2
    rounds: int = 3
    efficiency: float = 0.2
    held_out: float = 0.25
    variables: Mapping[str, Sequence[str] | Variable] | Sequence[Variable] | None = None

    def __post_init__(self) -> None:
        expect("ChainRefinement", at_least=1, offset=self.offset, rounds=self.rounds)
        expect("ChainRefinement", above=0, spacing=self.spacing, order=self.order)
        expect("ChainRefinement", above=0, at_most=1, efficiency=self.efficiency)
        expect("ChainRefinement", above=0, below=1, held_out=self.held_out)
        expect("ChainRefinement", above=0, shortest=self.shortest)
        expect_unit(
            "ChainRefinement",
            "nm",
            below=LONGEST,
            mistaken="angstroms",
            factor=0.1,
            reach=self.reach,
        )
        if not self.reach > self.shortest + 3 * self.spacing:
            raise ValueError(
                "ChainRefinement.reach: expected more than shortest + 3 spacing, found "
                f"{self.reach} with shortest={self.shortest} and spacing={self.spacing}; raise it"
            )
        if isinstance(self.variables, Mapping):
            object.__setattr__(self, "variables", named_variables(self.variables))

    @property
    def along(self) -> tuple[Variable, ...]:
        """The variables; none where none are named."""
        return cast(tuple[Variable, ...], tuple(self.variables or ()))

    def missing_on(self, system: System) -> str | None:
        """Why there is nothing to correct, in words; None where there is."""
        chain = len(SitePairs(offset=self.offset).chain(system))
        if chain < self.offset + 2:
            return (
                f"ChainRefinement: expected a chain of {self.offset + 2} sites or more (offset="
                f"{self.offset}), found {chain}; lower offset, or leave this correction out at this "
                "level"
            )
        reasons = (why_not(variable, system) for variable in self.along)
        why = next(filter(None, reasons), None)
        return None if why is None else f"ChainRefinement.variables: {why}"

    def __call__(
        self, potential: Potential, run: Frames, targets: Frames, again: Reruns
    ) -> Corrected:
        """Correct and run again, `rounds` times; the level runs again with the best of them.

        Raises:
            ValueError: no chain of `offset` + 2 sites, or a variable that is none of this level.
        """
        learning, judging = _parts(targets, self.held_out)
        chain = _Chain.of(run, learning, self)
        said = [chain.divergence(run, judging)]
        best, taken, share = 0, run, 1.0
        correction: Potential | None = None
        for k in range(1, self.rounds + 1):
            path = again.folder / f"correction_{k}.pt"
            if not made(path):
                step = chain.step(potential.types, taken, learning, correction, share)
                keep(path, step.save)
            tried = Potential.load(path, again.device)
            ran = run_or_nothing(again, potential + tried, f"round_{k}")
            said.append(math.nan if ran is None else chain.divergence(ran, judging))
            # what is left of a run that lost its replicas may look well
            if ran is not None and said[k] < said[best] and len(ran) > LEFT * len(taken):
                best, taken, correction = k, ran, tried
            else:  # the weights promised more than the model keeps
                share *= LESS
        about = _about(said, best, chain.divergence(learning, judging))
        return Corrected(potential if correction is None else potential + correction, about=about)


def _about(said: Sequence[float], best: int, floor: float) -> dict[str, object]:
    """What simulation.json says of the rounds; shown as well."""
    shown = ["all replicas lost" if math.isnan(value) else f"{value:.4f}" for value in said]
    taken = f"round {best} is taken" if best else "no round is better, the model stays as it is"
    print(
        f"chain: divergence of held-out distances {', '.join(shown)}; the parent's own "
        f"{floor:.4f}; {taken}"
    )
    # json knows no nan
    rounds = [None if math.isnan(value) else value for value in said]
    return {"held_out_divergence": rounds, "round": best, "floor": floor}


@dataclass(frozen=True)
class _Chain:
    """The observables of one chain.

    Attributes:
        options: what was asked for.
        families: of what is corrected.
        held_pairs: (n, 2) sites of those that judge.
        variables: that are corrected, and judge as well.
    """

    options: ChainRefinement
    families: tuple[Family, ...]
    held_pairs: NDArray[np.int64]
    variables: tuple[Variable, ...]

    @classmethod
    def of(cls, run: Frames, target: Frames, options: ChainRefinement) -> _Chain:
        system = run.system
        why = options.missing_on(system)
        if why is not None:
            raise ValueError(why)
        chosen = SitePairs(offset=options.offset)
        chain = np.array(chosen.chain(system), np.int64)
        pairs = chosen.pairs(system)
        held = np.arange(len(pairs)) % HELD_PAIRS == HELD_PAIRS // 2
        dihedrals = np.stack([chain[k : len(chain) - 3 + k] for k in range(4)], 1)
        end = options.reach + 0.5 * options.spacing
        knots = np.arange(options.shortest, end, options.spacing)
        along = [Along.between(variable, run, target) for variable in options.along]
        taken = [one for one in along if one is not None]
        families = (
            Distances(system, pairs[~held], knots),
            Turns(system, dihedrals, options.order),
            *taken,
        )
        return cls(options, families, pairs[held], tuple(one.variable for one in taken))

    def step(
        self,
        types: tuple[str, ...],
        model: Frames,
        target: Frames,
        so_far: Potential | None,
        share: float,
    ) -> Potential:
        """The correction `so_far`, or none, which `model` was run with, and a share of a step
        towards that under which it would have the averages of `target`.
        """
        x, y = (np.hstack([one.of(f) for one in self.families]) for f in (model, target))
        unit = thermal_energy(model.temperature)
        before = self._coefficients(so_far) / unit
        sizes = [one.n for one in self.families]
        # what is slow, such as folding, is known from fewer frames than distances are
        slow = [sum(sizes[:2]), *sizes[2:]]
        found = multipliers(model, target, x, y, self._prior, before, slow)
        deviation = (x - x.mean(0)) @ found
        log_p = np.log(np.maximum(model.normalised_weights(), 1e-300))
        least = self.options.efficiency * float(effective_share(log_p))
        found = unit * (before + share * step_length(deviation, least, log_p) * found)
        rows = np.split(found, np.cumsum(sizes)[:-1])
        return SumPotential([f.potential(types, row) for f, row in zip(self.families, rows)])

    @property
    def _prior(self) -> NDArray[np.float64]:
        """Inverse covariance of all coefficients in kT."""
        return np.asarray(block_diag(*(one.prior for one in self.families)))

    def _coefficients(self, correction: Potential | None) -> NDArray[np.float64]:
        """Those of a step's potential, kJ/mol; zeros where there is none."""
        if correction is None:
            return np.zeros(sum(one.n for one in self.families))
        parts = cast(SumPotential, correction).parts
        return np.concatenate([f.coefficients(p) for f, p in zip(self.families, parts)])

    def divergence(self, model: Frames, target: Frames) -> float:
        """Mean Jensen-Shannon divergence, nats, of the distances of the held-out pairs and of the
        variables.
        """
        rows = [self._histograms(frames) for frames in (model, target)]
        pairs = jensen_shannon_rows(*rows)
        along = [_divergence(one, model, target) for one in self.variables]
        return float(np.concatenate([pairs, np.array(along)]).mean())

    def _histograms(self, frames: Frames) -> NDArray[np.float64]:
        """(n_pairs, n_bins) share of the weight in each bin, of the held-out pairs; what lies
        beyond the last edge is in the last bin.
        """

        def bins(positions: NDArray[np.float64], _: System) -> NDArray[np.float64]:
            r = geometry.distance(positions, self.held_pairs)
            return np.minimum(np.floor(r / WIDTH), n_bins - 1)

        n_bins = round(self.options.reach / WIDTH) + 1
        places = in_portions(bins, frames, len(self.held_pairs)).astype(np.int64)
        weights = frames.normalised_weights()
        return np.array([np.bincount(row, weights, n_bins) for row in places.T])


def _divergence(variable: Variable, model: Frames, target: Frames) -> float:
    """Jensen-Shannon divergence, nats, of a variable in bins over what `target` knows of it; what
    lies beyond is in the bins at the ends.
    """
    edges = np.linspace(*known(target, variable.of(target)), BINS + 1)[1:-1]
    rows = [
        np.bincount(np.digitize(variable.of(f), edges), f.normalised_weights(), BINS).astype(float)
        for f in (model, target)
    ]
    return float(jensen_shannon_rows(rows[0][None], rows[1][None])[0])


def _parts(targets: Frames, held_out: float) -> tuple[Frames, Frames]:
    """The parent's frames to correct by, and those that judge: blocks spread over all of them."""
    blocks = blocks_of(targets, min(BLOCKS, len(targets)))
    every = max(2, round(1 / held_out))
    judging = np.sort(np.concatenate(blocks[every // 2 :: every]))
    return targets[np.setdiff1d(np.arange(len(targets)), judging)], targets[judging]
