"""What MDAnalysis leaves to us in a PDB: residue numbers above 9999 in hybrid-36, one of alternate
locations, and where a chain ends.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..system import System

#: Endings of PDB files.
ENDINGS = {".pdb", ".ent"}
#: Records that MDAnalysis makes up where there is no box: programs take them for one of 1 angstrom.
_MADE_UP = ("CRYST1", "REMARK 285")
#: Records of an atom.
_ATOM = ("ATOM", "HETATM")


class Residues(NamedTuple):
    """Residue of each atom of a PDB: (n_atoms,) index, and (n_atoms,) number, None where some are
    no numbers.
    """

    residues: NDArray[np.int64]
    numbers: NDArray[np.int64] | None


def hybrid_residues(path: Path) -> Residues | None:
    """Residues of the first model where some numbers are not decimal; None where all are, which
    MDAnalysis reads well.

    Hybrid-36 (cci.lbl.gov/hybrid_36) writes 10000 as A000, 10001 as A001, ... in the four columns
    of the number. MDAnalysis takes all of these for number 1 and joins neighbours of one name into
    one residue.
    """
    # residue name, chain, number, insertion code
    fields = [line[17:27] for line in _atom_lines(path)]
    written = [field[5:9].strip() for field in fields]
    if all(text.lstrip("-").isdigit() for text in written):
        return None
    new = [k == 0 or fields[k] != fields[k - 1] for k in range(len(fields))]
    return Residues(np.cumsum(new) - 1, _decoded(written))


def _decoded(written: list[str]) -> NDArray[np.int64] | None:
    from MDAnalysis.topology.PDBParser import hy36decode

    try:
        return np.array([hy36decode(4, text) for text in written], np.int64)
    except ValueError:  # blank, or stars where the number was too long
        return None


class Row(NamedTuple):
    """An atom of a PDB: its name, residue name, element as it is written ("" where none is), and
    where its residue stands (name, chain, number, insertion code).
    """

    name: str
    residue: str
    element: str
    place: str

    @property
    def label(self) -> str:
        """A:ALA2:CA."""
        chain, number = self.place[4:5].strip(), self.place[5:].strip()
        return f"{chain}:{self.residue}{number}:{self.name}".lstrip(":")


def rows(path: Path) -> list[Row]:
    """Atoms of the first model. Columns 77 and 78 hold letters, or no element: before 1996 they were
    part of a line number.
    """
    found = []
    for line in _atom_lines(path):
        element = line[76:78].strip()
        written = element if element.isalpha() else ""
        found.append(Row(line[12:16].strip(), line[17:21].strip(), written, line[17:27]))
    return found


def has_atoms(path: Path) -> bool:
    """Whether there is an atom in the file."""
    return next(_atom_lines(path), None) is not None


def _atom_lines(path: Path) -> Iterator[str]:
    """ATOM and HETATM lines of the first model, as MDAnalysis takes them."""
    with path.open(errors="replace") as file:
        for line in file:
            if line.startswith("END"):
                return
            if line.startswith(_ATOM):
                yield line.rstrip("\n")


def one_location(
    locations: Sequence[str],
    occupancies: ArrayLike,
    names: Sequence[str],
    residue_names: Sequence[str],
    places: Sequence[Hashable],
) -> NDArray[np.int64]:
    """Atoms that are kept where some are given at several places: one location in every residue.

    In a residue the location of the highest mean occupancy is taken, of equal ones the first letter
    (A); atoms that do not have it keep the best of their own. Where the locations are residues of
    different names, as of a mutant, only atoms of the chosen one's name stay.

    Args:
        locations: letter per atom, "" where there is one place only.
        occupancies: per atom.
        names, residue_names: per atom.
        places: chain, number and insertion code per atom; what shares them is one residue.
    """
    share = np.asarray(occupancies, float)
    members: dict[Hashable, list[int]] = {}
    for atom, place in enumerate(places):
        members.setdefault(place, []).append(atom)
    kept = []
    for atoms in members.values():
        if not any(locations[i] for i in atoms):
            kept += atoms
            continue
        order = _by_occupancy(atoms, locations, share)
        residue = next(residue_names[i] for i in atoms if locations[i] == order[0])
        same = [i for i in atoms if residue_names[i] == residue]
        certain = [i for i in same if not locations[i]]
        best: dict[str, int] = {}
        for i in same:
            before = best.get(names[i])
            if locations[i] and (
                before is None or order.index(locations[i]) < order.index(locations[before])
            ):
                best[names[i]] = i
        there = {names[i] for i in certain}
        kept += certain + [i for name, i in best.items() if name not in there]
    return np.array(sorted(kept), np.int64)


def _by_occupancy(
    atoms: Sequence[int], locations: Sequence[str], occupancies: NDArray[np.float64]
) -> list[str]:
    """Locations of one residue, the most occupied first, then by letter."""
    values: dict[str, list[float]] = {}
    for i in atoms:
        if locations[i]:
            values.setdefault(locations[i], []).append(float(occupancies[i]))
    return sorted(values, key=lambda letter: (-round(float(np.mean(values[letter])), 3), letter))


def chain_ends(system: System) -> list[int]:
    """The last site of each chain: of a residue that is bonded to the one before it and not to the
    one after it. Water, ions and other residues that stand alone are no chains.
    """
    last = np.append(np.flatnonzero(np.diff(system.residues)), system.n_sites - 1)
    run = np.searchsorted(last, np.arange(system.n_sites))
    owners = np.sort(run[system.bonds], axis=1)
    joined = np.zeros(len(last) + 1, bool)  # entry k: residue k is bonded to the one before it
    joined[owners[owners[:, 1] - owners[:, 0] == 1, 1]] = True
    return [int(last[k]) for k in range(len(last)) if joined[k] and not joined[k + 1]]


def with_ends(
    lines: Iterable[str], ends: Collection[int], n_sites: int, boxed: bool
) -> Iterator[str]:
    """Lines of a PDB as MDAnalysis writes them, with a TER after each of the sites `ends`, and
    without a box where there is none.

    Args:
        lines: of one model or of several, `n_sites` atoms each.
        ends: counted in a model.
        boxed: the frames have a box.
    """
    ends, seen = set(ends), 0
    for line in lines:
        if line.startswith(_MADE_UP) and not boxed:
            continue
        yield line
        if line.startswith(_ATOM):
            if seen % n_sites in ends:
                yield "TER\n"
            seen += 1


def parts_by_ter(path: Path) -> list[tuple[str, int]]:
    """(residue number with its insertion code, count of TER before it) of each C-alpha atom of the
    first model, in order; of one of several places of an atom the first.
    """
    found: list[tuple[str, int]] = []
    place, passed = "", 0
    with path.open(errors="replace") as file:
        for line in file:
            if line.startswith("END"):
                break
            if line.startswith("TER"):
                passed += 1
            elif line.startswith(_ATOM) and line[12:16] == " CA " and line[17:27] != place:
                place = line[17:27]
                found.append((line[22:27].strip(), passed))
    return found
