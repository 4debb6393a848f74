"""`Frames`: an equilibrium ensemble of one `System` at one temperature, in memory and on disk."""

from __future__ import annotations

import hashlib
import json
import mmap
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, SupportsIndex, TypedDict

import numpy as np
from numpy.typing import NDArray

from .files import WAY_BACK, read_json, room_for, sync, write_text
from .outward import Outward
from .run.digests import HEADER, Changed, digest, first_changed, read_sealed, sealed, settle
from .system import System

#: K by which two temperatures may differ and be one: rounding in files.
SAME_TEMPERATURE = 0.01
#: Bytes of an array worked on at once.
_PIECE_BYTES = 2**22
#: Frames picked from a memory-mapped array at once: one page or more of it comes into memory for
#: each.
_PICKED = 64
#: Bytes of an array that is kept in memory; a larger one is a temporary file.
MEMORY_BYTES = 2**26
_ARRAYS = ("positions", "forces", "energies", "box", "weights", "replicas", "temperatures")


class Header(TypedDict, total=False):
    """frames.json: kelvin, units, the digest of the frames, and {file: sha256}. Older versions
    wrote the first two only.
    """

    temperature: float
    units: str
    frames: str
    files: dict[str, str]


@dataclass(frozen=True, eq=False, repr=False)
class Frames(Outward):
    """Configurations of `system`, with what is known about them. Every level takes Frames in and
    gives Frames out.

    Frames of one replica are in time order. Molecules are whole (bonds never cross the box).

    Attributes:
        system: the sites.
        positions: (n_frames, n_sites, 3) nm.
        temperature: K.
        forces: (n_frames, n_sites, 3) kJ/mol/nm, or None. Bias forces are never in here.
        energies: (n_frames,) kJ/mol, or None. True energies only: a PMF value is not an energy
            label.
        box: (3, 3) or (n_frames, 3, 3) nm, rows are the lattice vectors, or None for an open
            system.
        weights: (n_frames,) statistical weights with mean 1, or None for an unbiased sample.
        replicas: (n_frames,) index of the independent run each frame comes from, or None for a
            single run.
        temperatures: (n_frames,) K each frame was sampled at, where they are several; the weights
            then make them a sample at `temperature`. None: all at `temperature`.

    Raises:
        ValueError: no frames, a wrong shape, a NaN or infinity, a negative weight, a temperature
            that is not positive.
    """

    system: System
    positions: NDArray[np.floating]
    temperature: float
    forces: NDArray[np.floating] | None = None
    energies: NDArray[np.floating] | None = None
    box: NDArray[np.floating] | None = None
    weights: NDArray[np.floating] | None = None
    replicas: NDArray[np.int64] | None = None
    temperatures: NDArray[np.floating] | None = None

    def __post_init__(self) -> None:
        for name in _ARRAYS:
            if getattr(self, name) is not None:
                object.__setattr__(self, name, np.asarray(getattr(self, name)))
        if self.positions.ndim != 3 or len(self.positions) == 0:
            raise ValueError(
                f"Frames.positions: expected (n_frames >= 1, {self.system.n_sites}, 3) nm, "
                f"found shape {self.positions.shape}"
            )
        n = len(self.positions)
        vectors = (n, self.system.n_sites, 3)
        expected: dict[str, tuple[tuple[int, ...], ...]] = {
            "positions": (vectors,),
            "forces": (vectors,),
            "energies": ((n,),),
            "box": ((3, 3), (n, 3, 3)),
            "weights": ((n,),),
            "replicas": ((n,),),
            "temperatures": ((n,),),
        }
        for name, shapes in expected.items():
            _check_array(self, name, shapes)
        _check_kelvin(self)
        if self.weights is not None and (self.weights.min() < 0 or self.weights.sum() == 0):
            raise ValueError("Frames.weights: expected non-negative weights that are not all zero")

    def __repr__(self) -> str:
        arrays = ", ".join(
            f"{n} {getattr(self, n).shape}" for n in _ARRAYS if getattr(self, n) is not None
        )
        return f"Frames({len(self)} frames at {self.temperature:g} K; {arrays}; of {self.system!r})"

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def n_sites(self) -> int:
        """Number of sites."""
        return self.system.n_sites

    def __getitem__(
        self, index: SupportsIndex | slice | Sequence[int] | NDArray[np.int64] | NDArray[np.bool_]
    ) -> Frames:
        """Frames picked by slice, mask or integer array."""
        if isinstance(index, int | np.integer):
            index = [int(index)]
        per_frame = {n: getattr(self, n) for n in _ARRAYS if getattr(self, n) is not None}
        some = isinstance(index, list | np.ndarray) and len(index) > 0
        pick = lambda a: taken(a, np.asarray(index)) if some else a[index]  # noqa: E731
        picked: dict[str, Any] = {
            n: a if n == "box" and a.ndim == 2 else pick(a) for n, a in per_frame.items()
        }
        return replace(self, **picked)

    def boxes(self) -> NDArray[np.floating] | None:
        """(n_frames, 3, 3) nm, or None for an open system."""
        return None if self.box is None else np.broadcast_to(self.box, (len(self), 3, 3))

    def need_forces(self) -> NDArray[np.floating]:
        """The forces; ValueError that says what to do where there are none."""
        if self.forces is None:
            raise ValueError(
                "these Frames carry no forces and force matching needs them: write forces with "
                "the trajectory (TRR, H5MD, LAMMPS dump "
                "with fx fy fz, extended XYZ, npz), or let a source compute them "
                "(source=calculator, source=openmm)"
            )
        return self.forces

    def normalised_weights(self) -> NDArray[np.float64]:
        """(n_frames,) weights that sum to one; uniform where the sample is unbiased."""
        weights = np.ones(len(self)) if self.weights is None else np.asarray(self.weights, float)
        return weights / weights.sum()

    def weight_efficiency(self) -> float:
        """(sum w)^2 / (n sum w^2): 1 for equal weights (Kish)."""
        return float(1 / (len(self) * (self.normalised_weights() ** 2).sum()))

    def blocks(self, n_blocks: int) -> list[Frames]:
        """`n_blocks` pieces that share as little as the sample allows: whole replicas where there
        are enough, else runs of time.

        Raises:
            ValueError: fewer frames than blocks.
        """
        return [self[index] for index in self.block_indices(n_blocks)]

    def block_indices(self, n_blocks: int) -> list[NDArray[np.int64]]:
        """Frame indices of each of `blocks`, in their order of time."""
        if len(self) < n_blocks:
            raise ValueError(
                f"cannot cut {len(self)} frames into {n_blocks} blocks: give more frames or "
                "ask for fewer blocks"
            )
        replicas = np.zeros(len(self), int) if self.replicas is None else self.replicas
        labels = np.unique(replicas)
        if len(labels) >= n_blocks:
            groups = np.array_split(labels, n_blocks)
            return [np.flatnonzero(np.isin(replicas, g)) for g in groups]
        return np.array_split(np.argsort(replicas, kind="stable"), n_blocks)

    @staticmethod
    def concatenate(parts: list[Frames]) -> Frames:
        """Several Frames of one System and temperature as one; replicas stay apart.

        Raises:
            ValueError: systems, temperatures or the fields present differ.
        """
        return _concatenated(parts)

    def save(self, folder: str | Path, beside: Callable[[Path], object] | None = None) -> Path:
        """Write `folder` (system.json, frames.json and one .npy per array) under a temporary name,
        then rename.

        Args:
            folder: to become.
            beside: called with the temporary folder, to leave there what belongs to these frames.

        Raises:
            FileExistsError: `folder` exists; nothing made is ever overwritten.
        """
        return _write(self, folder, beside)

    @classmethod
    def load(cls, folder: str | Path) -> Frames:
        """Read what `save` (or a simulation) wrote; large arrays stay on disk until used.

        Raises:
            FileNotFoundError: no such frames.
            Changed: a file of them was changed, damaged or removed.
            ValueError: a file is truncated.
        """
        folder = Path(folder)
        about = header(folder)
        check_files(folder, about)
        arrays = {n: _load(folder / f"{n}.npy") for n in _ARRAYS if (folder / f"{n}.npy").exists()}
        if "positions" not in arrays:
            raise ValueError(
                f"{folder}: expected positions.npy, found none: put it back, or make the frames "
                "again"
            )
        return cls(
            system=System.load(folder / "system.json"), temperature=about["temperature"], **arrays
        )


