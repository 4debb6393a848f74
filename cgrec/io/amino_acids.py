"""The twenty amino acids by their atoms in the PDB: names of their states, and what a residue lacks."""

from __future__ import annotations

from ..site_labels import listed
from ..system import System

#: Names that Amber, CHARMM and GROMACS give to protonation states and bridges of one amino acid;
#: which hydrogens are there says the rest.
_STATES = {
    "HIS": "HID HIE HIP HSD HSE HSP HISD HISE HISH",
    "CYS": "CYX CYM CYS2 CYSS",
    "ASP": "ASH ASPH ASPP",
    "GLU": "GLH GLUH GLUP",
    "LYS": "LYN LYSN LYSH LSN",
}
_CANONICAL = {state: name for name, states in _STATES.items() for state in states.split()}
_BACKBONE = ("N", "CA", "C", "O")
#: Heavy atoms of each side chain, as the PDB calls them.
_SIDE_CHAINS = {
    "ALA": "CB",
    "ARG": "CB CG CD NE CZ NH1 NH2",
    "ASN": "CB CG OD1 ND2",
    "ASP": "CB CG OD1 OD2",
    "CYS": "CB SG",
    "GLN": "CB CG CD OE1 NE2",
    "GLU": "CB CG CD OE1 OE2",
    "GLY": "",
    "HIS": "CB CG ND1 CD2 CE1 NE2",
    "ILE": "CB CG1 CG2 CD1",
    "LEU": "CB CG CD1 CD2",
    "LYS": "CB CG CD CE NZ",
    "MET": "CB CG SD CE",
    "PHE": "CB CG CD1 CD2 CE1 CE2 CZ",
    "PRO": "CB CG CD",
    "SER": "CB OG",
    "THR": "CB OG1 CG2",
    "TRP": "CB CG CD1 CD2 NE1 CE2 CE3 CZ2 CZ3 CH2",
    "TYR": "CB CG CD1 CD2 CE1 CE2 CZ OH",
    "VAL": "CB CG1 CG2",
}
#: What CHARMM and GROMACS call some of these: of isoleucine, and of the end of a chain.
_ALSO = {"CD1": ("CD",), "O": ("OT1", "OC1", "O1")}
#: What a chain needs where it is cut.
_END = "OXT or a bond to the next residue"


def canonical(residue: str) -> str:
    """Name in the PDB of an amino acid that a force field calls by its state: "HIE" is "HIS",
    Amber's "NALA" and "CALA" are "ALA".
    """
    end = residue[1:] if len(residue) == 4 and residue[0] in "NC" else residue
    return _CANONICAL.get(residue, _CANONICAL.get(end, end))


def check_complete(system: System, where: str) -> None:
    """Refuse amino acids that lack heavy atoms, that at the end of a chain included: no force field
    knows them. Caps and residues of other names are left alone.

    Args:
        system: atoms with bonds.
        where: the file, for messages.

    Raises:
        ValueError: naming residues and atoms, with the way to complete them.
    """
    atoms: dict[int, list[int]] = {}
    for k, residue in enumerate(system.residues.tolist()):
        atoms.setdefault(residue, []).append(k)
    partners = _heavy_partners(system)
    lacks = [_missing(system, own, partners) for own in atoms.values()]
    found = []
    for own, missing, after in zip(atoms.values(), lacks, [*lacks[1:], []]):
        if missing and not (missing == [_END] and "N" in after):
            place = system.full_labels[own[0]].rpartition(":")[0]
            found.append(f"{place} without {', '.join(missing)}")
    if not found:
        return
    expected = f"{where}: expected residues with all their heavy atoms, found"
    if all({"N", "C", "O"} <= set(missing) for missing in lacks if missing):
        raise ValueError(
            f"{expected} {len(found)} without N, C and O; bring atoms back from a trace of alpha "
            f"carbons by cgrec backmap {where}"
        )
    raise ValueError(
        f"{expected} {listed(found)}; complete them, such as by PDBFixer (findMissingResidues, "
        "findMissingAtoms, addMissingAtoms, addMissingHydrogens), or end a chain with caps (ACE before "
        "it, NME after it)"
    )


def _heavy_partners(system: System) -> list[int]:
    """Of each atom, to how many heavy ones it is bonded."""
    count = [0] * system.n_sites
    for i, j in system.bonds.tolist():
        count[i] += system.elements[j] != "H"
        count[j] += system.elements[i] != "H"
    return count


def _missing(system: System, own: list[int], partners: list[int]) -> list[str]:
    """Names of the heavy atoms that a residue lacks."""
    side = _SIDE_CHAINS.get(canonical(system.residue_names[own[0]]))
    if side is None:
        return []
    names = {system.names[k]: k for k in own}
    expected = (*_BACKBONE, *side.split())
    missing = [n for n in expected if not names.keys() & {n, *_ALSO.get(n, ())}]
    # the carbonyl carbon has CA, O, and the next residue or the other oxygen of an end
    if not missing and partners[names["C"]] < 3:
        missing.append(_END)
    return missing
