"""Any `Potential` as one traced and compiled graph for energy and force, for a GPU."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..remarks import remark
from ..system import System
from .backends import faster
from .base import Potential, PotentialState
from .graph import SiteGraph

#: Columns by which the neighbour table grows, so that a changed neighbour count hardly ever
#: compiles anew.
COLUMNS = 16


class TracedPotential(Potential):
    """Energy and force by a compiled graph, one per shape of input; the plain potential, with one
    warning, where that fails.

    Compiling takes 20-60 s: worth it for long runs only. Training goes through the plain potential.
    """

    own_forces = True

    def __init__(self, potential: Potential) -> None:
        super().__init__(types=potential.types, cutoff=potential.cutoff)
        self.potential = potential
        self.at_state_of(potential)
        self.functions: dict[tuple[object, ...], Callable[..., tuple[Tensor, Tensor]]] = {}
        self.slots = 0

    def check(self, system: System) -> None:
        self.potential.check(system)

    def energy(self, graph: SiteGraph) -> Tensor:
        return self.potential.energy(graph)

    def forward(self, graph: SiteGraph, differentiable: bool = False) -> tuple[Tensor, Tensor]:
        if differentiable:
            return self.potential(graph, differentiable)
        self.slots = max(self.slots, -(-graph.neighbour_index.shape[1] // COLUMNS) * COLUMNS)
        graph.widen(self.slots)  # once for all steps between two searches
        shape = (graph.n_frames, *graph.neighbour_index.shape, graph.box is None)
        weights = {name: value.detach() for name, value in self.potential.named_parameters()}
        given = (
            weights,
            graph.positions.detach(),
            graph.species,
            graph.neighbour_index,
            graph.neighbour_shift,
            graph.box,
        )
        if shape not in self.functions:
            self.functions[shape] = self._compile(graph, given)
        return self.functions[shape](*given)

    def to_state(self) -> PotentialState:
        return self.potential.to_state()

    def _compile(
        self, graph: SiteGraph, given: tuple[object, ...]
    ) -> Callable[..., tuple[Tensor, Tensor]]:
        from torch.fx.experimental.proxy_tensor import make_fx

        frame_weights = graph.frame_weights

        def plain(
            weights: dict[str, Tensor],
            positions: Tensor,
            species: Tensor,
            index: Tensor,
            shift: Tensor,
            box: Tensor | None,
        ) -> tuple[Tensor, Tensor]:
            traced = SiteGraph(
                positions=positions,
                species=species,
                frame_weights=frame_weights,
                neighbour_index=index,
                neighbour_shift=shift,
                box=box,
                num_nodes=len(species),
            )
            return torch.func.functional_call(self.potential, weights, (traced,))

        try:
            function = torch.compile(make_fx(plain)(*given))
            function(*given)
        # the compiler raises its own, undocumented kinds: any of them means "run it plain"
        except Exception as error:
            remark(
                f"compiling the potential failed ({type(error).__name__}: {error}); it runs "
                "uncompiled, two to three times slower"
            )
            return plain
        return function


@faster(Potential)
def traced(potential: Potential) -> Potential:
    """The potential traced on a GPU; itself on a CPU, where tracing gains nothing, and where it cannot
    be traced.
    """
    if potential.device.type == "cpu" or not potential.traceable:
        return potential
    return TracedPotential(potential)