def _check_kelvin(frames: Frames) -> None:
    """ValueError: a temperature that is not positive."""
    known = [] if frames.temperatures is None else [float(frames.temperatures.min())]
    coldest = min([frames.temperature, *known])
    if not coldest > 0:
        raise ValueError(f"Frames.temperature: expected a positive number of K, found {coldest}")


def at_own_temperature(frames: Frames) -> Frames:
    """Those that were sampled at `frames.temperature`, without weights to bring others there; itself
    where all were.
    """
    if frames.temperatures is None:
        return frames
    own = np.abs(np.asarray(frames.temperatures) - frames.temperature) < SAME_TEMPERATURE
    return replace(frames[own] if own.any() else frames, weights=None, temperatures=None)


def _write(frames: Frames, folder: str | Path, beside: Callable[[Path], object] | None) -> Path:
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(
            f"{folder} exists already: choose another folder or remove it yourself"
        )
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name in _ARRAYS:
        if getattr(frames, name) is not None:
            with room_for(partial):
                _save(partial / f"{name}.npy", getattr(frames, name))
    if beside is not None:
        beside(partial)
    write_header(partial, frames.system, frames.temperature)
    settle(partial, folder)
    return folder


def _concatenated(parts: list[Frames]) -> Frames:
    first = parts[0]
    for part in parts[1:]:
        if not part.system.agrees_with(first.system):
            raise ValueError("Frames.concatenate: the parts belong to different Systems")
        if part.temperature != first.temperature:
            raise ValueError(
                f"Frames.concatenate: temperatures differ ({first.temperature} K and "
                f"{part.temperature} K)"
            )
    merged: dict[str, Any] = {}
    for name in ("positions", "forces", "energies", "weights", "temperatures"):
        arrays = [getattr(p, name) for p in parts]
        if any(a is None for a in arrays) and any(a is not None for a in arrays):
            raise ValueError(f"Frames.concatenate: some parts have {name} and some have not")
        merged[name] = None if arrays[0] is None else np.concatenate(arrays)
    offset, replicas = 0, []
    for part in parts:
        own = np.zeros(len(part), int) if part.replicas is None else part.replicas
        replicas.append(own + offset)
        offset += own.max() + 1
    boxes = [p.boxes() for p in parts]
    box = None if boxes[0] is None else np.concatenate([b for b in boxes if b is not None])
    return replace(first, **merged, box=box, replicas=np.concatenate(replicas))


