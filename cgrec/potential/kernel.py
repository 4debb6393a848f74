"""A `DensityNetwork` as one compiled CPU function for energy and force, and one for the gradient of
any loss on them.

density_kernel.cpp is compiled on the spot, for the sizes of the network and the machine at hand, by
the C++ compiler that is there (3 to 10 s, once: the result is kept in the user's cache folder).
"""

from __future__ import annotations

import ctypes
import math
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from ..native import NoKernel, compiler_name, native_library, processor
from ..remarks import remark
from ..threads import kernel_threads
from .backends import faster
from .base import Potential, PotentialState
from .graph import SiteGraph
from .kernel_code import generated
from .network import DensityLayer, DensityNetwork
from .traced import traced

SOURCE = Path(__file__).with_name("density_kernel.cpp")


class CompiledDensityNetwork(Potential):
    """A `DensityNetwork` evaluated by the kernel: same parameters (shared, still trainable), same
    answers.

    Raises:
        NoKernel: the network is not on a CPU, channels or width are no multiples of 8, or nothing
            here can compile it.
    """

    own_forces = threaded = True

    def __init__(self, network: DensityNetwork) -> None:
        super().__init__(types=network.types, cutoff=network.cutoff)
        self.network = network
        self.at_state_of(network)
        sizes = _sizes(network)
        self.library = _library(**sizes)
        self.lanes = int(sizes["VECTOR"]) // network.embedding.element_size()
        self._packed: tuple[object, _Packed] | None = None
        self._call: _Call | None = None

    def energy(self, graph: SiteGraph) -> Tensor:
        return self.network.energy(graph)

    def forward(self, graph: SiteGraph, differentiable: bool = False) -> tuple[Tensor, Tensor]:
        if differentiable:
            return _Differentiable.apply(self, graph, *self.weights())
        with torch.no_grad():
            return self.evaluate(graph)

    def to_state(self) -> PotentialState:
        return self.network.to_state()

    def descriptors(self, graph: SiteGraph) -> Tensor:
        """As `DensityNetwork.descriptors`."""
        call = _Call(self.packed(), graph)
        described = torch.empty(len(graph.species), call.packed.n_features, dtype=call.packed.dtype)
        call.problem.descriptors = described.data_ptr()
        call.evaluate(self.library, graph.positions)
        return described

    def evaluate(self, graph: SiteGraph) -> tuple[Tensor, Tensor]:
        """(n_frames,) energy and (n_frames * n_sites, 3) force."""
        return self.call(graph).evaluate(self.library, graph.positions)

    def gradient(self, graph: SiteGraph, energy: Tensor, force: Tensor) -> list[Tensor]:
        """Gradient of sum(energy * E) + sum(force * F) for `weights`, E and F being what `evaluate`
        gives.
        """
        return self.call(graph).gradient(self.library, graph.positions, energy, force)

    def call(self, graph: SiteGraph) -> _Call:
        """What the kernel needs to know about this graph, kept as long as the same neighbours come
        again.
        """
        packed = self.packed()
        if self._call is None or not self._call.serves(packed, graph):
            self._call = _Call(packed, graph)
        return self._call

    def weights(self) -> list[Tensor]:
        """The parameters in the order of `gradient`."""
        layers = self.network.layers
        return [
            self.network.embedding,
            *(getattr(layer, n) for layer in layers for n in _LayerGradient.NAMES),
        ]

    def packed(self) -> _Packed:
        """The parameters as the kernel wants them, made anew when an optimiser has changed them."""
        version = tuple(
            (p.data_ptr(), p._version) for p in (*self.weights(), self.network.site_energy)
        )
        if self._packed is None or self._packed[0] != version:
            self._packed = (version, _Packed(self.network, self.lanes))
        return self._packed[1]


class _Context(torch.autograd.function.FunctionCtx):
    compiled: CompiledDensityNetwork
    graph: SiteGraph


