"""What MDAnalysis leaves out of a PDB: residue numbers above 9999 in hybrid-36."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Endings of PDB files.
ENDINGS = {".pdb", ".ent"}


class Residues(NamedTuple):
    """Residue of each atom of a PDB: (n_atoms,) index, and (n_atoms,) number, None where some are no numbers."""

    residues: NDArray[np.int64]
    numbers: NDArray[np.int64] | None


def hybrid_residues(path: Path) -> Residues | None:
    """Residues of the first model where some numbers are not decimal; None where all are, which MDAnalysis reads well.

    Hybrid-36 (cci.lbl.gov/hybrid_36) writes 10000 as A000, 10001 as A001, ... in the four columns of the number.
    MDAnalysis takes all of these for number 1 and joins neighbours of one name into one residue.
    """
    fields = [line[17:27] for line in _atom_lines(path)]  # residue name, chain, number, insertion code
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


def _atom_lines(path: Path) -> Iterator[str]:
    """ATOM and HETATM lines of the first model, as MDAnalysis takes them."""
    with path.open(errors="replace") as file:
        for line in file:
            if line.startswith("END"):
                return
            if line.startswith(("ATOM", "HETATM")):
                yield line.rstrip("\n")
