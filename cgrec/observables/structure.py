"""Local structure: bonded distributions and their distances, handedness, and radial distribution
functions.

Public: `bonded_terms`, `bonded_values`, `wasserstein`, `circular_wasserstein`, `compare_structure`
-> `StructureComparison`, `handedness`, `chirality_flips`, `flips_by_centre`, `stereocentres`, `rdf`
-> `RadialDistribution`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import geometry
from ..bonds import four_different
from ..frames import Frames
from ..statistics.divergence import Tally, divergence
from ..statistics.errors import block_labels, jackknife_rows
from ..system import System
from .pair_counts import pair_rows

#: kind -> (sites, formula, unit)
KINDS = {
    "bond": (2, geometry.distance, "nm"),
    "angle": (3, geometry.angle, "rad"),
    "dihedral": (4, geometry.dihedral, "rad"),
}
Terms = dict[str, dict[str, NDArray[np.int64]]]
#: Frames at a time, and sites of all of them together: keeps the temporaries of many terms small.
_CHUNK, _MOST_SITES = 4096, 400_000


def bonded_terms(system: System) -> Terms:
    """{kind: {label: (n, k) sites}} of all bonds, angles and proper dihedrals.

    Equally labelled terms are pooled. The label reads "ALA:N-ALA:CA"; molecules of one kind share
    it, so a box of water has one bond, not thousands.
    """
    labels = system.labels
    terms: Terms = {kind: {} for kind in KINDS}
    for kind, (k, _, _) in KINDS.items():
        groups: dict[str, list[tuple[int, ...]]] = {}
        for path in system.bonded_paths(k):
            names = [labels[i] for i in path]
            groups.setdefault("-".join(min(names, names[::-1])), []).append(path)
        terms[kind] = {label: np.array(paths) for label, paths in groups.items()}
    return terms


def bonded_values(frames: Frames, kind: str, sites: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n_frames, n_terms) bond (nm), angle or dihedral (rad) of `sites` (n_terms, k)."""
    formula = KINDS[kind][1]
    return np.concatenate([formula(np.asarray(part, float), sites) for part in _portions(frames)])


