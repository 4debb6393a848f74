"""Any Potential as an ASE calculator, for the integrators, optimisers and samplers people have
there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from numpy.typing import NDArray

from ..frames import Frames
from ..io import to_ase
from ..potential.base import Potential
from ..roles import Guard
from ..system import System
from ..units import energy_factor, force_factor, length_factor
from .engine import Engine

ELECTRONVOLT, ANGSTROM, FORCE = (
    energy_factor("eV"),
    length_factor("angstrom"),
    force_factor("eV/angstrom"),
)
#: amu by which masses of one site may differ: tables of different years.
SAME_MASS = 0.05


class PotentialCalculator(Calculator):
    """ASE calculator of `potential` for Atoms that are the sites of `system`, in their order. eV
    and Angstrom outside.

    `atoms_of` makes such Atoms, beads and all; a box makes them periodic in three directions. The
    stress is asked for apart: it costs an energy by autograd.
    With a `guard` the results have "extrapolation": above 1 the configuration lies outside of what
    the potential was trained on. The first time a remark says so.

    Args:
        potential: of the sites.
        system: the sites.
        skin: nm added to the cutoff.
        guard: of the potential, such as `Level.guard`.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]

    def __init__(
        self,
        potential: Potential,
        system: System,
        skin: float = 0.1,
        guard: Guard | None = None,
    ) -> None:
        super().__init__()
        self.engine = Engine(potential, system, skin, guard)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """ASE's own entry.

        Raises:
            ValueError: the atoms are periodic in one or two directions only, or are not the sites
                in their order; the stress of an open system.
        """
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None  # it has taken them
        _check_atoms(self.atoms, self.engine.system)
        periodic = self.atoms.pbc
        if periodic.any() and not periodic.all():
            raise ValueError(
                f"expected atoms periodic in all directions or none, found pbc = {periodic}"
            )
        box = self.atoms.cell.array * ANGSTROM if periodic.all() else None
        energy, forces = self.engine(self.atoms.positions * ANGSTROM, box)
        self.results: dict[str, object] = {
            "energy": energy / ELECTRONVOLT,
            "forces": forces / FORCE,
        }
        self.results["free_energy"] = self.results["energy"]
        if "stress" in properties:
            self.results["stress"] = self._stress(box)
        score = self.engine.extrapolation()
        if score is not None:
            self.results["extrapolation"] = score

    def _stress(self, box: NDArray[np.float64] | None) -> NDArray[np.float64]:
        """(6,) eV/Angstrom^3, dE/de / V as xx, yy, zz, yz, xz, xy: positive where the box pulls."""
        if box is None:
            raise ValueError("stress: expected atoms in a box, found an open system; give a cell")
        volume = abs(np.linalg.det(box / ANGSTROM))
        stress = -self.engine.virial() / ELECTRONVOLT / volume
        return stress.ravel()[[0, 4, 8, 5, 2, 1]]


def _check_atoms(atoms: Atoms, system: System) -> None:
    """ValueError where Atoms are not the sites of `system` in their order: another element, or
    masses that changed places.
    """
    if len(atoms) != system.n_sites:
        return  # the engine names both numbers
    for k, (expected, found) in enumerate(zip(system.elements, atoms.symbols)):
        if expected not in ("X", found):
            raise ValueError(
                f"atom {k}: expected {expected} ({system.labels[k]}), found {found}; give the "
                "atoms in the order of the System "
                "the calculator was made for"
            )
    # Beads have no element. Their masses may be changed (they do not matter to a configuration),
    # but not swapped.
    masses = atoms.get_masses()
    swapped = np.abs(masses - system.masses) > SAME_MASS
    if swapped.any() and np.allclose(np.sort(masses), np.sort(system.masses), atol=SAME_MASS):
        k = int(np.argmax(swapped))
        raise ValueError(
            f"atom {k}: expected a mass of {system.masses[k]:.4g} amu ({system.labels[k]}), "
            f"found {masses[k]:.4g}, and the others' "
            "masses are changed about as well; give the atoms in the order of the System the "
            "calculator was made for"
        )


def atoms_of(frames: Frames, index: int = 0) -> Atoms:
    """One configuration of `frames` as ASE Atoms with the sites' masses; a bead is an X."""
    atoms = to_ase(frames[[index]])[0]
    atoms.calc = None
    return atoms
