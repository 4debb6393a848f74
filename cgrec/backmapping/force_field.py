"""`OpenMMForceField`: the forces of an OpenMM System where a corrector asks for a potential."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..frames import Frames

if TYPE_CHECKING:
    import openmm


class OpenMMForceField:
    """Energies (kJ/mol) and forces (kJ/mol/nm) of frames under `system`, one frame after another.

    Constraints of the System hold nothing here: make it with `constraints=None, rigidWater=False`
    for correctors that move every atom.

    Args:
        system: an openmm.System, particles in the order of the sites.
        platform: OpenMM's name of it; "CPU" leaves OPENMM_CPU_THREADS to say how many threads.
    """

    def __init__(self, system: openmm.System, platform: str = "CPU") -> None:
        import openmm

        self.n_particles = system.getNumParticles()
        self._context = openmm.Context(
            system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName(platform)
        )

    def energy_and_forces(self, frames: Frames) -> tuple[np.ndarray, np.ndarray]:
        """(n_frames,) and (n_frames, n_sites, 3). ValueError: other sites than particles."""
        if frames.n_sites != self.n_particles:
            raise ValueError(
                f"OpenMMForceField: expected {self.n_particles} sites, one for each particle "
                f"of its System, found {frames.n_sites}"
            )
        energies, forces, boxes = (
            np.empty(len(frames)),
            np.empty(frames.positions.shape),
            frames.boxes(),
        )
        for k, x in enumerate(np.asarray(frames.positions, float)):
            if boxes is not None:
                self._context.setPeriodicBoxVectors(*np.asarray(boxes[k], float))
            self._context.setPositions(x)
            state = self._context.getState(getEnergy=True, getForces=True)
            energies[k] = state.getPotentialEnergy()._value
            forces[k] = state.getForces(asNumpy=True)._value
        return energies, forces