def _portions(frames: Frames) -> Iterator[NDArray[np.floating]]:
    """Positions of a few frames at a time, fewer of many sites."""
    step = max(1, min(_CHUNK, _MOST_SITES // frames.n_sites))
    return (frames.positions[start : start + step] for start in range(0, len(frames), step))


def wasserstein(
    a: ArrayLike,
    b: ArrayLike,
    a_weights: ArrayLike | None = None,
    b_weights: ArrayLike | None = None,
) -> float:
    """Wasserstein-1 distance on the line, integral |F_a - F_b| dx, in the unit of the values."""
    x, difference = _cdf_difference(a, b, a_weights, b_weights)
    return float((np.abs(difference[:-1]) * np.diff(x)).sum())


def circular_wasserstein(
    a: ArrayLike,
    b: ArrayLike,
    a_weights: ArrayLike | None = None,
    b_weights: ArrayLike | None = None,
) -> float:
    """Wasserstein-1 distance of angles on the circle, rad; at most pi.

    min over c of integral |F_a - F_b - c| (Rabin, Delon & Gousseau, J. Math. Imaging Vis. 41, 147
    (2011)); the best c is the median of F_a - F_b weighted with arc length.
    """
    two_pi = 2 * np.pi
    x, difference = _cdf_difference(
        np.asarray(a) % two_pi, np.asarray(b) % two_pi, a_weights, b_weights
    )
    # the last arc crosses zero, where both CDFs have wrapped
    arcs = np.diff(x, append=x[0] + two_pi)
    order = np.argsort(difference)
    length = np.cumsum(arcs[order])
    median = difference[order][np.searchsorted(length, length[-1] / 2)]
    return float((np.abs(difference - median) * arcs).sum())


def _cdf_difference(
    a: ArrayLike, b: ArrayLike, a_weights: ArrayLike | None, b_weights: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """All values sorted, and F_a - F_b just right of each."""
    values, steps = [], []
    for x, w, sign in ((a, a_weights, 1.0), (b, b_weights, -1.0)):
        x = np.asarray(x, float).ravel()
        w = np.ones(len(x)) if w is None else np.asarray(w, float).ravel()
        if len(x) == 0 or len(w) != len(x) or not w.sum() > 0:
            raise ValueError(
                f"wasserstein: expected one non-negative weight a value, found {len(w)} and "
                f"{len(x)}"
            )
        values.append(x)
        steps.append(sign * w / w.sum())
    x = np.concatenate(values)
    order = np.argsort(x, kind="stable")
    return x[order], np.cumsum(np.concatenate(steps)[order])


@dataclass(frozen=True)
class TermDifference:
    """One bonded term in two ensembles.

    Attributes:
        kind: bond, angle or dihedral.
        label: the sites.
        wasserstein: W1 in `unit` (on the circle for dihedrals).
        wasserstein_floor: what sampling alone gives, from half against half of each ensemble.
        unit: nm or rad.
        js, js_floor, js_error: Jensen-Shannon divergence over the term's range, nats.
    """

    kind: str
    label: str
    wasserstein: float
    wasserstein_floor: float
    unit: str
    js: float
    js_floor: float
    js_error: float


@dataclass(frozen=True)
class StructureComparison:
    """All bonded terms of two ensembles of one System."""

    terms: tuple[TermDifference, ...]

    def worst(self, kind: str) -> TermDifference | None:
        """The term of `kind` with the largest Wasserstein distance; None where there is none of
        that kind.
        """
        return max(
            (t for t in self.terms if t.kind == kind), key=lambda t: t.wasserstein, default=None
        )


def compare_structure(
    model: Frames, reference: Frames, bins: int = 64, n_blocks: int | None = None
) -> StructureComparison:
    """Distances of every bond, angle and dihedral distribution.

    Raises:
        ValueError: the Systems have different sites or bonds, or an ensemble is a single frame.
    """
    check_same_sites(model, reference, "compare_structure")
    blocks = block_labels(model, n_blocks), block_labels(reference, n_blocks)
    return StructureComparison(
        tuple(
            _compare_term(kind, label, (model, reference), sites, blocks, bins)
            for kind, group in bonded_terms(model.system).items()
            for label, sites in group.items()
        )
    )


def check_same_sites(model: Frames, reference: Frames, name: str) -> None:
    """ValueError in the name of the function `name` where two ensembles differ in their sites or
    bonds.
    """
    a, b = model.system, reference.system
    if a.labels != b.labels or not np.array_equal(
        np.sort(np.sort(a.bonds), 0), np.sort(np.sort(b.bonds), 0)
    ):
        raise ValueError(
            f"{name}: expected two ensembles of one System, found {a.n_sites} sites / "
            f"{len(a.bonds)} bonds and {b.n_sites} / {len(b.bonds)}; map the finer one up first"
        )


def _compare_term(
    kind: str,
    label: str,
    pair: tuple[Frames, Frames],
    sites: NDArray[np.int64],
    blocks: tuple[NDArray[np.int64], NDArray[np.int64]],
    bins: int,
) -> TermDifference:
    values = [bonded_values(f, kind, sites) for f in pair]
    weights = [
        np.broadcast_to(f.normalised_weights()[:, None], v.shape) for f, v in zip(pair, values)
    ]
    distance = circular_wasserstein if kind == "dihedral" else wasserstein
    low, high = (
        (-np.pi, np.pi)
        if kind == "dihedral"
        else (min(map(np.min, values)), max(map(np.max, values)))
    )
    tallies, halves = [], []
    for x, w, labels in zip(values, weights, blocks):
        place = np.clip(((x - low) / max(high - low, 1e-12) * bins).astype(np.int64), 0, bins - 1)
        every = np.broadcast_to(labels[:, None], x.shape)
        tallies.append(Tally.count(place.ravel(), w.ravel(), every.ravel(), bins))
        even = labels % 2 == 0
        halves.append(distance(x[even], x[~even], w[even], w[~even]))
    js = divergence(tallies[0], tallies[1])
    # W1 of samples falls as (1/N1 + 1/N2)^1/2, and a half of N against the other has 4/N there
    floor = float(np.sqrt((halves[0] ** 2 + halves[1] ** 2) / 4))
    w1 = distance(*values, *weights)
    return TermDifference(kind, label, w1, floor, KINDS[kind][2], js.js, js.floor, js.error)


def handedness(frames: Frames, centres: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    """(n_frames, n_centres) +1 or -1: sign of the volume spanned by each (centre, a, b, c).

    The four are site labels as `System.site` takes them.

    Raises:
        ValueError: a centre is not given by four labels.
        KeyError: a label is missing in the System.
    """
    for centre in centres:
        if len(centre) != 4:
            raise ValueError(
                f"handedness: expected a centre and three of its neighbours, found {tuple(centre)}"
            )
    return _hands(frames, [[frames.system.site(label) for label in centre] for centre in centres])


def _hands(frames: Frames, sites: ArrayLike) -> NDArray[np.int64]:
    """(n_frames, n_centres) +1 or -1 of `sites` (n_centres, 4)."""
    centres = np.asarray(sites)
    volume = [
        geometry.signed_volume(np.asarray(part, float), centres) for part in _portions(frames)
    ]
    return np.where(np.concatenate(volume) > 0, 1, -1)


def chirality_flips(frames: Frames, centre: Sequence[str], reference: Frames | None = None) -> int:
    """Number of frames whose handedness at `centre` is not that of most of `reference` (default: of
    frame 0).

    Args:
        frames: the ensemble.
        centre: four site labels: the centre and three neighbours.
        reference: an ensemble of any System that has these sites.
    """
    signs = handedness(frames, [centre])[:, 0]
    start = (
        signs[0]
        if reference is None
        else np.where(handedness(reference, [centre]).sum() >= 0, 1, -1)
    )
    return int((signs != start).sum())


def flips_by_centre(
    frames: Frames, atoms: Frames, kept: Mapping[int, int] | None = None
) -> dict[str, int]:
    """{stereocentre of `atoms`: number of frames of the other hand than in `atoms`} of those
    `frames` still have.

    A centre is called by the shortest label that means it alone, "ALA:CA" or "TYR2:CA", and is
    found in `frames` by where the mapping has put it, so that names that repeat hide none.

    Args:
        frames: the ensemble to judge.
        atoms: one frame or more with all atoms; the hand of most of them is the right one.
        kept: {site of `atoms`: site of `frames`}, as `Mapping.kept_sites` gives it; None where they
            are the same.
    """
    kept = {i: i for i in range(atoms.n_sites)} if kept is None else kept
    centres = [c for c in stereocentre_sites(atoms.system) if all(i in kept for i in c)]
    if not centres:
        return {}
    labels = atoms.system.unique_labels
    found = _hands(frames, [[kept[i] for i in c] for c in centres])
    right = np.where(_hands(atoms, centres).sum(0) >= 0, 1, -1)
    return {labels[c[0]]: int(n) for c, n in zip(centres, (found != right).sum(0))}


#: Three neighbours, heaviest first in no order of rank, of the centres that proteins have in every
#: residue or in one. They are known by name where the hydrogen is not there to tell a centre from a
#: planar atom.
_BY_NAME: dict[str, tuple[str, ...]] = {
    "CA": ("N", "C", "CB"),
    "THR:CB": ("CA", "OG1", "CG2"),
    "ILE:CB": ("CA", "CG1", "CG2"),
}


def stereocentre_sites(system: System) -> list[tuple[int, int, int, int]]:
    """Sites of centres with four different neighbours, each with its three heaviest (no hydrogen).

    Among three neighbours a planar centre looks the same as a chiral one; there a centre is known
    only by the names of a protein: CA with N, C and CB, and CB of THR and ILE.
    """
    near = system.neighbours()
    of_four = {centre for centre, *_ in four_different(near, system.equivalent_sites())}
    found = []
    for centre, around in enumerate(near):
        if centre in of_four:
            heaviest = sorted(around, key=lambda i: (-system.masses[i], i))[:3]
            found.append((centre, *heaviest))
        elif len(around) == 3:
            names = _BY_NAME.get(system.labels[centre]) or _BY_NAME.get(system.names[centre], ())
            named = {system.names[i]: i for i in around}
            if names and set(names) == set(named):
                found.append((centre, *(named[name] for name in names)))
    return found  # type: ignore[return-value]


def stereocentres(system: System) -> list[tuple[str, str, str, str]]:
    """Labels of the centres of `stereocentre_sites`, which mean one site each."""
    labels = system.unique_labels
    return [tuple(labels[i] for i in sites) for sites in stereocentre_sites(system)]  # type: ignore[misc]


@dataclass(frozen=True)
class RadialDistribution:
    """g(r) of two site types.

    Attributes:
        types: the two.
        r: (bins,) bin centres, nm.
        g: (bins,) 1 in an ideal gas, exactly normalised.
        error: (bins,) standard error from blocks.
    """

    types: tuple[str, str]
    r: NDArray[np.float64]
    g: NDArray[np.float64]
    error: NDArray[np.float64]


def rdf(
    frames: Frames,
    type_a: str,
    type_b: str,
    r_max: float,
    bins: int = 200,
    intermolecular: bool = False,
    n_blocks: int | None = None,
) -> RadialDistribution:
    """Radial distribution function of periodic frames, any triclinic box.

    g = <V n(r)> / (N_pairs 4/3 pi (r2^3 - r1^3)) with n(r) the ordered pairs in the shell, the
    shell's exact volume, and N_a (N_a - 1) pairs for like sites. Rounding fractional coordinates
    finds the nearest image exactly as long as r_max is at most half the smallest width of the box;
    more is refused.

    Args:
        frames: with a box; any weights.
        type_a, type_b: entries of `System.types`.
        r_max: nm.
        bins: shells of equal thickness.
        intermolecular: leave out pairs within one molecule, also from the normalisation.
        n_blocks: for errors; default `statistics.default_blocks`.

    Raises:
        ValueError: no box, r_max over half the smallest width, or no pair of these types.
    """
    edges = np.linspace(0.0, r_max, bins + 1)
    rows, _ = pair_rows(frames, (type_a,), (type_b,), edges, intermolecular)
    return distribution(frames, (type_a, type_b), edges, rows, n_blocks)


def distribution(
    frames: Frames,
    types: tuple[str, str],
    edges: NDArray[np.float64],
    rows: NDArray[np.float64],
    n_blocks: int | None = None,
) -> RadialDistribution:
    """What the g(r) of the single frames, `rows` (n_frames, bins) between `edges` (bins + 1,) nm,
    say together.
    """
    g = jackknife_rows(frames, rows, n_blocks=n_blocks)
    return RadialDistribution(types, (edges[1:] + edges[:-1]) / 2, g.value, g.error)
