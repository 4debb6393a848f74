"""Energy and force of a fixed set of neighbours as one compiled graph."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from .base import Potential
from .graph import SiteGraph

ForceFunction = Callable[[SiteGraph], tuple[Tensor, Tensor]]


def compiled(potential: Potential, graph: SiteGraph) -> ForceFunction:
    """`potential(graph)` traced and compiled for graphs of these shapes; the plain one, with one warning, where that fails.

    Compiling takes 20-60 s and makes a force call two to three times faster: worth it for long runs only.
    """
    if graph.positions.device.type == "cpu" and not (
        shutil.which("g++") or shutil.which("c++") or shutil.which("clang++")
    ):
        warnings.warn(
            "no C++ compiler found: the potential runs uncompiled, two to three times slower", stacklevel=2
        )
        return potential
    try:
        return _compile(potential, graph)
    except (
        Exception
    ) as error:  # inductor raises its own, undocumented kinds: any of them means "run it uncompiled"
        warnings.warn(
            f"compiling the potential failed ({type(error).__name__}: {error}); it runs uncompiled, two to three times slower",
            stacklevel=2,
        )
        return potential


def _compile(potential: Potential, graph: SiteGraph) -> ForceFunction:
    from torch.fx.experimental.proxy_tensor import make_fx

    for parameter in potential.parameters():
        parameter.requires_grad_(False)
    species, weights = graph.species, graph.frame_weights

    def energy_and_forces(positions: Tensor, index: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        traced = SiteGraph(
            positions=positions,
            species=species,
            frame_weights=weights,
            neighbour_index=index,
            neighbour_shift=shift,
            num_nodes=len(species),
        )
        return potential(traced)

    example = (graph.positions.detach(), graph.neighbour_index, graph.neighbour_shift)
    function = torch.compile(make_fx(energy_and_forces)(*example))
    call = lambda g: function(g.positions.detach(), g.neighbour_index, g.neighbour_shift)  # noqa: E731
    call(graph)
    return call
