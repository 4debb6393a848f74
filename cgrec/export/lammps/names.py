"""Atom types of LAMMPS, and numbers as it reads them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...potential import Potential
from ...system import System


def kinds_of(
    potential: Potential, system: System
) -> tuple[list[tuple[str, float]], NDArray[np.int64]]:
    """LAMMPS types, one per site type and mass, as (type, mass), and the type (from 1) of each
    site.

    The first of each site type come first: LAMMPS copies splines to further ones only in that
    order.
    """
    potential.species(system)  # refuses an unknown type
    own = list(zip(system.types, system.masses.tolist()))
    masses = {t: sorted({m for s, m in own if s == t}) for t in potential.types}
    kinds = [(t, masses[t][0] if masses[t] else 1.0) for t in potential.types]
    kinds += [(t, m) for t in potential.types for m in masses[t][1:]]
    return kinds, np.array([kinds.index(k) + 1 for k in own])


def names_of(types: Sequence[str]) -> dict[str, str]:
    """What LAMMPS calls each type: itself where it is a word other than NULL, else S1, S2 ..."""
    plain = all(re.fullmatch(r"[\w+-]+", t) and t != "NULL" for t in types)
    return {t: t if plain else f"S{k}" for k, t in enumerate(types, 1)}


def row(numbers: NDArray[np.floating]) -> str:
    """In one line, to all digits."""
    return " ".join(repr(x) for x in np.asarray(numbers, float).tolist())
