"""False alarms: what reading says of valid samples of many kinds of matter, cut into short pieces.

python scripts/benchmarks/valid_samples.py FOLDER [--frames 50] [--only gas crystal]

Makes the samples with OpenMM where FOLDER does not hold them (some ten minutes on one core):
Lennard-Jones liquids of three densities and sizes, a gas, crystals with molecules wrapped and not,
a molten salt, rigid and flexible water, dilute and dense polymers; 1,000 to 1,500 frames of each.
Every piece of so many frames is read as a file of its own; printed are, for each sample, how many
pieces were refused or remarked on, and the first sentence.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openmm as mm
from numpy.typing import NDArray
from openmm import app, unit

from cgrec.io import read

#: nm, kJ/mol, amu of argon.
SIGMA, EPSILON, MASS = 0.34, 0.996, 39.948
Array = NDArray[np.float64]


def lattice(n: int, edge: float) -> Array:
    """(n, 3) nm, places of a face-centred cubic lattice that fills the cube, in random order."""
    cells = int(np.ceil((n / 4) ** (1 / 3)))
    corners = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    face = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    places = (corners + face).reshape(-1, 3) * edge / cells
    return np.random.default_rng(0).permutation(places)[:n] if len(places) > n else places


def sampled(
    system: mm.System, start: Array, kelvin: float, step: float, every: int, n: int, wrapped: bool
) -> dict[str, Array]:
    """Positions nm and forces kJ/mol/nm of n frames, every so many steps of so many ps."""
    integrator = mm.LangevinMiddleIntegrator(kelvin, 1.0, step)
    integrator.setRandomNumberSeed(7)
    context = mm.Context(system, integrator, mm.Platform.getPlatformByName("CPU"), {"Threads": "1"})
    context.setPositions(start)
    mm.LocalEnergyMinimizer.minimize(context, maxIterations=300)
    context.setVelocitiesToTemperature(kelvin, 1)
    integrator.step(5000)
    x, forces = [], []
    for _ in range(n):
        integrator.step(every)
        state = context.getState(positions=True, forces=True, enforcePeriodicBox=wrapped)
        x.append(state.getPositions(asNumpy=True)._value)
        forces.append(state.getForces(asNumpy=True)._value)
    box = state.getPeriodicBoxVectors(asNumpy=True)._value
    return {
        "positions": np.array(x),
        "forces": np.array(forces),
        "box": box,
        "temperature": np.array(kelvin),
    }


def _nonbonded(system: mm.System, edge: float, charges: bool = False) -> mm.NonbondedForce:
    force = mm.NonbondedForce()
    force.setNonbondedMethod(force.PME if charges else force.CutoffPeriodic)
    force.setCutoffDistance(min(2.5 * SIGMA, 0.49 * edge))
    force.setUseSwitchingFunction(True)
    force.setSwitchingDistance(0.85 * min(2.5 * SIGMA, 0.49 * edge))
    force.setUseDispersionCorrection(False)
    system.addForce(force)
    system.setDefaultPeriodicBoxVectors(*(edge * np.eye(3)))
    return force


def argon(n: int, density: float, kelvin: float, wrapped: bool = True) -> dict[str, Array]:
    """Lennard-Jones particles of a reduced density."""
    edge = (n / density) ** (1 / 3) * SIGMA
    system = mm.System()
    force = _nonbonded(system, edge)
    for _ in range(n):
        system.addParticle(MASS)
        force.addParticle(0, SIGMA, EPSILON)
    found = sampled(system, lattice(n, edge), kelvin, 0.004, 100, 1250, wrapped)
    return {**found, "species": np.array(["Ar"] * n)}


def salt(n: int, edge: float, kelvin: float) -> dict[str, Array]:
    """Sodium and chloride ions, molten."""
    system = mm.System()
    force = _nonbonded(system, edge, charges=True)
    species = ["Na", "Cl"] * (n // 2)
    for name in species:
        system.addParticle(22.99 if name == "Na" else 35.45)
        force.addParticle(
            1 if name == "Na" else -1, *((0.235, 0.544) if name == "Na" else (0.44, 0.418))
        )
    found = sampled(system, lattice(n, edge), kelvin, 0.002, 100, 1000, True)
    return {**found, "species": np.array(species)}


def water(n: int, rigid: bool) -> dict[str, Array]:
    """TIP3P, of another size than the samples of the tests."""
    field = app.ForceField("amber14/tip3p.xml")
    model = app.Modeller(app.Topology(), [])
    model.addSolvent(field, numAdded=n)
    cutoff = 0.45 * float(model.topology.getUnitCellDimensions().x)
    system = field.createSystem(
        model.topology,
        nonbondedMethod=app.PME,
        nonbondedCutoff=cutoff * unit.nanometer,
        rigidWater=rigid,
        removeCMMotion=False,
    )
    start = np.array(model.positions.value_in_unit(unit.nanometer))
    found = sampled(
        system, start, 300.0, 0.002 if rigid else 0.0005, 50 if rigid else 200, 1000, False
    )
    return {**found, "species": np.array(["O", "H", "H"] * n)}


def polymer(chains: int, length: int, edge: float) -> dict[str, Array]:
    """Chains of beads, springs between neighbours."""
    system = mm.System()
    force, springs = _nonbonded(system, edge), mm.HarmonicBondForce()
    bonds = [(c * length + k, c * length + k + 1) for c in range(chains) for k in range(length - 1)]
    for _ in range(chains * length):
        system.addParticle(44.0)
        force.addParticle(0, 0.4, 0.8)
    for i, j in bonds:
        springs.addBond(i, j, 0.36, 8000.0)
    force.createExceptionsFromBonds(bonds, 0.0, 1.0)
    system.addForce(springs)
    rows = lattice(chains, edge)
    start = np.concatenate([r + np.arange(length)[:, None] * np.array([0, 0, 0.36]) for r in rows])
    start += 0.01 * np.random.default_rng(0).normal(size=start.shape)
    found = sampled(system, start, 320.0, 0.005, 100, 1000, False)
    return {
        **found,
        "species": np.array(["EO"] * (chains * length)),
        "masses": np.full(chains * length, 44.0),
        "bonds": np.array(bonds),
    }


SAMPLES: dict[str, Callable[[], dict[str, Array]]] = {
    "liquid108": lambda: argon(108, 0.85, 100.0),
    "liquid200": lambda: argon(200, 0.78, 110.0),
    "liquid300": lambda: argon(300, 0.65, 130.0, wrapped=False),
    "gas150": lambda: argon(150, 0.05, 180.0),
    "crystal256": lambda: argon(256, 1.05, 50.0, wrapped=False),
    "crystal108": lambda: argon(108, 1.0, 60.0),
    "salt216": lambda: salt(216, 1.9, 1300.0),
    "rigid_water": lambda: water(110, rigid=True),
    "flexible_water": lambda: water(90, rigid=False),
    "dilute_polymer": lambda: polymer(12, 12, 8.0),
    "dense_polymer": lambda: polymer(20, 10, 2.6),
}


def make(folder: Path, name: str) -> Path:
    """The npz of a sample, made where it is not there."""
    path = folder / f"{name}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        values = SAMPLES[name]()
        np.savez(path, **values, length_unit="nm", force_unit="kJ/mol/nm")
    return path


def said_of(values: dict[str, Array]) -> str:
    """What reading says of a file with these arrays, refusals and remarks."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        path = Path(folder) / "piece.npz"
        np.savez(path, **values)  # type: ignore[arg-type]
        try:
            read(path)
        except ValueError as error:
            return f"REFUSED {error}"
    return " | ".join(str(w.message).split(": ", 1)[1] for w in caught)


def main() -> None:
    """Print one line for each sample."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--only", nargs="*", default=list(SAMPLES))
    given = parser.parse_args()
    for name in given.only:
        values = dict(np.load(make(given.folder, name)))
        n = len(values["positions"])
        said = []
        for start in range(0, n - given.frames + 1, given.frames):
            cut = slice(start, start + given.frames)
            piece = {
                **values,
                "positions": values["positions"][cut],
                "forces": values["forces"][cut],
            }
            said.append(said_of(piece))
        alarms = [s for s in said if s]
        first = f": {alarms[0][:300]}" if alarms else ""
        print(f"{name:16s} {len(alarms)} of {len(said)} pieces{first}", flush=True)


if __name__ == "__main__":
    main()
