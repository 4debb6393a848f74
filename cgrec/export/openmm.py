"""Any Potential as an OpenMM force, for its integrators, barostats and enhanced sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..potential.base import Potential
from ..roles import Guard
from ..system import System
from .engine import Engine

if TYPE_CHECKING:
    import openmm


def python_force(
    potential: Potential,
    system: System,
    periodic: bool = False,
    skin: float = 0.1,
    guard: Guard | None = None,
) -> openmm.PythonForce:
    """An `openmm.PythonForce` of `potential` for particles that are the sites of `system`, in their
    order.

    Args:
        periodic: use the box of the OpenMM Context.
        skin: nm added to the cutoff.
        guard: of the potential: a remark says once that a configuration lies outside of what it was
            trained on. It is looked at on every step, which costs about as much as an energy.

    Raises:
        ImportError: OpenMM before 8.4, or none (`pip install "cgrec[openmm]"`).
        ValueError: a site type the potential does not know.
    """
    from openmm import PythonForce, unit

    engine = Engine(potential, system, skin, guard)

    def compute(state: openmm.State) -> tuple[float, NDArray[np.float64]]:
        positions = state.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
        box = (
            state.getPeriodicBoxVectors(asNumpy=True).value_in_unit(unit.nanometer)
            if periodic
            else None
        )
        found = engine(positions, box)
        engine.extrapolation()
        return found

    force = PythonForce(compute)
    force.setUsesPeriodicBoundaryConditions(periodic)
    return force


def openmm_system(
    potential: Potential,
    system: System,
    box: NDArray[np.floating] | None = None,
    guard: Guard | None = None,
) -> openmm.System:
    """An OpenMM System of the sites with their masses, the box (3, 3) nm if any, and `potential` as
    its only force, watched by `guard` if there is one.
    """
    import openmm

    made = openmm.System()
    for mass in system.masses:
        made.addParticle(float(mass))
    if box is not None:
        made.setDefaultPeriodicBoxVectors(*np.asarray(box, dtype=float))
    made.addForce(python_force(potential, system, periodic=box is not None, guard=guard))
    return made
