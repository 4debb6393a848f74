"""`ForceField` beside OpenMM: python scripts/benchmarks/force_field.py [--populations ala5]

Speed of a peptide (CLN025), of one core and process time, the two in turns: `Langevin` with all its
work at 4 fs and masses of 12 amu or more, the kernel alone, and OpenMM's CPU platform on one thread
at 4 fs with bonds to hydrogen held and hydrogens of 4 amu. "native" is amber99sb with
amber99_obc.xml, the one implicit solvent OpenMM's CPU platform has code of its own for; the others
are amber14 with the CustomGBForce of implicit/obc2.xml and gbn2.xml.

--populations: means of a peptide in OBC2 (native) from `Langevin` at two time steps, and from
OpenMM's LangevinMiddle runs at 2 fs with bonds to hydrogen held, true masses. Errors are those over
replicas. Potential energies leave out the bonds to hydrogen, which OpenMM's runs do not have.
alpha, beta, left: share of residues with (phi, psi) in (-130..0, -90..30), (phi < 0, the rest) and
phi > 0; helix: share of residues in runs of three or more alpha ones.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import openmm
import torch
from numpy.typing import NDArray
from one_site_water import interleaved, keep, table
from openmm import app

from cgrec import ForceField, Frames
from cgrec.dynamics import Langevin
from cgrec.geometry import dihedral
from cgrec.native import compiler_name, processor
from cgrec.sources import molecule
from cgrec.threads import use_threads

HOME = Path(__file__).resolve().parents[2] / "tests" / "data" / "peptides"
MODELS = {
    "vacuum": ["amber14-all.xml"],
    "native": ["amber99sb.xml", "amber99_obc.xml"],
    "obc2": ["amber14-all.xml", "implicit/obc2.xml"],
    "gbn2": ["amber14-all.xml", "implicit/gbn2.xml"],
}
DAY = 86_400


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--peptide", default="cln025", help="of tests/data/peptides, or a PDB file with hydrogens"
    )
    parser.add_argument("--replicas", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--populations", help="a peptide whose means to compare instead")
    parser.add_argument("--temperature", type=float, default=400.0, help="K, of --populations")
    parser.add_argument("--length", type=float, default=1000.0, help="ps of a replica")
    parser.add_argument("--openmm-length", type=float, default=1000.0, help="ps of an OpenMM run")
    parser.add_argument("--openmm-runs", type=int, default=8)
    parser.add_argument("--json", type=Path, help="write everything measured here")
    given = parser.parse_args()
    with use_threads(1):
        found = populations(given) if given.populations else speeds(given)
    keep(given.json, found)


def structure(peptide: str) -> Path:
    """The PDB file of a name."""
    path = Path(peptide)
    return path if path.suffix == ".pdb" else HOME / f"{peptide}.pdb"


# --- speed ------------------------------------------------------------------------------------------


def speeds(given: argparse.Namespace) -> dict[str, Any]:
    """ns/day of every model."""
    name, wide = processor_name()
    print(f"{given.peptide}, {given.replicas} replicas, one core of {name} ({wide}); ns/day")
    rows, found = [], {}
    for model in given.models:
        potential, start = molecule(structure(given.peptide), MODELS[model])
        runs = {
            "langevin": lambda p=potential, s=start: langevin_speed(p, s, given.replicas),
            "kernel": lambda p=potential, s=start: kernel_speed(p, s, given.replicas),
            "openmm": OpenMMSpeed(given.peptide, model),
        }
        speed = {k: float(np.median(v)) for k, v in interleaved(runs, given.repeats).items()}
        found[model] = speed
        ratio = speed["langevin"] / speed["openmm"]
        rows.append([model, *(round(speed[k]) for k in runs), round(ratio, 1)])
        print(
            table(["model", "Langevin", "kernel alone", "OpenMM", "ratio"], rows[-1:]), flush=True
        )
    print(table(["model", "Langevin", "kernel alone", "OpenMM", "ratio"], rows))
    return {"processor": name, "vectors": wide, "ns_per_day": found}


def processor_name() -> tuple[str, str]:
    """The processor, and the width of its vectors."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    name = next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")
    wide = "__AVX512F__" in processor(compiler_name())
    return name, "AVX-512" if wide else "less than AVX-512"


