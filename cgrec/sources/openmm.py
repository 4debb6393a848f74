"""Level 0 simulated on the spot with an OpenMM force field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..devices import asked
from ..dynamics.langevin import LONGEST_STEP
from ..files import missing
from ..frames import Frames
from ..io import select_sites
from ..io.stated import check_pdb
from ..needs import need
from ..progress import Progress
from ..ranges import expect, expect_reach, expect_unit
from ..remarks import remark
from ..system import System
from .base import Chunks, SamplingStopped, Source, chunk_sizes, expect_kelvin
from .openmm_system import (
    created,
    force_field_of_files,
    listed,
    masses_of,
    openmm_modules,
    system_of,
)

if TYPE_CHECKING:
    import openmm
    from openmm.app import Simulation, Topology

_NONBONDED = {
    "pme": "PME",
    "no_cutoff": "NoCutoff",
    "cutoff_periodic": "CutoffPeriodic",
    "cutoff_open": "CutoffNonPeriodic",
}
_PERIODIC = ("pme", "cutoff_periodic")
#: Platforms of OpenMM that compute on a GPU.
_ON_GPU = frozenset({"CUDA", "HIP", "OpenCL", "Metal"})
_CONSTRAINTS = {"none": None, "h_bonds": "HBonds", "all_bonds": "AllBonds", "h_angles": "HAngles"}


@dataclass(frozen=True)
class _Run:
    """A prepared simulation: OpenMM's Simulation, its massive particles, and which of them are
    kept.
    """

    simulation: Simulation
    system: System
    massive: NDArray[np.int64]
    kept: NDArray[np.int64]

    def begin(self, chunks: Chunks, arguments: Mapping[str, Any], seed: int) -> None:
        """Continue after the last piece, or minimise, draw velocities and equilibrate."""
        state = chunks.state()
        if state is None:
            if arguments["minimise"]:
                self.simulation.minimizeEnergy()
            drawn = _openmm_seed(seed, 1)
            self.simulation.context.setVelocitiesToTemperature(arguments["temperature"], drawn)
        else:
            self.restore(chunks, state)
        chunks.equilibrate(
            "OpenMM",
            arguments["equilibration"],
            lambda n, bar: self.equilibrate(chunks, n, arguments["stride"], bar),
            self.checkpoint,
        )

    def piece(self, chunks: Chunks, n: int, stride: int, bar: Progress) -> None:
        """`n` frames, `stride` steps apart, as one piece."""
        # As a resumed run does: lists of neighbours are made anew, whose order is that of sums.
        self.simulation.context.reinitialize(preserveState=True)
        frames: dict[str, list[object]] = {
            "positions": [],
            "forces": [],
            "energies": [],
            "box": [],
        }
        for _ in range(n):
            self.steps(stride, chunks)
            found = self._snapshot()
            for name, value in found.items():
                frames[name].append(value)
            if not np.isfinite(found["forces"]).all():
                raise SamplingStopped(_advice(chunks, "forces are not finite"))
            bar.advance()
        chunks.append(frames, self.checkpoint())

    def equilibrate(self, chunks: Chunks, n: int, stride: int, bar: Progress) -> None:
        """`n` steps without a frame, as one piece."""
        self.simulation.context.reinitialize(preserveState=True)
        for done in range(0, n, stride):
            some = min(stride, n - done)
            self.steps(some, chunks)
            bar.advance(some)

    def steps(self, n: int, chunks: Chunks) -> None:
        """`n` steps. SamplingStopped where OpenMM fails."""
        openmm, _ = _openmm()
        try:
            self.simulation.step(n)
        except openmm.OpenMMException as error:
            raise SamplingStopped(_advice(chunks, str(error))) from error

    def checkpoint(self) -> dict[str, NDArray[np.uint8]]:
        """OpenMM's own state, its random streams included."""
        state = self.simulation.context.createCheckpoint()
        return {"checkpoint": np.frombuffer(state, np.uint8)}

    def restore(self, chunks: Chunks, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Set what `checkpoint` gave, as it stands in the last piece.

        Raises:
            SamplingStopped: OpenMM does not take it.
        """
        openmm, _ = _openmm()
        try:
            self.simulation.context.loadCheckpoint(state["checkpoint"].tobytes())
        except openmm.OpenMMException as error:
            raise SamplingStopped(
                f"the run in {chunks.folder} cannot go on here ({error}): it was begun by "
                "another version, platform or device of OpenMM; finish it there, or remove "
                f"{chunks.folder} to begin again"
            ) from error

    def _snapshot(self) -> dict[str, NDArray[np.floating] | float]:
        """Positions nm, forces kJ/mol/nm, energy kJ/mol and box nm of the present state, molecules
        whole.
        """
        state = self.simulation.context.getState(positions=True, forces=True, energy=True)
        sites = self.massive[self.kept]
        found = {
            "positions": state.getPositions(asNumpy=True)._value[sites].astype(np.float32),
            "forces": state.getForces(asNumpy=True)._value[sites].astype(np.float32),
            "energies": state.getPotentialEnergy()._value,
        }
        if self.simulation.system.usesPeriodicBoundaryConditions():
            found["box"] = np.array(state.getPeriodicBoxVectors(asNumpy=True)._value)
        return found


class OpenMMSource(Source):
    """Langevin-middle dynamics of a structure under OpenMM force-field files, positions and plain
    forces saved.

    The plain forces leave out the forces of constraints; the constraints (rigid water included) are
    listed in the System, so that a mapping can respect them. Massless virtual sites are no sites:
    OpenMM has passed their forces on.
    """

    def __init__(
        self,
        *,
        structure: str | Path,
        force_field: str | Sequence[str],
        temperature: float,
        n_frames: int,
        stride: int = 500,
        timestep: float = 0.002,
        friction: float = 1.0,
        equilibration: int = 10000,
        minimise: bool = True,
        constraints: Literal["none", "h_bonds", "all_bonds", "h_angles"] = "h_bonds",
        rigid_water: bool = True,
        nonbonded: Literal["pme", "no_cutoff", "cutoff_periodic", "cutoff_open"] = "pme",
        cutoff: float = 0.9,
        hydrogen_mass: float | None = None,
        selection: str | None = None,
        platform: str | None = None,
        frames_per_chunk: int = 100,
    ):
        """Keep the run's settings; OpenMM starts in `make`.

        Args:
            structure: PDB file, complete with hydrogens and solvent.
            force_field: OpenMM force-field files, e.g. ["amber14-all.xml", "amber14/tip3p.xml"].
            temperature: K.
            n_frames: frames to save, `stride` steps apart.
            stride: steps between saved frames.
            timestep: ps.
            friction: 1/ps.
            cutoff: nm, of what is summed in real space.
            equilibration: steps before the first saved interval.
            minimise: take clashes out of the structure first.
            constraints, rigid_water, nonbonded: as OpenMM's createSystem understands them.
            hydrogen_mass: amu, taken from the heavy atom; allows a longer time step.
            selection: sites to keep, in MDAnalysis' language.
            platform: "CPU", "CUDA", "Reference", ...; default: the fastest of the climb's device.
            frames_per_chunk: frames between two files of the run, from which it resumes.

        Raises:
            ValueError: an unknown choice, or a number that is not positive.
        """
        self._arguments = {k: v for k, v in locals().items() if k != "self"}
        self._structure = Path(structure)
        for name, table in (("nonbonded", _NONBONDED), ("constraints", _CONSTRAINTS)):
            if self._arguments[name] not in table:
                raise ValueError(
                    f"OpenMMSource.{name}: expected one of {', '.join(table)}, found "
                    f"{self._arguments[name]!r}"
                )
        expect("OpenMMSource", above=0, timestep=timestep, friction=friction)
        expect("OpenMMSource", at_least=1, n_frames=n_frames, stride=stride)
        expect("OpenMMSource", at_least=1, frames_per_chunk=frames_per_chunk)
        expect("OpenMMSource", at_least=0, equilibration=equilibration)
        expect("OpenMMSource", above=0, hydrogen_mass=1 if hydrogen_mass is None else hydrogen_mass)
        expect_kelvin("OpenMMSource", temperature)
        expect_unit(
            "OpenMMSource", "ps", below=LONGEST_STEP, mistaken="fs", factor=1e-3, timestep=timestep
        )
        expect_reach("OpenMMSource", cutoff=cutoff)
        need("OpenMMSource", "openmm", "openmm")
        listed(force_field)

    def recipe(self) -> dict[str, object]:
        """The arguments but for the path, whose content counts, and how the work is divided."""
        left_out = ("structure", "platform", "frames_per_chunk")
        return {
            **{k: v for k, v in self._arguments.items() if k not in left_out},
            "force_field": listed(self._arguments["force_field"]),
        }

    def files(self) -> list[Path]:
        """Start structure."""
        if not self._structure.exists():
            raise missing("source.structure", self._structure)
        return [self._structure]

    def packages(self) -> Sequence[str]:
        """Simulation engine."""
        return ("cgrec", "numpy", "openmm")

    @cached_property
    def _pdb(self) -> Any:
        _, app = _openmm()
        return _read(app, self._structure)

    def system(self) -> System | None:
        """Of the structure and its bonds, with masses of the elements; sites without element are
        virtual.
        """
        topology = self._pdb.topology
        masses = np.array(
            [0.0 if a.element is None else a.element.mass._value for a in topology.atoms()]
        )
        system = system_of(topology, None, masses, np.flatnonzero(masses > 0))
        chosen = self._arguments["selection"]
        return system if chosen is None else system.select(select_sites(system, chosen))

    def boxes(self) -> NDArray[np.floating] | None:
        """Of the structure, where forces are periodic."""
        if self._arguments["nonbonded"] not in _PERIODIC:
            return None
        vectors = self._pdb.topology.getPeriodicBoxVectors()
        return None if vectors is None else np.array(vectors._value)[None]

    def sample(self, folder: Path, seed: int) -> Frames:
        """Run, or go on with, the simulation whose pieces are in `folder`."""
        chunks, run = Chunks(folder), self._prepare(seed)
        run.begin(chunks, self._arguments, seed)
        total = self._arguments["n_frames"]
        with Progress("OpenMM", total, "frame", done=chunks.n_frames) as bar:
            for n in chunk_sizes(chunks.n_frames, total, self._arguments["frames_per_chunk"]):
                run.piece(chunks, n, self._arguments["stride"], bar)
        return chunks.frames(run.system.select(run.kept.tolist()), self._arguments["temperature"])

    def _prepare(self, seed: int) -> _Run:
        openmm, _ = _openmm()
        a, pdb = self._arguments, self._pdb
        field = force_field_of_files("OpenMMSource", a["force_field"], "source.force_field")
        plain = created(field, pdb.topology, self._options(pdb.topology))
        integrator = openmm.LangevinMiddleIntegrator(a["temperature"], a["friction"], a["timestep"])
        integrator.setRandomNumberSeed(_openmm_seed(seed, 0))
        simulation = _reproducible(pdb.topology, plain, integrator, a["platform"])
        simulation.context.setPositions(pdb.positions)
        # Repartitioned masses belong to the integrator: centres of mass are those of the true ones.
        moved = a["hydrogen_mass"] is not None
        masses = masses_of(field.createSystem(pdb.topology) if moved else plain)
        massive = np.flatnonzero(masses > 0)
        system = system_of(pdb.topology, plain, masses, massive)
        kept = np.array(
            range(len(massive)) if a["selection"] is None else select_sites(system, a["selection"])
        )
        return _Run(simulation, system, massive, kept)

    def _options(self, topology: Topology) -> dict[str, object]:
        """Arguments of OpenMM's createSystem."""
        _, app = _openmm()
        from openmm.unit import nanometer

        a = self._arguments
        if a["nonbonded"] in _PERIODIC and topology.getPeriodicBoxVectors() is None:
            raise ValueError(
                f"{self._structure} has no periodic box and nonbonded={a['nonbonded']} needs one: "
                "add a CRYST1 record, or choose nonbonded=no_cutoff"
            )
        held = _CONSTRAINTS[a["constraints"]]
        return {
            "nonbondedMethod": getattr(app, _NONBONDED[a["nonbonded"]]),
            "nonbondedCutoff": a["cutoff"] * nanometer,  # files of implicit solvents want a unit
            "constraints": None if held is None else getattr(app, held),
            "rigidWater": a["rigid_water"],
            "removeCMMotion": False,
            "hydrogenMass": a["hydrogen_mass"],
        }


def _read(app: Any, structure: str | Path) -> Any:
    """A PDB as OpenMM reads it, whose elements are what its names say."""
    check_pdb(structure)
    return app.PDBFile(str(structure))


def _openmm() -> tuple[ModuleType, ModuleType]:
    return openmm_modules("OpenMMSource")


def _reproducible(
    topology: Topology, plain: openmm.System, integrator: openmm.Integrator, name: str | None
) -> Simulation:
    """OpenMM's Simulation on the platform asked for, or the fastest that works here, with forces
    that do not depend on the order in which threads end (property DeterministicForces) where the
    platform can, so that a run can be made again and resumed bit by bit; a remark where it cannot.
    """
    openmm, app = _openmm()
    platforms = [openmm.Platform.getPlatform(k) for k in range(openmm.Platform.getNumPlatforms())]
    fastest = sorted(platforms, key=lambda p: -p.getSpeed())
    wanted = _allowed(fastest) if name is None else [openmm.Platform.getPlatformByName(name)]
    for k, platform in enumerate(wanted):
        known = platform.getPropertyNames()
        properties = {"DeterministicForces": "true"} if "DeterministicForces" in known else {}
        try:
            made = app.Simulation(topology, plain, integrator, platform, properties)
        except openmm.OpenMMException:
            if k + 1 == len(wanted):
                raise
            continue
        # On several threads the CPU platform still lists neighbours in an order of chance, whatever
        # DeterministicForces says.
        several = "Threads" in known and int(platform.getPropertyValue(made.context, "Threads")) > 1
        if several or (not properties and platform.getName() != "Reference"):
            remark(
                f"level 0: OpenMM's platform {platform.getName()} adds forces up in no fixed "
                f"order{' on several threads' if several else ''}: "
                "the same seed gives other frames of the same ensemble each time, also after a "
                "kill. OPENMM_CPU_THREADS=1 in the "
                "environment with platform=CPU, or platform=Reference, give the same ones"
            )
        return made
    raise RuntimeError("OpenMM: expected at least one platform, found none: install it anew")


def _allowed(platforms: Sequence[openmm.Platform]) -> list[openmm.Platform]:
    """Those of the device that the climb was told, in their order; all where it was told none.

    Raises:
        ValueError: none of them is.
    """
    device = asked()
    on_gpu = device.startswith("cuda")
    found = [p for p in platforms if device == "auto" or (p.getName() in _ON_GPU) == on_gpu]
    if not found:
        raise ValueError(
            f"source: expected a platform of OpenMM for device={device}, found "
            f"{', '.join(p.getName() for p in platforms)}; give source.platform=CPU, or install "
            "OpenMM for your GPU: pip install openmm[cuda12]"
        )
    return found


def _openmm_seed(seed: int, stream: int) -> int:
    """A seed of OpenMM's size (31 bits, not 0, which means 'any') for one of the run's random
    streams.
    """
    return int(np.random.SeedSequence([seed, stream]).generate_state(1)[0] % (2**31 - 2)) + 1


def _advice(chunks: Chunks, why: str) -> str:
    return (
        f"OpenMM stopped ({why}); {chunks.n_frames} frames are kept in {chunks.folder}: look "
        "at the start "
        "structure, use a smaller "
        "timestep or a longer equilibration, in another folder"
    )
