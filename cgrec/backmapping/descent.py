"""One step down with weights, and the audit that the same weights give for free.

A draw x of q(x | X) from an X of the coarse level carries ln w = -beta W_fine(x) + beta W_coarse(X)
- ln q, so whatever the coarse potential and the backmapper got wrong is weighed away as far as the
draws reach; over several levels the weights telescope.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp

from ..frames import Frames
from ..statistics.errors import Estimate, effective_share
from ..statistics.resampling import draw
from ..statistics.sampling import blocks_of
from ..units import thermal_energy
from .base import Backmapper
from .correct import metropolis
from .minimise import GivesForces


@dataclass(frozen=True)
class DescentStep:
    """What one step down came to.

    Attributes:
        level: name of the level descended to.
        n_frames: draws.
        ess: effective share of them, (sum w)^2 / (n sum w^2), of the weights up to here; nan
            without weights.
        own_ess: the same of the weights of this step alone.
        resampled: whether frames were drawn anew by their weights.
        acceptance: of the moves after that, nan without.
    """

    level: str
    n_frames: int
    ess: float
    own_ess: float
    resampled: bool
    acceptance: float


@dataclass(frozen=True)
class Audit:
    """ln mean_u[exp(-beta W_fine(x)) / q(u | X)] = -beta F(X) + const, against the learned -beta
    W_coarse(X), frame by frame.

    Attributes:
        audited: (n,) F(X) in kT, its mean taken away.
        learned: (n,) W_coarse(X) in kT, its mean taken away.
        error: (n,) standard error of each F, from its draws.
        rms: root mean square of F - W beyond what the errors say, kT, with its error.
        slope: of W against F, errors in F allowed for, with its error.
        entropy: -E[ln p(u | X)], nats: the mapping entropy, per nm^3 and free atom, with its error.
        ess: mean effective share of the draws of one frame.
    """

    audited: NDArray[np.float64]
    learned: NDArray[np.float64]
    error: NDArray[np.float64]
    rms: Estimate[float]
    slope: Estimate[float]
    entropy: Estimate[float]
    ess: float

    def to_json(self) -> dict[str, object]:
        """Plain numbers."""
        return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in vars(self).items()}


def energies_in_kT(potential: GivesForces, frames: Frames) -> NDArray[np.float64]:
    """(n_frames,) W / kT."""
    energies, _ = potential.energy_and_forces(frames)
    return np.asarray(energies, float) / thermal_energy(frames.temperature)


def step_down(
    coarse: Frames,
    backmapper: Backmapper,
    fine_potential: GivesForces | None,
    coarse_potential: GivesForces | None,
    *,
    name: str = "",
    n_draws: int = 1,
    generator: torch.Generator | None = None,
    resample_below: float = 0.5,
    rounds: int = 0,
) -> tuple[Frames, DescentStep]:
    """Frames of the finer level, weighted so that they are its own ensemble.

    Args:
        coarse: frames of exp(-beta W_coarse), weights honoured.
        backmapper: to the finer level.
        fine_potential, coarse_potential: of the two levels; None where there is none: the frames
            keep the weights of `coarse`.
        n_draws: to every coarse frame; more of them make more of a small effective share.
        generator: of all draws.
        resample_below: effective share under which as many frames as there are coarse ones are
            drawn by their weights.
        rounds: of `metropolis` after that, so that copies of one frame part.
    """
    generator = generator or torch.Generator().manual_seed(0)
    fine, density = backmapper.draw(coarse, n_draws, generator)
    if density is None or fine_potential is None or coarse_potential is None:
        return fine, DescentStep(name, len(fine), math.nan, math.nan, False, math.nan)
    own = (
        np.repeat(energies_in_kT(coarse_potential, coarse), n_draws)
        - energies_in_kT(fine_potential, fine)
        - density
    )
    with np.errstate(divide="ignore"):
        total = own if fine.weights is None else own + np.log(fine.weights)
    fine = replace(fine, weights=np.exp(total - _log_mean(total)))
    share, acceptance = float(effective_share(total)), math.nan
    if share < resample_below:
        fine = replace(draw(fine, len(coarse), _numpy(generator)), weights=None)
        if rounds:
            fine, report = metropolis(
                backmapper.mapping(fine),
                backmapper,
                fine_potential,
                rounds=rounds,
                generator=generator,
                start=fine,
            )
            acceptance = report.acceptance
    return fine, DescentStep(
        name, len(fine), share, float(effective_share(own)), share < resample_below, acceptance
    )


def audit(
    coarse: Frames,
    backmapper: Backmapper,
    fine_potential: GivesForces,
    coarse_potential: GivesForces,
    *,
    n_draws: int = 64,
    generator: torch.Generator | None = None,
) -> Audit:
    """Check the coarse potential point by point, without any simulation.

    Args:
        coarse: frames to check it on.
        backmapper: with a density; the closer, the smaller the errors.
        fine_potential, coarse_potential: of the two levels.
        n_draws: to each frame, at least 4.
        generator: of the draws.

    Raises:
        TypeError: the backmapper has no density. ValueError: too few draws.
    """
    if n_draws < 4:
        raise ValueError(f"audit: expected at least 4 draws to each frame, found {n_draws}")
    fine, density = backmapper.draw(coarse, n_draws, generator)
    if density is None:
        raise TypeError(f"audit: a {type(backmapper).__name__} has no density: use FlowBackmapper")
    energy = energies_in_kT(fine_potential, fine).reshape(len(coarse), n_draws)
    log_weight = -energy - density.reshape(len(coarse), n_draws)
    F = -_log_mean(log_weight)
    weight = np.exp(log_weight + F[:, None]) / n_draws
    variance = (
        n_draws / (n_draws - 1) * ((weight - 1 / n_draws) ** 2).sum(1)
    )  # of ln of a mean, by linearisation
    W = energies_in_kT(coarse_potential, coarse)
    own = coarse.normalised_weights()
    entropy = (weight * energy).sum(1) - F  # of p(u | X): beta <W_fine> - beta F
    F, W = F - own @ F, W - own @ W

    def statistics(some: NDArray[np.bool_]) -> NDArray[np.float64]:
        p = own * some / (own * some).sum()
        f, w = F - p @ F, W - p @ W
        excess = p @ (f - w) ** 2 - p @ variance
        return np.array(
            [math.sqrt(max(excess, 0.0)), (p @ (f * w)) / (p @ f**2 - p @ variance), p @ entropy]
        )

    blocks = blocks_of(coarse, min(20, len(coarse)))
    left_out = np.stack([statistics(~np.isin(np.arange(len(coarse)), b)) for b in blocks])
    n = len(left_out)
    errors = np.sqrt((n - 1) / n * ((left_out - left_out.mean(0)) ** 2).sum(0))
    rms, slope, bits = (
        Estimate(float(v), float(e)) for v, e in zip(statistics(np.ones(len(F), bool)), errors)
    )
    return Audit(
        F, W, np.sqrt(variance), rms, slope, bits, float(effective_share(log_weight).mean())
    )


def _log_mean(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(...,) ln of the mean of exp(x) over the last axis."""
    return logsumexp(x, axis=-1) - math.log(x.shape[-1])


def _numpy(generator: torch.Generator) -> np.random.Generator:
    return np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
