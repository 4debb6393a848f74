"""How good restored frames are: local structure, bond graph, handedness, clashes, spread, energies
and weights.

A backmapper draws fine frames for given coarse ones, `n_draws` each. Here they (`model`) are
compared with true frames of the same System (`reference`), and with the very frames the coarse ones
were made of (`paired`) where those exist. Public: `compare_backmapping` -> `BackmappingReport`,
`worst_frames` -> `WorstFrame`, and what they are made of: `equivalent_terms`, `term_divergences`,
`contacts`, `chirality_errors`, `draw_spread`, `draw_rmsd`, `round_trip`, `energy_distance`,
`weight_efficiency`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import geometry
from ..cell import minimum_image
from ..files import Json
from ..frames import Frames
from ..observables.ledger import plain
from ..observables.structure import (
    KINDS,
    bonded_values,
    check_same_sites,
    handedness,
    stereocentres,
    wasserstein,
)
from ..statistics.divergence import Tally, divergence
from ..statistics.errors import Estimate, block_labels, effective_share, jackknife_error
from ..system import System
from ..units import shown
from .contacts import Contacts, bonded_atoms, contacts

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

# nm or rad that the bins span at least: a rigid term is no distribution, only rounding
_NARROWEST = 1e-3


@dataclass(frozen=True)
class Quantity:
    """A number of the restored frames with its standard error, beside what true frames give (nan:
    not known).
    """

    value: float
    error: float
    reference: float = float("nan")
    reference_error: float = float("nan")


@dataclass(frozen=True)
class TermDivergence:
    """One type of bonded term in restored and true frames.

    Attributes:
        kind: bond, angle or dihedral.
        label: sites of the first term of the type.
        n_terms: number of terms pooled.
        js, floor, error: Jensen-Shannon divergence, what sampling alone gives, and standard error,
            nats.
    """

    kind: str
    label: str
    n_terms: int
    js: float
    floor: float
    error: float

    @property
    def excess(self) -> float:
        """js - floor, nats; negative only by chance."""
        return self.js - self.floor


@dataclass(frozen=True)
class BackmappingReport:
    """All metrics of one set of restored frames. None (or empty): it could not be told from what
    was given.

    Attributes:
        n_frames, n_reference: number of restored and of true frames.
        n_draws: restored frames of one coarse frame.
        bins: of every histogram of a term; those beyond the reference's range come on top
            (`term_divergences`).
        terms: every type of bond, angle and dihedral.
        missing_bonds, spurious_bonds, clashes: a frame; reference: in true frames.
        n_stereocentres: number of them.
        chirality: {centre: fraction of frames of the wrong hand}; reference: of true frames.
            Centres of one label in several molecules are pooled.
        spread: nm, mean RMSD between two draws of one coarse frame; reference: between a draw and
            the true frame. Equal for a perfect sampler, smaller for one too narrow.
        rmsd_one, rmsd_best: nm, heavy atoms of one draw, and of the best of `n_draws`, from the
            true frame.
        round_trip: nm, largest coordinate of |M x - X|; its error is the spacing of the numbers X
            is stored in.
        energy: kT an atom, Wasserstein distance of the finer level's energies; reference: what
            sampling gives.
        energy_shift: kT an atom, mean energy less that of the true frames.
        energy_histogram: {"edges": (n + 1,) kT above the mean of true frames, "model", "reference":
            (n,) probability a kT}; what is missing to 1 lies above the range.
        efficiency: (sum w)^2 / (n sum w^2) of all weights.
        group_efficiency: the same among the draws of one coarse frame, averaged over coarse frames.
    """

    n_frames: int
    n_reference: int
    n_draws: int
    bins: int
    terms: tuple[TermDivergence, ...]
    missing_bonds: Quantity | None = None
    spurious_bonds: Quantity | None = None
    clashes: Quantity | None = None
    n_stereocentres: int = 0
    chirality: dict[str, Quantity] = field(default_factory=dict)
    spread: Quantity | None = None
    rmsd_one: Quantity | None = None
    rmsd_best: Quantity | None = None
    round_trip: Quantity | None = None
    energy: Quantity | None = None
    energy_shift: Quantity | None = None
    energy_histogram: dict[str, list[float]] = field(default_factory=dict)
    efficiency: Quantity | None = None
    group_efficiency: Quantity | None = None

    def worst(self, kind: str) -> TermDivergence | None:
        """The type of `kind` furthest above its floor; None where there is none of that kind.

        The largest of many is above zero by chance: judge it by its error and the number of types.
        """
        return max((t for t in self.terms if t.kind == kind), key=lambda t: t.excess, default=None)

    def to_json(self) -> Json:
        """Plain numbers, strings, lists and dicts; what is not finite becomes None (json has no
        inf).
        """
        return plain(asdict(self))

    @classmethod
    def from_json(cls, data: Json) -> BackmappingReport:
        """What `to_json` wrote. Raises ValueError on a key that is missing or unknown."""
        known = {f.name: f for f in fields(cls)}
        required = {"n_frames", "n_reference", "n_draws", "bins", "terms"}
        if not required <= set(data) <= set(known):
            raise ValueError(
                f"backmapping report: missing {sorted(required - set(data))}, unknown "
                f"{sorted(set(data) - set(known))}"
            )
        values = dict(data)
        values["terms"] = tuple(TermDivergence(**_finite(term)) for term in data["terms"])
        values["chirality"] = {
            k: Quantity(**_finite(q)) for k, q in data.get("chirality", {}).items()
        }
        for name, value in data.items():
            if known[name].type == "Quantity | None" and value is not None:
                values[name] = Quantity(**_finite(value))
        return cls(**values)

    def rows(self) -> list[tuple[str, str, str]]:
        """(what, restored, true) of every metric that is known, as text."""
        rows = []
        for kind in KINDS:
            if (t := self.worst(kind)) is not None:
                text = f"{t.excess:.4f} +- {t.error:.4f}"
                rows.append(
                    (
                        f"worst {kind} JS above floor / nats ({t.label})",
                        text,
                        f"floor {t.floor:.4f}",
                    )
                )
        for name, what in _ROWS.items():
            if (q := getattr(self, name)) is not None:
                rows.append((what, *_cells(q)))
        rows += [
            (f"wrong hand at {label}, fraction", *_cells(q)) for label, q in self.chirality.items()
        ]
        return rows

    def table(self) -> str:
        """Aligned plain text."""
        head = (
            f"{self.n_frames} restored frames, {self.n_draws} a coarse frame; {self.n_reference} "
            "true frames; "
        )
        head += f"{self.bins} bins a term; {self.n_stereocentres} stereocentres"
        rows = [("", "restored", "true"), *self.rows()]
        widths = [max(len(row[k]) for row in rows) for k in range(3)]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip()
            for row in rows
        ]
        return "\n".join([head, *lines])


_ROWS = {
    "missing_bonds": "missing bonds a frame",
    "spurious_bonds": "spurious bonds a frame",
    "clashes": "clashes a frame",
    "spread": "RMSD of two draws / nm (true: draw from true frame)",
    "rmsd_one": "heavy-atom RMSD of one draw / nm",
    "rmsd_best": "heavy-atom RMSD of the best draw / nm",
    "round_trip": "round trip, largest |Mx - X| / nm",
    "energy": "W1 of energies an atom / kT (true: floor)",
    "energy_shift": "shift of the mean energy an atom / kT",
    "efficiency": "ESS / N of the weights",
    "group_efficiency": "ESS / N within a coarse frame",
}


def _cells(q: Quantity) -> tuple[str, str]:
    pairs = ((q.value, q.error), (q.reference, q.reference_error))
    texts = [
        "-"
        if np.isnan(value)
        else shown(value, 3) + ("" if np.isnan(error) else f" +- {shown(error, 1)}")
        for value, error in pairs
    ]
    return texts[0], texts[1]


def compare_backmapping(
    model: Frames,
    reference: Frames,
    *,
    n_draws: int = 1,
    paired: Frames | None = None,
    coarse: tuple[ArrayLike, ArrayLike] | None = None,
    energies: tuple[ArrayLike, ArrayLike] | None = None,
    log_weights: ArrayLike | None = None,
    restored: Sequence[int] | None = None,
    bins: int = 64,
    n_blocks: int | None = None,
) -> BackmappingReport:
    """Every metric that the given data allow. Errors are from blocks that never part the draws of a
    coarse frame.

    Args:
        model: restored frames: the draws of coarse frame 0, then those of frame 1, and so on.
        reference: true frames of the same System, as many as there are.
        n_draws: restored frames of one coarse frame.
        paired: (n_coarse frames) the true frame of each coarse frame, in the model's pose.
        coarse: M x of the restored frames and the X they were made for, two arrays of one shape,
            nm.
        energies: (n_frames,) of `model` and (n_reference,) of `reference` under the finer level,
            kT.
        log_weights: (n_frames,) log importance weight of every restored frame, up to a constant.
        restored: sites the mapping does not fix; terms of other sites alone are left out, and RMSDs
            are over these only. Default: all sites.
        bins: per term.
        n_blocks: for errors; default as `default_blocks` of the coarse frames.

    Raises:
        ValueError: the Systems differ, a length does not fit, or there is too little to compare.
    """
    check_same_sites(model, reference, "compare_backmapping")
    labels = _draw_blocks(model, n_draws, n_blocks), block_labels(reference, n_blocks)
    found: dict[str, Any] = {
        "terms": term_divergences(model, reference, *labels, bins, restored),
        "n_stereocentres": len(stereocentres(model.system)),
        "chirality": chirality_errors(model, reference, *labels),
        "spread": draw_spread(model, n_draws, paired, restored, labels[0]),
    }
    if bonded_atoms(model.system).any():
        found |= _contact_rates((model, reference), labels)
    if paired is not None:
        found |= dict(
            zip(("rmsd_one", "rmsd_best"), draw_rmsd(model, paired, n_draws, restored, labels[0]))
        )
    if coarse is not None:
        found["round_trip"] = round_trip(*coarse)
    if energies is not None:
        found |= _compare_energies(energies, (model, reference), labels)
    if log_weights is not None:
        found |= _compare_weights(log_weights, model, n_draws, labels[0])
    return BackmappingReport(len(model), len(reference), n_draws, bins, **found)


# ---- blocks and means ---------------------------------------------------------------------------


def _draw_blocks(model: Frames, n_draws: int, n_blocks: int | None) -> Integers:
    """(n_frames,) block of each restored frame; the draws of a coarse frame, which are alike, stay
    together.
    """
    if n_draws < 1 or len(model) % n_draws:
        raise ValueError(
            f"compare_backmapping: expected {n_draws} draws of every coarse frame, found "
            f"{len(model)} restored "
            "frames, which that does not divide; give n_draws as the frames were drawn"
        )
    return np.repeat(block_labels(model[::n_draws], n_blocks), n_draws)


def _mean(values: Floats, weights: Floats, labels: Integers) -> Estimate[float]:
    """Weighted mean of (n,) values with its delete-one-block jackknife error."""
    sums, totals = np.bincount(labels, weights * values), np.bincount(labels, weights)
    left = (sums.sum() - sums) / np.maximum(totals.sum() - totals, 1e-300)
    return Estimate(float(sums.sum() / totals.sum()), float(jackknife_error(left)))


def _rate(counts: ArrayLike, weights: Floats, labels: Integers) -> Estimate[float]:
    """Mean count a frame; its error is at least that of one event, so that none seen is not none
    for certain.
    """
    value, error = _mean(np.asarray(counts, float), weights, labels)
    return Estimate(value, max(error, float((weights**2).sum() / weights.sum() ** 2)))


def _rates(
    counts: Sequence[ArrayLike],
    pair: tuple[Frames, Frames],
    labels: tuple[Integers, Integers],
) -> Quantity:
    found = [_rate(c, f.normalised_weights(), b) for c, f, b in zip(counts, pair, labels)]
    return Quantity(*found[0], *found[1])


# ---- bonds, angles, dihedrals -------------------------------------------------------------------


def equivalent_terms(
    system: System, kind: str, restored: Sequence[int] | None = None
) -> dict[str, Integers]:
    """{label: (n, k) sites} of all terms of `kind`, those the bond graph cannot tell apart pooled.

    The hydrogens of a methyl group, or the molecules of a liquid, are one type
    (`System.equivalent_sites`), called by its first term; types that would share a name carry their
    site numbers as well.

    Args:
        restored: only terms with at least one of these sites.
    """
    colours, groups = system.equivalent_sites(), dict[tuple[int, ...], list[tuple[int, ...]]]()
    wanted = set(range(system.n_sites)) if restored is None else {int(i) for i in restored}
    for path in system.bonded_paths(KINDS[kind][0]):
        if wanted & set(path):
            key = tuple(colours[i] for i in path)
            groups.setdefault(min(key, key[::-1]), []).append(
                path if key <= key[::-1] else path[::-1]
            )
    names = [_name(system, paths[0]) for paths in groups.values()]
    numbers = [" ".join(f"#{i}" for i in paths[0]) for paths in groups.values()]
    unique = [name if names.count(name) == 1 else f"{name} {n}" for name, n in zip(names, numbers)]
    return {name: np.array(paths) for name, paths in zip(unique, groups.values())}


def _name(system: System, path: Sequence[int]) -> str:
    labels = [system.labels[i] for i in path]
    return "-".join(min(labels, labels[::-1]))


def term_divergences(
    model: Frames,
    reference: Frames,
    model_blocks: Integers,
    reference_blocks: Integers,
    bins: int = 64,
    restored: Sequence[int] | None = None,
) -> tuple[TermDivergence, ...]:
    """Jensen-Shannon divergence of every type of bonded term, with its floor and error (see
    `divergence`).

    `bins` equal bins span what the reference visits (-pi to pi for dihedrals), and one more on
    either side takes whatever the model has beyond: bins over the range of both would grow with the
    model's worst outlier until everything else shared one.

    Args:
        model_blocks, reference_blocks: (n_frames,) block of each frame.
        restored: only terms with at least one of these sites.
    """
    return tuple(
        _term(kind, label, sites, (model, reference), (model_blocks, reference_blocks), bins)
        for kind in KINDS
        for label, sites in equivalent_terms(model.system, kind, restored).items()
    )


def _term(
    kind: str,
    label: str,
    sites: Integers,
    pair: tuple[Frames, Frames],
    blocks: tuple[Integers, Integers],
    bins: int,
) -> TermDivergence:
    values = [bonded_values(frames, kind, sites) for frames in pair]
    low, high = (
        (-np.pi, np.pi) if kind == "dihedral" else (float(values[1].min()), float(values[1].max()))
    )
    if high - low < _NARROWEST:
        low, high = (low + high - _NARROWEST) / 2, (low + high + _NARROWEST) / 2
    tallies = []
    for x, frames, labels in zip(values, pair, blocks):
        place = np.clip(np.floor((x - low) / (high - low) * bins), -1, bins).astype(np.int64) + 1
        place[x == high] = bins  # the last bin is closed, as numpy.histogram has it
        w = np.repeat(frames.normalised_weights(), len(sites))
        every = np.repeat(labels, len(sites))
        tallies.append(Tally.count(place.ravel(), w, every, bins + 2))
    js = divergence(tallies[0], tallies[1])
    return TermDivergence(kind, label, len(sites), js.js, js.floor, js.error)


# ---- bond graph and clashes ---------------------------------------------------------------------


def _contact_rates(
    pair: tuple[Frames, Frames], labels: tuple[Integers, Integers]
) -> dict[str, Quantity]:
    found = [contacts(frames) for frames in pair]
    names = {"missing_bonds": "missing", "spurious_bonds": "spurious", "clashes": "clashes"}
    return {
        key: _rates([getattr(c, name) for c in found], pair, labels) for key, name in names.items()
    }


# ---- handedness ---------------------------------------------------------------------------------


def chirality_errors(
    model: Frames, reference: Frames, model_blocks: Integers, reference_blocks: Integers
) -> dict[str, Quantity]:
    """{label: fraction of frames whose hand is not that of most reference frames} of every
    stereocentre.

    Centres are those of `stereocentres`, each judged by itself (a liquid may hold both hands) and
    those of one label averaged. Empty where there are none.
    """
    centres = stereocentres(model.system)
    if not centres:
        return {}
    signs = [handedness(frames, centres) for frames in (model, reference)]
    right = np.where(reference.normalised_weights() @ signs[1] >= 0, 1, -1)
    names = np.array([model.system.labels[model.system.site(c[0])] for c in centres])
    labels = model_blocks, reference_blocks
    return {
        str(name): _rates(
            [(s != right)[:, names == name].mean(1) for s in signs], (model, reference), labels
        )
        for name in dict.fromkeys(names)
    }


# ---- draws of one coarse frame ------------------------------------------------------------------


def draw_spread(
    model: Frames,
    n_draws: int,
    paired: Frames | None = None,
    restored: Sequence[int] | None = None,
    blocks: Integers | None = None,
) -> Quantity | None:
    """nm, mean RMSD between two draws of one coarse frame; reference: between a draw and the true
    frame.

    No superposition: the coarse frame fixes the pose. Under the exact conditional distribution the
    true frame is one more draw, so the two means are equal; a sampler that is too narrow has the
    smaller spread of the two. None for a single draw without a true frame.
    """
    blocks = _draw_blocks(model, n_draws, None) if blocks is None else blocks
    sites = np.arange(model.n_sites) if restored is None else np.asarray(restored)
    draws = [model[k::n_draws] for k in range(n_draws)]
    mean = partial(_mean, weights=_coarse_weights(model, n_draws), labels=blocks[::n_draws])
    nothing = Estimate(float("nan"), float("nan"))
    within = [_rmsd(a, b, sites) for a, b in combinations(draws, 2)]
    across = [
        _rmsd(a, _check_paired(model, paired, n_draws), sites) for a in draws if paired is not None
    ]
    if not within + across:
        return None
    value, true = (mean(np.mean(found, axis=0)) if found else nothing for found in (within, across))
    return Quantity(*value, *true)


def draw_rmsd(
    model: Frames,
    paired: Frames,
    n_draws: int,
    restored: Sequence[int] | None = None,
    blocks: Integers | None = None,
) -> tuple[Quantity | None, Quantity | None]:
    """nm, heavy-atom RMSD from the true frame, without superposition: of one draw, and of the best
    of `n_draws`.

    None where no heavy atom is asked for.

    Raises:
        ValueError: `paired` does not hold one frame for every coarse frame.
    """
    blocks = _draw_blocks(model, n_draws, None) if blocks is None else blocks
    chosen = np.arange(model.n_sites) if restored is None else np.asarray(restored, np.int64)
    heavy = chosen[np.array(model.system.elements)[chosen] != "H"]
    true = _check_paired(model, paired, n_draws)
    if not len(heavy):
        return None, None
    each = np.array([_rmsd(model[k::n_draws], true, heavy) for k in range(n_draws)])
    weights = _coarse_weights(model, n_draws)
    one, best = (
        Quantity(*_mean(x, weights, blocks[::n_draws])) for x in (each.mean(0), each.min(0))
    )
    return one, best


def _check_paired(model: Frames, paired: Frames | None, n_draws: int) -> Frames:
    if paired is None or len(paired) * n_draws != len(model) or paired.n_sites != model.n_sites:
        found = "none" if paired is None else f"{len(paired)} of {paired.n_sites} sites"
        raise ValueError(
            f"paired: expected one true frame for each of {len(model) // n_draws} coarse "
            "frames, of "
            f"{model.n_sites} sites, found {found}"
        )
    return paired


def _coarse_weights(model: Frames, n_draws: int) -> Floats:
    return model.normalised_weights().reshape(-1, n_draws).sum(1)


def _rmsd(a: Frames, b: Frames, sites: Integers) -> Floats:
    """(n_frames,) nm, frame by frame; in a box by nearest images, molecules may be stored in any."""
    difference = np.asarray(a.positions[:, sites], float) - b.positions[:, sites]
    if (boxes := a.boxes()) is not None:
        difference = minimum_image(difference, np.asarray(boxes, float))
    return np.sqrt((difference**2).sum(-1).mean(1))


def round_trip(mapped: ArrayLike, coarse: ArrayLike) -> Quantity:
    """nm, the largest coordinate of |M x - X|; its error is the spacing of numbers of the coarser
    precision at X.

    Args:
        mapped, coarse: two arrays of one shape, M x of the restored frames and the X they were made
            for.

    Raises:
        ValueError: the shapes differ.
    """
    a, b = np.asarray(mapped), np.asarray(coarse)
    if a.shape != b.shape:
        raise ValueError(
            f"round_trip: expected two arrays of one shape, found {a.shape} and {b.shape}"
        )
    kind = min(
        (x.dtype.type if x.dtype.kind == "f" else np.float64 for x in (a, b)),
        key=lambda t: t(0).nbytes,
    )
    spacing = float(np.spacing(kind(np.abs(b).max())))
    return Quantity(float(np.abs(np.asarray(a, float) - np.asarray(b, float)).max()), spacing)


# ---- energies -----------------------------------------------------------------------------------


def energy_distance(
    model: ArrayLike,
    reference: ArrayLike,
    n_atoms: int,
    model_blocks: Integers,
    reference_blocks: Integers,
    model_weights: ArrayLike | None = None,
    reference_weights: ArrayLike | None = None,
) -> Quantity:
    """Wasserstein-1 distance of two energy distributions over `n_atoms`, kT an atom; reference: its
    floor.

    The error is the delete-one-block jackknife over both; the floor what two samples of one
    distribution would show, from half against half of each: W1 falls as (1/N1 + 1/N2)^1/2, and
    halves of N have 4/N there.

    Args:
        model, reference: (n,) kT.
        model_blocks, reference_blocks: (n,) block of each.
    """
    sides = []
    for energies, weights, blocks in (
        (model, model_weights, model_blocks),
        (reference, reference_weights, reference_blocks),
    ):
        e = np.asarray(energies, float)
        w = np.ones(len(e)) if weights is None else np.asarray(weights, float)
        if e.shape != blocks.shape or not np.isfinite(e).all():
            raise ValueError(
                f"energies: expected {len(blocks)} finite numbers in kT, one a frame, found "
                f"shape {e.shape} with "
                f"{(~np.isfinite(e)).sum()} not finite; leave out frames that have no energy"
            )
        sides.append((e, w, blocks))
    (a, u, _), (b, v, _) = sides
    halves, variance = 0.0, 0.0
    for (e, w, blocks), (other, weights) in zip(sides, ((b, v), (a, u))):
        even = blocks % 2 == 0
        halves += wasserstein(e[even], e[~even], w[even], w[~even]) ** 2
        left = [
            wasserstein(e[keep], other, w[keep], weights)
            for keep in (blocks != k for k in np.unique(blocks))
        ]
        variance += float(jackknife_error(np.array(left))) ** 2
    return Quantity(
        wasserstein(a, b, u, v) / n_atoms, variance**0.5 / n_atoms, (halves / 4) ** 0.5 / n_atoms
    )


def _compare_energies(
    energies: tuple[ArrayLike, ArrayLike],
    pair: tuple[Frames, Frames],
    labels: tuple[Integers, Integers],
) -> dict[str, object]:
    n, weights = pair[0].n_sites, [f.normalised_weights() for f in pair]
    distance = energy_distance(*energies, n, *labels, *weights)
    values = [np.asarray(e, float) for e in energies]
    (a, a_error), (b, b_error) = (_mean(*each) for each in zip(values, weights, labels))
    # a restored frame with a clash may lie anywhere above: it must not set the scale
    low, high = min(map(np.min, values)), values[1].max() + np.ptp(values[1])
    edges = np.linspace(low, max(high, low + 1e-9), 81)
    model, reference = (
        np.histogram(e, edges, weights=w)[0] / np.diff(edges) for e, w in zip(values, weights)
    )
    return {
        "energy": distance,
        "energy_shift": Quantity((a - b) / n, float(np.hypot(a_error, b_error)) / n),
        "energy_histogram": {
            "edges": (edges - b).tolist(),
            "model": model.tolist(),
            "reference": reference.tolist(),
        },
    }


# ---- weights ------------------------------------------------------------------------------------


def weight_efficiency(log_weights: ArrayLike, blocks: Integers | None = None) -> Quantity:
    """ESS / N = (sum w)^2 / (N sum w^2) of weights given by their logarithms (Kish), with its
    jackknife error.

    Args:
        log_weights: (n,), up to a constant; -inf is a weight of zero.
        blocks: (n,) block of each; default: 20 runs in order (or n, where there are fewer).

    Raises:
        ValueError: a NaN or +inf, or no weight above zero.
    """
    x = _check_log_weights(log_weights).ravel()
    labels = np.arange(len(x)) * min(20, len(x)) // len(x) if blocks is None else blocks
    left = [effective_share(x[labels != k]) for k in np.unique(labels)]
    error = jackknife_error(np.array(left)) if len(left) > 1 else np.nan
    return Quantity(float(effective_share(x)), float(error))


def _check_log_weights(log_weights: ArrayLike) -> Floats:
    x = np.asarray(log_weights, float)
    if np.isnan(x).any() or (x == np.inf).any() or not np.isfinite(x).any():
        raise ValueError(
            "log_weights: expected numbers or -inf, at least one finite, found "
            f"{np.isnan(x).sum()} nan and "
            f"{(x == np.inf).sum()} inf of {x.size}"
        )
    return x


def _compare_weights(
    log_weights: ArrayLike, model: Frames, n_draws: int, labels: Integers
) -> dict[str, Quantity]:
    x = _check_log_weights(log_weights)
    if x.shape != (len(model),):
        raise ValueError(
            f"log_weights: expected {len(model)}, one a restored frame, found shape {x.shape}"
        )
    found = {"efficiency": weight_efficiency(x, labels)}
    if n_draws > 1:
        rows = effective_share(x.reshape(-1, n_draws))
        each = _mean(rows, np.ones(len(rows)), labels[::n_draws])
        found["group_efficiency"] = Quantity(*each)
    return found


# ---- frames to look at --------------------------------------------------------------------------


@dataclass(frozen=True)
class WorstFrame:
    """A frame to look at: its index and what is wrong with it."""

    index: int
    reason: str


def worst_frames(model: Frames, k: int = 5) -> list[WorstFrame]:
    """Up to `k` frames to look at: in turn the most wrong bonds, the most clashes, the bond
    furthest off.

    A bond's length is measured from the median of its type over all frames, nm.
    """
    n = len(model)
    atoms = bonded_atoms(model.system).any()
    c = contacts(model) if atoms else Contacts(*np.zeros((3, n), np.int64))
    deviation, at, names = _bond_deviation(model)
    turns: list[Iterator[int]] = [
        iter(np.argsort(-score, kind="stable")[: int((score > 0).sum())])
        for score in (c.missing + c.spurious, c.clashes, deviation)
    ]
    chosen: dict[int, None] = {}
    while len(chosen) < min(k, n) and turns:
        turn = turns.pop(0)
        index = next((int(i) for i in turn if int(i) not in chosen), None)
        if index is not None:
            chosen[index] = None
            turns.append(turn)
    counts = ("bonds missing", c.missing), ("spurious bonds", c.spurious), ("clashes", c.clashes)
    return [
        WorstFrame(
            i,
            ", ".join(
                [f"{what}: {number[i]}" for what, number in counts if number[i]]
                + [f"{names[at[i]]} off by {deviation[i]:.4f} nm"] * bool(names)
            ),
        )
        for i in chosen
    ]


def _bond_deviation(frames: Frames) -> tuple[Floats, Integers, list[str]]:
    """Largest deviation of a bond in each frame (nm), which type of bond it is, and the types'
    names.
    """
    deviation, at = np.zeros(len(frames)), np.zeros(len(frames), np.int64)
    types = equivalent_terms(frames.system, "bond")
    for number, sites in enumerate(types.values()):
        lengths = geometry.distance(np.asarray(frames.positions, float), sites)
        off = np.abs(lengths - np.median(lengths)).max(1)
        at[off > deviation] = number
        deviation = np.maximum(deviation, off)
    return deviation, at, list(types)


def _finite(data: Json) -> Json:
    return {key: float("nan") if value is None else value for key, value in data.items()}
