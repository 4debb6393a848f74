"""Can these frames be? Frames that no molecule can be in, bonds that cannot be, and a box that is
not the frames' own.

Two rules find bad frames. Chemistry: two atoms nearer than 0.6 times the sum of their covalent
radii (Cordero et al., Dalton Trans. 2008, 2832; the shortest bonds known are 0.75 times it), or a
bond longer than twice that sum. Statistics, for beads as well: the nearest distance of each frame
is a minimum of many, and such minima follow a Weibull law (Gumbel, Statistics of Extremes, 1958).
Its two constants come from the quantiles at 10 % and 50 %, which single frames do not move; a frame
at less than half of the smallest distance expected among so many frames is not of this sample.
Largest forces are judged likewise. On valid samples (water, ions, a peptide; 74 to 10,000 frames)
the smallest distance was 0.98 to 1.13 times the one expected, the largest force 0.4 to 1.0 times.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..cell import widths
from ..frames import Frames, pieces, release, taken
from ..remarks import remark
from ..system import System
from .nearest import SLOW_BUDGET, Nearest, NearestSites
from .topology import covalent_radii

#: Length over the sum of covalent radii below which two atoms, above which two bonded atoms, cannot
#: be.
SHORTEST, LONGEST = 0.6, 2.0
#: The same for a bond that is so long in most frames: those of metals reach 1.2.
LONGEST_MOSTLY = 1.5
#: Distances and forces this far from the extreme expected of the sample belong to no frame of it.
_NEAREST, _STRONGEST = 0.5, 5.0
#: Below so many frames a sample has no statistics of its own.
_LEAST = 20
#: g/cm3 of one amu/nm3, and a density that no matter has.
_GRAM_PER_CM3, _DENSEST = 1.66053907e-3, 30.0
#: Share of frames from which on a bond that cannot be is the topology's fault, not theirs.
_MOST = 0.5
#: nm, radii of triple bonds, and the share of their sum below which no bond is known.
_TRIPLE = {"C": 0.060, "N": 0.054, "O": 0.053, "F": 0.053, "P": 0.094, "S": 0.095}
_SHORTEST_TRIPLE = 0.95
#: Share of hydrogens without a bond that no chemistry explains.
_LONELY = 0.1


@dataclass(frozen=True)
class BadFrame:
    """A frame that cannot be: its number, why in words, and whether coordinates (else forces) say
    so.
    """

    number: int
    reason: str
    geometry: bool = True


def bad_frames(frames: Frames) -> list[BadFrame]:
    """Frames that no molecule can be in, or whose forces are absurd, in order; each once.

    Args:
        frames: molecules whole.
    """
    found = [*_impossible_geometry(frames), *_absurd_forces(frames)]
    first: dict[int, BadFrame] = {}
    for bad in found:
        first.setdefault(bad.number, bad)
    return [first[k] for k in sorted(first)]


def check_bonds(frames: Frames, where: str) -> None:
    """ValueError where bonds of the System cannot be in most frames: it is the topology of other
    coordinates.

    Beads have no radii: their bonds are judged only in a box, which a bond does not fill.
    """
    system = frames.system
    if not len(system.bonds):
        return
    sample = np.unique(np.linspace(0, len(frames) - 1, 50).astype(int))
    lengths = _lengths(frames.positions[sample], system.bonds)
    low, high = _limits(system, system.bonds, LONGEST_MOSTLY)
    boxes = frames.boxes()
    if boxes is not None:
        beads = ~np.isfinite(high)
        high = np.where(beads, 0.45 * widths(boxes[sample]).min(), high)
        # a bead's bond may reach half a small box now and then; one that is at random places does
        # so often
        often = np.where(beads, 0.1, _MOST)
    else:
        often = np.full(len(high), _MOST)
    wrong = (lengths < low) | (lengths > high)
    impossible = np.flatnonzero(wrong.mean(0) > often)
    if not len(impossible):
        return
    worst = int(impossible[np.argmax(np.median(lengths[:, impossible], axis=0))])
    frame = int(sample[np.flatnonzero(wrong[:, worst])[0]])
    i, j = system.bonds[worst].tolist()
    length = float(lengths[np.flatnonzero(wrong[:, worst])[0], worst])
    raise ValueError(
        f"{where}: {len(impossible)} of {len(system.bonds)} bonds of the topology cannot be, "
        "such as "
        f"{_named(system, i)} - {_named(system, j)}, {length:.3g} nm long in frame {frame} "
        "(expected "
        f"{_expected(low[worst], high[worst])}): atoms of trajectory and topology are in "
        "another order, "
        "molecules are cut and the box that would make them whole is missing or wrong, or the "
        "length unit "
        "is; give the topology this trajectory was written with, or box="
    )


def check_kinds_of_bonds(frames: Frames, where: str) -> None:
    """ValueError where most bonds of two elements are shorter than a triple bond of them: the names
    are others' atoms.

    Water read as oxygen alone has O - O at 0.1 nm; the shortest known is 0.112 nm, in O2+. Limits
    are 0.95 times the sum of radii of triple bonds (Pyykko, Riedel and Patzschke, Chem. Eur. J. 11,
    3511 (2005)).
    """
    system = frames.system
    radii = np.array([_TRIPLE.get(e, 0.0) for e in system.elements])
    bonds = system.bonds[(radii[system.bonds] > 0).all(1)]
    if not len(bonds):
        return
    sample = np.unique(np.linspace(0, len(frames) - 1, 20).astype(int))
    ratios = np.median(_lengths(frames.positions[sample], bonds), axis=0) / radii[bonds].sum(1)
    kinds = np.array(
        ["-".join(sorted((system.elements[i], system.elements[j]))) for i, j in bonds.tolist()]
    )
    for kind in np.unique(kinds):
        mine = kinds == kind
        if np.median(ratios[mine]) > _SHORTEST_TRIPLE:
            continue
        i, j = bonds[mine][0].tolist()
        length = float(np.median(ratios[mine]) * radii[[i, j]].sum())
        raise ValueError(
            f"{where}: {mine.sum()} bonds {kind}, such as {_named(system, i)} - "
            f"{_named(system, j)}, are "
            f"{length:.3g} nm long: expected at least "
            f"{_SHORTEST_TRIPLE * radii[[i, j]].sum():.3g} nm, that "
            "of a triple bond; the names or elements are those of other atoms: correct "
            "species=, elements= "
            "or topology=, or the unit of length"
        )


def check_hydrogens(system: System, where: str) -> str:
    """What is to be said of hydrogens bonded to nothing; "" where there are none.

    Raises:
        ValueError: they are many, so that names and coordinates do not belong together.
    """
    hydrogens = [i for i, e in enumerate(system.elements) if e == "H"]
    bonded = set(system.bonds.ravel().tolist())
    alone = [i for i in hydrogens if i not in bonded]
    if not alone:
        return ""
    if not len(system.bonds):  # which may be somebody's choice
        return (
            f"{where}: none of {len(hydrogens)} hydrogens is bonded: read as single atoms; are "
            "names, unit "
            "of length and box right?"
        )
    text = (
        f"{where}: {len(alone)} of {len(hydrogens)} hydrogens are bonded to nothing, the first is "
        f"{_named(system, alone[0])}"
    )
    if len(alone) > _LONELY * len(hydrogens):
        raise ValueError(
            f"{text}: expected all heavy atoms, and names and coordinates in the same order; add "
            "atoms that are missing, correct species= or topology=, or pass check_units=False if "
            "this is meant"
        )
    return f"{text}: are heavy atoms missing, or are names and coordinates not in the same order?"


#: Share of molecules at either end that do not tell how far a box reaches.
OUTERMOST = 0.02


def check_box(frames: Frames, where: str) -> None:
    """ValueError where the box is not that of the frames.

    No matter is denser than osmium (22.6 g/cm3). Molecules that were wrapped fill a box evenly up
    to sharp edges: where they fill another length than the box has, the box (or its unit) is wrong.
    Too small, images overlap; too large, there is a gap that no liquid has.
    """
    if frames.box is None:
        return
    boxes = np.asarray(frames.boxes()[:: max(len(frames) // 100, 1)], float)  # type: ignore[index]
    volumes = np.abs(np.linalg.det(boxes))
    density = frames.system.masses.sum() / volumes.min() * _GRAM_PER_CM3
    beads = "X" in frames.system.elements
    if density > _DENSEST * (3 if beads else 1):
        raise ValueError(
            f"{where}: the box of {volumes.min():.3g} nm3 would hold matter of {density:.3g} "
            "g/cm3: expected "
            "less than that of any metal; its unit is wrong, or give the box of the simulation "
            "with box="
        )
    if len(np.unique(frames.system.molecules)) >= 10 and _mostly_empty(frames, boxes):
        remark(
            f"{where}: all sites lie within half of each edge of the box: a cluster in vacuum, "
            "or the box "
            "(or its unit) is too large; give the box of the simulation with box="
        )
    filled = _filled_box(frames)
    if filled is not None:
        edges = boxes.diagonal(axis1=1, axis2=2).mean(0)
        size = lambda e: " x ".join(f"{v:.4g}" for v in e)  # noqa: E731
        raise ValueError(
            f"{where}: molecules fill {size(filled)} nm evenly up to sharp edges and the box is "
            f"{size(edges)} nm: expected the same; give the box of the simulation with box=, "
            "or pass "
            "check_units=False if this is meant"
        )


def _mostly_empty(frames: Frames, boxes: NDArray[np.float64]) -> bool:
    """Whether sites of a sample of frames, moved into the box, leave half of it empty along each
    vector.
    """
    sample = np.arange(len(frames))[:: max(len(frames) // 100, 1)][
        :: max(frames.n_sites // 20_000, 1)
    ]
    scaled = np.asarray(taken(frames.positions, sample), float) @ np.linalg.inv(boxes.mean(0)) % 1.0
    for axis in range(3):
        s = np.sort(scaled[..., axis].ravel())
        gap = max(float(np.diff(s).max(initial=0.0)), float(s[0] + 1 - s[-1]))
        if gap < 0.5:
            return False
    return True


def _filled_box(frames: Frames) -> NDArray[np.float64] | None:
    """(3,) nm that wrapped molecules fill, where it is not the box; None where it is, or nobody can
    tell.
    """
    boxes = np.asarray(frames.boxes(), float)
    if not np.allclose(boxes, boxes * np.eye(3), atol=1e-6 * boxes.max()):
        return None
    molecules = frames.system.molecules
    order, counts = np.argsort(molecules, kind="stable"), np.bincount(molecules)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    step = max(len(frames) * frames.n_sites // 3_000_000, 1)
    edges = boxes[::step].diagonal(axis1=1, axis2=2)[:, None]
    x = taken(frames.positions, np.arange(0, len(frames), step), order)
    if len(x) * len(counts) < 2000:
        return None
    ones, mass = np.ones((len(order), 1)), frames.system.masses[order][:, None]
    first = np.isin(np.arange(len(order)), starts)[:, None].astype(float)
    # programs wrap molecules by their first atom, their centre, their centre of mass
    for weight in (first, ones, mass):
        way = np.add.reduceat(x * weight, starts, axis=1) / np.add.reduceat(weight, starts, axis=0)
        told = [_filled((way / edges)[..., k].ravel()) for k in range(3)]
        if all(t is not None for t in told):
            wrong = all(abs(t - 1) > 0.01 for t in told)  # type: ignore[operator]
            return np.array(told) * edges.mean((0, 1)) if wrong else None
    return None


def _filled(x: NDArray[np.float64]) -> float | None:
    """Length that values fill evenly from edge to edge; None where edges are not sharp, as of
    unwrapped molecules, or the middle is not even, as in a crystal.

    By all but the outermost: programs wrap now and then, and since then some have gone on a little.
    """
    low, high = float(x.min()), float(x.max())
    counts = np.histogram(x, bins=25, range=(low, high))[0]
    even = counts.std() < 0.25 * counts.mean()
    if not even or min(counts[0], counts[-1]) <= 0.6 * np.median(counts):
        return None
    first, last = np.quantile(x, [OUTERMOST, 1 - OUTERMOST])
    return float(last - first) / (1 - 2 * OUTERMOST)


def _lengths(positions: NDArray[np.floating], pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n_frames, n_pairs) nm."""
    return np.linalg.norm(
        positions[:, pairs[:, 1]].astype(float) - positions[:, pairs[:, 0]].astype(float), axis=-1
    )


