"""What `read` asks of a format, and what a format answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..system import System
from ..units import energy_factor, force_factor, length_factor
from .periodic import box_rows
from .portions import Portions
from .universe import Topology


@dataclass(frozen=True)
class Request:
    """The arguments of `read` that formats use; see there. `path` is one file; `as_forces` says
    that it is the second one, of which only the forces are wanted; `packed` is the compressed file
    `path` was made from.
    """

    path: Path
    topology: str | Path | System | None = None
    selection: str | None = None
    start: int | None = None
    stop: int | None = None
    step: int | None = None
    length_unit: str | None = None
    energy_unit: str | None = None
    force_unit: str | None = None
    lammps_units: str | None = None
    lj: Mapping[str, float] | None = None
    forces_path: Path | None = None
    box: ArrayLike | str | None = None
    species: Sequence[object] | str | None = None
    masses: Mapping[str, float] | Sequence[float] | None = None
    elements: Mapping[str, str] | None = None
    keys: Mapping[str, str | Sequence[str]] | None = None
    temperature: float | None = None
    as_forces: bool = False
    packed: Path | None = None

    @property
    def shown(self) -> Path:
        """The file a caller knows, for remarks: that of a packed file is not its temporary copy."""
        return self.packed or self.path

    @property
    def frames(self) -> slice:
        """The frames asked for."""
        return slice(self.start, self.stop, self.step)

    def given_box(self, length: float) -> NDArray[np.float64] | None:
        """The box passed to `read`, in nm; None where none was, or box="open"."""
        if isinstance(self.box, str):
            if self.box != "open":
                raise ValueError(f"box={self.box!r}: expected edges, 3 x 3 rows or 'open'")
            return None
        return None if self.box is None else box_rows(self.box) * length


@dataclass(frozen=True)
class Units:
    """Names of the units a file is in, and their sizes in nm, kJ/mol, kJ/mol/nm where the name is
    not one of ours.
    """

    length: str
    energy: str
    force: str
    sizes: tuple[float, float, float] | None = None

    def factors(self) -> tuple[float, float, float]:
        """Length, energy and force factors into nm, kJ/mol, kJ/mol/nm."""
        if self.sizes is not None:
            return self.sizes
        return length_factor(self.length), energy_factor(self.energy), force_factor(self.force)


@dataclass(frozen=True)
class Stated:
    """The units a file or its format states, None where it does not.

    Attributes:
        fixed: those of "length", "energy", "force" that an argument may not change, because the
            file says them.
        by: who states them, as in "states {by}".
        sizes: factors, for units without a name of ours.
        mass: amu of the file's unit of mass.
    """

    length: str | None = None
    energy: str | None = None
    force: str | None = None
    fixed: frozenset[str] = frozenset()
    sizes: tuple[float, float, float] | None = None
    mass: float = 1.0


@dataclass(frozen=True)
class SiteColumns:
    """What a trajectory says of its sites besides their positions, each (n_sites,) or None."""

    elements: tuple[str, ...] | None = None
    masses: NDArray[np.float64] | None = None
    charges: NDArray[np.float64] | None = None
    types: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Known:
    """The System a file states, whether its bonds are all of them, and whether it names its
    residues.

    `sites` says which sites of the file they are, where some are left out.
    """

    system: System
    bonds_complete: bool = False
    named: bool = False
    sites: Topology | None = None


@dataclass(frozen=True)
class Opened:
    """A file that was opened: how to get its frames, and everything it says about them.

    Attributes:
        portions: frames in the file's units; called with the slice of frames wanted.
        holds: which of "positions", "forces", "energies" its frames have.
        units: what it states.
        system: the System it states.
        columns: per-site columns, which only tell part of a System.
        temperature: K, or None.
        open: it says that it has no box, or None where it says nothing.
        box_like: arrays nobody asked for that may be the box.
        whole: molecules are known to be whole.
    """

    portions: Portions
    holds: frozenset[str]
    units: Stated = field(default_factory=Stated)
    system: Known | None = None
    columns: SiteColumns | None = None
    temperature: float | None = None
    open: bool | None = None
    box_like: tuple[str, ...] = ()
    whole: bool = False


@dataclass(frozen=True)
class Contents:
    """What was read, in nm and kJ/mol; fields as in `Frames`, and `question`, what is to be asked once
    the frames are found to be sound.
    """

    system: System
    positions: NDArray[np.floating]
    forces: NDArray[np.floating] | None = None
    energies: NDArray[np.floating] | None = None
    box: NDArray[np.floating] | None = None
    temperature: float | None = None
    weights: NDArray[np.floating] | None = None
    replicas: NDArray[np.int64] | None = None
    force_unit: str = "kJ/mol/nm"
    question: str = ""


def units_of(request: Request, opened: Opened) -> Units:
    """Units given as arguments, else those the file or its format states.

    Raises:
        ValueError: nobody states them, or an argument contradicts the file.
    """
    stated = opened.units
    for kind in ("length", "energy", "force"):
        given, found = getattr(request, f"{kind}_unit"), getattr(stated, kind)
        if given is not None and kind in stated.fixed and given != found:
            raise ValueError(
                f"{request.path}: its {kind} unit is stated as {found}, and "
                f"{kind}_unit={given!r} was given: "
                "expected the same; leave it out"
            )
    if stated.sizes is not None and not (
        request.length_unit or request.energy_unit or request.force_unit
    ):
        return Units(stated.length or "", stated.energy or "", stated.force or "", stated.sizes)
    length, energy = request.length_unit or stated.length, request.energy_unit or stated.energy
    changed = request.energy_unit is not None or request.length_unit is not None
    keeps = not changed or "force" in stated.fixed
    force = request.force_unit or (stated.force if keeps else None)
    if not opened.holds & {"forces", "energies"}:  # then only the length matters
        energy = energy or "kJ/mol"
    if "positions" not in opened.holds:
        length = length or "nm"
    if length is None or (energy is None and force is None):
        missing = "length_unit= ('nm', 'angstrom' or 'bohr')" if length is None else ""
        also = "energy_unit= or force_unit= (e.g. 'kJ/mol', 'eV' or 'kcal/mol/angstrom')"
        wanted = " and ".join(
            w for w in (missing, also if energy is None and force is None else "") if w
        )
        raise ValueError(f"{request.path} states no units: give {wanted}")
    energy = energy or force.rpartition("/")[0]  # type: ignore[union-attr]
    return Units(length, energy, force or f"{energy}/{length}")
