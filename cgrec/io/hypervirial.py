"""The terms of an exact identity of the canonical ensemble, from which forces tell their
temperature.

For any smooth field v(x) of the positions, integration by parts of exp(-U/kT) gives <v . F> = -kT
<div v> (the hypervirial theorem, Hirschfelder 1960; v = x is the virial; Jepps, Ayton and Evans,
Phys. Rev. E 62, 4757 (2000) for its use as a thermometer). With one pair i, j at distance r along
the unit vector e and

    v_i = -a_i f(r) e,   v_j = +a_j f(r) e,   a_i + a_j = 1:    v . F = f(r) e . (a_j F_j - a_i F_i),
    div v = f' + 2 f / r

so T = -<sum v . F> / (k_B <sum div v>), without an approximation for flexible bonds. Here f = r -
r0 for bonds, with the shares a_i = m_j / (m_i + m_j) of a bond vibration. Sites that constraints tie
to i or j move with it, so that v minds no constraint, and F is the sum over them: the bare force on a
carbon whose hydrogen is rigid says another temperature. Molecules are moved as a whole, which no
constraint minds, with f = (r - r0) w(r) about the first peak of g(r), w smooth and zero past the
first minimum. Mean forces obey the same identity, so mapped frames can be checked like atoms.
Weights of a biased sample enter as in any average: the forces are those without the bias.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..bonds import connected_components
from ..cell import widths
from ..frames import Frames, release, taken
from ..system import System
from ..units import BOLTZMANN
from .periodic import close_pairs

#: Bonds times frames looked at, and pairs of molecules from which the peaks of g(r) are told.
_PAIR_BUDGET = 1_000_000
#: Pairs inside these peaks, and sites, times frames; of more, evenly spaced frames. Sites times
#: frames held at once.
_WINDOW_BUDGET, _SITE_BUDGET, _PORTION = 4_000_000, 20_000_000, 200_000
#: Distances of a kind from which a mean length, or the first peak of g(r), can be told.
_LEAST_LENGTHS, _LEAST_PAIRS = 20, 200
#: From so many frames on each bond has a mean length of its own: its own mean takes 1/n off the
#: fluctuation.
_OWN_LENGTH = 100


@dataclass(frozen=True)
class Terms:
    """One kind of pair: what the identity averages.

    Attributes:
        work: (n_used,) kJ/mol, sum of v . F over the pairs of each frame looked at.
        divergence: (n_used,) sum of div v.
        noise: standard deviation of one pair's v . F + kT div v (kJ/mol), for samples of few
            frames.
        n_pairs: mean number of pairs a frame.
        pairs: (n_bonds, 2) site indices; None where pairs change from frame to frame.
        stretch, pull: (n_used, n_bonds) f in nm and the relative force along the bond in kJ/mol/nm,
            whose product is the work of each bond; None where pairs change.
        frequency: rad/ps of the bond as a harmonic oscillator, sqrt(kT / (mu var r)); 0 for
            molecules.
    """

    work: NDArray[np.float64]
    divergence: NDArray[np.float64]
    noise: float
    n_pairs: float
    pairs: NDArray[np.int64] | None = None
    stretch: NDArray[np.float64] | None = None
    pull: NDArray[np.float64] | None = None
    frequency: float = 0.0


@dataclass(frozen=True)
class Own:
    """What each molecule alone says: the identity with v that moves this one only.

    Attributes:
        species: (n_molecules,) number of its kind.
        work, divergence: (n_molecules,) means over frames of v . F (kJ/mol) and div v.
        noise: (n_molecules,) kJ/mol, standard error of work + kT divergence if frames were
            independent.
        square: (n_molecules,) mean square of the net force, (kJ/mol/nm)^2.
    """

    species: NDArray[np.int64]
    work: NDArray[np.float64]
    divergence: NDArray[np.float64]
    noise: NDArray[np.float64]
    square: NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Frames looked at: their numbers, their terms for every kind of pair, and those of single
    molecules.
    """

    used: NDArray[np.int64]
    kinds: list[Terms]
    own: Own | None = None


