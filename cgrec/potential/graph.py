"""`Frames` -> torch_geometric graphs: periodic neighbours and the padded layout the network works in."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data


class SiteGraph(Data):
    """A batch of frames of one System as one graph. Frame f owns nodes f * n_sites ... (f + 1) * n_sites - 1.

    Attributes:
        positions: (n_frames * n_sites, 3) nm.
        species: (n_frames * n_sites,) row of each site's type in the potential's table.
        n_frames: number of frames.
        edge_index: (2, n_edges) receiver and sender of each directed pair within reach, sorted by receiver.
        edge_shift: (n_edges, 3) nm, lattice vector to add to the sender.
        edge_slot: (n_edges,) place of the edge among its receiver's edges, from 0.
        n_slots: the largest number of edges of any receiver, at least 1.
    """

    positions: Tensor
    species: Tensor
    n_frames: int
    edge_index: Tensor
    edge_shift: Tensor
    edge_slot: Tensor
    n_slots: int

    def per_frame(self, per_site: Tensor) -> Tensor:
        """(n_frames * n_sites, ...) seen as (n_frames, n_sites, ...)."""
        return per_site.view(self.n_frames, -1, *per_site.shape[1:])

    def edge_vectors(self) -> Tensor:
        """(n_edges, 3) nm from receiver to sender."""
        receiver, sender = self.edge_index
        return self.positions[sender] - self.positions[receiver] + self.edge_shift


def site_graph(positions: Tensor, species: Tensor, reach: float, box: Tensor | None = None) -> SiteGraph:
    """The graph of all pairs closer than `reach`.

    Args:
        positions: (n_frames, n_sites, 3) nm.
        species: (n_sites,).
        reach: nm; 0 gives a graph without edges.
        box: (n_frames, 3, 3) nm or None.

    Raises:
        ValueError: the box is narrower than twice `reach`.
    """
    frames, sites = positions.shape[:2]
    with torch.no_grad():
        edges, shift = _open_pairs(positions, reach) if box is None else _periodic_pairs(positions, reach, box)
        counts = torch.bincount(edges[0], minlength=frames * sites)
        first = torch.cumsum(counts, 0) - counts
        slot = torch.arange(edges.shape[1], device=edges.device) - first[edges[0]]
    return SiteGraph(
        positions=positions.reshape(-1, 3), species=species.repeat(frames), n_frames=frames, num_nodes=frames * sites,
        edge_index=edges, edge_shift=shift, edge_slot=slot, n_slots=max(int(counts.max()), 1),
    )  # fmt: skip


def check_box(box: np.ndarray | Tensor | None, reach: float) -> None:
    """ValueError where a box (..., 3, 3) is narrower than 2 * reach in any direction, so that a site would meet two images of another."""
    if box is None or reach == 0:
        return
    boxes = torch.as_tensor(np.asarray(box, dtype=float)).reshape(-1, 3, 3)
    widths = 1.0 / torch.linalg.inv(boxes).norm(dim=1)
    if widths.min() < 2 * reach:
        raise ValueError(
            f"the box is {widths.min():.3f} nm wide at its narrowest and the cutoff is {reach} nm: expected at least {2 * reach:.3f} nm "
            "(minimum image); use a larger box or a smaller cutoff"
        )


def _open_pairs(positions: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    frames, sites = positions.shape[:2]
    near = torch.cdist(positions, positions, compute_mode="donot_use_mm_for_euclid_dist") < reach
    near[:, torch.arange(sites), torch.arange(sites)] = False
    frame, receiver, sender = near.nonzero(as_tuple=True)
    return torch.stack([frame * sites + receiver, frame * sites + sender]), positions.new_zeros(len(frame), 3)


def _periodic_pairs(positions: Tensor, reach: float, box: Tensor) -> tuple[Tensor, Tensor]:
    from vesin import NeighborList

    calculator = NeighborList(cutoff=reach, full_list=True)
    edges, shifts = [], []
    for k, (points, cell) in enumerate(zip(positions.detach().cpu().double().numpy(), box.cpu().double().numpy())):
        i, j, shift = calculator.compute(points=points, box=cell, periodic=True, quantities="ijS")
        order = np.argsort(i, kind="stable")
        pair = np.stack([i[order], j[order]]).astype(np.int64) + k * len(points)
        edges.append(torch.from_numpy(pair))
        shifts.append(torch.from_numpy(shift[order].astype(float) @ cell))
    device = positions.device
    return torch.cat(edges, 1).to(device), torch.cat(shifts).to(device, positions.dtype)
