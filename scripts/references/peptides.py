"""Makes tests/data/peptides and cgrec/data/peptides: small peptides with hydrogens, as PDB files:
python scripts/references/peptides.py --data FOLDER

FOLDER holds PDB files of experimental structures (CC0): chignolin_cln025, 1uao, trpcage_2jof,
wwdomain_1pin. Two peptides are cut out of the last. Those of alanine are capped (ACE, NME), alpha helices or extended,
with the bond lengths and angles of R. A. Engh, R. Huber, Acta Cryst. A 47, 392 (1991), rounded.
Hydrogens are put on by OpenMM at pH 7.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from openmm import app, unit

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "tests" / "data" / "peptides"
SHIPPED = ROOT / "cgrec" / "data" / "peptides"
#: phi and psi, degrees.
HELIX = (-57.0, -47.0)
EXTENDED = (-120.0, 130.0)
#: {name: (file, first and last residue by their number)}.
CUT = {
    "cln025": ("chignolin_cln025", 1, 10),
    "chignolin": ("1uao", 1, 10),
    "ekrmsr": ("wwdomain_1pin", 8, 13),
    "yfnhit": ("wwdomain_1pin", 20, 25),
}
Point = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of PDB files")
    arguments = parser.parse_args()
    for n in (2, 5, 10):
        write(TESTS / f"ala{n}.pdb", *alanines(n, *HELIX))
    for name, (file, first, last) in CUT.items():
        write(TESTS / f"{name}.pdb", *cut(arguments.data / f"{file}.pdb", first, last))
    write(SHIPPED / "ala10_helix.pdb", *alanines(10, *HELIX))
    write(SHIPPED / "ala10_extended.pdb", *alanines(10, *EXTENDED))
    write(SHIPPED / "cln025.pdb", *cut(arguments.data / "chignolin_cln025.pdb", 1, 10))
    write(SHIPPED / "trp_cage.pdb", *cut(arguments.data / "trpcage_2jof.pdb", 1, 20))


def alanines(n: int, phi: float, psi: float) -> tuple[app.Topology, list[Point]]:
    """ACE, `n` ALA and NME: heavy atoms, nm."""
    chain = Builder()
    methyl, c = np.zeros(3), np.array([0.152, 0, 0])
    o = placed(np.array([0, 0.1, 0]), methyl, c, 0.123, 120.5, 0.0)
    chain.add("ACE", CH3=methyl, C=c, O=o)
    behind, turn = (o, methyl, c), 180.0  # what the next nitrogen is placed by
    for _ in range(n):
        nitrogen = placed(*behind, 0.133, 116.2, turn)
        alpha = placed(*behind[1:], nitrogen, 0.1458, 121.7, 180.0)
        c = placed(behind[2], nitrogen, alpha, 0.1525, 111.0, phi)
        beta = placed(c, nitrogen, alpha, 0.153, 110.4, -122.6)
        o = placed(nitrogen, alpha, c, 0.1231, 120.5, psi + 180.0)
        chain.add("ALA", N=nitrogen, CA=alpha, C=c, O=o, CB=beta)
        behind, turn = (nitrogen, alpha, c), psi
    nitrogen = placed(*behind, 0.133, 116.2, turn)
    chain.add("NME", N=nitrogen, C=placed(*behind[1:], nitrogen, 0.1458, 121.7, 180.0))
    chain.topology.createStandardBonds()
    return chain.topology, chain.x


class Builder:
    """A chain that grows by residues."""

    def __init__(self) -> None:
        self.topology = app.Topology()
        self.chain = self.topology.addChain("A")
        self.x: list[Point] = []

    def add(self, name: str, **atoms: Point) -> None:
        """A residue of heavy atoms whose names begin with their element."""
        residue = self.topology.addResidue(
            name, self.chain, str(self.topology.getNumResidues() + 1)
        )
        for atom, place in atoms.items():
            self.topology.addAtom(atom, app.Element.getBySymbol(atom[0]), residue)
            self.x.append(place)


def placed(a: Point, b: Point, c: Point, length: float, angle: float, dihedral: float) -> Point:
    """The fourth atom behind a, b, c; nm and degrees."""
    u = (c - b) / np.linalg.norm(c - b)
    normal = np.cross(b - a, u)
    normal /= np.linalg.norm(normal)
    theta, phi = np.radians(angle), np.radians(dihedral)
    across = np.cross(normal, u)
    around = across * np.cos(phi) + normal * np.sin(phi)
    return c + length * (-np.cos(theta) * u + np.sin(theta) * around)


def cut(path: Path, first: int, last: int) -> tuple[app.Topology, list[Point]]:
    """Heavy atoms of residues `first` to `last` of the first chain; a missing OXT is put opposite
    O.
    """
    pdb = app.PDBFile(str(path))
    positions = np.array(pdb.positions.value_in_unit(unit.nanometer))
    topology, x = app.Topology(), []
    chain = topology.addChain("A")
    residues = [r for r in next(pdb.topology.chains()).residues() if first <= int(r.id) <= last]
    for residue in residues:
        new = topology.addResidue(residue.name, chain, residue.id)
        heavy = {a.name: a for a in residue.atoms() if a.element.symbol != "H"}
        for name, atom in heavy.items():
            topology.addAtom(name, atom.element, new)
            x.append(positions[atom.index])
    if "OXT" not in heavy:
        alpha, c, o = (positions[heavy[name].index] for name in ("CA", "C", "O"))
        u = (c - alpha) / np.linalg.norm(c - alpha)
        topology.addAtom("OXT", app.Element.getBySymbol("O"), new)
        x.append(c + 2 * ((o - c) @ u) * u - (o - c))
    topology.createStandardBonds()
    return topology, x


def write(path: Path, topology: app.Topology, x: list[Point]) -> None:
    """With hydrogens, and minimised a little."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random.seed(0)  # addHydrogens draws the places it starts from
    field = app.ForceField("amber14-all.xml", "implicit/obc2.xml")
    full = app.Modeller(topology, np.array(x) * unit.nanometer)
    full.addHydrogens(field, pH=7.0)
    import openmm

    simulation = app.Simulation(
        full.topology,
        field.createSystem(full.topology),
        openmm.VerletIntegrator(0.001),
        openmm.Platform.getPlatformByName("Reference"),
    )
    simulation.context.setPositions(full.positions)
    simulation.minimizeEnergy(maxIterations=30)
    state = simulation.context.getState(positions=True, energy=True)
    print(path.stem, full.topology.getNumAtoms(), "atoms", state.getPotentialEnergy())
    with path.open("w") as file:
        app.PDBFile.writeFile(full.topology, state.getPositions(), file, keepIds=True)


if __name__ == "__main__":
    main()
