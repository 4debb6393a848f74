"""Are the forces those of these positions at this temperature, in the units they are said to be in?

The identity of `hypervirial` gives the temperature that the forces imply, with an error. It is
judged in standard errors, so that noise never buys tolerance: an error too large to tell makes the
forces untested, which is said. Blocks of frames, single bonds and the forces of the frame before
and after are judged as well, since a share of wrong frames hides in the mean of all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from ..frames import Frames, at_own_temperature
from ..units import ENERGY, LENGTH, force_factor, length_factor, shown
from .hypervirial import Sample, bond_terms, molecule_terms
from .implied import FEW, Series, kelvin
from .periodic import close_pairs
from .topology import CLOSEST_ATOMS, covalent_radii
from .uneven import uneven

#: A ratio of temperatures within this of the ratio a wrong unit makes counts as that.
TOLERANCE = 0.15
#: Standard errors that the estimate may be off by chance: one false alarm in 16,000 where errors
#: are Gaussian.
_SIGMAS = 4.0
#: Share of the temperature that sampling itself may shift (time step, thermostat), whatever the
#: error.
_FLOOR = 0.02
#: Relative error from which on the estimate says nothing: a unit of energy would be seen, a wrong
#: frame in ten not.
_TOO_NOISY = 0.1
#: (omega dt)^2 / 4, and step in fs (of atoms, of beads), above which a Verlet step is no believable
#: explanation of a hot bond.
_LARGEST_EXCESS, _LARGEST_STEP = 0.3, (2.6, 15.0)
#: Frames from which the unit of length is judged.
_LENGTH_FRAMES = 7


@dataclass(frozen=True)
class UnitCheck:
    """What the forces say about the temperature.

    Attributes:
        verdict: "ok", "wrong unit", "wrong frame" (the forces are those of the frame before or
            after), "uneven" (parts of the sample contradict each other), "off" (none of these) or
            "untested".
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

    def to_dict(self) -> dict[str, object]:
        """For json; numbers that are not known are None."""
        values = {**asdict(self), "sigmas": self.sigmas}
        return {
            k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in values.items()
        }


def check_force_units(
    frames: Frames, force_unit: str = "kJ/mol/nm", length_unit: str | None = None
) -> UnitCheck:
    """Compare the temperature the forces imply with the one given.

    Bonds that can stretch are looked at, and molecules as a whole. Where there are both, the worse
    of two verdicts is returned (a wrong box does not touch a bond), else the one with the smaller
    error: a molecule in water has a few bonds, and hundreds of neighbours.

    Args:
        frames: with forces; of several temperatures, those at `frames.temperature` are looked at.
        force_unit: the unit the forces were said to be in when read, to name the mistake.
        length_unit: the unit of the positions where that is still open; None where they were seen
            to be right, so that no mistake of theirs is suspected.

    Raises:
        ValueError: no forces.
    """
    frames.need_forces()
    frames = at_own_temperature(frames)
    checks = [
        _judge(frames, kind, force_unit, length_unit)
        for kind in ("bonds", "molecules")
        if kind == "bonds" or frames.system.molecules.max() > 0
    ]
    told = [c for c in checks if c.verdict != "untested"]
    if not told:
        return max(checks, key=lambda c: bool(c.pairs))
    surest = min(told, key=lambda c: c.error)
    return next((c for c in told if c.verdict != "ok"), surest)


def _judge(frames: Frames, pairs: str, force_unit: str, length_unit: str | None) -> UnitCheck:
    terms = bond_terms if pairs == "bonds" else molecule_terms
    sample = terms(frames)
    series = Series.of(frames, sample)
    given = frames.temperature
    if series is None:
        message = (
            "forces untested: no flexible bond and no pair of molecules in reach to test them by"
        )
        return UnitCheck("untested", message, given)
    estimate, error = series.estimate, series.error
    seen = max(_SIGMAS * error, _FLOOR * given)
    found = (
        f"forces along {pairs} imply {kelvin(estimate, error)}, the temperature given is {given:g} "
        "K"
    )
    verdict = lambda name, text: UnitCheck(name, text, given, estimate, error, pairs, seen)  # noqa: E731
    parts = uneven(frames, series, sample)
    causes = _causes(estimate / given, error / given, force_unit, length_unit)
    off = abs(estimate - given) > seen
    if off and (shifted := _shifted(frames, terms, estimate)):
        return verdict("wrong frame", f"{found}: {shifted}")
    by = f"off by {abs(estimate - given) / max(error, 1e-300):.3g} sigma"
    if off and causes and not parts:
        return verdict(
            "wrong unit", f"{found}: {by} (ratio {estimate / given:.3g}): {' or '.join(causes)}"
        )
    if parts:
        return verdict("uneven", f"{found}; {parts}")
    if off:
        return verdict("off", f"{found}: {by}; {_explanation(frames, sample, estimate)}")
    if error > _TOO_NOISY * given:
        text = f"{found}: the error is too large to tell, so the forces and their unit are untested"
        return verdict(
            "untested", f"{text}; look at the source of the forces yourself, or give more frames"
        )
    return verdict(
        "ok", f"{found}: within {shown(seen)} K, the smallest difference that could be seen"
    )


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
    # only those that explain it as well as the best
    return [text for d, text in near if d < best + 0.05]


