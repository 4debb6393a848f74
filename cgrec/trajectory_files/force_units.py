"""Are the forces those of these positions at this temperature, in the units they are said to be in?

The identity of `hypervirial` gives the temperature that the forces imply, with an error. It is judged in
standard errors, so that noise never buys tolerance: an error too large to tell makes the forces untested,
which is said. Blocks of frames, single bonds and the forces of the frame before and after are judged as well,
since a share of wrong frames hides in the mean of all.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..frames import Frames
from ..units import BOLTZMANN, ENERGY, LENGTH, force_factor, length_factor, shown
from .hypervirial import Sample, Terms, bond_terms, molecule_terms
from .periodic import close_pairs
from .topology import CLOSEST_ATOMS, covalent_radii

#: A ratio of temperatures within this of the ratio a wrong unit makes counts as that.
TOLERANCE = 0.15
#: Standard errors that the estimate may be off by chance: one false alarm in 16,000 where errors are
#: Gaussian.
_SIGMAS = 4.0
#: Share of the temperature that sampling itself may shift (time step, thermostat), whatever the error.
_FLOOR = 0.02
#: Relative error from which on the estimate says nothing: a unit of energy would be seen, a wrong frame in
#: ten not.
_TOO_NOISY = 0.1
#: Blocks of frames, standard errors and share of the temperature by which one may differ from the others;
#: there are many blocks and bonds to look at, and block errors are themselves uncertain, hence more than
#: `_SIGMAS`.
_BLOCKS, _BLOCK_SIGMAS, _BLOCK_SHARE = 20, 6.0, 0.15
#: The same for single frames, which are judged only where each is a sum over so many pairs.
_FRAME_SIGMAS, _MANY_PAIRS = 7.0, 30
#: Mean square of what springs leave of the forces along bonds, relative to the median frame: three times that
#: of the worst frame of any valid sample we have (five beads in solvent).
_FRAME_RESIDUAL = 30.0
#: Below so many frames the scatter between pairs gives the error, and there are no blocks to compare.
_FEW = 20
#: (omega dt)^2 / 4, and step in fs (of atoms, of beads), above which a Verlet step is no believable
#: explanation of a hot bond.
_LARGEST_EXCESS, _LARGEST_STEP = 0.3, (2.6, 15.0)
#: Frames from which the unit of length is judged.
_LENGTH_FRAMES = 7
_REGULAR = 1.4826  # standard deviation of a Gaussian over its median absolute deviation


@dataclass(frozen=True)
class UnitCheck:
    """What the forces say about the temperature.

    Attributes:
        verdict: "ok", "wrong unit", "wrong frame" (the forces are those of the frame before or after),
            "uneven" (parts of the sample contradict each other), "off" (none of these) or "untested".
        message: the finding in words.
        temperature: K, as given.
        estimate: K, from the forces; NaN where untested.
        error: K, standard error of the estimate.
        pairs: what was used: "bonds" or "molecules".
        sensitivity: K, the smallest wrong temperature that would be seen; NaN where untested.
    """

    verdict: str
    message: str
    temperature: float
    estimate: float = float("nan")
    error: float = float("nan")
    pairs: str = ""
    sensitivity: float = float("nan")

    @property
    def ratio(self) -> float:
        """Estimated over given temperature."""
        return self.estimate / self.temperature

    @property
    def sigmas(self) -> float:
        """How many standard errors the estimate lies from the temperature given."""
        return (self.estimate - self.temperature) / max(self.error, 1e-300)

    def to_dict(self) -> dict[str, Any]:
        """For json; numbers that are not known are None."""
        values = {**asdict(self), "sigmas": self.sigmas}
        return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in values.items()}


def check_force_units(
    frames: Frames, force_unit: str = "kJ/mol/nm", length_unit: str | None = None
) -> UnitCheck:
    """Compare the temperature the forces imply with the one given.

    Bonds that can stretch are used where there are any, else molecules as a whole. Where there are both,
    molecules are judged too and the worse of two verdicts is returned: a wrong box does not touch a bond.

    Args:
        frames: with forces.
        force_unit: the unit the forces were said to be in when read, to name the mistake.
        length_unit: the unit of the positions where that is still open; None where they were seen to be
            right, so that no mistake of theirs is suspected.

    Raises:
        ValueError: no forces.
    """
    frames.need_forces()
    checks = [
        _judge(frames, kind, force_unit, length_unit)
        for kind in ("bonds", "molecules")
        if kind == "bonds" or frames.system.molecules.max() > 0
    ]
    told = [c for c in checks if c.verdict != "untested"]
    if not told:
        return max(checks, key=lambda c: bool(c.pairs))
    return next((c for c in told if c.verdict != "ok"), told[0])


@dataclass(frozen=True)
class _Series:
    """Temperatures that single frames imply, put together from all kinds of pairs with the least noise.

    Attributes:
        values: (n_used,) K; their weighted mean is the estimate.
        weights: (n_used,) sum to one.
        noise: K, standard error from the scatter between pairs.
        frames: (n_used,) numbers of the frames.
    """

    values: NDArray[np.float64]
    weights: NDArray[np.float64]
    noise: float
    frames: NDArray[np.int64]

    @classmethod
    def of(cls, frames: Frames, sample: Sample) -> _Series | None:
        """None where no kind of pair tells anything."""
        kinds = [k for k in sample.kinds if np.mean(k.divergence) > 0]
        if not kinds:
            return None
        p = frames.normalised_weights()[sample.used]
        p = p / p.sum()
        c = np.array([np.mean(k.divergence) / max(_spread(k.work) ** 2, 1e-300) for k in kinds])
        c = c / c.max()
        norm = sum(w * (p @ k.divergence) for w, k in zip(c, kinds))
        work = sum(w * k.work for w, k in zip(c, kinds))
        divergence = sum(w * k.divergence for w, k in zip(c, kinds))
        # linear in the deviation of the divergence, so that a mean over frames is the ratio of sums
        values = -work / norm / BOLTZMANN  # type: ignore[operator]
        estimate = float(p @ values)
        values = values - estimate * (divergence / norm - 1)  # type: ignore[operator]
        pairs = sum((w * k.noise) ** 2 * k.n_pairs for w, k in zip(c, kinds))
        noise = float(np.sqrt(pairs * (p**2).sum()) / norm / BOLTZMANN)  # type: ignore[operator]
        return cls(values, p, noise, sample.used)

    @property
    def estimate(self) -> float:
        """K."""
        return float(self.weights @ self.values)

    @property
    def error(self) -> float:
        """K, standard error: the largest of what pairs, frames and blocks of frames scatter."""
        z = self.weights * (self.values - self.estimate)
        n = len(z)
        found = [self.noise] if n < _FEW else [float(np.sqrt((z**2).sum()))]
        if n > 1:
            blocks = np.array([b.sum() for b in np.array_split(z, min(_BLOCKS, n))])
            found.append(float(np.sqrt((blocks**2).sum() * len(blocks) / max(len(blocks) - 1, 1))))
        return max(found)


def _spread(x: NDArray[np.float64]) -> float:
    """Standard deviation that single wild values do not move; the plain one where most values are equal."""
    robust = _REGULAR * float(np.median(np.abs(x - np.median(x))))
    return robust if robust > 0 else float(np.std(x))


def _judge(frames: Frames, pairs: str, force_unit: str, length_unit: str | None) -> UnitCheck:
    terms = bond_terms if pairs == "bonds" else molecule_terms
    sample = terms(frames)
    series = _Series.of(frames, sample)
    given = frames.temperature
    if series is None:
        message = "forces untested: no flexible bond and no pair of molecules in reach to test them by"
        return UnitCheck("untested", message, given)
    estimate, error = series.estimate, series.error
    seen = max(_SIGMAS * error, _FLOOR * given)
    found = f"forces along {pairs} imply {_kelvin(estimate, error)}, the temperature given is {given:g} K"
    verdict = lambda name, text: UnitCheck(name, text, given, estimate, error, pairs, seen)  # noqa: E731
    uneven = _uneven(frames, series, sample)
    causes = _causes(estimate / given, error / given, force_unit, length_unit)
    off = abs(estimate - given) > seen
    if off and (shifted := _shifted(frames, terms, estimate)):
        return verdict("wrong frame", f"{found}: {shifted}")
    by = f"off by {abs(estimate - given) / max(error, 1e-300):.3g} sigma"
    if off and causes and not uneven:
        return verdict("wrong unit", f"{found}: {by} (ratio {estimate / given:.3g}): {' or '.join(causes)}")
    if uneven:
        return verdict("uneven", f"{found}; {uneven}")
    if off:
        return verdict("off", f"{found}: {by}; {_explanation(frames, sample, estimate)}")
    if error > _TOO_NOISY * given:
        text = f"{found}: the error is too large to tell, so the forces and their unit are untested"
        return verdict("untested", f"{text}; look at the source of the forces yourself, or give more frames")
    return verdict("ok", f"{found}: within {shown(seen)} K, the smallest difference that could be seen")


def _kelvin(estimate: float, error: float) -> str:
    digits = max(0, 1 - int(np.floor(np.log10(max(error, 1e-3)))))
    return f"{estimate:.{digits}f} +- {error:.{digits}f} K"


def _causes(ratio: float, error: float, force_unit: str, length_unit: str | None) -> list[str]:
    """The usual mistakes that make this ratio of temperatures; none where 1 explains it as well."""
    if error > 0.3 * abs(ratio):
        return []
    near = [
        (abs(np.log(ratio / factor)), text)
        for factor, text in _mistakes(force_unit, length_unit)
        if ratio / factor > 0
        and abs(ratio / factor - 1) < max(TOLERANCE, min(2 * TOLERANCE, 3 * error / abs(factor)))
    ]
    best = min((d for d, _ in near), default=0.0)
    return [text for d, text in near if d < best + 0.05]  # only those that explain it as well as the best


def _mistakes(force_unit: str, length_unit: str | None) -> list[tuple[float, str]]:
    """(ratio of temperatures, what causes it) of each usual mistake, for forces read as `force_unit`."""
    taken = force_factor(force_unit)
    others = [f"{e}/{x}" for e in ENERGY for x in LENGTH if f"{e}/{x}" != force_unit]
    wrong = [(taken / force_factor(u), f"the forces are in {u}, not {force_unit}") for u in others]
    twice = [
        (
            force_factor(u),
            f"the forces were converted twice, from {u} ({force_factor(u):.5g} times too large)",
        )
        for u in [*others, force_unit]
        if u != "kJ/mol/nm"
    ]
    lengths = [
        (length_factor(length_unit) / length_factor(b), f"the positions are in {b}, not {length_unit}")
        for b in LENGTH
        if length_unit is not None and b != length_unit
    ]
    listed = [*wrong, *[t for t in twice if not any(abs(t[0] / w[0] - 1) < 1e-3 for w in wrong)], *lengths]
    sign = "these are energy gradients, not forces: their sign is wrong"
    return [*listed, (-1.0, sign), *[(-f, f"{text}, and their sign is wrong") for f, text in listed]]


def _uneven(frames: Frames, series: _Series, sample: Sample) -> str:
    """What says that parts of the sample contradict each other; "" where nothing does."""
    found = [_blocks_apart(series), _frames_apart(series, sample)]
    found += [_bond_apart(frames, kind) for kind in sample.kinds if kind.pairs is not None]
    return "; ".join(f for f in found if f)


def _blocks_apart(series: _Series) -> str:
    """Blocks of frames that differ from the others by more than they scatter inside themselves."""
    n = len(series.values)
    for n_blocks in (_BLOCKS, _BLOCKS // 2, 0):  # fewer and longer ones for a sample that is slow
        if n < 5 * n_blocks:
            continue
        if n_blocks == 0 or n < _FEW:
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
    apart = np.abs(means - middle) > np.maximum(_BLOCK_SIGMAS * errors, _BLOCK_SHARE * abs(middle))
    if not apart.any():
        return ""
    worst = int(np.argmax(np.abs(means - middle) * apart))
    first, last = series.frames[index[worst][0]], series.frames[index[worst][-1]]
    return (
        f"{apart.sum()} of {len(index)} blocks of frames contradict the others: frames {first} to {last} "
        f"imply {_kelvin(means[worst], errors[worst])}, most blocks {middle:.4g} K; look for frames that are "
        "frozen, in another unit, in another box, or without their own forces"
    )


def _shortest_half(x: NDArray[np.float64]) -> tuple[float, float]:
    """Middle and standard deviation of the half of the values that lie closest together (Rousseeuw and Leroy
    1988): unlike median and median deviation they do not move when nearly half of the values are another
    population.
    """
    ordered, n = np.sort(x), (len(x) + 1) // 2
    widths = ordered[n - 1 :] - ordered[: len(x) - n + 1]
    start = int(np.argmin(widths))
    return float(np.median(ordered[start : start + n])), float(widths[start]) / 2 / 0.6745


def _mean(series: _Series, index: NDArray[np.int64]) -> float:
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


def _frames_apart(series: _Series, sample: Sample) -> str:
    """Single frames that no scatter explains."""
    n = len(series.values)
    if n < _FEW:
        return ""
    apart = np.zeros(n, bool)
    spread, far = _spread(series.values), np.abs(series.values - np.median(series.values))
    # where a frame is a sum of so many pairs that frames scatter like a Gaussian
    if spread > 0 and sum(k.n_pairs for k in sample.kinds) >= _MANY_PAIRS:
        tails = (
            float(np.quantile(far / spread, 0.7)) / 1.036
        )  # 1 for a Gaussian, wrong frames among it or not
        apart |= far / spread > _FRAME_SIGMAS * max(tails, 1.0) ** 2
    for kind in sample.kinds:
        if kind.pull is not None and kind.stretch is not None and len(kind.pull[0]) >= 4:
            left = (_left_of(kind) ** 2).mean(1)
            apart |= left > _FRAME_RESIDUAL * np.median(left)
    if not apart.any():
        return ""
    worst = int(series.frames[np.flatnonzero(apart)[0]])
    return (
        f"{apart.sum()} of {n} frames looked at contradict the others, first frame {worst}: their forces are "
        "not those of their positions"
    )


def _left_of(kind: Terms) -> NDArray[np.float64]:
    """(n_used, n_bonds) what a spring of each bond's own leaves of the pull along it, kJ/mol/nm."""
    assert kind.pull is not None and kind.stretch is not None
    pull = kind.pull - np.median(kind.pull, axis=0)
    stretch = kind.stretch - np.median(kind.stretch, axis=0)
    spring = (pull * stretch).sum(0) / np.maximum((stretch**2).sum(0), 1e-300)
    return pull - spring * stretch


