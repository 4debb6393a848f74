"""Make the starting structure of alanine dipeptide (Ac-L-Ala-NHMe): RDKit conformer, relaxed with
GFN2-xTB in water.

pip install rdkit && python scripts/make_alanine_dipeptide.py cgrec/data/alanine_dipeptide.pdb
"""

import sys

from ase import Atoms
from ase.optimize import BFGS
from rdkit import Chem
from rdkit.Chem import AllChem
from tblite.ase import TBLite

NAMES = ["CH3", "C", "O", "N", "CA", "CB", "C", "O", "N", "C"]
RESIDUES = ["ACE", "ACE", "ACE", "ALA", "ALA", "ALA", "ALA", "ALA", "NME", "NME"]
NUMBERS = {"ACE": 1, "ALA": 2, "NME": 3}


def main(path: str) -> None:
    molecule = Chem.AddHs(Chem.MolFromSmiles("CC(=O)N[C@@H](C)C(=O)NC"))
    AllChem.EmbedMolecule(molecule, randomSeed=1)
    atoms = Atoms(
        [a.GetSymbol() for a in molecule.GetAtoms()], molecule.GetConformer().GetPositions()
    )
    atoms.calc = TBLite(method="GFN2-xTB", solvation=("alpb", "water"), verbosity=0)
    BFGS(atoms).run(fmax=0.02, steps=300)
    lines, rows = [], order(molecule)
    for serial, (index, name, residue) in enumerate(rows, 1):
        x, y, z = atoms.positions[index]
        label = f" {name:<3s}" if len(name) < 4 else name
        lines.append(
            f"ATOM  {serial:5d} {label} {residue} A{NUMBERS[residue]:4d}    "
            f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00          {atoms[index].symbol:>2s}"
        )
    place = {index: serial for serial, (index, _, _) in enumerate(rows, 1)}
    for atom in molecule.GetAtoms():
        lines.append(
            "CONECT"
            + "".join(
                f"{place[i]:5d}"
                for i in [atom.GetIdx(), *(n.GetIdx() for n in atom.GetNeighbors())]
            )
        )
    with open(path, "w") as file:
        file.write("\n".join([*sorted(lines, key=lambda row: row.startswith("CONECT")), "END", ""]))


def order(molecule):
    """(index, name, residue) of every atom, each heavy atom followed by its hydrogens."""
    out = []
    for heavy, (name, residue) in enumerate(zip(NAMES, RESIDUES)):
        out.append((heavy, name, residue))
        hydrogens = [
            n.GetIdx()
            for n in molecule.GetAtomWithIdx(heavy).GetNeighbors()
            if n.GetSymbol() == "H"
        ]
        stem = "H" + {"CH3": "H", "N": "", "CA": "A", "CB": "B", "C": "H"}.get(name, "")
        out += [
            (h, f"{stem}{k}" if len(hydrogens) > 1 else stem, residue)
            for k, h in enumerate(hydrogens, 1)
        ]
    return out


if __name__ == "__main__":
    main(*sys.argv[1:])
