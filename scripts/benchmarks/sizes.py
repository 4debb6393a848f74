"""Accuracy against cost of our network at several sizes: python scripts/benchmarks/sizes.py --data
WATER.npz

Each size is trained on the same frames of one-site water for the same time (compile time not
counted), judged by the explained force fraction of the last 15 % of the frames, and timed. A size
nobody beats in both is marked: the Pareto front. `peers.py` puts NequIP and MACE on the same axes.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import one_site_water as water
import torch

import cgrec
from cgrec.potential import DensityNetwork
from cgrec.training import ForceMatching

SIZES: list[dict[str, Any]] = [
    {"channels": 8, "l_max": 1, "width": 32},
    {"channels": 8, "l_max": 2, "width": 32},
    {"channels": 16, "l_max": 1},
    {"channels": 16, "l_max": 2},
    {"channels": 16, "l_max": 3},
    {"channels": 32, "l_max": 2},
    {"channels": 8, "l_max": 2, "n_layers": 2},
    {"channels": 16, "l_max": 2, "n_layers": 2},
    {"channels": 16, "l_max": 2, "n_radial": 12},
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="npz of one-site water (default: generated)")
    parser.add_argument("--json", type=Path, help="write everything measured here")
    parser.add_argument("--minutes", type=float, default=1.0, help="training time of each size")
    parser.add_argument("--quick", action="store_true", help="the two smallest, a few steps")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    frames = water.read(arguments.data) if arguments.data else water.generated()
    rows = [measure(frames, size, arguments) for size in (SIZES[:2] if arguments.quick else SIZES)]
    for row in rows:
        better = [r for r in rows if r["explained"] > row["explained"] and r["ms"] <= row["ms"]]
        row["front"] = "" if better else "*"
    head = ("size", "steps", "explained, %", "call, ms", "front")
    print(
        water.table(
            head, [[r["size"], r["steps"], 100 * r["explained"], r["ms"], r["front"]] for r in rows]
        )
    )
    water.keep(arguments.json, {"minutes": arguments.minutes, "rows": rows})


def measure(
    frames: cgrec.Frames, size: dict[str, Any], arguments: argparse.Namespace
) -> dict[str, Any]:
    """Train, judge and time one size."""
    last = round(0.85 * len(frames))
    training, held_out = frames[:last], frames[last:]
    steps = (
        4 if arguments.quick else round(60 * arguments.minutes / seconds_per_step(training, size))
    )
    fitted = train(training, size, steps)[0]
    wanted = np.asarray(held_out.need_forces(), float)
    error = fitted.energy_and_forces(held_out, batch_size=8)[1] - wanted
    graph, call = fitted.graph(frames[:1]), fitted.compiled()
    return {
        "size": ", ".join(f"{k} {v}" for k, v in size.items()),
        "steps": steps,
        "explained": float(1 - (error**2).sum() / (wanted**2).sum()),
        "ms": 1e3 * statistics.median(water.seconds_of(lambda: call(graph)) for _ in range(3)),
    }


def seconds_per_step(frames: cgrec.Frames, size: dict[str, Any]) -> float:
    """From a run of a few stretches, without the first."""
    seconds = train(frames, size, 150)[1]
    return statistics.median(np.diff(seconds)) / 30


def train(frames: cgrec.Frames, size: dict[str, Any], steps: int) -> tuple[Any, list[float]]:
    """Fitted network, and seconds at the end of each fifth of the steps."""
    options = ForceMatching(
        steps=steps,
        batch_size=1,
        validation_fraction=0.05,
        validate_every=max(1, steps // 5),
        patience=0,
        most_validation_frames=4,
        compile=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        network = DensityNetwork.for_frames(frames, cutoff=water.CUTOFF, **size)
        fitted, _ = options(network, frames, folder=Path(folder))
        lines = (Path(folder) / "training.csv").read_text().splitlines()[1:]
    return fitted, [float(line.split(",")[-1]) for line in lines]


if __name__ == "__main__":
    main()
