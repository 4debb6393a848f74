"""`Frames` -> torch_geometric graphs: periodic neighbours and the padded layout the network works
in.
"""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

from ..threads import kernel_threads
from .device_neighbours import periodic_pairs
from .neighbours import open_table, periodic_table

#: Open systems of at most this many sites keep all pairs: their table never has to be built again.
ALL_PAIRS_LIMIT = 32
#: nm by which a free place in the neighbour table is shifted.
OUT_OF_REACH = 1e3
#: Without a compiler: sites of an open frame from which vesin is faster than all distances, and
#: distances held at a time.
DENSE_SITES, DENSE_DISTANCES = 1500, 4_000_000


class SiteGraph(Data):
    """A batch of frames of one System as one graph. Frame f owns sites f * n_sites ... (f + 1) *
    n_sites - 1.

    Neighbours stand in a table with one row a site and as many columns as the richest site needs. A
    free place holds the site itself, shifted out of reach, so that every shape is fixed and nothing
    has to be masked.

    Attributes:
        positions: (n_frames * n_sites, 3) nm.
        species: (n_frames * n_sites,) row of each site's type in the potential's table.
        frame_weights: (n_frames,) statistical weight of each frame.
        neighbour_index: (n_frames * n_sites, n_slots) site each place holds.
        neighbour_shift: (n_frames * n_sites, n_slots, 3) nm, lattice vector to add to it.
        box: (n_frames, 3, 3) nm, rows are the lattice vectors, or None for an open system.
        frame_temperatures: (n_frames,) K, or None where all are at that of the potential.
    """

    positions: Tensor
    species: Tensor
    frame_weights: Tensor
    neighbour_index: Tensor
    neighbour_shift: Tensor

    @property
    def box(self) -> Tensor | None:
        """(n_frames, 3, 3) nm or None: a property, because collating drops attributes that are
        None.
        """
        return self._store.get("box")

    @box.setter
    def box(self, box: Tensor | None) -> None:
        self._store["box"] = box

    @property
    def frame_temperatures(self) -> Tensor | None:
        """(n_frames,) K or None."""
        return self._store.get("frame_temperatures")

    @frame_temperatures.setter
    def frame_temperatures(self, temperatures: Tensor | None) -> None:
        self._store["frame_temperatures"] = temperatures

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.frame_weights)

    @property
    def sites_per_frame(self) -> int:
        """Number of sites of the System."""
        return len(self.species) // self.n_frames

    def per_frame(self, per_site: Tensor) -> Tensor:
        """(n_frames * n_sites, ...) seen as (n_frames, n_sites, ...)."""
        return per_site.view(self.n_frames, -1, *per_site.shape[1:])

    def widen(self, slots: int) -> None:
        """Give its table at least `slots` columns."""
        free = slots - self.neighbour_index.shape[1]
        if free <= 0:
            return
        index = torch.arange(len(self.species), device=self.species.device)[:, None].expand(
            -1, free
        )
        shift = self.neighbour_shift.new_zeros(len(self.species), free, 3)
        shift[..., 0] = OUT_OF_REACH
        self.neighbour_index = torch.cat([self.neighbour_index, index], 1)
        self.neighbour_shift = torch.cat([self.neighbour_shift, shift], 1)

    def neighbour_vectors(self) -> Tensor:
        """(n_frames * n_sites, n_slots, 3) nm from each site to its neighbours."""
        return self.positions[self.neighbour_index] - self.positions[:, None] + self.neighbour_shift


def site_graph(
    positions: Tensor,
    species: Tensor,
    reach: float,
    box: Tensor | None = None,
    into: SiteGraph | None = None,
) -> SiteGraph:
    """The graph of all pairs closer than `reach` (and some further ones: potentials apply their own
    cutoff).

    Args:
        positions: (n_frames, n_sites, 3) nm.
        species: (n_sites,).
        reach: nm; 0 gives a graph without neighbours.
        box: (n_frames, 3, 3) nm or None. Narrower than 2 * reach it has to be refused before:
            `check_box`.
        into: a graph of the same frames and sites that is no longer wanted: it may be overwritten
            and returned.
    """
    frames, sites = positions.shape[:2]
    table = None if into is None else (into.neighbour_index, into.neighbour_shift)
    with torch.no_grad():
        index, shift = _neighbour_table(positions.detach(), reach, box, table)
    if into is not None and index is into.neighbour_index:
        into.positions, into.box = positions.reshape(-1, 3), box
        return into
    return SiteGraph(
        positions=positions.reshape(-1, 3),
        species=species.repeat(frames),
        num_nodes=frames * sites,
        neighbour_index=index,
        neighbour_shift=shift,
        frame_weights=positions.new_ones(frames),
        box=box,
    )


