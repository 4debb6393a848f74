"""What molecules a system is made of: kinds, and which of them is the solvent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..io import WATER_RESIDUES
from ..system import System
from ..trace import is_alpha_carbon

#: Charges of lone ions, e, where the files state none.
ION_CHARGES = {
    **dict.fromkeys(("Li", "Na", "K", "Rb", "Cs", "Ag", "Tl"), 1),
    **dict.fromkeys(("Mg", "Ca", "Sr", "Ba", "Zn", "Fe", "Cu", "Ni", "Mn", "Co", "Cd"), 2),
    **dict.fromkeys(("F", "Cl", "Br", "I"), -1),
}
#: A molecule this many times as frequent as what it surrounds, and this many times smaller, is a
#: solvent.
MANY, SMALLER = 10, 2
#: e, within which a sum of partial charges is a whole number.
ROUNDING = 0.05


@dataclass(frozen=True, eq=False)
class Kind:
    """All molecules that the bond graph and the names cannot tell apart.

    Attributes:
        name: residue names in order, joined by a dash; of more than four the first and the last.
        residues: names of its residues, each once.
        count: molecules.
        sites: (n_sites,) of the first of them.
        n_heavy: sites that are no hydrogens, of one molecule.
        charge: e, of one molecule; None where nobody states charges.
        is_water: one oxygen with two hydrogens, or one site that is called as water is.
        is_ion: a lone atom with a charge.
        n_residues: amino acids (residues with an alpha carbon) of one molecule.
    """

    name: str
    residues: tuple[str, ...]
    count: int
    sites: NDArray[np.int64]
    n_heavy: int
    charge: float | None
    is_water: bool
    is_ion: bool
    n_residues: int

    def __str__(self) -> str:
        size = f"{len(self.sites)} atom{'s' if len(self.sites) > 1 else ''}"
        charge = f", charge {self.charge:+.0f}" if self.charge else ""
        return f"{self.count} {self.name} ({size}{charge})"


#: Residue names of water, as files have them; the last ones are beads.
WATER = WATER_RESIDUES | {"W", "PW", "WN"}


def kinds_of(system: System) -> list[Kind]:
    """Every kind of molecule, that with most sites in all first."""
    groups: dict[tuple[object, ...], list[NDArray[np.int64]]] = {}
    for sites in system.molecule_sites():
        names = tuple((system.residue_names[i], system.names[i], system.types[i]) for i in sites)
        groups.setdefault(names, []).append(sites)
    found = [_kind(system, molecules) for molecules in groups.values()]
    return sorted(found, key=lambda kind: -kind.count * len(kind.sites))


def _kind(system: System, molecules: Sequence[NDArray[np.int64]]) -> Kind:
    sites = molecules[0]
    elements = [system.elements[i] for i in sites]
    in_order = [system.residue_names[sites[0]]]
    for before, site in zip(sites, sites[1:]):
        if system.residues[site] != system.residues[before]:
            in_order.append(system.residue_names[site])
    short = in_order if len(in_order) <= 4 else [in_order[0], "...", in_order[-1]]
    lone = elements[0] if len(sites) == 1 else ""
    water = sorted(elements) == ["H", "H", "O"] or (
        len(in_order) == 1 and in_order[0].upper() in WATER
    )
    charge = _charge(system, sites)
    return Kind(
        name="-".join(short),
        residues=tuple(dict.fromkeys(in_order)),
        count=len(molecules),
        sites=sites,
        n_heavy=sum(e != "H" for e in elements),
        charge=charge,
        is_water=water,
        is_ion=bool(lone) and not water and (lone in ION_CHARGES or bool(charge)),
        n_residues=sum(is_alpha_carbon(system, int(i)) for i in sites),
    )


def _charge(system: System, sites: NDArray[np.int64]) -> float | None:
    """Of one molecule, e; of a lone ion what its element has, where nobody states charges."""
    if np.any(system.charges):
        total = float(system.charges[sites].sum())
        whole = round(total)
        return float(whole) if abs(total - whole) < ROUNDING else total
    if len(sites) == 1:
        charge = ION_CHARGES.get(system.elements[sites[0]])
        return None if charge is None else float(charge)
    return None


def solvent_of(kinds: Sequence[Kind]) -> Kind | None:
    """The kind that surrounds others, which are what one is interested in; None where there is
    none.

    Water beside anything else is one. Another small molecule is where it is by far the most
    frequent.
    """
    for kind in kinds:
        if kind.is_water and len(kinds) > 1:
            return kind
    others = [k for k in kinds if not k.is_ion]
    if len(others) < 2:
        return None
    most = max(others, key=lambda kind: kind.count)
    rest = [k for k in others if k is not most]
    many = most.count >= MANY * sum(k.count for k in rest)
    small = all(SMALLER * most.n_heavy <= k.n_heavy for k in rest)
    return most if many and small else None
