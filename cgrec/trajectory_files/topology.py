"""Topology files and lists of names -> `System`; guesses of elements, masses and bonds; selections."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..system import System
from . import pdb
from .periodic import close_pairs

#: Topology files that list all bonds; in others (PDB, GRO, ...) missing bonds are found from distances.
BONDS_COMPLETE = {".psf", ".prmtop", ".parm7", ".top", ".tpr", ".data", ".mol2"}
#: Upper-case names that mean a two-letter element. CA, CD, CE, HG, NE ... are atoms of amino acids and not
#: here.
_IONS = {
    "CL": "Cl", "BR": "Br", "NA": "Na", "LI": "Li", "MG": "Mg", "ZN": "Zn", "FE": "Fe", "RB": "Rb",
    "CS": "Cs", "SI": "Si", "SE": "Se", "AL": "Al", "CLA": "Cl", "SOD": "Na", "POT": "K", "CAL": "Ca",
    "CES": "Cs", "LIT": "Li", "RUB": "Rb",
}  # fmt: skip
#: nm; only a wrong unit of length brings atoms closer.
CLOSEST_ATOMS = 0.05
#: Elements whose neighbours are held by charge, not by bonds a distance could tell: never bonded by a guess.
_UNBONDED = {
    "Li", "Na", "K", "Rb", "Cs", "Be", "Mg", "Ca", "Sr", "Ba", "Zn", "Fe", "Mn", "Co", "Ni", "Cu", "Cd", "He",
    "Ne", "Ar", "Kr", "Xe", "X",
}  # fmt: skip


def load_topology(
    topology: str | Path | System, masses: Mapping[str, float] | ArrayLike | None = None
) -> tuple[System, bool]:
    """The System of a topology file (anything MDAnalysis reads), and whether its list of bonds is complete.

    Args:
        topology: file, folder of frames, or a System, which is returned as it is.
        masses: amu by name or one a site, used before a mass or an element is guessed for a file's sites.

    Raises:
        ValueError: the file cannot be read as a topology, or holds sites without mass.
    """
    if isinstance(topology, System):
        return topology, True
    path = Path(topology)
    if not path.exists():
        raise FileNotFoundError(f"topology {path} does not exist")
    if path.is_dir():
        return System.load(path / "system.json"), True
    if path.suffix == ".json":
        return System.load(path), True
    system = system_from_universe(open_universe(path), path, masses)
    return system, path.suffix.lower() in BONDS_COMPLETE


def open_universe(path: Path) -> Any:
    """MDAnalysis Universe of `path` without guesses of its own."""
    import MDAnalysis

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return MDAnalysis.Universe(str(path), to_guess=())
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read as a topology ({error}); give PDB, GRO, PSF, prmtop, TPR or LAMMPS data"
        ) from error


def system_from_universe(
    universe: Any, path: Path, given: Mapping[str, float] | ArrayLike | None = None
) -> System:
    """System of an MDAnalysis Universe: names, elements, masses, charges, residues and the bonds it lists; `given`
    masses, by name or one a site, before its own.
    """
    atoms = universe.atoms
    masses = _attribute(atoms, "masses")
    if masses is not None and np.all(np.asarray(masses) == 0):
        masses = None
    names = _attribute(atoms, "names")
    stated = _attribute(atoms, "elements")
    fallback = names if names is not None else [""] * len(atoms)
    masses = _given_first(given, masses, fallback)
    guessed = [guess_element(n, None if masses is None else masses[i]) for i, n in enumerate(fallback)]
    elements = guessed if stated is None else [s.capitalize() if s else g for s, g in zip(stated, guessed)]
    residue_names = _attribute(atoms, "resnames")
    pairs = universe.bonds.indices if hasattr(universe, "bonds") else []
    system = build_system(
        names=elements if names is None else names, elements=elements, masses=masses,
        charges=_attribute(atoms, "charges"), bonds=pairs, where=str(path),
    )  # fmt: skip
    system = replace(system, residues=np.asarray(atoms.resindices, np.int64), **_origin(atoms))
    hybrid = pdb.hybrid_residues(path) if path.suffix.lower() in pdb.ENDINGS else None
    if hybrid is not None:
        system = replace(system, residues=hybrid.residues, residue_numbers=hybrid.numbers)
    named = residue_names is not None and any(residue_names)
    return rigid_water_bonds(replace(system, residue_names=tuple(residue_names)) if named else system)


def _origin(atoms: Any) -> dict[str, Any]:
    """Chains, residue numbers and insertion codes of a Universe's atoms, as fields of `System`.

    The chain is the chain id, or the segment where a file has segments (PSF); "SYSTEM" is MDAnalysis' word for none.
    """
    chains = _attribute(atoms, "chainIDs")
    if chains is None or not any(chains):
        segments = _attribute(atoms, "segids")
        chains = () if segments is None else ["" if s == "SYSTEM" else s for s in segments]
    codes = _attribute(atoms, "icodes")
    return {
        "chain_ids": tuple(chains),
        "residue_numbers": _attribute(atoms, "resids"),
        "insertion_codes": () if codes is None else tuple(codes),
    }


def _given_first(given: Any, masses: Any, names: Sequence[str]) -> Any:
    """Masses of a file with those a caller gives by site name in their place; element and type names come later."""
    if given is None:
        return masses
    if not isinstance(given, Mapping):
        listed = np.asarray(given, float)
        return listed if listed.shape == (len(names),) else masses  # another number is refused later
    if not set(given) & set(names):
        return masses
    known = [element_mass(guess_element(n)) for n in names] if masses is None else masses
    return np.array([given.get(n, m) for n, m in zip(names, known)], float)


def _attribute(atoms: Any, name: str) -> Any:
    try:
        return getattr(atoms, name)
    except Exception:  # MDAnalysis raises NoDataError where the file has no such column
        return None


def system_from_species(
    species: Sequence[Any] | str,
    n_sites: int,
    *,
    masses: Mapping[str, float] | ArrayLike | None = None,
    bonds: ArrayLike | None = None,
    charges: ArrayLike | None = None,
    where: str,
) -> System:
    """System of a bare list of names, for files without a topology.

    Args:
        species: one name a site (element symbols, atom names, bead names or atomic numbers); one name alone
            is that of every site.
        n_sites: how many sites the trajectory has.
        masses: amu, per name or one a site; needed only where a name is no element.
        bonds, charges: as in System.
        where: file named in errors.

    Raises:
        ValueError: wrong number of names, or a mass that nobody states.
    """
    names = site_names(species, n_sites, where)
    if isinstance(masses, Mapping):  # names it leaves out are elements, or get 0, which build_system refuses
        masses = [masses.get(n, element_mass(guess_element(n))) for n in names]
    stated = None if masses is None else np.asarray(masses, float)
    elements = [guess_element(n, None if stated is None else stated[i]) for i, n in enumerate(names)]
    return build_system(
        names=names, elements=elements, masses=stated, charges=charges, bonds=bonds, where=where
    )


def site_names(species: Sequence[Any] | str, n_sites: int, where: str) -> list[str]:
    """One name a site, of names or atomic numbers, or of one name for all.

    Raises:
        ValueError: another number of names than sites.
    """
    from ase.data import chemical_symbols

    listed = [species] * n_sites if isinstance(species, str) else list(species)
    if len(listed) != n_sites:
        raise ValueError(f"{where}: expected one name a site for {n_sites} sites, found {len(listed)} names")
    return [chemical_symbols[int(s)] if isinstance(s, int | np.integer) else str(s) for s in listed]


def build_system(
    *, names: Sequence[str], elements: Sequence[str], masses: Any, charges: Any, bonds: Any, where: str
) -> System:
    """System of columns, with the masses of the elements where none are stated; types are the elements of
    atoms, else the names.

    Raises:
        ValueError: a site has no mass.
    """
    if masses is None:
        masses = np.array([element_mass(e) for e in elements])
    bad = np.flatnonzero(~(np.asarray(masses, float) > 0))
    if len(bad):
        raise ValueError(
            f"{where}: site {bad[0]} ({names[bad[0]]}) has no mass and its name is no element: expected "
            "positive amu for every site; "
            "give masses={name: amu}, a topology that states masses, or (for massless virtual sites) a "
            "trajectory without them"
        )
    types = [n if e == "X" else e for n, e in zip(names, elements)]
    pairs = np.asarray([] if bonds is None else bonds, np.int64).reshape(-1, 2)
    return name_residues(
        System(
            names=tuple(names),
            masses=masses,
            types=tuple(types),
            elements=tuple(elements),
            charges=charges,
            bonds=pairs,
        )
    )


def name_residues(system: System) -> System:
    """Residues are the molecules; lone ions are called by their name, three-atom waters HOH, the rest MOL."""
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


def element_mass(element: str) -> float:
    from ase.data import atomic_masses, atomic_numbers

    return 0.0 if element == "X" else float(atomic_masses[atomic_numbers[element]])


def guess_element(name: str, mass: float | None = None) -> str:
    """Chemical symbol meant by an atom or ion name, "X" where it is none.

    A stated mass far from the element's (more than 7 amu: repartitioned hydrogens move a carbon by 6) says
    that the name is a bead's: a "W" of 18 amu is a water, not tungsten. Without a usable name the mass
    decides.
    """
    from ase.data import atomic_masses, atomic_numbers

    text = re.sub(r"[^A-Za-z]", "", name)
    candidates = [text] if text in atomic_numbers else []
    candidates += [_IONS[text.upper()]] if text.upper() in _IONS else []
    candidates += [text[0].upper()] if text and text[0].upper() in "HCNOPSFI" and len(text) <= 4 else []
    candidates = [c for c in candidates if c != "X"]
    for symbol in candidates:
        if mass is None or not mass > 0 or abs(mass - atomic_masses[atomic_numbers[symbol]]) < 7:
            return symbol
    if mass is None or not mass > 0 or text:
        return "X"
    nearest = int(np.argmin(np.abs(atomic_masses[1:] - mass))) + 1
    return list(atomic_numbers)[nearest] if abs(atomic_masses[nearest] - mass) < 0.3 else "X"


def add_guessed_bonds(system: System, positions: NDArray[Any], box: NDArray[Any] | None) -> System:
    """`system` with the bonds that distances of one frame show and its list lacks.

    Two atoms are bonded when closer than 1.25 times the sum of their covalent radii (Cordero et al. 2008,
    through ASE); a hydrogen keeps its nearest partner only; metals, noble gases and beads get no bonds.

    Args:
        positions: (n_sites, 3) nm, one frame.
        box: (3, 3) nm or None.
    """
    radii = covalent_radii(system.elements)
    able = np.flatnonzero([e not in _UNBONDED for e in system.elements])
    if len(able) < 2 or len(close_pairs(positions[able], CLOSEST_ATOMS, box)[0]):
        return system  # so close is a wrong unit of length, which `read` reports; everything would be bonded
    pairs, vectors = close_pairs(positions[able], 1.25 * 2 * radii[able].max(), box)
    pairs, lengths = able[pairs], np.linalg.norm(vectors, axis=-1)
    near = lengths < 1.25 * radii[pairs].sum(1)
    found = _one_bond_per_hydrogen(system, pairs[near], lengths[near])
    known = {tuple(sorted(b)) for b in system.bonds.tolist()}
    with_bond = {i for b in known for i in b if system.elements[i] == "H"}
    new = [b for b in found if b not in known and not with_bond & set(b)]
    return (
        replace(system, bonds=np.array(sorted(known | set(new)), np.int64).reshape(-1, 2)) if new else system
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


def rigid_water_bonds(system: System) -> System:
    """H-H bonds, by which topologies of rigid water state their third constraint, turned from bonds into
    constraints.
    """
    i, j = system.bonds.T
    hydrogen = np.array(system.elements) == "H"
    degree = np.bincount(system.bonds.ravel(), minlength=system.n_sites)
    false = hydrogen[i] & hydrogen[j] & (degree[i] > 1) & (degree[j] > 1)
    if not false.any():
        return system
    held = np.concatenate([system.constraints, system.bonds[false]])
    return replace(system, bonds=system.bonds[~false], constraints=np.unique(np.sort(held, 1), axis=0))


def add_rigid_pairs(system: System, positions: NDArray[Any]) -> System:
    """`system` with bonds and 1-3 distances that never change marked as constraints.

    A pair is rigid where its length varies by less than 0.1 % (flexible bonds vary by 2 % or more, SETTLE and
    LINCS keep 1e-4 or better). Fewer than 5 frames, or frames that are all alike, tell nothing.

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


