"""The inverse of a mapping that drops whole molecules: solvent put back around sites that stay
where they are.

A sample of p(solvent | kept sites): the molecules that `Drop` left out are inserted at their known
number, relaxed, and sampled under the finer level's potential with the kept sites frozen, until
their energy and their distribution about the kept sites are stationary. Frozen sites make the round
trip exact; if the coarse frames follow the marginal of the fine ensemble, the draws follow the fine
ensemble.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..analysis import block_average, mean_absolute_difference, rdf
from ..analysis.pair_counts import half_width
from ..cell import widths
from ..dynamics import Langevin
from ..files import write_whole
from ..frames import Frames
from ..mapping import Mapping
from ..potential import Potential
from ..remarks import remark
from ..sources.openmm_system import openmm_modules
from ..system import System

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

#: Blocks of each of the two stretches of time that are compared; few, so that one outlasts a
#: solvent molecule's memory.
_BLOCKS = 5
#: nm per bin of the distributions compared, and how far they reach.
_BIN, _REACH = 0.02, 0.8
#: nm by which a kept site may come back moved from an engine: rounding of single precision.
_ROUNDING = 1e-4


class Engine(Protocol):
    """Relaxes and samples the solvent under the finer level's potential."""

    def begin(self, start: Frames, kept: Indices, seed: int) -> Callable[[float], Frames]:
        """Relax the one frame of `start` without moving the sites `kept`.

        Returns a function that runs so many ps further and gives the frames saved on the way, with
        energies.
        """


@dataclass(frozen=True)
class Check:
    """The second half of a run so far against the quarter before it.

    Attributes:
        time: ps run so far, after relaxation.
        energy: mean of the second half, kJ/mol per inserted molecule.
        energy_difference, energy_error: of the two means, kJ/mol per molecule, from blocks.
        rdf_difference: mean |difference| of g(r) of kept sites and inserted heavy atoms, over
            distances and pairs of types.
        rdf_floor: what two samples of one ensemble with these block errors show by chance.
        rdf_error: standard error of `rdf_difference`.
    """

    time: float
    energy: float
    energy_difference: float
    energy_error: float
    rdf_difference: float
    rdf_floor: float
    rdf_error: float

    @property
    def stationary(self) -> bool:
        """Both agree within two standard errors."""
        return (
            abs(self.energy_difference) <= 2 * self.energy_error
            and self.rdf_difference <= self.rdf_floor + 2 * self.rdf_error
        )

    def __str__(self) -> str:
        return (
            f"{self.time:g} ps: energy {self.energy:.3f} kJ/mol per molecule, difference "
            f"{self.energy_difference:.3f} +- "
            f"{self.energy_error:.3f}; g(r) difference {self.rdf_difference:.3f} +- "
            f"{self.rdf_error:.3f}, by chance "
            f"{self.rdf_floor:.3f}"
        )


