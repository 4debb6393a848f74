"""Topology files and lists of names -> `System`; guesses of elements, masses and bonds; selections."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..files import missing
from ..remarks import remark
from ..site_labels import listed
from ..system import System
from .building import build_system, name_residues, rigid_water_bonds
from .elements import (
    DEUTERIUM,
    Doubt,
    as_atoms,
    element_mass,
    guess_element,
    guess_elements,
    is_virtual,
    mass_agrees,
)
from .periodic import close_pairs
from .universe import Topology, given_elements, open_universe, topology_from_universe

if TYPE_CHECKING:
    from MDAnalysis import Universe

__all__ = [
    "add_guessed_bonds",
    "add_rigid_pairs",
    "build_system",
    "guess_element",
    "load_topology",
    "name_residues",
    "read_topology",
    "read_species",
    "rigid_water_bonds",
    "select_sites",
    "site_names",
    "system_from_species",
    "universe_of",
    "element_mass",
]

#: Topology files that list all bonds; in others (PDB, GRO, ...) missing bonds are found from
#: distances.
BONDS_COMPLETE = {".psf", ".prmtop", ".parm7", ".top", ".tpr", ".data", ".mol2"}
#: nm; only a wrong unit of length brings atoms closer.
CLOSEST_ATOMS = 0.05
#: Elements whose neighbours are held by charge, not by bonds a distance could tell: never bonded by
#: a guess.
_UNBONDED = {
    "Li",
    "Na",
    "K",
    "Rb",
    "Cs",
    "Be",
    "Mg",
    "Ca",
    "Sr",
    "Ba",
    "Zn",
    "Fe",
    "Mn",
    "Co",
    "Ni",
    "Cu",
    "Cd",
    "He",
    "Ne",
    "Ar",
    "Kr",
    "Xe",
    "X",
}


def load_topology(
    topology: str | Path | System, masses: Mapping[str, float] | ArrayLike | None = None
) -> tuple[System, bool]:
    """The System of a topology file (anything MDAnalysis reads), and whether its list of bonds is
    complete.

    Args:
        topology: file, folder of frames, or a System, which is returned as it is.
        masses: amu by name or one a site, used before a mass or an element is guessed for a file's
            sites.

    Raises:
        ValueError: the file cannot be read as a topology, or holds sites without mass.
    """
    found = read_topology(topology, masses)
    return found.system, found.bonds_complete


def read_topology(
    topology: str | Path | System,
    masses: Mapping[str, float] | ArrayLike | None = None,
    elements: Mapping[str, str] | None = None,
) -> Topology:
    """What a topology file (anything MDAnalysis reads) says, and which of its sites are sites of
    the System.

    Args:
        topology: file, folder of frames, or a System, which is taken as it is.
        masses: amu by site name or one a site, used before a mass or an element is guessed.
        elements: symbols by site name or "residue name:site name", in place of guesses.

    Raises:
        ValueError: the file cannot be read as a topology, holds sites without mass, or elements
            nobody can tell.
    """
    if isinstance(topology, System):
        return Topology(topology, n_file=topology.n_sites)
    path = Path(topology)
    if not path.exists():
        raise missing("topology", path)
    if path.is_dir() or path.suffix == ".json":
        system = System.load(path / "system.json" if path.is_dir() else path)
        return Topology(system, n_file=system.n_sites)
    complete = path.suffix.lower() in BONDS_COMPLETE
    return topology_from_universe(
        open_universe(path), path, bonds_complete=complete, masses=masses, elements=elements
    )


def system_from_species(
    species: Sequence[object] | str,
    n_sites: int,
    *,
    masses: Mapping[str, float] | ArrayLike | None = None,
    bonds: ArrayLike | None = None,
    charges: ArrayLike | None = None,
    where: str,
) -> System:
    """System of a bare list of names, for files without a topology; see `read_species`."""
    return read_species(
        species, n_sites, masses=masses, bonds=bonds, charges=charges, where=where
    ).system


def read_species(
    species: Sequence[object] | str,
    n_sites: int,
    *,
    masses: Mapping[str, float] | ArrayLike | None = None,
    elements: Mapping[str, str] | None = None,
    bonds: ArrayLike | None = None,
    charges: ArrayLike | None = None,
    are_atoms: Callable[[Sequence[str]], bool] | None = None,
    where: str,
) -> Topology:
    """What a bare list of names says; massless sites are left out.

    Args:
        species: one name a site (element symbols, atom names, bead names or atomic numbers); one
            name alone is that of every site.
        n_sites: how many sites the trajectory has.
        masses: amu, per name or one a site; needed only where a name is no element.
        elements: symbols by name, in place of guesses.
        bonds, charges: as in System.
        are_atoms: tells from distances whether the sites can be the atoms of these elements; asked
            where names such as C1 C2 C3 are those of atoms or of beads.
        where: file named in errors.

    Raises:
        ValueError: wrong number of names, or a mass that nobody states.
    """
    names = site_names(species, n_sites, where)
    if masses is not None and not isinstance(masses, Mapping) and np.shape(masses) != (n_sites,):
        raise ValueError(
            f"{where}: masses: expected one a site for {n_sites} sites, found shape "
            f"{np.shape(masses)}"
        )
    given_elements(elements or {}, names, names, where)  # refuses names that no site has
    numbers = not isinstance(species, str) and all(isinstance(s, int | np.integer) for s in species)
    symbols = list(names) if numbers else _elements_of_names(names, masses, elements or {})
    if masses is None and not numbers and are_atoms is not None and set(symbols) == {"X"}:
        symbols = _elements_by_distance(names, elements or {}, are_atoms, where)
    if isinstance(masses, Mapping):
        stated = np.array([masses.get(n, np.nan) for n in names], float)
    else:
        stated = np.full(n_sites, np.nan) if masses is None else np.asarray(masses, float)
    symbols = [e if mass_agrees(e, m) else "X" for e, m in zip(symbols, stated)]
    heavy = [e == "H" and n.lstrip("0123456789")[:1] == "D" for e, n in zip(symbols, names)]
    own = np.where(heavy, DEUTERIUM, [element_mass(e) for e in symbols])
    full = np.where(np.isnan(stated), own, stated)
    some_atoms = set(symbols) != {"X"}
    named = np.array([e == "X" and is_virtual(n) and some_atoms for e, n in zip(symbols, names)])
    virtual = (stated == 0) | (np.isnan(stated) & named)
    if virtual.all() or not virtual.any():
        system = build_system(
            names=names, elements=symbols, masses=full, charges=charges, bonds=bonds, where=where
        )
        return Topology(system, n_file=n_sites)
    return _without(virtual, names, symbols, full, charges, bonds, where)


def _without(
    virtual: NDArray[np.bool_],
    names: list[str],
    symbols: list[str],
    masses: NDArray[np.float64],
    charges: ArrayLike | None,
    bonds: ArrayLike | None,
    where: str,
) -> Topology:
    """The Topology of the sites that are not `virtual`."""
    kept, new = np.flatnonzero(~virtual), np.cumsum(~virtual) - 1
    pairs = np.asarray([] if bonds is None else bonds, np.int64).reshape(-1, 2)
    pairs = new[pairs[~virtual[pairs].any(1)]]
    gone = sorted({n for n, v in zip(names, virtual) if v})
    remark(
        f"{where}: {int(virtual.sum())} massless sites ({listed(gone)}) are left out: they are no "
        "atoms"
    )
    system = build_system(
        names=[names[i] for i in kept],
        elements=[symbols[i] for i in kept],
        masses=masses[kept],
        charges=None if charges is None else np.asarray(charges)[kept],
        bonds=pairs,
        where=where,
    )
    owners = np.zeros(len(names), np.int64)
    return Topology(system, False, len(names), kept, np.flatnonzero(virtual), owners)


def site_names(species: Sequence[object] | str, n_sites: int, where: str) -> list[str]:
    """One name a site, of names or atomic numbers, or of one name for all.

    Raises:
        ValueError: another number of names than sites.
    """
    from ase.data import chemical_symbols

    listed_names = [species] * n_sites if isinstance(species, str) else list(species)
    if len(listed_names) != n_sites:
        raise ValueError(
            f"{where}: species: expected one name a site for {n_sites} sites, found "
            f"{len(listed_names)} names; give as many, or one name for all"
        )
    numbers = {int(s) for s in listed_names if isinstance(s, int | np.integer)}
    if len(numbers) > 1 and numbers == set(range(1, len(numbers) + 1)):
        raise ValueError(
            f"{where}: species are numbers from 1 to {len(numbers)}: as atomic numbers they are "
            f"{', '.join(chemical_symbols[1 : len(numbers) + 1])}, which is no molecule, so "
            "they are numbers "
            "of types; give names or symbols, species=[...], or a topology"
        )
    outside = sorted(k for k in numbers if not 0 < k < len(chemical_symbols))
    if outside:
        raise ValueError(
            f"{where}: species: {outside[0]} is no atomic number: expected 1 to "
            f"{len(chemical_symbols) - 1}"
        )
    return [_name(s) for s in listed_names]


def _name(species: object) -> str:
    from ase.data import chemical_symbols

    if isinstance(species, int | np.integer):
        return chemical_symbols[int(species)]
    return species.decode(errors="replace") if isinstance(species, bytes) else str(species)


def _elements_of_names(
    names: Sequence[str], masses: Mapping[str, float] | ArrayLike | None, given: Mapping[str, str]
) -> list[str]:
    """Elements of a bare list of names: "X" for beads and for what could be several, which then
    needs a mass.
    """
    if isinstance(masses, Mapping):
        stated: NDArray[np.float64] | None = np.array([masses.get(n, 0.0) for n in names], float)
    else:
        stated = None if masses is None else np.asarray(masses, float)
    guessed = guess_elements(names, masses=stated)
    found = ["X" if isinstance(guess, Doubt) else guess for guess in guessed]
    return [given.get(name, guess) for name, guess in zip(names, found)]


def _elements_by_distance(
    names: Sequence[str],
    given: Mapping[str, str],
    are_atoms: Callable[[Sequence[str]], bool],
    where: str,
) -> list[str]:
    """Elements of names that could all be those of beads, where distances are those of atoms; else
    "X".
    """
    guessed = as_atoms(names)
    if guessed is None or "X" in given.values() or not are_atoms(guessed):
        return [given.get(name, "X") for name in names]
    pairs = dict(zip(names, guessed))
    remark(
        f"{where}: names that could be those of beads are taken as atoms, since sites lie as "
        "near as bonded "
        f"ones: {listed([f'{n} is {e}' for n, e in pairs.items()])}; elements= or masses= says "
        "otherwise"
    )
    return guessed


def add_guessed_bonds(
    system: System, positions: NDArray[np.floating], box: NDArray[np.floating] | None
) -> System:
    """`system` with the bonds that distances of one frame show and its list lacks.

    Two atoms are bonded when closer than 1.25 times the sum of their covalent radii (Cordero et al.
    2008, through ASE); a hydrogen keeps its nearest partner only; metals, noble gases and beads get
    no bonds.

    Args:
        positions: (n_sites, 3) nm, one frame.
        box: (3, 3) nm or None.
    """
    radii = covalent_radii(system.elements)
    able = np.flatnonzero([e not in _UNBONDED for e in system.elements])
    if len(able) < 2 or len(close_pairs(positions[able], CLOSEST_ATOMS, box)[0]):
        # so close is a wrong unit of length, which `read` reports; everything would be bonded
        return system
    pairs, vectors = close_pairs(positions[able], 1.25 * 2 * radii[able].max(), box)
    pairs, lengths = able[pairs], np.linalg.norm(vectors, axis=-1)
    near = lengths < 1.25 * radii[pairs].sum(1)
    found = _one_bond_per_hydrogen(system, pairs[near], lengths[near])
    known = {tuple(sorted(b)) for b in system.bonds.tolist()}
    with_bond = {i for b in known for i in b if system.elements[i] == "H"}
    new = [b for b in found if b not in known and not with_bond & set(b)]
    return (
        replace(system, bonds=np.array(sorted(known | set(new)), np.int64).reshape(-1, 2))
        if new
        else system
    )


def _one_bond_per_hydrogen(
    system: System, pairs: NDArray[np.int64], lengths: NDArray[np.float64]
) -> list[tuple[int, int]]:
    taken: set[int] = set()
    kept = []
    for i, j in pairs[np.argsort(lengths)].tolist():
        hydrogens = {k for k in (i, j) if system.elements[k] == "H"}
        if not hydrogens & taken:
            taken |= hydrogens
            kept.append((min(i, j), max(i, j)))
    return kept


def covalent_radii(elements: Sequence[str]) -> NDArray[np.float64]:
    """(n,) nm, of chemical symbols; 0 for "X"."""
    from ase.data import atomic_numbers
    from ase.data import covalent_radii as table

    return np.array([0.0 if e == "X" else table[atomic_numbers[e]] / 10 for e in elements])


def add_rigid_pairs(system: System, positions: NDArray[np.floating]) -> System:
    """`system` with bonds and 1-3 distances that never change marked as constraints.

    A pair is rigid where its length varies by less than 0.1 % (flexible bonds vary by 2 % or more,
    SETTLE and LINCS keep 1e-4 or better). Fewer than 5 frames, or frames that are all alike, tell
    nothing.

    Args:
        positions: (n_frames, n_sites, 3), molecules whole.
    """
    ends = [(p[0], p[-1]) for n in (2, 3) for p in system.bonded_paths(n)]
    if len(positions) < 5 or not ends or np.ptp(positions, axis=0).max() == 0:
        return system
    sample = np.asarray(positions[:: max(len(positions) // 20, 1)], float)
    pairs = np.unique(np.sort(ends, 1), axis=0)
    lengths = np.linalg.norm(sample[:, pairs[:, 1]] - sample[:, pairs[:, 0]], axis=-1)
    rigid = pairs[lengths.std(0) < 1e-3 * lengths.mean(0)]
    both = np.concatenate([np.sort(system.constraints, 1), rigid])
    return replace(system, constraints=np.unique(both, axis=0)) if len(rigid) else system


def universe_of(system: System) -> Universe:
    """MDAnalysis Universe of a System, for selections and export.

    resid is the residue's number in its file, and counts residues from 1 where nobody states one;
    chainID and segid are the chain, icode the insertion code.
    """
    import MDAnalysis

    residues, first, index = np.unique(system.residues, return_index=True, return_inverse=True)
    chains = np.array(system.chain_ids or ("",) * system.n_sites, object)
    segments, segment = np.unique(chains[first].astype(str), return_inverse=True)
    universe = MDAnalysis.Universe.empty(
        system.n_sites,
        n_residues=len(residues),
        atom_resindex=index,
        residue_segindex=segment,
        n_segments=len(segments),
        trajectory=True,
        forces=True,
    )
    per_atom = {
        "names": system.names,
        "types": system.types,
        "masses": system.masses,
        "charges": system.charges,
        "elements": tuple("" if e == "X" else e for e in system.elements),
        "chainIDs": tuple(c or "A" for c in chains),
    }
    for name, values in per_atom.items():
        universe.add_TopologyAttr(
            name, np.asarray(values, object if isinstance(values, tuple) else float)
        )
    codes = system.insertion_codes or ("",) * system.n_sites
    universe.add_TopologyAttr("resnames", [system.residue_names[i] for i in first])
    universe.add_TopologyAttr(
        "resids", residues + 1 if system.residue_numbers is None else system.residue_numbers[first]
    )
    universe.add_TopologyAttr("icodes", np.array([codes[i] for i in first], object))
    universe.add_TopologyAttr("segids", [s or "A" for s in segments])
    universe.add_TopologyAttr("bonds", [tuple(b) for b in system.bonds.tolist()])
    return universe


def select_sites(system: System, selection: str) -> list[int]:
    """Site indices of a selection in MDAnalysis' language ('protein', 'not resname HOH', 'element C
    N O', 'index 0:4').

    Raises:
        ValueError: it is not understood, or matches nothing.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = universe_of(system).select_atoms(selection).indices
    except Exception as error:
        raise ValueError(
            f"selection {selection!r} is not understood ({error}): expected MDAnalysis' "
            "selection language"
        ) from error
    if not len(found):
        raise ValueError(
            f"selection {selection!r} matches none of the {system.n_sites} sites, called "
            f"{', '.join(sorted(set(system.labels))[:20])}"
        )
    return [int(i) for i in found]
