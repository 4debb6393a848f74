"""What samples solvent around sites that are held: any `Potential`, or OpenMM's force fields."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..dynamics import Langevin
from ..frames import Frames
from ..potential import Potential
from ..sources.openmm_system import openmm_modules

if TYPE_CHECKING:
    import openmm
    from openmm.app import Simulation, Topology

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


class Engine(Protocol):
    """Relaxes and samples the solvent under the finer level's potential."""

    def begin(self, start: Frames, kept: Indices, seed: int) -> Callable[[float], Frames]:
        """Relax the one frame of `start` without moving the sites `kept`.

        Returns a function that runs so many ps further and gives the frames saved on the way, with
        energies.
        """


class PotentialEngine:
    """Solvent under any `Potential` of all sites, by `Langevin` with the kept sites held; no
    constraints.

    Args:
        potential: of the fine System.
        save_every: ps between saved frames.
        relaxation: steps of descent before the dynamics.
        dynamics: further arguments of `Langevin`, e.g. timestep and friction.
    """

    def __init__(
        self,
        potential: Potential,
        *,
        save_every: float = 0.1,
        relaxation: int = 200,
        **dynamics: Any,
    ) -> None:
        self.potential = potential
        self.save_every = save_every
        self.relaxation = relaxation
        self.dynamics = dynamics

    def begin(self, start: Frames, kept: Indices, seed: int) -> Callable[[float], Frames]:
        """See `Engine`. Velocities are drawn anew with every stretch, which leaves the ensemble of
        positions alone.

        Raises:
            ValueError, RuntimeError: the dynamics failed.
        """
        state = _relaxed(self.potential, start, kept, self.relaxation)
        random, held = np.random.default_rng(seed), [f"#{i}" for i in kept]

        def run(length: float) -> Frames:
            nonlocal state
            dynamics = Langevin(
                n_replicas=1,
                length=length,
                save_every=self.save_every,
                equilibration=0.0,
                held=held,
                keep_energies=True,
                **{"timestep": 0.002, **self.dynamics},  # of solvent with all its atoms
            )
            with tempfile.TemporaryDirectory() as folder:
                path, new_seed = Path(folder) / "run", int(random.integers(2**31))
                saved, report = dynamics(self.potential, state, path, seed=new_seed, name="solvent")
                if report.lost:
                    raise RuntimeError(
                        f"PotentialEngine: the solvent was lost ({report.lost[0]}): use a "
                        "smaller timestep or more relaxation"
                    )
                x, energies = np.array(saved.positions, float), np.array(saved.energies)
            frames = replace(saved, positions=x, energies=energies, forces=None, replicas=None)
            state = replace(frames[-1:], box=start.box, energies=None)
            # frames are saved in single precision
            state.positions[:, kept] = start.positions[:, kept]
            return frames

        return run


