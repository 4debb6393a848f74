"""Names under which files hold their arrays: the usual ones, one that is plainly meant, or those a
caller gives.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..remarks import remark

#: Of numbers, or of text.
S = TypeVar("S", bound=np.generic)

#: Usual names of each thing, in order of preference.
KEYS: dict[str, tuple[str, ...]] = {
    "positions": ("positions", "pos", "coords", "coordinates", "R"),
    "forces": ("forces", "Fs", "F"),
    "energies": ("energies", "energy", "E"),
    "box": ("box", "cell"),
    "temperature": ("temperature",),
    "species": ("species", "site_names", "names", "atomic_numbers", "numbers", "z"),
    "masses": ("masses",),
    "charges": ("charges",),
    "bonds": ("bonds",),
    "weights": ("weights",),
    "replicas": ("replicas",),
    "system": ("system",),
    "length_unit": ("length_unit",),
    "energy_unit": ("energy_unit",),
    "force_unit": ("force_unit",),
}

#: Names that plainly mean a thing though they are not the usual ones: taken where only one of them
#: is there, with a remark.
_LIKE = {
    "positions": re.compile(r"(^|[_./])(xyz|coord|cg_coords|position|conformations?)$", re.I),
    "forces": re.compile(r"force|(^|_)frc$", re.I),
    "energies": re.compile(r"(^|[_./])(pot_?|potential_?|total_?)?energ(y|ies)$", re.I),
    "box": re.compile(
        r"^(l|lattice(_vectors)?|cells?|boxes|h_?matrix|(unit_?cell|cell|box)(_(vectors|lengths|size|edges))?)$",
        re.I,
    ),
    "species": re.compile(r"^(elements|symbols|atom_?types|nuclear_charges|atom_names)$", re.I),
    "masses": re.compile(r"^(mass|atom_masses)$", re.I),
    "charges": re.compile(r"^(charge|partial_charges)$", re.I),
}


class Chosen:
    """Which array of a file is which thing.

    Args:
        path: the file, for errors.
        shapes: name -> shape of every array in it.
        keys: what the caller says, thing -> name or names.
        things: what is looked for.
        quiet: no remark about a name that is not a usual one.

    Raises:
        ValueError: `keys` names a thing or an array that does not exist, or several arrays could be
            meant.
    """

    def __init__(
        self,
        path: Path,
        shapes: Mapping[str, tuple[int, ...]],
        keys: Mapping[str, str | Sequence[str]] | None,
        things: Sequence[str] = tuple(KEYS),
        quiet: bool = False,
    ):
        self._quiet = quiet
        self._path = path
        self._shapes = dict(shapes)
        self._given = {k: names_of(v) for k, v in (keys or {}).items()}
        unknown = sorted(set(self._given) - set(things))
        if unknown:
            raise ValueError(
                f"{path}: keys: unknown {', '.join(unknown)}; expected some of {', '.join(things)}"
            )
        self.names = {thing: self._find(thing) for thing in things}

    def __contains__(self, thing: str) -> bool:
        return bool(self.names.get(thing))

    def __getitem__(self, thing: str) -> tuple[str, ...]:
        return self.names[thing]

    @property
    def unused(self) -> tuple[str, ...]:
        """Arrays that are no thing."""
        used = {without_index(n) for names in self.names.values() for n in names}
        return tuple(n for n in self._shapes if n not in used)

    def need(self, thing: str) -> tuple[str, ...]:
        """Names of a thing that must be there.

        Raises:
            ValueError: it is not.
        """
        if thing not in self:
            raise ValueError(
                f"{self._path}: no {thing} under any of {', '.join(KEYS[thing])}; it holds "
                f"{', '.join(self._shapes) or 'no array'}; name yours with keys={{{thing!r}: ...}}"
            )
        return self.names[thing]

    def _find(self, thing: str) -> tuple[str, ...]:
        if thing in self._given:
            missing = sorted({without_index(n) for n in self._given[thing]} - set(self._shapes))
            if missing:
                raise ValueError(
                    f"{self._path} has no array {', '.join(missing)} for {thing}; it holds "
                    f"{', '.join(self._shapes)}"
                )
            return self._given[thing]
        usual = self._usual(thing)
        if len(usual) == 1:
            return usual
        like = list(usual) or [n for n in self._shapes if self._could_be(thing, n)]
        if len(like) > 1 and thing in ("positions", "forces"):
            raise ValueError(
                f"{self._path}: {', '.join(like)} could all be the {thing}: choose one with "
                f"keys={{{thing!r}: {like[0]!r}}}"
            )
        if len(like) != 1:
            return ()
        if not self._quiet:
            remark(
                f"{self._path}: {like[0]!r} is taken as {thing}; name another with "
                f"keys={{{thing!r}: ...}}"
            )
        return (like[0],)

    def _usual(self, thing: str) -> tuple[str, ...]:
        """Arrays with the first of the usual names that is there; several in an HDF5 whose groups
        have one each.
        """
        for name in KEYS[thing]:
            found = tuple(n for n in self._shapes if n.rpartition("/")[2] == name)
            if found:
                return found
        return ()

    def _could_be(self, thing: str, name: str) -> bool:
        """Whether the name of an array is like a thing's and its shape can be."""
        shape, taken = self._shapes[name], {n for names in self._given.values() for n in names}
        if thing not in _LIKE or name in taken or not _LIKE[thing].search(name):
            return False
        if thing in ("positions", "forces"):
            return len(shape) == 3 and shape[-1] == 3
        return thing != "box" or shape[-1:] in ((), (3,), (6,))


def names_of(names: str | Sequence[str]) -> tuple[str, ...]:
    """One name or several as a tuple."""
    return (names,) if isinstance(names, str) else tuple(names)


def without_index(name: str) -> str:
    """'energies[0]', one column of an array, -> 'energies'."""
    return re.sub(r"\[\d+\]$", "", name)


def one_column(name: str, array: NDArray[S]) -> NDArray[S]:
    """The column a name like 'energies[0]' asks for; the whole array of a plain name."""
    index = re.search(r"\[(\d+)\]$", name)
    return array if index is None else array[..., int(index[1])]


def potential_energies(
    path: Path, array: NDArray[np.floating], n_frames: int
) -> NDArray[np.floating] | None:
    """(n_frames,) energies of an array that may hold kinetic ones beside them.

    Programs that write (n_frames, 2) or (n_frames, 3) put the potential energy first, then the
    kinetic one, then their sum. A kinetic energy is positive in every frame; where that does not
    hold nothing says which column is which.
    """
    if array.size == n_frames:
        return array.reshape(n_frames)
    kinetic_second = array.ndim == 2 and array.shape[1] in (2, 3) and bool((array[:, 1] > 0).all())
    whole = array.ndim == 2 and (
        array.shape[1] == 2
        or (array.shape[1] == 3 and np.allclose(array[:, 0] + array[:, 1], array[:, 2], rtol=1e-4))
    )
    if kinetic_second and whole:
        remark(
            f"{path}: energies of shape {array.shape}: column 0 is taken as potential, column "
            "1 as kinetic "
            "energy"
        )
        return array[:, 0]
    remark(
        f"{path}: energies of shape {array.shape} are left out, as expected ({n_frames},): "
        "name the column "
        "of the potential energy, keys={'energies': 'energies[0]'}"
    )
    return None
