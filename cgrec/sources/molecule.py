"""A molecule of a PDB file under an OpenMM force field, as a `ForceField` and a frame to start
from.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..frames import Frames
from ..potential import ForceField
from .openmm_system import masses_of, openmm_modules, system_of


def molecule(
    structure: str | Path, force_field: Sequence[str], temperature: float = 300.0
) -> tuple[ForceField, Frames]:
    """The energy of a molecule, and its structure as one frame.

    Args:
        structure: PDB file of the molecule alone, complete with hydrogens.
        force_field: OpenMM force-field files, e.g. ["amber14-all.xml", "implicit/gbn2.xml"].
        temperature: K of the frame, and so of runs that start from it.

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
    positions = np.array(pdb.getPositions(asNumpy=True)._value)
    return ForceField(plain, system), Frames(system, positions[None], temperature)
