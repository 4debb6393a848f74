"""What `read` asks of a format, and what a format answers: everything in nm, kJ/mol and kJ/mol/nm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..system import System
from ..units import energy_factor, force_factor, length_factor
from .periodic import box_rows, make_whole
from .topology import add_guessed_bonds, load_topology, name_residues, select_sites, system_from_species


@dataclass(frozen=True)
class Request:
    """The arguments of `read` that formats use; see there."""

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
    forces_path: str | Path | None = None
    box: ArrayLike | None = None
    species: Sequence[Any] | str | None = None
    masses: Mapping[str, float] | Sequence[float] | None = None
    keys: Mapping[str, str | Sequence[str]] | None = None

    @property
    def frames(self) -> slice:
        """The frames asked for."""
        return slice(self.start, self.stop, self.step)

    def units(self, *, length: str | None, energy: str | None, force: str | None = None) -> Units:
        """Units given as arguments, else those of the format or stated in the file, passed here.

        Raises:
            ValueError: nobody states them.
        """
        length, energy = self.length_unit or length, self.energy_unit or energy
        force = self.force_unit or (force if self.energy_unit is None and self.length_unit is None else None)
        if length is None or (energy is None and force is None):
            raise ValueError(
                f"{self.path} states no units: give length_unit= ('nm', 'angstrom' or 'bohr') and "
                "energy_unit= or force_unit= "
                "(e.g. 'kJ/mol', 'eV' or 'kcal/mol/angstrom')"
            )
        energy = energy or force.rpartition("/")[0]  # type: ignore[union-attr]
        return Units(length, energy, force or f"{energy}/{length}")


@dataclass(frozen=True)
class Units:
    """Names of the units a file is in."""

    length: str
    energy: str
    force: str

    def factors(self) -> tuple[float, float, float]:
        """Length, energy and force factors into nm, kJ/mol, kJ/mol/nm."""
        return length_factor(self.length), energy_factor(self.energy), force_factor(self.force)


@dataclass(frozen=True)
class Contents:
    """What a file holds, in nm and kJ/mol; fields as in `Frames`."""

    system: System
    positions: NDArray[Any]
    forces: NDArray[Any] | None = None
    energies: NDArray[Any] | None = None
    box: NDArray[Any] | None = None
    temperature: float | None = None
    weights: NDArray[Any] | None = None
    replicas: NDArray[Any] | None = None
    force_unit: str = "kJ/mol/nm"


class SystemMaker:
    """Makes the System a trajectory needs from its topology or names, once its first frame is known."""

    def __init__(self, request: Request, n_sites: int, fallback: tuple[System, bool] | None = None):
        """`fallback` is the System the trajectory itself states and whether its bonds are complete, for
        callers who give none.

        Raises:
            ValueError: nothing says what the sites are, or the topology is of another number of sites.
        """
        self._guess = True
        if request.topology is not None:
            self.system, complete = load_topology(request.topology)
            self._guess = not complete
        elif request.species is not None:
            self.system = system_from_species(
                request.species, n_sites, masses=request.masses, where=str(request.path)
            )
        elif fallback is not None:
            self.system, complete = fallback
            self._guess = not complete
        else:
            raise ValueError(
                f"{request.path} does not say what its {n_sites} sites are: give topology= (a PDB, GRO, PSF, "
                "prmtop, ... or a "
                "System) or species= (one name a site, or one name for all)"
            )
        self._named = request.topology is not None or not self._guess
        if self.system.n_sites != n_sites:
            named = request.topology if isinstance(request.topology, str | Path) else "(a System)"
            raise ValueError(
                f"{request.path} holds {n_sites} sites and its topology {named} {self.system.n_sites}: "
                "expected the "
                "same number; give the topology this trajectory was written with"
            )

    def complete(self, positions: NDArray[Any], box: NDArray[Any] | None) -> System:
        """The System with the bonds that the first frame, (n_sites, 3) nm, shows and the list lacks."""
        if not self._guess or not np.isfinite(positions).all():
            return self.system
        system = add_guessed_bonds(self.system, positions, box)
        return system if self._named else name_residues(system)


def finish(request: Request, maker: SystemMaker, contents: Contents) -> Contents:
    """Contents read in one piece: frames picked, bonds completed, molecules made whole, sites selected."""
    pick = request.frames
    cut = lambda a: None if a is None else a[pick]  # noqa: E731
    box = contents.box
    box = box[pick] if box is not None and box.ndim == 3 else box
    positions, forces = contents.positions[pick], cut(contents.forces)
    if len(positions) == 0:
        raise no_frames(request)
    system = maker.complete(positions[0], box[0] if box is not None and box.ndim == 3 else box)
    positions = make_whole(positions, system, box)
    if request.selection is not None:
        sites = select_sites(system, request.selection)
        system, positions, forces = (
            system.select(sites),
            positions[:, sites],
            None if forces is None else forces[:, sites],
        )
    return Contents(
        system, positions, forces, cut(contents.energies), box, contents.temperature, cut(contents.weights),
        cut(contents.replicas), contents.force_unit,
    )  # fmt: skip


def no_frames(request: Request) -> ValueError:
    """The error of a file, or a choice of start, stop and step, without frames."""
    if request.frames == slice(None):
        return ValueError(
            f"{request.path} holds zero frames: expected at least one; was it cut off or written without "
            "output?"
        )
    chosen = f"start={request.start}, stop={request.stop}, step={request.step}"
    return ValueError(f"{request.path}: {chosen} leaves zero frames: choose another range")


def given_box(request: Request, length: float) -> NDArray[np.float64] | None:
    """The box passed to `read`, in nm."""
    return None if request.box is None else box_rows(request.box) * length
