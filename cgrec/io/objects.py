"""Frames as the objects of MDAnalysis, mdtraj and ASE: for all that these analyse better than we do.

Molecules are made whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..frames import Frames
from ..system import System
from ..units import energy_factor, force_factor, length_factor
from .topology import universe_of
from .whole import whole

if TYPE_CHECKING:
    import mdtraj
    from ase import Atoms
    from MDAnalysis import Universe


def to_mdtraj(frames: Frames) -> mdtraj.Trajectory:
    """An mdtraj Trajectory: positions in nm, and the box. mdtraj has no place for forces.

    Weights and replicas are left out as well: averages over a weighted sample are for the caller.
    """
    import mdtraj

    frames = whole(frames)
    found = mdtraj.Trajectory(np.asarray(frames.positions, np.float32), _topology(frames.system))
    boxes = frames.boxes()
    if boxes is not None:
        found.unitcell_vectors = np.asarray(boxes, np.float32)
    return found


def to_mdanalysis(frames: Frames) -> Universe:
    """An MDAnalysis Universe in memory: positions, forces and box in its units (angstrom,
    kJ/mol/angstrom).
    """
    from MDAnalysis.coordinates.memory import MemoryReader
    from MDAnalysis.lib.mdamath import triclinic_box

    frames = whole(frames)
    universe = universe_of(frames.system)
    boxes = frames.boxes()
    universe.load_new(
        np.asarray(frames.positions, np.float32) * 10,
        format=MemoryReader,
        order="fac",
        forces=None if frames.forces is None else np.asarray(frames.forces, np.float32) / 10,
        dimensions=None if boxes is None else np.array([triclinic_box(*(10 * b)) for b in boxes]),
    )
    return universe


def to_ase(frames: Frames) -> list[Atoms]:
    """ASE Atoms, one of each frame, in angstrom; forces and energies as results of their calculator,
    in eV/angstrom and eV.

    A bead is an X, with its name in `arrays["names"]`; so are residues in "residuenames" and
    "residuenumbers". Weights and replicas are left out.
    """
    from ase.calculators.singlepoint import SinglePointCalculator

    frames = whole(frames)
    boxes = frames.boxes()
    images = []
    for t in range(len(frames)):
        box = None if boxes is None else boxes[t]
        atoms = _atoms(frames.system, frames.positions[t], box)
        results: dict[str, object] = {}
        if frames.forces is not None:
            results["forces"] = np.asarray(frames.forces[t], float) / force_factor("eV/angstrom")
        if frames.energies is not None:
            results["energy"] = float(frames.energies[t]) / energy_factor("eV")
        if results:
            atoms.calc = SinglePointCalculator(atoms, **results)
        images.append(atoms)
    return images


def _atoms(
    system: System, positions: NDArray[np.floating], box: NDArray[np.floating] | None
) -> Atoms:
    """One configuration, beads and all."""
    from ase import Atoms

    angstrom = length_factor("angstrom")
    atoms = Atoms(
        symbols=list(system.elements),
        positions=np.asarray(positions, float) / angstrom,
        masses=system.masses,
        cell=None if box is None else np.asarray(box, float) / angstrom,
        pbc=box is not None,
    )
    numbers = system.residues + 1 if system.residue_numbers is None else system.residue_numbers
    for key, words in (("names", system.names), ("residuenames", system.residue_names)):
        atoms.new_array(key, np.array([word or "-" for word in words]))  # a file has columns
    atoms.new_array("residuenumbers", np.asarray(numbers, int))
    return atoms


def _topology(system: System) -> mdtraj.Topology:
    """Chains, residues, sites and bonds; a bead has mdtraj's virtual site as its element."""
    import mdtraj

    topology = mdtraj.Topology()
    chain_names = system.chain_ids or ("",) * system.n_sites
    numbers = system.residues + 1 if system.residue_numbers is None else system.residue_numbers
    chains: dict[str, mdtraj.core.topology.Chain] = {}
    residues: dict[int, mdtraj.core.topology.Residue] = {}
    sites = []
    for k, name in enumerate(system.names):
        chain = chains.get(chain_names[k])
        if chain is None:
            chain = chains[chain_names[k]] = topology.add_chain(chain_names[k] or None)
        residue = residues.get(int(system.residues[k]))
        if residue is None:
            residue = topology.add_residue(system.residue_names[k], chain, int(numbers[k]))
            residues[int(system.residues[k])] = residue
        symbol = system.elements[k]
        element = mdtraj.element.virtual if symbol == "X" else mdtraj.element.get_by_symbol(symbol)
        sites.append(topology.add_atom(name, element, residue))
    for i, j in system.bonds.tolist():
        topology.add_bond(sites[i], sites[j])
    return topology
