"""Frames streamed to disk while they are made."""

from __future__ import annotations

import hashlib
import os
import shutil
from functools import partial
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import DTypeLike, NDArray

from ..files import room_for, sync, write_whole
from ..frames import Frames, check_files, header, write_header
from ..run.digests import HEADER, Changed, settle
from ..system import System

#: State of a run between two of its steps, while it is made and, at its end, for making it longer.
CHECKPOINT = "checkpoint.pt"
#: Name of the weights as they come, which are normalised into weights.npy when all are there.
RAW_WEIGHTS = "raw_weights"
#: Name of the temperatures that frames were sampled at, K, where they are not all that of the run.
TEMPERATURES = "temperatures"


class Piece(TypedDict):
    """Frames that a checkpoint vouches for: up to number `end`, with the digest of each array."""

    end: int
    sha256: dict[str, str]


#: Any array of frames.
Array = NDArray[np.generic]


class FrameStore:
    """A folder of preallocated .npy files, filled in time order, that becomes Frames when it is
    closed.

    Space is taken before the work starts, so a full disk is found in the first second and not in
    the last hour.

    Args:
        folder: final folder; until `close` everything lies in folder + ".partial".
        system: of the frames.
        temperature: K.
        capacity: frames to come.
        energies, weights, boxes, temperatures: whether these are kept, one a frame.
    """

    def __init__(
        self,
        folder: Path,
        system: System,
        temperature: float,
        capacity: int,
        *,
        energies: bool = False,
        weights: bool = False,
        boxes: bool = False,
        temperatures: bool = False,
    ) -> None:
        self.folder = Path(folder)
        self.system = system
        self.temperature = temperature
        self.capacity = capacity
        self.partial = partial_of(self.folder)
        vectors = (capacity, system.n_sites, 3)
        self.shapes: dict[str, tuple[tuple[int, ...], DTypeLike]] = {
            "positions": (vectors, np.float32),
            "forces": (vectors, np.float32),
            "replicas": ((capacity,), np.int32),
        }
        if energies:
            self.shapes["energies"] = ((capacity,), np.float64)
        if weights:
            self.shapes[RAW_WEIGHTS] = ((capacity,), np.float64)
        if temperatures:
            self.shapes[TEMPERATURES] = ((capacity,), np.float64)
        if boxes:
            self.shapes["box"] = ((capacity, 3, 3), np.float64)
        self.arrays: dict[str, Array] = {}
        self.pieces: list[Piece] = []

    @property
    def begun(self) -> bool:
        """Whether a checkpoint says that something is there to go on from."""
        return (self.partial / CHECKPOINT).exists()

    def create(self) -> None:
        """Take the space of all frames; what a run that left no checkpoint had there is thrown
        away.

        Raises:
            OSError: the disk has no room for them.
        """
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir(parents=True)
        need = sum(
            int(np.prod(shape)) * np.dtype(kind).itemsize for shape, kind in self.shapes.values()
        )
        free = shutil.disk_usage(self.partial).free
        if need > free:
            raise OSError(
                f"{self.folder}: the frames need {_size(need)} and the disk has {_size(free)} "
                "free; free some, save less often or run shorter"
            )
        for name, (shape, kind) in self.shapes.items():
            with room_for(self.partial / f"{name}.npy"):
                self.arrays[name] = _allocated(self.partial / f"{name}.npy", shape, kind)

    def open(self, pieces: list[Piece]) -> None:
        """Go on with arrays that hold what `pieces` of a checkpoint say.

        Raises:
            Changed: an array was changed, damaged or removed since.
        """
        self.pieces = pieces
        for name, (shape, kind) in self.shapes.items():
            path = self.partial / f"{name}.npy"
            try:
                array = np.load(path, mmap_mode="r+")
            except (OSError, ValueError, EOFError) as error:
                raise self._changed(path, f"it cannot be read ({error})") from error
            last = pieces[-1]["end"] if pieces else 0
            if array.dtype != kind or array.shape[1:] != shape[1:] or len(array) < last:
                raise self._changed(path, f"it holds {array.shape} of {array.dtype}")
            if len(array) < self.capacity:
                array = _grown(path, array[:last], shape, kind)
            self.arrays[name] = array
        for begin, piece in zip([0, *(p["end"] for p in pieces)], pieces):
            found = self._digests(begin, piece["end"])
            for name, wanted in piece["sha256"].items():
                if found[name] != wanted:
                    where = f"frames {begin} to {piece['end']} differ"
                    raise self._changed(self.partial / f"{name}.npy", where)

    def _changed(self, path: Path, why: str) -> Changed:
        return Changed(
            f"{path} is not what the checkpoint beside it was written with: {why}; it was "
            "changed, damaged or removed. "
            f"Put the original back, or remove the folder {self.partial} and run the same "
            "command again: this run then begins anew"
        )

    def extend(self, frames: int) -> None:
        """Copy the `frames` of a finished run that is to be made longer into arrays with room for
        all that are to come.
        """
        self.create()
        for name, array in self.arrays.items():
            old = np.load(self.folder / f"{name}.npy", mmap_mode="r")
            array[:frames] = old[:frames]

    def put(self, start: int, **values: Array) -> None:
        """Write frames `start`, `start` + 1, ... of every array."""
        for name, array in self.arrays.items():
            array[start : start + len(values[name])] = values[name]

    def flush(self, n_frames: int) -> list[Piece]:
        """Bring everything written so far to the disk; the digests of each array, piece by piece,
        are what a checkpoint keeps.
        """
        for array in self.arrays.values():
            array.flush()  # type: ignore[attr-defined]
        begin = self.pieces[-1]["end"] if self.pieces else 0
        if n_frames > begin:
            self.pieces.append({"end": n_frames, "sha256": self._digests(begin, n_frames)})
        return self.pieces

    def _digests(self, begin: int, end: int) -> dict[str, str]:
        return {
            name: hashlib.sha256(np.ascontiguousarray(array[begin:end]).data).hexdigest()
            for name, array in self.arrays.items()
        }

    def close(self, n_frames: int, box: Array | None, weights: Array | None = None) -> Frames:
        """Cut to the frames really made, normalise weights, rename into place. May be called again
        after a crash at any point.

        Args:
            n_frames: made.
            box: of all frames, where they have one.
            weights: (n_frames,) of any mean.

        A run that was made longer takes the place of the shorter one.
        """
        for name, array in self.arrays.items():
            if n_frames < len(array):
                write_whole(self.partial / f"{name}.npy", partial(_save, array=array[:n_frames]))
        if weights is not None:
            normalised = weights / weights.mean()
            write_whole(self.partial / "weights.npy", lambda partial: _save(partial, normalised))
        if box is not None:
            write_whole(self.partial / "box.npy", lambda partial: _save(partial, box))
        write_header(self.partial, self.system, self.temperature)
        sync(self.partial)
        finish(self.folder)
        return Frames.load(self.folder)


