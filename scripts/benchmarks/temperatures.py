"""A PMF of several temperatures, W = E - T S, run at each of them beside its parent.

    python scripts/benchmarks/temperatures.py runs/temperatures

Ten alanines, all atoms in implicit solvent, on ladders from 350 to 490 K; alpha carbons of all
temperatures train one level (`potential=energy_entropy`). It runs at each rung, with the part of its
entropy and without (the PMF of 350 K at another temperature). Printed: the excess divergence of pair
distances and of the distance of the ends from the parent's frames of that rung.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import one_site_water

import cgrec
from cgrec.dynamics import Langevin
from cgrec.frames import Frames
from cgrec.level import Level
from cgrec.observables import pair_distance_divergence
from cgrec.observables.free_energy import compare_distributions
from cgrec.variables import CollectiveVariable

COLDEST = 350
LADDER = "{_target_: cgrec.dynamics.Exchange, highest: 1.4, rungs: 4, every: 50, keep: all}"
#: What is left out of the experiment, and what stands in its place.
SETTINGS = [
    "experiment=helix",
    "potential@levels.l1.potential=energy_entropy",
    f"source.temperature={COLDEST}",
    f"source.dynamics.exchange={LADDER}",
    "source.dynamics.keep_energies=true",
    "levels.l1.mean_forces=null",
    "~levels.l2",
    "threads=1",
    "go_on=true",
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--length", type=float, default=500.0, help="ps of each replica of level 0")
    parser.add_argument("--run", type=float, default=100.0, help="ps of each replica of the level")
    parser.add_argument("--json", type=Path, help="write the numbers here, too")
    options = parser.parse_args()
    run = options.out / "climb"
    settings = [*SETTINGS, f"source.dynamics.length={options.length}", f"run={run}"]
    subprocess.run([sys.executable, "-m", "cgrec", "climb", *settings], check=True)
    level = cgrec.load(run).levels[1]
    rows = [row(level, rung, options) for rung in np.unique(level.targets.temperatures.round(2))]
    one_site_water.keep(options.json, {"rows": rows})


def row(level: Level, kelvin: float, options: argparse.Namespace) -> dict[str, object]:
    """Both runs at one temperature beside the parent's frames of it."""
    parent = at_rung(level.targets, kelvin)
    folder = options.out / f"{kelvin:.0f}"
    found: dict[str, object] = {"kelvin": kelvin, "parent": ends(parent)}
    runs = {
        "with entropy": level.run(to=folder, temperature=kelvin, length=options.run),
        "without": without_entropy(level, kelvin, options.run, folder.with_suffix(".without")),
    }
    for name, frames in runs.items():
        pairs = pair_distance_divergence(frames, parent).divergence
        far = compare_distributions(frames, parent, [ENDS], bins=32).divergence
        found[name] = {
            "ends": ends(frames),
            "pairs": (pairs.js - pairs.floor, pairs.error),
            "distance of ends": (far.js - far.floor, far.error),
        }
    print(found, flush=True)
    return found


ENDS = CollectiveVariable("ends", ("ALA2:CA", "ALA11:CA"))


def ends(frames: Frames) -> tuple[float, float]:
    """Mean distance of the ends, nm, and its error over blocks of replicas."""
    blocks = [float(ENDS.of(block).mean()) for block in frames.blocks(8)]
    return float(np.mean(blocks)), float(np.std(blocks, ddof=1) / np.sqrt(len(blocks)))


def at_rung(frames: Frames, kelvin: float) -> Frames:
    """Those sampled at this temperature."""
    own = abs(np.asarray(frames.temperatures) - kelvin) < 0.1
    return replace(frames[own], temperature=kelvin, weights=None, temperatures=None)


def without_entropy(level: Level, kelvin: float, length: float, folder: Path) -> Frames:
    """A run of the PMF of the coldest rung at another temperature."""
    if not folder.exists():
        engine = Langevin(
            length=length, save_every=1, equilibration=20, timestep=0.008, other_temperature=True
        )
        start = replace(level.frames, temperature=kelvin, forces=None)
        engine(level.potential, start, folder, seed=1)
    return Frames.load(folder)


if __name__ == "__main__":
    main()