def _limits(
    system: System, pairs: NDArray[np.int64], longest: float = LONGEST
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n_pairs,) nm: shortest and longest a bond may be; 0 and infinity where one end is no atom.

    Two hydrogens are listed as bonded in rigid water, at 0.15 nm.
    """
    radii = covalent_radii(system.elements)
    atom = np.array([e != "X" for e in system.elements])
    hydrogen = np.array([e == "H" for e in system.elements])
    i, j = pairs.T
    total, both = radii[i] + radii[j], atom[i] & atom[j]
    high = np.where(hydrogen[i] & hydrogen[j], 0.25, longest * total)
    return np.where(both, SHORTEST * total, 0.0), np.where(both, high, np.inf)


def _impossible_geometry(frames: Frames) -> list[BadFrame]:
    """Frames with a bond that cannot be, then those with sites too near; positions are gone through
    once.
    """
    bonds, near = _BondLimits(frames.system), _SitesTooNear(frames)
    found = []
    for piece in pieces(frames.positions):
        positions = frames.positions[piece]
        found += bonds.broken(positions, piece.start)
        near.look(positions, piece)
        release(frames.positions)
    return found + near.found()


class _BondLimits:
    """Bonds of atoms and the lengths they may have."""

    def __init__(self, system: System):
        low, high = _limits(system, system.bonds)
        judged = np.flatnonzero(np.isfinite(high))
        self._system = system
        self._pairs = system.bonds[judged]
        self._low = low[judged]
        self._high = high[judged]

    def broken(self, positions: NDArray[np.floating], start: int) -> list[BadFrame]:
        """Of frames (n, n_sites, 3), the first of which has the number `start`."""
        if not len(self._pairs):
            return []
        lengths, found = _lengths(positions, self._pairs), []
        wrong = (lengths < self._low) | (lengths > self._high)
        for t in np.flatnonzero(wrong.any(1)):
            k = int(np.flatnonzero(wrong[t])[0])
            i, j = self._pairs[k].tolist()
            text = (
                f"bond {_named(self._system, i)} - {_named(self._system, j)} is "
                f"{lengths[t, k]:.3g} nm long"
            )
            expected = _expected(self._low[k], self._high[k])
            found.append(BadFrame(start + int(t), f"{text}, expected {expected}"))
        return found


class _SitesTooNear:
    """Frames in which two sites are nearer than sites of this sample ever are."""

    def __init__(self, frames: Frames):
        self._frames = frames
        size = len(frames) * frames.n_sites
        self._search = NearestSites(covalent_radii(frames.system.elements), SHORTEST, size)
        self._step = 1 if self._search.fast else size // SLOW_BUDGET + 1
        self._nearest = Nearest.empty(len(frames))

    def look(self, positions: NDArray[np.floating], piece: slice) -> None:
        """Search the frames `piece`, whose positions are (n, n_sites, 3)."""
        first = -piece.start % self._step
        where = slice(piece.start + first, min(piece.stop, len(self._frames)), self._step)
        some = positions[first :: self._step]
        if len(some):
            box = self._frames.box
            self._nearest.put(
                where, self._search(some, box if box is None or box.ndim == 2 else box[where])
            )

    def found(self) -> list[BadFrame]:
        """The frames, once all were looked at."""
        used = np.arange(0, len(self._frames), self._step)
        if self._step > 1:
            remark(
                f"{len(used)} of {len(self._frames)} frames were searched for sites that coincide"
            )
        near = self._nearest
        nearest, tight = near.distances[used], near.ratios[used] < SHORTEST
        wrong = (nearest < _NEAREST * _smallest_expected(nearest)) | tight
        if wrong.mean() > _MOST and not tight.mean() > _MOST:  # then this is how the sample is
            return []
        wrong |= _other_population(nearest)
        usual = f"the nearest sites of other frames are {np.median(nearest):.3g} nm apart"
        return [self._bad(int(t), usual) for t in used[wrong]]

    def _bad(self, t: int, usual: str) -> BadFrame:
        near, system = self._nearest, self._frames.system
        tight = near.ratios[t] < SHORTEST
        i, j = (near.tight if tight else near.pairs)[t].tolist()
        total = float(covalent_radii([system.elements[i], system.elements[j]]).sum())
        apart = near.ratios[t] * total if tight else near.distances[t]
        text = f"{_named(system, i)} and {_named(system, j)} are {apart:.3g} nm apart"
        return BadFrame(t, f"{text}, {usual}")


def _smallest_expected(minima: NDArray[np.float64]) -> float:
    """The smallest of so many minima that follow one Weibull law; 0 where there are too few to
    tell.

    P(m > r) = exp(-(r / a)^p): with q10 and q50 the quantiles at 10 and 50 %, p = ln(ln 2 / -ln
    0.9) / ln(q50 / q10), and the smallest of n is near the quantile at 1 / n.
    """
    known = minima[np.isfinite(minima)]
    if len(known) < _LEAST:
        return 0.0
    q10, q50 = np.quantile(known, [0.1, 0.5])
    if not 0 < q10 < q50:
        return 0.5 * float(q10)
    power = np.log(np.log(2) / -np.log(0.9)) / np.log(q50 / q10)
    return float(q10 * (-np.log(0.9) * len(known)) ** (-1 / power))


def _other_population(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Values of the smaller of two populations that a factor of three separates: frames in another
    unit of length.
    """
    known = np.isfinite(values) & (values > 0)
    few = max(3, len(values) // 100)
    if known.sum() < 4 * few:
        return np.zeros(len(values), bool)
    ordered = np.sort(values[known])
    ratios = ordered[1:] / ordered[:-1]
    gaps = np.flatnonzero(ratios[few - 1 : len(ratios) - few + 1] > 3) + few - 1
    if not len(gaps):
        return np.zeros(len(values), bool)
    cut = ordered[gaps[0]]
    below = values <= cut
    return below & known if below.sum() <= known.sum() / 2 else ~below & known


def _absurd_forces(frames: Frames) -> list[BadFrame]:
    """Frames whose largest force is far above the largest of so many, and frames without any force."""
    if frames.forces is None or len(frames) < _LEAST:
        return []
    largest, sites = np.zeros(len(frames)), np.zeros(len(frames), np.int64)
    for piece in pieces(frames.forces):
        size = np.abs(np.asarray(frames.forces[piece], float)).max(2)
        largest[piece], sites[piece] = size.max(1), size.argmax(1)
        release(frames.forces)
    some = largest[largest > 0]
    if len(some) < _LEAST:
        return []
    expected = 1 / max(_smallest_expected(1 / some), 1e-300)
    limit = _STRONGEST * max(expected, float(np.median(some)))
    found = []
    for t in np.flatnonzero(largest > limit):
        text = f"the force on {_named(frames.system, int(sites[t]))} is {largest[t]:.3g} kJ/mol/nm"
        usual = f"the largest of most frames is {np.median(some):.3g}"
        found.append(BadFrame(int(t), f"{text}, {usual}", geometry=False))
    # sites out of reach of each other feel nothing, but not where most frames have forces on every
    # site
    if (largest == 0).any() and (np.asarray(frames.forces[largest > 0][:20]) != 0).any(-1).all():
        found += [
            BadFrame(int(t), "all forces are zero", geometry=False)
            for t in np.flatnonzero(largest == 0)
        ]
    return found


def _named(system: System, site: int) -> str:
    return f"{system.labels[site]} (site {site})"


def _expected(low: float, high: float) -> str:
    return f"{low:.2g} to {high:.2g} nm"


def sentence(bad: list[BadFrame], n_frames: int) -> str:
    """The frames in words: how many, and the first few with their reasons."""
    listed = "; ".join(f"frame {b.number}: {b.reason}" for b in bad[:3])
    more = f"; and {len(bad) - 3} more" if len(bad) > 3 else ""
    return f"{len(bad)} of {n_frames} frames cannot be ({listed}{more})"
