"""What a step of our Langevin dynamics costs: python scripts/benchmarks/scaling.py [--data
WATER.npz]

On one thread, in turn: time per step of one-site water from one box to 4x4x4 boxes (the force call
of these also on two threads, by the clock), and the
exponent it grows with; the share of a step spent outside the force call; 64 five-bead peptides in
one batch against one by one; the time a simulated step and nanosecond costs against rigid all-atom
SPC/E in OpenMM (its CPU platform, PME 0.9 nm, 2 fs, as many molecules); and the kinetic temperature
at several time steps, which says how long a step may be.

Without --data a generated liquid stands in for water: fit for timing, not for judging time steps.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import one_site_water as water
import torch
from torch import Tensor

import cgrec
from cgrec.dynamics import Langevin
from cgrec.dynamics.guard import Guard
from cgrec.potential import DensityNetwork, HarmonicPrior, Potential
from cgrec.potential.graph import SiteGraph
from cgrec.training import ForceMatching

OPENMM_STEP = 0.002  # ps


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="npz of one-site water (default: generated)")
    parser.add_argument("--json", type=Path, help="write everything measured here")
    parser.add_argument("--repeats", type=int, default=5, help="rounds")
    parser.add_argument("--timestep", type=float, default=0.01, help="ps, of one-site water")
    parser.add_argument(
        "--timesteps", default="0.005,0.01,0.015,0.02", help="ps, to check by kinetic temperature"
    )
    parser.add_argument("--length", type=float, default=8.0, help="ps of each check")
    parser.add_argument(
        "--training-steps", type=int, default=600, help="of the network, two frames a batch"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small boxes, uncompiled, without OpenMM"
    )
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.repeats, arguments.length, arguments.training_steps = 2, 0.1, 5
    torch.set_num_threads(1)
    frames = (
        water.read(arguments.data)
        if arguments.data
        else water.generated(per_side=5 if arguments.quick else 7)
    )
    potential = trained(frames, arguments.training_steps)
    results = {
        "steps": sizes(potential, frames, arguments),
        "threads": threads(potential, frames, arguments),
        "peptides": peptides(arguments),
        "time steps": time_steps(potential, frames, arguments),
    }
    water.keep(arguments.json, results)


def trained(frames: cgrec.Frames, steps: int) -> Potential:
    """The default network after a short fit: good enough to run with."""
    options = ForceMatching(
        steps=steps,
        batch_size=2,
        validate_every=max(1, steps // 4),
        patience=0,
        most_validation_frames=8,
    )
    network = DensityNetwork.for_frames(frames, cutoff=water.CUTOFF)
    potential, report = options(network, frames)
    print(
        f"network: {steps} training steps, explained force fraction "
        f"{report.explained_fraction:.3f}\n"
    )
    return potential


class Timed(Potential):
    """A potential that remembers when its force calls began and ended, compiled or not."""

    def __init__(self, potential: Potential) -> None:
        super().__init__(types=potential.types, cutoff=potential.cutoff)
        self.inner = potential
        self.temperature = potential.temperature
        self.call: Callable[[SiteGraph], Any] = potential
        self.times: list[tuple[float, float]] = []

    def energy(self, graph: SiteGraph) -> Tensor:
        return self.inner.energy(graph)

    def forward(self, graph: SiteGraph, differentiable: bool = False) -> tuple[Tensor, Tensor]:
        begin = time.perf_counter()
        found = self.call(graph)
        self.times.append((begin, time.perf_counter()))
        return found

    def compiled(self) -> Potential:
        """Itself, from now on with the compiled force call."""
        if self.call is self.inner:
            self.call = self.inner.compiled()
        return self

    def per_step(self, skip: int = 3) -> tuple[float, float]:
        """(seconds of a step, of its force call), means over the steps after the first few."""
        begin, end = np.array(self.times[skip:]).T
        return (end[-1] - end[0]) / (len(end) - 1), float(np.mean(end[1:] - begin[1:]))


# -- sizes and OpenMM
# ----------------------------------------------------------------------------------------------


def sizes(
    potential: Potential, frames: cgrec.Frames, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Time per step for each size and in OpenMM, taken in turn."""
    water.frozen(potential)
    copies = (1, 2) if arguments.quick else (1, 2, 3, 4)
    runs = {c: MoleculeRun(potential, water.replicated(frames[:1], c), arguments) for c in copies}
    calls: dict[str, Callable[[], float]] = {str(run.sites): run for run in runs.values()}
    if not arguments.quick:
        calls["OpenMM"] = AllAtom(frames.n_sites, frames.temperature)
    found = water.interleaved(calls, arguments.repeats)
    outside = {str(run.sites): run.outside for run in runs.values()}
    show_sizes(found, outside)
    if "OpenMM" in found:
        show_against_all_atom(
            found[str(frames.n_sites)], found["OpenMM"], arguments.timestep, frames.n_sites
        )
    return {
        "seconds_per_step": found,
        "share_outside_force_call": outside,
        "timestep": arguments.timestep,
    }


