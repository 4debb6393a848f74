"""An MDAnalysis Universe -> `Topology`: the sites a trajectory's System has, and which sites of the
file they are.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..remarks import remark
from ..site_labels import listed, suggestion
from ..system import System
from . import pdb
from .building import build_system, rigid_water_bonds, with_true_masses
from .elements import (
    DEUTERIUM,
    Doubt,
    element_mass,
    guess_elements,
    is_known,
    is_virtual,
    mass_agrees,
)
from .stated import Stated, check_stated, symbol_of

if TYPE_CHECKING:
    from MDAnalysis import AtomGroup, Universe

#: Share of the largest force below which the force on a massless site is rounding.
_NO_FORCE = 1e-4


@dataclass(frozen=True)
class Topology:
    """What a topology file says.

    Attributes:
        system: the sites.
        bonds_complete: whether the file lists all bonds.
        n_file: number of sites in the file.
        kept: (n_sites,) which sites of the file they are; None where they are all.
        massless: sites of the file that are left out because they have no mass, such as M of TIP4P.
        owners: (n_file,) residue of every site of the file.
    """

    system: System
    bonds_complete: bool = True
    n_file: int = 0
    kept: NDArray[np.int64] | None = None
    massless: NDArray[np.int64] | None = None
    owners: NDArray[np.int64] | None = None

    def check_massless(
        self, forces: NDArray[np.floating], sites: Sequence[int] | slice, where: str
    ) -> None:
        """Refuse forces on massless sites that are left out: they belong to atoms and would be
        lost.

        A program that has passed the force on to the atoms leaves none on the massless site, or
        leaves a copy of it; in the second case the forces of the atoms alone add up to zero, as
        those of a whole system do.

        Args:
            forces: (n, n_file, 3).
            sites: the sites of `system` that are selected; only massless sites of their residues
                count.
            where: the file, for errors.

        Raises:
            ValueError: a force that was not passed on.
        """
        if self.massless is None or self.kept is None or self.owners is None:
            return
        chosen = set(
            self.owners[self.kept[sites if isinstance(sites, slice) else list(sites)]].tolist()
        )
        massless = [i for i in self.massless.tolist() if self.owners[i] in chosen]
        size = np.linalg.norm(forces, axis=-1)
        on_them = size[:, massless]
        if not massless or on_them.max() <= _NO_FORCE * size.max():
            return
        of_atoms = np.linalg.norm(forces[:, self.kept].sum(1), axis=-1).mean()
        of_all = np.linalg.norm(forces.sum(1), axis=-1).mean()
        if of_atoms < 0.1 * of_all:
            return
        frame, site = np.unravel_index(int(np.argmax(on_them)), on_them.shape)
        raise ValueError(
            f"{where}: massless site {massless[int(site)]} carries a force in frame {frame}, "
            "which belongs "
            "to the atoms of its molecule: expected none, or forces passed on to them; write "
            "the forces "
            "after the program has spread them over the atoms (GROMACS and OpenMM do), or "
            "select sites of "
            "other molecules with selection="
        )


#: A text a site.
Texts = NDArray[np.object_]


@dataclass
class _Columns:
    """Columns of a topology file, one entry a site; None where the file has no such column."""

    names: Texts
    residue_names: Texts
    residues: NDArray[np.int64]
    masses: NDArray[np.float64] | None
    elements: Texts | None
    types: Texts | None
    charges: NDArray[np.float64] | None
    chain_ids: Texts | None
    residue_numbers: NDArray[np.int64] | None
    insertion_codes: Texts | None

    def take(self, sites: NDArray[np.int64]) -> _Columns:
        """The columns of these sites."""
        stated = {name: column for name, column in vars(self).items() if column is not None}
        return replace(self, **{name: np.asarray(column)[sites] for name, column in stated.items()})

    def labels(self) -> list[str]:
        """'residue name:site name' of every site."""
        return [f"{r}:{n}" for r, n in zip(self.residue_names, self.names)]

    def place(self, site: int) -> str:
        """A:ALA2:CA of one site, as far as the file says."""
        chain = "" if self.chain_ids is None else str(self.chain_ids[site])
        number = "" if self.residue_numbers is None else str(self.residue_numbers[site])
        return f"{chain}:{self.residue_names[site]}{number}:{self.names[site]}".lstrip(":")


#: Columns of the Atoms section of a LAMMPS data file by its style (docs.lammps.org/read_data.html),
#: where they are not those of `full`, which MDAnalysis expects.
_ATOM_STYLES = {
    "atomic": "id type x y z",
    "charge": "id type charge x y z",
    "molecular": "id resid type x y z",
    "bond": "id resid type x y z",
    "angle": "id resid type x y z",
}


def _atom_style(path: Path) -> dict[str, str]:
    """The argument that tells MDAnalysis the columns of a LAMMPS data file, from its line 'Atoms #
    style'.
    """
    if path.suffix.lower() != ".data":
        return {}
    with path.open(errors="replace") as file:
        for line in file:
            words = line.replace("#", " ").split()
            if words[:1] == ["Atoms"]:
                columns = _ATOM_STYLES.get(words[1]) if len(words) > 1 else None
                return {"atom_style": columns} if columns else {}
    return {}


def open_universe(path: Path) -> Universe:
    """MDAnalysis Universe of `path` without guesses of its own."""
    import MDAnalysis

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return MDAnalysis.Universe(str(path), to_guess=(), **_atom_style(path))
    except Exception as error:
        if path.suffix.lower() in pdb.ENDINGS and not pdb.has_atoms(path):
            raise ValueError(
                f"{path}: expected ATOM or HETATM lines, found none: give another file"
            ) from error
        raise ValueError(
            f"{path} cannot be read as a topology ({error}); give PDB, GRO, PSF, prmtop, TPR "
            "or LAMMPS data"
        ) from error


def topology_from_universe(
    universe: Universe,
    path: Path,
    *,
    bonds_complete: bool,
    masses: Mapping[str, float] | ArrayLike | None = None,
    elements: Mapping[str, str] | None = None,
) -> Topology:
    """Names, elements, masses, charges, residues and listed bonds of a Universe; of sites at
    several places one place, and no massless sites.

    Args:
        universe: of MDAnalysis.
        path: its file, for errors and for what MDAnalysis does not read.
        bonds_complete: whether such files list all bonds.
        masses: amu by site name or "residue name:site name", or one a site, in place of the file's.
        elements: symbols by site name or "residue name:site name", in place of the file's and of
            guesses.

    Raises:
        ValueError: a site has no mass, a name could be two elements', or `elements` has a name that
            no site has.
    """
    columns = _columns(universe, path)
    n_file = len(columns.names)
    owners = np.asarray(columns.residues, np.int64)
    columns.masses = _with_masses(columns, masses)
    located = _one_location(universe.atoms, columns, path)
    columns = columns.take(located)
    symbols = _elements(columns, elements, str(path))
    virtual = _massless(columns, symbols)
    if virtual.all():
        raise ValueError(f"{path}: expected sites with mass, found none")
    _need_certain(columns, symbols, ~virtual, str(path))
    if virtual.any():
        names = sorted({str(n) for n in np.asarray(columns.names)[virtual]})
        remark(
            f"{path}: {int(virtual.sum())} massless sites ({listed(names)}) are left out: they "
            "are no atoms"
        )
    kept = located[~virtual]
    columns = columns.take(np.flatnonzero(~virtual))
    certain = [s for s, v in zip(symbols, virtual) if not v and isinstance(s, str)]
    system = build_system(
        names=list(columns.names),
        elements=certain,
        masses=_masses(columns, certain),
        charges=columns.charges,
        bonds=_bonds_among(universe, kept, n_file),
        where=str(path),
        types=None if columns.types is None else list(columns.types),
    )
    system = replace(
        system,
        residues=_renumbered(columns)
        if len(located) < n_file
        else np.asarray(columns.residues, np.int64),
        residue_numbers=columns.residue_numbers,
        chain_ids=() if columns.chain_ids is None else tuple(columns.chain_ids),
        insertion_codes=() if columns.insertion_codes is None else tuple(columns.insertion_codes),
    )
    if any(columns.residue_names):
        system = replace(system, residue_names=tuple(columns.residue_names))
    system = rigid_water_bonds(system)
    if bonds_complete and masses is None:
        system = with_true_masses(system, str(path))
    return Topology(
        system,
        bonds_complete,
        n_file,
        None if len(kept) == n_file else kept,
        located[virtual] if virtual.any() else None,
        owners,
    )


def _columns(universe: Universe, path: Path) -> _Columns:
    atoms = universe.atoms
    n = len(atoms)
    found = {
        name: _attribute(atoms, name)
        for name in (
            "names",
            "resnames",
            "masses",
            "elements",
            "types",
            "charges",
            "resids",
            "icodes",
        )
    }
    if found["masses"] is not None and np.all(np.asarray(found["masses"]) == 0):
        found["masses"] = None
    hybrid = pdb.hybrid_residues(path) if path.suffix.lower() in pdb.ENDINGS else None
    blank = np.full(n, "", object)
    if path.suffix.lower() in pdb.ENDINGS:  # MDAnalysis drops what is no symbol
        written = [row.element for row in pdb.rows(path)]
        if len(written) == n and any(written):
            found["elements"] = np.array(written, object)
    return _Columns(
        names=blank if found["names"] is None else found["names"],
        residue_names=blank if found["resnames"] is None else found["resnames"],
        residues=np.asarray(atoms.resindices if hybrid is None else hybrid.residues, np.int64),
        masses=found["masses"],
        elements=found["elements"],
        types=found["types"],
        charges=found["charges"],
        chain_ids=_chains(atoms),
        residue_numbers=found["resids"] if hybrid is None else hybrid.numbers,
        insertion_codes=found["icodes"],
    )


def _chains(atoms: AtomGroup) -> Texts | None:
    """Chain of every atom, or its segment where a file has segments (PSF); "SYSTEM" is MDAnalysis'
    word for none.

    Into a PDB it writes X for a chain of more than one letter, and the whole name as segment.
    """
    chains, segments = _attribute(atoms, "chainIDs"), _attribute(atoms, "segids")
    unnamed = chains is None or not any(chains)
    if unnamed or (
        set(chains) == {"X"} and segments is not None and set(segments) - {"X", "SYSTEM"}
    ):
        chains = segments
    return (
        None if chains is None else np.array(["" if c == "SYSTEM" else c for c in chains], object)
    )


def _attribute(atoms: AtomGroup, name: str) -> Any:
    try:
        return getattr(atoms, name)
    except Exception:  # MDAnalysis raises NoDataError where the file has no such column
        return None


def _with_masses(
    columns: _Columns, given: Mapping[str, float] | ArrayLike | None
) -> NDArray[np.float64] | None:
    """The masses of the file (amu, NaN where nobody states one) with those given in their place."""
    if given is None or (isinstance(given, Mapping) and not given):
        return columns.masses
    if not isinstance(given, Mapping):
        listed_masses = np.asarray(given, float)
        return listed_masses if listed_masses.shape == (len(columns.names),) else columns.masses
    keys = list(zip(columns.labels(), columns.names))
    if not any(k in given for pair in keys for k in pair):
        return columns.masses
    known = (
        np.full(len(keys), np.nan) if columns.masses is None else np.asarray(columns.masses, float)
    )
    return np.array(
        [given.get(label, given.get(name, m)) for (label, name), m in zip(keys, known)], float
    )


def _one_location(atoms: AtomGroup, columns: _Columns, path: Path) -> NDArray[np.int64]:
    """Sites of the file that are kept where some are given at several places."""
    letters = _attribute(atoms, "altLocs")
    if letters is None or not any(letters):
        return np.arange(len(columns.names))
    letters = [str(letter).strip() for letter in letters]
    stated = _attribute(atoms, "occupancies")
    occupancies = np.zeros(len(letters)) if stated is None else stated
    blank = [""] * len(letters)
    chains, codes = columns.chain_ids, columns.insertion_codes
    numbers = columns.residues if columns.residue_numbers is None else columns.residue_numbers
    places = list(
        zip(blank if chains is None else chains, numbers, blank if codes is None else codes)
    )
    kept = pdb.one_location(
        letters, occupancies, list(columns.names), list(columns.residue_names), places
    )
    if len(kept) == len(letters):  # one letter everywhere: nothing was chosen
        return kept
    chosen = sorted({letters[i] for i in kept if letters[i]})
    several = len({places[i] for i in range(len(letters)) if letters[i]})
    remark(
        f"{path}: {several} residues have atoms at several places; of each the place of "
        "highest occupancy is "
        f"kept, of equal ones the first letter ({', '.join(chosen)}), and "
        f"{len(letters) - len(kept)} sites "
        "are left out"
    )
    return kept


def _renumbered(columns: _Columns) -> NDArray[np.int64]:
    """Residues of neighbours alike in chain, number, insertion code and name: other places once
    stood between them.
    """
    parts = [
        columns.chain_ids,
        columns.residue_numbers,
        columns.insertion_codes,
        columns.residue_names,
    ]
    if columns.residue_numbers is None:
        parts[1] = columns.residues
    keys = list(zip(*(part for part in parts if part is not None)))
    return np.cumsum([k > 0 and key != keys[k - 1] for k, key in enumerate(keys)])


def _elements(columns: _Columns, given: Mapping[str, str] | None, where: str) -> list[str | Doubt]:
    """The element of every site: as given, as the file states it, or guessed."""
    names, labels = [str(n) for n in columns.names], columns.labels()
    chosen = given_elements(given or {}, names, labels, where)
    residue_names = [str(r) for r in columns.residue_names]
    masses = None if columns.masses is None else np.nan_to_num(np.asarray(columns.masses, float))
    guessed = guess_elements(names, residue_names, columns.residues.tolist(), masses)
    found: list[str | Doubt] = []
    written = [""] * len(names) if columns.elements is None else list(map(str, columns.elements))
    check_stated(
        [
            Stated(columns.place(i), residue_names[i], written[i], guessed[i])
            for i in range(len(names))
            if not chosen[i]
        ],
        where,
    )
    for i, guess in enumerate(guessed):
        stated = symbol_of(written[i])
        if not stated and columns.types is not None and str(columns.types[i]).strip() == "D":
            stated = "H"  # deuterium, of which MDAnalysis knows no element
        mass = None if masses is None or not masses[i] > 0 else float(masses[i])
        if chosen[i]:
            found.append(chosen[i])
        elif stated and stated != "X":
            found.append(stated if mass_agrees(stated, mass) else "X")
        else:
            found.append(guess)
    _say_guesses(columns, found, chosen, labels, where)
    return found


def given_elements(
    given: Mapping[str, str], names: Sequence[str], labels: Sequence[str], where: str
) -> list[str]:
    """The symbol given for every site, "" where none is.

    Raises:
        ValueError: a name that no site has, or a symbol of no element.
    """
    from ase.data import atomic_numbers

    for key, symbol in given.items():
        if key not in names and key not in labels:
            raise ValueError(
                f"{where}: elements: no site is called {key!r}; "
                f"{suggestion(key, [*names, *labels])}"
            )
        if symbol not in atomic_numbers:
            raise ValueError(
                f"{where}: elements[{key!r}]: expected the symbol of an element, or X for a "
                "bead, found "
                f"{symbol!r}"
            )
    return [given.get(label, given.get(name, "")) for name, label in zip(names, labels)]


def _say_guesses(
    columns: _Columns,
    found: Sequence[str | Doubt],
    chosen: Sequence[str],
    labels: Sequence[str],
    where: str,
) -> None:
    """One remark with the names that were taken for another element than their first letter or
    first two say.
    """
    said: dict[str, str] = {}
    for i, symbol in enumerate(found):
        stated = columns.elements is not None and symbol_of(str(columns.elements[i]))
        known = is_known(str(columns.residue_names[i]))
        if isinstance(symbol, Doubt) or stated or chosen[i] or known or symbol == "X":
            continue
        pair = re.match(r"\d*([A-Za-z]*)", str(columns.names[i]))[1][:2].capitalize()  # type: ignore[index]
        if len(symbol) == 2 or (len(pair) == 2 and pair != symbol and _could_be_metal(pair)):
            said[labels[i]] = symbol
    if said:
        remark(
            f"{where} states no elements; guessed from names and residues: "
            f"{listed([f'{label} is {symbol}' for label, symbol in said.items()])}. Where that "
            "is wrong give "
            "elements={name: symbol}"
        )


def _could_be_metal(symbol: str) -> bool:
    from ase.data import atomic_numbers

    return symbol in atomic_numbers


def _massless(columns: _Columns, symbols: Sequence[str | Doubt]) -> NDArray[np.bool_]:
    """Which sites have no mass: it is stated as zero, or nobody states one and the name is that of
    a virtual site of a residue with atoms.
    """
    masses = (
        np.full(len(symbols), np.nan)
        if columns.masses is None
        else np.asarray(columns.masses, float)
    )
    with_atoms = {r for s, r in zip(symbols, columns.residues.tolist()) if s != "X"}
    named = [
        s == "X" and is_virtual(str(n)) and r in with_atoms
        for s, n, r in zip(symbols, columns.names, columns.residues.tolist())
    ]
    return (masses == 0) | (np.isnan(masses) & np.array(named))


def _need_certain(
    columns: _Columns, symbols: Sequence[str | Doubt], counted: NDArray[np.bool_], where: str
) -> None:
    doubts = {
        label: s.elements
        for label, s, c in zip(columns.labels(), symbols, counted)
        if isinstance(s, Doubt) and c
    }
    if doubts:
        first, candidates = next(iter(doubts.items()))
        asked = listed([f"{label} ({' or '.join(e)})" for label, e in doubts.items()])
        raise ValueError(
            f"{where} states no elements, and these names could be several: {asked}; give "
            f"elements={{{first!r}: {candidates[0]!r}}} or the other one, or "
            f"masses={{{first.split(':')[-1]!r}: amu}}"
        )


def _masses(columns: _Columns, symbols: Sequence[str]) -> NDArray[np.float64]:
    """amu: as stated, else the element's; 2.014 for an H that is called or typed D."""
    stated = (
        np.full(len(symbols), np.nan)
        if columns.masses is None
        else np.asarray(columns.masses, float)
    )
    masses = np.array([element_mass(s) for s in symbols])
    for i, symbol in enumerate(symbols):
        typed = "" if columns.types is None else str(columns.types[i]).strip()
        name = str(columns.names[i]).lstrip("0123456789")
        if symbol == "H" and (typed == "D" or name[:1] == "D"):
            masses[i] = DEUTERIUM
    return np.where(np.isnan(stated), masses, stated)


def _bonds_among(universe: Universe, kept: NDArray[np.int64], n_file: int) -> NDArray[np.int64]:
    """(n_bonds, 2) bonds of the file between kept sites, in their numbers."""
    pairs = np.asarray(
        universe.bonds.indices if hasattr(universe, "bonds") else [], np.int64
    ).reshape(-1, 2)
    new = np.full(n_file, -1)
    new[kept] = np.arange(len(kept))
    both = new[pairs]
    return both[(both >= 0).all(1)]
