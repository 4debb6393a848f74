"""A structure that frames are compared with, and its sites at a level."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..files import package_path
from ..frames import Frames
from ..roles import Mapped
from ..site_labels import SiteError
from ..system import System
from ..trace import amino_residues, counterparts

Sites = NDArray[np.int64]
#: K that a structure file is read at: a structure has no temperature, Frames have one.
_ANY_TEMPERATURE = 300.0


def structure_of(given: Frames | str | Path, owner: str) -> Frames:
    """The first frame of a structure that is given as Frames or as a file (PDB, GRO, ...).

    Raises:
        ValueError: neither, or a file that cannot be read.
    """
    if isinstance(given, Frames):
        return given[:1]
    if not isinstance(given, str | Path):
        raise ValueError(
            f"{owner}: structure: expected Frames, or the path of a PDB file, found {given!r}"
        )
    from ..io import read  # MDAnalysis takes seconds to import

    path = package_path(given)
    if not path.exists():
        raise ValueError(f"{owner}: structure: expected a file, found none at {given}")
    # a crystal structure has no hydrogens, and bonds as the experiment resolves them
    return read(path, temperature=_ANY_TEMPERATURE, check_units=False, stop=1)


def on_level(structure: Frames, mapping: Mapped) -> Frames:
    """`structure` mapped to the sites of a level.

    Args:
        structure: of the same molecule as `mapping.fine`, of which it must have every site that
            the mapping uses.
        mapping: from the System of the structure's atoms to that of the level.

    Raises:
        ValueError: an atom that the structure does not have.
    """
    fine = mapping.fine
    if not fine.agrees_with(structure.system):
        try:
            order = counterparts(fine, range(fine.n_sites), structure.system)
        except SiteError as error:
            raise ValueError(
                f"{error}; to be mapped, the structure needs every atom of level 0: give one that "
                "has its hydrogens, such as a frame of it"
            ) from error
        structure = Frames(fine, structure.positions[:, order], structure.temperature)
    return mapping(Frames(fine, structure.positions, structure.temperature))


def paired(system: System, sites: Sequence[int], structure: Frames) -> tuple[Sites, Sites]:
    """`sites` of `system`, and the same sites of `structure`.

    Raises:
        ValueError: the structure does not have them, in words.
    """
    try:
        theirs = counterparts(system, sites, structure.system)
    except SiteError as error:
        raise ValueError(_no_residues(system, structure.system) or str(error)) from error
    return np.asarray(sites, np.int64), np.asarray(theirs, np.int64)


def _no_residues(system: System, structure: System) -> str:
    """Why beads cannot be found in a structure, where that is because none is an alpha carbon."""
    residues = len(amino_residues(structure))
    if not residues or any(name == "CA" for name in system.names):
        return ""
    fewer = system.n_sites < residues
    return (
        f"the structure has {residues} residues, this level {system.n_sites} sites, none of them "
        f"called CA{': a site that stands for several residues is none of them' if fewer else ''}. "
        "It can be compared where the mapping is known: in the ledger of a climb, or with "
        "structure=mapping(...)"
    )
