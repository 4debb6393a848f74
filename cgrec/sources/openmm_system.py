"""OpenMM's Topology and System as a `System`: massive particles, bonds, constraints, charges."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from numpy.typing import NDArray

from ..bonds import as_pairs
from ..io.amino_acids import check_complete
from ..system import System

if TYPE_CHECKING:
    import openmm
    from openmm.app import ForceField, Topology
    from openmm.app.topology import Residue


#: A force field that is right for a protein.
_FILES = "give e.g. force_field=[amber14-all.xml, implicit/obc2.xml]"


def openmm_modules(owner: str) -> tuple[ModuleType, ModuleType]:
    """openmm and openmm.app; ImportError that says what `owner` lacks and how to get it."""
    try:
        import openmm
        from openmm import app
    except ImportError as error:
        raise ImportError(
            f"{owner} needs OpenMM, which is not installed: pip install 'cgrec[openmm]'"
        ) from error
    return openmm, app


def listed(force_field: str | Sequence[str]) -> list[str]:
    """Force-field files as a list; one alone may be given as text.

    Raises:
        ValueError: none.
    """
    files = [force_field] if isinstance(force_field, str) else list(force_field)
    if not files:
        raise ValueError(f"force_field: expected files of a force field, found none; {_FILES}")
    return files


def force_field_of_files(
    owner: str, force_field: str | Sequence[str], key: str = "force_field"
) -> ForceField:
    """OpenMM's ForceField of some files.

    Args:
        owner: what needs it, for messages, and `key`, where the files were given.
        force_field: file names.

    Raises:
        ImportError: OpenMM is not installed. ValueError: a file that is not there, or is none.
    """
    _, app = openmm_modules(owner)
    try:
        return app.ForceField(*listed(force_field))
    except (KeyError, ValueError, OSError) as error:
        fault = error
    for file in listed(force_field):  # which of them it is
        try:
            app.ForceField(file)
        except KeyError:  # it goes on from another file: looked at with that one
            continue
        except (ValueError, OSError) as error:
            folder = Path(str(app.__file__)).parent / "data"
            near = get_close_matches(file, sorted(p.name for p in folder.glob("*.xml")), 3, 0.5)
            meant = f"did you mean {', '.join(near)}? " if near else ""
            raise ValueError(
                f"{key}: expected a force-field file of OpenMM's or a path, found {file!r} "
                f"({error}); {meant}{_FILES}"
            ) from error
    raise fault


def system_under(field: ForceField, topology: Topology, structure: str) -> openmm.System:
    """OpenMM's System of a molecule in the open without constraints.

    Args:
        field: of `force_field_of_files`.
        topology: of the molecule.
        structure: where it came from, for messages.

    Raises:
        ValueError: the force field does not know a residue: atoms are missing, which are named, or
            it is of another kind of molecule.
    """
    _, app = openmm_modules("a force field")
    try:
        return field.createSystem(
            topology, nonbondedMethod=app.NoCutoff, constraints=None, rigidWater=False
        )
    except ValueError as error:
        if "template" not in str(error):
            raise
        _check_residues(topology, structure)
        raise ValueError(
            f"{structure}: expected residues with all atoms, hydrogens too, as the force field "
            f"knows them, found another ({re.split('  Is the chain|  For more', str(error))[0]}); add what is "
            "missing, such as by openmm.app.Modeller.addHydrogens or cgrec backmap of its CA atoms, "
            "or take a force field that knows the residue"
        ) from error


def _check_residues(topology: Topology, structure: str) -> None:
    """ValueError of the heavy atoms that amino acids lack."""
    n = topology.getNumAtoms()
    check_complete(system_of(topology, None, np.ones(n), np.arange(n)), structure)


def masses_of(plain: openmm.System) -> NDArray[np.float64]:
    """(n_particles,) amu."""
    return np.array([plain.getParticleMass(k)._value for k in range(plain.getNumParticles())])


def created(field: ForceField, topology: Topology, options: Mapping[str, object]) -> openmm.System:
    """OpenMM's System, by its createSystem.

    Raises:
        ValueError: an amino acid lacks atoms; an implicit solvent together with PME. OpenMM refuses
            some of these and takes others, whose molecule then feels its images in the Coulomb
            energy alone.
    """
    _, app = openmm_modules("OpenMMSource")
    by_waves = options["nonbondedMethod"] is app.PME
    try:
        plain = field.createSystem(topology, **options)
    except ValueError as error:
        if "template" in str(error):
            _check_residues(topology, "source.structure")
        if by_waves:  # without PME every force field can be made, and tells what it is
            _refuse_implicit(field.createSystem(topology))
        raise
    if by_waves:
        _refuse_implicit(plain)
    return plain


def _refuse_implicit(plain: openmm.System) -> None:
    openmm, _ = openmm_modules("OpenMMSource")
    kinds = (openmm.GBSAOBCForce, openmm.CustomGBForce)
    if any(isinstance(force, kinds) for force in plain.getForces()):
        raise ValueError(
            "OpenMMSource.nonbonded: the force field has an implicit solvent, which needs a "
            "molecule without periodic images, found nonbonded=pme: choose nonbonded=no_cutoff "
            "(a box in the structure is then not used), or cutoff_open with a long cutoff; or "
            "take a force field without implicit solvent"
        )


def system_of(
    topology: Topology,
    plain: openmm.System | None,
    masses: NDArray[np.float64],
    massive: NDArray[np.int64],
) -> System:
    """System of the massive particles: bonds of the topology, constraints and charges of OpenMM's
    System, if given.

    Args:
        topology: OpenMM's.
        plain: OpenMM's System; None before there is one.
        masses: (n_particles,) amu, zero for virtual sites.
        massive: particles with mass.
    """
    atoms = [a for a, m in zip(topology.atoms(), masses) if m > 0]
    new = {int(old): k for k, old in enumerate(massive)}

    def keep(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        return [(new[i], new[j]) for i, j in pairs if i in new and j in new]

    elements = ["X" if a.element is None else a.element.symbol for a in atoms]
    held = []
    if plain is not None:
        held = [plain.getConstraintParameters(k)[:2] for k in range(plain.getNumConstraints())]
    return System(
        names=tuple(a.name for a in atoms),
        masses=masses[massive],
        elements=tuple(elements),
        types=tuple(a.name if e == "X" else e for a, e in zip(atoms, elements)),
        charges=np.zeros(len(massive)) if plain is None else _charges(plain, len(masses))[massive],
        bonds=as_pairs(keep([(b[0].index, b[1].index) for b in topology.bonds()])),
        constraints=as_pairs(keep(held)),
        residues=np.array([a.residue.index for a in atoms]),
        residue_names=tuple(a.residue.name for a in atoms),
        **_origin([a.residue for a in atoms]),
    )


def topology_of(system: System) -> Topology:
    """OpenMM's Topology of atoms: a chain for each molecule, residues and bonds as they are."""
    _, app = openmm_modules("topology_of")
    topology, chains, residues = app.Topology(), {}, {}
    atoms = []
    for k, molecule in enumerate(system.molecules.tolist()):
        if molecule not in chains:
            chains[molecule] = topology.addChain()
        owner = (molecule, int(system.residues[k]))
        if owner not in residues:
            residues[owner] = topology.addResidue(system.residue_names[k], chains[molecule])
        element = app.Element.getBySymbol(system.elements[k])
        atoms.append(topology.addAtom(system.names[k], element, residues[owner]))
    for i, j in system.bonds.tolist():
        topology.addBond(atoms[i], atoms[j])
    return topology


class _Origin(TypedDict):
    """Keywords of `System` that say what residue each site is of."""

    chain_ids: tuple[str, ...]
    residue_numbers: NDArray[np.int64] | None
    insertion_codes: tuple[str, ...]


def _origin(residues: Sequence[Residue]) -> _Origin:
    """Chains, numbers and insertion codes of the residue of each site; numbers only where all of
    them are numbers.
    """
    numbers = [str(r.id).strip() for r in residues]
    stated = all(n.lstrip("-").isdigit() for n in numbers)
    return {
        "chain_ids": tuple(r.chain.id for r in residues),
        "residue_numbers": np.array([int(n) for n in numbers]) if stated else None,
        "insertion_codes": tuple(r.insertionCode for r in residues) if stated else (),
    }


def _charges(plain: openmm.System, n: int) -> NDArray[np.float64]:
    openmm, _ = openmm_modules("OpenMMSource")
    forces = [f for f in plain.getForces() if isinstance(f, openmm.NonbondedForce)]
    return (
        np.array([forces[0].getParticleParameters(k)[0]._value for k in range(n)])
        if forces
        else np.zeros(n)
    )
