"""Level 0 simulated on the spot with any ASE calculator as the reference: MACE, ORB, UMA, DFT, xTB,
...
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from ..files import missing
from ..frames import Frames
from ..io import atoms_to_frames, read, system_to_atoms
from ..progress import Progress
from ..ranges import expect
from ..system import System
from ..units import TIME
from .base import Chunks, SamplingStopped, Source, chunk_sizes
from .calculators import make_calculator

if TYPE_CHECKING:
    from ase import Atoms
    from ase.md.langevin import Langevin


#: {name of an array of Frames: its value in each frame so far}.
Kept = dict[str, list[object]]


@dataclass(frozen=True)
class _Settings:
    """Numbers of a run, as `CalculatorSource` takes them."""

    temperature: float
    n_frames: int
    stride: int
    timestep: float
    friction: float
    equilibration: int
    frames_per_chunk: int


class CalculatorSource(Source):
    """ASE Langevin dynamics of a structure under any ASE calculator, energies and forces saved.

    A run that is interrupted and resumed equals one that is not: the calculator forgets what it
        remembers (`reset`) at the
    start of each piece, and each piece keeps positions, momenta and the state of the random
    generator.
    """

    def __init__(
        self,
        *,
        calculator: str | Calculator,
        structure: str | Path,
        temperature: float,
        n_frames: int,
        calculator_arguments: Mapping[str, object] | None = None,
        python: str | None = None,
        stride: int = 20,
        timestep: float = 0.0005,
        friction: float = 5.0,
        equilibration: int = 1000,
        frames_per_chunk: int = 50,
    ):
        """Keep the run's settings.

        Args:
            calculator: an ASE Calculator, or "module:callable" that makes one from
                `calculator_arguments`.
            python: path of another interpreter in which a named calculator runs: one whose packages
                cannot be installed beside cgrec's, as those of MACE. It needs ase and the
                calculator's package.
            structure: file `cgrec.read` can read (PDB, extended XYZ, ...); its first frame is the
                start.
            temperature: K.
            calculator_arguments: of the callable.
            n_frames: frames to save, `stride` steps apart.
            stride: steps between saved frames.
            timestep: ps.
            friction: 1/ps.
            equilibration: steps before the first saved interval.
            frames_per_chunk: frames between two files of the run, from which it resumes.

        Raises:
            ValueError: a number that is not positive, or arguments for a calculator that is made
                already.
        """
        expect("CalculatorSource", above=0, temperature=temperature, friction=friction)
        expect("CalculatorSource", above=0, timestep=timestep)
        expect("CalculatorSource", at_least=1, n_frames=n_frames, stride=stride)
        expect("CalculatorSource", at_least=1, frames_per_chunk=frames_per_chunk)
        expect("CalculatorSource", at_least=0, equilibration=equilibration)
        if python and not isinstance(calculator, str):
            raise ValueError(
                "CalculatorSource.python is for a calculator named 'module:callable', found an "
                "object of this interpreter"
            )
        if calculator_arguments and not isinstance(calculator, str):
            raise ValueError(
                "CalculatorSource.calculator_arguments are for a calculator named "
                "'module:callable', found "
                "an object"
            )
        self._settings = _Settings(
            temperature, n_frames, stride, timestep, friction, equilibration, frames_per_chunk
        )
        self._structure = Path(structure)
        self._calculator = calculator
        self._calculator_arguments = dict(calculator_arguments or {})
        self._python = python

    def recipe(self) -> dict[str, object]:
        """The arguments, the calculator by name; of the structure the content counts, not the path."""
        named = (
            self._calculator
            if isinstance(self._calculator, str)
            else type(self._calculator).__name__
        )
        own = getattr(self._calculator, "parameters", {})
        settings = self._calculator_arguments or {
            k: v for k, v in dict(own).items() if isinstance(v, str | int | float | bool)
        }
        return {**vars(self._settings), "calculator": named, "calculator_arguments": settings}

    def files(self) -> list[Path]:
        """Start structure."""
        if not self._structure.exists():
            raise missing("source.structure", self._structure)
        return [self._structure]

    def packages(self) -> Sequence[str]:
        """Dynamics, and the package of the calculator."""
        module = (
            self._calculator.partition(":")[0]
            if isinstance(self._calculator, str)
            else type(self._calculator).__module__
        )
        theirs = {module.partition(".")[0]} if self._python is None else set()
        return ("cgrec", "numpy", "ase", *(theirs - {"ase", "cgrec", "__main__"}))

    def system(self) -> System | None:
        """Of the start structure."""
        return self._start_frame.system

    def boxes(self) -> NDArray[np.floating] | None:
        """Of the start structure."""
        return self._start_frame.boxes()

    def sample(self, folder: Path, seed: int) -> Frames:
        """Run, or go on with, the simulation whose pieces are in `folder`.

        Raises:
            SamplingStopped: the calculator failed or gave something not finite; what was saved is
                kept.
        """
        chunks, start, settings = Chunks(folder), self._start_frame, self._settings
        dynamics, random = self._dynamics(start, seed)
        run = _Run(dynamics, random, start.system, chunks, settings)
        total = settings.n_frames
        name = type(dynamics.atoms.calc).__name__
        if chunks.n_frames < total:
            run.resume_or_begin(name)
        with Progress(name, total, "frame", done=chunks.n_frames) as bar:
            for n in chunk_sizes(chunks.n_frames, total, settings.frames_per_chunk):
                run.piece(n, bar)
        return chunks.frames(start.system, settings.temperature)

    @cached_property
    def _start_frame(self) -> Frames:
        frames = read(
            self._structure,
            temperature=self._settings.temperature,
            check_units=False,
            find_constraints=False,
        )
        return frames[0]

    def _dynamics(self, start: Frames, seed: int) -> tuple[Langevin, np.random.Generator]:
        """ASE's integrator on the start structure, and the generator it draws from."""
        from ase import units
        from ase.md.langevin import Langevin
        from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

        random = np.random.default_rng(np.random.SeedSequence([seed, 0]))
        boxes = start.boxes()
        atoms = system_to_atoms(
            start.system, start.positions[0], None if boxes is None else boxes[0]
        )
        atoms.calc = self._make_calculator()
        MaxwellBoltzmannDistribution(atoms, temperature_K=self._settings.temperature, rng=random)
        picosecond = units.fs / TIME["fs"]  # in ASE's unit of time
        return Langevin(
            atoms,
            self._settings.timestep * picosecond,
            temperature_K=self._settings.temperature,
            friction=self._settings.friction / picosecond,
            fixcm=False,
            rng=random,
        ), random

    def _make_calculator(self) -> Calculator:
        if not isinstance(self._calculator, str):
            return self._calculator
        return make_calculator(self._calculator, self._calculator_arguments, self._python)


