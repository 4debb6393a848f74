"""Frames on their way from a file into memory, a bounded number at a time, and the place that
collects them.

A trajectory may be larger than the memory. So every reader gives `Portion`s of bounded size, and
`Collected` keeps them in memory while they are few and in a temporary file beyond.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from ..frames import MEMORY_BYTES, release

#: Numbers with frames along the first axis, real or whole, of any precision.
Rows = NDArray[Any]

#: Bytes of positions in one portion: small against the memory of any machine, large against the
#: cost of a call.
PORTION_BYTES = 2**22

_VECTORS = ("positions", "forces")


@dataclass(frozen=True)
class Portion:
    """Frames that follow each other, in the units of the file.

    Attributes:
        positions, forces: (n, n_sites, 3), or None.
        energies: (n,), or None.
        box: (n, 3, 3) rows, or None.
        weights, replicas: (n,), or None.
        steps: (n,) number the file gives each frame, to compare two files of one run, or None.
    """

    positions: NDArray[np.floating] | None = None
    forces: NDArray[np.floating] | None = None
    energies: NDArray[np.floating] | None = None
    box: NDArray[np.floating] | None = None
    weights: NDArray[np.floating] | None = None
    replicas: NDArray[np.int64] | None = None
    steps: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return next((len(a) for a in self.present().values()), 0)

    def present(self) -> dict[str, Rows]:
        """The arrays there are, by name."""
        return {
            f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None
        }

    def cut(self, start: int, stop: int) -> Portion:
        """Frames start to stop of this portion."""
        return Portion(**{k: v[start:stop] for k, v in self.present().items()})


@dataclass(frozen=True)
class Snapshot:
    """One frame as the file has it: positions and forces (n_sites, 3), box (3, 3) rows, energy and
    step numbers.
    """

    positions: NDArray[np.floating] | None = None
    forces: NDArray[np.floating] | None = None
    energies: float | None = None
    box: NDArray[np.floating] | None = None
    steps: int | None = None


Portions = Callable[[slice], Iterator[Portion]]


def rows_per_portion(n_sites: int) -> int:
    """How many frames make one portion."""
    return max(1, PORTION_BYTES // max(1, n_sites * 24))


def in_order(path: Path, snapshots: Callable[[], Iterator[Snapshot]]) -> Portions:
    """Portions of a file that can only be read from its beginning."""

    def portions(pick: slice) -> Iterator[Portion]:
        if any(v is not None and v < 0 for v in (pick.start, pick.stop, pick.step)):
            raise ValueError(
                f"{path}: start, stop and step must not be negative for files read in order, "
                f"found {pick}"
            )
        picked = islice(enumerate(snapshots()), pick.start, pick.stop, pick.step)
        first = next(picked, None)
        if first is None:
            return
        size = _n_sites(first[1])
        chunk = [first, *islice(picked, rows_per_portion(size) - 1)]
        while chunk:
            yield _stacked(path, chunk, size)
            chunk = list(islice(picked, rows_per_portion(size)))

    return portions


class PerFrame(Protocol):
    """Numbers with frames along the first axis: an array, or a dataset of HDF5 or NetCDF."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, where: slice, /) -> Rows: ...


