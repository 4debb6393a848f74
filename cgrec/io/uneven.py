"""Parts of a sample whose forces contradict the others: blocks of frames, single frames, bonds,
molecules.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..frames import Frames
from ..units import BOLTZMANN
from .hypervirial import Own, Sample, Terms
from .implied import BLOCKS, FEW, Series, kelvin, spread_of

#: Standard errors and share of the temperature by which a block of frames or a bond may differ from
#: the others; there are many to look at, and their errors are themselves uncertain.
_BLOCK_SIGMAS, _BLOCK_SHARE = 6.0, 0.15
#: Single frames are judged where each is a sum over so many pairs, and where frames scatter nearly
#: like a Gaussian: 85 % of them within so many median deviations (2.13 of a Gaussian, 2.5 where a
#: tenth is wrong). They are apart by so many spreads, and by so much more than the farthest of an
#: exponential tail.
_MANY_PAIRS, _TAILS, _FRAME_SIGMAS, _FARTHER = 30, 2.6, 7.0, 1.5
#: What springs leave of the forces along bonds, mean square of a frame relative to the median
#: frame: spreads of its logarithm, and the least limit these may give; where they give more than
#: the largest, noise decides and single frames are not judged.
_LEFT_SPREADS, _LEFT_LIMITS = 7.0, (3.0, 30.0)
#: The limit where several frames pass it: as many, and as large a share of all. Of 4,000 valid
#: frames of a 14-bead lipid with noisy bonds five passed it.
_LEFT_SEVERAL, _SEVERAL, _SEVERAL_SHARE = 10.0, 6, 1 / 250
#: Molecules of a kind from which one can be compared with the others; how many spreads of the
#: others and errors of its own, and what share of their temperature it may be off; by what factor
#: its mean square force may be larger, which is also judged in spreads (of the logarithm).
_ALIKE, _OWN_SPREADS, _OWN_SHARE, _OWN_SQUARE = 8, 7.0, 0.6, 6.0
#: Bonds of a frame from which what springs leave can be told.
_LEAST_BONDS = 4


def uneven(frames: Frames, series: Series, sample: Sample) -> str:
    """What says that parts of the sample contradict each other; "" where nothing does.

    Measured by scripts/benchmarks/traps.py on five beads of a peptide, all-atom and one-site water,
    a Lennard-Jones liquid, a polymer and a lipid of 14 beads: forces of other frames in 5 % of the
    frames, and forces of two molecules (in the peptide and the lipid of two sites) exchanged, were
    noticed in all six; forces of other frames in 1 % in all but the peptide and the lipid, whose
    bonds carry much noise; and none of the six is found uneven as it is.
    """
    found = [_blocks_apart(series), _frames_apart(series, sample)]
    found += [_bond_apart(frames, kind) for kind in sample.kinds if kind.pairs is not None]
    if sample.own is not None and len(sample.used) >= FEW:
        found.append(_molecules_apart(frames, sample.own))
    return "; ".join(f for f in found if f)


def _blocks_apart(series: Series) -> str:
    """Blocks of frames that differ from the others by more than they scatter inside themselves."""
    n = len(series.values)
    for n_blocks in (BLOCKS, BLOCKS // 2, 0):  # fewer and longer ones for a sample that is slow
        if n < 5 * n_blocks:
            continue
        if n_blocks == 0 or n < FEW:
            return ""
        index = np.array_split(np.arange(n), n_blocks)
        means = np.array([_mean(series, b) for b in index])
        # correlation inside blocks only, so that blocks that differ do not excuse themselves
        inner = [series.values[b] - m for b, m in zip(index, means)]
        inefficiency = _inefficiency(inner)
        if 4 * inefficiency < n // n_blocks:
            break
    middle, width = _shortest_half(means)
    typical = float(np.median([np.std(v) for v in inner if np.std(v) > 0] or [0.0]))
    errors = np.array([typical * np.sqrt(inefficiency / len(b)) for b in index])
    errors = np.maximum(errors, width)  # blocks that all scatter are slow, not wrong
    # short blocks do not see how slow they are, and their own means hide a part of it
    sigmas = np.array([_BLOCK_SIGMAS * (1 + 5 / len(b)) for b in index])
    apart = np.abs(means - middle) > np.maximum(sigmas * errors, _BLOCK_SHARE * abs(middle))
    if not apart.any():
        return ""
    worst = int(np.argmax(np.abs(means - middle) * apart))
    first, last = series.frames[index[worst][0]], series.frames[index[worst][-1]]
    return (
        f"{apart.sum()} of {len(index)} blocks of frames contradict the others: frames {first} "
        f"to {last} "
        f"imply {kelvin(means[worst], errors[worst])}, most blocks {middle:.4g} K; look for "
        "frames that are "
        "frozen, in another unit, in another box, or without their own forces"
    )


def _shortest_half(x: NDArray[np.float64]) -> tuple[float, float]:
    """Middle and standard deviation of the half of the values that lie closest together (Rousseeuw
    and Leroy 1988): unlike median and median deviation they do not move when nearly half of the
    values are another population.
    """
    ordered, n = np.sort(x), (len(x) + 1) // 2
    widths = ordered[n - 1 :] - ordered[: len(x) - n + 1]
    start = int(np.argmin(widths))
    return float(np.median(ordered[start : start + n])), float(widths[start]) / 2 / 0.6745


def _mean(series: Series, index: NDArray[np.int64]) -> float:
    weights = series.weights[index]
    return float(weights @ series.values[index] / max(weights.sum(), 1e-300))


def _inefficiency(pieces: list[NDArray[np.float64]]) -> float:
    """1 + 2 sum of the autocorrelation of the pieces up to its first value below zero."""
    variance = np.mean([np.mean(p**2) for p in pieces])
    total = 1.0
    for lag in range(1, min(len(p) for p in pieces) // 2):
        rho = np.mean([np.mean(p[lag:] * p[:-lag]) for p in pieces]) / max(variance, 1e-300)
        if rho <= 0:
            break
        total += 2 * rho
    return total


def _frames_apart(series: Series, sample: Sample) -> str:
    """Single frames that no scatter explains."""
    n = len(series.values)
    if n < FEW:
        return ""
    apart = np.zeros(n, bool)
    spread, far = spread_of(series.values), np.abs(series.values - np.median(series.values))
    if spread > 0 and sum(k.n_pairs for k in sample.kinds) >= _MANY_PAIRS:
        apart |= far / spread > _farthest(far / spread)
    apart |= _left_apart(sample)
    if not apart.any():
        return ""
    worst = int(series.frames[np.flatnonzero(apart)[0]])
    return (
        f"{apart.sum()} of {n} frames looked at contradict the others, first frame {worst}: "
        "their forces are "
        "not those of their positions (or, in few bonds, noise of bonds is far stronger now "
        "and then)"
    )


def _farthest(far: NDArray[np.float64]) -> float:
    """Spreads by which a valid frame may be off the median: infinite where frames scatter so unlike
    a Gaussian that nobody knows.
    """
    middle, outer = np.quantile(far, [0.5, 0.85])
    if outer > _TAILS * middle:
        return float("inf")
    tail = (outer - middle) / np.log(0.5 / 0.15)  # of an exponential through both quantiles
    return max(_FRAME_SIGMAS, _FARTHER * float(outer + tail * np.log(max(0.15 * len(far), 1.0))))


def _left_apart(sample: Sample) -> NDArray[np.bool_]:
    """(n_used,) frames of which springs leave more of the forces along bonds than of others.

    All kinds of bonds together, each relative to its own median. The limit lies so many spreads of
    the logarithm above the median frame, since that is near to Gaussian whatever the number of
    bonds.
    """
    squares = [_left_of(k) ** 2 for k in sample.kinds if k.pull is not None]
    parts = [s / max(float(np.median(s)), 1e-300) for s in squares if s.shape[1]]
    if not parts or sum(p.shape[1] for p in parts) < _LEAST_BONDS:
        return np.zeros(len(sample.used), bool)
    left = np.concatenate(parts, axis=1).mean(1)
    left = left / max(float(np.median(left)), 1e-300)
    spread = spread_of(np.log(np.maximum(left, 1e-12)))
    least, most = np.log(_LEFT_LIMITS)
    limit = max(_LEFT_SPREADS * spread, least)
    apart = (np.log(np.maximum(left, 1e-12)) > limit) & (limit <= most)
    several = left > _LEFT_SEVERAL
    if several.sum() >= max(_SEVERAL, _SEVERAL_SHARE * len(left)):
        apart |= several
    return apart


def _left_of(kind: Terms) -> NDArray[np.float64]:
    """(n_used, n_bonds) what a spring of each bond's own leaves of the pull along it, kJ/mol/nm."""
    assert kind.pull is not None and kind.stretch is not None
    pull = kind.pull - np.median(kind.pull, axis=0)
    stretch = kind.stretch - np.median(kind.stretch, axis=0)
    spring = (pull * stretch).sum(0) / np.maximum((stretch**2).sum(0), 1e-300)
    return pull - spring * stretch


