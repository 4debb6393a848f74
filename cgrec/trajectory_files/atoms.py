"""ASE: extended XYZ files, and the one place where ASE's Atoms and units (angstrom, eV) meet ours."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..frames import Frames
from ..system import System
from ..units import length_factor
from .periodic import make_whole
from .request import Contents, Request, SystemMaker, Units, finish, given_box
from .topology import add_guessed_bonds, name_residues, system_from_species

if TYPE_CHECKING:
    from ase import Atoms

#: ASE's own units.
ASE_UNITS = Units("angstrom", "eV", "eV/angstrom")


def system_to_atoms(system: System, positions: ArrayLike, box: ArrayLike | None = None) -> Atoms:
    """ase.Atoms of one configuration of an atomistic System.

    Args:
        system: every site must have an element.
        positions: (n_sites, 3) nm.
        box: (3, 3) nm rows, or None for an open system.

    Raises:
        ValueError: a site is no atom.
    """
    from ase import Atoms

    beads = [i for i, e in enumerate(system.elements) if e == "X"]
    if beads:
        raise ValueError(
            f"site {beads[0]} ({system.labels[beads[0]]}) has no element: ASE needs atoms, this System has "
            "beads"
        )
    cell = None if box is None else np.asarray(box, float) / length_factor("angstrom")
    return Atoms(
        symbols=list(system.elements), positions=np.asarray(positions, float) / length_factor("angstrom"),
        masses=system.masses, cell=cell, pbc=box is not None,
    )  # fmt: skip


def atoms_to_frames(images: list[Atoms], temperature: float, system: System | None = None) -> Frames:
    """Frames of a list of ase.Atoms: forces and energies where every image has them from its calculator.

    Args:
        images: same atoms in the same order, angstrom and eV.
        temperature: K.
        system: who they are; default: elements and masses of the images, bonds from the distances of the
            first.

    Raises:
        ValueError: no images, or they hold different atoms.
    """
    arrays = _arrays(images, "the list of Atoms")
    system = system_from_atoms(images[0]) if system is None else system
    return Frames(
        system=system, positions=make_whole(arrays.positions, system, arrays.box), temperature=temperature,
        forces=arrays.forces, energies=arrays.energies, box=arrays.box,
    )  # fmt: skip


def system_from_atoms(atoms: Atoms) -> System:
    """System of one ase.Atoms: elements, masses, bonds from distances (ASE keeps none), molecules as
    residues.
    """
    arrays = _arrays([atoms], "the Atoms")
    return name_residues(add_guessed_bonds(arrays.system, arrays.positions[0], _first_box(arrays.box)))


def read_extxyz(request: Request) -> Contents:
    """Extended XYZ: positions, cell, energies and forces as ASE reads them; angstrom and eV unless units are
    given.
    """
    from ase.io import read

    _check_complete(request.path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            images: Any = read(request.path, index=":", format="extxyz")
    except FileNotFoundError:
        raise
    except Exception as error:  # XYZError, ValueError, IndexError: depends on where the file is cut
        raise ValueError(
            f"{request.path} cannot be read as extended XYZ, it is probably truncated ({error})"
        ) from error
    units = request.units(length="angstrom", energy="eV")
    arrays = _arrays(images, str(request.path), units)
    maker = SystemMaker(request, len(images[0]), (arrays.system, False))
    box = given_box(request, units.factors()[0])
    return finish(request, maker, Contents(**{**vars(arrays), "box": arrays.box if box is None else box}))


def _arrays(images: list[Atoms], where: str, units: Units = ASE_UNITS) -> Contents:
    """Positions, forces, energies and boxes of ase.Atoms converted from `units`."""
    if not images:
        raise ValueError(f"{where} holds zero frames: expected at least one")
    symbols = images[0].get_chemical_symbols()
    for k, image in enumerate(images):
        if image.get_chemical_symbols() != symbols:
            raise ValueError(
                f"{where}: frame {k} holds {image.get_chemical_formula()} and frame 0 "
                f"{images[0].get_chemical_formula()} (or another "
                "order): Frames are of one System; split the file by composition"
            )
    length, energy, force = units.factors()
    forces, energies = _results(images, "forces", where), _results(images, "energy", where)
    masses = images[0].get_masses()
    stated = masses if (masses > 0).all() else None
    return Contents(
        system=system_from_species(symbols, len(symbols), masses=stated, where=where),
        positions=np.array([a.get_positions() for a in images]) * length,
        forces=None if forces is None else forces * force,
        energies=None if energies is None else energies * energy, box=_boxes(images, where, length),
        force_unit=units.force,
    )  # fmt: skip


def _results(images: list[Atoms], name: str, where: str) -> NDArray[np.float64] | None:
    """(n_images, ...) of one property, or None where no image has it.

    Raises:
        ValueError: some have it and some have not.
    """
    values = [_result(a, name) for a in images]
    missing = [k for k, v in enumerate(values) if v is None]
    if len(missing) == len(values):
        return None
    if missing:
        raise ValueError(
            f"{where}: frame {missing[0]} has no {name} and others have: expected all or none; leave such "
            "frames out"
        )
    return np.array(values, float)


def _result(atoms: Atoms, name: str) -> Any:
    """Property stored with one ase.Atoms: by its calculator, or as an array or info entry of that name."""
    if atoms.calc is not None:
        results = getattr(atoms.calc, "results", {})
        found = results.get(name, results.get("free_energy") if name == "energy" else None)
        if found is not None:
            return found
    return atoms.arrays.get(name, atoms.info.get(name))


def _boxes(images: list[Atoms], where: str, length: float) -> NDArray[np.float64] | None:
    periodic = {tuple(a.get_pbc().tolist()) for a in images}
    if periodic == {(False,) * 3}:
        return None
    if periodic != {(True,) * 3}:
        raise ValueError(
            f"{where}: periodic along {sorted(periodic)}: expected all frames periodic in three directions "
            "or in none"
        )
    boxes = np.array([a.cell.array for a in images]) * length
    return boxes[0] if np.allclose(boxes, boxes[0], rtol=1e-9, atol=0) else boxes


def _first_box(box: NDArray[Any] | None) -> NDArray[Any] | None:
    return box[0] if box is not None and box.ndim == 3 else box


def _check_complete(path: Path) -> None:
    """ValueError where the last line does not end: a number cut in half still reads as a number."""
    with path.open("rb") as file:
        file.seek(0, 2)
        if file.tell() == 0:
            raise ValueError(f"{path} holds zero frames: the file is empty")
        file.seek(-1, 2)
        if file.read(1) != b"\n":
            raise ValueError(
                f"{path}: its last line does not end, the file is probably truncated; if it is whole, add a "
                "line end"
            )
