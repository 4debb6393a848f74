"""Is a sample what its number of frames says? Frames that are there twice, and an order of time
that was destroyed.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ..cell import minimum_image
from ..frames import Frames, taken

#: Pairs of sites whose distances tell frames apart, nm to which distances of a repeated frame may
#: differ by rounding of files (three decimals of nm), and that tolerance as a share of what
#: distances vary by.
_PAIRS, _ROUNDING, _SHARE = 12, 2e-3, 0.02
#: Frames from which on the order of time can be judged.
_LEAST = 100


def repeated_frames(
    frames: Frames, distances: NDArray[np.float64] | None = None
) -> NDArray[np.int64]:
    """(n_frames,) number of the first frame that each frame repeats; its own number where it is
    new.

    A frame is repeated where the distances of its sites are those of an earlier one to the rounding
    of files, so that copies that were shifted, turned or written with fewer digits are found.
    Frames that follow each other count as repeated only where they are equal to the last bit: a
    slow trajectory moves less than the rounding. Where frames this close are what the density of
    the sample lets expect (few degrees of freedom), only equal ones count.
    """
    features = _distances(frames) if distances is None else distances
    if frames.n_sites > 1 and features.std(0).max() < _ROUNDING:  # rigid: turned frames are others
        features = _vectors(frames).reshape(len(frames), -1)
    n = len(features)
    first = np.unique(features, axis=0, return_index=True, return_inverse=True)
    equal = first[1][first[2].reshape(-1)]
    spread = features.std(0)
    if n < 3 or not (spread > 0).any():
        return equal
    tolerance = min(_ROUNDING, _SHARE * float(np.median(spread[spread > 0])))
    from scipy.spatial import cKDTree

    new = np.flatnonzero(equal == np.arange(n))
    tree = cKDTree(features[new])
    # each pair is counted in both orders, and each frame with itself
    counted = tree.count_neighbors(tree, tolerance * np.array([1.0, 4.0]), p=np.inf) - len(new)
    n_near, n_far = int(counted[0]) // 2, int(counted[1])
    # of a smooth density, a cube four times as wide holds at least four times as many pairs
    if not n_near or 4 * n_near < n_far:
        return equal
    near = tree.query_pairs(tolerance, p=np.inf, output_type="ndarray")
    found = equal.copy()
    for a, b in np.sort(new[near], axis=1):
        if b - a > 1:
            found[b] = min(found[b], found[a])
    return found[found] if (found[found] != found).any() else found[equal]


def _distances(frames: Frames) -> NDArray[np.float64]:
    """(n_frames, n) nm, distances between pairs of sites drawn once and for all; the coordinates of
    one site alone.
    """
    if frames.n_sites == 1:
        return np.asarray(frames.positions[:, 0], float)
    return np.asarray(np.linalg.norm(_vectors(frames), axis=-1))


def _vectors(frames: Frames) -> NDArray[np.float64]:
    """(n_frames, n_pairs, 3) nm, shortest images of the vectors between those pairs."""
    rng = np.random.default_rng(0)
    i = rng.integers(frames.n_sites, size=_PAIRS)
    j = (i + rng.integers(1, frames.n_sites, size=_PAIRS)) % frames.n_sites
    # by portions, whose memory is given back: positions may be larger than the memory
    places = np.asarray(
        taken(frames.positions, np.arange(len(frames)), np.concatenate([i, j])), float
    )
    vectors = places[:, _PAIRS:] - places[:, :_PAIRS]
    boxes = frames.boxes()
    if boxes is not None:
        vectors = minimum_image(vectors, boxes)
    return vectors


_KNOWN: WeakKeyDictionary[Frames, NDArray[np.int64]] = WeakKeyDictionary()


def originals(frames: Frames, distances: NDArray[np.float64] | None = None) -> NDArray[np.int64]:
    """`repeated_frames`, found once per Frames."""
    if frames not in _KNOWN:
        _KNOWN[frames] = repeated_frames(frames, distances)
    return _KNOWN[frames]


def counted_once(frames: Frames) -> NDArray[np.int64]:
    """Numbers of the frames that are no repetition of an earlier one, in order.

    Equal frames that follow each other stay: a Monte Carlo chain that rejects repeats itself with
    good reason, and autocorrelation sees it.
    """
    original = originals(frames)
    again = original != np.arange(len(original))
    again[1:] &= original[1:] != original[:-1]
    return np.flatnonzero(~again)


def blocks_of(frames: Frames, n_blocks: int) -> list[NDArray[np.int64]]:
    """Frame numbers of blocks as `Frames.block_indices` cuts them, with every frame that repeats an
    earlier one in the block of that: a frame and its copy are never in two. Where fewer frames than
    blocks are new, copies are not heeded: nothing moves.

    Raises:
        ValueError: fewer frames than blocks.
    """
    original = originals(frames)
    new = np.flatnonzero(original == np.arange(len(original)))
    if len(new) == len(original) or len(new) < n_blocks:
        return frames.block_indices(n_blocks)
    number = np.empty(len(original), np.int64)
    for k, index in enumerate(frames[new].block_indices(n_blocks)):
        number[new[index]] = k
    number = number[original]
    return [np.flatnonzero(number == k) for k in range(number.max() + 1)]


def order_is_lost(frames: Frames, distances: NDArray[np.float64] | None = None) -> bool:
    """Whether frames that follow each other are no more alike than any two: no distance between
    sites has an autocorrelation at lag one that could not be chance (4 / sqrt(n)).

    So are shuffled trajectories, and frames so far apart in time that they are independent.
    """
    x = _distances(frames) if distances is None else distances
    n = len(x)
    replicas = np.zeros(n, int) if frames.replicas is None else frames.replicas
    follows = replicas[1:] == replicas[:-1]
    if follows.sum() < _LEAST:
        return False
    z = (x - x.mean(0)) / np.maximum(x.std(0), 1e-300)
    return bool(np.max((z[1:] * z[:-1])[follows].mean(0)) < 4 / np.sqrt(follows.sum()))


def check_sample(frames: Frames) -> tuple[dict[str, object], str]:
    """What is to be kept, and said, about repeats and the order of time; ({}, "") where there is
    nothing.
    """
    distances = _distances(frames)  # once: a long trajectory is read from the disk for them
    original = originals(frames, distances)
    again = np.flatnonzero(original != np.arange(len(original)))
    found: dict[str, object] = {}
    said = []
    if len(again):
        share = len(again) / len(frames)
        found["repeated"] = {
            "n": len(again),
            "first": int(again[0]),
            "repeats": int(original[again[0]]),
        }
        said.append(
            f"{len(again)} of {len(frames)} frames ({share:.1%}) repeat earlier ones, "
            f"{_kind(original, again)}: "
            f"the first is frame {again[0]}, which repeats frame {original[again[0]]}; copies "
            "stay together in "
            "blocks and in what is held out"
        )
    if order_is_lost(frames, distances):
        found["order_of_time"] = "lost, or frames are independent"
        said.append(
            "frames that follow each other are no more alike than any two. That is right where "
            "they were drawn "
            "independently or lie far apart in time; where their order of time was lost "
            "(shuffled), effective "
            "sample sizes are upper and all errors lower bounds"
        )
    return found, "; ".join(said)


def _kind(original: NDArray[np.int64], again: NDArray[np.int64]) -> str:
    """How frames `again` repeat others, and how they count."""
    if (original[again] == original[again - 1]).mean() > 0.5:
        return (
            "most the one just before them, as of rejected Monte Carlo moves or a run that stood "
            "still"
        )
    back = again - original[again]
    in_runs = int((np.diff(back) == 0).sum()) + 1 > len(again) / 2
    kind = (
        "in runs, as of a file read twice or of restarts that overlap" if in_runs else "scattered"
    )
    return f"{kind}, and count once in effective sample sizes"