class _Run:
    """ASE's dynamics made in pieces.

    Args:
        dynamics: its integrator on the atoms.
        random: the generator it draws from.
        system: of the frames.
        chunks: the pieces made so far.
        settings: of the run.
    """

    def __init__(
        self,
        dynamics: Langevin,
        random: np.random.Generator,
        system: System,
        chunks: Chunks,
        settings: _Settings,
    ) -> None:
        self.dynamics = dynamics
        self.random = random
        self.system = system
        self.chunks = chunks
        self.settings = settings

    def resume_or_begin(self, name: str) -> None:
        """Set the state after the last piece, and make what is left of the equilibration.

        Args:
            name: of the calculator.
        """
        state = self.chunks.state()
        if state is not None:
            self.dynamics.atoms.set_positions(state["positions"])
            self.dynamics.atoms.set_momenta(state["momenta"])
            self.random.bit_generator.state = json.loads(str(state["random"]))
        self.chunks.equilibrate(name, self.settings.equilibration, self._equilibrate, self._state)

    def _equilibrate(self, n: int, bar: Progress) -> None:
        """`n` steps without a frame, as one piece."""
        _forget(self.dynamics.atoms)
        try:
            for _ in range(n):
                self._steps(1)
                bar.advance()
        except SamplingStopped as stop:
            said = f"{stop.args[0]}, after {bar.done} steps of the equilibration"
            raise SamplingStopped(_advice(self.chunks, said)) from stop.__cause__

    def piece(self, n: int, bar: Progress) -> None:
        """`n` frames as one piece; a failure saves the frames before it and raises."""
        _forget(self.dynamics.atoms)
        frames: Kept = {"positions": [], "forces": [], "energies": [], "box": []}
        state = self._state()
        try:
            for _ in range(n):
                self._steps(self.settings.stride)
                _keep(frames, self.dynamics.atoms, self.system, self.settings.temperature)
                state = self._state()
                bar.advance()
        except SamplingStopped as stop:
            if frames["positions"]:
                self.chunks.append(frames, state)
            raise SamplingStopped(_advice(self.chunks, str(stop.args[0]))) from stop.__cause__
        self.chunks.append(frames, state)

    def _steps(self, n: int) -> None:
        """`n` steps of the integrator, every result checked.

        Raises:
            SamplingStopped: the calculator failed, or a force is not finite.
        """
        for _ in range(n):
            try:
                forces = self.dynamics.step()
            except Exception as error:  # calculators fail each in their own way
                raise SamplingStopped(f"{type(error).__name__}: {error}") from error
            if not np.isfinite(forces).all():
                raise SamplingStopped("the calculator gave forces that are not finite")

    def _state(self) -> dict[str, object]:
        """Everything the next step depends on (ASE's units)."""
        atoms = self.dynamics.atoms
        return {
            "positions": atoms.get_positions(),
            "momenta": atoms.get_momenta(),
            "random": json.dumps(self.random.bit_generator.state),
        }


def _keep(frames: Kept, atoms: Atoms, system: System, temperature: float) -> None:
    """Append positions, forces, energy and box of `atoms`, in our units."""
    from ase.calculators.singlepoint import SinglePointCalculator

    copy = atoms.copy()
    energy = atoms.get_potential_energy()
    if not np.isfinite(energy):
        raise SamplingStopped("the calculator gave an energy that is not finite")
    copy.calc = SinglePointCalculator(copy, energy=energy, forces=atoms.get_forces())
    one = atoms_to_frames([copy], temperature, system)
    frames["positions"].append(one.positions[0])
    frames["forces"].append(one.need_forces()[0])
    frames["energies"].append(one.energies[0])  # type: ignore[index]
    if one.box is not None:
        frames["box"].append(one.box)


def _forget(atoms: Atoms) -> None:
    """Let the calculator drop cached results and starting guesses, which a resumed run does not
    have.
    """
    calculator = atoms.calc
    if hasattr(calculator, "reset"):
        calculator.reset()
    if getattr(calculator, "_res", None) is not None:  # tblite keeps its wavefunction past a reset
        calculator._res = None


def _advice(chunks: Chunks, why: str) -> str:
    return (
        f"the run stopped: {why}. {chunks.n_frames} frames are kept in {chunks.folder}; the "
        "same command "
        "goes on from there. Where it "
        "stops again, use a smaller timestep, a better start structure or firmer settings of "
        "the calculator, "
        "in another folder"
    )
