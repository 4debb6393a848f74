"""What a level is compared in: how its chain is stretched, and the slowest of its own dihedrals or
distances.
"""

from __future__ import annotations

import numpy as np

from ..frames import Frames
from ..statistics import statistical_inefficiency
from ..trace import longest_chain
from ..variables import CollectiveVariable

#: Slow variables beside the distance of the ends, and candidates looked at.
SLOW, CANDIDATES = 2, 60
#: Frames looked at: a slow variable shows in few.
FRAMES = 2000


def variables_of(frames: Frames) -> dict[str, list[str]]:
    """{name: sites} for one molecule's level: the ends, and the slowest dihedrals, or distances
    where it has no dihedral.

    Slow is what forgets itself last: the statistical inefficiency of its cosine and sine, or of the
    distance (`cgrec.statistics.statistical_inefficiency`).
    """
    chain = longest_chain(frames.system)
    if len(chain) < 2:
        return {}
    ends = (chain[0], chain[-1])
    found = {"ends": _labels(ends)}
    if len(frames) < 2:
        return found
    some = frames[:: max(1, -(-len(frames) // FRAMES))]
    slow = sorted(_candidates(frames, ends), key=lambda sites: -_slowness(some, sites))
    for k, sites in enumerate(slow[:SLOW], 1):
        found[f"slow{k}"] = _labels(sites)
    return found


def turns_of(frames: Frames) -> dict[str, list[str]]:
    """{name: sites} of the first and the last dihedral of a molecule that nobody has seen move."""
    about = [path for path in _candidates(frames, (0, 0)) if len(path) == 4]
    ends = about[:1] + about[1:][-1:]
    return {f"turn{k}": _labels(sites) for k, sites in enumerate(ends, 1)}


def _candidates(frames: Frames, ends: tuple[int, int]) -> list[tuple[int, ...]]:
    """One dihedral about each bond; without any, distances of sites two or more apart."""
    about: dict[tuple[int, int], tuple[int, ...]] = {}
    for path in frames.system.bonded_paths(4):
        about.setdefault((min(path[1:3]), max(path[1:3])), path)
    if about:
        return list(about.values())[:CANDIDATES]
    n = frames.n_sites
    pairs: list[tuple[int, ...]] = [
        (i, j) for i in range(n) for j in range(i + 2, n) if (i, j) != ends
    ]
    return pairs[:CANDIDATES]


def _slowness(frames: Frames, sites: tuple[int, ...]) -> float:
    variable = CollectiveVariable("candidate", tuple(_labels(sites)))
    values = np.asarray(variable.of(frames), float).reshape(-1, 1)
    series = np.hstack([np.cos(values), np.sin(values)]) if variable.periodic else values
    return statistical_inefficiency(series, frames.replicas)


def _labels(sites: tuple[int, ...]) -> list[str]:
    return [f"#{i}" for i in sites]
