"""Langevin dynamics of many replicas in one batch.

BAOAB splitting (Leimkuhler, Matthews, Appl. Math. Res. Express 2013, 34), whose configurations are right to second
order with a tiny constant. What a level hands on is its configurations, and their distribution does not depend on the
masses: `minimum_mass` makes light sites heavier so that the time step can be longer.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..files import write_whole
from ..frames import Frames
from ..potential.base import Potential
from ..potential.bias import MetadynamicsBias
from ..potential.graph import SiteGraph, VerletList, check_box
from ..potential.state import other_density
from ..ranges import expect
from ..units import thermal_energy
from .exchange import Exchange
from .guard import Guard
from .store import FrameStore

#: A replica whose kinetic temperature is so many times that of the thermostat has exploded: chance does this to a single
#: free site once in 10^12 looks, to larger systems never.
HOT = 20


@dataclass
class SimulationReport:
    """What a run came to.

    Attributes:
        replicas: replicas started.
        lost: [{"replica", "time" (ps), "why"}] of those stopped before the end; their frames up to then are kept.
        simulated: ns of all replicas together, without equilibration.
        seconds: wall time.
        ns_per_day: aggregate.
        kinetic_temperature: [K, standard error over replicas].
        frames: saved.
        exchange_acceptance: of replica exchange, nan without.
        weight_efficiency: (sum w)^2 / (n sum w^2); 1 for an unbiased run.
    """

    replicas: int = 0
    lost: list[dict[str, Any]] = field(default_factory=list)
    simulated: float = 0.0
    seconds: float = 0.0
    ns_per_day: float = 0.0
    kinetic_temperature: list[float] = field(default_factory=lambda: [float("nan")] * 2)
    frames: int = 0
    exchange_acceptance: float = float("nan")
    weight_efficiency: float = 1.0


class BiasPlan:
    """Grow a well-tempered metadynamics bias for a while, then freeze it and sample.

    Args:
        variables: {name: [four site labels]}, one or two dihedrals.
        growth: ps per replica during which the bias grows, before equilibration.
        bias_factor: how flat the landscape becomes: free energies are divided by it.
        height: kJ/mol each walker adds at first per `every` steps.
        every: steps between deposits.
        points: grid points per variable.
    """

    def __init__(
        self,
        *,
        variables: dict[str, list[str]],
        growth: float,
        bias_factor: float = 6.0,
        height: float = 0.05,
        every: int = 25,
        points: int = 36,
    ) -> None:
        expect("BiasPlan", above=0, height=height)
        expect("BiasPlan", above=1, bias_factor=bias_factor)
        expect("BiasPlan", at_least=0, growth=growth)
        expect("BiasPlan", at_least=1, every=every, points=points)
        self.variables, self.growth, self.bias_factor, self.height, self.every, self.points = (
            variables,
            growth,
            bias_factor,
            height,
            every,
            points,
        )

    def make(self, potential: Potential, start: Frames) -> MetadynamicsBias:
        """The empty bias for these frames."""
        bias = MetadynamicsBias(
            types=potential.types,
            variables=self.variables,
            temperature=start.temperature,
            bias_factor=self.bias_factor,
            height=self.height,
            points=self.points,
        )
        return bias.bind(start.system)


class Langevin:
    """BAOAB Langevin dynamics, (potential, start) -> Frames with forces.

    Args:
        n_replicas: run side by side; starting structures are drawn from `start` by weight.
        length: ps per replica that are kept.
        save_every: ps between saved frames.
        equilibration: ps per replica before, not kept.
        timestep: ps.
        friction: 1/ps, one for all or {site type: its own} (see `fit_friction`).
        minimum_mass: amu; lighter sites are given this mass.
        held: labels of sites that stay where they start, as `System.site` takes them.
        skin: nm added to the cutoff so that neighbours are found again only when a site has moved half of it.
        bias: to grow and freeze a bias first.
        exchange: replica exchange in temperature.
        checkpoint_every: saved frames per replica between two points from which a killed run goes on.
        keep_energies: store potential energies: for level 0 only, where they are true energies.
        compile: run on `Potential.compiled()`: "auto" does so where the work saved outweighs the time a compiler takes.
        other_temperature: run a PMF at a temperature it was not made at.
        other_density: run a PMF at a density it was not made at; a PMF of a periodic system knows the range of its frames.
    """

    def __init__(
        self, *, n_replicas: int = 64, length: float = 100.0, save_every: float = 0.1, equilibration: float = 2.0, timestep: float = 0.002,
        friction: float | Mapping[str, float] = 1.0, minimum_mass: float = 0.0, skin: float = 0.1, bias: BiasPlan | None = None,
        exchange: Exchange | None = None, held: Sequence[str] = (),
        checkpoint_every: int = 20, keep_energies: bool = False, compile: str | bool = "auto", other_temperature: bool = False,
        other_density: bool = False,
    ) -> None:  # fmt: skip
        expect("Langevin", above=0, length=length, save_every=save_every, timestep=timestep)
        expect("Langevin", at_least=1, n_replicas=n_replicas, checkpoint_every=checkpoint_every)
        expect("Langevin", at_least=0, equilibration=equilibration, minimum_mass=minimum_mass, skin=skin)
        self.n_replicas, self.length, self.save_every, self.equilibration = (
            n_replicas,
            length,
            save_every,
            equilibration,
        )
        self.timestep, self.friction, self.minimum_mass, self.skin = timestep, friction, minimum_mass, skin
        self.bias, self.exchange, self.checkpoint_every, self.keep_energies, self.compile = (
            bias,
            exchange,
            checkpoint_every,
            keep_energies,
            compile,
        )
        self.other_temperature, self.other_density, self.held = other_temperature, other_density, tuple(held)
        self.stride = max(1, round(save_every / timestep))
        self.n_saves = max(1, round(length / (self.stride * timestep)))

    @property
    def growth_steps(self) -> int:
        """Steps in which the bias grows."""
        return 0 if self.bias is None else round(self.bias.growth / self.timestep)

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.first_step + self.n_saves * self.stride

    @property
    def first_step(self) -> int:
        """Steps before the first kept stretch, whole strides."""
        return (
            -(-(self.growth_steps + round(self.equilibration / self.timestep)) // self.stride) * self.stride
        )

    def __call__(
        self,
        potential: Potential,
        start: Frames,
        folder: str | Path,
        *,
        seed: int = 0,
        guard: Guard | None = None,
        name: str = "simulation",
    ) -> tuple[Frames, SimulationReport]:
        """Run and leave the frames in `folder`. The same call after a kill continues from the last checkpoint.

        Args:
            potential: run at the temperature of `start`; a PMF is valid at no other.
            start: where replicas start.
            folder: becomes a Frames folder.
            seed: of noise and starting structures.
            guard: watches every replica at every saved frame.
            name: shown by the progress bar.

        Raises:
            ValueError: the box is narrower than twice the cutoff; a type is unknown; another temperature, density or bond graph; every replica was lost.
            FileExistsError: `folder` exists.
        """
        if Path(folder).exists():
            raise FileExistsError(f"{folder} exists already: load it, or choose another folder")
        check_box(start.box, potential.cutoff)
        self._check_state(potential, start)
        run = _Run(self, potential, start, Path(folder), seed, guard)
        run.resume()
        with tqdm(total=self.total_steps, initial=run.step, desc=name, unit="step", mininterval=1.0) as bar:
            while run.step < self.total_steps and bool(run.alive.any()):
                run.stretch(bar)
        return run.finish()

    def _check_state(self, potential: Potential, start: Frames) -> None:
        made_at = potential.temperature
        if made_at is not None and abs(made_at - start.temperature) > 0.01 and not self.other_temperature:
            raise ValueError(
                f"the potential is a PMF made at {made_at} K and the run is at {start.temperature} K: run it at {made_at} K, train one at "
                f"{start.temperature} K, or ask for the error by name with other_temperature=True"
            )
        differs = None if self.other_density else other_density(potential.density, start)
        if differs is not None:
            raise ValueError(
                f"the potential is a PMF {differs}: run it in the box of its frames, train one at this density, or ask for the "
                "error by name with other_density=True"
            )


class _Run:
    """State of one run; `stretch` advances it by one saved frame."""

    def __init__(
        self,
        options: Langevin,
        potential: Potential,
        start: Frames,
        folder: Path,
        seed: int,
        guard: Guard | None,
    ) -> None:
        self.options, self.potential, self.folder, self.guard = options, potential, folder, guard
        self.system, self.temperature = start.system, start.temperature
        n, device = options.n_replicas, potential.device
        picked = draw(start, n, np.random.default_rng((seed, 0)))
        self.positions = torch.as_tensor(np.array(picked.positions, float), device=device)
        self.box = (
            None
            if picked.boxes() is None
            else torch.as_tensor(np.array(picked.boxes(), float), device=device)
        )
        self.masses = torch.as_tensor(np.maximum(self.system.masses, options.minimum_mass), device=device)[
            :, None
        ]
        self.species = potential.species(self.system).to(device)
        self.generators = [
            torch.Generator(device).manual_seed(int(s))
            for s in np.random.SeedSequence((seed, 1)).generate_state(n + 1)
        ]
        self.bias = None if options.bias is None else options.bias.make(potential, start).to(device)
        self.rungs = (
            torch.zeros(n, dtype=torch.long) if options.exchange is None else options.exchange.rungs(n)
        )
        self.free = torch.ones_like(self.masses)
        self.free[[self.system.site(label) for label in options.held]] = 0.0
        self.half_kick = 0.5 * options.timestep / self.masses * self.free
        self.friction = _frictions(options.friction, self.system.types).to(device)
        self.decay = torch.exp(-self.friction * options.timestep)
        self._heat()
        self.velocities = self._normal(1)[0] * (self.kT / self.masses).sqrt() * self.free
        self.alive = torch.ones(n, dtype=torch.bool, device=device)
        self.step, self.saved, self.swaps = 0, 0, [0, 0]
        self.kinetic = torch.zeros(
            2, n, dtype=torch.float64, device=device
        )  # sum of instantaneous temperatures, and their number
        self.report = SimulationReport(replicas=n)
        self.store = FrameStore(
            folder,
            self.system,
            self.temperature,
            options.n_saves * int((self.rungs == 0).sum()),
            energies=options.keep_energies,
            weights=self.bias is not None,
        )
        self.evaluate = potential.compiled() if self._pays() else potential
        self.neighbours = VerletList(self.species, potential.reach(options.skin), options.skin)

    # -- dynamics ------------------------------------------------------------------------------------------------

    def stretch(self, bar: tqdm) -> None:
        """One stride of steps, then save, checkpoint and show."""
        begin = time.time()
        if self.neighbours.found is None:
            self._forces()
        for noise in self._normal(self.options.stride):
            self._advance(noise)
        self._watch()
        if self.step > self.options.first_step:
            self._save()
        self.report.seconds += time.time() - begin
        if (self.step // self.options.stride) % self.options.checkpoint_every == 0:
            self.checkpoint()
        bar.update(self.options.stride)
        self._show(bar)

    def _advance(self, noise: Tensor) -> None:
        """One BAOAB step of every replica that is alive."""
        dt = self.options.timestep
        self.velocities.addcmul_(self.half_kick, self.total_force)
        self.positions.add_(self.velocities, alpha=0.5 * dt)
        self.velocities.mul_(self.decay).addcmul_(self.noise_scale, noise)
        self.positions.add_(self.velocities, alpha=0.5 * dt)
        self._forces()
        self.velocities.addcmul_(self.half_kick, self.total_force)
        if self.report.lost:
            self._freeze()
        self.step += 1
        self._grow()
        self._exchange()

    def _forces(self) -> None:
        self.energy, forces = self.evaluate(self._graph())
        self.force = forces.view_as(self.positions).double()
        self.total_force = self.force
        if self.bias is not None:
            self.bias_energy, push = self.bias(self._graph())
            self.total_force = self.force + push.view_as(self.positions)

    def _graph(self) -> SiteGraph:
        return self.neighbours(self.positions, self.box)

    def _grow(self) -> None:
        plan = self.options.bias
        if plan is not None and self.step <= self.options.growth_steps and self.step % plan.every == 0:
            self.bias.deposit(self.bias.coordinates(self._graph())[self.alive])  # type: ignore[union-attr]

    def _exchange(self) -> None:
        plan = self.options.exchange
        if plan is None or self.step % plan.every:
            return
        energy = self.energy if self.bias is None else self.energy + self.bias_energy
        energy = torch.where(
            self.alive & energy.isfinite(), energy, torch.inf
        )  # the dead go to the hottest rung
        before = self.kT.clone()
        self.rungs, accepted, attempted = plan.swap(
            self.rungs, energy, self.temperature, self.generators[-1], (self.step // plan.every) % 2 == 1
        )
        self.swaps = [self.swaps[0] + accepted, self.swaps[1] + attempted]
        self._heat()
        self.velocities *= (self.kT / before).sqrt()

    def _heat(self) -> None:
        """Set kT (n_replicas, 1, 1) in kJ/mol of the rungs, and what depends on it."""
        factors = (
            torch.ones(1) if self.options.exchange is None else torch.tensor(self.options.exchange.factors)
        )
        kT = thermal_energy(self.temperature) * factors.double()[self.rungs]
        self.kT = kT[:, None, None].to(self.positions.device)
        spread = 1 - torch.exp(-2 * self.friction * self.options.timestep)
        self.noise_scale = (spread * self.kT / self.masses).sqrt() * self.free

    def _normal(self, steps: int) -> Tensor:
        """(steps, n_replicas, n_sites, 3) normal noise, each replica from its own generator."""
        shape = (steps, *self.positions.shape[1:])
        draw_one = lambda g: torch.randn(shape, generator=g, device=g.device)  # noqa: E731
        return torch.stack([draw_one(g) for g in self.generators[:-1]], dim=1).double()

    def _pays(self) -> bool:
        """Whether compiling saves more than it takes: 5 s on a CPU (10^7 pairs), a minute on a GPU (10^4 calls)."""
        if self.options.compile != "auto":
            return bool(self.options.compile)
        if self.positions.is_cuda:
            return self.options.total_steps > 10_000
        pairs = len(self.positions) * self.system.n_sites * min(self.system.n_sites, 50)
        return self.options.total_steps * pairs > 1e7

    # -- watching ------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Stop replicas that exploded or left what the potential was trained on."""
        finite = (self.positions.isfinite() & self.force.isfinite()).all(-1).all(-1)
        self._lose(self.alive & ~finite, "exploded: a position or force is not finite")
        self._lose(self.alive & ~(self._temperatures() < HOT * self.temperature), "exploded: far too hot")
        if self.guard is not None:
            score = self.guard.score(self.neighbours(torch.nan_to_num(self.positions), self.box))
            self._lose(self.alive & ~(score <= 1), "left the region the potential was trained on")

    def _lose(self, which: Tensor, why: str) -> None:
        for replica in which.nonzero()[:, 0].tolist():
            self.alive[replica] = False
            where = self._place(replica)
            self.report.lost.append(
                {"replica": replica, "time": self.step * self.options.timestep, "why": why, **where}
            )
        if bool(which.any()):
            self._freeze()

    def _place(self, replica: int) -> dict[str, float]:
        """Where a replica is, in the variables of the bias."""
        if self.bias is None:
            return {}
        values = self.bias.coordinates(self._graph())[replica].tolist()
        return {variable.name: value for variable, value in zip(self.bias.variables, values)}

    def _freeze(self) -> None:
        # A stopped replica stays in the batch at a harmless place, so that shapes never change.
        dead = ~self.alive
        if not bool(self.alive.any()):
            return
        example = int(self.alive.nonzero()[0])
        self.positions[dead], self.velocities[dead] = self.positions[example].clone(), 0.0
        self.total_force[dead] = 0.0

    # -- keeping -------------------------------------------------------------------------------------------------

    def _save(self) -> None:
        """Store what stands on the lowest rung; a stopped replica has nothing more to say."""
        lowest = (self.rungs.to(self.alive.device) == 0) & self.alive
        self.kinetic += torch.stack([self._temperatures(), torch.ones_like(self.kT[:, 0, 0])]) * self.alive
        values = {
            "positions": self.positions,
            "forces": self.force,
            "energies": self.energy,
            "replicas": self._labels(),
        }
        if self.bias is not None:
            values["weights"] = torch.exp(self.bias_energy / thermal_energy(self.temperature))
        self.store.put(self.saved, **{k: v[lowest].cpu().numpy() for k, v in values.items()})
        self.saved += int(lowest.sum())

    def _temperatures(self) -> Tensor:
        """(n_replicas,) instantaneous kinetic temperature, K, scaled to the lowest rung.

        From velocities after the first half kick of the next step: those of a whole step are too cold by the factor
        1 - (omega dt)^2 / 4 for a harmonic mode, these are exact, as the positions are.
        """
        halfway = self.velocities + self.half_kick * self.total_force
        kinetic = (self.masses * halfway**2).sum((-1, -2)) / (3 * self.free.sum())
        return kinetic / self.kT[:, 0, 0] * self.temperature

    def _labels(self) -> Tensor:
        rungs = 1 if self.options.exchange is None else len(self.options.exchange.factors)
        return torch.arange(len(self.positions), device=self.positions.device) // rungs

    def _show(self, bar: tqdm) -> None:
        kept = (
            max(0, self.step - self.options.first_step) * self.options.timestep * 1e-3 * len(self.positions)
        )
        self.report.simulated = kept
        self.report.ns_per_day = (
            self.step
            * self.options.timestep
            * 1e-3
            * len(self.positions)
            / max(self.report.seconds, 1e-9)
            * 86400
        )
        kinetic = float(self.kinetic[0].sum() / self.kinetic[1].sum()) if self.saved else float("nan")
        bar.set_postfix(
            ns_per_day=f"{self.report.ns_per_day:.1f}",
            T=f"{kinetic:.0f}K",
            lost=len(self.report.lost),
            refresh=False,
        )

    def checkpoint(self) -> None:
        """Everything needed to go on; neighbours are found anew here so that going on equals never having stopped."""
        self.store.flush()
        state = {
            "step": self.step, "saved": self.saved, "swaps": self.swaps, "positions": self.positions, "velocities": self.velocities, "alive": self.alive,
            "rungs": self.rungs, "kinetic": self.kinetic, "generators": [g.get_state() for g in self.generators], "report": vars(self.report),
            "bias": None if self.bias is None else self.bias.heights,
        }  # fmt: skip
        write_whole(self.store.partial / "checkpoint.pt", lambda partial: torch.save(state, partial))
        self.neighbours.forget()
        self._forces()

    def resume(self) -> None:
        path = self.store.partial / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True, map_location=self.potential.device)
        for key in ("step", "saved", "swaps", "positions", "velocities", "alive", "kinetic"):
            setattr(self, key, state[key])
        self.rungs, self.report = state["rungs"].cpu(), SimulationReport(**state["report"])
        self._heat()
        for generator, saved in zip(self.generators, state["generators"]):
            generator.set_state(saved.cpu())
        if self.bias is not None:
            self.bias.heights.copy_(state["bias"])

    def finish(self) -> tuple[Frames, SimulationReport]:
        if self.saved == 0:
            raise ValueError(
                f"all {len(self.positions)} replicas were lost before a frame could be kept; first: {self.report.lost[:1]}. Train longer, add data or shorten the time step"
            )
        report = self.report
        report.frames = self.saved
        per_replica = (self.kinetic[0] / self.kinetic[1])[self.kinetic[1] > 0].cpu().numpy()
        report.kinetic_temperature = [
            float(per_replica.mean()),
            float(per_replica.std() / np.sqrt(len(per_replica))),
        ]
        if self.swaps[1]:
            report.exchange_acceptance = self.swaps[0] / self.swaps[1]
        frames = self.store.close(self.saved, None if self.box is None else self.box[0].cpu().numpy())
        (self.folder / "checkpoint.pt").unlink(missing_ok=True)
        if self.bias is not None:
            self.bias.save(self.folder / "bias.pt")
        report.weight_efficiency = frames.weight_efficiency()
        return frames, report


def _frictions(given: float | Mapping[str, float], types: Sequence[str]) -> Tensor:
    """(n_sites, 1) 1/ps."""
    if not isinstance(given, Mapping):
        return torch.full((len(types), 1), float(given), dtype=torch.float64)
    missing = sorted(set(types) - set(given))
    if missing:
        raise ValueError(f"Langevin.friction: expected one for every site type, found none for {missing}")
    return torch.tensor([[float(given[t])] for t in types], dtype=torch.float64)


def draw(frames: Frames, n: int, rng: np.random.Generator) -> Frames:
    """`n` frames drawn by weight, in random order."""
    return frames[rng.permutation(resampled(frames, n, rng))]


def resampled(frames: Frames, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) indices drawn by weight, spread evenly (systematic resampling) and in order."""
    points = (np.arange(n) + rng.uniform()) / n
    return np.minimum(np.searchsorted(np.cumsum(frames.normalised_weights()), points), len(frames) - 1)
