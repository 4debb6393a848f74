"""Potential of mean force of one Na-Cl pair in SPC/E water by umbrella sampling: python
scripts/references/nacl_pair.py OUT --length 150

One Na and one Cl (Joung and Cheatham) in 300 SPC/E waters, 2.083 nm, 298 K, 2 fs, with a spring on
their distance at 14 places from 0.26 to 0.91 nm, and at nine more over the barrier; every place is
sampled on the way out and on the way back, and the histograms are joined by WHAM (Kumar et al., J.
Comput. Chem. 13, 1011 (1992)). OUT.csv holds r (nm), W(r) and its standard error (kT): -ln of the
pair's density, put to zero by the screened Coulomb energy of the same periodic box at 0.7-0.9 nm,
so that beside it stands the short-range part, W less that Coulomb energy. The error is that of four
blocks of time. Interrupted, the same command goes on.
"""

import argparse
from pathlib import Path

import numpy as np
import openmm
import torch
from nacl_spce import TEMPERATURE, write_start
from openmm import app, unit
from tqdm import tqdm

from cgrec.potential import ScreenedCoulomb
from cgrec.potential.graph import site_graph
from cgrec.units import thermal_energy

BOX, WATERS, PERMITTIVITY = 2.083, 300, 71.0  # nm; SPC/E's own relative permittivity
# nm: all the way, and closer together with a stiffer spring (kJ/mol/nm^2) over the barrier, where a
# soft one lets the pair hop
PLACES = np.concatenate([np.arange(0.26, 0.92, 0.05), np.arange(0.28, 0.45, 0.02)])
SPRINGS = np.concatenate([np.full(14, 2000.0), np.full(9, 10_000.0)])
EDGES = np.linspace(0.22, 0.92, 141)  # nm
R = (EDGES[1:] + EDGES[:-1]) / 2
TAIL = (0.7, 0.9)  # nm, where W is the screened Coulomb energy
SETTLING = 10.0  # ps at every place before the first sample


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "out", type=Path, help="folder of the run; the result is written beside it as .csv"
    )
    parser.add_argument(
        "--length", type=float, default=150.0, help="ps at every place, both ways together"
    )
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    samples = sample(arguments.out, arguments.length / 2, arguments.seed)
    blocks = np.split(samples[:, :, : samples.shape[2] // 2 * 2], 2, axis=2)  # of each way: two
    screened = coulomb(R)
    potentials = np.stack(
        [anchored(wham(half[way]), screened) for half in blocks for way in range(2)]
    )
    joint = anchored(wham(np.concatenate(list(samples), axis=1)), screened)
    error = np.nanstd(potentials, axis=0, ddof=1) / np.sqrt(len(potentials))
    table = np.column_stack([R, joint, joint - screened, error])
    np.savetxt(
        arguments.out.with_suffix(".csv"),
        table[np.isfinite(table).all(axis=1)],
        fmt="%.5f",
        delimiter=",",
        header="r_nm,potential_kT,short_range_kT,error_kT",
        comments="",
    )


def sample(folder: Path, length: float, seed: int) -> np.ndarray:
    """Distances (2 ways, places, samples) in nm, every 20 fs; what stands in `folder` is not run
    again.
    """
    simulation = prepare(folder, seed)
    state, n = folder / "state.xml", int(length / 0.02)
    visits = [(0, k) for k in range(len(PLACES))] + [(1, k) for k in reversed(range(len(PLACES)))]
    files = {visit: folder / f"way{visit[0]}_place{visit[1]:02d}.npy" for visit in visits}
    todo = [visit for visit in visits if not files[visit].exists()]
    if state.exists():
        simulation.loadState(str(state))
    for visit in tqdm(todo, desc="places", initial=len(visits) - len(todo), total=len(visits)):
        simulation.context.setParameter("place", PLACES[visit[1]])
        simulation.context.setParameter("stiffness", SPRINGS[visit[1]])
        simulation.step(int(SETTLING / 0.002))
        distances = np.empty(n)
        for k in range(n):
            simulation.step(10)
            x = simulation.context.getState(getPositions=True).getPositions(asNumpy=True)[:2]._value
            d = x[0] - x[1]
            distances[k] = np.linalg.norm(d - BOX * np.round(d / BOX))
        simulation.saveState(str(state))
        np.save(files[visit], distances)
    return np.stack([[np.load(files[way, k]) for k in range(len(PLACES))] for way in range(2)])


def prepare(folder: Path, seed: int) -> app.Simulation:
    """The pair in its box, relaxed, with a spring on its distance."""
    structure = folder / "start.pdb"
    if not structure.exists():
        write_start(structure, np.random.default_rng(seed), BOX, 1, WATERS)
    start = app.PDBFile(str(structure))
    system = app.ForceField("amber14/spce.xml").createSystem(
        start.topology, nonbondedMethod=app.PME, nonbondedCutoff=0.9 * unit.nanometer
    )
    spring = openmm.CustomBondForce("0.5 * stiffness * (r - place)^2")
    spring.addGlobalParameter("place", PLACES[0])
    spring.addGlobalParameter("stiffness", SPRINGS[0])
    spring.setUsesPeriodicBoundaryConditions(True)
    spring.addBond(0, 1)
    system.addForce(spring)
    integrator = openmm.LangevinMiddleIntegrator(TEMPERATURE, 1.0, 0.002)
    integrator.setRandomNumberSeed(seed)
    simulation = app.Simulation(
        start.topology, system, integrator, openmm.Platform.getPlatformByName("CPU")
    )
    simulation.context.setPositions(start.positions)
    if not (folder / "state.xml").exists():
        simulation.minimizeEnergy()
        simulation.context.setVelocitiesToTemperature(TEMPERATURE, seed)
        simulation.step(50_000)
    return simulation


def wham(samples: np.ndarray) -> np.ndarray:
    """-ln of the density of the pair (kT, arbitrary zero) on the bins, from samples (places, n);
    NaN where nothing was seen.
    """
    counts = np.stack([np.histogram(row, EDGES)[0] for row in samples])
    bias = np.exp(
        -0.5 * SPRINGS[:, None] * (R - PLACES[:, None]) ** 2 / thermal_energy(TEMPERATURE)
    )
    scale = np.ones(len(PLACES))  # exp of each place's free energy
    for _ in range(20_000):
        p = counts.sum(0) / (counts.sum(1)[:, None] * bias * scale[:, None]).sum(0)
        new = 1 / (bias * p).sum(1)
        if np.abs(np.log(new / scale)).max() < 1e-9:
            break
        scale = new
    with np.errstate(divide="ignore"):
        return np.where(p > 0, -np.log(p) + 2 * np.log(R), np.nan)


def anchored(potential: np.ndarray, screened: np.ndarray) -> np.ndarray:
    """The same with the screened Coulomb energy as its mean over the tail."""
    tail = (TAIL[0] < R) & (TAIL[1] > R)
    return potential - np.nanmean((potential - screened)[tail])


def coulomb(distances: np.ndarray) -> np.ndarray:
    """Energy (kT) of the pair with all images in the solvent's permittivity, over the directions of
    their distance, beside -l_B / r of contact.
    """
    ewald = ScreenedCoulomb(
        types=["Na", "Cl"], charges={"Na": 1, "Cl": -1}, permittivity=PERMITTIVITY
    )
    directions = np.random.default_rng(0).normal(size=(100, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    near = 1e-3
    energy = []
    for r in [near, *distances]:
        x = np.stack([np.zeros((100, 3)), r * directions], axis=1)
        graph = site_graph(
            torch.tensor(x),
            torch.tensor([0, 1]),
            0.0,
            torch.tensor(np.tile(BOX * np.eye(3), (100, 1, 1))),
        )
        energy.append(float(ewald.energy(graph).mean()))
    bjerrum = ewald.strength
    return (np.array(energy[1:]) - (energy[0] + bjerrum / near)) / thermal_energy(TEMPERATURE)


if __name__ == "__main__":
    main()
