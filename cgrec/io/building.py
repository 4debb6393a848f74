"""Columns of names, elements and masses -> `System`: what the network calls alike, residues of what
has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from ..remarks import remark
from ..system import System
from .elements import DEUTERIUM, element_mass, mass_agrees

#: amu above its element's by which a site is a united atom, such as a CH3, and the elements that
#: can be one.
_UNITED = 0.7
_JOINED = frozenset("CNOS")
#: amu by which the sum of masses of an atom and its hydrogens may be off and still be that of their
#: elements.
_SUM_TOLERANCE = 0.1


def build_system(
    *,
    names: Sequence[str],
    elements: Sequence[str],
    masses: ArrayLike | None,
    charges: ArrayLike | None,
    bonds: ArrayLike | None,
    where: str,
    types: Sequence[object] | None = None,
) -> System:
    """System of columns, with the masses of the elements where none are stated; types are the
    elements of atoms, the force field's `types` or the names of united atoms, the names of all
    others.

    Raises:
        ValueError: a site has no mass.
    """
    if masses is None:
        masses = [element_mass(e) for e in elements]
    masses = np.asarray(masses, float)
    bad = np.flatnonzero(~(masses > 0))
    if len(bad) and elements[bad[0]] != "X":
        raise ValueError(
            f"{where}: site {bad[0]} ({names[bad[0]]}) has a mass of {masses[bad[0]]:g}: "
            "expected positive "
            "amu for every site; leave masses= out and atoms get those of their elements"
        )
    if len(bad):
        raise ValueError(
            f"{where}: site {bad[0]} ({names[bad[0]]}) has no mass and its name is no element: "
            "expected "
            "positive amu for every site; give masses={name: amu} or elements={name: symbol}, "
            "or a topology "
            "that states them"
        )
    kinds = united_or_element(names, elements, masses, types)
    pairs = np.asarray([] if bonds is None else bonds, np.int64).reshape(-1, 2)
    return name_residues(
        System(
            names=tuple(names),
            masses=masses,
            types=kinds,
            elements=tuple(elements),
            charges=np.zeros(len(names)) if charges is None else np.asarray(charges, float),
            bonds=pairs,
        )
    )


def united_or_element(
    names: Sequence[str], elements: Sequence[str], masses: ArrayLike, types: Sequence[object] | None
) -> tuple[str, ...]:
    """What the network calls alike: the element of an atom, the force field's type or the name of
    anything else.

    A united atom, whose mass holds its hydrogens, is no plain atom: CH3 and CH2 stay apart.

    Args:
        names, elements: of the sites.
        masses: (n_sites,) amu.
        types: of the force field, where a file has them.
    """
    found = []
    for i, (name, element, mass) in enumerate(zip(names, elements, np.asarray(masses, float))):
        united = (
            element not in ("X", "H")
            and mass - element_mass(element) > _UNITED
            and mass_agrees(element, mass)
        )
        if element == "X" or united:
            typed = "" if types is None else str(types[i]).strip()
            found.append(
                name if element == "X" or not typed or typed.upper() == element.upper() else typed
            )
        else:
            found.append(element)
    return tuple(found)


def name_residues(system: System) -> System:
    """Residues are the molecules; lone ions are called by their name, three-atom waters HOH, the
    rest MOL.
    """
    molecules = system.molecules
    order = np.argsort(molecules, kind="stable")
    names = ["MOL"] * system.n_sites
    for members in np.split(order, np.flatnonzero(np.diff(molecules[order])) + 1):
        if len(members) == 1:
            names[members[0]] = system.names[members[0]].upper()
        elif sorted(system.elements[i] for i in members) == ["H", "H", "O"]:
            for i in members:
                names[i] = "HOH"
    return replace(system, residues=molecules, residue_names=tuple(names))


def rigid_water_bonds(system: System) -> System:
    """H-H bonds, by which topologies of rigid water state their third constraint, turned from bonds
    into constraints.
    """
    i, j = system.bonds.T
    hydrogen = np.array(system.elements) == "H"
    degree = np.bincount(system.bonds.ravel(), minlength=system.n_sites)
    false = hydrogen[i] & hydrogen[j] & (degree[i] > 1) & (degree[j] > 1)
    if not false.any():
        return system
    held = np.concatenate([system.constraints, system.bonds[false]])
    return replace(
        system, bonds=system.bonds[~false], constraints=np.unique(np.sort(held, 1), axis=0)
    )


def with_true_masses(system: System, where: str) -> System:
    """`system` with the masses of its elements where hydrogens carry mass of the atoms they are
    bonded to.

    Such masses (hydrogen mass repartitioning, Hopkins et al., J. Chem. Theory Comput. 11, 1864
    (2015)) let a simulation take long steps. They are no property of the molecule: centres of mass
    are those of the true masses. Moved mass is known by sums: an atom and its hydrogens together
    weigh what their elements do. Nothing is done where one does not.
    """
    true = np.array([element_mass(e) for e in system.elements])
    hydrogen = np.array(system.elements) == "H"
    heavy = hydrogen & (np.abs(system.masses - true) > _SUM_TOLERANCE)
    heavy &= np.abs(system.masses - DEUTERIUM) > 0.02
    if not heavy.any():
        return system
    carrier = {
        h: k
        for k, around in enumerate(system.neighbours())
        if not hydrogen[k]
        for h in around
        if hydrogen[h]
    }
    groups: dict[int, list[int]] = {}
    for h in np.flatnonzero(heavy).tolist():
        if h not in carrier:
            return system
        groups.setdefault(carrier[h], [])
    for h, k in carrier.items():
        if k in groups:
            groups[k].append(h)
    members = [[k, *hydrogens] for k, hydrogens in groups.items()]
    if any(abs((system.masses - true)[group].sum()) > _SUM_TOLERANCE for group in members):
        return system
    masses = system.masses.copy()
    for group in members:
        masses[group] = true[group]
    remark(
        f"{where}: hydrogens carry up to {system.masses[heavy].max():.3g} amu of the atoms "
        "they are bonded "
        "to; the System has the true masses, by which centres of mass are taken (masses= keeps "
        "others)"
    )
    return replace(system, masses=masses)