def bond_terms(frames: Frames, lag: int = 0) -> Sample:
    """Terms of every kind of flexible bond.

    Args:
        lag: take the forces of frame t + lag for the positions of frame t, to find forces that
            belong to another frame.
    """
    tied = connected_components(frames.n_sites, frames.system.constraints)
    bonds = _flexible_bonds(frames, tied)
    step = max(len(frames) * len(bonds) // _PAIR_BUDGET, 1)
    used = _with_lag(len(frames), step, lag)
    numbers = _kinds(frames.system.types, bonds)
    groups = [bonds[numbers == k] for k in np.unique(numbers)]
    kinds = [
        _bond_kind(frames, g, used, lag, tied)
        for g in groups
        if len(used) * len(g) >= _LEAST_LENGTHS
    ]
    return Sample(used, kinds)


def _with_lag(n: int, step: int, lag: int) -> NDArray[np.int64]:
    return np.arange(max(-lag, 0), n - max(lag, 0), step)


def _flexible_bonds(frames: Frames, tied: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bonds whose ends no constraints tie to each other (`tied`: the rigid group of each site) and
    whose length varies by more than 0.1 %; with fewer than 5 frames, which tell nothing of that,
    among the bonds of a kind.
    """
    system = frames.system
    bonds = np.asarray(system.bonds, np.int64).reshape(-1, 2)
    bonds = bonds[tied[bonds[:, 0]] != tied[bonds[:, 1]]]
    if not len(bonds):
        return bonds
    sample = taken(frames.positions, np.arange(0, len(frames), max(len(frames) // 50, 1))).astype(
        float
    )
    lengths = np.linalg.norm(sample[:, bonds[:, 1]] - sample[:, bonds[:, 0]], axis=-1)
    if len(sample) >= 5:
        return bonds[lengths.std(0) > 1e-3 * lengths.mean(0)]
    kinds = _kinds(system.types, bonds)
    flexible = {
        k for k in np.unique(kinds) if np.std(lengths[:, kinds == k]) > 1e-3 * lengths.mean()
    }
    return bonds[[k in flexible for k in kinds]]


def _bond_kind(
    frames: Frames,
    bonds: NDArray[np.int64],
    used: NDArray[np.int64],
    lag: int,
    tied: NDArray[np.int64],
) -> Terms:
    i, j = bonds.T
    masses = frames.system.masses
    ends = lambda a, t, s: np.asarray(taken(a, t, s), float)  # noqa: E731
    vectors = ends(frames.positions, used, j) - ends(frames.positions, used, i)
    r = np.maximum(np.linalg.norm(vectors, axis=-1), 1e-12)
    share = masses[i] / (masses[i] + masses[j])
    on_i, on_j = (_tied_force(frames, used + lag, end, tied) for end in (i, j))
    relative = share[:, None] * on_j - (1 - share)[:, None] * on_i
    along = (relative * vectors).sum(-1) / r
    # with few frames a bond's own mean takes 1/n off its fluctuation, so bonds of a kind share one
    f = r - (np.median(r, axis=0) if len(used) >= _OWN_LENGTH else np.median(r))
    work, divergence = f * along, 1 + 2 * f / r
    thermal = BOLTZMANN * frames.temperature
    reduced = float((masses[i] * masses[j] / (masses[i] + masses[j])).mean())
    spread = float(np.median(np.abs(f))) * 1.4826  # of a Gaussian, whatever single frames do
    return Terms(
        work.sum(1),
        divergence.sum(1),
        float(np.std(work + thermal * divergence)),
        len(bonds),
        bonds,
        f,
        along,
        float(np.sqrt(thermal / reduced) / max(spread, 1e-12)),
    )


def _tied_force(
    frames: Frames,
    used: NDArray[np.int64],
    sites: NDArray[np.int64],
    tied: NDArray[np.int64],
) -> NDArray[np.float64]:
    """(n_used, n, 3) kJ/mol/nm on each of some sites, together with its rigid group (`tied`)."""
    force = frames.need_forces()
    if not len(frames.system.constraints):
        return np.asarray(taken(force, used, sites), float)
    groups, place = np.unique(tied[sites], return_inverse=True)
    order = np.argsort(tied, kind="stable")
    members = order[np.isin(tied[order], groups)]
    begins = np.searchsorted(tied[members], groups)
    each = np.asarray(taken(force, used, members), float)
    return np.add.reduceat(each, begins, axis=1)[:, place]


def molecule_terms(frames: Frames, lag: int = 0) -> Sample:
    """Terms of every two kinds of molecules, about the first peak of their g(r); `lag` as in
    `bond_terms`.

    The peaks come from some frames; all frames are used, a portion at a time, as far as
    `_WINDOW_BUDGET` allows.
    """
    every = _with_lag(len(frames), 1, lag)
    if int(frames.system.molecules.max()) < 1 or not len(every):
        return Sample(np.arange(0), [])
    molecules = Molecules(frames.system)
    windows, n_pairs = _windows(frames, molecules, every)
    if not windows:
        return Sample(np.arange(0), [])
    cost = max(n_pairs / _WINDOW_BUDGET, frames.n_sites / _SITE_BUDGET)
    used = every[:: max(int(np.ceil(len(every) * cost)), 1)]
    sums = _Sums(windows, BOLTZMANN * frames.temperature, len(used), len(molecules.species))
    boxes, forces = frames.boxes(), frames.need_forces()
    rows = max(_PORTION // frames.n_sites, 1)
    for start in range(0, len(used), rows):
        part = used[start : start + rows]
        centres = molecules.centres(taken(frames.positions, part))
        force = molecules.total(taken(forces, part + lag))
        for k, t in enumerate(part):
            pairs, vectors = close_pairs(
                centres[k], sums.reach, None if boxes is None else boxes[t]
            )
            sums.add(start + k, pairs, molecules.kinds(pairs), vectors, force[k])
    return Sample(used, sums.terms(), sums.own(molecules.species))


class Molecules:
    """Molecules of a System: `species` (n_molecules,) is the kind of each."""

    def __init__(self, system: System):
        from scipy.sparse import coo_array

        sites = np.arange(system.n_sites)
        self._n = int(system.molecules.max()) + 1
        shape = (self._n, system.n_sites)
        self._members = coo_array(
            (np.ones(len(sites)), (system.molecules, sites)), shape=shape
        ).tocsr()
        self._masses = system.masses
        names = ["".join(system.types[i] for i in member) for member in system.molecule_sites()]
        self.species = np.unique(names, return_inverse=True)[1]

    def total(self, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n, n_sites, 3) -> (n, n_molecules, 3) sums."""
        flat = np.asarray(vectors, float).transpose(1, 0, 2).reshape(vectors.shape[1], -1)
        return (self._members @ flat).reshape(self._n, len(vectors), 3).transpose(1, 0, 2)

    def centres(self, positions: NDArray[np.floating]) -> NDArray[np.float64]:
        """(n, n_sites, 3) -> (n, n_molecules, 3) centres of mass."""
        mass = self._members @ self._masses
        return self.total(np.asarray(positions, float) * self._masses[:, None]) / mass[:, None]

    def kinds(self, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n_pairs,) one number for every two kinds of molecules."""
        low, high = np.sort(self.species[pairs], axis=1).T
        return low * 1000 + high


def _windows(
    frames: Frames, molecules: Molecules, every: NDArray[np.int64]
) -> tuple[dict[int, _Window], float]:
    """The window of every two kinds of molecules, from some frames, and how many pairs a frame lie
    inside.
    """
    boxes = frames.boxes()
    reach = 0.8 if boxes is None else min(0.8, float(widths(boxes[0]).min() / 2))
    n_molecules = len(molecules.species)
    some = every[:: max(len(every) * max(n_molecules**2 // 4, frames.n_sites) // _PAIR_BUDGET, 1)]
    kinds, distances = [], []
    for t in some:
        centres = molecules.centres(np.asarray(frames.positions[t])[None])[0]
        pairs, vectors = close_pairs(centres, reach, None if boxes is None else boxes[t])
        kinds.append(molecules.kinds(pairs))
        distances.append(np.linalg.norm(vectors, axis=-1))
    release(frames.positions)
    kind, r = np.concatenate(kinds), np.concatenate(distances)
    found = {int(k): _Window.of(r[kind == k], reach) for k in np.unique(kind)}
    windows = {k: w for k, w in found.items() if w is not None}
    inside = (r < max((w.end for w in windows.values()), default=0.0)).sum()
    return windows, float(inside) / len(some)


@dataclass(frozen=True)
class _Window:
    """f(r) = (r - peak) w(r); w = 1 inside the peak, (1 - s^2)^2 with s = (r - peak) / (end - peak)
    beyond, zero past the end.
    """

    peak: float
    end: float

    @classmethod
    def of(cls, r: NDArray[np.float64], reach: float) -> _Window | None:
        """About the first peak of the radial distribution of `r`; None with too few pairs to see
        one.
        """
        if len(r) < _LEAST_PAIRS:
            return None
        counts, edges = np.histogram(r, bins=np.arange(0, reach + 1e-9, 0.01))
        middle = (edges[1:] + edges[:-1]) / 2
        density = np.convolve(counts / middle**2, [0.25, 0.5, 0.25], mode="same")[:-1]
        # two molecules seldom meet at less than 0.1 nm, and r^-2 makes a peak of one that did by
        # mistake
        density[middle[: len(density)] < 0.1] = 0
        top = int(np.argmax(density))
        after = density[top:]
        return (
            cls(float(middle[top]), float(middle[top + int(np.argmin(after))]))
            if len(after) > 3
            else None
        )


class _Sums:
    """Sums over the pairs of each frame, for every two kinds of molecules.

    Args:
        windows: by number of the two kinds.
        thermal: kT in kJ/mol.
        n_frames: how many frames will be added.
        n_molecules: in each.
    """

    def __init__(
        self, windows: dict[int, _Window], thermal: float, n_frames: int, n_molecules: int
    ):
        self._numbers = np.array(sorted(windows))
        self._peak = np.array([windows[k].peak for k in self._numbers])
        self._end = np.array([windows[k].end for k in self._numbers])
        self._thermal, self.reach = thermal, float(self._end.max())
        self._work, self._divergence = np.zeros((2, len(windows), n_frames))
        self._squares, self._pairs = np.zeros((2, len(windows)))
        self._own_work, self._own_divergence, self._own_squares, self._net = np.zeros(
            (4, n_molecules)
        )

    def add(
        self,
        frame: int,
        pairs: NDArray[np.int64],
        numbers: NDArray[np.int64],
        vectors: NDArray[np.floating],
        forces: NDArray[np.floating],
    ) -> None:
        """The pairs (n_pairs, 2) of one frame, numbers of their kinds, vectors (n_pairs, 3) nm, and
        the force on each molecule (n_molecules, 3).
        """
        k = np.minimum(np.searchsorted(self._numbers, numbers), len(self._numbers) - 1)
        known = self._numbers[k] == numbers
        k, vectors, pairs = k[known], vectors[known], pairs[known]
        r = np.maximum(np.linalg.norm(vectors, axis=-1), 1e-12)
        pulls = [(forces[end] * vectors).sum(-1) / r for end in pairs.T]
        along = (pulls[1] - pulls[0]) / 2
        out, width = r - self._peak[k], (self._end - self._peak)[k]
        s = np.clip(out / width, 0, 1)
        w, slope = (1 - s**2) ** 2, -4 * s * (1 - s**2) / width
        own, spread = out * w * along, w + out * slope + 2 * out * w / r
        total = lambda x: np.bincount(k, x, len(self._numbers))  # noqa: E731
        self._work[:, frame], self._divergence[:, frame] = total(own), total(spread)
        self._squares += total((own + self._thermal * spread) ** 2)
        self._pairs += total(np.ones(len(k)))
        self._add_own(pairs, [-out * w * pulls[0], out * w * pulls[1]], spread)
        self._net += (forces**2).sum(-1)

    def _add_own(
        self,
        pairs: NDArray[np.int64],
        works: list[NDArray[np.float64]],
        spread: NDArray[np.float64],
    ) -> None:
        """One frame of single molecules: v . F of either end of each pair, and div v."""
        n = len(self._net)
        work = sum(np.bincount(end, own, n) for end, own in zip(pairs.T, works))
        divergence = sum(np.bincount(end, spread, n) for end in pairs.T)
        self._own_work += work
        self._own_divergence += divergence
        self._own_squares += (work + self._thermal * divergence) ** 2

    def own(self, species: NDArray[np.int64]) -> Own:
        """Of every molecule; `species` is the kind of each."""
        n = self._work.shape[1]
        noise = np.sqrt(self._own_squares) / n
        return Own(species, self._own_work / n, self._own_divergence / n, noise, self._net / n)

    def terms(self) -> list[Terms]:
        """Of every two kinds."""
        noise = np.sqrt(self._squares / np.maximum(self._pairs, 1))
        mean = self._pairs / self._work.shape[1]
        return [Terms(*t) for t in zip(self._work, self._divergence, noise.tolist(), mean.tolist())]


def _kinds(types: tuple[str, ...], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n_pairs,) number of the unordered pair of types."""
    names = ["-".join(sorted((types[i], types[j]))) for i, j in pairs.tolist()]
    return np.unique(names, return_inverse=True)[1]
