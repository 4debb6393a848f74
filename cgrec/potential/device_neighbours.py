"""Neighbours in periodic boxes by torch's own operations, all frames at once: for a GPU.

Pairs are looked for among all sites of a frame, or among those of the cells around each (a cell is as
wide as the reach, or wider). The image that counts follows from rounding fractional coordinates: two
sites closer than half the width of the box differ by less than half a lattice vector along each, so
that for them rounding is exact in triclinic boxes too (`check_box` refuses narrower ones).
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Pairs that are looked at together: 24 bytes each for their vectors.
AT_ONCE = 8_000_000
#: Cells along an axis from which those around a site are fewer than all.
MOST_ALL = 3
#: Sites of a frame up to which all pairs are looked at: sorting into cells costs more.
FEW = 500


def periodic_pairs(positions: Tensor, reach: float, box: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(n_pairs,) receivers, ascending, and senders, and (n_pairs, 3) nm lattice vectors to add to the
    senders, of all ordered pairs closer than `reach`.

    Args:
        positions: (n_frames, n_sites, 3) nm, wrapped or not; a site without a finite position has no
            neighbours.
        reach: nm.
        box: (n_frames, 3, 3) nm, none of them narrower than twice the reach.
    """
    frames, sites = positions.shape[:2]
    inverse = torch.linalg.inv_ex(box).inverse
    cells = (inverse.norm(dim=1).amax(0) * reach).reciprocal().floor().long().tolist()
    use_cells = sites > FEW and min(cells) > MOST_ALL
    found = []
    if use_cells:
        candidates = _near_cells(positions @ inverse, cells)
        step = max(1, AT_ONCE // candidates.width)
        for start in range(0, frames * sites, step):
            own = torch.arange(start, min(start + step, frames * sites), device=positions.device)
            found.append(_closer(positions, reach, box, inverse, own, candidates.of(own)))
    else:
        step = max(1, AT_ONCE // sites)
        every = torch.arange(sites, device=positions.device)
        for start in range(0, frames * sites, step):
            own = torch.arange(start, min(start + step, frames * sites), device=positions.device)
            others = every + (own - own % sites)[:, None]
            found.append(_closer(positions, reach, box, inverse, own, others))
    receiver, sender, shift = (torch.cat(parts) for parts in zip(*found))
    return receiver, sender, shift


def _closer(
    positions: Tensor, reach: float, box: Tensor, inverse: Tensor, own: Tensor, others: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs closer than `reach` of sites `own` (n,) with `others` (n, m), -1 for none."""
    sites = positions.shape[1]
    x, frame = positions.reshape(-1, 3), own // sites
    apart = x[others.clamp(min=0)] - x[own][:, None]
    images = -torch.round(apart @ inverse[frame])
    shift = images @ box[frame]
    near = (apart + shift).square().sum(-1) < reach**2  # false where a position is no number
    row, column = (near & (others >= 0) & (others != own[:, None])).nonzero(as_tuple=True)
    return own[row], others[row, column], shift[row, column]


class _Cells:
    """Sites sorted into cells.

    Args:
        cell: (n,) of each site of all frames.
        table: (n_cells of all frames, most) sites of each cell, -1 for none.
        around: (n_cells, 27) cells around each.
    """

    def __init__(self, cell: Tensor, table: Tensor, around: Tensor) -> None:
        self.cell = cell
        self.table = table
        self.around = around
        self.width = around.shape[1] * table.shape[1]

    def of(self, own: Tensor) -> Tensor:
        """(n, width) sites near sites `own`, -1 for none."""
        return self.table[self.around[self.cell[own]]].flatten(1)


def _near_cells(fractions: Tensor, cells: list[int]) -> _Cells:
    """Sites at fractional coordinates (n_frames, n_sites, 3), more than three cells along each axis."""
    device = fractions.device
    frames, sites = fractions.shape[:2]
    counts = torch.tensor(cells, device=device)
    strides = torch.tensor([cells[1] * cells[2], cells[2], 1], device=device)
    inside = torch.nan_to_num(fractions - fractions.floor())
    place = torch.minimum((inside * counts).long().clamp(min=0), counts - 1)
    n_cells = cells[0] * cells[1] * cells[2]
    first = torch.arange(frames, device=device)[:, None] * n_cells
    cell = ((place * strides).sum(-1) + first).flatten()
    order = torch.argsort(cell, stable=True)
    held = torch.zeros(frames * n_cells, dtype=torch.long, device=device)
    held.index_add_(0, cell, torch.ones_like(cell))
    rank = torch.arange(frames * sites, device=device) - (held.cumsum(0) - held)[cell[order]]
    table = torch.full((frames * n_cells, int(held.max())), -1, device=device)
    table[cell[order], rank] = order
    steps = torch.arange(-1, 2, device=device)
    axes = [torch.arange(n, device=device) for n in cells]
    corner = torch.cartesian_prod(*axes)[:, None] + torch.cartesian_prod(steps, steps, steps)
    around = ((corner % counts) * strides).sum(-1)
    return _Cells(cell, table, (around + first[:, :, None]).flatten(0, 1))
