"""Quantum-chemistry labels through any ASE calculator, several processes at once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing import get_context
from typing import TypeVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from ...frames import Frames
from ...io import system_to_atoms
from ...progress import Progress
from ...system import System
from ...units import ENERGY, LENGTH, TIME
from ..calculators import ForeignCalculator, make_calculator

#: Positions, energies and forces of the structures that converged, and how many did not.
Labels = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], int]
Job = TypeVar("Job")

_EV, _ANGSTROM = ENERGY["eV"], LENGTH["angstrom"]


@dataclass(frozen=True)
class Labeller:
    """How a structure gets its energy and forces.

    Attributes:
        calculator: "module:callable" that makes an ASE Calculator; a worker process imports it by
            that name.
        arguments: of the callable.
        processes: worker processes, one thread each; 0 takes one per core.
        python: path of another interpreter in which the calculator runs (see `CalculatorSource`).
    """

    calculator: str = "tblite.ase:TBLite"
    arguments: Mapping[str, object] = field(
        default_factory=lambda: {
            "method": "GFN2-xTB",
            "solvation": ["alpb", "water"],
            "verbosity": 0,
        }
    )
    processes: int = 0
    python: str | None = None

    def make(self) -> Calculator:
        """The calculator; one of another interpreter is started once in a process, and forgets what
        it computed before.

        Raises:
            ValueError: it cannot be imported or made.
        """
        if not self.python:
            return make_calculator(self.calculator, self.arguments)
        kept = _foreign(self.python, self.calculator, json.dumps(dict(self.arguments)))
        kept.reset()
        return kept

    def packages(self) -> tuple[str, ...]:
        """What the calculator comes from; nothing where another interpreter runs it."""
        package = self.calculator.partition(":")[0].partition(".")[0]
        return () if self.python or package in ("ase", "cgrec") else (package,)

    def label(
        self, system: System, positions: NDArray[np.float64], temperature: float
    ) -> tuple[Frames, int]:
        """Frames with energies and forces, and how many structures were skipped because the
        calculation did not converge.

        Args:
            system: with elements.
            positions: (n, n_sites, 3) nm.
            temperature: K of the ensemble the frames stand for.

        Raises:
            ValueError: no calculation converged.
        """
        jobs = [
            (self, system, part) for part in np.array_split(positions, max(1, len(positions) // 20))
        ]
        parts = list(self._map(_label, jobs, "quantum chemistry"))
        return _collect(system, temperature, parts)

    def explore(
        self,
        system: System,
        starts: NDArray[np.float64],
        temperatures: NDArray[np.float64],
        *,
        target: float,
        frames: int,
        stride: int,
        timestep: float,
        seed: int,
    ) -> tuple[Frames, int]:
        """Short relaxation and Langevin runs with the calculator itself from each start; what
        `label` returns.
        """
        jobs = [
            (self, system, x, t, frames, stride, timestep, seed + k)
            for k, (x, t) in enumerate(zip(starts, temperatures))
        ]
        return _collect(system, target, list(self._map(_explore, jobs, "quantum dynamics")))

    def _map(
        self, function: Callable[[Job], Labels], jobs: Sequence[Job], name: str
    ) -> Iterable[Labels]:
        workers = self.processes or cores()
        with (
            _one_thread(),
            ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
            Progress(name, len(jobs), "batch") as bar,
        ):
            for labels in pool.map(function, jobs):
                yield labels
                bar.advance()


def cores() -> int:
    """Processor cores this process may use; where the system does not say (macOS), all there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache
def _foreign(python: str, calculator: str, arguments: str) -> ForeignCalculator:
    return ForeignCalculator(python, calculator, json.loads(arguments))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Processes started meanwhile have one OpenMP thread: their libraries read the environment they
    inherit, once, before any code of ours runs in them. Otherwise threads of several workers wait
    for each other (40 times slower on two cores).
    """
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def _collect(system: System, temperature: float, parts: Sequence[Labels]) -> tuple[Frames, int]:
    failed = sum(p[3] for p in parts)
    kept = [p for p in parts if len(p[0])]
    if not kept:
        raise ValueError(
            f"none of {failed} quantum-chemistry calculations converged: check the structure, "
            "its charge and the calculator's settings"
        )
    positions, energies, forces = (np.concatenate([p[k] for p in kept]) for k in range(3))
    return Frames(system, positions, temperature, forces=forces, energies=energies), failed


def _evaluate(atoms: Atoms) -> tuple[float, NDArray[np.float64]] | None:
    """(kJ/mol, kJ/mol/nm), or None where the calculation failed or gave no number."""
    from ase.calculators.calculator import CalculationFailed

    try:
        energy, forces = atoms.get_potential_energy() * _EV, atoms.get_forces() * (_EV / _ANGSTROM)
    except (CalculationFailed, RuntimeError):
        return None
    return (energy, forces) if np.isfinite(energy) and np.isfinite(forces).all() else None


def _label(job: tuple[Labeller, System, NDArray[np.float64]]) -> Labels:
    labeller, system, positions = job
    atoms, found, failed = system_to_atoms(system, positions[0]), [], 0
    for x in positions:
        atoms.positions = x / _ANGSTROM
        atoms.calc = labeller.make()
        result = _evaluate(atoms)
        failed += result is None
        if result is not None:
            found.append((x, *result))
    return (*_stack(found), failed)


def _explore(
    job: tuple[Labeller, System, NDArray[np.float64], float, int, int, float, int],
) -> Labels:
    from ase import units
    from ase.calculators.calculator import CalculationFailed
    from ase.md.langevin import Langevin
    from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
    from ase.optimize import FIRE

    labeller, system, start, temperature, frames, stride, timestep, seed = job
    atoms, found = system_to_atoms(system, start), []
    atoms.calc = labeller.make()
    try:
        FIRE(atoms, logfile=None, maxstep=0.1).run(steps=20)
        random = np.random.RandomState(seed)
        # Warm from the first step: a thermostat alone would need longer than these runs last.
        MaxwellBoltzmannDistribution(atoms, temperature_K=2 * temperature, rng=random)
        step = timestep / TIME["fs"] * units.fs
        run = Langevin(
            atoms,
            step,
            temperature_K=temperature,
            friction=0.005 / units.fs,
            fixcm=False,
            rng=random,
        )
        for _ in range(frames):
            run.run(stride)
            result = _evaluate(atoms)
            if result is None:
                break
            found.append((atoms.positions * _ANGSTROM, *result))
    except (CalculationFailed, RuntimeError):
        pass
    return (*_stack(found), frames - len(found))


def _stack(
    found: Sequence[tuple[NDArray[np.float64], float, NDArray[np.float64]]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    if not found:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    positions, energies, forces = zip(*found)
    return np.array(positions), np.array(energies), np.array(forces)