class VerletState(TypedDict, total=False):
    """Where neighbours were last found, and how many slots a site had; nothing before."""

    found_at: Tensor
    slots: int


class VerletList:
    """The graph of moving sites, whose neighbours are found again only when a site has moved half
    of the skin.

    A call may overwrite the graph that the call before gave.

    Args:
        species: (n_sites,) rows of the site types.
        reach: nm, `Potential.reach(skin)`: 0 for one without neighbours.
        skin: nm by which it is more than the potential needs.
    """

    def __init__(self, species: Tensor, reach: float, skin: float) -> None:
        self.species = species
        self.reach = reach
        self.skin = skin
        self.found: SiteGraph | None = None
        self.found_at: Tensor = torch.empty(0)

    def __call__(self, positions: Tensor, box: Tensor | None = None) -> SiteGraph:
        """Graph at `positions` (n_frames, n_sites, 3) nm in `box` (n_frames, 3, 3) nm or None."""
        if self.found is None or self._stale(positions, box):
            into = (
                self.found
                if self.found is not None and self.found_at.shape == positions.shape
                else None
            )
            self.found = site_graph(positions, self.species, self.reach, box, into)
            self.found_at = positions.detach().clone()
            self.found_in = box
        self.found.positions = positions.reshape(-1, 3)
        return self.found

    def forget(self) -> None:
        """Find neighbours anew at the next call."""
        self.found = None

    def state(self) -> VerletState:
        """What `restore` needs to find the very same table again, order and width included."""
        if self.found is None:
            return {}
        return {"found_at": self.found_at.cpu(), "slots": self.found.neighbour_index.shape[1]}

    def restore(self, state: VerletState, device: torch.device, box: Tensor | None = None) -> None:
        """Go on from a `state`, in the boxes it was taken in."""
        self.forget()
        if state:
            self(state["found_at"].to(device), box).widen(state["slots"])

    def _stale(self, positions: Tensor, box: Tensor | None) -> bool:
        if positions.shape != self.found_at.shape or (box is None) != (self.found_in is None):
            return True
        if box is not None and box is not self.found_in and not torch.equal(box, self.found_in):  # type: ignore[arg-type]
            return True
        if never_changes(len(self.species), self.reach, box):
            return False
        moved = positions.detach() - self.found_at
        if moved.device.type != "cpu":  # one answer to wait for, not two
            return bool(_farthest(moved) > (0.5 * self.skin) ** 2)
        # most often this is enough to know
        if float(moved.abs().max()) <= 0.5 * self.skin / 3**0.5:
            return False
        return bool(_farthest(moved) > (0.5 * self.skin) ** 2)


def _farthest(moved: Tensor) -> Tensor:
    """() largest square of moves (..., 3). Sites that are not finite belong to replicas that are about
    to be stopped.
    """
    return torch.nan_to_num(moved).square().sum(-1).max()


def never_changes(n_sites: int, reach: float, box: Tensor | None) -> bool:
    """Whether the table of such a system is the same for all positions."""
    return reach == 0 or (box is None and n_sites <= ALL_PAIRS_LIMIT)


