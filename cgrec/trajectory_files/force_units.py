"""Are the forces in the units they are said to be in? An exact identity of the canonical ensemble tells.

For any smooth field v(x) of the positions, integration by parts of exp(-U/kT) gives <v . F> = -kT <div v>
(the hypervirial theorem; v = x is the virial). With one stiff pair i, j at distance r along the unit vector e
and

    v_i = -a_i f(r) e,   v_j = +a_j f(r) e,   a_i + a_j = 1:    v . F = f(r) e . (a_j F_j - a_i F_i),   div v
    = f' + 2 f / r

so T = -<sum v . F> / (k_B <sum div v>), without an approximation for flexible bonds. Here f = r - r0 for
bonds, with the shares a_i = m_j / (m_i + m_j) of a bond vibration. Molecules without a flexible bond (ions,
one-site and rigid water) are moved as a whole, which no constraint minds, with f = (r - r0) w(r) about the
first peak of g(r), w smooth and zero past the first minimum. A wrong unit of force or length multiplies T.
Mean forces obey the same identity, so mapped frames can be checked like atoms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..frames import Frames
from ..units import BOLTZMANN, ENERGY, LENGTH, force_factor, length_factor
from .periodic import close_pairs
from .topology import CLOSEST_ATOMS, covalent_radii

#: A ratio of temperatures within this of 1, or of the ratio a wrong unit makes, counts as that.
TOLERANCE = 0.15
_BLOCKS, _LEAST_FRAMES, _PAIR_BUDGET = 10, 20, 4_000_000


@dataclass(frozen=True)
class UnitCheck:
    """What the forces say about the temperature.

    Attributes:
        verdict: "ok", "wrong unit", "off" (neither) or "untested".
        message: the finding in words.
        temperature: K, as given.
        estimate: K, from the forces; NaN where untested.
        error: K, standard error of the estimate from 10 blocks in time.
        pairs: what was used: "bonds" or "molecules".
    """

    verdict: str
    message: str
    temperature: float
    estimate: float = float("nan")
    error: float = float("nan")
    pairs: str = ""

    @property
    def ratio(self) -> float:
        """Estimated over given temperature."""
        return self.estimate / self.temperature


def check_force_units(frames: Frames, force_unit: str = "kJ/mol/nm") -> UnitCheck:
    """Compare the temperature the forces imply with the one given.

    Args:
        frames: with forces.
        force_unit: the unit the forces were said to be in when read, to name the mistake.

    Raises:
        ValueError: no forces.
    """
    frames.need_forces()
    if len(frames) < _LEAST_FRAMES:
        message = (
            f"forces untested: {len(frames)} frames, at least {_LEAST_FRAMES} are needed to test their unit"
        )
        return UnitCheck("untested", message, frames.temperature)
    bonds = _flexible_bonds(frames)
    groups = _bond_terms(frames, bonds) if len(bonds) else _molecule_terms(frames)
    if not groups:
        return UnitCheck(
            "untested",
            "forces untested: no flexible bond and no pair of molecules in reach",
            frames.temperature,
        )
    estimate, error = _temperature(groups)
    return _judge(frames.temperature, estimate, error, "bonds" if len(bonds) else "molecules", force_unit)


def check_length_unit(frames: Frames, where: str) -> None:
    """ValueError where atoms are nearer or farther than atoms ever are: the unit of length was wrong.

    The forces cannot tell where both units are wrong in step. No two atoms are closer than 0.05 nm; hydrogens
    have a neighbour at about the sum of covalent radii, and so have the ends of the bonds a topology states.
    """
    atoms = np.flatnonzero([e != "X" for e in frames.system.elements])
    first = np.asarray(frames.positions[0], float)
    box = None if frames.box is None else frames.boxes()[0]  # type: ignore[index]
    if len(atoms) < 2:
        return
    touching = len(close_pairs(first[atoms], CLOSEST_ATOMS, box)[0]) > 0
    ratio = 0.1 if touching else _neighbour_ratio(frames, first, atoms, box)
    if not 0.6 < ratio < 1.7:
        raise ValueError(
            f"{where}: neighbouring atoms are about {ratio:.2g} times as far apart as bonded atoms are, so "
            "the length "
            "unit is probably wrong (0.1: nm taken for angstrom, 10: angstrom taken for nm, 0.5 or 1.9: bohr "
            "and "
            "angstrom mixed up); correct length_unit=, or pass check_units=False if this is meant"
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


def _flexible_bonds(frames: Frames) -> NDArray[np.int64]:
    """Bonds not listed as constraints whose length varies by more than 0.1 %."""
    system = frames.system
    held = {tuple(sorted(c)) for c in system.constraints.tolist()}
    bonds = np.array([b for b in system.bonds.tolist() if tuple(sorted(b)) not in held], np.int64).reshape(
        -1, 2
    )
    if not len(bonds):
        return bonds
    sample = np.asarray(frames.positions[:: max(len(frames) // 50, 1)], float)
    lengths = np.linalg.norm(sample[:, bonds[:, 1]] - sample[:, bonds[:, 0]], axis=-1)
    return bonds[lengths.std(0) > 1e-3 * lengths.mean(0)]


_Groups = list[tuple[NDArray[np.float64], NDArray[np.float64]]]


def _bond_terms(frames: Frames, bonds: NDArray[np.int64]) -> _Groups:
    """(v . F, div v) of each frame, for each kind of bond."""
    kinds = _kinds(frames.system.types, bonds)
    step = max(len(frames) * len(bonds) // _PAIR_BUDGET, 1)
    x, force = (np.asarray(a[::step], float) for a in (frames.positions, frames.need_forces()))
    return [_bond_group(x, force, frames.system.masses, bonds[kinds == k]) for k in np.unique(kinds)]


def _bond_group(
    x: Any, force: Any, masses: Any, bonds: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    i, j = bonds.T
    vectors = x[:, j] - x[:, i]
    r = np.linalg.norm(vectors, axis=-1)
    share = masses[i] / (masses[i] + masses[j])
    along = ((share[:, None] * force[:, j] - (1 - share)[:, None] * force[:, i]) * vectors).sum(-1) / r
    # r0 must not follow the frames: with few of them, their own mean takes 1/N off the fluctuation, so bonds
    # of a kind share one
    f = r - (r.mean(0) if len(x) >= 100 else r.mean())
    return (f * along).sum(1), (1 + 2 * f / r).sum(1)


def _molecule_terms(frames: Frames) -> _Groups:
    """(v . F, div v) of each frame, for each two kinds of molecules, about the first peak of their g(r)."""
    centres, force, species = _molecules(frames)
    boxes = frames.boxes()
    if centres.shape[1] < 2:
        return []
    reach = (
        0.8
        if boxes is None
        else min(0.8, float((0.5 / np.linalg.norm(np.linalg.inv(boxes[0]), axis=0)).min()))
    )
    found = [
        _pairs_of_frame(centres[t], force[t], species, reach, None if boxes is None else boxes[t])
        for t in _used(frames, centres)
    ]
    groups = []
    for kind in np.unique(np.concatenate([f[0] for f in found])):
        radial = [(r[kinds == kind], along[kinds == kind]) for kinds, r, along in found]
        window = _Window.of(np.concatenate([r for r, _ in radial]), reach)
        if window is not None:
            groups.append(window.terms(radial))
    return groups


def _molecules(frames: Frames) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Centres of mass and total forces (n_frames, n_molecules, 3), and the kind of each molecule."""
    molecules, masses = frames.system.molecules, frames.system.masses
    members = np.zeros((molecules.max() + 1, len(molecules)))
    members[molecules, np.arange(len(molecules))] = 1
    weights = members * masses
    weights /= weights.sum(1, keepdims=True)
    types = np.array(frames.system.types)
    names = ["".join(types[m > 0]) for m in members]
    centres = weights @ np.asarray(frames.positions, float)
    return (
        centres,
        members @ np.asarray(frames.need_forces(), float),
        np.unique(names, return_inverse=True)[1],
    )


