"""`DihedralSeries`: what a PMF is corrected with along one or more dihedrals together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import geometry
from .bond_graph import BondGraphConfig
from .bonded import BondedPotential
from .graph import SiteGraph


class DihedralSeries(BondedPotential):
    """U = sum_k a_k cos(n_k . s) + b_k sin(n_k . s) of several dihedrals s together: what `refine`
    corrects a PMF with.

    Args:
        types: site types, for `Potential`.
        n_sites: of the System the indices belong to.
        sites: (n_dihedrals, 4) site indices.
        orders: (n_terms, n_dihedrals) integers n_k.
        cosine, sine: (n_terms,) kJ/mol.
        bond_graph: of the System, as in `BondedPotential`.
    """

    orders: Tensor
    cosine: Tensor
    sine: Tensor

    def __init__(
        self,
        *,
        types: Sequence[str],
        n_sites: int,
        sites: Sequence[Sequence[int]],
        orders: Sequence[Sequence[int]],
        cosine: Sequence[float],
        sine: Sequence[float],
        bond_graph: BondGraphConfig | None = None,
        cutoff: float = 0.0,
    ) -> None:
        super().__init__(
            types=types,
            n_sites=n_sites,
            sites=sites,
            bond_graph=bond_graph,
            cutoff=cutoff,
            orders=orders,
            cosine=cosine,
            sine=sine,
        )

    def energy(self, graph: SiteGraph) -> Tensor:
        x = geometry.dihedral(self.positions(graph), self.sites).double() @ self.orders.T
        return (torch.cos(x) @ self.cosine + torch.sin(x) @ self.sine).sum(-1)


def half_space(order: int, n: int) -> NDArray[np.int64]:
    """(n_terms, n) integer vectors with entries up to `order`, one of each pair n, -n, without
    zero.
    """
    axes = np.meshgrid(*[np.arange(-order, order + 1)] * n, indexing="ij")
    vectors = np.stack(axes, -1).reshape(-1, n)
    return vectors[len(vectors) // 2 + 1 :]
