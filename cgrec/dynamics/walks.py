"""Walks of replicas over the rungs of a ladder of temperatures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def round_trips(rungs: NDArray[np.integer], top: int) -> NDArray[np.int64]:
    """(n_walkers,) how often each came down to rung 0 again after it was on the highest.

    Args:
        rungs: (n_times, n_walkers) rung of each at each time.
        top: number of the highest rung.
    """
    ends = np.where(rungs == 0, 0, np.where(rungs == top, 1, -1))
    return np.array([_downs(walk[walk >= 0]) for walk in ends.T], np.int64)


def _downs(ends: NDArray[np.int64]) -> int:
    """How often 0 follows 1, counted from the first 0: only from there on is a trip whole."""
    begin = np.flatnonzero(ends == 0)
    return 0 if len(begin) == 0 else int((np.diff(ends[begin[0] :]) == -1).sum())
