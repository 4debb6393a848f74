"""The trace of a chain: the sites along it, and the atoms of one System found in another."""

from __future__ import annotations

from collections.abc import Sequence

from .bonds import shortest_paths
from .site_labels import SiteError
from .system import System

#: Names that force fields give the states of one residue, and the name of the residue.
_STATES = {
    "HID": "HIS",
    "HIE": "HIS",
    "HIP": "HIS",
    "HSD": "HIS",
    "HSE": "HIS",
    "HSP": "HIS",
    "CYX": "CYS",
    "CYM": "CYS",
    "ASH": "ASP",
    "GLH": "GLU",
    "LYN": "LYS",
}


def longest_chain(system: System) -> list[int]:
    """Alpha carbons of the largest molecule, where it has two or more; else the sites between the
    two furthest apart.

    Far is counted in bonds, without hydrogens, by two breadth-first searches, the second from where
    the first ended: exact for a tree, and good enough for one with rings.
    """
    largest = largest_molecule(system)
    alphas = {int(system.residues[i]): i for i in largest if is_alpha_carbon(system, i)}
    if len(alphas) > 1:
        return [alphas[residue] for residue in sorted(alphas)]
    inside = {i for i in largest if system.elements[i] != "H"} or set(largest)
    near = system.neighbours()
    first = shortest_paths(near, min(inside), inside)
    end = max(first, key=lambda site: len(first[site]))
    chain = max(shortest_paths(near, end, inside).values(), key=len)
    return chain if chain[0] <= chain[-1] else chain[::-1]


def largest_molecule(system: System) -> list[int]:
    """Sites of the molecule with most of them. Others may lie in any image of the box."""
    found: list[int] = max(system.molecule_sites(), key=len).tolist()
    return found


def is_alpha_carbon(system: System, site: int) -> bool:
    """Whether it is called CA and is no calcium."""
    return system.names[site] == "CA" and system.elements[site] in ("C", "X")


def amino_residues(system: System) -> list[list[int]]:
    """Sites of each residue of the largest molecule that has an alpha carbon, in order."""
    residues: dict[int, list[int]] = {}
    for site in largest_molecule(system):
        residues.setdefault(int(system.residues[site]), []).append(site)
    return [
        sites
        for _, sites in sorted(residues.items())
        if any(is_alpha_carbon(system, site) for site in sites)
    ]


def counterparts(system: System, sites: Sequence[int], other: System) -> list[int]:
    """The site of `other` that is the same atom as each of `sites` of `system`.

    Two Systems of one protein are compared residue by residue, in order, whatever their residues
    are numbered by; others by the labels of their sites.

    Raises:
        SiteError: an atom that `other` does not have, or residues that are others.
    """
    if system is other or system.agrees_with(other):
        return list(sites)
    pairs = _same_residues(system, other)
    found = []
    for site in sites:
        name = system.names[site]
        if int(system.residues[site]) in pairs and pairs[int(system.residues[site])]:
            same = [k for k in pairs[int(system.residues[site])] if other.names[k] == name]
            if len(same) != 1:
                raise SiteError(
                    f"expected one site {name} in residue {_named(system, site)} of the other "
                    f"structure, found {len(same)}"
                )
            found.append(same[0])
        else:
            found.append(other.site(system.full_labels[site]))
    return found


def _same_residues(system: System, other: System) -> dict[int, list[int]]:
    """{residue of `system`: sites of the same residue of `other`}, where both are one protein."""
    own, theirs = amino_residues(system), amino_residues(other)
    if len(own) < 2 or _sequence(system, own) != _sequence(other, theirs):
        return {}
    return {int(system.residues[mine[0]]): same for mine, same in zip(own, theirs)}


def _sequence(system: System, residues: list[list[int]]) -> list[str]:
    names = [system.residue_names[sites[0]] for sites in residues]
    return [_STATES.get(name, name) for name in names]


def _named(system: System, site: int) -> str:
    number = "" if system.residue_numbers is None else str(system.residue_numbers[site])
    return f"{system.residue_names[site]}{number}"
