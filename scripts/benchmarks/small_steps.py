"""What steps of small models cost, in two checkouts in turns: dynamics of five beads and of a protein
of 269, training of five beads and of one-site water.

    git worktree add /tmp/before COMMIT
    python scripts/benchmarks/small_steps.py /tmp/before .

Each measurement is a process of its own on one thread, as in `before_after.py`; microseconds of its
CPU time, by the difference of two lengths, so that starts and files are left out:

* five beads (channels 8, width 32) x 256 replicas, a step of 4 fs: network, springs of bonds and
  angles, repulsion, a bias on both dihedrals, and a guard every 0.1 ps;
* a step of the optimiser: the same network on 64 frames, the default one on four of 343 molecules;
* 269 beads of 20 types, open, x 64 replicas, a step of 8 fs: the default network at 1 nm, springs of
  bonds, angles and dihedrals, repulsion, and a guard every 0.4 ps; nanoseconds a day of all replicas.

Weights are random and scaled to small forces: what a step costs does not depend on them.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path

import before_after
import numpy as np
import one_site_water
import torch
from numpy.typing import NDArray
from torch import Tensor

import cgrec
from cgrec.dynamics import BiasPlan, FeatureGuard, Guard, Langevin
from cgrec.potential import DensityNetwork, Potential, SumPotential, fit_priors
from cgrec.potential.graph import SiteGraph
from cgrec.training import ForceMatching

FIVE, SMALL = "five beads x 256, step", {"cutoff": 1.0, "channels": 8, "width": 32}
PROTEIN, REPLICAS, LONG_STEP = "269 beads x 64, step", 64, 0.008  # ps
BOND, CLOSEST, VOLUME = 0.38, 0.42, 0.135  # nm, nm, nm^3 a residue: a folded protein's


class Looks(Guard):
    """A guard that looks at every replica and lets it go on: random weights stop nobody."""

    def __init__(self, inner: Guard) -> None:
        self.inner = inner

    def score(self, graph: SiteGraph) -> Tensor:
        return self.inner.score(graph).clamp(max=0.9)


def five_beads(shorten: int) -> float:
    """Microseconds of a step."""
    atoms = cgrec.Frames.load(Path(cgrec.__file__).parent / "data/alanine_dipeptide_nnp/starts")
    backbone = [4, 6, 8, 14, 16]
    system = cgrec.System(["C1", "N1", "CA", "C2", "N2"], [12.0] * 5, bonds=chain(5))
    frames = cgrec.Frames(system, np.array(atoms.positions)[:, backbone], 300.0)
    bias = BiasPlan(
        variables={"phi": ["#0", "#1", "#2", "#3"], "psi": ["#1", "#2", "#3", "#4"]},
        growth=0.0,
        height=0.25,
        bias_factor=8,
    )
    network = DensityNetwork(types=list(system.types), energy_scale=0.01, **SMALL)
    priors = fit_priors(frames, types=network.types, cutoff=1.0)
    parts = [*priors, network]
    return step(parts, frames[:256], frames, 500 // shorten, 0.004, 0.1, bias)


def protein(shorten: int) -> float:
    """Microseconds of a step."""
    rng = np.random.default_rng(1)
    globule = grown(269, rng)
    x = globule + rng.normal(0, 0.015, (256, *globule.shape))
    types = [f"T{k % 20}" for k in range(269)]
    system = cgrec.System(types, [110.0] * 269, bonds=chain(269))
    frames = cgrec.Frames(system, x, 300.0)
    network = DensityNetwork(types=sorted(set(types)), cutoff=1.0, energy_scale=0.01)
    priors = fit_priors(frames, types=network.types, cutoff=1.0, dihedrals=True)
    parts = [*priors, network]
    return step(parts, frames[:REPLICAS], frames, 100 // shorten, LONG_STEP, 0.4, None)


def step(
    parts: list[Potential],
    start: cgrec.Frames,
    frames: cgrec.Frames,
    steps: int,
    timestep: float,
    save_every: float,
    bias: BiasPlan | None,
) -> float:
    """Microseconds of a step of a run, from twice `steps` less `steps`."""
    potential = SumPotential(parts)
    guard = Looks(FeatureGuard.fit(potential, frames))

    def run(n: int, folder: Path) -> None:
        options = Langevin(
            n_replicas=len(start),
            length=n * timestep,
            save_every=min(save_every, n * timestep),
            equilibration=0.0,
            timestep=timestep,
            friction=1.0,
            bias=bias,
            compile=True,
        )
        options(potential, start, folder / "run", seed=1, guard=guard)

    return apart(run, steps)


def training(frames: cgrec.Frames, batch: int, steps: int, **network: float) -> float:
    """Microseconds of a step of the optimiser."""

    def run(n: int, folder: Path) -> None:
        options = ForceMatching(
            steps=n,
            batch_size=batch,
            validate_every=n,
            patience=0,
            most_validation_frames=8,
            learning_rate=1e-3,
            compile=True,
        )
        options(DensityNetwork.for_frames(frames, 1, **network), frames, folder=folder)

    return apart(run, steps)


def five_beads_training(shorten: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        source = cgrec.sources.GaussianChainSource(n_sites=5, n_frames=2000)
        frames = source.make(Path(folder) / "chain", 1)
        return training(frames, 64, 400 // shorten, **SMALL)


def water_training(shorten: int) -> float:
    frames = one_site_water.generated(per_side=7)
    return training(frames, 4, 100 // shorten, cutoff=one_site_water.CUTOFF)


def apart(run: Callable[[int, Path], None], steps: int) -> float:
    """Microseconds of CPU time of a step, from twice `steps` less `steps`."""
    seconds = []
    for n in (10, steps, 2 * steps):  # the first compiles
        with tempfile.TemporaryDirectory() as folder, redirect_stderr(io.StringIO()):
            begin = time.process_time()
            run(n, Path(folder))
            seconds.append(time.process_time() - begin)
    return 1e6 * (seconds[2] - seconds[1]) / steps


def chain(n: int) -> list[tuple[int, int]]:
    return [(k, k + 1) for k in range(n - 1)]


def grown(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(n, 3) nm: a chain that keeps its distances and fills a sphere, grown bead by bead, some taken
    back where it is stuck.
    """
    radius = (n * VOLUME * 3 / (4 * np.pi)) ** (1 / 3)
    x = np.zeros((n, 3))
    k = 1
    while k < n:
        towards = rng.normal(size=(50, 3))
        tried = x[k - 1] + BOND * towards / np.linalg.norm(towards, axis=1, keepdims=True)
        near = np.linalg.norm(tried[:, None] - x[: max(k - 1, 0)], axis=2).min(1, initial=np.inf)
        fit = (near > CLOSEST) & (np.linalg.norm(tried, axis=1) < radius)
        if fit.any():
            x[k] = tried[fit.argmax()]
            k += 1
        else:
            k = max(1, k - int(rng.integers(2, 30)))
    return x


