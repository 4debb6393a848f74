"""What can be taken away: the report, the package, and frames that were chosen, with their weights."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..frames import Frames
from ..io import write
from ..package import pack
from ..report import write_report
from ..report.figures import superpose
from ..run import layout
from .landscapes import Landscape

#: Frames that a file of structures holds at most.
MOST_FRAMES = 1000


def report_of(folder: Path) -> bytes:
    """report.html, written where it is not there."""
    path = folder / layout.PAGE
    if not path.exists():
        write_report(folder)
    return path.read_bytes()


def package_of(folder: Path) -> bytes:
    """The package of a run, x.cgrec.

    Raises:
        ValueError: a level without a potential.
    """
    return _made(f"{folder.name}.cgrec", lambda path: pack(folder, path))


def table_of(landscape: Landscape, number: int, index: NDArray[np.int64]) -> bytes:
    """Frames of a level as csv: number, replica, weight with mean 1, values in nm, rad or 1."""
    frames = landscape.frames(number)
    weights = len(frames) * frames.normalised_weights()[index]
    replicas = np.zeros(len(frames), int) if frames.replicas is None else frames.replicas
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    names = [f"{v.name} / {v.unit}" for v in landscape.variables]
    rows.writerow(["frame", "replica", "weight", *names])
    values = landscape.values(number, index)
    for place, weight, row in zip(index.tolist(), weights.tolist(), values):
        numbers = (f"{value:.6g}" for value in (weight, *row))
        rows.writerow([place, replicas[place], *numbers])
    return text.getvalue().encode()


def structures_of(frames: Frames, index: NDArray[np.int64]) -> bytes:
    """The first of some frames as PDB, one model each, laid on each other without a box."""
    some = frames[index[:MOST_FRAMES]]
    if some.box is None:
        laid = superpose(np.asarray(some.positions, float), some.system.masses)
        some = Frames(some.system, laid, some.temperature)
    return _made("frames.pdb", lambda path: write(some, path))


def _made(name: str, make: Callable[[Path], object]) -> bytes:
    with tempfile.TemporaryDirectory(prefix="cgrec-view-") as folder:
        path = Path(folder) / name
        make(path)
        return path.read_bytes()