def _bond_apart(frames: Frames, kind: Terms) -> str:
    """Bonds whose forces imply another temperature than the rest of their kind, and follow no
    spring where the others do: exchanged or foreign forces.
    """
    if kind.pull is None or kind.stretch is None or kind.pairs is None:
        return ""
    if len(kind.pull) < FEW or len(kind.pairs) < 4:
        return ""
    implied = -(kind.pull * kind.stretch).mean(0) / BOLTZMANN
    error = np.maximum(
        np.std(kind.pull * kind.stretch, axis=0) / len(kind.pull) ** 0.5 / BOLTZMANN,
        spread_of(implied),
    )
    off = np.abs(implied - np.median(implied))
    left = _left_of(kind).var(0)
    far = (off > np.maximum(_BLOCK_SIGMAS * error, _BLOCK_SHARE * abs(np.median(implied)))) & (
        left > 3 * np.median(left)
    )
    if not far.any():
        return ""
    worst = int(np.argmax(off * far))
    i, j = kind.pairs[worst].tolist()
    labels = frames.system.labels
    return (
        f"{np.count_nonzero(far)} of {len(far)} bonds of one kind contradict the others: "
        f"{labels[i]} (site "
        f"{i}) - {labels[j]} (site {j}) alone implies {kelvin(implied[worst], error[worst])}, "
        "half of them "
        f"less than {np.median(implied):.4g} K; were the forces of two sites exchanged?"
    )