def partial_of(folder: Path) -> Path:
    """Where a folder of frames lies while it is made."""
    return folder.with_name(folder.name + ".partial")


def finish(folder: Path) -> bool:
    """Rename a folder of frames that is whole but for that; whether there was one."""
    partial, shorter = partial_of(folder), folder.with_name(folder.name + ".shorter")
    whole = (partial / HEADER).exists()
    if whole:
        check_files(partial, header(partial))
        if folder.exists():
            shutil.rmtree(shorter, ignore_errors=True)
            folder.rename(shorter)
        settle(partial, folder)
    if folder.exists():
        shutil.rmtree(shorter, ignore_errors=True)
    return whole


def _allocated(path: Path, shape: tuple[int, ...], kind: DTypeLike) -> Array:
    """An array on disk whose space is taken."""
    array = open_memmap(path, mode="w+", dtype=kind, shape=shape)
    with path.open("r+b") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        else:  # macOS: zeros take the space
            file.seek(path.stat().st_size - int(np.prod(shape)) * np.dtype(kind).itemsize)
            for _ in range(len(array)):
                file.write(bytes(array[0].nbytes))
    return array


def _grown(path: Path, old: Array, shape: tuple[int, ...], kind: DTypeLike) -> Array:
    """The array in `path` with room for `shape`; whole at every moment, the old one or the new."""

    def write(partial: Path) -> None:
        array = _allocated(partial, shape, kind)
        array[: len(old)] = old
        array.flush()  # type: ignore[attr-defined]

    write_whole(path, write)
    return np.load(path, mmap_mode="r+")


def _save(path: Path, array: Array) -> None:
    with path.open("wb") as file:  # by a handle: np.save adds .npy to a path
        np.save(file, array)


def _size(n: float) -> str:
    """Bytes in a unit in which the number can be read."""
    for unit in ("B", "kB", "MB"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} GB"
