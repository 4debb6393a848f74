"""How many independent surroundings the molecules of a liquid have had: what N_eff of a variable is to a
molecule alone.

Of 40, 200 and 800 ps of 4 M NaCl in SPC/E (38 ions of each kind) they are 24, 50 and 209, of 240 frames of
64 ab initio waters 545.
"""

from __future__ import annotations

from collections import Counter
from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..cell import minimum_image
from ..frames import Frames
from ..statistics.errors import worth
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
        renewed: how many of them a molecule has had in a run; below one it still knows where it began.
    """

    independent: float
    renewed: float


def surroundings(frames: Frames) -> dict[str, Surroundings]:
    """{"CL about NA": `Surroundings`} of the molecules in a periodic box.

    A surrounding is the mean distance from a molecule to the four nearest of a kind (all, where there
    are fewer). All molecules of a kind have one mean, so those that never leave theirs show as
    correlation that does not decay. What N_eff is to a variable (`cgrec.statistics.errors.worth`), this is to
    g(r): 64 molecules that renewed their surroundings ten times are 640. That molecules know of each other
    is left out.

    Of two kinds the rarer stands in the middle. Empty without a box, and for one molecule. A molecule
    is where its heaviest site is. Of many molecules and frames a share is looked at, at even distances.
    """
    if frames.box is None or not frames.system.molecules.any():
        return {}
    frames = frames[counted_once(frames)]
    kinds = _kinds(frames.system)
    found = {}
    for a, b in combinations_with_replacement(kinds, 2):
        middle, around = sorted((a, b), key=lambda name: len(kinds[name]))
        if a != b or len(kinds[a]) > 1:
            found[f"{around} about {middle}"] = _of_two(frames, kinds[middle], kinds[around])
    return found


def _kinds(system: System) -> dict[str, Sites]:
    """{name: a site of each molecule}, of the commonest kinds; named by the type of that site."""
    kinds: dict[tuple[str, ...], list[int]] = {}
    for sites in system.molecule_sites():
        types = tuple(system.types[i] for i in sites)
        kinds.setdefault(types, []).append(int(sites[np.argmax(system.masses[sites])]))
    most = sorted(kinds.values(), key=len, reverse=True)[:_KINDS]
    names = [system.types[sites[0]] for sites in most]
    twice = Counter(names)
    return {
        name if twice[name] == 1 else f"{name} ({k + 1})": np.array(sites)
        for k, (name, sites) in enumerate(zip(names, most, strict=True))
    }


def _of_two(frames: Frames, middle: Sites, around: Sites) -> Surroundings:
    labels = np.zeros(len(frames), np.int64) if frames.replicas is None else frames.replicas
    runs = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    least = min(len(frames), _FRAMES * len(runs))
    some = _evenly(middle, int(np.clip(_DISTANCES // (least * len(around)), _LEAST, _MOST)))
    kept = max(least, _DISTANCES // (len(some) * len(around)))
    every = max(1, len(frames) // kept)
    frames = frames[np.concatenate([run[::every] for run in runs])]
    boxes = np.broadcast_to(np.asarray(frames.box, float), (len(frames), 3, 3))
    means = np.array(
        [
            _nearest(np.asarray(x, float), some, around, its)
            for x, its in zip(frames.positions, boxes, strict=True)
        ]
    )  # (n_frames, n_some)
    n = len(some)
    of_run = np.repeat(np.arange(len(runs)), [len(run[::every]) for run in runs])
    molecules = of_run[:, None] * n + np.arange(n)  # each in each run
    weights = np.repeat(frames.normalised_weights() / n, n)
    a_molecule = worth(means.reshape(-1, 1), weights, molecules.ravel()) / n
    return Surroundings(len(middle) * a_molecule, a_molecule / len(runs))


def _evenly(sites: Sites, most: int) -> Sites:
    return sites[np.linspace(0, len(sites) - 1, min(most, len(sites))).astype(int)]


def _nearest(
    x: NDArray[np.float64], middle: Sites, around: Sites, box: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n_middle,) nm, mean distance to the nearest others."""
    r = np.linalg.norm(minimum_image(x[around] - x[middle][:, None], box), axis=-1)
    r[middle[:, None] == around] = np.inf
    others = len(around) - (middle[0] in around)
    few = min(NEAREST, others)
    return np.partition(r, few - 1, axis=1)[:, :few].mean(1)
