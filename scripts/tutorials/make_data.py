"""Small trajectories with forces for the tutorials, by OpenMM: your own files take their place.

United atoms of alkanes are those of TraPPE (M. G. Martin, J. I. Siepmann, J. Phys. Chem. B 102, 2569
(1998)) with bonds that stretch; water and ions those of OpenMM's amber14/spce.xml. All runs here are
short. They show the way, not the physics.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openmm
from numpy.typing import NDArray
from openmm import app, unit

from cgrec import Frames, System

#: kJ/mol for a kelvin.
K = 0.00831446
#: nm, rad; kJ/mol/nm^2, kJ/mol/rad^2. The bond of TraPPE is rigid, this one stretches.
BOND, BOND_STIFFNESS = 0.154, 80000.0
ANGLE, ANGLE_STIFFNESS = np.radians(114.0), 62500 * K
#: kJ/mol, of 1 + cos(phi), 1 - cos(2 phi), 1 + cos(3 phi).
TORSION = (355.03 * K, -68.19 * K, 791.32 * K)
#: nm and kJ/mol of CH3 and CH2.
SIZE, DEPTH = (0.375, 0.395), (98 * K, 46 * K)
#: g/cm^3 of the liquids, and amu/nm^3 of 1 g/cm^3.
DENSITY, GRAM = 0.7, 602.214


def alkanes(
    folder: str | Path,
    lengths: tuple[int, ...],
    n_frames: int,
    *,
    name: str,
    side: int = 4,
    temperature: float = 350.0,
) -> tuple[Path, Path]:
    """A liquid of linear alkanes; (trajectory, PDB).

    Args:
        folder: where they are written.
        lengths: carbons of each kind of molecule; kinds alternate.
        n_frames: of the trajectory, one each 0.2 ps.
        name: of the files.
        side: molecules along y and along z; as many layers along x as make 1.8 nm.
        temperature: K.
    """
    longest = 0.127 * (max(lengths) - 1) + 0.45
    layers = max(1, int(np.ceil(1.8 / longest)))
    kinds = [lengths[k % len(lengths)] for k in range(side * side * layers)]
    mass = sum(14.0 * n + 2.0 for n in kinds)
    edge = np.sqrt(mass / (DENSITY * GRAM) / (longest * layers)) / side
    box = np.array([longest * layers, side * edge, side * edge])
    system = _system_of(kinds)
    places = [
        (a * longest, b * edge, c * edge)
        for a in range(layers)
        for b in range(side)
        for c in range(side)
    ]
    x = np.concatenate([np.array(place) + _zigzag(n) for place, n in zip(places, kinds)])
    made = _openmm_alkanes(system, box)
    positions, forces = simulate(made, x, box, temperature, n_frames)
    frames = Frames(system, positions, temperature, forces=forces, box=np.diag(box))
    return write(frames, Path(folder), name)


def _zigzag(n: int) -> NDArray[np.float64]:
    """(n, 3) nm, an extended chain along x."""
    k = np.arange(n)
    return np.stack([0.127 * k, 0.087 * (k % 2), 0.0 * k], -1) + 0.1


def _system_of(kinds: list[int]) -> System:
    names: list[str] = []
    masses: list[float] = []
    bonds: list[tuple[int, int]] = []
    residues: list[int] = []
    for molecule, n in enumerate(kinds):
        first = len(names)
        names += [f"C{k + 1}" for k in range(n)]
        masses += [15.0, *[14.0] * (n - 2), 15.0]
        bonds += [(first + k, first + k + 1) for k in range(n - 1)]
        residues += [molecule] * n
    return System(
        names=tuple(names),
        masses=masses,
        elements=("C",) * len(names),
        bonds=bonds,
        residues=residues,
        residue_names=tuple(f"C{kinds[r]:02d}" for r in residues),
    )


def _openmm_alkanes(system: System, box: NDArray[np.float64]) -> openmm.System:
    made = openmm.System()
    made.setDefaultPeriodicBoxVectors(*np.diag(box))
    pairs, bonds = openmm.NonbondedForce(), openmm.HarmonicBondForce()
    angles, torsions = openmm.HarmonicAngleForce(), openmm.PeriodicTorsionForce()
    for mass in system.masses:
        inner = int(mass < 14.5)
        made.addParticle(float(mass))
        pairs.addParticle(0.0, SIZE[inner], DEPTH[inner])
    for i, j in system.bonds.tolist():
        bonds.addBond(i, j, BOND, BOND_STIFFNESS)
    for i, j, k in system.bonded_paths(3):
        angles.addAngle(i, j, k, ANGLE, ANGLE_STIFFNESS)
    for path in system.bonded_paths(4):
        for n, (phase, depth) in enumerate(zip((0.0, np.pi, 0.0), TORSION), 1):
            torsions.addTorsion(*path, n, phase, depth)
    pairs.createExceptionsFromBonds(system.bonds.tolist(), 0.0, 0.0)
    pairs.setNonbondedMethod(openmm.NonbondedForce.CutoffPeriodic)
    pairs.setCutoffDistance(0.49 * float(box.min()))
    pairs.setUseSwitchingFunction(True)
    pairs.setSwitchingDistance(0.42 * float(box.min()))
    for force in (pairs, bonds, angles, torsions):
        made.addForce(force)
    return made


def salt(
    folder: str | Path, n_frames: int, *, edge: float = 1.9, molar: float = 2.0
) -> tuple[Path, Path]:
    """NaCl in SPC/E water at 300 K; (trajectory, PDB). `edge` in nm, `molar` in mol/l."""
    field = app.ForceField("amber14/spce.xml")
    empty = app.Modeller(app.Topology(), [] * unit.nanometer)
    empty.addSolvent(
        field, model="spce", boxSize=openmm.Vec3(edge, edge, edge), ionicStrength=molar * unit.molar
    )
    made = field.createSystem(
        empty.topology, nonbondedMethod=app.PME, nonbondedCutoff=0.45 * edge, rigidWater=True
    )
    x = np.array(empty.positions.value_in_unit(unit.nanometer))
    atoms = list(empty.topology.atoms())
    system = System(
        names=tuple(atom.name for atom in atoms),
        masses=[atom.element.mass.value_in_unit(unit.dalton) for atom in atoms],
        elements=tuple(atom.element.symbol for atom in atoms),
        bonds=[(a.index, b.index) for a, b in empty.topology.bonds()],
        residues=[atom.residue.index for atom in atoms],
        residue_names=tuple(atom.residue.name for atom in atoms),
    )
    box = np.full(3, edge)
    positions, forces = simulate(made, x, box, 300.0, n_frames)
    frames = Frames(system, positions, 300.0, forces=forces, box=np.diag(box))
    return write(frames, Path(folder), "salt")


def simulate(
    system: openmm.System,
    positions: NDArray[np.float64],
    box: NDArray[np.float64],
    temperature: float,
    n_frames: int,
    *,
    steps: int = 100,
    seed: int = 1,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n_frames, n_sites, 3) positions, nm, and forces, kJ/mol/nm, each `steps` of 2 fs apart."""
    integrator = openmm.LangevinMiddleIntegrator(1.5 * temperature, 2.0, 0.002)
    integrator.setRandomNumberSeed(seed)
    platform = openmm.Platform.getPlatformByName("CPU")
    context = openmm.Context(system, integrator, platform, {"Threads": "1"})
    context.setPeriodicBoxVectors(*np.diag(box))
    context.setPositions(positions)
    openmm.LocalEnergyMinimizer.minimize(context, maxIterations=200)
    integrator.step(10 * steps)
    integrator.setTemperature(temperature)
    integrator.step(10 * steps)
    x, forces = [], []
    for _ in range(n_frames):
        integrator.step(steps)
        state = context.getState(getPositions=True, getForces=True)
        x.append(state.getPositions(asNumpy=True).value_in_unit(unit.nanometer))
        forces.append(state.getForces(asNumpy=True)._value)
    return np.array(x), np.array(forces)


def write(frames: Frames, folder: Path, name: str) -> tuple[Path, Path]:
    """A TRR with forces and the PDB of its first frame, as other programs leave them."""
    folder.mkdir(parents=True, exist_ok=True)
    run = folder / f"{name}.trr"
    frames.write(run)
    return run, run.with_suffix(".pdb")