def _check_array(frames: Frames, name: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    """ValueError: another shape, a NaN or an infinity in one of the arrays."""
    array = getattr(frames, name)
    if array is None:
        return
    if array.shape not in shapes:
        raise ValueError(
            f"Frames.{name}: expected shape {' or '.join(map(str, shapes))}, found {array.shape}"
        )
    for piece in pieces(array):
        finite = np.isfinite(array[piece])
        if not finite.all():
            first = np.argwhere(~finite)[0]
            frame = (piece.start or 0) + int(first[0])
            of = (
                f", in {frames.system.full_labels[first[1]]}"
                if array.shape[1:] == (frames.n_sites, 3)
                else ""
            )
            raise ValueError(
                f"Frames.{name}: found NaN or infinity, first at index {frame}{of}; drop that "
                "frame or repair the file"
            )
        release(array)


def write_header(folder: Path, system: System, temperature: float) -> None:
    """The two json files that make a folder of arrays readable as Frames.

    frames.json is the last file of the folder to be written. It holds the sha256 of all others, and
    one of what the frames themselves are (`identity`): two runs that gave the same frames in
    another time share it.
    """
    system.save(folder / "system.json")
    files: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix == ".partial":  # of a process that died here
            path.unlink()
        elif path.is_file() and path.name != HEADER:
            sync(path)
            files[path.name] = digest(path)
    arrays = {n: files[n] for n in (*(f"{a}.npy" for a in _ARRAYS), "system.json") if n in files}
    identity = hashlib.sha256(
        json.dumps([arrays, temperature], sort_keys=True).encode()
    ).hexdigest()
    about = {
        "temperature": temperature,
        "units": "nm, ps, K, kJ/mol",
        "frames": identity,
        "files": files,
    }
    write_text(folder / HEADER, sealed(about))


def header(folder: Path) -> Header:
    """frames.json of a folder of frames.

    Raises:
        FileNotFoundError: there is none. Changed: it was changed. ValueError: it is no json.
    """
    path = folder / HEADER
    if not path.exists():
        raise FileNotFoundError(f"{folder} holds no frames ({HEADER} is missing)")
    about = read_json(path)
    sealed = isinstance(about, dict) and {"seal", "files", "frames"} & set(about)
    if not sealed and not (isinstance(about, dict) and "temperature" in about):
        raise Changed(
            f"{path}: expected the temperature of frames, found {str(about)[:80]}: it was changed "
            "or damaged"
        )
    return read_sealed(path) if sealed else about  # what older versions wrote has no seal


def identity(folder: Path) -> str | None:
    """Digest of the frames in a folder, the same wherever and however fast they were made; None
    from older versions.
    """
    return header(folder).get("frames")


def check_files(folder: Path, about: Header) -> None:
    """Compare the files of a folder of frames with the digests of its header.

    Raises:
        Changed: one differs, is gone, or was added.
    """
    files = about.get("files")
    if files is None:
        return
    way = f"put the original back, or remove the folder {folder} and run the same command again"
    name = first_changed(folder, files)
    if name is not None:
        path, known = folder / name, files[name]
        if not path.exists():
            raise Changed(f"{path} was made and is gone: {way}")
        raise Changed(
            f"{path}: its content is not what was made (sha256 {known[:12]}...), it was changed or "
            f"damaged: {way}"
        )
    added = [
        f"{n}.npy" for n in _ARRAYS if f"{n}.npy" not in files and (folder / f"{n}.npy").exists()
    ]
    if added:
        raise Changed(f"{folder / added[0]} was not made with these frames: remove it, or {way}")


def pieces(array: NDArray[np.floating]) -> Iterator[slice]:
    """Slices of the first axis, each of a bounded number of bytes, for work on arrays larger than
    the memory.
    """
    rows = max(1, _PIECE_BYTES // max(1, array[:1].nbytes))
    return (slice(k, k + rows) for k in range(0, len(array), rows))


def taken(
    array: NDArray[np.floating],
    frames: NDArray[np.int64] | NDArray[np.bool_],
    sites: NDArray[np.int64] | slice = slice(None),
) -> NDArray[np.floating]:
    """Copies of some frames, or of some sites of them, of an array that may be larger than the
    memory.

    Args:
        array: (n_frames, ...), or (n_frames, n_sites, ...) where `sites` are chosen.
        frames: frame numbers, or a mask.
    """
    numbers = np.flatnonzero(frames) if frames.dtype == bool else frames
    if not _is_mapped(array) or numbers.ndim != 1 or not len(numbers):
        return array[numbers] if isinstance(sites, slice) else array[numbers[:, None], sites]
    parts = []
    for start in range(0, len(numbers), _PICKED):
        part = numbers[start : start + _PICKED]
        parts.append(array[part] if isinstance(sites, slice) else array[part[:, None], sites])
        release(array)
    return np.concatenate(parts)


def room(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """An array to be filled: in memory, or where it is large in a temporary file that vanishes with
    it (TMPDIR).
    """
    size = int(np.prod(shape)) * np.dtype(float).itemsize
    if size <= MEMORY_BYTES:
        return np.empty(shape)
    file = tempfile.TemporaryFile(prefix="cgrec-")  # noqa: SIM115
    file.truncate(size)
    return np.memmap(file, dtype=float, mode="r+", shape=shape)


def _is_mapped(array: object) -> bool:
    while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
        array = array.base
    return isinstance(array, np.memmap)


def release(array: object) -> None:
    """Let go of the memory that pages of a memory-mapped array take; they are read again from disk
    when needed.

    Nothing happens to an array in memory. A private mapping (mode "c") is left alone: its changes
    are nowhere else.
    """
    while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
        array = array.base
    if not isinstance(array, np.memmap) or array.mode == "c":
        return
    mapping = array._mmap  # type: ignore[attr-defined]  # numpy offers no public name for it
    if hasattr(mapping, "madvise"):
        mapping.madvise(mmap.MADV_DONTNEED)


def _save(path: Path, array: NDArray[np.floating]) -> None:
    """`np.save` in pieces."""
    with path.open("wb") as file:
        shaped = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(file, {**shaped, "fortran_order": False})
        for piece in pieces(array):
            file.write(np.ascontiguousarray(array[piece]).data)
            release(array)


def _load(path: Path) -> NDArray[Any]:
    try:
        return np.load(path, mmap_mode="r")
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(
            f"{path} cannot be read as an array of numbers ({error}); {WAY_BACK}"
        ) from error
