"""ASE: the one place where ASE's Atoms and units (angstrom, eV) meet ours; extended XYZ and .traj
files.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..frames import Frames
from ..remarks import remark
from ..system import System
from ..units import energy_factor, force_factor, length_factor
from .hdf5 import mixed_boundary
from .names import KEYS, Chosen, names_of
from .periodic import make_whole
from .portions import Snapshot, changed_number, in_order, partly
from .request import Known, Opened, Request, SiteColumns, Stated
from .topology import add_guessed_bonds, name_residues, system_from_species
from .xyz import is_extended, open_xyz

if TYPE_CHECKING:
    from ase import Atoms

#: ASE's own units, which a file may leave for others.
_ASE_UNITS = Stated("angstrom", "eV", "eV/angstrom")


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
            f"site {beads[0]} ({system.labels[beads[0]]}) has no element: ASE needs atoms, "
            "this System has "
            "beads"
        )
    cell = None if box is None else np.asarray(box, float) / length_factor("angstrom")
    return Atoms(
        symbols=list(system.elements),
        positions=np.asarray(positions, float) / length_factor("angstrom"),
        masses=system.masses,
        cell=cell,
        pbc=box is not None,
    )


def atoms_to_frames(
    images: list[Atoms], temperature: float, system: System | None = None
) -> Frames:
    """Frames of a list of ase.Atoms of one composition; forces and energies of their calculators
    where all have them.

    Args:
        images: in angstrom and eV.
        temperature: K.
        system: theirs; default: elements, masses and bonds of the first.

    Raises:
        ValueError: no images, or they hold different atoms.
    """
    if not images:
        raise ValueError("the list of Atoms holds zero frames: expected at least one")
    where = Path("the list of Atoms")
    _check_symbols(where, images)
    system = system_from_atoms(images[0]) if system is None else system
    length = length_factor("angstrom")
    positions = np.array([a.get_positions() for a in images]) * length
    forces, energies = _all_or_none(images, "forces", where), _all_or_none(images, "energy", where)
    boxes = [_box(a, where, given=False) for a in images]
    box = None if any(b is None for b in boxes) else np.array(boxes) * length
    if box is not None and np.allclose(box, box[0], rtol=1e-9, atol=0):
        box = box[0]
    return Frames(
        system=system,
        positions=make_whole(positions, system, box),
        temperature=temperature,
        box=box,
        forces=None if forces is None else forces * force_factor("eV/angstrom"),
        energies=None if energies is None else energies * energy_factor("eV"),
    )


def system_from_atoms(atoms: Atoms) -> System:
    """System of one ase.Atoms: elements, masses, bonds from distances (ASE keeps none), molecules
    as residues.
    """
    length, box = length_factor("angstrom"), _box(atoms, Path("the Atoms"), given=False)
    rows = None if box is None else box * length
    return name_residues(
        add_guessed_bonds(_system(atoms, "the Atoms"), atoms.get_positions() * length, rows)
    )


def open_extxyz(request: Request) -> Opened:
    """An XYZ file: extended XYZ as ASE reads it (angstrom and eV unless given); any other by its
    columns.
    """
    _check_complete(request.path)
    if not is_extended(request.path):
        return open_xyz(request)
    return _opened(request, lambda: _images(request.path, "extxyz"))


def open_traj(request: Request) -> Opened:
    """An ASE .traj file: angstrom and eV unless given."""
    return _opened(request, lambda: _images(request.path, "traj"))


def _images(path: Path, form: str) -> Iterator[Atoms]:
    """Images of a file one after the other."""
    from ase.io import iread

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield from iread(path, index=":", format=form)
    except KeyError as error:
        raise ValueError(
            f"{path}: {error} is no chemical symbol: expected symbols of elements (deuterium "
            "is H; give its "
            "mass with masses={'H': 2.014}); a plain XYZ file, without Lattice and Properties, "
            "may have "
            "other names"
        ) from error
    except Exception as error:  # XYZError, ValueError, IndexError: depends on where the file is cut
        raise ValueError(
            f"{path} cannot be read as "
            f"{'extended XYZ' if form == 'extxyz' else 'an ASE trajectory'} "
            f"({error}): it is probably truncated, or written by hand"
        ) from error


def _opened(request: Request, images: Callable[[], Iterable[Atoms]]) -> Opened:
    first = next(iter(images()), None)
    if first is None:
        raise ValueError(f"{request.path} holds zero frames: expected at least one")
    names = _names(request, first)
    get = {"forces": _getter(names.get("forces")), "energies": _getter(names.get("energies"))}

    def snapshots() -> Iterator[Snapshot]:
        symbols = first.get_chemical_symbols()
        for k, image in enumerate(images()):
            _check_same(request.path, k, image, symbols, first)
            if "forces" not in names and _has_forces(image):
                raise partly(request.path, "forces", 0)
            forces, energy = (None if g is None else g(image) for g in get.values())
            box = (
                None
                if request.as_forces
                else _box(image, request.path, given=request.box is not None)
            )
            positions = None if request.as_forces else image.get_positions()
            yield Snapshot(
                positions, forces, energies=None if energy is None else float(energy), box=box
            )

    held = {k for k, g in get.items() if g is not None}
    system = None
    if request.topology is None and request.species is None and not request.as_forces:
        system = Known(_system(first, str(request.path), request.masses))
    held = held & {"forces"} if request.as_forces else held | {"positions"}
    is_open = True if not first.get_pbc().any() and "pbc" in _stated_keys(request.path) else None
    columns = SiteColumns(elements=tuple(first.get_chemical_symbols()))
    portions = in_order(request.path, snapshots)
    return Opened(portions, frozenset(held), _ASE_UNITS, system, columns, open=is_open)


def _stated_keys(path: Path) -> str:
    """The comment line of the first frame of an XYZ file; empty for a binary one."""
    with path.open("rb") as file:
        file.readline()
        return file.readline(100_000).decode(errors="replace")


def _names(request: Request, first: Atoms) -> dict[str, str]:
    """Thing -> name of its entry: the calculator's ("forces", "energy"), or one array or info entry
    that is meant.
    """
    results = dict(getattr(first.calc, "results", {}) or {})
    shapes = {k: np.shape(v) for k, v in first.arrays.items() if k not in ("positions", "numbers")}
    entries = {
        k
        for k, v in first.info.items()
        if np.ndim(v) == 0 and isinstance(v, int | float | np.number)
    }
    if "forces" in results:
        shapes["forces"] = np.shape(results["forces"])
    if entries_energy := {k for k in ("energy", "free_energy") if k in results}:
        entries |= entries_energy
    given = {k: names_of(v)[0] for k, v in (request.keys or {}).items()}
    _check_keys(request, given, {*shapes, *entries})
    found = {"forces": given.get("forces") or _forces_name(request, first, shapes, results)}
    found["energies"] = given.get("energies") or _energy_name(entries, found["forces"])
    return {k: v for k, v in found.items() if v}


def _check_keys(request: Request, given: dict[str, str], there: set[str]) -> None:
    unknown = sorted(set(given) - {"forces", "energies"})
    if unknown:
        raise ValueError(
            f"{request.path}: keys: unknown {', '.join(unknown)}; expected forces or energies"
        )
    missing = sorted(set(given.values()) - there)
    if missing:
        raise ValueError(
            f"{request.path} has no {', '.join(missing)}; it holds "
            f"{', '.join(sorted(there)) or 'neither'}"
        )


def _forces_name(
    request: Request,
    first: Atoms,
    shapes: dict[str, tuple[int, ...]],
    results: Mapping[str, ArrayLike],
) -> str:
    """Name of the forces: "forces", or the one other array that is called so.

    Raises:
        ValueError: several, which differ.
    """
    candidates = [n for n, s in shapes.items() if len(s) == 2 and s[1] == 3 and _is_forces(n)]
    values = [np.asarray(results.get(n, first.arrays.get(n)), float) for n in candidates]
    if len(candidates) > 1 and any(not np.allclose(v, values[0]) for v in values[1:]):
        raise ValueError(
            f"{request.path}: {', '.join(candidates)} could all be the forces: choose one with "
            f"keys={{'forces': {candidates[0]!r}}}"
        )
    if not candidates:
        return ""
    name = "forces" if "forces" in candidates else candidates[0]
    if name not in KEYS["forces"]:
        remark(
            f"{request.shown}: {name!r} is taken as forces; name another with keys={{'forces': "
            f"...}}"
        )
    return name


def _is_forces(name: str) -> bool:
    return "forces" in Chosen(Path(name), {name: (1, 1, 3)}, None, ("forces",), quiet=True)


def _has_forces(image: Atoms) -> bool:
    """Whether an image of a file whose first has none holds forces."""
    if "forces" in (getattr(image.calc, "results", {}) or {}):
        return True
    return any(_is_forces(n) for n in image.arrays if n not in ("positions", "numbers"))


def _energy_name(entries: set[str], forces: str) -> str:
    """Name of the energy: the partner of the forces (REF_forces, REF_energy), "energy", or the only
    one there is.
    """
    partner = forces.replace("forces", "energy").replace("force", "energy") if forces else ""
    if partner in entries:
        return partner
    if "energy" in entries:
        return "energy"
    like = [n for n in entries if n.lower().endswith("energy") and "kinetic" not in n.lower()]
    return like[0] if len(like) == 1 else ""


def _getter(name: str | None) -> Callable[[Atoms], NDArray[np.float64] | None] | None:
    """Reads an entry of an image by its name."""
    if name is None:
        return None

    def get(atoms: Atoms) -> NDArray[np.float64] | None:
        results = getattr(atoms.calc, "results", {}) if atoms.calc is not None else {}
        found = results.get(name, results.get("free_energy") if name == "energy" else None)
        return found if found is not None else atoms.arrays.get(name, atoms.info.get(name))

    return get


def _all_or_none(images: list[Atoms], name: str, where: Path) -> NDArray[np.float64] | None:
    """(n_images, ...) of one property, or None where no image has it.

    Raises:
        ValueError: some have it and some have not.
    """
    get = _getter(name)
    assert get is not None
    values = [get(a) for a in images]
    missing = [k for k, v in enumerate(values) if v is None]
    if len(missing) == len(values):
        return None
    if missing:
        raise ValueError(
            f"{where}: frame {missing[0]} has no {name} and others have: expected all or none; "
            "leave such "
            "frames out"
        )
    return np.array(values, float)


def _system(
    atoms: Atoms, where: str, given: Mapping[str, float] | ArrayLike | None = None
) -> System:
    """Names, elements and masses of one image."""
    symbols = atoms.get_chemical_symbols()
    masses = atoms.get_masses()
    stated = masses if (masses > 0).all() else given
    return system_from_species(symbols, len(symbols), masses=stated, where=where)


def _check_symbols(where: Path, images: list[Atoms]) -> None:
    symbols = images[0].get_chemical_symbols()
    for k, image in enumerate(images):
        _check_same(where, k, image, symbols, images[0])


def _check_same(path: Path, k: int, image: Atoms, symbols: list[str], first: Atoms) -> None:
    """ValueError where an image holds other atoms than the first."""
    if image.get_chemical_symbols() == symbols:
        return
    formula, before = image.get_chemical_formula(), first.get_chemical_formula()
    if len(image) != len(first):
        raise changed_number(path, k, len(image), len(first))
    raise ValueError(
        f"{path}: frame {k} holds {formula} and frame 0 {before} (or another order): Frames "
        "are of one "
        "System; split the file by composition"
    )


def _box(atoms: Atoms, path: Path, *, given: bool) -> NDArray[np.float64] | None:
    """(3, 3) rows in angstrom, None for an open image.

    Raises:
        ValueError: periodic along some directions only, and no box was `given`.
    """
    periodic = atoms.get_pbc().tolist()
    if not any(periodic):
        return None
    if not all(periodic):
        if given:
            return None
        raise mixed_boundary(path, periodic)
    return np.asarray(atoms.cell.array, float)


def _check_complete(path: Path) -> None:
    """ValueError where the last line does not end: a number cut in half still reads as a number."""
    with path.open("rb") as file:
        file.seek(0, 2)
        if file.tell() == 0:
            raise ValueError(f"{path} holds zero frames: the file is empty")
        file.seek(-1, 2)
        if file.read(1) != b"\n":
            raise ValueError(
                f"{path}: its last line does not end, the file is probably truncated; if it is "
                "whole, add a "
                "line end"
            )
