"""numpy files: .npz archives, pairs of .npy, and folders of DeePMD."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..remarks import remark
from ..system import System
from .making import first_frames_show
from .names import Chosen, one_column, potential_energies, without_index
from .periodic import box_rows
from .portions import Collected, Rows, sliced, with_box
from .request import Known, Opened, Request, SiteColumns, Stated
from .topology import read_species

#: Bytes of an archive's array kept in memory; larger ones stay on disk.
_IN_MEMORY = 2**25
#: Relative difference between a mean kinetic temperature and the thermostat's that is still the
#: same one.
_SAME_TEMPERATURE = 0.05
#: Arrays that are often beside a trajectory and serve nothing here.
_KNOWN_UNUSED = {
    "velocities",
    "velocity",
    "vel",
    "time",
    "times",
    "step",
    "steps",
    "virial",
    "virials",
    "stress",
}


def open_npz(request: Request) -> Opened:
    """An .npz archive; see `read` for the names and units."""
    archive = Archive(request.path)
    chosen = Chosen(request.shown, archive.shapes, request.keys)
    needed = "forces" if request.as_forces else "positions"
    found: dict[str, Rows] = {}
    for thing in chosen.names:
        if thing in chosen:
            found[thing] = _summed(archive, chosen[thing])
    chosen.need(needed)
    unused = [n for n in chosen.unused if n.lower() not in _KNOWN_UNUSED]
    if unused and not request.as_forces:
        remark(
            f"{request.shown}: arrays not used: {', '.join(unused)}; keys= says what an array is"
        )
    box_like = tuple(n for n in unused if _may_be_box(archive.shapes[n], len(found[needed])))
    return _opened(request, found, box_like)


def open_npy(request: Request) -> Opened:
    """A .npy file of positions, or as the second file one of forces."""
    try:
        array = np.load(request.path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy has no one class for a broken file
        raise broken(request.path, error) from error
    if request.keys:
        raise ValueError(
            f"{request.path}: a .npy file holds one array, so keys= means nothing for it: "
            "leave it out"
        )
    return _opened(request, {"forces" if request.as_forces else "positions": array}, ())


class Archive:
    """Arrays of an .npz, of which large ones are not held in memory.

    Raises:
        ValueError: it is no archive, or an array in it is damaged.
    """

    def __init__(self, path: Path):
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
            names = [n for n in self._zip.namelist() if n.endswith(".npy")]
            self.shapes = {n.removesuffix(".npy"): self._header(n)[0] for n in names}
        except Exception as error:  # BadZipFile, ValueError, zlib.error, OSError
            raise broken(path, error) from error

    def _header(self, member: str) -> tuple[tuple[int, ...], bool, np.dtype[np.generic], int]:
        """Shape, whether columns come first, type, and length of the header of one member."""
        with self._zip.open(member) as file:
            version = np.lib.format.read_magic(file)
            reader = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else np.lib.format.read_array_header_2_0
            )
            shape, fortran, dtype = reader(file)
            return shape, fortran, dtype, file.tell()

    def __getitem__(self, name: str) -> Rows:
        """The array; memory-mapped where it is large, after its checksum was compared."""
        member = f"{name}.npy"
        try:
            shape, fortran, dtype, header = self._header(member)
            if self._zip.getinfo(member).file_size < _IN_MEMORY or fortran or dtype.hasobject:
                with self._zip.open(member) as file:
                    return np.lib.format.read_array(file, allow_pickle=False)
            return self._mapped(member, shape, dtype, header)
        except Exception as error:  # zlib.error, BadZipFile, ValueError
            raise broken(self._path, error) from error

    def _mapped(
        self, member: str, shape: tuple[int, ...], dtype: np.dtype[np.generic], header: int
    ) -> NDArray[np.floating]:
        """A large member as a memory map: of the archive itself, or of a temporary file where it is
        compressed.
        """
        info = self._zip.getinfo(member)
        stored = info.compress_type == zipfile.ZIP_STORED
        target: BinaryIO | None = None if stored else tempfile.TemporaryFile(prefix="cgrec-")  # noqa: SIM115
        with self._zip.open(member) as file:
            while block := file.read(2**24):  # zipfile compares the checksum at the end
                if target is not None:
                    target.write(block)
        if target is not None:
            with target:  # the map holds it open by itself
                target.flush()
                return np.memmap(target, dtype, "r", header, shape)
        start = info.header_offset
        with self._path.open("rb") as plain:
            # lengths of the name and of the extra field: zip's local file header
            plain.seek(start + 26)
            lengths = np.frombuffer(plain.read(4), "<u2").astype(int)
        return np.memmap(self._path, dtype, "r", start + 30 + int(lengths.sum()) + header, shape)


def broken(path: Path, error: Exception) -> ValueError:
    """The error of a numpy file that cannot be read."""
    if "Object arrays" in str(error):
        return ValueError(
            f"{path} holds Python objects, which could run code when read and are refused: "
            "write plain "
            "arrays of numbers and names"
        )
    return ValueError(
        f"{path} cannot be read ({error}): it is probably truncated or no numpy file; copy or "
        "make it again"
    )


def _summed(archive: Archive, names: tuple[str, ...]) -> Rows:
    """The array of one name, or the sum of several."""
    if len(names) == 1:
        return one_column(names[0], archive[without_index(names[0])])
    first = archive[names[0]]
    if first.nbytes < _IN_MEMORY:
        return sum((archive[n] for n in names[1:]), first)
    parts, collected = [archive[n] for n in names], Collected()
    for start in range(0, len(first), 100):
        collected.append("sum", np.sum([p[start : start + 100] for p in parts], axis=0))
    return collected.arrays()["sum"]


def _may_be_box(shape: tuple[int, ...], n_frames: int) -> bool:
    """Whether an array nobody asked for has the shape of a box."""
    return shape in ((3, 3), (3,), (6,), (n_frames, 3), (n_frames, 6), (n_frames, 3, 3))


def _opened(request: Request, found: dict[str, Rows], box_like: tuple[str, ...]) -> Opened:
    needed = "forces" if request.as_forces else "positions"
    vectors = found[needed]
    if vectors.ndim != 3 or vectors.shape[-1] != 3:
        raise ValueError(
            f"{request.path}: expected {needed} (n_frames, n_sites, 3), found shape "
            f"{vectors.shape}; one "
            "frame is array[None]"
        )
    n_frames = len(vectors)
    if "energies" in found:
        energies = potential_energies(request.shown, np.asarray(found.pop("energies")), n_frames)
        found |= {} if energies is None else {"energies": energies}
    things = (
        ("forces",)
        if request.as_forces
        else ("positions", "forces", "energies", "weights", "replicas")
    )
    arrays = {k: found[k] for k in things if k in found}
    box = (
        None
        if request.as_forces or "box" not in found
        else _box(request.path, found["box"], n_frames)
    )
    _check_lengths(request.path, arrays, vectors.shape)
    portions = sliced(arrays, n_frames)
    if box is not None:
        portions = with_box(portions, box, n_frames)
    length, energy, force = (
        str(found[f"{k}_unit"]) if f"{k}_unit" in found else None
        for k in ("length", "energy", "force")
    )
    pairs = (("length", length), ("energy", energy), ("force", force))
    stated = Stated(length, energy, force, frozenset(k for k, v in pairs if v is not None))
    opened = Opened(
        portions,
        frozenset(arrays),
        stated,
        columns=_columns(request, found),
        temperature=_temperature(request, found.get("temperature")),
        box_like=box_like,
    )
    return replace(opened, system=_system(request, found, opened))


def _box(path: Path, box: ArrayLike, n_frames: int) -> NDArray[np.float64]:
    """Rows (3, 3) or (n_frames, 3, 3).

    Raises:
        ValueError: boxes of another number of frames.
    """
    shape = np.shape(box)
    per_frame = len(shape) == 3 or (len(shape) == 2 and shape != (3, 3))
    if per_frame and shape[0] not in (1, n_frames):
        raise ValueError(
            f"{path}: {n_frames} frames of positions and {shape[0]} of box: expected one box, "
            "or one a frame"
        )
    rows = box_rows(box)
    return rows[0] if rows.ndim == 3 and len(rows) == 1 else rows


def _temperature(request: Request, array: NDArray[np.floating] | None) -> float | None:
    """The number in `array`. One a frame is a kinetic temperature and fluctuates: it is no property
    of the ensemble.
    """
    if array is None:
        return None
    if array.size == 1:
        return float(array.item())
    mean, spread = float(np.mean(array)), float(np.std(array))
    given = request.temperature
    if given is not None and abs(mean - given) > _SAME_TEMPERATURE * given:
        raise ValueError(
            f"{request.path}: its temperature is one number a frame, {mean:.4g} K on average, and "
            f"temperature={given:g} was given: expected the same; read the frames of one "
            "temperature at a "
            "time"
        )
    remark(
        f"{request.shown}: its temperature is one number a frame ({mean:.4g} +- {spread:.2g} "
        "K): taken as a "
        "kinetic temperature; frames of a ladder of temperatures must be read one temperature "
        "at a time"
    )
    return None


def _columns(request: Request, found: dict[str, Rows]) -> SiteColumns | None:
    """Elements the archive states beside a topology, or names beside species=, to compare."""
    given = request.topology is not None or request.species is not None
    if request.as_forces or "species" not in found or not given:
        return None
    species = np.asarray(found["species"])
    if species.ndim != 1 or species.dtype.kind not in "iuUS":
        return None
    names = system_names(request, species)
    if request.topology is None and names is not None:
        return SiteColumns(types=names)
    return None if names is None else SiteColumns(elements=names)


def system_names(request: Request, species: NDArray[Any]) -> tuple[str, ...] | None:
    """Names of species that may be atomic numbers; None where they are numbers of something else."""
    from ase.data import chemical_symbols

    if species.dtype.kind in "iu":
        inside = (species > 0).all() and (species < len(chemical_symbols)).all()
        return tuple(chemical_symbols[int(s)] for s in species) if inside else None
    return tuple(str(s) for s in species)


def _system(request: Request, found: dict[str, Rows], opened: Opened) -> Known | None:
    """What the archive says of its sites; None where it does not, or the caller says it all.

    Bonds of the archive stay beside names that the caller gives.
    """
    renamed = request.species is not None
    if request.topology is not None or request.as_forces or (renamed and "bonds" not in found):
        return None
    if "system" in found and not renamed:
        return Known(System(**json.loads(str(found["system"]))), bonds_complete=True, named=True)
    if "species" not in found and not renamed:
        return None
    sites = read_species(
        request.species if request.species is not None else np.asarray(found["species"]).tolist(),
        found["positions"].shape[1],
        masses=request.masses if request.masses is not None else found.get("masses"),
        elements=request.elements,
        bonds=found.get("bonds"),
        charges=found.get("charges"),
        are_atoms=partial(first_frames_show, request, opened),
        where=str(request.path),
    )
    return Known(sites.system, bonds_complete="bonds" in found, sites=sites)


def _check_lengths(path: Path, arrays: Mapping[str, Rows], shape: tuple[int, ...]) -> None:
    """ValueError where arrays disagree, before picking frames would hide it."""
    n = shape[0]
    for name, array in arrays.items():
        if len(array) != n:
            raise ValueError(
                f"{path}: {n} frames of positions and {len(array)} of {name}: expected the "
                "same number"
            )
    if "forces" in arrays and arrays["forces"].shape != shape:
        raise ValueError(
            f"{path}: expected forces of shape {shape}, found {arrays['forces'].shape}"
        )


# --- DeePMD-kit: docs.deepmodeling.com/projects/deepmd/en/stable/data/system.html
# ------------------------

_DEEPMD = {"positions": "coord", "forces": "force", "energies": "energy", "box": "box"}


def is_deepmd(folder: Path) -> bool:
    """Whether a folder is a system of DeePMD-kit."""
    return (folder / "type.raw").exists() or any(folder.glob("set.*/coord.npy"))


def open_deepmd(request: Request) -> Opened:
    """A folder of DeePMD-kit: type.raw, type_map.raw and set.*/*.npy, in angstrom and eV unless
    given.

    Raises:
        ValueError: no sets, sets that disagree, types that change between frames, or types without
            names.
    """
    sets = sorted(p for p in request.path.glob("set.*") if p.is_dir())
    if not sets:
        raise ValueError(
            f"{request.path}: expected folders set.000, ... with coord.npy, found none"
        )
    names = [n for n in _DEEPMD if (sets[0] / f"{_DEEPMD[n]}.npy").exists()]
    arrays = {n: _joined(request.path, sets, _DEEPMD[n]) for n in names}
    if "positions" not in arrays:
        raise ValueError(f"{sets[0]}: no coord.npy")
    n_frames = len(arrays["positions"])
    box = arrays.pop("box", None)
    is_open = (request.path / "nopbc").exists()
    if "energies" in arrays:
        arrays["energies"] = arrays["energies"].reshape(n_frames)
    things = ("forces",) if request.as_forces else ("positions", "forces", "energies")
    arrays = {k: v for k, v in arrays.items() if k in things}
    wrong = [k for k, v in arrays.items() if len(v) != n_frames]
    if wrong:
        raise ValueError(
            f"{request.path}: {n_frames} frames of coord and {len(arrays[wrong[0]])} of {wrong[0]}"
        )
    portions = sliced(arrays, n_frames)
    if box is not None and not is_open and not request.as_forces:
        portions = with_box(portions, box_rows(box.reshape(-1, 3, 3)), n_frames)
    return Opened(
        portions,
        frozenset(arrays),
        Stated("angstrom", "eV", "eV/angstrom"),
        columns=_deepmd_columns(request.path, sets),
        open=is_open or None,
    )


def _joined(folder: Path, sets: list[Path], name: str) -> Rows:
    """The array `name` of all sets; of a single one it stays on disk."""
    parts = []
    for each in sets:
        path = each / f"{name}.npy"
        try:
            parts.append(np.load(path, mmap_mode="r", allow_pickle=False))
        except FileNotFoundError as error:
            raise ValueError(
                f"{folder}: {path.parent.name} has no {name}.npy and others have"
            ) from error
        except Exception as error:
            raise broken(path, error) from error
    if len(parts) == 1:
        return parts[0]
    collected = Collected()
    for part in parts:
        for start in range(0, len(part), 1000):
            collected.append(name, np.array(part[start : start + 1000]))
    return collected.arrays()[name]


def _deepmd_columns(folder: Path, sets: list[Path]) -> SiteColumns:
    """Elements of type.raw and type_map.raw, or of real_atom_types.npy of the mixed format."""
    types = (
        np.loadtxt(folder / "type.raw", int, ndmin=1) if (folder / "type.raw").exists() else None
    )
    if (sets[0] / "real_atom_types.npy").exists():
        real = _joined(folder, sets, "real_atom_types")
        changed = np.flatnonzero((real != real[0]).any(1))
        if len(changed):
            raise ValueError(
                f"{folder}: real_atom_types of frame {changed[0]} differ from those of frame "
                "0: Frames are "
                "of one System; take the frames of one composition out"
            )
        types = np.asarray(real[0])
    if types is None:
        raise ValueError(
            f"{folder}: neither type.raw nor real_atom_types.npy says what the atoms are"
        )
    numbers = tuple(str(int(t)) for t in types)
    if not (folder / "type_map.raw").exists():
        return SiteColumns(types=numbers)
    names = (folder / "type_map.raw").read_text().split()
    if types.max() >= len(names):
        raise ValueError(
            f"{folder}: type {types.max()} has no name among the {len(names)} of type_map.raw"
        )
    return SiteColumns(elements=tuple(names[int(t)] for t in types), types=numbers)
