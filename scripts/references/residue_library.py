"""Make cgrec/data/residue_library.pt: residues of all kinds as short simulations of capped peptides
show them.

Each peptide is ACE-Ala-Ala-X-Ala-Ala-NH2 (termini: X-Ala-Ala-Ala without caps) in Amber ff99SB-ILDN
with OBC implicit solvent. It is heated to 600 K for a picosecond and cooled at 300 K, again and
again, and kept each time: backbone and side chain then visit their basins, and bonds and angles are
those of 300 K. Peptide bonds are held trans by a torsion spring, or cis where the peptide says so:
the force field alone would need microseconds to turn one, and libraries need both.

Needs OpenMM and RDKit (`pip install rdkit`), which only this script uses. About half an hour on one
core:

    python scripts/references/residue_library.py cgrec/data/residue_library.pt
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from openmm import CustomTorsionForce, LangevinMiddleIntegrator, Platform, app, unit
from rdkit import Chem
from rdkit.Chem import AllChem
from tqdm import tqdm

from cgrec import Frames, System
from cgrec.backmapping.residues import residue_points

#: Letters of the residues, and the protonation states that Amber gives another name.
STANDARD = "ARNDCEQGHILKMFPSTWYV"
STATES = {"HID": "H", "HIP": "H", "ASH": "D", "GLH": "E", "LYN": "K"}
#: kJ/mol; holds a peptide bond within 10 degrees at 600 K.
OMEGA_SPRING = 150.0
HOT, COLD = 600.0, 300.0
#: ps at each temperature before a frame is kept.
HEAT, COOL = 1.0, 0.5


def peptides() -> dict[str, tuple[str, dict[int, str], bool]]:
    """{name: (HELM string, {residue number: Amber name}, whether the bond before the middle residue
    is cis)}.
    """
    capped = "PEPTIDE1{{[ac].A.A.{}.A.A.[am]}}$$$$"
    free = "PEPTIDE1{{{}.A.A.{}}}$$$$"
    found = {letter: (capped.format(letter), {}, False) for letter in STANDARD}
    found |= {name: (capped.format(letter), {3: name}, False) for name, letter in STATES.items()}
    found |= {f"cis {letter}": (capped.format(letter), {}, True) for letter in "PA"}
    found |= {f"ends {letter}": (free.format(letter, letter), {}, False) for letter in "AGP"}
    bridge = "PEPTIDE1{[ac].A.C.A.A.C.A.[am]}$PEPTIDE1,PEPTIDE1,3:R3-6:R3$$$"
    found["disulphide"] = (bridge, {2: "CYX", 5: "CYX"}, False)
    return found


class Peptide:
    """One peptide with hydrogens, ready to run."""

    def __init__(self, helm: str, states: dict[int, str], cis: bool, seed: int) -> None:
        force_field = app.ForceField("amber99sbildn.xml", "amber99_obc.xml")
        read = app.PDBFile(io.StringIO(heavy_atoms(helm, seed)))
        model = app.Modeller(read.topology, read.positions)
        variants = [
            states.get(int(r.id), {"HIS": "HIE"}.get(r.name)) for r in model.topology.residues()
        ]
        model.addHydrogens(force_field, pH=7.0, variants=variants)
        self.topology = model.topology
        self.cis = cis
        system = force_field.createSystem(
            model.topology,
            nonbondedMethod=app.NoCutoff,
            constraints=app.HBonds,
            hydrogenMass=3 * unit.amu,
        )
        system.addForce(self._omega())
        integrator = LangevinMiddleIntegrator(COLD, 10.0, 0.003)
        integrator.setRandomNumberSeed(seed)
        self.simulation = app.Simulation(
            model.topology, system, integrator, Platform.getPlatformByName("CPU"), {"Threads": "1"}
        )
        self.simulation.context.setPositions(model.positions)
        self.simulation.minimizeEnergy()

    def _omega(self) -> CustomTorsionForce:
        """Springs on CA-C-N-CA: at 180 degrees, and at 0 before the third residue where it is to be
        cis.
        """
        force = CustomTorsionForce(f"{OMEGA_SPRING}*(1-cos(theta-centre))")
        force.addPerTorsionParameter("centre")
        alpha = {"ACE": "CH3"}
        residues = list(self.topology.residues())
        for before, after in zip(residues, residues[1:]):
            here = {a.name: a.index for a in before.atoms()}
            there = {a.name: a.index for a in after.atoms()}
            if "CA" in there:
                four = [here[alpha.get(before.name, "CA")], here["C"], there["N"], there["CA"]]
                force.addTorsion(*four, [0.0 if self.cis and int(after.id) == 3 else np.pi])
        return force

    def frames(self, n: int, name: str) -> Frames:
        """`n` frames, a cycle of heating and cooling between two."""
        kept = []
        for _ in tqdm(range(n), desc=name, unit="frame"):
            for temperature, length in ((HOT, HEAT), (COLD, COOL)):
                self.simulation.integrator.setTemperature(temperature)
                self.simulation.step(round(length / 0.003))
            state = self.simulation.context.getState(getPositions=True)
            kept.append(state.getPositions(asNumpy=True).value_in_unit(unit.nanometer))
        return without_caps(Frames(self._system(), np.array(kept), COLD))

    def _system(self) -> System:
        atoms = list(self.topology.atoms())
        return System(
            names=tuple(a.name for a in atoms),
            elements=tuple(a.element.symbol for a in atoms),
            masses=[a.element.mass.value_in_unit(unit.amu) for a in atoms],
            bonds=[(b[0].index, b[1].index) for b in self.topology.bonds()],
            residues=np.array([a.residue.index for a in atoms]),
            residue_names=tuple(a.residue.name for a in atoms),
        )


def heavy_atoms(helm: str, seed: int) -> str:
    """PDB text of a peptide's heavy atoms, with PDB names."""
    molecule = Chem.MolFromHELM(helm)
    _name_as_pdb(molecule)
    molecule = Chem.AddHs(molecule)
    if AllChem.EmbedMolecule(molecule, randomSeed=seed, useRandomCoords=True) != 0:
        raise RuntimeError(f"RDKit found no coordinates for {helm}")
    AllChem.MMFFOptimizeMolecule(molecule)
    x, lines = molecule.GetConformer().GetPositions(), []
    order = [a for a in molecule.GetAtoms() if a.GetAtomicNum() > 1]
    order.sort(key=lambda a: a.GetPDBResidueInfo().GetResidueNumber())
    index = {}
    for k, atom in enumerate(order, 1):
        index[atom.GetIdx()] = k
        info = atom.GetPDBResidueInfo()
        residue = {"NH2": "NHE"}.get(info.GetResidueName(), info.GetResidueName())
        number = max(info.GetResidueNumber(), 0)
        place = "".join(f"{v:8.3f}" for v in x[atom.GetIdx()])
        lines.append(
            f"ATOM  {k:5d} {info.GetName():4s} {residue} A{number:4d}    {place}  1.00  0.00       "
            f"   {atom.GetSymbol():>2s}"
        )
    bridge = [
        b
        for b in molecule.GetBonds()
        if b.GetBeginAtom().GetSymbol() == b.GetEndAtom().GetSymbol() == "S"
    ]
    lines += [f"CONECT{index[b.GetBeginAtomIdx()]:5d}{index[b.GetEndAtomIdx()]:5d}" for b in bridge]
    return "\n".join([*lines, "END\n"])


