"""`times_of`: when the frames of a trajectory file are, which Frames do not keep."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

#: Endings of formats that keep a time with each frame.
_TIMED = (".xtc", ".trr", ".dcd", ".h5md", ".nc", ".ncdf")


def times_of(path: str | Path) -> NDArray[np.float64] | None:
    """(n_frames,) ps; None for a format without times, or a file that does not tell them."""
    from MDAnalysis.coordinates.core import get_reader_for

    path = Path(path)
    if path.suffix.lower() not in _TIMED:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with get_reader_for(str(path))(str(path)) as reader:
                return np.array([step.time for step in reader], float)
        except (OSError, ValueError, TypeError, KeyError):
            return None
