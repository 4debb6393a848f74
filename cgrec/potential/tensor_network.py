"""`TensorNetwork`: equivariant message passing with tensor features, for those who have a GPU and put
accuracy before speed.

`DensityNetwork` hands scalars from layer to layer. Here sites hand on vectors and tensors, too: what
comes from a neighbour is its tensor features coupled to the harmonics of the way to it (S. Batzner et
al., Nat. Commun. 13, 2453 (2022)), and sums of such messages are multiplied up to three times before
the next layer (the atomic cluster expansion with messages: I. Batatia et al., Adv. Neural Inf.
Process. Syst. 35, 11423 (2022)). All tensor products are e3nn's.

Energies are SO(3) invariant, not O(3), as those of `DensityNetwork`: every tensor is declared even,
so products such as (1, 1, 1) are there, by which the network tells an L from a D amino acid.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from e3nn import o3
from torch import Tensor, nn

from ..frames import Frames
from ..ranges import expect, expect_reach
from .base import Config, Potential
from .graph import SiteGraph
from .network import fitting, smooth_cutoff

#: Hidden width of the function that gives each pair its weights.
RADIAL_WIDTH = 32


class TensorNetwork(Potential):
    """Equivariant message-passing network potential with tensor features.

    Args:
        types: site types of all the systems it is to serve.
        cutoff: nm; energies are smooth there to the second derivative.
        channels: tensors of each degree a site has.
        l_max: highest degree of harmonics and tensors, 1 to 3.
        n_radial: Bessel functions per pair.
        n_layers: rounds of messages.
        width: hidden width of the readouts.
        neighbours: typical number of neighbours, for normalisation only.
        energy_scale: kJ/mol that an output of one stands for.
        seed: of the initial weights.
    """

    layers: Sequence[TensorLayer]  # a ModuleList
    frequencies: Tensor

    def __init__(
        self,
        *,
        types: Sequence[str],
        cutoff: float,
        channels: int = 16,
        l_max: int = 2,
        n_radial: int = 8,
        n_layers: int = 2,
        width: int = 32,
        neighbours: float = 12.0,
        energy_scale: float = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            types=types,
            cutoff=cutoff,
            channels=channels,
            l_max=l_max,
            n_radial=n_radial,
            n_layers=n_layers,
            width=width,
            neighbours=neighbours,
            energy_scale=energy_scale,
            seed=seed,
        )
        expect("TensorNetwork", above=0, cutoff=cutoff)
        expect_reach("TensorNetwork", cutoff=cutoff)
        expect("TensorNetwork", at_least=1, at_most=3, l_max=l_max)
        expect("TensorNetwork", at_least=1, channels=channels, n_radial=n_radial)
        expect("TensorNetwork", at_least=1, n_layers=n_layers, width=width)
        self.neighbours = neighbours
        self.energy_scale = energy_scale
        harmonics = o3.Irreps([(1, (degree, 1)) for degree in range(l_max + 1)])
        hidden = o3.Irreps([(channels, (degree, 1)) for degree in range(l_max + 1)])
        scalars = o3.Irreps([(channels, (0, 1))])
        sizes = {"n_types": len(self.types), "n_radial": n_radial, "width": width}
        with _exact(seed):
            self.embedding = nn.Parameter(torch.randn(len(self.types), channels))
            layers = [
                TensorLayer(hidden if k else scalars, harmonics, hidden, **sizes)
                for k in range(n_layers)
            ]
        self.add_module("layers", nn.ModuleList(layers))
        self.to(torch.get_default_dtype())
        self.degrees = list(range(l_max + 1))
        self.register_buffer(
            "frequencies",
            torch.arange(1, n_radial + 1, dtype=torch.float64) * math.pi,
        )

    def __reduce__(self) -> tuple[object, ...]:
        """Copied and pickled as it is saved: a copy of e3nn's modules has buffers of other names."""
        return Potential.from_state, (self.to_state(),)

    @classmethod
    def shapes(cls, config: Config) -> dict[str, tuple[int | None, ...]]:
        sizes = [config.get(n, 1) for n in ("channels", "width", "n_layers", "l_max", "n_radial")]
        if not all(isinstance(n, int) and 0 < n < 10_000 for n in sizes):
            raise ValueError(f"TensorNetwork: expected sizes of 1 to 10,000, found {config}")
        return {"embedding": (len(config.get("types", ())), config.get("channels", 16))}

    @classmethod
    def for_frames(
        cls,
        frames: Frames,
        seed: int = 0,
        *,
        cutoff: float,
        channels: int = 16,
        l_max: int = 2,
        n_radial: int = 8,
        n_layers: int = 2,
        width: int = 32,
    ) -> TensorNetwork:
        """An untrained network for the types of `frames`, its output scaled to the size of their
        forces over 0.05 nm.
        """
        return cls(
            **fitting(frames),
            cutoff=cutoff,
            channels=channels,
            l_max=l_max,
            n_radial=n_radial,
            n_layers=n_layers,
            width=width,
            seed=seed,
        )

    def energy(self, graph: SiteGraph) -> Tensor:
        own = self._sites(graph)[0].double() * self.energy_scale
        return graph.per_frame(own).sum(1)

    def descriptors(self, graph: SiteGraph) -> Tensor:
        """(n_frames * n_sites, channels) rotation invariant description of each site's
        surroundings (first layer).
        """
        return self._sites(graph)[1]

    def _sites(self, graph: SiteGraph) -> tuple[Tensor, Tensor]:
        receivers, senders, radial, harmonics = self._pairs(graph)
        state, energies, described = self.embedding[graph.species], [], None
        for layer in self.layers:
            state, own = layer(state, graph.species, receivers, senders, radial, harmonics)
            energies.append(own)
            described = layer.scalars(state) if described is None else described
        return torch.stack(energies).sum(0), described  # type: ignore[return-value]

    def _pairs(self, graph: SiteGraph) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(n_pairs,) receivers and senders, (n_pairs, n_radial) Bessel functions under a smooth
        envelope, (n_pairs, (l_max + 1)^2) harmonics.
        """
        vectors = graph.neighbour_vectors().to(self.embedding.dtype).flatten(0, 1)
        senders, slots = graph.neighbour_index.flatten(), graph.neighbour_index.shape[1]
        receivers = torch.arange(len(graph.species), device=senders.device)
        receivers = receivers.repeat_interleave(slots)
        if vectors.device.type == "cpu":  # elsewhere shapes must not depend on positions
            near = (vectors.detach().norm(dim=-1) < self.cutoff).nonzero()[:, 0]
            vectors, senders, receivers = vectors[near], senders[near], receivers[near]
        r = vectors.norm(dim=-1, keepdim=True)
        x = r / self.cutoff
        bessel = torch.sin(x * self.frequencies.to(x.dtype)) / x
        envelope = smooth_cutoff(x) / math.sqrt(self.neighbours)
        harmonics = o3.spherical_harmonics(
            self.degrees, vectors / r, normalize=False, normalization="component"
        )
        # the envelope stands at the harmonics: a bias in the weights of pairs must not outlive it
        return receivers, senders, bessel, harmonics * envelope


class TensorLayer(nn.Module):
    """Messages -> products of one, two and three of their sums -> (new tensors, site energy).

    Args:
        given: irreps of the state that comes in.
        harmonics: those of pairs.
        hidden: irreps of the state that goes out, with one number of channels.
        n_types, n_radial, width: as in `TensorNetwork`.
    """

    def __init__(
        self,
        given: o3.Irreps,
        harmonics: o3.Irreps,
        hidden: o3.Irreps,
        *,
        n_types: int,
        n_radial: int,
        width: int,
    ) -> None:
        super().__init__()
        self.n_types = n_types
        self.channels = hidden[0].mul
        self.messages = _messages(given, harmonics, hidden)
        self.weights = nn.Sequential(
            nn.Linear(n_radial, RADIAL_WIDTH),
            nn.SiLU(),
            nn.Linear(RADIAL_WIDTH, self.messages.weight_numel, bias=False),
        )
        self.mix = o3.Linear(self.messages.irreps_out, hidden)
        self.square = _channelwise(hidden)
        self.cube = _channelwise(hidden)
        types = o3.Irreps([(n_types, (0, 1))])
        self.update = nn.ModuleList(
            o3.FullyConnectedTensorProduct(part, types, hidden)
            for part in (given, hidden, hidden, hidden)
        )
        last = nn.Linear(width, 1, bias=False)
        # Small at first: training starts from the priors, not from a random potential.
        last.weight.data *= 0.1
        self.readout = nn.Sequential(nn.Linear(self.channels, width), nn.SiLU(), last)

    def forward(
        self,
        state: Tensor,
        species: Tensor,
        receivers: Tensor,
        senders: Tensor,
        radial: Tensor,
        harmonics: Tensor,
    ) -> tuple[Tensor, Tensor]:
        pairs = self.messages(state[senders], harmonics, self.weights(radial))
        summed = pairs.new_zeros(len(state), pairs.shape[1]).index_add(0, receivers, pairs)
        once = self.mix(summed)
        twice = self.square(once, once)
        thrice = self.cube(twice, once)
        kinds = nn.functional.one_hot(species, self.n_types).to(state.dtype)
        parts = (state, once, twice, thrice)
        state = torch.stack([up(part, kinds) for up, part in zip(self.update, parts)]).sum(0)
        return state, self.readout(self.scalars(state))[:, 0]

    def scalars(self, state: Tensor) -> Tensor:
        """(n_sites, channels) of a state that `forward` gives."""
        return state[:, : self.channels]


@contextmanager
def _exact(seed: int) -> Iterator[None]:
    """e3nn draws weights from the global generator, and makes its coupling coefficients in the default
    precision: in float32 a molecule would turn itself by a ten-billionth.
    """
    usual = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_default_dtype(torch.float64)
        try:
            yield
        finally:
            torch.set_default_dtype(usual)


def _messages(given: o3.Irreps, harmonics: o3.Irreps, hidden: o3.Irreps) -> o3.TensorProduct:
    """Every tensor of a neighbour with every harmonic, coupled to all degrees of `hidden`; a pair
    brings the weights.
    """
    out: list[tuple[int, o3.Irrep]] = []
    paths = []
    for i, (channels, one) in enumerate(given):
        for j, (_, two) in enumerate(harmonics):
            for made in one * two:
                if made in hidden:
                    paths.append((i, j, len(out), "uvu", True))
                    out.append((channels, made))
    return o3.TensorProduct(
        given,
        harmonics,
        o3.Irreps(out),
        paths,
        internal_weights=False,
        shared_weights=False,
    )


def _channelwise(hidden: o3.Irreps) -> o3.TensorProduct:
    """Products of two tensors of the same channel, coupled to all degrees of `hidden`."""
    paths = [
        (i, j, k, "uuu", True)
        for i, (_, one) in enumerate(hidden)
        for j, (_, two) in enumerate(hidden)
        for k, (_, made) in enumerate(hidden)
        if made in one * two
    ]
    return o3.TensorProduct(hidden, hidden, hidden, paths)