class OpenMMEngine:
    """Solvent under OpenMM force-field files: rigid water, bonds to hydrogen held, PME, Langevin
    middle dynamics; kept sites have no mass, which OpenMM takes for frozen.

    Args:
        force_field: OpenMM force-field files, e.g. ["amber14/spce.xml"].
        timestep: ps.
        friction: 1/ps.
        cutoff: nm, of what is summed in real space.
        save_every: ps between saved frames.
        hydrogen_mass: amu, taken from the heavy atom; allows a longer time step and changes no
            distribution of positions.
        iterations: of the minimiser, at most.
        anneal: ps between minimiser and sampling, half of it at `hot` times the temperature, then
            cooled evenly: water put between frozen ions finds its place only over barriers, which
            at 298 K took up to 100 ps.
        hot: times the temperature, see `anneal`.
        platform: "CPU", "CUDA", ...; default: OpenMM's fastest.

    Raises:
        ImportError: OpenMM is not installed.
    """

    def __init__(
        self,
        *,
        force_field: Sequence[str],
        timestep: float = 0.002,
        friction: float = 1.0,
        cutoff: float = 0.9,
        save_every: float = 0.25,
        hydrogen_mass: float | None = None,
        iterations: int = 200,
        anneal: float = 6.0,
        hot: float = 1.7,
        platform: str | None = None,
    ) -> None:
        _openmm()
        self.force_field = force_field
        self.timestep = timestep
        self.friction = friction
        self.cutoff = cutoff
        self.save_every = save_every
        self.hydrogen_mass = hydrogen_mass
        self.iterations = iterations
        self.anneal = anneal
        self.hot = hot
        self.platform = platform

    def begin(self, start: Frames, kept: Indices, seed: int) -> Callable[[float], Frames]:
        """See `Engine`.

        Raises:
            ValueError: the force field has sites of its own (virtual sites), a site has no element,
                or no box.
            RuntimeError: the dynamics failed.
        """
        openmm, _ = _openmm()
        simulation = self._simulation(start, kept, seed)
        steps = max(1, round(self.save_every / self.timestep))

        def advance(n: int) -> None:
            try:
                simulation.step(n)
            except openmm.OpenMMException as error:
                raise RuntimeError(
                    f"OpenMM stopped ({error}): use a smaller timestep or more minimiser iterations"
                ) from error

        simulation.minimizeEnergy(maxIterations=self.iterations)
        simulation.context.setVelocitiesToTemperature(start.temperature, seed + 1)
        for factor in [self.hot] * 10 + np.linspace(self.hot, 1.0, 10).tolist():
            simulation.integrator.setTemperature(factor * start.temperature)
            advance(round(self.anneal / 20 / self.timestep))

        def run(length: float) -> Frames:
            positions, energies = [], []
            for _ in range(max(1, round(length / (steps * self.timestep)))):
                advance(steps)
                state = simulation.context.getState(positions=True, energy=True)
                positions.append(state.getPositions(asNumpy=True)._value)
                energies.append(state.getPotentialEnergy()._value)
            return replace(start, positions=np.array(positions), energies=np.array(energies))

        return run

    def _simulation(self, start: Frames, kept: Indices, seed: int) -> Simulation:
        openmm, app = _openmm()
        from openmm.unit import nanometer

        topology = _topology(start)
        plain = app.ForceField(*self.force_field).createSystem(
            topology,
            nonbondedMethod=app.PME,
            nonbondedCutoff=self.cutoff * nanometer,
            constraints=app.HBonds,
            rigidWater=True,
            hydrogenMass=self.hydrogen_mass,
            removeCMMotion=False,
        )
        _freeze(plain, kept)
        integrator = openmm.LangevinMiddleIntegrator(
            start.temperature, self.friction, self.timestep
        )
        integrator.setRandomNumberSeed(seed + 1)  # OpenMM takes 0 for "any"
        wanted = (
            () if self.platform is None else (openmm.Platform.getPlatformByName(self.platform),)
        )
        simulation = app.Simulation(topology, plain, integrator, *wanted)
        simulation.context.setPositions(np.asarray(start.positions[0], float))
        return simulation


def _openmm() -> tuple[ModuleType, ModuleType]:
    return openmm_modules("OpenMMEngine")


def _topology(start: Frames) -> Topology:
    """OpenMM's Topology of the System, residues in their order."""
    _, app = _openmm()
    system, boxes = start.system, start.boxes()
    if "X" in system.elements or boxes is None:
        raise ValueError(
            "OpenMMEngine: expected a chemical element at every site and a box, found "
            + (
                "no box"
                if boxes is None
                else f"none ('X') at {system.labels[system.elements.index('X')]}"
            )
            + "; give System.elements and Frames.box, or use PotentialEngine"
        )
    topology, residue, before, atoms = app.Topology(), None, None, []
    chain = topology.addChain()
    for name, element, number, residue_name in zip(
        system.names, system.elements, system.residues.tolist(), system.residue_names
    ):
        if number != before:
            residue, before = topology.addResidue(residue_name, chain), number
        atoms.append(topology.addAtom(name, app.element.Element.getBySymbol(element), residue))
    for i, j in system.bonds.tolist():
        topology.addBond(atoms[i], atoms[j])
    from openmm.unit import nanometer

    topology.setPeriodicBoxVectors(np.asarray(boxes[0], float) * nanometer)
    return topology


def _freeze(plain: openmm.System, kept: Indices) -> None:
    """Take the mass of the kept sites, and the constraints among them, which OpenMM allows no
    massless particle.
    """
    frozen = set(kept.tolist())
    for k in reversed(range(plain.getNumConstraints())):
        if frozen & set(plain.getConstraintParameters(k)[:2]):
            plain.removeConstraint(k)
    for i in frozen:
        plain.setParticleMass(i, 0.0)


def _relaxed(
    potential: Potential, start: Frames, kept: Indices, steps: int, longest: float = 0.02
) -> Frames:
    """Descent along the force; the site that moves most moves at most `longest` nm, less after a
    step uphill.
    """

    def evaluate(positions: Array) -> tuple[float, Array]:
        energy, forces = potential.energy_and_forces(replace(start, positions=positions))
        forces[:, kept] = 0.0
        return float(energy[0]), forces

    x, step = np.asarray(start.positions, float), longest
    energy, forces = evaluate(x)
    for _ in range(steps):
        if not forces.any():
            break
        there = x + step * forces / np.linalg.norm(forces, axis=-1).max()
        energy_there, forces_there = evaluate(there)
        if energy_there < energy:
            x, energy, forces, step = there, energy_there, forces_there, min(1.2 * step, longest)
        else:
            step /= 2
    return replace(start, positions=x)
