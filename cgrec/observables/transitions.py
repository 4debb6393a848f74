"""How often runs go from one state to another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Transitions:
    """Passages between a low and a high state, counted with hysteresis.

    Attributes:
        up: passages from low to high, of all replicas.
        down: passages from high to low.
        round_trips: low to high and back, or high to low and back, one after the other: half the
            passages of each replica, rounded down.
        by_replica: (n_replicas, 2) passages up and down of each.
        error: standard error of `up + down`, from the scatter over replicas; nan for one.
    """

    up: int
    down: int
    round_trips: int
    by_replica: NDArray[np.int64]
    error: float

    def to_json(self) -> dict[str, object]:
        """Plain numbers."""
        return {
            "up": self.up,
            "down": self.down,
            "round_trips": self.round_trips,
            "error": self.error if np.isfinite(self.error) else None,
        }


def transitions(
    series: ArrayLike, low: float, high: float, replicas: ArrayLike | None = None
) -> Transitions:
    """Count passages: a run is in the low state once it was below `low`, and stays there until it
    is above `high`; between the two it is where it was last. What never reached either is in none.

    Of RMSD with low 0.1 and high 0.4 nm, `down` are foldings and `up` unfoldings. The hysteresis
    keeps fluctuations at the barrier from being counted.

    Args:
        series: (n_frames,) values, in time order within each replica.
        low, high: borders of the two states; low <= high.
        replicas: (n_frames,) of each value; None: one run.

    Raises:
        ValueError: low above high, a value that is no number, or other lengths.
    """
    x = np.asarray(series, float)
    if not low <= high:
        raise ValueError(f"transitions: expected low <= high, found {low} and {high}")
    if x.ndim != 1 or not np.isfinite(x).all():
        raise ValueError(f"transitions: expected (n_frames,) finite values, found {x.shape}")
    labels = np.zeros(len(x), int) if replicas is None else np.asarray(replicas)
    if labels.shape != x.shape:
        raise ValueError(f"transitions: expected a replica for each value, found {labels.shape}")
    counts = np.array([_passages(x[labels == r], low, high) for r in np.unique(labels)], np.int64)
    passages = counts.sum(1)
    n = len(counts)
    error = float(passages.std(ddof=1) * np.sqrt(n)) if n > 1 else float("nan")
    up, down = counts.sum(0).tolist()
    return Transitions(up, down, int((passages // 2).sum()), counts, error)


def _passages(x: NDArray[np.float64], low: float, high: float) -> tuple[int, int]:
    """Of one run, up and down."""
    states = np.where(x < low, -1, np.where(x > high, 1, 0))
    states = states[states != 0]
    steps = np.diff(states)
    return int((steps > 0).sum()), int((steps < 0).sum())
