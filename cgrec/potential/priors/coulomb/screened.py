"""`ScreenedCoulomb`: charges in a dielectric, summed over all images of a periodic box, as a prior
for levels of ions.

What such ions feel of each other at long range is known, and lies outside the reach of a network:
it is subtracted from the labels and added back in simulation. One sum over the same waves in two
ways: torch-pme, differentiable and on any device, and coulomb.cpp for many force calls on a CPU.
"""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor, nn

from ....index_select import own_index_select
from ....native import NoKernel
from ....remarks import remark
from ...base import Potential
from ...graph import SiteGraph
from .charged import ChargedSites
from .kernel import CompiledCoulomb
from .waves import waves

with own_index_select():
    from torchpme import CoulombPotential, EwaldCalculator, P3MCalculator

#: Mesh of P3M: nodes an axis over which a charge is spread.
MESH_NODES = 5
#: Spacing of the mesh in 1 / alpha where `accuracy` is one. It becomes finer with the root of
#: `accuracy` of the order of the nodes: so the mesh added less than a third to the error of forces
#: from 1e-4 to 1e-7.
MESH_SPACING = 4.0
#: One of torch-pme's calculators.
M = TypeVar("M", bound=nn.Module)
#: Numbers (waves times sites) in one tensor of the plain sum: 32 MB of float64.
_MOST = 4_000_000


class ScreenedCoulomb(ChargedSites):
    """U = 1/2 sum_ij q_i q_j / (4 pi epsilon_0 epsilon_r r_ij) over all images, by Ewald summation
    with a conducting boundary.

    With alpha = s / cutoff, the pairs closer than `cutoff` and the waves shorter than 2 alpha s
    leave an error of exp(-s^2) = `accuracy` (J. Kolafa and J. W. Perram, Mol. Simul. 9, 351
    (1992)). Open systems: all pairs.

    Arguments and refusals are those of `ChargedSites`.
    """

    own_forces = True

    def energy(self, graph: SiteGraph) -> Tensor:
        positions = graph.per_frame(graph.positions)
        return torch.cat(
            [self._energy(graph, positions[some], some) for some in self._portions(graph)]
        )

    def forward(self, graph: SiteGraph, differentiable: bool = False) -> tuple[Tensor, Tensor]:
        """Without parameters nothing has to stay differentiable: a few frames at a time, to save
        memory.
        """
        positions, energies, forces = graph.per_frame(graph.positions.detach()), [], []
        for some in self._portions(graph):
            x = positions[some].clone().requires_grad_()
            with torch.enable_grad():
                energy = self._energy(graph, x, some)
                (gradient,) = torch.autograd.grad(energy.sum(), x)
            energies.append(energy.detach())
            forces.append(-gradient.reshape(-1, 3))
        return torch.cat(energies), torch.cat(forces)

    def compiled(self) -> Potential:
        """On a CPU the kernel; elsewhere this, whose waves depend on the box and cannot be traced."""
        if self.device.type != "cpu":
            return self
        try:
            return CompiledCoulomb(self)
        except NoKernel as reason:
            remark(f"{reason}; the Coulomb sum runs uncompiled, many times slower")
            return self

    def _portions(self, graph: SiteGraph) -> list[slice]:
        sites = graph.sites_per_frame
        n_waves = 1.0
        if graph.box is not None and not self.on_mesh(graph):
            box = graph.box.detach().double()
            longest = 2 * self.sharpness**2 / self.reaches(box)
            n_waves = float((torch.linalg.det(box).abs() * longest**3).max() / (6 * math.pi**2))
        step = max(1, int(_MOST / (sites * max(n_waves, sites))))
        return [slice(k, min(k + step, graph.n_frames)) for k in range(0, graph.n_frames, step)]

    def _energy(self, graph: SiteGraph, positions: Tensor, some: slice) -> Tensor:
        """(n_some,) of frames `some` at `positions` (n_some, n_sites, 3)."""
        x, charges = positions.double(), self.site_charges(graph)
        if graph.box is None:
            i, j = torch.triu_indices(x.shape[1], x.shape[1], 1, device=x.device)
            return self.strength * (charges[i] * charges[j] / (x[:, j] - x[:, i]).norm(dim=-1)).sum(
                -1
            )
        box = graph.box[some].double()
        # In units of 1 / alpha all boxes have the same smearing and cutoff.
        alpha = (self.sharpness / self.reaches(box))[:, None]
        pairs, distances = self._pairs(graph, x, box, some)
        arguments = alpha[..., None] * box, alpha[..., None] * x, pairs, alpha * distances
        sum_up = self._on_mesh if self.on_mesh(graph) else self._by_waves
        potential = sum_up(charges[:, None].expand(len(x), -1, 1), *arguments)
        return self.strength * alpha[:, 0] * (potential[..., 0] @ charges)

    def _pairs(
        self, graph: SiteGraph, x: Tensor, box: Tensor, some: slice
    ) -> tuple[Tensor, Tensor]:
        """(n_some, n_pairs, 2) sites, and (n_some, n_pairs) nm between them or their nearest
        images.
        """
        n = x.shape[1]
        if self.cutoff > 0:
            first = n * torch.arange(graph.n_frames, device=x.device)[some, None, None]
            other = graph.per_frame(graph.neighbour_index)[some] - first
            own = torch.arange(n, device=x.device)[None, :, None].expand_as(other)
            pairs = torch.stack([own, other], -1).flatten(1, 2)
            shift = graph.per_frame(graph.neighbour_shift)[some].double().flatten(1, 2)
        else:
            pairs = torch.triu_indices(n, n, 1, device=x.device).T.expand(len(x), -1, -1)
            shift = torch.zeros(1, dtype=x.dtype, device=x.device)
        frame = torch.arange(len(x), device=x.device)[:, None]
        vectors = x[frame, pairs[..., 1]] - x[frame, pairs[..., 0]] + shift
        if self.cutoff == 0:
            vectors = vectors - (vectors.detach() @ torch.linalg.inv(box)).round() @ box
        return pairs, vectors.norm(dim=-1)

    def _by_waves(
        self, charges: Tensor, box: Tensor, x: Tensor, pairs: Tensor, distances: Tensor
    ) -> Tensor:
        # not used: waves are given
        calculator = self._calculator(EwaldCalculator, x, lr_wavelength=1.0)
        near = distances < self.sharpness
        found = waves(box, 2 * self.sharpness)

        def one(
            q: Tensor, box: Tensor, x: Tensor, pairs: Tensor, r: Tensor, near: Tensor, k: Tensor
        ) -> Tensor:
            return calculator(q, box, x, pairs, r, pair_mask=near, kvectors=k)

        return torch.vmap(one)(charges, box, x, pairs, distances, near, found)

    def _on_mesh(
        self, charges: Tensor, box: Tensor, x: Tensor, pairs: Tensor, distances: Tensor
    ) -> Tensor:
        spacing = MESH_SPACING * self.config["accuracy"] ** (1 / MESH_NODES)
        calculator = self._calculator(
            P3MCalculator, x, mesh_spacing=spacing, interpolation_nodes=MESH_NODES
        )
        found = []
        for q, cell, points, of, r in zip(charges, box, x, pairs, distances):
            near = r < self.sharpness
            found.append(calculator(q, cell, points, of[near], r[near]))
        return torch.stack(found)

    def _calculator(self, kind: type[M], like: Tensor, **options: float) -> M:
        potential = CoulombPotential(smearing=2**-0.5)
        return kind(potential, full_neighbor_list=self.cutoff > 0, **options).to(
            like.device, like.dtype
        )