def _used(frames: Frames, centres: NDArray[Any]) -> range:
    """Frames that keep the number of pairs within reason, evenly spaced."""
    pairs = centres.shape[1] ** 2 // 4
    return range(0, len(frames), max(len(frames) * pairs // _PAIR_BUDGET, 1))


def _pairs_of_frame(
    x: NDArray[Any], force: NDArray[Any], species: NDArray[np.int64], reach: float, box: NDArray[Any] | None
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Kind, distance and relative force along the pair, each (n_pairs,)."""
    pairs, vectors = close_pairs(x, reach, box)
    r = np.linalg.norm(vectors, axis=-1)
    low, high = np.sort(species[pairs], axis=1).T
    return low * 1000 + high, r, ((force[pairs[:, 1]] - force[pairs[:, 0]]) / 2 * vectors).sum(-1) / r


@dataclass(frozen=True)
class _Window:
    """f(r) = (r - peak) w(r); w = 1 inside the peak, (1 - s^2)^2 with s = (r - peak) / (end - peak) beyond,
    zero past the end.
    """

    peak: float
    end: float

    @classmethod
    def of(cls, r: NDArray[np.float64], reach: float) -> _Window | None:
        """About the first peak of the radial distribution of `r`; None with too few pairs to see one."""
        if len(r) < 200:
            return None
        counts, edges = np.histogram(r, bins=np.arange(0, reach + 1e-9, 0.01))
        middle = (edges[1:] + edges[:-1]) / 2
        density = np.convolve(counts / middle**2, [0.25, 0.5, 0.25], mode="same")[:-1]
        top = int(np.argmax(density))
        after = density[top:]
        return cls(float(middle[top]), float(middle[top + int(np.argmin(after))])) if len(after) > 3 else None

    def terms(
        self, radial: list[tuple[NDArray[Any], NDArray[Any]]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(v . F, div v) of each frame from its distances and forces along the pair."""
        work, divergence = [], []
        for r, along in radial:
            s = np.clip((r - self.peak) / (self.end - self.peak), 0, 1)
            w, slope = (1 - s**2) ** 2, -4 * s * (1 - s**2) / (self.end - self.peak)
            f = (r - self.peak) * w
            work.append((f * along).sum())
            divergence.append((w + (r - self.peak) * slope + 2 * f / r).sum())
        return np.array(work), np.array(divergence)


def _kinds(types: tuple[str, ...], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n_pairs,) number of the unordered pair of types."""
    names = ["-".join(sorted((types[i], types[j]))) for i, j in pairs.tolist()]
    return np.unique(names, return_inverse=True)[1]


def _temperature(groups: _Groups) -> tuple[float, float]:
    """T and its standard error (K): groups weighted for the least noise, error by leaving out blocks of
    frames.
    """
    weights = [np.abs(d.mean()) / max(w.var(), 1e-300) for w, d in groups]
    work = sum(c * w for c, (w, _) in zip(weights, groups))
    divergence = sum(c * d for c, (_, d) in zip(weights, groups))
    blocks = np.array_split(np.arange(len(work)), min(_BLOCKS, len(work)))  # type: ignore[arg-type]
    estimate = lambda keep: -work[keep].sum() / divergence[keep].sum() / BOLTZMANN  # type: ignore[index]  # noqa: E731
    left_out = np.array([estimate(np.setdiff1d(np.arange(len(work)), b)) for b in blocks])  # type: ignore[arg-type]
    n = len(blocks)
    return float(estimate(slice(None))), float(
        np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum())
    )


def _judge(given: float, estimate: float, error: float, pairs: str, force_unit: str) -> UnitCheck:
    ratio, spread = estimate / given, error / given
    found = (
        f"forces along {pairs} imply {estimate:.4g} +- {error:.2g} K, the temperature given is {given:g} K"
    )
    verdict = lambda name, text: UnitCheck(name, text, given, estimate, error, pairs)  # noqa: E731
    if spread > 0.3 and abs(ratio - 1) < 5 * spread:
        return verdict("untested", f"{found}: too noisy to test the unit of the forces")
    if abs(ratio - 1) < max(TOLERANCE, 5 * spread):
        return verdict("ok", found)
    causes = [text for factor, text in _mistakes(force_unit) if abs(ratio / factor - 1) < TOLERANCE]
    if causes:
        return verdict("wrong unit", f"{found} (ratio {ratio:.3g}): {' or '.join(causes)}")
    return verdict(
        "off",
        f"{found} (ratio {ratio:.3g}), which no usual mistake of units explains: is this an equilibrium "
        "sample "
        "of that temperature, are constraints known, are biases or restraints left out of the forces?",
    )


def _mistakes(force_unit: str) -> list[tuple[float, str]]:
    """(ratio of temperatures, what causes it) of each usual mistake, for forces read as `force_unit`."""
    taken = force_factor(force_unit)
    units = [f"{e}/{x}" for e in ENERGY for x in LENGTH]
    wrong = [
        (taken / force_factor(u), f"the forces are in {u}, not {force_unit}")
        for u in units
        if u != force_unit
    ]
    lengths = [
        (length_factor(a) / length_factor(b), f"the positions are in {b}, not {a}")
        for a in LENGTH
        for b in LENGTH
        if a != b
    ]
    return [*wrong, *lengths, (-1.0, "these are energy gradients, not forces: their sign is wrong")]
