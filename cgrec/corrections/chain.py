"""`ChainRefinement`: let the parent say how a chain is folded, which its forces are too noisy to
say.

Forces know every basin of a chain by its shape, and hardly how much of the ensemble is in it: the
noise of the labels adds up on the way from folded to unfolded. How often two sites far along the
chain are near each other, and which dihedrals the chain has, the parent's frames say far better. So
the averages of many observables at once, splines of the distances of sites and Fourier modes of
dihedrals along the chain, are brought to the parent's, each as closely as both samples know it
(`maximum_entropy`). Weights of so many observables soon rest on a few frames, so only a step is
taken by weights and the model is run again, as in `PairRefinement`.

A part of the parent's frames and of the pairs of sites is held out of all this. They say which round
to take, and how good it is; after a round that is worse than the best, half of the step is taken
from the best. A round that loses replicas is worse, whatever its frames say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from .. import geometry
from ..frames import Frames
from ..potential import BondGraph, DihedralPrior, Potential, SumPotential
from ..potential.site_pair_splines import SitePairSplines
from ..ranges import expect, expect_unit
from ..roles import Corrected, Reruns
from ..run.digests import keep, made
from ..statistics.divergence import jensen_shannon_rows
from ..statistics.errors import effective_share
from ..statistics.sampling import blocks_of
from ..system import System
from ..units import thermal_energy
from ..variables.evaluate import in_portions
from ..variables.pairs import OFFSET, SitePairs
from .lost_rounds import run_or_nothing
from .maximum_entropy import multipliers, step_length

#: kT by which neighbouring coefficients of a spline differ, before any frame has been seen: a mean
#: force is that far off at most where a fit is believed at all. Where frames say nothing the
#: coefficient is that of its neighbour, which is no force. Without this, what only the tail of a
#: spline knows made coefficients of a hundred kT at the edge of the sample, and wells beyond it.
SLOPE = 1.0
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


@dataclass(frozen=True, kw_only=True)
class ChainRefinement:
    """Brings the distances and dihedrals along a chain to the parent's.

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
    """

    offset: int = OFFSET
    shortest: float = 0.35
    reach: float = 2.0
    spacing: float = 0.1
    order: int = 2
    rounds: int = 3
    efficiency: float = 0.2
    held_out: float = 0.25

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

    def missing_on(self, system: System) -> str | None:
        """Why there is nothing to correct, in words; None where there is."""
        chain = len(SitePairs(offset=self.offset).chain(system))
        if chain >= self.offset + 2:
            return None
        return (
            f"ChainRefinement: expected a chain of {self.offset + 2} sites or more (offset="
            f"{self.offset}), found {chain}; lower offset, or leave this correction out at this level"
        )

    def __call__(
        self, potential: Potential, run: Frames, targets: Frames, again: Reruns
    ) -> Corrected:
        """Correct and run again, `rounds` times; the level runs again with the best of them.

        Raises:
            ValueError: no chain of `offset` + 2 sites.
        """
        known, judging = _parts(targets, self.held_out)
        chain = _Chain.of(run.system, self)
        said = [chain.divergence(run, judging)]
        best, taken, share = 0, run, 1.0
        correction: Potential | None = None
        for k in range(1, self.rounds + 1):
            path = again.folder / f"correction_{k}.pt"
            if not made(path):
                step = chain.step(potential.types, taken, known, correction, share)
                keep(path, step.save)
            tried = Potential.load(path, again.device)
            ran = run_or_nothing(again, potential + tried, f"round_{k}")
            said.append(math.nan if ran is None else chain.divergence(ran, judging))
            # what is left of a run that lost its replicas may look well
            if ran is not None and said[k] < said[best] and len(ran) > LEFT * len(taken):
                best, taken, correction = k, ran, tried
            else:  # the weights promised more than the model keeps
                share *= LESS
        about = _about(said, best, chain.divergence(known, judging))
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
        system: whose chain it is.
        options: what was asked for.
        pairs, held_pairs: (n, 2) sites of those corrected and of those that judge.
        dihedrals: (n, 4) sites.
    """

    system: System
    options: ChainRefinement
    pairs: NDArray[np.int64]
    held_pairs: NDArray[np.int64]
    dihedrals: NDArray[np.int64]

    @classmethod
    def of(cls, system: System, options: ChainRefinement) -> _Chain:
        why = options.missing_on(system)
        if why is not None:
            raise ValueError(why)
        chosen = SitePairs(offset=options.offset)
        chain = np.array(chosen.chain(system), np.int64)
        pairs = chosen.pairs(system)
        held = np.arange(len(pairs)) % HELD_PAIRS == HELD_PAIRS // 2
        dihedrals = np.stack([chain[k : len(chain) - 3 + k] for k in range(4)], 1)
        return cls(system, options, pairs[~held], pairs[held], dihedrals)

    def splines(self, types: tuple[str, ...], values: NDArray[np.float64]) -> SitePairSplines:
        """With these coefficients (n_pairs, n), kJ/mol."""
        return SitePairSplines(
            types=types,
            n_sites=self.system.n_sites,
            sites=self.pairs.tolist(),
            knots=self.knots.tolist(),
            coefficients=values.tolist(),
            bond_graph=BondGraph.of(self.system).config,
        )

    def series(self, types: tuple[str, ...], modes: NDArray[np.float64]) -> DihedralPrior:
        """With these coefficients (n_dihedrals, 2 order), cosines first, kJ/mol."""
        order = self.options.order
        return DihedralPrior(
            types=types,
            n_sites=self.system.n_sites,
            sites=self.dihedrals.tolist(),
            cosine=modes[:, :order].tolist(),
            sine=modes[:, order:].tolist(),
            bond_graph=BondGraph.of(self.system).config,
        )

    @property
    def knots(self) -> NDArray[np.float64]:
        """nm."""
        options = self.options
        return np.arange(options.shortest, options.reach + 0.5 * options.spacing, options.spacing)

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
        n_pairs, n_knots = len(self.pairs), len(self.knots) - 2
        splines = self.splines(types, np.zeros((n_pairs, n_knots)))
        x, y = (np.hstack([splines.design(f), self._modes(f)]) for f in (model, target))
        unit = thermal_energy(model.temperature)
        before = self._coefficients(so_far) / unit
        found = multipliers(model, target, x, y, self._prior, before)
        deviation = (x - x.mean(0)) @ found
        log_p = np.log(np.maximum(model.normalised_weights(), 1e-300))
        least = self.options.efficiency * float(effective_share(log_p))
        found = unit * (before + share * step_length(deviation, least, log_p) * found)
        pulls, modes = np.split(found, [n_pairs * n_knots])
        return SumPotential(
            [
                self.splines(types, pulls.reshape(n_pairs, n_knots)),
                self.series(types, modes.reshape(len(self.dihedrals), -1)),
            ]
        )

    @property
    def _prior(self) -> NDArray[np.float64]:
        """Inverse covariance of all coefficients in kT: `SLOPE` for those of a spline, nothing for
        those of a dihedral.
        """
        n_pairs, n_knots = len(self.pairs), len(self.knots) - 2
        steps = np.diff(np.eye(n_knots), axis=0) / SLOPE
        prior = np.zeros((n_pairs * n_knots + len(self.dihedrals) * 2 * self.options.order,) * 2)
        for k in range(n_pairs):
            own = slice(k * n_knots, (k + 1) * n_knots)
            prior[own, own] = steps.T @ steps
        return prior

    def _coefficients(self, correction: Potential | None) -> NDArray[np.float64]:
        """Those of a step's potential, kJ/mol; zeros where there is none."""
        if correction is None:
            return np.zeros(len(self._prior))
        splines, series = cast(SumPotential, correction).parts
        modes = torch.hstack([cast(DihedralPrior, series).cosine, cast(DihedralPrior, series).sine])
        pulls = cast(SitePairSplines, splines).coefficients
        return np.concatenate([pulls.cpu().numpy().ravel(), modes.cpu().numpy().ravel()])

    def _modes(self, frames: Frames) -> NDArray[np.float64]:
        """(n_frames, n_dihedrals * 2 order), for each dihedral its cosines, then its sines."""
        x = geometry.dihedral(np.asarray(frames.positions, float), self.dihedrals)[..., None]
        orders = np.arange(1, self.options.order + 1)
        modes = np.concatenate([np.cos(orders * x), np.sin(orders * x)], -1)
        return np.asarray(modes.reshape(len(frames), -1))

    def divergence(self, model: Frames, target: Frames) -> float:
        """Mean Jensen-Shannon divergence, nats, of the distances of the held-out pairs."""
        rows = [self._histograms(frames) for frames in (model, target)]
        return float(jensen_shannon_rows(*rows).mean())

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


def _parts(targets: Frames, held_out: float) -> tuple[Frames, Frames]:
    """The parent's frames to correct by, and those that judge: blocks spread over all of them."""
    blocks = blocks_of(targets, min(BLOCKS, len(targets)))
    every = max(2, round(1 / held_out))
    judging = np.sort(np.concatenate(blocks[every // 2 :: every]))
    return targets[np.setdiff1d(np.arange(len(targets)), judging)], targets[judging]