WORK = {
    FIVE: five_beads,
    "64 x 5 beads, training step": five_beads_training,
    "4 x 343 molecules, training step": water_training,
    PROTEIN: protein,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkouts", type=Path, nargs="*", help="the one before, the one after")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", type=int, nargs="*", help="numbers of what to measure, from 0")
    parser.add_argument("--quick", action="store_true", help="a few steps: does it run?")
    given = parser.parse_args()
    names = [name for k, name in enumerate(WORK) if given.only is None or k in given.only]
    shorten = 10 if given.quick else 1
    if not given.checkouts:  # one measurement, of whichever cgrec is imported
        warnings.simplefilter("ignore")
        torch.set_num_threads(1)
        print(json.dumps({name: 1e-6 * WORK[name](shorten) for name in names}))
        return
    again = [
        str(Path(__file__).resolve()),
        *sys.argv[1 + sys.argv.index(str(given.checkouts[-1])) :],
    ]
    took = before_after.in_turns(given.checkouts, again, 1 if given.quick else given.rounds)
    before_after.show(took)
    if PROTEIN in names:
        a_day = [
            86400 * REPLICAS * LONG_STEP / 1000 / np.median([t[PROTEIN] for t in side])
            for side in took
        ]
        print(f"269 beads x {REPLICAS}, ns a day: {', '.join(f'{x:.0f}' for x in a_day)}")


if __name__ == "__main__":
    main()
