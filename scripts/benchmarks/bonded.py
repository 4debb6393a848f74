"""What bonded priors cost in a chain of alpha carbons: python scripts/benchmarks/bonded.py

Ten beads x 128 replicas on one thread: a `DensityNetwork` with random weights, repulsion between
beads, and the bonded priors as a climb fits them to a made-up sample (springs of bonds and angles,
walls where their samples end, dihedrals). Once with the priors in torch by autograd, once in one
compiled pass, in turns; microseconds of CPU time, of a force call and of a step of `Langevin`.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path

import numpy as np
from force_field import processor_name
from numpy.typing import NDArray
from one_site_water import interleaved, keep, table

from cgrec import Frames, System
from cgrec.dynamics import Langevin
from cgrec.potential import DensityNetwork, Potential, SumPotential, fit_priors
from cgrec.potential.bonded_kernel import CompiledBonded, is_known
from cgrec.threads import use_threads

TYPES = ["CA"]
BOND = 0.38  # nm
#: ps
TIMESTEP = 0.005


class PriorsInTorch(SumPotential):
    """A sum whose bonded priors stay as they are: what a step was before."""

    def compiled(self) -> Potential:
        return SumPotential([p if is_known(p) else p.compiled() for p in self.parts])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--beads", type=int, default=10)
    parser.add_argument("--replicas", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write everything measured here")
    given = parser.parse_args()
    frames = sample(given.beads, 4000)
    parts = [
        *fit_priors(frames, types=TYPES, cutoff=1.0, dihedrals=True),
        DensityNetwork(types=TYPES, cutoff=1.0, energy_scale=5.0),
    ]
    start = frames[: given.replicas]
    with use_threads(1):
        found = measured(parts, start, given.repeats)
    about, vectors = processor_name()
    print(f"{given.beads} beads x {given.replicas} replicas, one thread of {about} ({vectors})")
    print(", ".join(type(part).__name__ for part in parts))
    print(table(["microseconds", *found["before"]], [[k, *v.values()] for k, v in found.items()]))
    before, after = (found[k]["bonded"] / found[k]["step"] for k in ("before", "after"))
    print(f"bonded priors: {after:.1%} of a step, before {before:.0%}")
    keep(given.json, {"processor": about, "vectors": vectors, "microseconds": found})


def measured(parts: list[Potential], start: Frames, repeats: int) -> dict[str, dict[str, float]]:
    """{before or after: {what: microseconds}}."""
    sums = {"before": PriorsInTorch(parts), "after": SumPotential(parts)}
    calls: dict[str, Callable[[], float]] = {}
    for name, potential in sums.items():
        compiled = potential.compiled()
        graph = potential.graph(start)
        priors = SumPotential(
            [p for p in compiled.parts if is_known(p) or isinstance(p, CompiledBonded)]
        )
        calls[f"{name} bonded"] = partial(call, partial(priors, graph))
        calls[f"{name} call"] = partial(call, partial(compiled, graph))
        calls[f"{name} step"] = partial(step, potential, start)
    found = {k: float(np.median(v)) for k, v in interleaved(calls, repeats).items()}
    return {
        name: {what: found[f"{name} {what}"] for what in ("bonded", "call", "step")}
        for name in sums
    }


def call(function: Callable[[], object], n: int = 100) -> float:
    """Microseconds of CPU time."""
    function()
    begin = time.process_time()
    for _ in range(n):
        function()
    return 1e6 * (time.process_time() - begin) / n


def step(potential: Potential, start: Frames, steps: int = 100) -> float:
    """Microseconds of CPU time of a step of a run, its start and its files left out by the
    difference of two lengths.
    """
    seconds = []
    for n in (steps, 3 * steps):
        run = Langevin(
            n_replicas=len(start),
            length=n * TIMESTEP,
            save_every=steps * TIMESTEP,
            equilibration=0.0,
            timestep=TIMESTEP,
            friction=5.0,
            compile=True,
        )
        with tempfile.TemporaryDirectory() as folder, redirect_stderr(io.StringIO()):
            begin = time.process_time()
            run(potential, start, Path(folder) / "run")
            seconds.append(time.process_time() - begin)
    return 1e6 * (seconds[1] - seconds[0]) / (2 * steps)


def sample(n: int, n_frames: int, seed: int = 0) -> Frames:
    """Chains whose bonds are normal, whose angles fill 85 to 150 degrees and whose dihedrals have
    two wells.
    """
    rng = np.random.default_rng(seed)
    lengths = rng.normal(BOND, 0.005, (n_frames, n - 1))
    angles = np.radians(rng.uniform(85, 150, (n_frames, n - 2)))
    wells = np.radians(rng.choice([50.0, 190.0], (n_frames, n - 3)))
    dihedrals = wells + rng.normal(0, 0.4, wells.shape)
    system = System(["CA"] * n, [113.0] * n, bonds=[(k, k + 1) for k in range(n - 1)])
    return Frames(system, built(lengths, angles, dihedrals), 300.0)


def built(
    lengths: NDArray[np.float64], angles: NDArray[np.float64], dihedrals: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n_frames, n_sites, 3) chains with these internal coordinates."""
    n_frames, n = len(lengths), lengths.shape[1] + 1
    x = np.zeros((n_frames, n, 3))
    x[:, 1, 0] = lengths[:, 0]
    last = np.tile([1.0, 0.0, 0.0], (n_frames, 1))
    across = np.tile([0.0, 1.0, 0.0], (n_frames, 1))
    for k in range(2, n):
        if k > 2:
            normal = np.cross(last, across)
            turn = dihedrals[:, k - 3, None]
            across = -np.cos(turn) * across - np.sin(turn) * normal
        bend = angles[:, k - 2, None]
        ahead = -np.cos(bend) * last + np.sin(bend) * across
        x[:, k] = x[:, k - 1] + lengths[:, k - 1, None] * ahead
        # what is across the new bond, in the plane of the two
        across, last = np.cos(bend) * across + np.sin(bend) * last, ahead
    return x


if __name__ == "__main__":
    main()
