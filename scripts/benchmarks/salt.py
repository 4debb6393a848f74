"""What a climb of `experiment=nacl` came to, beyond its report: python scripts/benchmarks/salt.py
runs/nacl

Compares level 1 with another run of its parent that it has not seen (--held-out), by radial
distributions, the height of the cation-anion contact peak and the activity derivative of
Kirkwood-Buff theory; prints the friction that `cgrec friction` found; measures how well energy is
conserved without thermostat, and simulated time a day against the all-atom parent in OpenMM (its
CPU platform, one thread).
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import one_site_water
import torch
from ase import units
from ase.md.verlet import VelocityVerlet

import cgrec
from cgrec.dynamics import Langevin
from cgrec.export.ase import PotentialCalculator, atoms_of
from cgrec.observables import activity_derivative, compare_liquids, liquid_table, rdf
from cgrec.potential import ScreenedCoulomb, SumPotential
from cgrec.units import thermal_energy


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--held-out", type=Path, help="npz of ions, as the parent's")
    parser.add_argument(
        "--pair",
        type=Path,
        help="csv of scripts/references/nacl_pair.py: one pair at infinite dilution",
    )
    parser.add_argument("--salt", default="Na,Cl", help="types of cation and anion")
    parser.add_argument("--length", type=float, default=100.0, help="ps without thermostat")
    parser.add_argument("--timestep", type=float, default=0.005, help="ps of that")
    parser.add_argument("--openmm", action="store_true", help="time the all-atom parent, too")
    parser.add_argument("--json", type=Path, help="write everything measured here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    level = cgrec.load(arguments.run).levels[1]
    kinds = arguments.salt.split(",")
    ensembles = {"level 1": level.frames, "parent": level.targets}
    if arguments.held_out:
        ensembles["held out"] = cgrec.read(
            arguments.held_out, length_unit="nm", force_unit="kJ/mol/nm"
        )
    found = {
        "explained": {
            k: level.report["training"][k]
            for k in ("explained_fraction", "explained_fraction_error")
        },
        "structure": structure(ensembles),
        "contact peak": {
            name: contact_peak(name, frames, kinds) for name, frames in ensembles.items()
        },
        "activity": {name: activity(name, frames, kinds) for name, frames in ensembles.items()},
        "conservation": conservation(level, arguments.length, arguments.timestep),
        "speed": speed(level, arguments.openmm),
    }
    if arguments.pair:
        found["pair"] = pair(level, arguments.pair, kinds)
    if (level.folder / "friction.json").exists():
        found["friction"] = json.loads((level.folder / "friction.json").read_text())
    one_site_water.keep(arguments.json, found)


def structure(ensembles: dict[str, cgrec.Frames]) -> list[dict]:
    """Every two ensembles; the parent's two runs say what its own error is."""
    names, rows = list(ensembles), []
    for k, model in enumerate(names):
        for reference in names[k + 1 :]:
            differences = compare_liquids(ensembles[model], ensembles[reference])
            rows += [
                {"level": model, "against": reference, **vars(d)}
                for d in differences
                if d.what == "g(r)"
            ]
    print(liquid_table(rows) + "\n")
    return rows


def pair(level: cgrec.Level, path: Path, kinds: list[str]) -> dict[str, list[float]]:
    """The level's potential of two ions alone, less its Coulomb sum, against the short-range part
    of the all-atom one; kT, with errors of the latter.
    """
    r, _, reference, error = np.loadtxt(path, delimiter=",", skiprows=1).T
    # beyond, W was put to its Coulomb energy
    inside = (r < 0.7) & (reference < reference.min() + 8)
    r, reference, error = r[inside], reference[inside], error[inside]
    ions = level.system.select([level.system.types.index(k) for k in kinds])
    positions = np.zeros((len(r) + 1, 2, 3))
    positions[:, 1, 0] = [*r, 2.0]
    parts = [p for p in level.potential.parts if not isinstance(p, ScreenedCoulomb)]
    energy, _ = SumPotential(parts).energy_and_forces(
        cgrec.Frames(ions, positions, level.frames.temperature)
    )
    model = (energy[:-1] - energy[-1]) / thermal_energy(level.frames.temperature)
    off, rms_error = model - reference, float(np.sqrt((error**2).mean()))
    contact, apart = (np.flatnonzero((r > a) & (r < b)) for a, b in ((0.24, 0.34), (0.42, 0.58)))
    rows = {"rms": [float(np.sqrt((off**2).mean())), rms_error]}
    for name, some in (("contact minimum", contact), ("solvent-separated minimum", apart)):
        k = some[np.argmin(reference[some])]
        rows[name] = [float(model[k]), float(reference[k]), float(error[k]), float(r[k])]
    print(
        f"short-range Na-Cl at infinite dilution: RMS difference {rows['rms'][0]:.3f} kT, of "
        f"the reference's own errors {rms_error:.3f} kT"
    )
    for name, (a, b, e, at) in list(rows.items())[1:]:  # type: ignore[misc]
        print(f"  {name}, {at:.3f} nm: {a:.2f}, all-atom {b:.2f} +- {e:.2f} kT")
    return rows | {
        "r": r.tolist(),
        "model": model.tolist(),
        "reference": reference.tolist(),
        "error": error.tolist(),
    }


