"""All atoms of a protein, told by the names of its residues alone: names, elements, bonds.

Atoms and bonds of a residue are those that the shipped residue library has seen, so that this list
and the pieces that are put there cannot disagree. Bonds are found from its distances.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..bonds import as_pairs
from ..io.amino_acids import canonical
from ..io.bonding import add_sampled_bonds
from ..io.elements import element_mass
from ..system import System
from .base import Model
from .residues import shipped_residues

#: Hydrogens that tell the states of a residue apart: {residue: {state: those it has}}. The first is
#: that of pH 7; of the two neutral histidines the one with the hydrogen at NE2 is the commoner
#: (W. Reynolds et al., J. Am. Chem. Soc. 95, 328 (1973)).
_PROTONS = {
    "HIS": {"HIE": ("HE2",), "HID": ("HD1",), "HIP": ("HD1", "HE2")},
    "ASP": {"ASP": (), "ASH": ("HD2",)},
    "GLU": {"GLU": (), "GLH": ("HE2",)},
    "LYS": {"LYS": ("HZ1", "HZ2", "HZ3"), "LYN": ("HZ1", "HZ2")},
    "CYS": {"CYS": ("HG",), "CYX": ()},
}
#: What CHARMM and GROMACS call these states.
_ALIASES = {
    "HSE": "HIE",
    "HISE": "HIE",
    "HSD": "HID",
    "HISD": "HID",
    "HSP": "HIP",
    "HISH": "HIP",
    "ASPH": "ASH",
    "ASPP": "ASH",
    "GLUH": "GLH",
    "GLUP": "GLH",
    "LYSN": "LYN",
    "LSN": "LYN",
    "CYM": "CYX",
    "CYS2": "CYX",
    "CYSS": "CYX",
}
#: Along a side chain: what the second letter of a PDB name says.
_GREEK = "ABGDEZH"
#: Points that the library keeps beside the atoms of a residue.
_AROUND = ("-", "+", "across")


@dataclass(frozen=True)
class SequenceResidue:
    """One residue of a chain.

    Attributes:
        name: as the file calls it, a state too: HIS, HID, CYX.
        number, chain, code: where it stands in the file; code is that of an insertion.
    """

    name: str
    number: int
    chain: str = ""
    code: str = ""

    @property
    def label(self) -> str:
        """As labels of sites call it: "A:TYR52A"."""
        return f"{self.chain + ':' if self.chain else ''}{self.name}{self.number}{self.code}"


def known_residues() -> list[str]:
    """Names of residues that can be restored, states too."""
    states = {state for table in _PROTONS.values() for state in table}
    return sorted({*shipped_residues(), *states, *_ALIASES})


def atoms_of_chains(
    chains: Sequence[Sequence[SequenceResidue]], bridges: Iterable[tuple[int, int]] = ()
) -> System:
    """The System of all atoms: ends charged (NH3+, COO-), residues in the state that their name
    says, those of pH 7 where it says none.

    Args:
        chains: residues of each, in order.
        bridges: pairs of cysteines with a disulphide bond, counted over all chains.

    Raises:
        KeyError: a residue that is not one of `known_residues`.
    """
    bridges = list(bridges)
    bridged = {k for pair in bridges for k in pair}
    built = _Built()
    for chain in chains:
        for k, residue in enumerate(chain):
            bare = len(built.atoms) in bridged
            form = _form("CYX" if bare else residue.name, k == 0, k == len(chain) - 1)
            built.add(residue, form, joined=k > 0)
    built.bonds += [(built.atoms[i]["SG"], built.atoms[j]["SG"]) for i, j in bridges]
    return built.system()


@dataclass(frozen=True)
class _Form:
    """Names of the atoms of a residue in order, and its bonds as pairs of them."""

    name: str
    atoms: tuple[str, ...]
    bonds: tuple[tuple[str, str], ...]


class _Built:
    """Residues put one after the other."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.owners: list[tuple[str, SequenceResidue]] = []
        self.residues: list[int] = []
        self.bonds: list[tuple[int, int]] = []
        self.atoms: list[dict[str, int]] = []

    def add(self, residue: SequenceResidue, form: _Form, joined: bool) -> None:
        """One more, bonded to the one before where it is `joined`."""
        start = len(self.names)
        here = {name: start + k for k, name in enumerate(form.atoms)}
        self.bonds += [(here[a], here[b]) for a, b in form.bonds]
        if joined:
            self.bonds.append((self.atoms[-1]["C"], here["N"]))
        self.residues += [len(self.atoms)] * len(here)
        self.owners += [(form.name, residue)] * len(here)
        self.names += form.atoms
        self.atoms.append(here)

    def system(self) -> System:
        """All of them."""
        elements = tuple(name[0] for name in self.names)
        return System(
            names=tuple(self.names),
            masses=np.array([element_mass(e) for e in elements]),
            types=elements,
            elements=elements,
            bonds=as_pairs(sorted(self.bonds)),
            residues=np.array(self.residues),
            residue_names=tuple(name for name, _ in self.owners),
            chain_ids=tuple(residue.chain for _, residue in self.owners),
            residue_numbers=np.array([residue.number for _, residue in self.owners]),
            insertion_codes=tuple(residue.code for _, residue in self.owners),
        )


