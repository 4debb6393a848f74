"""Any Potential as an ASE calculator, for the integrators, optimisers and samplers people have there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from ..frames import Frames
from ..potential.base import Potential
from ..system import System
from ..units import energy_factor, force_factor, length_factor
from .engine import Engine

ELECTRONVOLT, ANGSTROM, FORCE = energy_factor("eV"), length_factor("angstrom"), force_factor("eV/angstrom")


class PotentialCalculator(Calculator):
    """ASE calculator of `potential` for Atoms that are the sites of `system`, in their order. eV and Angstrom outside.

    `atoms_of` makes such Atoms, beads and all; a box makes them periodic in three directions.
    """

    implemented_properties = ["energy", "free_energy", "forces"]

    def __init__(self, potential: Potential, system: System, skin: float = 0.1) -> None:
        super().__init__()
        self.engine = Engine(potential, system, skin)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """ASE's own entry.

        Raises:
            ValueError: the atoms are periodic in one or two directions only.
        """
        super().calculate(atoms, properties, system_changes)
        periodic = self.atoms.pbc
        if periodic.any() and not periodic.all():
            raise ValueError(f"expected atoms periodic in all directions or none, found pbc = {periodic}")
        box = self.atoms.cell.array * ANGSTROM if periodic.all() else None
        energy, forces = self.engine(self.atoms.positions * ANGSTROM, box)
        self.results: dict[str, Any] = {"energy": energy / ELECTRONVOLT, "forces": forces / FORCE}
        self.results["free_energy"] = self.results["energy"]


def atoms_of(frames: Frames, index: int = 0) -> Atoms:
    """One configuration of `frames` as ASE Atoms with the sites' masses; a bead is an X."""
    box = frames.boxes()
    return Atoms(
        symbols=list(frames.system.elements), masses=frames.system.masses, positions=frames.positions[index] / ANGSTROM,
        cell=None if box is None else box[index] / ANGSTROM, pbc=box is not None,
    )  # fmt: skip
