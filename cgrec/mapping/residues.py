"""Rules that know residues: kept backbone atoms, centres of residues and side chains, tables of
beads a residue.

A residue is what one number in `System.residues` stands for, and atoms go by their names in the
PDB. Hydrogens follow the atom they are bonded to.
"""

from __future__ import annotations

from collections.abc import Mapping as Table
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..ranges import expect
from ..system import System
from .linear import Mapping
from .sites import Bead, build, carriers, centre, need_connected, pick

#: Names of backbone atoms, terminal ones too.
BACKBONE = ("N", "CA", "C", "O", "OXT")


@dataclass(frozen=True)
class Backbone:
    """Atoms of a protein kept by their names, all others dropped; a hydrogen's mass goes to the
    atom it is bonded to.

    Looked for in residues that hold an atom CA and in the rest of their molecules, such as caps;
    not in water. An atom of another element than its name begins with is passed over, such as
    calcium called CA.

    Attributes:
        names: of the atoms, e.g. ["CA", "CB"] or ["N", "CA", "C", "CB", "O"].
    """

    names: Sequence[str] = ("N", "CA", "C", "O")

    def __call__(self, system: System) -> Mapping:
        """The Mapping; ValueError: a single string for names, or a name that is not found."""
        if isinstance(self.names, str):
            raise ValueError(f"Backbone: expected a list of atom names, found {self.names!r}")
        alphas, molecules = _called(system, ["CA"]), system.molecules
        inside = np.isin(system.residues, system.residues[alphas]) | np.isin(
            molecules, molecules[alphas]
        )
        found = [i for i in _called(system, self.names) if inside[i]]
        missing = [name for name in self.names if name not in {system.names[i] for i in found}]
        if missing or not found:
            raise ValueError(
                f"Backbone: expected a protein with atoms called {', '.join(self.names)}, found no "
                f"{', '.join(missing)} among {', '.join(system.labels[:12])}; give the names "
                "of this topology"
            )
        return pick(system, found)


def alpha_carbons(system: System) -> Mapping:
    """One site on the CA atom of each residue.

    Raises:
        ValueError: no atom is called CA.
    """
    return Backbone(["CA"])(system)


@dataclass(frozen=True)
class ResidueCentres:
    """One site at the centre of mass of each residue, or of each few residues that follow one
    another in a molecule.

    Name and type are the residue names, joined by a dash.

    Attributes:
        per_site: residues in a site; the last of a molecule may have fewer.
    """

    per_site: int = 1

    def __post_init__(self) -> None:
        expect("ResidueCentres", at_least=1, per_site=self.per_site)

    def __call__(self, system: System) -> Mapping:
        """The Mapping; ValueError: per_site below one, or residues of one site that no bonds
        connect.
        """
        if self.per_site < 1:
            raise ValueError(
                f"ResidueCentres: expected at least 1 residue in a site, found {self.per_site}"
            )
        chains: dict[int, list[list[int]]] = {}
        molecules = system.molecules
        for atoms in _residues(system):
            chains.setdefault(int(molecules[atoms[0]]), []).append(atoms)
        beads = []
        for chain in chains.values():
            for k in range(0, len(chain), self.per_site):
                some = chain[k : k + self.per_site]
                name = "-".join(system.residue_names[atoms[0]] for atoms in some)
                beads.append(centre(system, name, sum(some, []), name))
        need_connected(system, beads)
        return build(system, beads)


@dataclass(frozen=True)
class BackboneAndSideChain:
    """Two sites a residue: the centres of mass of its backbone (BB) and of its side chain (SC),
    where it has one.

    A residue without an atom CA, such as a cap or water, is one site with its own name.
    """

    def __call__(self, system: System) -> Mapping:
        """The Mapping; ValueError: a hydrogen without a bond, or a side chain in pieces."""
        carrier, alphas, beads = carriers(system), {*_called(system, ["CA"])}, []
        for atoms in _residues(system):
            if alphas.isdisjoint(atoms):
                beads.append(centre(system, system.residue_names[atoms[0]], atoms))
                continue
            backbone = [i for i in atoms if system.names[carrier.get(i, i)] in BACKBONE]
            side = [i for i in atoms if i not in backbone]
            beads += [
                centre(system, name, part)
                for name, part in (("BB", backbone), ("SC", side))
                if part
            ]
        need_connected(system, beads)
        return build(system, beads)


@dataclass(frozen=True)
class ResidueTable:
    """Sites at the centres of mass of named atoms, the same in all residues of one name, as in
    Martini.

    Names of a bead that a residue does not have are passed over (terminal atoms), but every heavy
    atom that it has must be in a bead or in `drop`, so a misspelt name is found. A hydrogen that is
    not named follows its heavy atom.

    Attributes:
        beads: {residue name: {bead name: names of its atoms}}; an empty table leaves out the
            residue.
        drop: names of atoms to leave out.
    """

    beads: Table[str, Table[str, Sequence[str]]]
    drop: Sequence[str] = ()

    def __call__(self, system: System) -> Mapping:
        """The Mapping; ValueError: a residue or a heavy atom that the table lacks, a bead empty,
        shared or in pieces.
        """
        carrier = carriers(system)
        beads: list[Bead] = []
        for atoms in _residues(system):
            residue = system.residue_names[atoms[0]]
            if residue not in self.beads:
                raise ValueError(
                    f"ResidueTable: expected residues among {', '.join(self.beads)}, found "
                    f"{residue} "
                    f"({system.labels[atoms[0]]}, #{atoms[0]}); add it, or {residue}: {{}} to "
                    "leave it out"
                )
            beads += self._residue(system, residue, atoms, carrier)
        need_connected(system, beads)
        return build(system, beads)

    def _residue(
        self, system: System, residue: str, atoms: list[int], carrier: dict[int, int]
    ) -> list[Bead]:
        table = self.beads[residue]
        named = {*self.drop}.union(*table.values())
        listed = {
            i: system.names[i if system.names[i] in named else carrier.get(i, i)] for i in atoms
        }
        unknown = [i for i, name in listed.items() if table and name not in named]
        if unknown:
            raise ValueError(
                f"ResidueTable: expected every heavy atom of {residue} in a bead or in drop, found "
                f"{', '.join(f'{system.labels[i]} (#{i})' for i in unknown[:8])} in neither; "
                "complete the table"
            )
        beads = []
        for name, names in table.items():
            members = [i for i, called in listed.items() if called in names]
            if not members:
                raise ValueError(
                    f"ResidueTable: bead {residue}:{name}: expected one of {', '.join(names)}, "
                    "found "
                    f"{', '.join(system.labels[i] for i in atoms)} (from #{atoms[0]}); correct "
                    "the names"
                )
            beads.append(centre(system, name, members))
        return beads


def _residues(system: System) -> list[list[int]]:
    """Atoms of each residue, in order of first atom."""
    found: dict[int, list[int]] = {}
    for atom, residue in enumerate(system.residues.tolist()):
        found.setdefault(residue, []).append(atom)
    return list(found.values())


def _called(system: System, names: Sequence[str]) -> list[int]:
    return [
        i
        for i, (name, element) in enumerate(zip(system.names, system.elements))
        if name in names and element in ("X", name[0])
    ]