def langevin_speed(potential: ForceField, start: Frames, replicas: int, steps: int = 100) -> float:
    """ns/day of a run, its start and its files left out by the difference of two lengths."""
    seconds = []
    for n in (steps, 3 * steps):
        run = Langevin(
            n_replicas=replicas,
            length=n * 0.004,
            save_every=steps * 0.004,
            equilibration=0.0,
            timestep=0.004,
            minimum_mass=12.0,
            compile=True,
        )
        with tempfile.TemporaryDirectory() as folder, _silent():
            begin = time.process_time()
            run(potential, start, Path(folder) / "run", seed=0)
            seconds.append(time.process_time() - begin)
    return 2 * steps * replicas * 4e-6 * DAY / (seconds[1] - seconds[0])


class _silent:
    """Progress bars go nowhere."""

    def __enter__(self) -> None:
        self.stderr, sys.stderr = sys.stderr, open("/dev/null", "w")  # noqa: SIM115

    def __exit__(self, *_: object) -> None:
        sys.stderr.close()
        sys.stderr = self.stderr


def kernel_speed(potential: ForceField, start: Frames, replicas: int, calls: int = 50) -> float:
    """ns/day at 4 fs if there were forces alone."""
    fast = potential.compiled()
    noise = np.random.default_rng(0).normal(scale=0.005, size=(replicas, start.n_sites, 3))
    graph = fast.graph(replace(start, positions=np.asarray(start.positions) + noise))
    fast(graph)
    begin = time.process_time()
    for _ in range(calls):
        fast(graph)
    return calls * replicas * 4e-6 * DAY / (time.process_time() - begin)


class OpenMMSpeed:
    """ns/day of OpenMM's CPU platform on one thread, at 4 fs."""

    def __init__(self, peptide: str, model: str) -> None:
        self.simulation = simulation(
            peptide, model, timestep=0.004, temperature=300.0, hydrogen_mass=4.0
        )
        self.simulation.minimizeEnergy(maxIterations=50)
        self.simulation.step(50)

    def __call__(self, seconds: float = 4.0) -> float:
        steps, begin = 0, time.process_time()
        while time.process_time() - begin < seconds:
            self.simulation.step(50)
            steps += 50
        return steps * 4e-6 * DAY / (time.process_time() - begin)


def simulation(
    peptide: str,
    model: str,
    *,
    timestep: float,
    temperature: float,
    hydrogen_mass: float | None = None,
    seed: int = 1,
) -> app.Simulation:
    """OpenMM's, bonds to hydrogen held."""
    pdb = app.PDBFile(str(structure(peptide)))
    plain = app.ForceField(*MODELS[model]).createSystem(
        pdb.topology,
        nonbondedMethod=app.NoCutoff,
        constraints=app.HBonds,
        hydrogenMass=hydrogen_mass,
    )
    integrator = openmm.LangevinMiddleIntegrator(temperature, 1.0, timestep)
    integrator.setRandomNumberSeed(seed)
    platform = openmm.Platform.getPlatformByName("CPU")
    made = app.Simulation(pdb.topology, plain, integrator, platform, {"Threads": "1"})
    made.context.setPositions(pdb.positions)
    return made


# --- means ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Means:
    """Of one sample: {name: (value, standard error)}, and what it took."""

    numbers: dict[str, tuple[float, float]]
    ns: float
    seconds: float


def populations(given: argparse.Namespace) -> dict[str, Any]:
    """Means of a peptide by both programs."""
    potential, start = molecule(structure(given.populations), MODELS["native"])
    start = replace(start, temperature=given.temperature)
    measure = Measure(given.populations, start)
    samples: dict[str, Means] = {}
    for step in (0.002, 0.004):
        begin = time.process_time()
        frames = sampled(potential, start, given, step)
        seconds = time.process_time() - begin
        samples[f"Langevin {1000 * step:g} fs"] = measure(frames, seconds, given.length)
        shown(samples)
    begin = time.process_time()
    frames = openmm_sample(given, start)
    seconds = time.process_time() - begin
    samples["OpenMM 2 fs"] = measure(frames, seconds, given.openmm_length)
    shown(samples)
    return {name: vars(one) for name, one in samples.items()}


def shown(samples: dict[str, Means]) -> None:
    names = list(next(iter(samples.values())).numbers)
    rows = [
        [label, *(f"{v:.4g} +- {e:.2g}" for v, e in one.numbers.values()), one.ns, one.seconds]
        for label, one in samples.items()
    ]
    print(table(["", *names, "ns", "CPU s"], rows), flush=True)