class _Differentiable(torch.autograd.Function):
    @staticmethod
    def forward(
        context: _Context, compiled: CompiledDensityNetwork, graph: SiteGraph, *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        context.compiled, context.graph = compiled, graph
        return compiled.evaluate(graph)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: _Context, energy: Tensor, force: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *context.compiled.gradient(context.graph, energy, force)


class _Layer(ctypes.Structure):
    NAMES = (
        "radial",
        "mix",
        "mixT",
        "first",
        "firstT",
        "bias",
        "second",
        "secondT",
        "second_bias",
        "out",
        "outT",
    )
    _fields_ = [(n, ctypes.c_void_p) for n in NAMES]


class _LayerGradient(ctypes.Structure):
    NAMES = ("radial", "mix", "first", "bias", "second", "second_bias", "out")
    _fields_ = [(n, ctypes.c_void_p) for n in NAMES]


class _Problem(ctypes.Structure):  # as in density_kernel.cpp
    _fields_ = [
        *(
            (n, ctypes.c_int64)
            for n in ("n_frames", "n_sites", "own", "slots", "n_layers", "n_types", "threads")
        ),
        *(
            (n, ctypes.c_void_p)
            for n in ("species", "neighbours", "positions", "shifts", "tangent", "energy_gradient")
        ),
        *((n, ctypes.c_double) for n in ("cutoff", "norm", "scale")),
        *(
            (n, ctypes.c_void_p)
            for n in (
                "site_energy",
                "embedding",
                "layers",
                "energies",
                "forces",
                "descriptors",
                "embedding_gradient",
                "gradients",
                "site_energies",
                "lists",
                "lengths",
                "shared",
            )
        ),
    ]


class _Packed:
    """Parameters with the transposes the reverse pass needs, and the output's columns as states,
    energy, zeros.
    """

    def __init__(self, network: DensityNetwork, lanes: int) -> None:
        with torch.no_grad():
            self.embedding = network.embedding.detach().clone()
            self.site_energy = network.site_energy.double()
            self.dtype = self.embedding.dtype
            self.layers = [self._layer(layer, lanes) for layer in network.layers]
        self.n_features = len(network.layers[0].first)
        self.numbers = {
            "n_layers": len(self.layers),
            "n_types": len(network.types),
            "cutoff": network.cutoff,
            "norm": network.neighbours**-0.5,
            "scale": network.energy_scale,
        }
        self.table = (_Layer * len(self.layers))(
            *(_Layer(**{n: t.data_ptr() for n, t in layer.items()}) for layer in self.layers)
        )

    @staticmethod
    def _layer(layer: DensityLayer, lanes: int) -> dict[str, Tensor]:
        plain = {n: getattr(layer, n).detach().clone() for n in _LayerGradient.NAMES if n != "out"}
        out = torch.cat(
            [layer.out[:, 1:], layer.out[:, :1], layer.out.new_zeros(len(layer.out), lanes - 1)], 1
        )
        turned = {
            n + "T": t.transpose(-1, -2).contiguous()
            for n, t in {**plain, "out": out}.items()
            if n in ("mix", "first", "second", "out")
        }
        return {**plain, "out": out, **turned}

    def gradients(self) -> list[dict[str, Tensor]]:
        """Zeros to add gradients to."""
        return [
            {n: torch.zeros_like(layer[n]) for n in _LayerGradient.NAMES} for layer in self.layers
        ]


class _Call:
    """The arguments of the kernel for one set of neighbours; it holds on to everything it points
    to.
    """

    def __init__(self, packed: _Packed, graph: SiteGraph) -> None:
        self.packed = packed
        self.index = graph.neighbour_index
        self.shift = graph.neighbour_shift
        self.threads = kernel_threads()
        self.n_frames = graph.n_frames
        self.sites = len(graph.species)
        self.held: list[Tensor] = []
        self.problem = _Problem(
            n_frames=self.n_frames,
            n_sites=graph.sites_per_frame,
            own=self.sites,
            slots=self.index.shape[1],
            threads=self.threads,
            **packed.numbers,
            species=self.keep(graph.species),
            neighbours=self.keep(self.index),
            shifts=self.keep(self.shift.double()),
            site_energy=packed.site_energy.data_ptr(),
            embedding=packed.embedding.data_ptr(),
            layers=ctypes.addressof(packed.table),
        )

    def keep(self, tensor: Tensor) -> int:
        """Address of a contiguous tensor that lives as long as this."""
        self.held.append(tensor.contiguous())
        return self.held[-1].data_ptr()

    def serves(self, packed: _Packed, graph: SiteGraph) -> bool:
        """Whether only positions can have changed."""
        same = self.index is graph.neighbour_index and self.shift is graph.neighbour_shift
        return same and self.packed is packed and self.threads == kernel_threads()

    def evaluate(self, library: ctypes.CDLL, positions: Tensor) -> tuple[Tensor, Tensor]:
        energies = torch.zeros(self.n_frames, dtype=torch.float64)
        forces = torch.zeros(self.sites, 3, dtype=torch.float64)
        positions = positions.detach().double().contiguous()
        self.problem.positions = positions.data_ptr()
        self.problem.energies, self.problem.forces = energies.data_ptr(), forces.data_ptr()
        library.forces(ctypes.byref(self.problem))
        return energies, forces

    def gradient(
        self, library: ctypes.CDLL, positions: Tensor, energy: Tensor, force: Tensor
    ) -> list[Tensor]:
        embedding, layers = torch.zeros_like(self.packed.embedding), self.packed.gradients()
        table = (_LayerGradient * len(layers))(
            *(_LayerGradient(**{n: t.data_ptr() for n, t in g.items()}) for g in layers)
        )
        # sum(force * F) has the parameter gradient of -dE along `force`: the sites are displaced by
        # minus `force`.
        given = [t.detach().double().contiguous() for t in (positions, -force, energy)]
        names = ("positions", "tangent", "energy_gradient")
        for name, tensor in zip(names, given):
            setattr(self.problem, name, tensor.data_ptr())
        self.problem.embedding_gradient, self.problem.gradients = (
            embedding.data_ptr(),
            ctypes.addressof(table),
        )
        library.gradient(ctypes.byref(self.problem))
        channels = embedding.shape[1]
        for g in layers:
            g["out"] = torch.cat([g["out"][:, channels : channels + 1], g["out"][:, :channels]], 1)
        return [embedding, *(g[n] for g in layers for n in _LayerGradient.NAMES)]


def _sizes(network: DensityNetwork) -> dict[str, int | str]:
    layer = network.layers[0]
    channels, width = network.embedding.shape[1], layer.second.shape[0]
    if network.device.type != "cpu":
        raise NoKernel(f"the network is on {network.device} and the kernel runs on a CPU")
    if channels % 8 or width % 8:
        raise NoKernel(
            f"the kernel needs channels and width in multiples of 8, found {channels} and {width}"
        )
    real = {torch.float32: "float", torch.float64: "double"}.get(network.embedding.dtype)
    if real is None:
        raise NoKernel(f"the kernel works in float32 or float64, not {network.embedding.dtype}")
    row = network.embedding.element_size() * math.gcd(channels, width)
    return {
        "REAL": real,
        "CHANNELS": channels,
        "WIDTH": width,
        "L_MAX": network.l_max,
        "N_RADIAL": layer.radial.shape[1],
        "N_TRIPLES": len(layer.triples),
        "VECTOR": 64 if row % 64 == 0 and "__AVX512F__" in processor(compiler_name()) else 32,
    }


@lru_cache
def _library(**sizes: int | str) -> ctypes.CDLL:
    return native_library(
        SOURCE, tuple(f"-D{k}={v}" for k, v in sizes.items()), generated(int(sizes["L_MAX"]))
    )


@faster(DensityNetwork)
def compiled_network(network: DensityNetwork) -> Potential:
    """The network on its kernel, or itself, with one warning, where that cannot be; traced on a
    GPU.
    """
    if network.device.type != "cpu":
        return traced(network)
    try:
        return CompiledDensityNetwork(network)
    except NoKernel as reason:
        remark(f"{reason}; the network runs uncompiled, several times slower")
        return network