def _molecules_apart(frames: Frames, own: Own) -> str:
    """Molecules that imply another temperature than the others of their kind, or on which far
    larger forces act: exchanged or foreign forces.
    """
    divergence = np.where(own.divergence > 0, own.divergence, np.nan) * BOLTZMANN
    implied, error = -own.work / divergence, own.noise / divergence
    apart, usual = np.zeros(len(implied), bool), np.zeros(len(implied))
    for kind in np.unique(own.species):
        mine = np.flatnonzero((own.species == kind) & np.isfinite(implied))
        if len(mine) < _ALIKE:
            continue
        middle, square = (
            float(np.median(implied[mine])),
            np.log(np.maximum(own.square[mine], 1e-12)),
        )
        spread = np.maximum(spread_of(implied[mine]), error[mine])
        limit = np.maximum(_OWN_SPREADS * spread, _OWN_SHARE * abs(middle))
        strong = max(_OWN_SPREADS * spread_of(square), np.log(_OWN_SQUARE))
        apart[mine] = (np.abs(implied[mine] - middle) > limit) | (
            square - np.median(square) > strong
        )
        usual[mine] = middle
    if not apart.any():
        return ""
    worst = int(np.flatnonzero(apart)[0])
    sites = np.flatnonzero(frames.system.molecules == worst)
    ratio = own.square[worst] / float(np.median(own.square[own.species == own.species[worst]]))
    return (
        f"{apart.sum()} of {len(apart)} molecules contradict the others of their kind: that of "
        f"{frames.system.labels[sites[0]]} (site {sites[0]}) alone implies "
        f"{implied[worst]:.4g} K, most of "
        f"them {usual[worst]:.4g} K, and its mean square force is {ratio:.2g} times theirs; "
        "were forces of two "
        "molecules exchanged?"
    )
