"""Any Potential as a model of torch-sim, which moves many copies of a system in one batch.

torch-sim asks its models for no base class, only for what `SitesModel` has, so nothing of it is
imported here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import torch
from torch import Tensor

from ..potential.base import Potential
from ..potential.graph import VerletList
from ..potential.virial import energy_forces_virial
from ..system import System
from ..units import energy_factor, force_factor, length_factor

ELECTRONVOLT, ANGSTROM, FORCE = (
    energy_factor("eV"),
    length_factor("angstrom"),
    force_factor("eV/angstrom"),
)


class State(Protocol):
    """What is read of a `torch_sim.SimState`.

    Attributes:
        positions: (n_systems * n_sites, 3) Angstrom.
        cell: (n_systems, 3, 3) Angstrom, vectors as columns.
        pbc: whether the systems are periodic.
    """

    positions: Tensor
    cell: Tensor
    pbc: bool | Tensor


class SitesModel(torch.nn.Module):
    """Model of torch-sim for systems that all are copies of `system`, sites in its order. eV and
    Angstrom outside.

    Args:
        potential: of the sites.
        system: the sites.
        stress: give the stress of the boxes as well, which costs an energy by autograd.
        skin: nm added to the cutoff.

    Raises:
        ValueError: a site type the potential does not know.
    """

    memory_scales_with: Literal["n_atoms_x_density"] = "n_atoms_x_density"
    compute_forces = True

    def __init__(
        self, potential: Potential, system: System, stress: bool = False, skin: float = 0.1
    ) -> None:
        super().__init__()
        self.potential = potential.compiled()
        self.system = system
        self.compute_stress = stress
        self.device = potential.device
        self.dtype = torch.float64
        species = potential.species(system).to(self.device)
        self.neighbours = VerletList(species, potential.reach(skin), skin)

    def forward(self, state: State | Mapping[str, Tensor]) -> dict[str, Tensor]:
        """{"energy": (n_systems,) eV, "forces": (n_systems * n_sites, 3) eV/Angstrom, "stress":
        (n_systems, 3, 3) eV/Angstrom^3 where it is asked for}.

        Raises:
            ValueError: systems of another number of sites; periodic in some directions only; the
                stress of open systems.
        """
        positions, cell, pbc = (_of(state, name) for name in ("positions", "cell", "pbc"))
        n_sites = self.system.n_sites
        if len(positions) != n_sites * len(cell):
            raise ValueError(
                f"expected {len(cell)} systems of {n_sites} sites, found {len(positions)} positions"
            )
        if pbc.any() and not pbc.all():
            raise ValueError(f"expected systems periodic in all directions or none, found {pbc}")
        box = cell.transpose(1, 2).double() * ANGSTROM if pbc.all() else None
        graph = self.neighbours(positions.double().view(-1, n_sites, 3) * ANGSTROM, box)
        energy, forces = self.potential(graph)
        found = {"energy": energy / ELECTRONVOLT, "forces": forces.view(-1, 3) / FORCE}
        if self.compute_stress:
            if box is None:
                raise ValueError("stress: expected systems in boxes, found open ones; give a cell")
            virial = energy_forces_virial(self.potential.energy, graph)[2]
            volume = torch.linalg.det(box / ANGSTROM).abs()[:, None, None]
            found["stress"] = -virial / ELECTRONVOLT / volume
        return {name: value.detach().to(self.dtype) for name, value in found.items()}


def _of(state: State | Mapping[str, Tensor], name: str) -> Tensor:
    value = state[name] if isinstance(state, Mapping) else getattr(state, name)
    return torch.as_tensor(value)
