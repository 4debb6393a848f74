"""How many independent surroundings the molecules in a box have had, and how often they changed their
neighbours: what N_eff of a variable is to a molecule alone.

Of 40, 200 and 800 ps of 4 M NaCl in SPC/E (38 ions of each kind) there are 24, 50 and 209 independent
surroundings, of 240 frames of 64 ab initio waters 545. These ions changed their neighbours once in 200 ps and
three times in 800, water (SPC/E, 300 K) once in 14 ps.
"""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..cell import minimum_image
from ..frames import Frames
from ..statistics.errors import inefficiency_of, worth
from ..statistics.sampling import counted_once
from ..system import System

#: Neighbours that are looked at: a first shell of water.
NEAREST = 4
#: Molecules in the middle that are looked at, at most and at least; distances in all; kinds of molecules,
#: the commonest. Of a run this many frames at least, or it could not show that it renews anything often.
_MOST, _LEAST, _DISTANCES, _KINDS, _FRAMES = 100, 8, 10_000_000, 4, 40

Sites = NDArray[np.int64]


class Surroundings(NamedTuple):
    """Of the molecules of one kind among those of another.

    Attributes:
        independent: how many all of them have had, in all runs.
        renewed: how often a molecule changed its neighbours in a run: half of its length over the time
            for which they stay. Of molecules that keep theirs, as in a crystal, it is a half.
    """

    independent: float
    renewed: float


def surroundings(frames: Frames) -> dict[str, Surroundings]:
    """{"CL about NA": `Surroundings`} of the molecules in a periodic box.

    `independent` follows the mean distance from a molecule to the four nearest of a kind (all, where
    there are fewer), about the mean of all molecules of the kind: what N_eff is to a variable
    (`cgrec.statistics.errors.worth`), this is to g(r). 64 molecules with ten each have 640; that molecules
    know of each other is left out. `renewed` is the length of a run over twice the time for which the same
    molecules are the nearest.

    Of two kinds the rarer stands in the middle. Empty without a box, for one molecule, and of pairs of
    molecules that are one distance: a variable. A molecule is where its heaviest site is. Of many
    molecules and frames a share is looked at, at even distances; frames without weight are left out.
    """
    if frames.box is None or not frames.system.molecules.any():
        return {}
    frames = frames[counted_once(frames)]
    frames = frames[np.flatnonzero(frames.normalised_weights() > 0)]
    kinds = _kinds(frames.system)
    found = {}
    for a, b in combinations_with_replacement(kinds, 2):
        middle, around = sorted((a, b), key=lambda name: len(kinds[name]))
        if len(kinds[around]) > (2 if a == b else 1):
            found[f"{around} about {middle}"] = _of_two(frames, kinds[middle], kinds[around])
    return found


def _kinds(system: System) -> dict[str, Sites]:
    """{name: a site of each molecule}, of the commonest kinds; named by the type of that site, with how
    many sites they have where that is no name, with a number where that is none either.
    """
    kinds: dict[tuple[str, ...], list[int]] = {}
    for sites in system.molecule_sites():
        types = tuple(system.types[i] for i in sites)
        kinds.setdefault(types, []).append(int(sites[np.argmax(system.masses[sites])]))
    most = sorted(kinds.items(), key=lambda kind: len(kind[1]), reverse=True)[:_KINDS]
    short = [system.types[where[0]] for _, where in most]
    sizes = [len(types) for types, _ in most]
    long = [f"{name} of {n} site{'s' * (n > 1)}" for name, n in zip(short, sizes, strict=True)]
    found = {}
    for k, (_, where) in enumerate(most):
        name = short[k] if short.count(short[k]) == 1 else long[k]
        found[name if long.count(name) < 2 else f"{name} ({k + 1})"] = np.array(where)
    return found


def _of_two(frames: Frames, middle: Sites, around: Sites) -> Surroundings:
    labels = np.zeros(len(frames), np.int64) if frames.replicas is None else frames.replicas
    runs = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    least = min(len(frames), _FRAMES * len(runs))
    some = _evenly(middle, int(np.clip(_DISTANCES // (least * len(around)), _LEAST, _MOST)))
    kept = max(least, _DISTANCES // (len(some) * len(around)))
    every = max(1, len(frames) // kept)
    frames = frames[np.concatenate([run[::every] for run in runs])]
    boxes = np.broadcast_to(np.asarray(frames.box, float), (len(frames), 3, 3))
    nearest = [
        _nearest(np.asarray(x, float), some, around, its)
        for x, its in zip(frames.positions, boxes, strict=True)
    ]
    means = np.array([mean for mean, _ in nearest])  # (n_frames, n_some)
    which = np.array([sites for _, sites in nearest])  # (n_frames, n_some, k)
    n, lengths = len(some), [len(run[::every]) for run in runs]
    of_run = np.repeat(np.arange(len(runs)), lengths)
    molecules = of_run[:, None] * n + np.arange(n)  # each in each run
    weights = np.repeat(frames.normalised_weights() / n, n)
    a_molecule = worth(means.reshape(-1, 1), weights, molecules.ravel()) / n
    others, few = len(around) - (middle[0] in around), which.shape[2]
    if few == others:  # which are the nearest says nothing
        return Surroundings(len(middle) * a_molecule, a_molecule / len(runs))
    staying = _kept_by_lag(np.split(which, np.cumsum(lengths)[:-1]))
    g = inefficiency_of(staying - few**2 / others)  # less what chance keeps
    return Surroundings(len(middle) * a_molecule, float(np.mean(lengths)) / g)


def _kept_by_lag(runs: list[Sites]) -> NDArray[np.float64]:
    """(n_lags,) how many of the nearest, (n_frames, n, k) of each run, are the nearest so many frames
    later: the mean over molecules and runs.
    """
    longest = max(map(len, runs))
    total, count = np.zeros(longest), np.zeros(longest)
    for run in runs:
        length, n = run.shape[:2]
        for i in range(n):
            total[:length] += _kept(run[:, i])
        count[:length] += n * (length - np.arange(length))
    return total / count


def _kept(nearest: Sites) -> NDArray[np.float64]:
    """(n,) how many of the nearest (n, k) of a molecule are the nearest as many frames later, added up."""
    n = len(nearest)
    columns, place = np.unique(nearest, return_inverse=True)
    there = np.zeros((n, len(columns)))
    there[np.arange(n)[:, None], place.reshape(nearest.shape)] = 1
    spectrum = np.fft.rfft(there, 2 * n, axis=0)  # zero padding: no wrap-around
    return np.asarray(np.fft.irfft((np.abs(spectrum) ** 2).sum(1), 2 * n)[:n])


def _evenly(sites: Sites, most: int) -> Sites:
    return sites[np.linspace(0, len(sites) - 1, min(most, len(sites))).astype(int)]


def _nearest(
    x: NDArray[np.float64], middle: Sites, around: Sites, box: NDArray[np.float64]
) -> tuple[NDArray[np.float64], Sites]:
    """Mean distance (n_middle,) nm to the nearest others, and which are nearest (n_middle, k): at most
    half of them.
    """
    r = np.linalg.norm(minimum_image(x[around] - x[middle][:, None], box), axis=-1)
    r[middle[:, None] == around] = np.inf
    others = len(around) - (middle[0] in around)
    few, half = min(NEAREST, others), max(1, min(NEAREST, others // 2))
    order = np.argpartition(r, few - 1, axis=1)[:, :few]
    mean = np.take_along_axis(r, order, 1).mean(1)
    return mean, order if half == few else np.argpartition(r, half - 1, axis=1)[:, :half]
