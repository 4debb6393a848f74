"""Frames streamed to disk while they are made."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from ..frames import Frames, write_header
from ..system import System


class FrameStore:
    """A folder of preallocated .npy files, filled in time order, that becomes Frames when it is closed.

    Space is taken before the work starts, so a full disk is found in the first second and not in the last hour.

    Args:
        folder: final folder; until `close` everything lies in folder + ".partial".
        system: of the frames.
        temperature: K.
        capacity: frames to come.
        energies, weights: whether these are kept.
    """

    def __init__(
        self,
        folder: Path,
        system: System,
        temperature: float,
        capacity: int,
        *,
        energies: bool,
        weights: bool,
    ) -> None:
        self.folder, self.system, self.temperature, self.capacity = (
            Path(folder),
            system,
            temperature,
            capacity,
        )
        self.partial = self.folder.with_name(self.folder.name + ".partial")
        self.partial.mkdir(parents=True, exist_ok=True)
        vectors = (capacity, system.n_sites, 3)
        shapes: dict[str, tuple[tuple[int, ...], Any]] = {
            "positions": (vectors, np.float32),
            "forces": (vectors, np.float32),
            "replicas": ((capacity,), np.int32),
        }
        if energies:
            shapes["energies"] = ((capacity,), np.float64)
        if weights:
            shapes["weights"] = ((capacity,), np.float64)
        self._check_space(shapes)
        self.arrays = {name: self._open(name, *shape) for name, shape in shapes.items()}

    def _check_space(self, shapes: dict[str, tuple[tuple[int, ...], Any]]) -> None:
        need = sum(
            int(np.prod(s)) * np.dtype(t).itemsize
            for n, (s, t) in shapes.items()
            if not (self.partial / f"{n}.npy").exists()
        )
        free = shutil.disk_usage(self.partial).free
        if need > free:
            raise OSError(
                f"{self.folder}: the frames need {need / 1e9:.2f} GB and the disk has {free / 1e9:.2f} GB free; free some, save less often or run shorter"
            )

    def _open(self, name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        path = self.partial / f"{name}.npy"
        if path.exists():
            return np.load(path, mmap_mode="r+")
        array = open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        return array

    def put(self, start: int, **values: NDArray[Any]) -> None:
        """Write frames `start`, `start` + 1, ... of every array."""
        for name, array in self.arrays.items():
            array[start : start + len(values[name])] = values[name]

    def flush(self) -> None:
        """Bring everything written so far to the disk."""
        for array in self.arrays.values():
            array.flush()  # type: ignore[attr-defined]

    def close(self, n_frames: int, box: NDArray[Any] | None) -> Frames:
        """Cut to the frames really made, normalise weights, rename into place."""
        self.flush()
        if n_frames < self.capacity:
            for name, array in self.arrays.items():
                np.save(self.partial / f"{name}.tmp.npy", array[:n_frames])
                (self.partial / f"{name}.tmp.npy").replace(self.partial / f"{name}.npy")
        if "weights" in self.arrays:
            weights = np.array(self.arrays["weights"][:n_frames])
            np.save(self.partial / "weights.npy", weights / weights.mean())
        if box is not None:
            np.save(self.partial / "box.npy", box)
        write_header(self.partial, self.system, self.temperature)
        self.partial.rename(self.folder)
        return Frames.load(self.folder)