def sampled(potential: ForceField, start: Frames, given: argparse.Namespace, step: float) -> Frames:
    """By `Langevin`, half as long again before the first frame that is kept."""
    run = Langevin(
        n_replicas=given.replicas,
        length=given.length,
        save_every=2.0,
        equilibration=given.length / 2,
        timestep=step,
        minimum_mass=12.0,
        keep_energies=True,
        compile=True,
        checkpoint_every=100,
    )
    with tempfile.TemporaryDirectory() as folder, _silent():
        frames, report = run(potential, start, Path(folder) / "run", seed=1)
        if report.lost:
            print("lost:", report.lost)
        return replace(
            frames, positions=np.array(frames.positions), replicas=np.array(frames.replicas)
        )


def openmm_sample(given: argparse.Namespace, start: Frames) -> Frames:
    """The same by OpenMM."""
    positions, replicas = [], []
    for k in range(given.openmm_runs):
        run = simulation(
            given.populations,
            "native",
            timestep=0.002,
            temperature=given.temperature,
            seed=k + 1,
        )
        run.minimizeEnergy(maxIterations=50)
        run.context.setVelocitiesToTemperature(given.temperature, k + 1)
        run.step(round(given.openmm_length / 2 / 0.002))
        for _ in range(round(given.openmm_length / 2.0)):
            run.step(1000)
            positions.append(run.context.getState(positions=True).getPositions(asNumpy=True)._value)
            replicas.append(k)
    return Frames(start.system, np.array(positions), given.temperature, replicas=np.array(replicas))


class Measure:
    """Means of a sample and their errors over replicas."""

    def __init__(self, peptide: str, start: Frames) -> None:
        pdb = app.PDBFile(str(structure(peptide)))
        plain = app.ForceField(*MODELS["native"]).createSystem(
            pdb.topology, nonbondedMethod=app.NoCutoff, constraints=None, rigidWater=False
        )
        light = start.system.masses < 1.5
        for force in plain.getForces():
            if isinstance(force, openmm.HarmonicBondForce):
                for k in range(force.getNumBonds()):
                    i, j, length, stiffness = force.getBondParameters(k)
                    stiff = 0.0 * stiffness if light[i] or light[j] else stiffness
                    force.setBondParameters(k, i, j, length, stiff)
        self.without = ForceField(plain, start.system)
        self.phi, self.psi = backbone(start)

    def __call__(self, frames: Frames, seconds: float, length: float) -> Means:
        bare = replace(frames, forces=None, energies=None)
        rows = {"PE": self.without.energy_and_forces(bare)[0], **self._regions(frames)}
        if frames.energies is not None:
            rows["PE, all bonds"] = np.array(frames.energies, float)
        runs = np.asarray(frames.replicas)
        numbers = {}
        for name, series in rows.items():
            means = np.array([series[runs == k].mean() for k in np.unique(runs)])
            error = means.std(ddof=1) / np.sqrt(len(means))
            numbers[name] = (float(series.mean()), float(error))
        return Means(numbers, len(np.unique(runs)) * length / 1000, round(seconds, 1))

    def _regions(self, frames: Frames) -> dict[str, NDArray[np.float64]]:
        x = np.asarray(frames.positions, float)
        phi, psi = (np.degrees(dihedral(x, sites)) for sites in (self.phi, self.psi))
        alpha = (phi > -130) & (phi < 0) & (psi > -90) & (psi < 30)
        left = phi >= 0
        runs = np.zeros_like(alpha)
        for k in range(alpha.shape[1] - 2):
            three = alpha[:, k : k + 3].all(1)
            runs[:, k : k + 3] |= three[:, None]
        regions = {"alpha": alpha, "beta": ~alpha & ~left, "left": left, "helix": runs}
        return {name: region.mean(1) for name, region in regions.items()}


def backbone(start: Frames) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sites of phi and of psi of every residue that has both, (n_residues, 4) each."""
    system = start.system
    at = {(int(r), n): k for k, (r, n) in enumerate(zip(system.residues, system.names))}
    phi, psi = [], []
    for r in sorted(set(system.residues.tolist())):
        names = [(r - 1, "C"), (r, "N"), (r, "CA"), (r, "C"), (r + 1, "N")]
        if all(name in at for name in names):
            sites = [at[name] for name in names]
            phi.append(sites[:4])
            psi.append(sites[1:])
    return np.array(phi), np.array(psi)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