@dataclass
class Resolvation:
    """Solvent around coarse frames, `resolvation(coarse_frames) -> Frames` of all sites of
    `mapping.fine`.

    Attributes:
        mapping: keeps single sites and drops whole molecules, as `Drop` makes it.
        template: Frames of a System with one molecule or more of every kind dropped (same names in
            the same order); the first molecule of its first frame lends its geometry.
        engine: samples the solvent.
        stretch: ps between two looks at whether the run is stationary.
        least, most: ps run in any case, and at most; after `most`, a RuntimeWarning says how far
            from stationary it is.
        closest: nm; molecules of one heavy atom start so far from kept sites and each other, larger
            ones farther.
        folder: keeps each finished frame, so that an interrupted call goes on where it was; None:
            nothing is kept.
        traces: the checks made for each coarse frame of the last call.

    Raises:
        ValueError: a coarse site is no single fine site, part of a molecule is kept, the template
            lacks a kind of molecule, or the lengths contradict each other.
    """

    mapping: Mapping
    template: Frames
    engine: Engine
    stretch: float = 5.0
    least: float = 20.0
    most: float = 100.0
    closest: float = 0.2
    folder: Path | None = None
    traces: list[list[Check]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        if not 0 < self.stretch <= self.least <= self.most:
            raise ValueError(
                f"Resolvation: expected 0 < stretch <= least <= most ps, found {self.stretch}, "
                f"{self.least}, {self.most}"
            )
        self.kept = _kept_sites(self.mapping)
        self.molecules = _dropped_molecules(self.mapping.fine, self.kept)
        self.shapes = _shapes(self.mapping.fine, self.molecules, self.template)

    def __call__(
        self,
        coarse_frames: Frames,
        n_draws: int = 1,
        generator: np.random.Generator | int | None = None,
    ) -> Frames:
        """(n_frames * n_draws) fine Frames, the draws of frame 0 first, with the box, weights and
        replicas of the coarse.

        Draws of one frame are spread evenly over the second half of one run.

        Raises:
            ValueError: no box, sites of another System, no room for the molecules, or `folder`
                holds another call's frames.
            RuntimeError: the engine moved a kept site.
        """
        if coarse_frames.system.names != self.mapping.coarse.names:
            raise ValueError(
                f"Resolvation: expected frames of the mapping's {self.mapping.coarse.n_sites} "
                "coarse sites, found "
                f"{coarse_frames.n_sites} sites of other names or order; map them, or reorder "
                "their sites"
            )
        half_width(coarse_frames)  # names the missing box
        seeds = np.random.default_rng(generator).integers(2**31 - 1, size=len(coarse_frames))
        self.traces, positions = [], []
        for k, seed in enumerate(seeds.tolist()):
            drawn, trace = self._resumed(k, coarse_frames[k], n_draws, seed)
            self.traces.append(trace)
            positions.append(drawn)
        repeated = np.repeat(np.arange(len(coarse_frames)), n_draws)
        return replace(
            coarse_frames[repeated],
            system=self.mapping.fine,
            positions=np.concatenate(positions),
            forces=None,
            energies=None,
        )

    def insert(self, frame: Frames, random: np.random.Generator) -> Frames:
        """One coarse frame with all molecules put in, whole, turned at random, on free points of a
        lattice; unrelaxed.

        Raises:
            ValueError: no room.
        """
        kept, (_, boxes) = np.asarray(frame.positions[0], float), half_width(frame)
        positions = np.empty((self.mapping.fine.n_sites, 3))
        positions[self.kept] = kept
        places = self._places(kept, boxes[0], random)
        for atoms, shape, place in zip(self.molecules, self.shapes, places):
            positions[atoms] = place + shape @ _rotation(random).T
        return replace(
            frame,
            system=self.mapping.fine,
            positions=positions[None],
            box=boxes[0],
            forces=None,
            energies=None,
            weights=None,
            replicas=None,
        )

    def _places(self, kept: Array, box: Array, random: np.random.Generator) -> Array:
        """(n_molecules, 3) nm, points of the coarsest lattice with enough of them free."""
        n = len(self.molecules)
        heavy = np.mean([len(_heavy(self.mapping.fine, atoms)) for atoms in self.molecules])
        gap, volume, free = self.closest * heavy ** (1 / 3), abs(np.linalg.det(box)), 0
        spacing = (volume / n) ** (1 / 3)
        while spacing >= gap:
            lattice = _lattice(box, spacing, random)
            lattice = lattice[_nearest(lattice, kept, box) >= gap]
            free = max(free, len(lattice))
            if len(lattice) >= n:
                return lattice[random.permutation(len(lattice))[:n]]
            spacing *= 0.98
        raise ValueError(
            f"Resolvation: expected room for {n} molecules {gap:.3f} nm from each other and "
            f"from {len(kept)} kept sites, found "
            f"{free} places in a box of {volume:.4g} nm^3 ({volume / n:.4g} nm^3 per "
            "molecule); check the units of the box, or "
            "lower `closest`"
        )

    def _resumed(self, k: int, frame: Frames, n_draws: int, seed: int) -> tuple[Array, list[Check]]:
        """What `_sample` gives, from `folder` where it was finished before."""
        if self.folder is None:
            return self._sample(frame, n_draws, seed)
        path = Path(self.folder) / f"frame_{k:05d}.npz"
        if not path.exists():
            drawn, trace = self._sample(frame, n_draws, seed)
            path.parent.mkdir(parents=True, exist_ok=True)
            _save_draws(path, drawn, json.dumps([asdict(c) for c in trace]))
        with np.load(path) as saved:
            drawn, trace = saved["positions"], [Check(**c) for c in json.loads(str(saved["trace"]))]
        if len(drawn) != n_draws or not np.array_equal(drawn[0, self.kept], frame.positions[0]):
            raise ValueError(
                f"{path}: expected {n_draws} draws of this coarse frame, found {len(drawn)} "
                "draws or other kept sites; use another "
                "folder, or remove this one"
            )
        return drawn, trace

    def _sample(self, frame: Frames, n_draws: int, seed: int) -> tuple[Array, list[Check]]:
        """(n_draws, n_fine, 3) nm, and the checks on the way."""
        start = self.insert(frame, np.random.default_rng(seed))
        run, pieces, trace, time = self.engine.begin(start, self.kept, seed), [], [], 0.0
        while time < self.most - 1e-9:
            pieces.append(run(self.stretch))
            time += self.stretch
            self._need_frozen(pieces[-1], start)
            if time < self.least - 1e-9:
                continue
            so_far = replace(Frames.concatenate(pieces), replicas=None)  # one run
            if len(so_far) >= max(4 * _BLOCKS, 2 * n_draws):
                trace.append(self.check(so_far, time))
                if trace[-1].stationary:
                    break
        if not trace:
            raise ValueError(
                f"Resolvation: {sum(map(len, pieces))} frames saved in {time:g} ps are too few "
                f"for {n_draws} draws and a check, which "
                f"need {max(4 * _BLOCKS, 2 * n_draws)}; save more often, or raise `most`"
            )
        if not trace[-1].stationary:
            remark(
                f"Resolvation: not stationary at the longest length allowed, {trace[-1]}; raise "
                "`most`"
            )
        n = len(so_far)
        picked = np.linspace(n // 2, n - 1, n_draws + 1).round().astype(int)[1:]
        drawn = np.asarray(so_far.positions[picked], float)
        drawn[:, self.kept] = frame.positions[0]
        return drawn, trace

    def _need_frozen(self, found: Frames, start: Frames) -> None:
        moved = np.abs(found.positions[:, self.kept] - start.positions[:, self.kept]).max(
            initial=0.0
        )
        allowed = _ROUNDING + 1e-6 * np.abs(start.positions[0, self.kept]).max(initial=0.0)
        if moved > allowed:
            raise RuntimeError(
                f"{type(self.engine).__name__} moved a kept site by {moved:.3g} nm: expected "
                "it frozen; hold the sites it is given"
            )

    def check(self, run: Frames, time: float) -> Check:
        """Second half of `run` (with energies; `time` ps of equally spaced frames) against the
        quarter before.

        Raises:
            ValueError: fewer than 20 frames.
        """
        n = len(run)
        early, late = run[n // 4 : n // 2], run[n // 2 :]
        share = 1 / len(self.molecules)
        a, b = (
            block_average(f, lambda x: share * np.asarray(x.energies).mean(), _BLOCKS)
            for f in (early, late)
        )
        found = [
            mean_absolute_difference(x, y, 0.0, x.r[-1])
            for x, y in zip(self._rdfs(early), self._rdfs(late))
        ]
        return Check(
            time=time,
            energy=float(b.value),
            energy_difference=float(b.value - a.value),
            energy_error=float(np.hypot(a.error, b.error)),
            rdf_difference=float(np.mean([d.value for d in found])),
            rdf_floor=float(np.mean([d.floor for d in found])),
            rdf_error=float(np.linalg.norm([d.error for d in found]) / len(found)),
        )

    def _rdfs(self, frames: Frames) -> list[Any]:
        """g(r) of every type kept and every heavy type inserted, which are told apart even where
        they are called alike.
        """
        system = self.mapping.fine
        heavy = np.concatenate([_heavy(system, atoms) for atoms in self.molecules])
        sites = np.concatenate([self.kept, heavy])
        types = [
            f"{'kept' if k < len(self.kept) else 'new'} {system.types[i]}"
            for k, i in enumerate(sites)
        ]
        # bonds left out: nothing here asks for molecules
        view = System(names=tuple(types), masses=system.masses[sites])
        frames = replace(frames, system=view, positions=frames.positions[:, sites], forces=None)
        bins = int(min(_REACH, half_width(frames)[0]) / _BIN)
        kinds = [sorted({t for t in types if t.startswith(which)}) for which in ("kept", "new")]
        return [
            rdf(frames, a, b, bins * _BIN, bins, n_blocks=_BLOCKS)
            for a in kinds[0]
            for b in kinds[1]
        ]


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
        timestep: ps. friction: 1/ps. cutoff: nm. save_every: ps between saved frames.
        hydrogen_mass: amu, taken from the heavy atom; allows a longer time step and changes no
            distribution of positions.
        iterations: of the minimiser, at most.
        anneal: ps between minimiser and sampling, half of it at `hot` times the temperature, then
            cooled evenly: water put between frozen ions finds its place only over barriers, which
            at 298 K took up to 100 ps.
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

    def _simulation(self, start: Frames, kept: Indices, seed: int) -> Any:
        openmm, app = _openmm()
        topology = _topology(start)
        plain = app.ForceField(*self.force_field).createSystem(
            topology,
            nonbondedMethod=app.PME,
            nonbondedCutoff=self.cutoff,
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


def _openmm() -> tuple[Any, Any]:
    return openmm_modules("OpenMMEngine")


def _topology(start: Frames) -> Any:
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


def _freeze(plain: Any, kept: Indices) -> None:
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


def _kept_sites(mapping: Mapping) -> Indices:
    """(n_coarse,) the fine site each coarse site is."""
    weights = mapping.sparse_position_weights
    single = (np.diff(weights.indptr) == 1) & np.isclose(weights.max(axis=1).toarray(), 1)
    if not single.all():
        raise ValueError(
            "Resolvation: expected a mapping that keeps single sites, as Drop makes it; found "
            "coarse site "
            f"{mapping.coarse.labels[int(np.argmin(single))]} made of several; compose a finer "
            "backmapping with it"
        )
    return weights.indices.astype(np.int64)


def _dropped_molecules(system: System, kept: Indices) -> list[Indices]:
    """Sites of each dropped molecule."""
    dropped, labels = np.ones(system.n_sites, bool), system.molecules
    dropped[kept] = False
    cut = set(labels[kept].tolist()) & set(labels[dropped].tolist())
    if cut or not dropped.any():
        found = f"{len(cut)} molecules of which only a part is kept" if cut else "nothing dropped"
        raise ValueError(
            f"Resolvation: expected a mapping that drops whole molecules, found {found}; use Drop"
        )
    sites = np.flatnonzero(dropped)
    sites = sites[np.argsort(labels[sites], kind="stable")]
    return np.split(sites, np.flatnonzero(np.diff(labels[sites])) + 1)


def _shapes(system: System, molecules: list[Indices], template: Frames) -> list[Array]:
    """(n_atoms, 3) nm of each molecule about its centre of mass."""
    labels = template.system.molecules
    known: dict[tuple[str, tuple[str, ...]], Array] = {}
    for number in range(labels.max() + 1):
        atoms = np.flatnonzero(labels == number)
        known.setdefault(
            _kind(template.system, atoms), np.asarray(template.positions[0, atoms], float)
        )
    missing = sorted({_kind(system, atoms) for atoms in molecules} - set(known))
    if missing:
        raise ValueError(
            f"Resolvation.template: expected a molecule {' '.join(missing[0][1])} of residue "
            f"{missing[0][0]}, found only "
            f"{', '.join(' '.join(k[1][:6]) for k in sorted(known))}; give Frames that hold "
            "one of each kind dropped"
        )
    shapes = []
    for atoms in molecules:
        x = known[_kind(system, atoms)]
        shapes.append(x - system.masses[atoms] @ x / system.masses[atoms].sum())
    return shapes


def _kind(system: System, atoms: Indices) -> tuple[str, tuple[str, ...]]:
    return system.residue_names[atoms[0]], tuple(system.names[i] for i in atoms)


def _heavy(system: System, atoms: Indices) -> Indices:
    """The atoms that are not hydrogen, or all where there is nothing else."""
    heavy = atoms[[system.elements[i] != "H" for i in atoms]]
    return heavy if len(heavy) else atoms


def _rotation(random: np.random.Generator) -> Array:
    from scipy.spatial.transform import Rotation

    return Rotation.random(random_state=random).as_matrix()


def _lattice(box: Array, spacing: float, random: np.random.Generator) -> Array:
    """(n, 3) nm points that fill the box, planes at least `spacing` apart, shifted at random."""
    counts = np.maximum(1, widths(box) // spacing).astype(int)
    grid = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), -1).reshape(-1, 3)
    return (grid + random.random(3)) / counts @ box


def _nearest(points: Array, sites: Array, box: Array) -> Array:
    """(n_points,) nm to the nearest site or image, exact up to half the width of the box."""
    inverse, found = np.linalg.inv(box), []
    for some in np.array_split(points, 1 + len(points) * len(sites) // 10**6):
        apart = (some[:, None] - sites) @ inverse
        found.append(np.linalg.norm((apart - np.round(apart)) @ box, axis=-1).min(1))
    return np.concatenate(found)


def _save_draws(path: Path, drawn: Array, trace: str) -> None:
    """Write one npz file: whole, or not at all."""

    def write(partial: Path) -> None:
        with partial.open("wb") as file:
            np.savez_compressed(file, positions=drawn, trace=np.array(trace))

    write_whole(path, write)
