"""Is a checkout as fast as another: force call, training step, MD step and import, in turns.

    git worktree add /tmp/before COMMIT
    python scripts/benchmarks/before_after.py /tmp/before .

Each measurement is a process of its own on one thread that imports one of the two checkouts. The
two take turns, so that other work on the machine meets both; the ratio is old over new (above 1:
faster now), its error that of the mean over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

WORK = """
import json, sys, tempfile, time, warnings
begin = time.perf_counter()
import cgrec
from cgrec.cli import main
took = {"import": time.perf_counter() - begin}
warnings.simplefilter("ignore")
from pathlib import Path
import torch
from cgrec.dynamics import Langevin
from cgrec.potential import DensityNetwork, Potential
from cgrec.frames import Frames
from cgrec.sources import GaussianChainSource
from cgrec.training import ForceMatching

torch.set_num_threads(1)
scale = float(sys.argv[1])
place = Path(tempfile.mkdtemp())
(place / "fit").mkdir()
data = Path(cgrec.__file__).parent / "data" / "alanine_dipeptide_nnp"
atoms = Frames.load(data / "starts")
atoms = atoms[[k % len(atoms) for k in range(32)]]
nnp = Potential.load(data / "potential.pt").compiled()
graph = nnp.graph(atoms)
nnp(graph)
begin = time.perf_counter()
n = max(1, int(60 * scale))
for _ in range(n):
    nnp(graph)
took["force call, 32 x 22 atoms"] = (time.perf_counter() - begin) / n
frames = GaussianChainSource(n_sites=5, n_frames=2000).make(place / "chain", 1)
network = DensityNetwork.for_frames(frames, 1, cutoff=1.0, channels=8, width=32)
n = max(20, int(400 * scale))
fit = dict(steps=n, batch_size=64, validate_every=n, learning_rate=1e-3)
begin = time.perf_counter()
trained, _ = ForceMatching(**fit)(network, frames, priors=[], seed=1, folder=place / "fit", name="fit")
took["training step, 64 x 5 beads"] = (time.perf_counter() - begin) / n
n = max(20, int(2000 * scale))
run = Langevin(n_replicas=64, timestep=0.001, length=0.001 * n, save_every=0.1, equilibration=0.0, friction=1.0)
begin = time.perf_counter()
run(trained, frames, place / "run", seed=1)
took["MD step, 64 x 5 beads"] = (time.perf_counter() - begin) / n
print(json.dumps(took))
"""


def measure(checkout: Path, program: Sequence[str]) -> dict[str, float]:
    """Seconds of each thing in one process that imports `checkout`."""
    environment = os.environ | {"PYTHONPATH": str(checkout.resolve()), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *program],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{checkout}: the measurement failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def in_turns(
    checkouts: Sequence[Path], program: Sequence[str], rounds: int
) -> list[list[dict[str, float]]]:
    """What `measure` gives of the checkout before and of the one after, round by round."""
    took: list[list[dict[str, float]]] = [[], []]
    for k in range(rounds):
        for which in (0, 1) if k % 2 else (1, 0):
            took[which].append(measure(checkouts[which], program))
    return took


def show(took: list[list[dict[str, float]]]) -> None:
    """Print a line for each thing measured."""
    for name in took[0][0]:
        before, after = (np.array([one[name] for one in side]) for side in took)
        ratios = before / after
        rounds = len(ratios)
        error = ratios.std(ddof=1) / np.sqrt(rounds) if rounds > 1 else np.nan
        print(
            f"{name:30s} before {1e3 * before.min():9.3f} ms, after {1e3 * after.min():9.3f} ms, "
            f"before / after {ratios.mean():.3f} +- {error:.3f}, of the shortest "
            f"{before.min() / after.min():.3f}",
            flush=True,
        )


def main() -> None:
    """Compare two checkouts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="a few calls: does it run?")
    options = parser.parse_args()
    scale = 0.05 if options.quick else 1.0
    checkouts = (options.before, options.after)
    for checkout in checkouts:  # compiles what has to be compiled
        measure(checkout, ["-c", WORK, "0.05"])
    show(in_turns(checkouts, ["-c", WORK, str(scale)], 1 if options.quick else options.rounds))


if __name__ == "__main__":
    main()