def _mistakes(force_unit: str, length_unit: str | None) -> list[tuple[float, str]]:
    """(ratio of temperatures, what causes it) of each usual mistake, for forces read as
    `force_unit`.
    """
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
        (
            length_factor(length_unit) / length_factor(b),
            f"the positions are in {b}, not {length_unit}",
        )
        for b in LENGTH
        if length_unit is not None and b != length_unit
    ]
    listed = [
        *wrong,
        *[t for t in twice if not any(abs(t[0] / w[0] - 1) < 1e-3 for w in wrong)],
        *lengths,
    ]
    sign = "these are energy gradients, not forces: their sign is wrong"
    return [
        *listed,
        (-1.0, sign),
        *[(-f, f"{text}, and their sign is wrong") for f, text in listed],
    ]


def _shifted(frames: Frames, terms: Callable[[Frames, int], Sample], estimate: float) -> str:
    """The cause, where the forces of the frame before or after fit and those of the frame itself do
    not.
    """
    if len(frames) < FEW:
        return ""
    for lag, name in ((1, "after"), (-1, "before")):
        series = Series.of(frames, terms(frames, lag))
        if series is None:
            continue
        close = abs(series.estimate - frames.temperature)
        near = max(_SIGMAS * series.error, TOLERANCE * frames.temperature)
        told = series.error < _TOO_NOISY * frames.temperature
        if told and close < near < abs(estimate - frames.temperature) / 2:
            return (
                f"with the forces of the frame {name} it would be "
                f"{kelvin(series.estimate, series.error)}: "
                "forces and positions are shifted against each other by one frame"
            )
    return ""


def _explanation(frames: Frames, sample: Sample, estimate: float) -> str:
    """What else may be: a time step that was too long, or the open questions.

    Verlet and leap-frog integration of a harmonic bond of frequency w samples <f^2> = kT / (k (1 -
    (w dt)^2 / 4)), from the conserved shadow energy (Skeel and Hardy, SIAM J. Sci. Comput. 23, 1172
    (2001)).
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
                f"a Verlet time step of {step:.2g} fs would explain it (stiff bonds then swing "
                "too wide); if "
                "the step was shorter, the temperature or the forces are wrong"
            )
    return (
        "no usual mistake of units explains it: is this an equilibrium sample of that "
        "temperature, are "
        "constraints known, are biases or restraints left out of the forces?"
    )


def check_length_unit(frames: Frames, where: str) -> None:
    """ValueError where atoms are nearer or farther than atoms ever are: the unit of length was
    wrong.

    The forces cannot tell where both units are wrong in step. No two atoms are closer than 0.05 nm;
    hydrogens have a neighbour at about the sum of covalent radii, and so have the ends of the bonds
    a topology states. The median of a few frames counts, since one of them may be bad.
    """
    atoms = np.flatnonzero([e != "X" for e in frames.system.elements])
    if len(atoms) < 2:
        return
    boxes = frames.boxes()
    looked = np.unique(np.linspace(0, len(frames) - 1, _LENGTH_FRAMES).astype(int))
    ratios = []
    for t in looked:
        x, box = np.asarray(frames.positions[t], float), None if boxes is None else boxes[t]
        # a wrong box is another fault
        touching = len(close_pairs(x[atoms], CLOSEST_ATOMS, None)[0]) > 0
        ratios.append(0.1 if touching else _neighbour_ratio(frames, x, atoms, box))
    ratio = float(np.median(ratios))
    if not 0.6 < ratio < 1.7:
        raise ValueError(
            f"{where}: neighbouring atoms are about {ratio:.2g} times as far apart as bonded "
            "atoms are, so "
            "the length unit is probably wrong (0.1: nm taken for angstrom, 10: angstrom taken "
            "for nm, 0.5 "
            "or 1.9: bohr and angstrom mixed up); correct length_unit=, or pass "
            "check_units=False if this is "
            "meant"
        )


def _neighbour_ratio(
    frames: Frames,
    first: NDArray[np.floating],
    atoms: NDArray[np.int64],
    box: NDArray[np.floating] | None,
) -> float:
    """Median distance of a hydrogen's nearest atom, else of bonds, over the sum of covalent radii;
    1 where neither is.
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
