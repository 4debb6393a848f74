"""Diffusion: from mean squared displacements, corrected for the box, and the friction that brings
it about.

Public: `diffusion` -> `Diffusion`, `yeh_hummer`, `friction_for_diffusion`. A coarse level's own
friction sets how fast it moves, so its diffusion is fitted, not predicted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from ..frames import Frames
from ..statistics.errors import Estimate, jackknife_error
from ..units import DIFFUSION, VISCOSITY, thermal_energy

Array = NDArray[np.float64]
_CHUNK = 2**22  # numbers Fourier transformed at a time


@dataclass(frozen=True)
class Diffusion:
    """Self-diffusion coefficient of one type of site.

    Attributes:
        value, error: nm^2/ps (1 nm^2/ps = 1000 x 1e-9 m^2/s).
        fit: (low, high) ps, the lags the line was fitted over.
        exponent: slope of ln msd over ln t there: 1 where motion is diffusive, more where the fit
            starts too early.
        times: (n_lags,) ps.
        msd: (n_lags,) nm^2, mean squared displacement in three dimensions.
    """

    value: float
    error: float
    fit: tuple[float, float]
    exponent: float
    times: Array
    msd: Array

    @property
    def si(self) -> Estimate[float]:
        """Value and error in 1e-9 m^2/s."""
        unit = DIFFUSION["1e-9 m^2/s"]
        return Estimate(self.value / unit, self.error / unit)


def diffusion(
    frames: Frames,
    type_a: str,
    interval: float,
    fit: tuple[float, float] | None = None,
    remove_drift: bool = False,
    n_blocks: int = 10,
) -> Diffusion:
    """D = slope of <|r(t) - r(0)|^2> / 6 by a straight line with intercept, all time origins, FFT.

    The fast algorithm is that of Calandrini et al., Collection SFN 12, 201 (2011). Every replica is
    cut into equally many pieces, so that there are at least `n_blocks`; the error is the jackknife
    over pieces.

    Args:
        frames: unwrapped, unweighted, at equal distances in time.
        type_a: whose sites move.
        interval: ps between frames.
        fit: (low, high) ps. Default: a tenth to half of the shortest piece of trajectory.
        remove_drift: follow sites relative to the centre of mass of all. For trajectories whose
            total momentum drifts; under a Langevin thermostat the centre diffuses too, and taking
            it out makes D too small by a factor 1 - 1/n_sites for like sites.
        n_blocks: at least so many pieces; a lag is at most as long as a piece.

    Raises:
        ValueError: no site of this type, weights, jumps of half a box (wrapped), or fewer than two
            lags to fit.
    """
    sites = np.flatnonzero(np.array(frames.system.types) == type_a)
    if not len(sites):
        raise ValueError(
            f"no site of type {type_a!r}: expected one of {sorted(set(frames.system.types))}"
        )
    if frames.weights is not None and np.ptp(frames.weights) > 1e-9:
        raise ValueError(
            "diffusion: expected frames that all count the same, found weights: a run with a bias, or "
            "with an exchange of temperatures, has no dynamics of its own. Run it without "
            "(dynamics.bias=null, dynamics.exchange=null)"
        )
    pieces = _pieces(frames, max(2, n_blocks))
    length = min(map(len, pieces))
    if length < 3:
        raise ValueError(
            f"diffusion: expected pieces of at least three frames, found {length} with "
            f"{len(pieces)} pieces of "
            f"{len(frames)} frames; give longer runs or fewer blocks"
        )
    times: Array = float(interval) * np.arange(length, dtype=float)
    low, high = fit or (0.1 * times[-1], 0.5 * times[-1])
    use = _lags(times, low, high)
    sums = np.array([_squares(frames, piece, sites, remove_drift)[:length] for piece in pieces])
    counts = np.array([len(piece) - np.arange(length) for piece in pieces])
    msd: Array = sums.sum(0) / counts.sum(0)
    left = (sums.sum(0) - sums) / (counts.sum(0) - counts)
    slopes = np.polyfit(times[use], np.vstack([msd, left])[:, use].T, 1)[0] / 6
    moved = np.maximum(msd[use], 1e-300)  # rounding may leave less than nothing where nothing moves
    exponent = np.polyfit(np.log(times[use]), np.log(moved), 1)[0]
    return Diffusion(
        float(slopes[0]),
        float(jackknife_error(slopes[1:])),
        (float(low), float(high)),
        float(exponent),
        times,
        msd,
    )


def yeh_hummer(
    diffusion: float,
    box_length: float,
    viscosity: float,
    temperature: float,
    *,
    momentum_conserved: bool = False,
) -> float:
    """Diffusion coefficient (nm^2/ps) in an infinite system, D0 = D + 2.837297 kT / (6 pi eta L).

    Yeh & Hummer, J. Phys. Chem. B 108, 15873 (2004), for a cubic box. The correction is exact to
    first order in 1/L, so the error of D is that of D0.

    Args:
        diffusion: nm^2/ps, as measured in the box.
        box_length: nm.
        viscosity: mPa s, of the model itself.
        temperature: K.
        momentum_conserved: say so.

    Raises:
        ValueError: momentum is not conserved, or a number is not positive.
    """
    if not momentum_conserved:
        raise ValueError(
            "yeh_hummer: the correction is for flow that a particle drives and that its images "
            "feel; a Langevin thermostat "
            "takes up that momentum, so there is none to correct. Compare D as measured, or "
            "pass momentum_conserved=True "
            "for a run at constant energy or with a thermostat that conserves momentum"
        )
    _positive(box_length=box_length, viscosity=viscosity, temperature=temperature)
    drag = 6 * np.pi * viscosity * VISCOSITY["mPa s"] * box_length
    return diffusion + 2.837297 * thermal_energy(temperature) / drag


def friction_for_diffusion(
    friction: float, measured: float, target: float, previous: tuple[float, float] | None = None
) -> float:
    """The next Langevin friction (1/ps) to try so that D becomes `target`; call it again with what
    that run measures.

    A free particle has D = kT / (m gamma), so gamma D / D_target is exact for it. In a liquid the
    other particles add friction, 1/D = m (gamma + gamma_0) / kT at best, and that step falls short
    by a factor gamma_0 / (gamma + gamma_0) each time. With the run before as well, the secant in
    1/D over gamma is exact for both. It is left for the first step where it makes no sense (noise,
    or a target out of reach: then friction goes towards zero and D stays below).

    Args:
        friction: 1/ps, of the run just made.
        measured, target: diffusion coefficients in one unit.
        previous: (friction, measured) of the run before.

    Raises:
        ValueError: a number is not positive.
    """
    _positive(friction=friction, measured=measured, target=target)
    if previous is not None:
        _positive(**dict(zip(("previous friction", "previous measured"), previous)))
        rise = 1 / measured - 1 / previous[1]
        if rise * (friction - previous[0]) > 0:
            secant = friction + (friction - previous[0]) / rise * (1 / target - 1 / measured)
            if secant > 0:
                return float(secant)
    return friction * measured / target


def _positive(**numbers: float) -> None:
    for name, value in numbers.items():
        if not value > 0:
            raise ValueError(f"{name}: expected a positive number, found {value}")


def _pieces(frames: Frames, at_least: int) -> list[NDArray[np.int64]]:
    """Frame indices of equal stretches of single replicas, in their order of time."""
    replicas = (
        np.zeros(len(frames), int) if frames.replicas is None else np.asarray(frames.replicas)
    )
    labels = np.unique(replicas)
    cuts = -(-at_least // len(labels))
    return [p for label in labels for p in np.array_split(np.flatnonzero(replicas == label), cuts)]


def _lags(times: Array, low: float, high: float) -> NDArray[np.int64]:
    slack = 1e-6 * times[1]  # lags are multiples of the interval up to rounding
    use = np.flatnonzero((times >= low - slack) & (times <= high + slack) & (times > 0))
    if len(use) < 2 or high > times[-1] + slack:
        raise ValueError(
            f"diffusion: expected at least two lags in {low:.4g}..{high:.4g} ps, found "
            f"{len(use)} with pieces of "
            f"{times[-1]:.4g} ps; give longer runs, fewer blocks or another fit range"
        )
    return use


def _squares(
    frames: Frames, piece: NDArray[np.int64], sites: NDArray[np.int64], remove_drift: bool
) -> Array:
    """(n_lags,) sum over time origins of the squared displacement, mean over sites, nm^2."""
    x = np.asarray(frames.positions[piece], float)
    _refuse_wrapped(frames, piece, x[:, sites])
    if remove_drift:
        masses = frames.system.masses
        x = x - np.einsum("i,tix->tx", masses / masses.sum(), x)[:, None]
    x = x[:, sites] - x[0, sites]  # from zero: squares of far positions would cancel
    x = x.reshape(len(x), -1)
    n, padded = len(x), next_fast_len(2 * len(x), real=True)
    power = np.zeros(padded // 2 + 1)
    for k in range(0, x.shape[1], step := max(1, _CHUNK // padded)):
        power += (np.abs(np.fft.rfft(x[:, k : k + step], padded, axis=0)) ** 2).sum(1)
    products = np.fft.irfft(power, padded)[:n]
    square = (x * x).sum(1)
    # sum over origins of r(t)^2 + r(t + lag)^2: all of them, less those at either end
    heads, tails = np.cumsum(square), np.cumsum(square[::-1])
    both = (heads + tails)[::-1]
    return (both - 2 * products) / len(sites)


def _refuse_wrapped(frames: Frames, piece: NDArray[np.int64], x: Array) -> None:
    boxes = frames.boxes()
    if boxes is None or len(x) < 2:
        return
    inverse = np.linalg.inv(np.asarray(boxes, float)[piece[1:]])
    steps = np.abs(np.einsum("tix,txy->tiy", np.diff(x, axis=0), inverse))
    if steps.max() > 0.5:
        frame, site = np.unravel_index(steps.max(-1).argmax(), steps.shape[:2])
        raise ValueError(
            f"diffusion: expected unwrapped positions, found a jump of {steps.max():.2f} boxes "
            f"of site number {site} of its "
            f"type before frame {piece[frame + 1]}; unwrap the trajectory, or save frames more "
            "often"
        )
