"""Pair potentials in C++: in a liquid autograd through a wall or a spline costs more than the
compiled network.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from ..native import NoKernel, native_library
from ..system import System
from ..threads import kernel_threads
from .base import Potential, PotentialState
from .graph import SiteGraph


class _Pairs(ctypes.Structure):  # as in pairs.cpp
    _fields_ = [
        *((n, ctypes.c_int64) for n in ("n_frames", "n_sites", "slots", "n_types", "threads")),
        *((n, ctypes.c_void_p) for n in ("species", "neighbours", "positions", "shifts")),
        ("cutoff", ctypes.c_double),
        *((n, ctypes.c_void_p) for n in ("energies", "forces")),
    ]


class CompiledPairs(Potential):
    """A pair potential evaluated by a function of pairs.cpp, with the parameters it had when this
    was made.

    Args:
        plain: the potential.
        function: name in pairs.cpp.
        arguments: tensors (float64 or bytes, contiguous; an empty one is passed as null), integers
            and floats after the pairs.
    """

    own_forces = threaded = True

    def __init__(self, plain: Potential, function: str, *arguments: Tensor | float) -> None:
        super().__init__(types=plain.types, cutoff=plain.cutoff)
        self.plain = plain
        self.at_state_of(plain)
        self.function = function
        self.arguments = [_argument(a) for a in arguments]
        self.held = arguments  # what the pointers point to

    def check(self, system: System) -> None:
        self.plain.check(system)

    def energy(self, graph: SiteGraph) -> Tensor:
        return self.plain.energy(graph)

    def to_state(self) -> PotentialState:
        return self.plain.to_state()

    def forward(self, graph: SiteGraph, differentiable: bool = False) -> tuple[Tensor, Tensor]:
        energies = torch.zeros(graph.n_frames, dtype=torch.float64)
        forces = torch.empty(len(graph.species), 3, dtype=torch.float64)
        species, index = graph.species.contiguous(), graph.neighbour_index.contiguous()
        positions, shifts = (
            t.detach().double().contiguous() for t in (graph.positions, graph.neighbour_shift)
        )
        pairs = _Pairs(
            n_frames=graph.n_frames,
            n_sites=graph.sites_per_frame,
            slots=index.shape[1],
            n_types=len(self.types),
            threads=kernel_threads(),
            species=species.data_ptr(),
            neighbours=index.data_ptr(),
            positions=positions.data_ptr(),
            shifts=shifts.data_ptr(),
            cutoff=self.cutoff,
            energies=energies.data_ptr(),
            forces=forces.data_ptr(),
        )
        getattr(library(), self.function)(ctypes.byref(pairs), *self.arguments)
        return energies, forces


def _argument(value: Tensor | float) -> ctypes.c_void_p | ctypes.c_int64 | ctypes.c_double:
    if isinstance(value, Tensor):
        return ctypes.c_void_p(value.data_ptr() if value.numel() else None)
    return ctypes.c_int64(value) if isinstance(value, int) else ctypes.c_double(value)


@lru_cache
def library() -> ctypes.CDLL | None:
    """pairs.cpp, or None without a compiler: whoever needs speed has been told by the network."""
    try:
        return native_library(Path(__file__).with_name("pairs.cpp"))
    except NoKernel:
        return None
