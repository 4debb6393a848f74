"""The virial of a potential: how its energy answers to a strain of box and positions together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..frames import Frames
from .graph import SiteGraph

#: Sites in a portion of frames: what the graph of their gradients holds.
PORTION = 5_000


class _HasEnergy(Protocol):
    def energy(self, graph: SiteGraph) -> Tensor: ...

    def graph(self, frames: Frames) -> SiteGraph: ...


def of_frames(
    potential: _HasEnergy, frames: Frames
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(n_frames,) kJ/mol, (n_frames, n_sites, 3) kJ/mol/nm and (n_frames, 3, 3) kJ/mol in float64:
    energy, forces and virial of `energy_forces_virial`. Molecules in a box must be whole.
    """
    step = max(1, PORTION // frames.n_sites)
    found = [
        energy_forces_virial(potential.energy, potential.graph(frames[start : start + step]))
        for start in range(0, len(frames), step)
    ]
    energies, forces, virials = (torch.cat(part).double().cpu().numpy() for part in zip(*found))
    return energies, forces.reshape(len(frames), -1, 3), virials


def energy_forces_virial(
    energy: Callable[[SiteGraph], Tensor], graph: SiteGraph
) -> tuple[Tensor, Tensor, Tensor]:
    """(n_frames,) energy, (n_frames * n_sites, 3) force -dE/dx and (n_frames, 3, 3) virial.

    The virial is W = -dE/de at e = 0, all positions and lattice vectors r being r (1 + e): of a pair
    potential sum r_ij (x) f_ij over pairs (M. P. Allen, D. J. Tildesley, Computer Simulation of
    Liquids, 2nd ed., 2017, Sec. 2.4). The pressure is (N kT + trace(W) / 3) / V.
    """
    strained = graph.clone()
    strain = graph.positions.new_zeros(graph.n_frames, 3, 3, dtype=torch.float64).requires_grad_()
    positions = graph.positions.detach().requires_grad_()
    with torch.enable_grad():
        stretch = strain + torch.eye(3, dtype=strain.dtype, device=strain.device)
        stretch = 0.5 * (stretch + stretch.transpose(1, 2))  # a rotation changes no energy
        of_site = stretch.to(positions.dtype).repeat_interleave(graph.sites_per_frame, 0)
        strained.positions = (positions[:, None] @ of_site)[:, 0]
        strained.neighbour_shift = graph.neighbour_shift @ of_site
        if graph.box is not None:
            strained.box = graph.box @ stretch.to(graph.box.dtype)
        found = energy(strained)
        # a term of the volume moves no site
        slope, virial = torch.autograd.grad(
            found.sum(), (positions, strain), allow_unused=True, materialize_grads=True
        )
    return found.detach(), -slope, -virial
