"""One-site water for the benchmarks: frames from a file or generated, larger boxes of them, timing,
tables.
"""

import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import cgrec
from cgrec.potential import Potential
from cgrec.sources.network import replicated as replicated

CUTOFF = 0.6  # nm
MASS = 18.015  # amu


def read(path: Path) -> cgrec.Frames:
    """Frames of an npz with positions (nm), forces (kJ/mol/nm), box (nm) and temperature (K)."""
    with np.load(path) as data:
        arrays = {k: np.asarray(data[k]) for k in ("positions", "forces", "box")}
        return cgrec.Frames(
            system(arrays["positions"].shape[1]), temperature=float(data["temperature"]), **arrays
        )


def generated(
    n_frames: int = 40, per_side: int = 5, spacing: float = 0.31, seed: int = 0
) -> cgrec.Frames:
    """A soft liquid on a jittered lattice with the forces of a smooth repulsion: enough to train
    and time on.
    """
    rng = np.random.default_rng(seed)
    cells = np.stack(np.meshgrid(*[np.arange(per_side)] * 3, indexing="ij"), -1).reshape(-1, 3)
    side = per_side * spacing
    positions = cells * spacing + rng.normal(scale=0.04, size=(n_frames, len(cells), 3))
    forces = np.stack([_repulsion(frame, side) for frame in positions])
    return cgrec.Frames(system(len(cells)), positions, 300.0, forces=forces, box=np.eye(3) * side)


def _repulsion(
    positions: np.ndarray, side: float, reach: float = 0.45, strength: float = 400.0
) -> np.ndarray:
    apart = positions[:, None] - positions[None]
    apart -= side * np.round(apart / side)
    distance = np.linalg.norm(apart, axis=-1) + np.eye(len(positions))
    push = strength * np.maximum(1 - distance / reach, 0.0) / distance
    return (push[..., None] * apart).sum(1)


def system(n_sites: int) -> cgrec.System:
    """`n_sites` molecules of one site."""
    return cgrec.System(names=("W",) * n_sites, masses=np.full(n_sites, MASS))


def frozen(potential: Potential) -> Potential:
    """The same potential, its weights no longer asking for gradients."""
    return potential.requires_grad_(False)


def seconds_of(call: Callable[[], Any], budget: float = 0.3, most: int = 20) -> float:
    """Median seconds of one call, from as many as fit the budget (one at least, `most` at most)."""
    times: list[float] = []
    while not times or (sum(times) < budget and len(times) < most):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def interleaved(calls: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Values of each call, taken in turn so that whatever else the machine does hits all alike."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            found[name].append(call())
    return found


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns padded to one width each."""
    text = [[_cell(v) for v in row] for row in [head, *rows]]
    widths = [max(len(row[k]) for row in text) for k in range(len(head))]
    lines = ["  ".join(v.ljust(w) for v, w in zip(row, widths)).rstrip() for row in text]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def keep(path: Path | None, result: dict[str, Any]) -> None:
    """Write the result as json where a file was asked for."""
    if path is not None:
        path.write_text(json.dumps({"torch": torch.__version__, **result}, indent=1))
