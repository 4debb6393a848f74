"""PSF files (CHARMM, X-PLOR): names, charges, masses and bonds of any number of sites."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..frames import Frames
from ..system import System

#: Bonds a line.
_A_LINE = 4


def write_psf(frames: Frames, path: Path) -> None:
    """The System of `frames` as an extended PSF in X-PLOR's form, names and types cut to 8 and 4
    characters. It says how sites are bonded, which VMD takes as it stands.
    """
    with path.open("w") as file:
        file.writelines(f"{line}\n" for line in _lines(frames.system))


def _lines(system: System) -> Iterator[str]:
    yield from ("PSF EXT XPLOR", "", f"{1:10d} !NTITLE", " REMARKS written by cgrec", "")
    yield f"{system.n_sites:10d} !NATOM"
    numbers = system.residues + 1 if system.residue_numbers is None else system.residue_numbers
    chains = system.chain_ids or ("",) * system.n_sites
    for k, name in enumerate(system.names):
        words = f"{chains[k] or 'A':<8.8} {numbers[k]:<8d} {system.residue_names[k]:<8.8}"
        # a mass stands at the left of its field: MDAnalysis 2.10 looks at four columns of it
        size = f"{system.charges[k]:13.6f} {system.masses[k]:<14.6f}{0:8d}"
        yield f"{k + 1:10d} {words} {name:<8.8} {system.types[k]:<4.4} {size}"
    yield from ("", f"{len(system.bonds):10d} !NBOND: bonds")
    bonds = (system.bonds + 1).tolist()
    for start in range(0, len(bonds), _A_LINE):
        yield "".join(f"{i:10d}{j:10d}" for i, j in bonds[start : start + _A_LINE])
    for section in ("!NTHETA: angles", "!NPHI: dihedrals", "!NIMPHI: impropers"):
        yield from ("", f"{0:10d} {section}")
