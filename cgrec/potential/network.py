"""`DensityNetwork`: the equivariant network every level uses, from the all-atom NNP to the coarsest
PMF.

Each site sees its neighbours as a density expanded in radial functions and spherical harmonics.
Products of up to three densities, coupled to scalars, feed a small MLP per layer (the atomic
cluster expansion: R. Drautz, Phys. Rev. B 99, 014104 (2019)); the scalars of one layer weight the
neighbours of the next (message passing), so a two-layer model of correlation order three sees far
beyond four bodies.

Why this shape: the only work done per pair is a radial table, nine harmonics and one batched matrix
product over the padded neighbours of a site; no (pairs x channels x harmonics) tensor is ever made.
That is what a CPU can afford.

Symmetry: energies are SO(3) invariant, not O(3): the couplings (1,1,1) and (1,2,2) have odd l1 + l2
+ l3 and change sign in a mirror, which is how the network tells an L from a D amino acid.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from e3nn import o3
from numpy.typing import NDArray
from torch import Tensor, nn

from ..frames import Frames
from ..ranges import expect, expect_reach
from .base import Config, Potential
from .couplings import triples
from .graph import SiteGraph


class DensityNetwork(Potential):
    """Equivariant many-body network potential.

    Args:
        types: site types of all the systems it is to serve.
        cutoff: nm; energies are smooth there to the second derivative.
        channels: densities per site and layer.
        l_max: highest spherical harmonic, 1 to 3.
        n_radial: Bessel functions per pair.
        n_layers: 1 is a plain density model, 2 adds message passing.
        width: hidden width of the readout MLPs.
        neighbours: typical number of neighbours, for normalisation only.
        energy_scale: kJ/mol that an output of one stands for.
        seed: of the initial weights.
    """

    site_energy: Tensor
    frequencies: Tensor
    layers: Sequence[DensityLayer]  # a ModuleList

    def __init__(
        self,
        *,
        types: Sequence[str],
        cutoff: float,
        channels: int = 16,
        l_max: int = 2,
        n_radial: int = 8,
        n_layers: int = 1,
        width: int = 64,
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
        expect("DensityNetwork", above=0, cutoff=cutoff)
        expect_reach("DensityNetwork", cutoff=cutoff)
        expect("DensityNetwork", at_least=1, at_most=3, l_max=l_max)
        expect("DensityNetwork", at_least=1, channels=channels, n_radial=n_radial)
        expect("DensityNetwork", at_least=1, n_layers=n_layers, width=width)
        self.l_max = l_max
        self.neighbours = neighbours
        self.energy_scale = energy_scale
        generator = torch.Generator().manual_seed(seed)
        self.embedding = _normal(generator, len(self.types), channels)
        make = lambda: DensityLayer(len(self.types), channels, l_max, n_radial, width, generator)  # noqa: E731
        self.add_module("layers", nn.ModuleList(make() for _ in range(n_layers)))
        self.register_buffer("site_energy", torch.zeros(len(self.types), dtype=torch.float64))
        self.register_buffer(
            "frequencies",
            torch.arange(1, n_radial + 1, dtype=torch.float64) * math.pi,
            persistent=False,
        )

    @classmethod
    def shapes(cls, config: Config) -> dict[str, tuple[int | None, ...]]:
        types, layers = len(config.get("types", ())), config.get("n_layers", 1)
        channels, width = config.get("channels", 16), config.get("width", 64)
        l_max, n_radial = config.get("l_max", 2), config.get("n_radial", 8)
        if not all(
            isinstance(n, int) and 0 < n < 10_000
            for n in (channels, width, layers, l_max, n_radial)
        ):
            raise ValueError(f"DensityNetwork: expected sizes of 1 to 10,000, found {config}")
        found: dict[str, tuple[int | None, ...]] = {"embedding": (types, channels)}
        for k in range(layers):
            found[f"layers.{k}.radial"] = (l_max + 1, n_radial, channels)
            found[f"layers.{k}.mix"] = (types, l_max + 1, channels, None)
            found[f"layers.{k}.second"] = (width, width)
        return found

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
        n_layers: int = 1,
        width: int = 64,
    ) -> DensityNetwork:
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

    @classmethod
    def for_labels(cls, frames: Frames, seed: int = 0, **config: Any) -> DensityNetwork:
        """An untrained network for the types of `frames`, scaled as by `for_frames`; `config` and
        its defaults are the class's.

        All-atom networks are made by it: two layers, and as many neighbours as in a molecule.
        """
        types = sorted(set(frames.system.types))
        scale = force_scale(np.asarray(frames.need_forces()))  # in the precision of the labels
        return cls(types=types, energy_scale=scale, seed=seed, **config)

    def energy(self, graph: SiteGraph) -> Tensor:
        site, _ = self._sites(graph)
        own = graph.per_frame(
            site.double() * self.energy_scale + self.site_energy.double()[graph.species]
        )
        return own.sum(1)

    def descriptors(self, graph: SiteGraph) -> Tensor:
        """(n_frames * n_sites, n_features) rotation invariant description of each site's
        surroundings (first layer).
        """
        return self._sites(graph)[1]

    def _sites(self, graph: SiteGraph) -> tuple[Tensor, Tensor]:
        # Vectors in the precision of the positions, the rest in the precision of the weights.
        radial, harmonics = self._pair_functions(graph.neighbour_vectors().to(self.embedding.dtype))
        state, energy, described = self.embedding[graph.species], 0.0, None
        for layer in self.layers:
            state, own, features = layer(
                radial, harmonics, state[graph.neighbour_index], graph.species, graph.n_frames
            )
            energy, described = energy + own, features if described is None else described
        return energy, described  # type: ignore[return-value]

    def _pair_functions(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """(..., n_radial) Bessel functions under a smooth envelope, and (..., (l_max + 1)^2)
        harmonics.
        """
        r = vectors.norm(dim=-1, keepdim=True)
        x = r / self.cutoff
        bessel = torch.sin(x * self.frequencies.to(x.dtype)) / x
        # The envelope brings sqrt(neighbours) too, so that a density stays of order one.
        radial = bessel * (smooth_cutoff(x) / math.sqrt(self.neighbours))
        degrees = list(range(self.l_max + 1))
        return radial, o3.spherical_harmonics(
            degrees, vectors / r, normalize=False, normalization="component"
        )


class DensityLayer(nn.Module):
    """Densities of weighted neighbours -> scalars -> (new site state, site energy)."""

    def __init__(
        self,
        n_types: int,
        channels: int,
        l_max: int,
        n_radial: int,
        width: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        n_l = l_max + 1
        self.slices = [slice(degree**2, (degree + 1) ** 2) for degree in range(n_l)]
        self.radial = _normal(generator, n_l, n_radial, channels, scale=n_radial**-0.5)
        # Three mixtures of the densities, by receiver type: the factors of the products below.
        self.mix = _normal(generator, n_types, n_l, channels, 3 * channels, scale=channels**-0.5)
        self.triples = [t for t in triples(l_max)]
        for a, b, c in self.triples:
            self.register_buffer(
                f"coupling_{a}{b}{c}",
                o3.wigner_3j(a, b, c, dtype=torch.float64).reshape(-1, 2 * c + 1).clone(),
                persistent=False,
            )
        n_features = channels * (1 + n_l + len(self.triples))
        self.first = _normal(generator, n_features, width, scale=n_features**-0.5)
        self.bias = nn.Parameter(torch.zeros(n_types, width))
        self.second = _normal(generator, width, width, scale=width**-0.5)
        self.second_bias = nn.Parameter(torch.zeros(width))
        # Small at first: training starts from the priors, not from a random potential.
        self.out = _normal(generator, width, channels + 1, scale=0.1 * width**-0.5)

    def forward(
        self, radial: Tensor, harmonics: Tensor, weights: Tensor, species: Tensor, n_frames: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        features = self._scalars(*self._densities(radial, harmonics, weights, species, n_frames))
        hidden = nn.functional.silu(features @ self.first + self.bias[species])
        hidden = nn.functional.silu(hidden @ self.second + self.second_bias)
        out = hidden @ self.out
        return out[:, 1:], out[:, 0], features

    def _densities(
        self, radial: Tensor, harmonics: Tensor, weights: Tensor, species: Tensor, n_frames: int
    ) -> tuple[list[Tensor], ...]:
        """Three lists over l of (n_sites, 2 l + 1, channels)."""
        mixed = []
        for degree, part in enumerate(self.slices):
            pair = (radial @ self.radial[degree]) * weights
            density = torch.bmm(harmonics[:, :, part].transpose(1, 2), pair)
            mixed.append(self._mix(density, degree, species, n_frames).chunk(3, dim=2))
        return tuple([m[k] for m in mixed] for k in range(3))

    def _mix(self, density: Tensor, degree: int, species: Tensor, n_frames: int) -> Tensor:
        """(n_sites, 2 l + 1, 3 channels). A site has one type in all frames, so its frames share
        one matrix product.
        """
        n, m, channels = density.shape[0] // n_frames, density.shape[1], density.shape[2]
        by_site = (
            density.view(n_frames, n, m, channels)
            .transpose(0, 1)
            .reshape(n, n_frames * m, channels)
        )
        mixed = torch.bmm(by_site, self.mix[species[:n], degree])
        return (
            mixed.view(n, n_frames, m, 3 * channels)
            .transpose(0, 1)
            .reshape(n * n_frames, m, 3 * channels)
        )

    def _scalars(self, a: list[Tensor], b: list[Tensor], c: list[Tensor]) -> Tensor:
        """Products of one, two and three densities coupled to scalars, (n_sites, n_features)."""
        scalars = [a[0][:, 0], *((x * y).sum(1) / x.shape[1] ** 0.5 for x, y in zip(a, b))]
        for i, j, k in self.triples:
            coupling = getattr(self, f"coupling_{i}{j}{k}").to(a[0].dtype)
            # Couple the last factor first: (2i+1)(2j+1) numbers per channel, then two products that
            # stay elementwise.
            last = torch.matmul(coupling, c[k]).unflatten(1, (2 * i + 1, 2 * j + 1))
            scalars.append(((last * b[j].unsqueeze(1)).sum(2) * a[i]).sum(1))
        return torch.cat(scalars, dim=1)


def network_maker(
    given: Mapping[str, object] | Callable[[Frames, int], Potential],
    usual: Literal["for_frames", "for_labels"],
) -> Callable[[Frames, int], Potential]:
    """What makes a network: `given` itself, or a `DensityNetwork` with these arguments, made as
    usual.

    Raises:
        ValueError: an argument that it does not have, or no cutoff.
    """
    if not isinstance(given, Mapping):
        return given
    known = [
        n
        for n in inspect.signature(DensityNetwork).parameters
        if n not in ("types", "energy_scale", "seed")
    ]
    unknown = sorted(set(given) - set(known))
    if unknown or "cutoff" not in given:
        raise ValueError(
            f"network: expected arguments of DensityNetwork ({', '.join(known)}) with a cutoff "
            "in nm among them, or a table "
            "with _target_ and _partial_: true that makes another network, found "
            f"{', '.join(unknown) or 'no cutoff'}"
        )
    return partial(getattr(DensityNetwork, usual), **given)


def force_scale(forces: NDArray[np.floating], over: float = 0.05) -> float:
    """kJ/mol, the size of forces over so many nm: what an untrained network gives."""
    return float(np.sqrt(np.mean(forces**2))) * over


def fitting(frames: Frames) -> dict[str, Any]:
    """What a network takes over from the frames it is made for: types, scale, neighbours."""
    return {
        "types": sorted(set(frames.system.types)),
        "energy_scale": force_scale(np.asarray(frames.need_forces(), float)),
        "neighbours": max(1.0, min(frames.n_sites - 1.0, 20.0)),
    }


def smooth_cutoff(x: Tensor) -> Tensor:
    """Polynomial envelope, 1 at x = 0, zero with two derivatives at x >= 1 (Gasteiger, ICLR 2020,
    with p = 6).
    """
    return torch.where(x < 1, 1 - 28 * x**6 + 48 * x**7 - 21 * x**8, 0.0)


def _normal(generator: torch.Generator, *shape: int, scale: float = 1.0) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape, generator=generator) * scale)
