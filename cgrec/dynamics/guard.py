"""Extrapolation guards: is a replica still where the potential was trained?"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import geometry
from ..frames import Frames
from ..potential import Committee, EnergyEntropy, summands
from ..potential.base import Potential
from ..potential.graph import SiteGraph
from ..remarks import remark
from ..roles import DescribesSites
from .tails import Tail

#: Sites of one portion of frames: 40 MB of descriptors.
PORTION = 20_000
#: Sites of all frames together that a guard is fitted to; more only repeat what is known.
MOST_SITES = 400_000
#: Sites from which a compiled network pays.
COMPILED_FROM = 20_000
#: Samples of a type for each direction that is compared: in more, a distance is noise.
SAMPLES_A_DIRECTION = 20
#: Variance below which a direction counts as constant: relative to the strongest of its type, and
#: to descriptors as such.
WEAKEST, CONSTANT = 1e-6, 1e-3
#: Strongest directions of each type that are compared: a choice. In weaker ones a distance is noise.
COMPONENTS = 24
#: Looks per ns where nobody says how often a run is looked at: a frame every 0.1 ps, the default.
LOOKS = 10_000.0
#: Replicas stopped for nothing, per replica and ns: a choice, of one in a hundred that run for 1 ns.
FALSE_ALARMS = 0.01
#: Blocks of consecutive frames that halves of the sample are made of, in turn: many, so that each
#: half sees all times, and still long, for frames that follow each other are alike.
BLOCKS = 20
#: By how much a bound lies above the largest distance of the sample at least: every other sample of
#: its size has a larger one.
ABOVE_LARGEST = 1.1
#: nm: deviation of a bond that is never worth a stop.
BOND_NOISE = 1e-3
#: How many times the largest distance of the sample a bound may be: a tail known from few frames
#: may say anything.
FURTHEST = 2.5


class Guard(ABC):
    """Says per replica how far out it is; above 1 the replica is stopped."""

    @abstractmethod
    def score(self, graph: SiteGraph) -> Tensor:
        """(n_frames,)."""

    def about(self) -> dict[str, object]:
        """What a report should know of it."""
        return {"guard": type(self).__name__}


class _Network(DescribesSites, Protocol):
    """What a guard asks of a network: a Potential that describes its sites."""

    types: tuple[str, ...]

    @property
    def device(self) -> torch.device: ...

    def graph(self, frames: Frames, skin: float = 0.0) -> SiteGraph: ...

    def compiled(self) -> Potential: ...


class CommitteeGuard(Guard):
    """Spread of a committee's forces over the largest one allowed.

    Args:
        committee: members trained from different seeds.
        threshold: kJ/mol/nm.
    """

    def __init__(self, committee: Committee, threshold: float) -> None:
        self.committee = committee
        self.threshold = threshold

    def score(self, graph: SiteGraph) -> Tensor:
        return self.committee.force_spread(graph) / self.threshold


class FeatureGuard(Guard):
    """Mahalanobis distance of each site's descriptor from those of its type in training, over the
    largest to be expected.

    What is expected is set by a rate of false alarms, per replica and ns, whatever the number of
    sites: each of the looks at each site may be beyond its bound with probability rate / (looks per
    ns x sites). The bound is the value the tail of the training distances reaches so seldom
    (`Tail`). Those distances are of frames that the metric was not made from: it is made twice,
    each time from every other block of the sample.

    The length of every bond is watched in the same way: a site that has left all others sees
    nothing, and nothing can lie nearer to the mean descriptor than much of the training set does.

    Args:
        network: whose descriptors are used.
        mean: (n_types, n_features) of the descriptors.
        whiten: (n_types, n_features, n_kept) matrix that makes their spread one.
        tails: of the squared distance, by type.
        bonds: (n_bonds, 2) sites of `n_sites`.
        lengths: nm, (n_bonds,) mean.
        spread: nm, (n_bonds,) of the lengths.
        stretch: tail of the squared deviation of a bond over its spread.
        n_sites: of the System the bonds belong to; copies of it are served too.
        looks: per ns.
        false_alarms: per replica and ns.
    """

    def __init__(
        self,
        network: DescribesSites,
        mean: Tensor,
        whiten: Tensor,
        tails: list[Tail],
        bonds: Tensor,
        lengths: Tensor,
        spread: Tensor,
        stretch: Tail | None,
        *,
        n_sites: int,
        looks: float,
        false_alarms: float,
    ) -> None:
        self.network = network
        self.mean = mean
        self.whiten = whiten
        self.tails = tails
        self.bonds = bonds
        self.lengths = lengths
        self.spread = spread
        self.stretch = stretch
        self.n_sites = n_sites
        self.looks = looks
        self.false_alarms = false_alarms
        self._bounds: dict[int, tuple[Tensor, float]] = {}

    @torch.no_grad()
    def of_sites(self, graph: SiteGraph) -> Tensor:
        """(n_frames, n_sites) how far out each site is; above 1 it lies outside."""
        reach, _ = self.bounds(graph.sites_per_frame)
        square = _squares(self.network.descriptors(graph), graph.species, self.mean, self.whiten)
        return graph.per_frame((square / reach[graph.species]).sqrt())

    @torch.no_grad()
    def score(self, graph: SiteGraph) -> Tensor:
        _, stretch = self.bounds(graph.sites_per_frame)
        score = self.of_sites(graph).amax(1)
        if self.stretch is not None:
            positions = graph.per_frame(graph.positions).unflatten(1, (-1, self.n_sites))
            deviation = (geometry.distance(positions, self.bonds) - self.lengths) / self.spread
            score = torch.maximum(score, deviation.abs().flatten(1).amax(1) / stretch)
        return score

    def bounds(self, sites: int) -> tuple[Tensor, float]:
        """(n_types,) largest squared distance, and largest deviation of a bond over its spread, in
        a system of `sites`.
        """
        if sites not in self._bounds:
            tests = sites + len(self.bonds) * sites / self.n_sites
            chance = self.false_alarms / (self.looks * tests)
            reach = torch.tensor([_bound(tail, chance) for tail in self.tails], dtype=torch.float64)
            stretch = 1.0 if self.stretch is None else _bound(self.stretch, chance) ** 0.5
            self._bounds[sites] = reach.to(self.mean.device), stretch
        return self._bounds[sites]

    def about(self) -> dict[str, object]:
        return {
            "guard": type(self).__name__,
            "false_alarms_per_replica_and_ns": self.false_alarms,
            "looks_per_ns": self.looks,
        }

    @classmethod
    def fit(
        cls,
        potential: Potential,
        frames: Frames,
        *,
        looks: float = LOOKS,
        false_alarms: float = FALSE_ALARMS,
        components: int = COMPONENTS,
        most_sites: int = MOST_SITES,
    ) -> FeatureGuard:
        """The guard of `potential` (a network, or a sum with one) trained on `frames`.

        Args:
            looks: per ns, at which `score` is asked for.
            false_alarms: replicas stopped for nothing, per replica and ns, in a run that is right.
            components: strongest directions of each type that are compared: in weaker ones a
                distance is noise.
            most_sites: of all frames together; frames are left out evenly.
        """
        network = find_network(potential)
        if network is None:
            raise TypeError(
                "FeatureGuard: expected a network that describes its sites or a sum with one, "
                f"found {type(potential).__name__}"
            )
        which = np.unique(
            np.linspace(0, len(frames) - 1, max(1, most_sites // frames.n_sites)).astype(int)
        )
        blocks = np.array_split(which, min(BLOCKS, len(which)))
        halves = [frames[np.concatenate(blocks[k::2])] for k in range(min(2, len(blocks)))]
        describe = _fast(network, len(which) * frames.n_sites)
        moments = [_Moments.of(describe, network, half) for half in halves]
        mean, whiten = sum(moments[1:], moments[0]).metric(components)
        tails = _tails(describe, network, halves, moments[::-1], components)
        bonds = torch.as_tensor(np.array(frames.system.bonds, dtype=int).reshape(-1, 2))
        lengths, spread, stretch = _bond_tail(frames[which], bonds)
        device = network.device
        return cls(
            describe,
            mean.to(device),
            whiten.to(device),
            tails,
            bonds.to(device),
            lengths.to(device),
            spread.to(device),
            stretch,
            n_sites=frames.n_sites,
            looks=looks,
            false_alarms=false_alarms,
        )


class _Moments:
    """Number, sum and sum of products of descriptors by type, added up over portions of frames."""

    def __init__(self, number: Tensor, total: Tensor, products: Tensor) -> None:
        self.number = number
        self.total = total
        self.products = products

    def __add__(self, other: _Moments) -> _Moments:
        return _Moments(
            self.number + other.number, self.total + other.total, self.products + other.products
        )

    @classmethod
    def of(cls, describe: DescribesSites, network: _Network, frames: Frames) -> _Moments:
        """Of all sites of `frames`."""
        found: _Moments | None = None
        n_types = len(network.types)
        for graph in _graphs(network, frames):
            with torch.no_grad():
                x = describe.descriptors(graph).double()
            kinds = [x[graph.species == k] for k in range(n_types)]
            one = cls(
                torch.tensor(
                    [float(len(own)) for own in kinds], dtype=torch.float64, device=x.device
                ),
                torch.stack([own.sum(0) for own in kinds]),
                torch.stack([own.T @ own for own in kinds]),
            )
            found = one if found is None else found + one
        assert found is not None
        return found

    def metric(self, components: int) -> tuple[Tensor, Tensor]:
        """(n_types, n_features) mean and (n_types, n_features, components) whitening of the
        strongest directions.
        """
        number = self.number.clamp_min(1)[:, None]
        mean = self.total / number
        size = (
            float(self.products.diagonal(dim1=1, dim2=2).sum() / self.number.sum()) / mean.shape[1]
        )
        whiten = mean.new_zeros(*mean.shape, min(components, mean.shape[1]))
        for kind, count in enumerate(self.number.tolist()):
            if count == 0:
                continue
            covariance = self.products[kind] / count - torch.outer(mean[kind], mean[kind])
            values, vectors = torch.linalg.eigh(covariance)
            kept = int(np.clip(count // SAMPLES_A_DIRECTION, 1, whiten.shape[2]))
            weakest = max(WEAKEST * float(values[-1]), CONSTANT * size, 1e-30)
            whiten[kind, :, :kept] = vectors[:, -kept:] / values[-kept:].clamp_min(weakest).sqrt()
        return mean, whiten


def _tails(
    describe: DescribesSites,
    network: _Network,
    halves: list[Frames],
    moments: list[_Moments],
    components: int,
) -> list[Tail]:
    """Tail of the squared distance by type, each half judged by the metric of `moments`: those of
    the other.
    """
    squares: list[list[NDArray[np.float64]]] = [[] for _ in network.types]
    for half, other in zip(halves, moments):
        mean, whiten = other.metric(components)
        for graph in _graphs(network, half):
            with torch.no_grad():
                found = _squares(describe.descriptors(graph), graph.species, mean, whiten)
            for kind in graph.species.unique().tolist():
                squares[kind].append(found[graph.species == kind].cpu().numpy())
    return [Tail.of(np.concatenate(s)) if s else Tail(0.0, 1.0, 0.0, 0.0, 0.0) for s in squares]


def _squares(described: Tensor, species: Tensor, mean: Tensor, whiten: Tensor) -> Tensor:
    """(n,) squared distance of each site from the mean of its type, type by type: a whitening for
    each site would be large.
    """
    square = torch.zeros(len(described), dtype=torch.float64, device=described.device)
    for kind in species.unique().tolist():
        own = species == kind
        square[own] = ((described[own].double() - mean[kind]) @ whiten[kind]).square().sum(1)
    return square


def _bond_tail(frames: Frames, bonds: Tensor) -> tuple[Tensor, Tensor, Tail | None]:
    """(n_bonds,) mean length and spread in nm, and the tail of the squared deviation over the
    spread, of all bonds together.
    """
    if not len(bonds):
        none = torch.zeros(0, dtype=torch.float64)
        return none, none, None
    lengths = np.concatenate(
        [
            geometry.distance(np.asarray(part.positions, float), bonds.numpy())
            for part in _parts(frames)
        ]
    )
    mean = lengths.mean(0)
    spread = np.maximum(lengths.std(0), BOND_NOISE)
    tail = Tail.of((((lengths - mean) / spread) ** 2).ravel())
    return torch.from_numpy(mean), torch.from_numpy(spread), tail


def _bound(tail: Tail, chance: float) -> float:
    """What a squared distance may be. At least 1: less than the noise of a constant descriptor
    means nothing.
    """
    return max(
        1.0, ABOVE_LARGEST * tail.largest, min(tail.level(chance), FURTHEST**2 * tail.largest)
    )


def _fast(network: _Network, sites: int) -> DescribesSites:
    """What describes sites: the network's kernel where there is one and it pays, else the network
    itself.
    """
    if sites < COMPILED_FROM or network.device.type != "cpu":
        return network
    compiled = network.compiled()
    return compiled if isinstance(compiled, DescribesSites) else network


def _graphs(network: _Network, frames: Frames) -> Iterator[SiteGraph]:
    yield from (network.graph(part) for part in _parts(frames))


def _parts(frames: Frames) -> Iterator[Frames]:
    step = max(1, PORTION // frames.n_sites)
    yield from (frames[start : start + step] for start in range(0, len(frames), step))


def find_network(potential: Potential) -> _Network | None:
    """The part of a potential that describes its sites; None where there is none."""
    parts = summands(potential)
    candidates = [part.free if isinstance(part, EnergyEntropy) else part for part in parts]
    return next((cast(_Network, c) for c in candidates if isinstance(c, DescribesSites)), None)


def feature_guard(
    potential: Potential, frames: Frames, save_every: float, name: str
) -> FeatureGuard | None:
    """The guard of a run that is looked at every `save_every` ps; None, with a remark, where no
    network describes its sites.

    Args:
        potential: of the run.
        frames: it was trained on.
        save_every: ps.
        name: of the run, for the remark.
    """
    if find_network(potential) is not None:
        return FeatureGuard.fit(potential, frames, looks=1000 / save_every)
    kinds = ", ".join(dict.fromkeys(type(part).__name__ for part in summands(potential)))
    remark(
        f"{name}: nothing watches whether its replicas leave what the potential was trained "
        f"on: none of its parts ({kinds}) "
        "describes its sites (has `descriptors`, see cgrec.roles)"
    )
    return None
