"""Names that the caller gives (species=, masses=) against what the file itself shows: one site per
molecule, or atoms?

An experiment's configuration names the sites of the file it was written for. Another file of as
many frames fits it, too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..frames import Frames
from ..remarks import remark
from .periodic import close_pairs
from .request import SiteColumns

#: nm. Atoms of a molecule have a neighbour at 0.09 to 0.15 nm; centres of molecules and ions are
#: 0.2 nm apart and more.
_BONDED = 0.135
#: amu. A site of less may be one atom, a shell or a Drude particle, which sits on its atom.
_HEAVY = 10.0
#: Frames to look at.
_SAMPLE = 5
#: g/cm3 of one amu/nm3.
_GRAM_PER_CM3 = 1.66053907e-3


def check_names_given(
    species: Sequence[object] | str, columns: SiteColumns | None, where: str
) -> None:
    """Compare species= with the elements or names that the file states for its sites.

    Raises:
        ValueError: one name is given to sites of different elements.
    """
    own = None if columns is None else columns.elements or columns.types
    if own is None:
        return
    from ase.data import chemical_symbols

    elements: dict[str, set[str]] = {}
    given = [species] * len(own) if isinstance(species, str) else [str(name) for name in species]
    for name, stated in zip(given, own):
        # atoms are judged by their bonds
        if stated in chemical_symbols[1:] and name not in chemical_symbols:
            elements.setdefault(name, set()).add(stated)
    mixed = [name for name, found in elements.items() if len(found) > 1]
    if mixed:
        raise ValueError(
            f"{where}: expected sites of one kind for the name {mixed[0]!r} of species=, found "
            f"{_some(elements[mixed[0]])}: "
            "leave species= (source.species) out, the file names its sites itself; one site "
            "per molecule is made by a mapping"
        )
    if isinstance(species, str) and set(own) != {species}:
        remark(
            f"{where}: the file calls its sites {_some(set(own))}, and they are taken as "
            f"{species} (species=)"
        )


def _some(names: set[str]) -> str:
    return ", ".join(sorted(names)[:6]) + (", ..." if len(names) > 6 else "")


def check_beads_apart(frames: Frames, where: str) -> None:
    """Refuse atoms of molecules that were named as if each were a bead by itself.

    Judged on a few frames: most sites that are no element, heavier than any light atom and without
    a bond, stand as near to another site as only bonded atoms do.

    Raises:
        ValueError: the distance, the density where there is a box, and the ways out.
    """
    system = frames.system
    bonded = np.zeros(system.n_sites, bool)
    bonded[system.bonds.ravel()] = True
    beads = (np.array(system.elements) == "X") & ~bonded & (np.asarray(system.masses) > _HEAVY)
    if beads.sum() < 2:
        return
    boxes = frames.boxes()
    near, lengths = np.zeros(system.n_sites), list[float]()
    sample = np.unique(np.linspace(0, len(frames) - 1, _SAMPLE).astype(int)).tolist()
    for k in sample:
        pairs, vectors = close_pairs(
            np.asarray(frames.positions[k], float), _BONDED, None if boxes is None else boxes[k]
        )
        near[np.unique(pairs)] += 1
        lengths += np.linalg.norm(vectors, axis=-1).tolist()
    if np.mean(near[beads] > len(sample) / 2) <= 0.5:
        return
    names = {system.names[i] for i in np.flatnonzero(beads)}
    volume = np.inf if boxes is None else abs(float(np.linalg.det(np.asarray(boxes[0], float))))
    density = _GRAM_PER_CM3 * float(system.masses.sum()) / volume
    dense = f" and {density:.2g} g/cm3" if density > 0 else ""
    raise ValueError(
        f"{where}: expected sites that are whole molecules or beads of their own, called "
        f"{_some(names)} with "
        f"{float(np.median(system.masses[beads])):.4g} amu each, found them "
        f"{float(np.median(lengths)):.2g} nm from the next{dense}: these are "
        "atoms of molecules. Give their names (topology= or species=) and let a mapping make "
        "one site of each molecule; in an "
        "experiment source.topology=FILE source.species=null source.masses=null "
        "+mapping@levels.l1.mapping=molecule_centres. "
        "Beads need their bonds (a topology, or an array bonds); check_units=False reads the "
        "file as it is"
    )