def sliced(arrays: Mapping[str, PerFrame], n_frames: int) -> Portions:
    """Portions of arrays that can be cut anywhere: of numpy, HDF5 or NetCDF, each with frames along
    its first axis.
    """

    def portions(pick: slice) -> Iterator[Portion]:
        frames = range(*pick.indices(n_frames))
        shape = next(a.shape for k, a in arrays.items() if k in _VECTORS)
        rows = rows_per_portion(int(np.prod(shape[1:])) // 3)
        for k in range(0, len(frames), rows):
            part = frames[k : k + rows]
            stop = part[-1] + (1 if part.step > 0 else -1)
            where = slice(part[0], None if stop < 0 else stop, part.step)
            cut = {name: _cut(array, where) for name, array in arrays.items()}
            for name, shaped in cut.items():
                # rows of 3 n_sites numbers, as DeePMD writes them
                if name in _VECTORS and shaped.ndim == 2:
                    cut[name] = shaped.reshape(len(shaped), -1, 3)
            yield Portion(**cut)

    return portions


def with_box(portions: Portions, rows: NDArray[np.floating], n_frames: int) -> Portions:
    """Portions with a box: rows (3, 3) for all frames, or (n_frames, 3, 3)."""
    each = np.broadcast_to(rows, (n_frames, 3, 3))

    def boxed(pick: slice) -> Iterator[Portion]:
        chosen, done = each[pick], 0
        for portion in portions(pick):
            yield replace(portion, box=chosen[done : done + len(portion)])
            done += len(portion)

    return boxed


def _cut(array: PerFrame, where: slice) -> Rows:
    """Frames `where` of an array; h5py knows no negative steps."""
    if where.step > 0 or isinstance(array, np.ndarray):
        cut = np.array(array[where])
        release(array)
        return cut
    low = 0 if where.stop is None else where.stop + 1
    return np.asarray(array[low : where.start + 1])[::-1][:: -where.step]


def _n_sites(snapshot: Snapshot) -> int:
    vectors = snapshot.positions if snapshot.positions is not None else snapshot.forces
    return 0 if vectors is None else len(vectors)


def _stacked(path: Path, chunk: list[tuple[int, Snapshot]], n_sites: int) -> Portion:
    """One portion of snapshots.

    Raises:
        ValueError: only some of them have positions, forces, a box or an energy, or the number of
            sites changes.
    """
    for k, snapshot in chunk:
        if _n_sites(snapshot) != n_sites and _n_sites(snapshot):
            raise changed_number(path, k, _n_sites(snapshot), n_sites)
    arrays = {}
    for name in (f.name for f in fields(Snapshot)):
        values = [getattr(s, name) for _, s in chunk]
        have = [v is not None for v in values]
        if any(have) and not all(have):
            raise partly(path, name, chunk[have.index(False)][0])
        if all(have):
            arrays[name] = np.stack(values)
    return Portion(**arrays)


def changed_number(path: Path, frame: int, found: int, first: int) -> ValueError:
    """The error of a file whose number of sites changes."""
    return ValueError(
        f"{path}: frame {frame} holds {found} sites and the first frame {first}: Frames are of "
        "one System, "
        "so expected the same number in all; keep the frames of one number (start=, stop=), or "
        "write the "
        "run without the sites that come and go"
    )


def partly(path: Path, name: str, frame: int) -> ValueError:
    """The error of a file where only some frames have something."""
    return ValueError(
        f"{path}: some frames have {name} and some have not (frame {frame} has none): expected "
        "all or none; "
        "pick those that have with start= and step="
    )


@dataclass
class Collected:
    """Portions as arrays: in memory while they are small, else in temporary files that vanish with
    the arrays.

    Args:
        folder: where temporary files go; None is the folder the system keeps for such files
            (TMPDIR).
    """

    folder: Path | None = None
    _parts: dict[str, list[Rows]] = field(default_factory=dict)
    _files: dict[str, BinaryIO] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)
    _bytes: int = 0

    def append(self, name: str, array: Rows) -> None:
        """Add frames (n, ...) to the array `name`, in the precision of the first that came."""
        parts = self._parts.setdefault(name, [])
        array = np.asarray(array, parts[0].dtype if parts else None)
        parts.append(array)
        self._counts[name] = self.count(name) + len(array)
        self._bytes += array.nbytes
        if self._files or self._bytes > MEMORY_BYTES:
            for each in self._parts:
                self._to_disk(each)

    def count(self, name: str) -> int:
        """Frames of `name` so far."""
        return self._counts.get(name, 0)

    def _to_disk(self, name: str) -> None:
        if name not in self._files:
            self._files[name] = tempfile.TemporaryFile(dir=self.folder, prefix="cgrec-")  # noqa: SIM115
        for part in self._parts[name]:
            self._files[name].write(np.ascontiguousarray(part).data)
        # an empty part keeps shape and precision
        self._parts[name] = [part[:0] for part in self._parts[name][:1]]

    def arrays(self) -> dict[str, Rows]:
        """Everything that was added, (n_frames, ...) each, and writable."""
        return {name: self._array(name) for name in list(self._parts)}

    def _array(self, name: str) -> Rows:
        parts = self._parts.pop(name)
        if name not in self._files:
            return parts[0] if len(parts) == 1 else np.concatenate(parts)
        shape = (self.count(name), *parts[0].shape[1:])
        with self._files.pop(name) as file:  # the map holds it open by itself
            file.flush()
            return np.memmap(file, dtype=parts[0].dtype, mode="r+", shape=shape)