def universe_of(system: System) -> Any:
    """MDAnalysis Universe of a System, for selections and export.

    resid is the residue's number in its file, and counts residues from 1 where nobody states one; chainID and segid
    are the chain, icode the insertion code.
    """
    import MDAnalysis

    residues, first, index = np.unique(system.residues, return_index=True, return_inverse=True)
    chains = np.array(system.chain_ids or ("",) * system.n_sites, object)
    segments, segment = np.unique(chains[first].astype(str), return_inverse=True)
    universe = MDAnalysis.Universe.empty(
        system.n_sites, n_residues=len(residues), atom_resindex=index,
        residue_segindex=segment, n_segments=len(segments), trajectory=True, forces=True,
    )  # fmt: skip
    per_atom = {
        "names": system.names,
        "types": system.types,
        "masses": system.masses,
        "charges": system.charges,
        "elements": tuple("" if e == "X" else e for e in system.elements),
        "chainIDs": tuple(c or "A" for c in chains),
    }
    for name, values in per_atom.items():
        universe.add_TopologyAttr(name, np.asarray(values, object if isinstance(values, tuple) else float))
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
    """Site indices of a selection in MDAnalysis' language ('protein', 'not resname HOH', 'element C N O',
    'index 0:4').

    Raises:
        ValueError: it is not understood, or matches nothing.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = universe_of(system).select_atoms(selection).indices
    except Exception as error:
        raise ValueError(
            f"selection {selection!r} is not understood ({error}): expected MDAnalysis' selection language"
        ) from error
    if not len(found):
        raise ValueError(
            f"selection {selection!r} matches none of the {system.n_sites} sites, called "
            f"{', '.join(sorted(set(system.labels))[:20])}"
        )
    return [int(i) for i in found]