def _bond_apart(frames: Frames, kind: Terms) -> str:
    """Bonds whose forces imply another temperature than the rest of their kind, and follow no spring where
    the others
    do: exchanged or foreign forces.
    """
    if kind.pull is None or kind.stretch is None or kind.pairs is None:
        return ""
    if len(kind.pull) < _FEW or len(kind.pairs) < 4:
        return ""
    implied = -(kind.pull * kind.stretch).mean(0) / BOLTZMANN
    error = np.maximum(
        np.std(kind.pull * kind.stretch, axis=0) / len(kind.pull) ** 0.5 / BOLTZMANN, _spread(implied)
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
        f"{np.count_nonzero(far)} of {len(far)} bonds of one kind contradict the others: {labels[i]} (site "
        f"{i}) - {labels[j]} (site {j}) alone implies {_kelvin(implied[worst], error[worst])}, half of them "
        f"less than {np.median(implied):.4g} K; were the forces of two sites exchanged?"
    )


def _shifted(frames: Frames, terms: Any, estimate: float) -> str:
    """The cause, where the forces of the frame before or after fit and those of the frame itself do not."""
    if len(frames) < _FEW:
        return ""
    for lag, name in ((1, "after"), (-1, "before")):
        series = _Series.of(frames, terms(frames, lag))
        if series is None:
            continue
        close = abs(series.estimate - frames.temperature)
        near = max(_SIGMAS * series.error, TOLERANCE * frames.temperature)
        told = series.error < _TOO_NOISY * frames.temperature
        if told and close < near < abs(estimate - frames.temperature) / 2:
            return (
                f"with the forces of the frame {name} it would be {_kelvin(series.estimate, series.error)}: "
                "forces and positions are shifted against each other by one frame"
            )
    return ""


