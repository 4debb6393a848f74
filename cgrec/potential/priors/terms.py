"""Bonded terms of a sample: their values in portions of frames, their moments, which are alike."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from ... import geometry
from ...frames import Frames
from ...system import System

#: Numbers of one portion of frames: 50 MB of float64.
PORTION = 6_000_000
#: Frames from which a mean that hardly differs among them is known.
MOST_FRAMES = 200
#: A term's coordinate by its number of sites: nm, rad, 1. They take arrays and tensors alike.
COORDINATES: dict[int, geometry.Formula] = {
    2: geometry.distance,
    3: geometry.angle,
    4: geometry.signed_volume,
}
#: rad: an angle whose mean is beyond it counts as a line. At a line an angle has no direction in
#: which it could be opened.
STRAIGHT = np.radians(165.0)

#: Share of a sample in which an angle that is bent on average stands on a line, from which on that
#: counts: at a line a spring in the angle has a kink, which no function of the cosine takes back.
_ON_LINE = 1e-3


class Alike:
    """Terms a permutation of equal sites turns into each other: they must share their parameters.

    A network sees such sites as one, so it could never undo a difference that only sampling has
    made between them.

    Attributes:
        kinds: (n_terms,) number of each term's kind.
    """

    def __init__(self, system: System, paths: list[tuple[int, ...]]) -> None:
        numbers = np.array(system.equivalent_sites())
        walks = numbers[np.array(paths)]
        # A path and its reverse are one: take the one that is smaller in the order of words.
        turned = walks[:, ::-1]
        differ = walks != turned
        first = np.argmax(differ, axis=1)
        row = np.arange(len(walks))
        smaller = np.where((walks[row, first] <= turned[row, first])[:, None], walks, turned)
        self.kinds: NDArray[np.int64] = np.unique(smaller, axis=0, return_inverse=True)[1].ravel()
        self.number: NDArray[np.int64] = np.bincount(self.kinds)

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n_kinds, ...) sum over the terms of each kind of values (n_terms, ...)."""
        total = np.zeros((len(self.number), *values.shape[1:]))
        np.add.at(total, self.kinds, values)
        return total

    def mean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n_terms,) values (n_terms,), each replaced by the mean over the terms of its kind."""
        return (self.sum(values) / self.number)[self.kinds]


def portions(
    frames: Frames, term: geometry.Formula, paths: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """(weights, values) of `term` over `paths` for portions of the frames: (n,), summing to one
    over all, and (n, n_terms).
    """
    weights = frames.normalised_weights()
    step = max(1, PORTION // (3 * frames.n_sites + 12 * len(paths)))
    for start in range(0, len(frames), step):
        part = slice(start, start + step)
        yield weights[part], term(np.asarray(frames.positions[part], float), paths)


def moments(
    frames: Frames, paths: list[tuple[int, ...]], alike: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n_terms,) mean and variance of the coordinate of each term, shared by those that are
    `alike`.
    """
    sites = np.array(paths)
    coordinate = COORDINATES[sites.shape[1]]
    share = Alike(frames.system, paths).mean if alike else lambda values: values
    mean = np.zeros(len(paths))
    for weights, x in portions(frames, coordinate, sites):
        mean += weights @ x
    mean = share(mean)
    variance = np.zeros(len(paths))
    for weights, x in portions(frames, coordinate, sites):
        variance += weights @ (x - mean) ** 2
    return mean, share(variance)


def inverse_masses(
    frames: Frames, term: geometry.Formula, paths: list[tuple[int, ...]]
) -> NDArray[np.float64]:
    """(n_terms,) mean of sum_i |dx / dr_i|^2 / m_i, shared by those that are alike: a spring k in x
    swings at omega^2 = k times it (E. B. Wilson, J. C. Decius, P. C. Cross, Molecular Vibrations,
    1955, Sec. 4-1).
    """
    sites = np.array(paths)
    some = frames[:: -(-len(frames) // MOST_FRAMES)]
    # each term with sites of its own, or their gradients would add up
    own = torch.from_numpy(np.asarray(some.positions, float)[:, sites]).requires_grad_()
    values = term(own, torch.arange(sites.shape[1])[None])
    (slopes,) = torch.autograd.grad(values.sum(), own)
    squares = slopes.square().sum(-1).mean(0).numpy()
    return Alike(frames.system, paths).mean((squares / frames.system.masses[sites]).sum(-1))


def reaches_line(frames: Frames, paths: list[tuple[int, ...]]) -> NDArray[np.bool_]:
    """(n_terms,) whether each angle, bent on average, comes to stand on a line now and then."""
    mean, on_line = np.zeros((2, len(paths)))
    for weights, x in portions(frames, geometry.angle, np.array(paths)):
        mean += weights @ x
        on_line += weights @ (x > STRAIGHT)
    alike = Alike(frames.system, paths)
    return (alike.mean(mean) <= STRAIGHT) & (alike.mean(on_line) > _ON_LINE)