@cache
def _form(given: str, first: bool, last: bool) -> _Form:
    """A residue in the state its name says, inside a chain or at an end."""
    name = canonical(given)
    atoms = _inside(name, given)
    bonds = _bonds(name, atoms)
    if first:
        # proline has two there, the others three
        ends = ("H2", "H3") if name == "PRO" else ("H", "H2", "H3")
        bonds += tuple(("N", h) for h in ends if h not in atoms)
        atoms += tuple(h for h in ends if h not in atoms)
    if last:
        atoms += ("OXT",)
        bonds += (("C", "OXT"),)
    return _Form(name, _ordered(atoms, bonds), bonds)


def _inside(name: str, given: str) -> tuple[str, ...]:
    """Atoms of a residue inside a chain."""
    states = _PROTONS.get(name, {})
    state = _ALIASES.get(given, given)
    has = states.get(state, next(iter(states.values()), ()))
    # hydrogens that not all states of this residue have
    told = {h for hydrogens in states.values() for h in hydrogens} - set(has)
    ends = ("H2", "H3", "OXT")
    return tuple(
        n
        for n in shipped_residues()[name]["names"]
        if n not in told and n not in ends and not n.startswith(_AROUND)
    )


def _bonds(name: str, atoms: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Pairs of bonded atoms of a residue, from the distances of those that were seen."""
    elements = tuple(n[0] for n in atoms)
    masses = np.array([element_mass(e) for e in elements])
    bare = System(names=atoms, masses=masses, elements=elements)
    found = add_sampled_bonds(bare, _seen(shipped_residues()[name], atoms), None)
    return tuple((atoms[i], atoms[j]) for i, j in found.bonds.tolist())


def _seen(model: Model, atoms: tuple[str, ...]) -> NDArray[np.float64]:
    """(n, n_atoms, 3) nm of seen residues that have all of `atoms`."""
    points = model["points"][:, [model["names"].index(n) for n in atoms]]
    return np.asarray(points[~points.isnan().flatten(1).any(1)], float)


def _ordered(atoms: tuple[str, ...], bonds: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """As in the PDB: N, CA, the side chain outwards, C, O; a hydrogen after what it is bonded to."""
    side = [n for n in atoms if n[0] != "H" and n not in ("N", "CA", "C", "O", "OXT")]
    side.sort(key=lambda n: (_GREEK.index(n[1]), n))
    heavy = ["N", "CA", *side, "C", "O", *(n for n in atoms if n == "OXT")]
    follow: dict[str, list[str]] = {n: [] for n in heavy}
    for a, b in bonds:
        if "H" in (a[0], b[0]):
            hydrogen, carrier = (a, b) if a[0] == "H" else (b, a)
            follow[carrier].append(hydrogen)
    return tuple(n for carrier in heavy for n in (carrier, *sorted(follow[carrier])))