def _explanation(frames: Frames, sample: Sample, estimate: float) -> str:
    """What else may be: a time step that was too long, or the open questions.

    Verlet and leap-frog integration of a harmonic bond of frequency w samples <f^2> = kT / (k (1 - (w dt)^2 /
    4)), from the conserved shadow energy (Skeel and Hardy, SIAM J. Sci. Comput. 23, 1172 (2001)).
    """
    frequencies = [k.frequency for k in sample.kinds if k.frequency > 0]
    share = frames.temperature / estimate if estimate > 0 else 1.0
    excess = 1 - share
    if frequencies and 0 < excess < _LARGEST_EXCESS:
        # frequencies were computed as if bonds were as wide as at the temperature given
        step = 2e3 * np.sqrt(excess * share) / float(np.median(frequencies))
        beads = "X" in frames.system.elements
        if step < _LARGEST_STEP[beads]:
            return (
                f"a Verlet time step of {step:.2g} fs would explain it (stiff bonds then swing too wide); if "
                "the step was shorter, the temperature or the forces are wrong"
            )
    return (
        "no usual mistake of units explains it: is this an equilibrium sample of that temperature, are "
        "constraints known, are biases or restraints left out of the forces?"
    )


def check_length_unit(frames: Frames, where: str) -> None:
    """ValueError where atoms are nearer or farther than atoms ever are: the unit of length was wrong.

    The forces cannot tell where both units are wrong in step. No two atoms are closer than 0.05 nm; hydrogens
    have a neighbour at about the sum of covalent radii, and so have the ends of the bonds a topology states.
    The median of a few frames counts, since one of them may be bad.
    """
    atoms = np.flatnonzero([e != "X" for e in frames.system.elements])
    if len(atoms) < 2:
        return
    boxes = frames.boxes()
    looked = np.unique(np.linspace(0, len(frames) - 1, _LENGTH_FRAMES).astype(int))
    ratios = []
    for t in looked:
        x, box = np.asarray(frames.positions[t], float), None if boxes is None else boxes[t]
        touching = len(close_pairs(x[atoms], CLOSEST_ATOMS, None)[0]) > 0  # a wrong box is another fault
        ratios.append(0.1 if touching else _neighbour_ratio(frames, x, atoms, box))
    ratio = float(np.median(ratios))
    if not 0.6 < ratio < 1.7:
        raise ValueError(
            f"{where}: neighbouring atoms are about {ratio:.2g} times as far apart as bonded atoms are, so "
            "the length unit is probably wrong (0.1: nm taken for angstrom, 10: angstrom taken for nm, 0.5 "
            "or 1.9: bohr and angstrom mixed up); correct length_unit=, or pass check_units=False if this is "
            "meant"
        )


def _neighbour_ratio(
    frames: Frames, first: NDArray[Any], atoms: NDArray[np.int64], box: NDArray[Any] | None
) -> float:
    """Median distance of a hydrogen's nearest atom, else of bonds, over the sum of covalent radii; 1 where
    neither is.
    """
    radii, pairs = covalent_radii(frames.system.elements), frames.system.bonds
    hydrogens = [i for i in atoms if frames.system.elements[i] == "H"]
    if not hydrogens:
        pairs = pairs[np.isin(pairs, atoms).all(1)]
        lengths = np.linalg.norm(first[pairs[:, 1]] - first[pairs[:, 0]], axis=-1)
        return float(np.median(lengths / radii[pairs].sum(1))) if len(pairs) else 1.0
    nearest = np.full(len(first), 10.0)  # in case of no atom within 0.4 nm
    found, vectors = close_pairs(first[atoms], 0.4, box)
    ratios = np.linalg.norm(vectors, axis=-1) / radii[atoms[found]].sum(1)
    for ends in atoms[found].T:
        np.minimum.at(nearest, ends, ratios)
    return float(np.median(nearest[hydrogens]))
