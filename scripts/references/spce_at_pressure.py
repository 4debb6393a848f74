"""SPC/E water at constant pressure, mapped to one site a molecule: the parent of
scripts/benchmarks/pressure.py.

    python scripts/references/spce_at_pressure.py water_npt.npz --length 600

500 rigid molecules at 298 K, PME to 0.9 nm, 2 fs, Langevin middle 1/ps, Monte Carlo barostat; centres of
mass, the forces on them, and the box every 0.5 ps, after 50 ps from a lattice. One thread makes some
40 ps a minute. What is there is written every 50 ps; it is a run of minutes and begins anew.
"""

import argparse
from pathlib import Path

import numpy as np
import openmm
from openmm import app, unit

MOLECULES, TEMPERATURE, STEP = 500, 298.0, 0.002  # -, K, ps
EVERY, FIRST = 250, 25_000  # steps between frames, and before the first
MASSES = np.array([15.9994, 1.008, 1.008])
WATER = np.array([[0, 0, 0], [0.081649, 0.057736, 0], [-0.081649, 0.057736, 0]])  # nm


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="npz to be made")
    parser.add_argument("--length", type=float, default=600.0, help="ps that are kept")
    parser.add_argument("--pressure", type=float, default=1.0, help="bar")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    context = started(options)
    frames: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    total = round(options.length / STEP / EVERY)
    for k in range(total):
        context.getIntegrator().step(EVERY)
        frames.append(frame(context))
        if (k + 1) % 100 == 0 or k + 1 == total:
            keep(options.out, frames)
            volume = np.linalg.det([f[2] for f in frames]).mean()
            print(
                f"{k + 1} of {total} frames, {MOLECULES / volume:.3f} molecules per nm^3",
                flush=True,
            )


def started(options: argparse.Namespace) -> openmm.Context:
    """Relaxed from a lattice and run until it has forgotten it."""
    topology, positions = lattice()
    field = app.ForceField("amber14/spce.xml")
    system = field.createSystem(
        topology,
        nonbondedMethod=app.PME,
        nonbondedCutoff=0.9 * unit.nanometer,
        rigidWater=True,
    )
    system.addForce(openmm.MonteCarloBarostat(options.pressure, TEMPERATURE, 25))
    integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE, 1.0, STEP)
    integrator.setRandomNumberSeed(options.seed)
    platform = openmm.Platform.getPlatformByName("CPU")
    context = openmm.Context(system, integrator, platform, {"Threads": "1"})
    context.setPositions(positions)
    openmm.LocalEnergyMinimizer.minimize(context, 10.0, 300)
    context.setVelocitiesToTemperature(TEMPERATURE, options.seed)
    integrator.step(FIRST)
    return context


def lattice() -> tuple[app.Topology, np.ndarray]:
    """Molecules in parallel on a cubic lattice a tenth wider than the liquid."""
    side = int(np.ceil(MOLECULES ** (1 / 3)))
    edge = 1.03 * (MOLECULES / 33.4) ** (1 / 3)
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


def frame(context: openmm.Context) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres (n, 3) nm, forces on them, and box (3, 3) nm."""
    state = context.getState(getPositions=True, getForces=True)
    x = state.getPositions(asNumpy=True)._value.reshape(-1, 3, 3)
    f = state.getForces(asNumpy=True)._value.reshape(-1, 3, 3)
    box = np.array(state.getPeriodicBoxVectors(asNumpy=True)._value)
    return (MASSES[:, None] * x).sum(1) / MASSES.sum(), f.sum(1), box


def keep(path: Path, frames: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
    positions, forces, boxes = (np.array(part) for part in zip(*frames))
    np.savez_compressed(
        path,
        positions=positions.astype(np.float32),
        forces=forces.astype(np.float32),
        box=boxes,
        temperature=TEMPERATURE,
        dt_ps=EVERY * STEP,
    )


if __name__ == "__main__":
    main()
