"""`BondedPotential`: what all potentials between numbered sites of one System have in common."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..system import System
from .base import Potential
from .bond_graph import BondGraph, BondGraphConfig, check_edges
from .graph import SiteGraph


class BondedPotential(Potential):
    """Interface of potentials whose terms belong to numbered sites of one System, or of copies of
    it.

    Args:
        types: site types, for `Potential`.
        n_sites: of the System the numbers belong to.
        sites: (n_terms, k) site numbers.
        bond_graph: of that System (`BondGraph.config`): another one is refused. None where nobody
            knows it; the terms then have to lie along bonds.
        paths: pairs of places in a row of `sites` that are bonded.
        numbers: what else a term has; each is kept as a float64 tensor of its name.
    """

    sites: Tensor

    def __init__(
        self,
        *,
        types: Sequence[str],
        n_sites: int,
        sites: Sequence[Sequence[int]],
        bond_graph: BondGraphConfig | None = None,
        cutoff: float = 0.0,
        paths: Sequence[tuple[int, int]] = (),
        **numbers: Sequence[object],
    ) -> None:
        super().__init__(
            types=types,
            cutoff=cutoff,
            n_sites=n_sites,
            sites=sites,
            bond_graph=bond_graph,
            **numbers,
        )
        self.n_sites = n_sites
        self.bond_graph = BondGraph.from_config(bond_graph)
        self.register_buffer("sites", torch.tensor(sites, dtype=torch.long), persistent=False)
        for name, values in numbers.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64), persistent=False)
        self._edges = (
            [(int(row[a]), int(row[b])) for row in sites for a, b in paths]
            if bond_graph is None
            else []
        )

    def check(self, system: System) -> None:
        name = type(self).__name__
        if self.bond_graph is None:
            check_edges(system, self._edges, self.n_sites, name)
        else:
            self.bond_graph.check(system, name)

    def positions(self, graph: SiteGraph) -> Tensor:
        """(n_frames, n_copies, n_sites, 3) nm."""
        positions = graph.per_frame(graph.positions)
        if positions.shape[1] % self.n_sites:
            raise ValueError(
                f"{type(self).__name__} was fitted to a System of {self.n_sites} sites, these "
                "frames have "
                f"{positions.shape[1]}: fit it to this System"
            )
        return positions.unflatten(1, (-1, self.n_sites))
