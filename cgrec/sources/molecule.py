"""A molecule of a PDB file under an OpenMM force field, as a `ForceField` and a frame to start
from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from ..frames import Frames
from ..potential import ForceField
from .openmm_system import masses_of, openmm_modules, system_of

#: Steps of the minimiser, at most: a structure put together by rules needs some hundred.
STEPS = 1000
#: kJ/mol/nm: the largest force it leaves, far below those of motion at any temperature.
FLAT = 10.0


def molecule(
    structure: str | Path,
    force_field: Sequence[str],
    temperature: float = 300.0,
    minimise: bool = True,
) -> tuple[ForceField, Frames]:
    """The energy of a molecule, and its structure as one frame to start runs from.

    Args:
        structure: PDB file of the molecule alone, complete with hydrogens.
        force_field: OpenMM force-field files, e.g. ["amber14-all.xml", "implicit/gbn2.xml"].
        temperature: K of the frame, and so of runs that start from it.
        minimise: take strain out of the structure first, by L-BFGS.

    Raises:
        ImportError: OpenMM is not installed.
        ValueError: see `ForceField`; or the force field does not know a residue, in OpenMM's words.
    """
    _, app = openmm_modules("molecule")
    pdb = app.PDBFile(str(structure))
    plain = app.ForceField(*force_field).createSystem(
        pdb.topology, nonbondedMethod=app.NoCutoff, constraints=None, rigidWater=False
    )
    masses = masses_of(plain)
    system = system_of(pdb.topology, plain, masses, np.flatnonzero(masses > 0))
    potential = ForceField(plain, system)
    start = Frames(system, np.array(pdb.getPositions(asNumpy=True)._value)[None], temperature)
    return potential, _relaxed(potential, start) if minimise else start


def _relaxed(potential: ForceField, start: Frames) -> Frames:
    fast, shape = potential.compiled(), start.positions.shape

    def downhill(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        energy, force = fast(fast.graph(replace(start, positions=x.reshape(shape))))
        return float(energy[0]), -force.numpy().ravel()

    found = optimize.minimize(
        downhill,
        np.asarray(start.positions, float).ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": STEPS, "gtol": FLAT},
    )
    return replace(start, positions=found.x.reshape(shape))
