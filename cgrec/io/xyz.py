"""Text with one line an atom: plain XYZ and its pairs of CP2K, and n2p2's input.data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .portions import Snapshot, changed_number, in_order
from .request import Opened, Request, SiteColumns, Stated

#: CP2K's comment line: ' i = 0, time = 0.000, E = -17.1610'. Positions are in angstrom, the energy
#: in hartree, and the numbers of a -frc- file in hartree/bohr (CP2K manual, MOTION/PRINT/TRAJECTORY
#: and FORCES, default UNIT).
_CP2K = re.compile(r"^\s*i =\s*(\d+)(?:, time =\s*[-+.\dEe]+)?(?:, E =\s*([-+.\dEe]+))?")
_CP2K_UNITS = Stated("angstrom", "hartree", "hartree/bohr")


def is_extended(path: Path) -> bool:
    """Whether the comment line of the first frame is extended XYZ's."""
    with path.open("rb") as file:
        file.readline()
        return bool(re.search(rb"\b(Properties|Lattice|pbc)\s*=", file.readline(100_000), re.I))


def open_xyz(request: Request) -> Opened:
    """A plain XYZ file: name and three numbers a line, which are positions in angstrom or, as the
    second file of a pair, forces. With CP2K's comments it has energies too.
    """
    first = next(_frames(request.path), None)
    if first is None:
        raise ValueError(f"{request.path} holds zero frames: expected at least one")
    names, _, comment = first
    cp2k = _CP2K.match(comment)
    has_energy = cp2k is not None and cp2k[2] is not None and not request.as_forces

    def snapshots() -> Iterator[Snapshot]:
        for k, (found, numbers, text) in enumerate(_frames(request.path)):
            if len(found) != len(names):
                raise changed_number(request.path, k, len(found), len(names))
            if found != names:
                i = next(i for i, (a, b) in enumerate(zip(found, names)) if a != b)
                raise ValueError(
                    f"{request.path}: frame {k}: site {i} is {found[i]}, and {names[i]} in the "
                    "first frame: "
                    "Frames are of one System, in one order"
                )
            match = _CP2K.match(text)
            step = int(match[1]) if match and cp2k else None
            if request.as_forces:
                yield Snapshot(forces=numbers, steps=step)
            else:
                yield Snapshot(
                    numbers, energies=float(match[2]) if has_energy and match else None, steps=step
                )

    if request.keys:
        raise ValueError(
            f"{request.path}: a plain XYZ file has no names to choose from, so keys= means "
            "nothing for it"
        )
    plain = Stated() if request.as_forces else Stated("angstrom")
    units = _CP2K_UNITS if cp2k is not None else plain
    held = (
        {"forces"} if request.as_forces else {"positions"} | ({"energies"} if has_energy else set())
    )
    columns = SiteColumns(elements=tuple(names))
    return Opened(in_order(request.path, snapshots), frozenset(held), units, columns=columns)


def _frames(path: Path) -> Iterator[tuple[list[str], NDArray[np.float64], str]]:
    """Names (n_sites), numbers (n_sites, 3) and comment of each frame."""
    with path.open() as file:
        for k, line in enumerate(iter(file.readline, "")):
            if not line.strip():
                return
            if not line.strip().isdigit():
                raise ValueError(
                    f"{path}: frame {k}: expected the number of atoms, found "
                    f"{line.strip()[:40]!r}: its "
                    "lines are not one an atom, or the file is truncated"
                )
            n, comment = int(line), file.readline().rstrip("\n")
            rows = [row.split() for row in islice(file, n)]
            if len(rows) < n:
                raise ValueError(
                    f"{path} is truncated: frame {k} says {n} atoms and {len(rows)} lines "
                    "follow; copy it "
                    "again"
                )
            try:
                numbers = np.array([[float(x) for x in row[1:4]] for row in rows]).reshape(n, 3)
            except ValueError as error:
                raise ValueError(
                    f"{path}: frame {k}: expected a name and three numbers a line ({error})"
                ) from error
            yield [row[0] for row in rows], numbers, comment


# --- n2p2 (compphysvienna.github.io/n2p2, "Training file format")
# -------------------------------------------


def open_n2p2(request: Request) -> Opened:
    """n2p2's input.data: positions, lattice, forces and energy of each structure, in units it does
    not state.
    """
    first = next(_structures(request.path), None)
    if first is None:
        raise ValueError(f"{request.path} holds zero frames: expected lines from 'begin' to 'end'")
    names = first[0]

    def snapshots() -> Iterator[Snapshot]:
        for k, (found, snapshot) in enumerate(_structures(request.path)):
            if len(found) != len(names):
                raise changed_number(request.path, k, len(found), len(names))
            if found != names:
                raise ValueError(
                    f"{request.path}: structure {k} holds other elements than the first: split "
                    "the file"
                )
            yield Snapshot(forces=snapshot.forces) if request.as_forces else snapshot

    held = {"forces"} if request.as_forces else {"positions", "forces", "energies"}
    columns = SiteColumns(elements=tuple(names))
    return Opened(in_order(request.path, snapshots), frozenset(held), columns=columns)


def _structures(path: Path) -> Iterator[tuple[list[str], Snapshot]]:
    """Names and frame of each structure."""
    atoms: list[list[str]] = []
    lattice: list[list[float]] = []
    energy = None
    inside = False
    with path.open() as file:
        for number, line in enumerate(file, 1):
            words = line.split()
            key = words[0].lower() if words else ""
            try:
                if key == "begin":
                    atoms, lattice, energy, inside = [], [], None, True
                elif key == "lattice":
                    lattice.append([float(x) for x in words[1:4]])
                elif key == "atom":
                    atoms.append(words[1:])
                elif key == "energy":
                    energy = float(words[1])
                elif key == "end":
                    inside = False
                    yield _structure(atoms, lattice, energy)
            except (ValueError, IndexError) as error:
                raise ValueError(
                    f"{path}: line {number} is not n2p2's ({error}): {line.strip()[:60]!r}"
                ) from error
    if inside:
        raise ValueError(f"{path} is truncated: its last structure has no 'end'; copy it again")


def _structure(
    atoms: list[list[str]], lattice: list[list[float]], energy: float | None
) -> tuple[list[str], Snapshot]:
    """'atom x y z element charge unused fx fy fz' lines as one frame."""
    positions = np.array([[float(x) for x in a[:3]] for a in atoms])
    forces = np.array([[float(x) for x in a[6:9]] for a in atoms])
    if forces.shape != positions.shape:
        raise ValueError("expected x y z element charge unused fx fy fz")
    return [a[3] for a in atoms], Snapshot(
        positions, forces, energy, np.array(lattice) if lattice else None
    )
