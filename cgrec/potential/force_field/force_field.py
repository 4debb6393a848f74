"""`ForceField`: the energy of a molecule by the force field of an OpenMM System."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...system import System
from ..base import Config, Potential
from ..bond_graph import BondGraph, BondGraphConfig
from ..graph import SiteGraph
from . import terms
from .openmm_terms import Counts, terms_of
from .terms import ORDERS, Born, BornConfig

if TYPE_CHECKING:
    import openmm

#: Pairs of all frames evaluated at a time without the kernel, which then holds some 0.3 GB.
PAIRS = 300_000


class ForceField(Potential):
    """All atoms under the force field of an OpenMM System: bonds, angles, torsions, maps
    of two torsions (CMAP), Coulomb and Lennard-Jones terms with exceptions, generalised Born
    solvent with its surface term.

    It is an energy and no PMF: it holds at any temperature and needs no guard. It has no
    constraints: a run at 4 fs makes hydrogens heavier instead (`Langevin(minimum_mass=12,
    timestep=0.004)`), which changes no distribution of positions.

    Everything is a sum over all pairs of one molecule in the open, with the replicas of a run in
    the lanes of vectors: 16 of them, 8 without AVX-512, take the time of one. On a core that is 7
    to 85 times the sampling of OpenMM's CPU platform up to 600 atoms
    (`scripts/benchmarks/force_field.py`). For one trajectory, on a GPU, in a box or in solvent let
    OpenMM run (`cgrec.sources.OpenMMSource`).

    Args:
        openmm_system: an `openmm.System` made by createSystem(topology, nonbondedMethod=NoCutoff,
            constraints=None, rigidWater=False).
        system: its atoms, in the same order, with true masses.
        types: of the atoms, when loaded from disk.
        cutoff: nm; 0, all atoms see each other.
        bond_graph, counts, born: what it was made of, when loaded from disk.

    Raises:
        ValueError: another number of atoms or other masses; constraints, virtual sites, a box, a
            cutoff, or a force it does not know.
    """

    own_forces = True

    bond_sites: Tensor
    bond_terms: Tensor
    angle_sites: Tensor
    angle_terms: Tensor
    torsion_sites: Tensor
    torsion_series: Tensor
    map_sites: Tensor
    map_kinds: Tensor
    map_tables: Tensor
    charges: Tensor
    sizes: Tensor
    exception_sites: Tensor
    exception_terms: Tensor
    born_radii: Tensor
    born_coefficients: Tensor
    born_charges: Tensor
    neck_kinds: Tensor
    neck_heights: Tensor
    neck_distances: Tensor

    def __init__(
        self,
        openmm_system: openmm.System | None = None,
        system: System | None = None,
        *,
        types: Sequence[str] = (),
        cutoff: float = 0.0,
        bond_graph: BondGraphConfig | None = None,
        counts: Counts | None = None,
        born: BornConfig | None = None,
    ) -> None:
        tensors: dict[str, Tensor] = {}
        if openmm_system is not None and system is not None:
            types, bond_graph = sorted(set(system.types)), BondGraph.of(system).config
            tensors, counts, born = terms_of(openmm_system, system)
        if bond_graph is None or counts is None:
            raise ValueError(
                "ForceField: expected an OpenMM System and the cgrec.System of its atoms, found "
                "only one of them or none: ForceField(openmm_system, frames.system)"
            )
        super().__init__(
            types=types, cutoff=cutoff, bond_graph=bond_graph, counts=counts, born=born
        )
        self.bond_graph = BondGraph(tuple(bond_graph["types"]), _pairs(bond_graph))
        self.born_numbers = born
        for name, shape in self.shapes(self.config).items():
            dtype = torch.int64 if name.endswith(("_sites", "_kinds")) else torch.float64
            known = tensors.get(name)
            empty = torch.zeros([n or 0 for n in shape], dtype=dtype)
            self.register_buffer(name, empty if known is None else known)

    @classmethod
    def shapes(cls, config: Config) -> dict[str, tuple[int | None, ...]]:
        n, counts, kinds = _sizes(config)
        solvated = n if config["born"] else 0
        return {
            "bond_sites": (counts["bonds"], 2),
            "bond_terms": (counts["bonds"], 2),
            "angle_sites": (counts["angles"], 3),
            "angle_terms": (counts["angles"], 2),
            "torsion_sites": (counts["torsions"], 4),
            "torsion_series": (counts["torsions"], 1 + 2 * ORDERS),
            "map_sites": (counts["maps"], 8),
            "map_kinds": (counts["maps"],),
            "map_tables": (counts["tables"], counts["points"], counts["points"], 4),
            "charges": (n,),
            "sizes": (n, 2),
            "exception_sites": (counts["exceptions"], 2),
            "exception_terms": (counts["exceptions"], 3),
            "born_radii": (solvated, 3),
            "born_coefficients": (solvated, 3),
            "born_charges": (solvated,),
            "neck_kinds": (solvated,),
            "neck_heights": (kinds, kinds),
            "neck_distances": (kinds, kinds),
        }

    def check(self, system: System) -> None:
        if system.n_sites != len(self.bond_graph.types):
            raise ValueError(
                f"ForceField was made for {len(self.bond_graph.types)} atoms, this System has "
                f"{system.n_sites}: make one of the OpenMM System of these atoms"
            )
        self.bond_graph.check(system, "ForceField")

    @property
    def born(self) -> Born | None:
        """The generalised Born model; None in vacuum."""
        if self.born_numbers is None:
            return None
        offset, scaled, whole = self.born_radii.unbind(1)
        return Born(
            self.born_numbers,
            offset,
            scaled,
            whole,
            self.born_coefficients,
            self.born_charges,
            self.neck_kinds,
            self.neck_heights,
            self.neck_distances,
        )

    def pair_table(self) -> Tensor:
        """See `terms.pair_table`."""
        return terms.pair_table(
            self.charges, self.sizes, self.exception_sites, self.exception_terms
        )

    def energies(self, x: Tensor) -> dict[str, Tensor]:
        """{kind of term: (n_frames,) kJ/mol} at positions `x` (n_frames, n_sites, 3) nm."""
        x = x.double()
        r, born = terms.distances(x), self.born
        found = {
            "bonds": terms.bonds(x, self.bond_sites, self.bond_terms),
            "angles": terms.angles(x, self.angle_sites, self.angle_terms),
            "torsions": terms.torsions(x, self.torsion_sites, self.torsion_series),
            "pairs": terms.pairs(r, self.pair_table()),
        }
        if len(self.map_sites):
            found["maps"] = terms.maps(x, self.map_sites, self.map_kinds, self.map_tables)
        if born is not None:
            found["solvent"] = terms.born_energy(r, born)
        return found

    def energy(self, graph: SiteGraph) -> Tensor:
        return self._total(graph.per_frame(graph.positions))

    def forward(self, graph: SiteGraph, differentiable: bool = False) -> tuple[Tensor, Tensor]:
        if differentiable:
            return super().forward(graph, differentiable)
        frames = graph.per_frame(graph.positions.detach())
        step = max(1, PAIRS // frames.shape[1] ** 2)
        energies, forces = [], []
        for start in range(0, len(frames), step):
            x = frames[start : start + step].clone().requires_grad_()
            with torch.enable_grad():
                energy = self._total(x)
                (gradient,) = torch.autograd.grad(energy.sum(), x)
            energies.append(energy.detach())
            forces.append(-gradient)
        return torch.cat(energies), torch.cat(forces).reshape(-1, 3)

    def _total(self, x: Tensor) -> Tensor:
        return torch.stack(list(self.energies(x).values())).sum(0)


def _sizes(config: Config) -> tuple[int, Counts, int]:
    """Atoms, terms of each kind, and rows of the tables of necks.

    Raises:
        ValueError: a configuration that is none.
    """
    try:
        born, counts = config["born"], config["counts"]
        n, kinds = len(config["bond_graph"]["types"]), counts["necks"]
        numbers = [] if born is None else [float(born[key]) for key in BornConfig.__annotations__]
        whole = all(isinstance(counts[key], int) for key in Counts.__annotations__)
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"ForceField: its configuration lacks {error}") from error
    if not whole or not all(math.isfinite(x) for x in numbers):
        raise ValueError(
            f"ForceField: expected numbers of terms and of a solvent, found {counts}, {born}"
        )
    return n, counts, kinds


def _pairs(config: BondGraphConfig) -> tuple[tuple[int, int], ...]:
    return tuple((int(i), int(j)) for i, j in config["bonds"])