def _neighbour_table(
    positions: Tensor, reach: float, box: Tensor | None, into: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    frames, sites = positions.shape[:2]
    if reach == 0 or sites == 1:
        return positions.new_zeros(frames * sites, 0, dtype=torch.long), positions.new_zeros(
            frames * sites, 0, 3
        )
    if never_changes(sites, reach, box):
        return _all_pairs(frames, sites, positions)
    if box is None:
        found = open_table(positions, reach, OUT_OF_REACH, into)
    else:
        found = periodic_table(positions, reach, box, OUT_OF_REACH, into)
    if found is not None:
        return found
    receiver, sender, shift = _pairs(positions, reach, box)
    counts = torch.bincount(receiver, minlength=frames * sites)
    slot = (
        torch.arange(len(receiver), device=receiver.device)
        - (torch.cumsum(counts, 0) - counts)[receiver]
    )
    slots = max(int(counts.max()), 1)
    index = torch.arange(frames * sites, device=receiver.device)[:, None].repeat(1, slots)
    shifts = positions.new_zeros(frames * sites, slots, 3)
    shifts[..., 0] = OUT_OF_REACH
    index[receiver, slot] = sender
    shifts[receiver, slot] = shift
    return index, shifts


def _pairs(positions: Tensor, reach: float, box: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """(n_pairs,) receivers, ascending, and senders, and (n_pairs, 3) nm shifts of the senders."""
    if box is None:
        return _open_pairs(positions, reach)
    if positions.device.type == "cpu":
        return _periodic_pairs(positions, reach, box)
    return periodic_pairs(positions, reach, box)


def _all_pairs(frames: int, sites: int, like: Tensor) -> tuple[Tensor, Tensor]:
    own = torch.arange(sites, device=like.device)
    others = (own[:, None] + torch.arange(1, sites, device=like.device)) % sites
    index = (others + sites * torch.arange(frames, device=like.device)[:, None, None]).reshape(
        -1, sites - 1
    )
    return index, like.new_zeros(*index.shape, 3)


def box_widths(box: Tensor) -> Tensor:
    """(n_frames, 3) nm between opposite faces of boxes (n_frames, 3, 3)."""
    return 1.0 / torch.linalg.inv(box).norm(dim=1)


def check_box(box: NDArray[np.floating] | Tensor | None, reach: float) -> None:
    """ValueError where a box (..., 3, 3) is narrower than 2 * reach in any direction, so that a
    site would meet two images of another.
    """
    if box is None or reach == 0:
        return
    widths = box_widths(torch.as_tensor(np.array(box, dtype=float)).reshape(-1, 3, 3))
    if widths.min() < 2 * reach:
        raise ValueError(
            f"the box is {widths.min():.3f} nm wide at its narrowest and the cutoff is {reach} "
            f"nm: expected at least {2 * reach:.3f} nm "
            "(minimum image); use a larger box or a smaller cutoff"
        )


def _open_pairs(positions: Tensor, reach: float) -> tuple[Tensor, Tensor, Tensor]:
    """(n_pairs,) receivers and senders in the order of their numbers, and shifts of zero: the way
    without a compiler.
    """
    frames, sites = positions.shape[:2]
    on_cpu = positions.device.type == "cpu"
    one = _open_frame if sites > DENSE_SITES and on_cpu else _open_dense
    step = max(1, DENSE_DISTANCES // sites**2) if one is _open_dense else 1
    parts = [
        one(positions[start : start + step], reach) + start * sites
        for start in range(0, frames, step)
    ]
    receiver, sender = torch.cat(parts, 1)
    return receiver, sender, positions.new_zeros(len(receiver), 3)


def _open_dense(positions: Tensor, reach: float) -> Tensor:
    """(2, n_pairs) receivers and senders of a few frames, from all their distances."""
    sites = positions.shape[1]
    near = torch.cdist(positions, positions, compute_mode="donot_use_mm_for_euclid_dist") < reach
    near.diagonal(dim1=1, dim2=2).fill_(False)
    frame, receiver, sender = near.nonzero(as_tuple=True)
    return torch.stack([frame * sites + receiver, frame * sites + sender])


def _open_frame(positions: Tensor, reach: float) -> Tensor:
    """The same of one frame by vesin; sites whose position is no number have no neighbours."""
    from vesin import NeighborList

    points = positions[0].double().numpy()
    kept = np.flatnonzero((np.abs(points) < 1e12).all(1))
    calculator = NeighborList(cutoff=reach, full_list=True, n_threads=kernel_threads())
    i, j = calculator.compute(
        points=points[kept], box=np.zeros((3, 3)), periodic=False, quantities="ij"
    )
    order = np.lexsort((j, i))
    return torch.from_numpy(
        np.stack([kept[i.astype(np.int64)[order]], kept[j.astype(np.int64)[order]]])
    )


def _periodic_pairs(positions: Tensor, reach: float, box: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    from vesin import NeighborList

    calculator = NeighborList(cutoff=reach, full_list=True, n_threads=kernel_threads())
    few = (
        np.uint16 if positions.shape[1] < 2**16 else np.int64
    )  # numpy sorts 16 bits by radix, ten times faster
    found = []
    for k, (points, cell) in enumerate(
        zip(positions.cpu().double().numpy(), box.cpu().double().numpy())
    ):
        i, j, shift = calculator.compute(points=points, box=cell, periodic=True, quantities="ijS")
        order = np.argsort(i.astype(few), kind="stable")
        first = k * len(points)
        found.append(
            (
                i[order].astype(np.int64) + first,
                j[order].astype(np.int64) + first,
                shift[order] @ cell,
            )
        )
    receiver, sender, shifts = (
        torch.from_numpy(np.concatenate(part)).to(positions.device) for part in zip(*found)
    )
    return receiver, sender, shifts.to(positions.dtype)
