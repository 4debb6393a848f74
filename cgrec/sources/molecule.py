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
from ..io.stated import check_pdb
from ..potential import ForceField, Potential
from ..system import System
from .openmm_system import (
    force_field_of_files,
    masses_of,
    openmm_modules,
    system_of,
    system_under,
    topology_of,
)

#: Steps of the minimiser, at most: a structure put together by rules needs some hundred.
STEPS = 1000
#: kJ/mol/nm: the largest force it leaves, far below those of motion at any temperature.
FLAT = 10.0


def molecule(
    structure: str | Path,
    force_field: str | Sequence[str],
    temperature: float = 300.0,
    minimise: bool = True,
) -> tuple[ForceField, Frames]:
    """The energy of a molecule, and its structure, a frame of each model of the file, to start runs
    from.

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
    field = force_field_of_files("molecule", force_field)
    check_pdb(structure)
    pdb = app.PDBFile(str(structure))
    plain = system_under(field, pdb.topology, str(structure))
    masses = masses_of(plain)
    system = system_of(pdb.topology, plain, masses, np.flatnonzero(masses > 0))
    potential = ForceField(plain, system)
    models = range(pdb.getNumFrames())
    positions = np.array([pdb.getPositions(asNumpy=True, frame=k)._value for k in models])
    starts = Frames(system, positions, temperature)
    return potential, relaxed(potential, starts) if minimise else starts


def force_field_of(system: System, force_field: Sequence[str]) -> ForceField:
    """The energy of molecules whose atoms and bonds are known, in the open.

    Args:
        system: all atoms, hydrogens too.
        force_field: OpenMM force-field files, as in `molecule`.

    Raises:
        ImportError: OpenMM is not installed.
        ValueError: see `ForceField`; or the force field does not know a residue, in OpenMM's words.
    """
    field = force_field_of_files("force_field_of", force_field)
    plain = system_under(field, topology_of(system), "these atoms")
    return ForceField(plain, system)


def relaxed(potential: Potential, frames: Frames) -> Frames:
    """Each frame brought down in energy until nothing clashes, by L-BFGS (scipy)."""
    fast = potential.compiled()
    found = [_downhill(fast, frames[k : k + 1]) for k in range(len(frames))]
    return replace(frames, positions=np.stack(found))


def _downhill(potential: Potential, start: Frames) -> NDArray[np.float64]:
    """(n_sites, 3) nm below a frame."""
    shape = start.positions.shape

    def energy(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, force = potential(potential.graph(replace(start, positions=x.reshape(shape))))
        return float(value[0]), -force.numpy().ravel()

    found = optimize.minimize(
        energy,
        np.asarray(start.positions, float).ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": STEPS, "gtol": FLAT},
    )
    return np.asarray(found.x).reshape(shape[1:])