def contact_peak(name: str, frames: cgrec.Frames, kinds: list[str]) -> list[float]:
    """Height of the first maximum of g(r) of cation and anion in bins of 5 pm, its error, and where
    it is, nm.
    """
    g = rdf(frames, *kinds, 0.6, 120)
    smooth = np.convolve(g.g, np.ones(3) / 3, mode="same")
    inner = np.arange(1, len(smooth) - 1)
    top = (
        (smooth[inner] >= smooth[inner - 1])
        & (smooth[inner] > smooth[inner + 1])
        & (smooth[inner] > 0.5)
    )
    first = int(inner[top][0])
    place = first - 1 + int(np.argmax(g.g[first - 1 : first + 2]))
    print(f"{name}: contact peak {g.g[place]:.3f} +- {g.error[place]:.3f} at {g.r[place]:.4f} nm")
    return [float(g.g[place]), float(g.error[place]), float(g.r[place])]


def activity(name: str, frames: cgrec.Frames, kinds: list[str]) -> list[float]:
    found = activity_derivative(frames, *kinds)
    print(f"{name}: d ln a / d ln rho = {found.value:.3f} +- {found.error:.3f}")
    return [found.value, found.error]


def conservation(level: cgrec.Level, length: float, timestep: float) -> dict[str, float]:
    """Drift of the total energy at constant energy, kT per degree of freedom, from a straight line
    through it.
    """
    frames, system = level.frames, level.system
    atoms = atoms_of(frames[:1])
    atoms.calc = PotentialCalculator(level.potential, system)
    spread = np.sqrt(frames.temperature * units.kB / atoms.get_masses())
    atoms.set_velocities(np.random.default_rng(1).normal(size=(len(atoms), 3)) * spread[:, None])
    energies: list[float] = []
    dynamics = VelocityVerlet(atoms, timestep=timestep * 1e3 * units.fs)
    dynamics.attach(lambda: energies.append(atoms.get_total_energy()), interval=10)
    dynamics.run(round(length / timestep))
    energy = np.array(energies) / (units.kJ / units.mol)
    time_axis = np.linspace(0, length, len(energy))
    share = thermal_energy(frames.temperature) * 3 * system.n_sites
    drift = float(np.polyfit(time_axis, energy, 1)[0] * length / share)
    ripple = float(energy.std() / share)
    print(
        f"constant energy, {length:g} ps at {1e3 * timestep:g} fs: drift {100 * drift:.4f} % "
        f"of kT per degree of freedom, scatter {100 * ripple:.4f} %"
    )
    return {"drift": drift, "scatter": ripple}


def speed(level: cgrec.Level, openmm: bool, timestep: float = 0.01) -> dict[str, float]:
    """ns a day on one thread: one box, sixteen together, and the parent."""
    found = {}
    for replicas in (1, 16):
        steps = 4000 // replicas
        run = Langevin(
            n_replicas=replicas,
            length=steps * timestep,
            save_every=50 * timestep,
            equilibration=0.0,
            timestep=timestep,
            compile=True,
        )
        with tempfile.TemporaryDirectory() as folder:
            _, report = run(level.potential, level.frames, Path(folder) / "run", seed=1)
        found[f"{replicas} box(es)"] = report.ns_per_day
    if openmm:
        found["all-atom OpenMM"] = all_atom()
    for name, value in found.items():
        print(f"{name}: {value:.0f} ns/day, one thread")
    return found


def all_atom(steps: int = 3000, timestep: float = 0.002) -> float:
    import sys

    from openmm import LangevinMiddleIntegrator, Platform, app

    sys.path.append(str(Path(__file__).parents[1] / "references"))
    from nacl_spce import TEMPERATURE, write_start

    with tempfile.TemporaryDirectory() as folder:
        write_start(Path(folder) / "start.pdb", np.random.default_rng(1))
        pdb = app.PDBFile(str(Path(folder) / "start.pdb"))
    system = app.ForceField("amber14/spce.xml").createSystem(
        pdb.topology, nonbondedMethod=app.PME, nonbondedCutoff=0.9, rigidWater=True
    )
    simulation = app.Simulation(
        pdb.topology,
        system,
        LangevinMiddleIntegrator(TEMPERATURE, 1.0, timestep),
        Platform.getPlatformByName("CPU"),
        {"Threads": "1"},
    )
    simulation.context.setPositions(pdb.positions)
    simulation.minimizeEnergy(maxIterations=200)
    simulation.step(500)
    begin = time.perf_counter()
    simulation.step(steps)
    simulation.context.getState(energy=True)
    return steps * timestep * 1e-3 / (time.perf_counter() - begin) * 86400


if __name__ == "__main__":
    main()