def threads(
    potential: Potential, frames: cgrec.Frames, arguments: argparse.Namespace
) -> dict[str, list[float]]:
    """Seconds of a force call on one and on two threads, taken in turn."""
    call = potential if arguments.quick else potential.compiled()
    calls: dict[str, Callable[[], float]] = {}
    for copies in (1, 2) if arguments.quick else (1, 2, 4):
        graph = call.graph(water.replicated(frames[:1], copies))

        def seconds(number: int, graph: SiteGraph = graph) -> float:
            torch.set_num_threads(number)
            try:
                return water.seconds_of(lambda: call(graph))
            finally:
                torch.set_num_threads(1)

        for number in (1, 2):
            calls[f"{len(graph.species)} sites, {number}"] = partial(seconds, number)
    found = water.interleaved(calls, arguments.repeats)
    rows = []
    for name in list(found)[::2]:
        sites = name.partition(",")[0]
        one, two = (statistics.median(found[f"{sites}, {n}"]) for n in (1, 2))
        rows.append([sites, 1e3 * one, 1e3 * two, one / two])
    print(water.table(["force call", "ms, 1 thread", "2 threads", "1 over 2"], rows), end="\n\n")
    return found


class MoleculeRun:
    """A short run of one-site water, seconds per step; keeps the share of each step outside the
    force call.
    """

    def __init__(
        self, potential: Potential, start: cgrec.Frames, arguments: argparse.Namespace
    ) -> None:
        self.timed = Timed(potential)
        self.start = start
        self.sites = start.n_sites
        self.outside = []
        steps = int(np.clip(60_000 // start.n_sites, 20, 100))
        dt = arguments.timestep
        self.langevin = Langevin(
            n_replicas=1,
            length=steps * dt,
            save_every=10 * dt,
            equilibration=0.0,
            timestep=dt,
            compile=not arguments.quick,
        )

    def __call__(self) -> float:
        self.timed.times.clear()
        simulate(self.langevin, self.timed, self.start)
        step, force = self.timed.per_step()
        self.outside.append(1 - force / step)
        return step


class AllAtom:
    """Rigid SPC/E, PME, on one thread of OpenMM's CPU platform; seconds per step."""

    def __init__(self, molecules: int, temperature: float) -> None:
        import openmm
        from openmm import app, unit

        field = app.ForceField("amber14/spce.xml")
        modeller = app.Modeller(app.Topology(), [] * unit.nanometer)
        modeller.addSolvent(field, model="spce", numAdded=molecules)
        system = field.createSystem(
            modeller.topology,
            nonbondedMethod=app.PME,
            nonbondedCutoff=0.9 * unit.nanometer,
            rigidWater=True,
        )
        integrator = openmm.LangevinMiddleIntegrator(temperature, 1.0, OPENMM_STEP)
        platform = openmm.Platform.getPlatformByName("CPU")
        self.simulation = app.Simulation(
            modeller.topology, system, integrator, platform, {"Threads": "1"}
        )
        self.simulation.context.setPositions(modeller.positions)
        self.simulation.minimizeEnergy(maxIterations=100)
        self.simulation.step(500)

    def __call__(self, steps: int = 300) -> float:
        begin = time.perf_counter()
        self.simulation.step(steps)
        self.simulation.context.getState(energy=True)  # waits for the last step
        return (time.perf_counter() - begin) / steps


def show_sizes(found: dict[str, list[float]], outside: dict[str, list[float]]) -> None:
    median = {n: statistics.median(found[n]) for n in outside}
    print(
        water.table(
            ["sites", "ms a step, median", "fastest", "us a site", "outside the force call, %"],
            [
                [
                    n,
                    1e3 * median[n],
                    1e3 * min(found[n]),
                    1e6 * median[n] / int(n),
                    100 * statistics.median(outside[n]),
                ]
                for n in outside
            ],
        )
    )
    exponents = [exponent({n: f(found[n]) for n in outside}) for f in (statistics.median, min)]
    print(
        "time per step grows with sites to the power {:.3f} (medians), {:.3f} (fastest)\n".format(
            *exponents
        )
    )


def exponent(seconds: dict[str, float]) -> float:
    """Slope of log time over log sites."""
    return float(
        np.polyfit(np.log([int(n) for n in seconds]), np.log(list(seconds.values())), 1)[0]
    )


def show_against_all_atom(
    ours: list[float], theirs: list[float], timestep: float, sites: int
) -> None:
    rows = []
    for name, seconds, dt in (
        ("one site, ours", ours, timestep),
        ("all atoms, OpenMM", theirs, OPENMM_STEP),
    ):
        median = statistics.median(seconds)
        rows.append([name, 1e3 * dt, 1e3 * median, 1e3 * min(seconds), 86.4 * dt / median])
    print(
        water.table(
            [f"{sites} molecules", "fs a step", "ms a step, median", "fastest", "ns/day"], rows
        )
    )
    per_step = [f(theirs) / f(ours) for f in (statistics.median, min)]
    per_time = [r * timestep / OPENMM_STEP for r in per_step]
    print(
        f"OpenMM's time over ours: {per_step[0]:.3g} a step, {per_time[0]:.3g} a simulated "
        "time (medians);",
        end=" ",
    )
    print(f"{per_step[1]:.3g} and {per_time[1]:.3g} (fastest)\n")


def simulate(
    langevin: Langevin, potential: Potential, start: cgrec.Frames, guard: Guard | None = None
) -> Any:
    """Run, keep the report only."""
    with tempfile.TemporaryDirectory() as folder:
        return langevin(potential, start, Path(folder) / "run", guard=guard)[1]


# -- peptides
# ------------------------------------------------------------------------------------------------------


def peptides(arguments: argparse.Namespace, replicas: int = 64) -> dict[str, Any]:
    """Many peptides in one batch against as many runs one after the other."""
    potential, frames = five_beads()
    found: dict[str, dict[str, list[float]]] = {}
    for name in ("eager",) if arguments.quick else ("eager", "compiled"):
        calls = {
            str(n): peptide_run(potential, frames, n, name == "compiled") for n in (1, replicas)
        }
        # A compiled run compiles anew: its rounds are stretches of one run.
        rounds = water.interleaved(calls, arguments.repeats if name == "eager" else 1)
        found[name] = {n: [t for times in values for t in times] for n, values in rounds.items()}
    print(
        water.table(
            [
                "five beads",
                "ms a step, 1 replica",
                f"{replicas} replicas",
                f"{replicas} one by one / in a batch",
            ],
            [
                [
                    name,
                    1e3 * (one := statistics.median(v["1"])),
                    1e3 * (many := statistics.median(v[str(replicas)])),
                    replicas * one / many,
                ]
                for name, v in found.items()
            ],
        ),
        end="\n\n",
    )
    return found


def peptide_run(
    potential: Potential, frames: cgrec.Frames, replicas: int, compiled: bool
) -> Callable[[], list[float]]:
    stride, stretches, dt = 20, 6, 0.002
    langevin = Langevin(
        n_replicas=replicas,
        length=stride * stretches * dt,
        save_every=stride * dt,
        equilibration=0.0,
        timestep=dt,
        compile=compiled,
    )

    def run() -> list[float]:
        watch = Stopwatch()
        simulate(langevin, potential, frames, watch)
        return (np.diff(watch.times)[1:] / stride).tolist()

    return run


class Stopwatch(Guard):
    """Stops nobody; remembers when it was asked, once per saved frame."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def score(self, graph: SiteGraph) -> Tensor:
        self.times.append(time.perf_counter())
        return torch.zeros(graph.n_frames)


def five_beads(n_frames: int = 50) -> tuple[Potential, cgrec.Frames]:
    """A chain held by bond and angle priors under an untrained network, in an open box."""
    names = ("C1", "N1", "CA", "C2", "N2")
    system = cgrec.System(
        names=names, masses=np.full(5, 14.0), bonds=[(k, k + 1) for k in range(4)]
    )
    zigzag = np.array([[0.12 * k, 0.08 * (k % 2), 0.02 * k * k] for k in range(5)])
    positions = zigzag + np.random.default_rng(0).normal(scale=0.005, size=(n_frames, 5, 3))
    frames = cgrec.Frames(system, positions, 300.0, forces=np.ones_like(positions))
    network = DensityNetwork.for_frames(frames, cutoff=1.0)
    types = network.types
    return water.frozen(
        HarmonicPrior.fit(frames, types, 2) + HarmonicPrior.fit(frames, types, 3) + network
    ), frames


# -- time steps
# ----------------------------------------------------------------------------------------------------


def time_steps(
    potential: Potential, frames: cgrec.Frames, arguments: argparse.Namespace
) -> dict[str, Any]:
    """Kinetic temperature at each time step; stable is what loses no replica and stays within 2 %
    or three errors.
    """
    found = {}
    for dt in map(float, arguments.timesteps.split(",")):
        langevin = Langevin(
            n_replicas=4,
            length=arguments.length,
            save_every=max(0.1, 2 * dt) if not arguments.quick else 2 * dt,
            equilibration=arguments.length / 4,
            timestep=dt,
            use_lost=True,  # a time step that loses all is a result
        )
        report = simulate(langevin, potential, frames)
        kelvin, error = report.kinetic_temperature
        off = abs(kelvin - frames.temperature)
        stable = not report.lost and bool(off < max(0.02 * frames.temperature, 3 * error))
        found[f"{1e3 * dt:g}"] = {
            "kelvin": kelvin,
            "error": error,
            "lost": len(report.lost),
            "stable": stable,
        }
    print(
        water.table(
            ["fs a step", "kinetic temperature, K", "+-", "replicas lost, of 4", "stable"],
            [
                [dt, v["kelvin"], v["error"], v["lost"], "yes" if v["stable"] else "no"]
                for dt, v in found.items()
            ],
        )
    )
    good = [float(dt) for dt, v in found.items() if v["stable"]]
    print(
        f"longest stable time step tried: {max(good):g} fs"
        if good
        else "none of the time steps tried is stable"
    )
    return found


if __name__ == "__main__":
    main()
