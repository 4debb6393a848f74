"""SPC/E water at constant pressure, or at several densities, mapped to one site a molecule: the
parents of scripts/benchmarks/pressure.py and scripts/benchmarks/densities.py.

    python scripts/references/spce_at_pressure.py water_npt.npz --length 600
    python scripts/references/spce_at_pressure.py water.npz --densities 32.4 33.4 34.4 --length 150

500 rigid molecules at 298 K, PME to 0.9 nm, 2 fs, Langevin middle 1/ps, Monte Carlo barostat; centres of
mass, the forces on them, and the box every 0.5 ps, after 50 ps from a lattice. One thread makes some
40 ps a minute. What is there is written every 50 ps; it is a run of minutes and begins anew.
"""

import argparse
from pathlib import Path

import numpy as np
import openmm
from openmm import app, unit

from cgrec.units import PRESSURE, thermal_energy

MOLECULES, TEMPERATURE, STEP = 500, 298.0, 0.002  # -, K, ps
EVERY, FIRST = 250, 25_000  # steps between frames, and before the first
MASSES = np.array([15.9994, 1.008, 1.008])
#: Change of every length by which the pressure is found: smaller ones drown in single precision.
STRAIN = 2e-3
WATER = np.array([[0, 0, 0], [0.081649, 0.057736, 0], [-0.081649, 0.057736, 0]])  # nm


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="npz to be made")
    parser.add_argument("--length", type=float, default=600.0, help="ps that are kept")
    parser.add_argument("--pressure", type=float, default=1.0, help="bar")
    parser.add_argument(
        "--densities", type=float, nargs="+", help="molecules per nm^3, in place of a pressure"
    )
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    frames: list[dict[str, np.ndarray | float]] = []
    for k, density in enumerate(options.densities or [None]):
        sample(options, frames, density, options.seed + k)


def sample(
    options: argparse.Namespace,
    frames: list[dict[str, np.ndarray | float]],
    density: float | None,
    seed: int,
) -> None:
    """Append the frames of one run; at constant pressure without a density."""
    context = started(options.pressure if density is None else None, density, seed)
    total = round(options.length / STEP / EVERY)
    for k in range(total):
        context.getIntegrator().step(EVERY)
        frames.append(frame(context))
        if density is not None:
            frames[-1]["pressure"] = pressure(context)
        if (k + 1) % 100 == 0 or k + 1 == total:
            keep(options.out, frames)
            said = np.linalg.det([f["box"] for f in frames[-k - 1 :]]).mean()
            line = f"{k + 1} of {total} frames, {MOLECULES / said:.3f} molecules per nm^3"
            if density is not None:
                line += f", {np.mean([f['pressure'] for f in frames[-k - 1 :]]):.0f} bar"
            print(line, flush=True)


def started(bar: float | None, density: float | None, seed: int) -> openmm.Context:
    """Relaxed from a lattice and run until it has forgotten it."""
    topology, positions = lattice(density)
    field = app.ForceField("amber14/spce.xml")
    system = field.createSystem(
        topology,
        nonbondedMethod=app.PME,
        nonbondedCutoff=0.9 * unit.nanometer,
        rigidWater=True,
    )
    if bar is not None:
        system.addForce(openmm.MonteCarloBarostat(bar, TEMPERATURE, 25))
    integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE, 1.0, STEP)
    integrator.setRandomNumberSeed(seed)
    platform = openmm.Platform.getPlatformByName("CPU")
    context = openmm.Context(system, integrator, platform, {"Threads": "1"})
    context.setPositions(positions)
    openmm.LocalEnergyMinimizer.minimize(context, 10.0, 300)
    context.setVelocitiesToTemperature(TEMPERATURE, seed)
    integrator.step(FIRST)
    return context


def lattice(density: float | None = None) -> tuple[app.Topology, np.ndarray]:
    """Molecules in parallel on a cubic lattice, a tenth wider than the liquid without a density."""
    side = int(np.ceil(MOLECULES ** (1 / 3)))
    edge = 1.03 * (MOLECULES / 33.4) ** (1 / 3)
    if density is not None:
        edge = (MOLECULES / density) ** (1 / 3)
    topology, element = app.Topology(), app.element.Element.getBySymbol
    topology.setPeriodicBoxVectors(edge * np.eye(3) * unit.nanometer)
    chain, positions = topology.addChain(), []
    places = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)
    for place in places[:MOLECULES]:
        residue = topology.addResidue("HOH", chain)
        oxygen, *hydrogens = (
            topology.addAtom(name, element(name[0]), residue) for name in ("O", "H1", "H2")
        )
        for hydrogen in hydrogens:
            topology.addBond(oxygen, hydrogen)
        positions.append(place * edge / side + WATER)
    return topology, np.concatenate(positions)


def frame(context: openmm.Context) -> dict[str, np.ndarray | float]:
    """Centres (n, 3) nm, forces on them, and box (3, 3) nm."""
    state = context.getState(getPositions=True, getForces=True)
    x = state.getPositions(asNumpy=True)._value.reshape(-1, 3, 3)
    f = state.getForces(asNumpy=True)._value.reshape(-1, 3, 3)
    box = np.array(state.getPeriodicBoxVectors(asNumpy=True)._value)
    return {"positions": centres(x)[:, 0], "forces": f.sum(1), "box": box}


def centres(x: np.ndarray) -> np.ndarray:
    """(n, 1, 3) nm, of molecules (n, 3, 3)."""
    return (MASSES[:, None] * x).sum(1, keepdims=True) / MASSES.sum()


def pressure(context: openmm.Context) -> float:
    """bar, N kT/V - dU/dV, where molecules move as wholes."""
    state = context.getState(getPositions=True)
    box, flat = state.getPeriodicBoxVectors(), state.getPositions(asNumpy=True)._value
    middle = centres(flat.reshape(-1, 3, 3))
    volumes, energies = [], []
    for strain in (-STRAIN, STRAIN):
        moved = flat.reshape(-1, 3, 3) + strain * middle
        context.setPeriodicBoxVectors(*((1 + strain) * edge for edge in box))
        context.setPositions(moved.reshape(-1, 3))
        squeezed = context.getState(getEnergy=True)
        volumes.append(squeezed.getPeriodicBoxVolume()._value)
        energies.append(squeezed.getPotentialEnergy()._value)
    context.setPeriodicBoxVectors(*box)
    context.setPositions(flat)
    thermal = MOLECULES * thermal_energy(TEMPERATURE) / np.mean(volumes)
    return (thermal - np.diff(energies)[0] / np.diff(volumes)[0]) / PRESSURE["bar"]


def keep(path: Path, frames: list[dict[str, np.ndarray | float]]) -> None:
    found = {name: np.array([f[name] for f in frames]) for name in frames[0]}
    for name in ("positions", "forces"):
        found[name] = found[name].astype(np.float32)
    np.savez_compressed(path, **found, temperature=TEMPERATURE, dt_ps=EVERY * STEP)


if __name__ == "__main__":
    main()