def _name_as_pdb(molecule: Chem.Mol) -> None:
    """Exchange CG1 and CG2 of isoleucine and valine, which RDKit's HELM reader names the other way
    round: bonded by name, as OpenMM bonds, its isoleucine is L-allo-isoleucine.
    """
    names = {" CG1": " CG2", " CG2": " CG1"}
    for atom in molecule.GetAtoms():
        info = atom.GetPDBResidueInfo()
        if info is not None and info.GetResidueName() in ("ILE", "VAL"):
            info.SetName(names.get(info.GetName()[:4], info.GetName()))


def without_caps(frames: Frames) -> Frames:
    """The residues that have an atom CA."""
    inside = {int(r) for r, n in zip(frames.system.residues, frames.system.names) if n == "CA"}
    kept = [k for k, r in enumerate(frames.system.residues) if int(r) in inside]
    return Frames(frames.system.select(kept), frames.positions[:, kept], frames.temperature)


def packed(library: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The library in single precision, which keeps 1e-7 nm."""
    return {
        name: {"names": some["names"], "points": some["points"].float()}
        for name, some in library.items()
    }


def main() -> None:
    """Run every peptide, keep its pieces, write the library."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("to", type=Path)
    parser.add_argument("--frames", type=int, default=100, help="of each peptide")
    parser.add_argument("--only", nargs="*", help="names of peptides, to try the script")
    arguments = parser.parse_args()
    folder = arguments.to.with_name(f"{arguments.to.stem}_frames")
    every = {name: (seed, *given) for seed, (name, given) in enumerate(peptides().items(), 1)}
    chosen = {k: v for k, v in every.items() if not arguments.only or k in arguments.only}
    seen = []
    for name, (seed, helm, states, cis) in chosen.items():
        place = folder / name.replace(" ", "_")
        if not place.exists():  # a run that was stopped goes on with the next peptide
            Peptide(helm, states, cis, seed).frames(arguments.frames, name).save(place)
        seen.append(Frames.load(place))
    torch.save(packed(residue_points(seen)), arguments.to)
    print(
        f"{arguments.to}: {arguments.to.stat().st_size / 1e6:.2f} MB of {len(chosen)} peptides; "
        f"remove {folder} by hand"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
