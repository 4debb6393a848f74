"""One molecule whose energy is to be learned from quantum chemistry: its coordinates, its charge, what
turns in it, and how it is learned and run.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..files import Json, write_text
from ..frames import Frames
from ..needs import need
from ..system import System

#: Endings of files that chemists keep molecules in, and that rdkit reads.
CHEMISTS = frozenset([".smi", ".smiles", ".sdf", ".mol"])
#: Ending of the coordinates that are made of them, beside the YAML.
COORDINATES = "_3d.pdb"
#: Atoms of a molecule up to which its energy is learned: that of 22 took minutes.
MOST = 60
#: Atomic number of radon, the last element of GFN2-xTB.
HEAVIEST = 86
#: ps, of the run with the network that was learned, and of those that look for structures.
RUN = {"length": 40, "equilibration": 10, "bias": None}
LOOKING = {"length": 1.0, "bias": None}
#: Neighbours of an atom about whose bonds a molecule turns freely.
TETRAHEDRAL = 4


def coordinates_of(path: Path, to: Path) -> int:
    """Write a PDB of the one molecule in a SMILES, SDF or MOL file, with hydrogens; its charge in e.

    Args:
        path: the file. Without coordinates in three dimensions these are made (ETKDG, S. Riniker,
            G. A. Landrum, J. Chem. Inf. Model. 55, 2562 (2015), relaxed by MMFF94).
        to: PDB to be made.

    Raises:
        FileExistsError: `to` holds another molecule.
        ImportError: rdkit is not installed.
        ValueError: the file holds no molecule, or several.
    """
    need(f"cgrec init {path}", "rdkit", "smiles")
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    if not path.exists():
        raise FileNotFoundError(f"{path}: expected a file, found none")
    flat = path.suffix in (".smi", ".smiles")
    try:
        with rdBase.BlockLogs():
            if flat:
                lines = [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
                found = [Chem.MolFromSmiles(line) for line in lines]
            else:
                found = list(Chem.SDMolSupplier(str(path), removeHs=False))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path}: expected a molecule, found what cannot be read: {error}"
        ) from error
    if len(found) != 1 or found[0] is None:
        bad = [k for k, one in enumerate(found, 1) if one is None]
        what = f"{len(found)} {'lines' if flat else 'records'}"
        said = f", of which number {', '.join(map(str, bad))} cannot be read" if bad else ""
        raise ValueError(f"{path}: expected one molecule and no heading, found {what}{said}")
    if "." in Chem.MolToSmiles(found[0]):
        raise ValueError(
            f"{path}: expected one molecule, found parts that no bond joins; give a file of one"
        )
    molecule = Chem.AddHs(found[0], addCoords=not flat)
    if flat or not molecule.GetConformer().Is3D():
        if rdDistGeom.EmbedMolecule(molecule, randomSeed=1):
            raise ValueError(
                f"{path}: expected a molecule that can be built, found {Chem.MolToSmiles(found[0])}, "
                "for which no coordinates were found; give those of one structure, as SDF or PDB"
            )
        rdForceFieldHelpers.MMFFOptimizeMolecule(molecule)
    text = Chem.MolToPDBBlock(molecule)
    if to.exists() and to.read_text() != text:
        raise FileExistsError(
            f"{to}: expected no file there, for the coordinates of {path}, found one, which would be "
            "lost; give another to=, or move it away"
        )
    write_text(to, text)
    return int(Chem.GetFormalCharge(molecule))


def check_molecule(path: Path, system: System, charge: int) -> None:
    """ValueError where quantum chemistry cannot be asked about a molecule, or would be asked for too
    long.
    """
    if system.n_sites > MOST:
        raise ValueError(
            f"{path}: expected a peptide or protein, to be run in a force field, or a molecule of at "
            f"most {MOST} atoms, whose energy is learned from quantum chemistry, found one of "
            f"{system.n_sites} atoms; give a trajectory with forces, from any program and force field"
        )
    if system.n_sites < 2 or set(system.elements) == {"H"}:
        raise ValueError(
            f"{path}: expected atoms that are bonded, one of them heavier than hydrogen, found "
            f"{system.n_sites} of {', '.join(sorted(set(system.elements)))}: no level lies above it"
        )
    from ase.data import atomic_numbers

    unknown = sorted({e for e in system.elements if not 0 < atomic_numbers.get(e, 0) <= HEAVIEST})
    if unknown:
        raise ValueError(
            f"{path}: expected elements from H to Rn, which GFN2-xTB knows, found "
            f"{', '.join(unknown)}; give a trajectory with forces"
        )
    electrons = sum(atomic_numbers[element] for element in system.elements) - charge
    if electrons % 2:
        raise ValueError(
            f"{path}: expected an even number of electrons, found {electrons} at charge {charge:+d}; "
            "correct charge=, or add hydrogens that are missing; of a radical give a trajectory with "
            "forces"
        )


def learning(frames: Frames, exchange: Json, charge: int) -> Json:
    """Keys of `source` (`cgrec.sources.QuantumSource`) beside structure and temperature.

    Runs exchange temperatures in place of the bias along dihedrals that are known to be slow.
    """
    settings: Json = {
        "potential": None,
        "scatter": turns_of_atoms(frames.system),
        # with energies it is no potential of mean force, and may be run hot
        "training": {"energy_weight": 0.02},
        "exploration": {**LOOKING, "exchange": exchange},
        "dynamics": {**RUN, "exchange": exchange},
    }
    if charge:
        settings["labeller"] = {"arguments": {"charge": charge}}
    return settings


def turns_of_atoms(system: System) -> dict[str, list[str]]:
    """{name: four sites} of a dihedral about each bond that turns freely: one that is in no ring, with
    heavy neighbours on both sides, and four neighbours of one of its atoms. About others, such as
    amides, a turn makes another molecule of it.
    """
    neighbours = np.bincount(system.bonds.ravel(), minlength=system.n_sites)
    heavy = {i for i, element in enumerate(system.elements) if element != "H"}
    found: dict[frozenset[int], tuple[int, ...]] = {}
    for path in system.bonded_paths(4):
        about = frozenset(path[1:3])
        turns = max(neighbours[i] for i in about) == TETRAHEDRAL
        if turns and heavy.issuperset(path) and not _in_ring(system, about):
            found.setdefault(about, path)
    return {f"turn{k}": [f"#{i}" for i in path] for k, path in enumerate(found.values(), 1)}


def _in_ring(system: System, bond: frozenset[int]) -> bool:
    """Whether the atoms of a bond hang together without it."""
    others = [pair for pair in system.bonds.tolist() if set(pair) != bond]
    first, second = np.array(others, int).reshape(-1, 2).T
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(system.n_sites,) * 2)
    _, part = connected_components(graph, directed=False)
    i, j = bond
    return bool(part[i] == part[j])
