"""One run of Langevin dynamics: its state, its steps, what it keeps and how it goes on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..checkpoints import Clock, load_state, save_state
from ..files import write_json
from ..frames import Frames
from ..potential.base import Potential, kernel_pays
from ..potential.graph import SiteGraph, VerletList
from ..remarks import remark
from ..stopping import deferred
from ..threads import chosen, has_kernel
from ..units import thermal_energy
from .guard import Guard
from .store import CHECKPOINT, RAW_WEIGHTS, FrameStore

#: A replica whose kinetic temperature is so many times that of the thermostat has exploded: chance
#: does this to a single free site once in 10^12 looks, to larger systems never.
HOT = 20
#: What a run came to, beside its frames.
SIMULATION = "simulation.json"


@dataclass
class SimulationReport:
    """What a run came to.

    Attributes:
        replicas: replicas started.
        lost: [{"replica", "time" (ps), "why"}] of those stopped before the end; their frames up to
            then are kept.
        simulated: ns of all replicas together, without equilibration.
        seconds: wall time.
        ns_per_day: aggregate.
        kinetic_temperature: [K, standard error over replicas]. Of velocities after a half kick,
            which in BAOAB have the temperature of the thermostat at any usual time step, in
            anharmonic potentials too. Where it differs by more than its error the run is most often
            not in equilibrium: it still takes up or gives off potential energy, which the
            thermostat makes good within about 1 / friction. A longer equilibration mends that.
        frames: saved.
        exchange_acceptance: of replica exchange, nan without.
        weight_efficiency: (sum w)^2 / (n sum w^2); 1 for an unbiased run.
        guard: which guard watched, how many false alarms it is set to give, the largest score of a
            replica that was kept. Replicas that it stopped are in `lost`: what is left is an
            ensemble under the condition of not having been stopped.
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
    guard: dict[str, Any] = field(default_factory=dict)


class AllLost(ValueError):
    """No replica of a run lived to its end."""


class Run:
    """State of one run; `stretch` advances it by one saved frame."""

    def __init__(
        self,
        options: Any,  # a Langevin, which imports this file
        potential: Potential,
        start: Frames,
        folder: Path,
        seed: int,
        guard: Guard | None,
    ) -> None:
        self.options = options
        self.potential = potential
        self.folder = folder
        self.guard = guard
        self.system = start.system
        self.temperature = start.temperature
        n, device = options.n_replicas, potential.device
        picked = draw(start, n, np.random.default_rng((seed, 0)))
        self.positions = torch.as_tensor(np.array(picked.positions, float), device=device)
        self.box = (
            None
            if picked.boxes() is None
            else torch.as_tensor(np.array(picked.boxes(), float), device=device)
        )
        self.masses = torch.as_tensor(
            np.maximum(self.system.masses, options.minimum_mass), device=device
        )[:, None]
        self.species = potential.species(self.system).to(device)
        self.generators = [
            torch.Generator(device).manual_seed(int(s))
            for s in np.random.SeedSequence((seed, 1)).generate_state(n + 1)
        ]
        self.bias = None if options.bias is None else options.bias.make(potential, start).to(device)
        self.rungs = (
            torch.zeros(n, dtype=torch.long)
            if options.exchange is None
            else options.exchange.rungs(n)
        )
        self.free = torch.ones_like(self.masses)
        self.free[[self.system.site(label) for label in options.held]] = 0.0
        self.half_kick = 0.5 * options.timestep / self.masses * self.free
        self.friction = _frictions(options.friction, self.system.types).to(device)
        self.decay = torch.exp(-self.friction * options.timestep)
        self._heat()
        self.velocities = self._normal(1)[0] * (self.kT / self.masses).sqrt() * self.free
        self.alive = torch.ones(n, dtype=torch.bool, device=device)
        self.step = 0
        self.saved = 0
        self.swaps = [0, 0]
        self.evaluated = False
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
            boxes=self.box is not None and bool((self.box != self.box[0]).any()),
        )
        self.clock = Clock()
        self.evaluate = potential.compiled() if self._pays() else potential
        self.neighbours = VerletList(self.species, potential.reach(options.skin), options.skin)

    # -- dynamics
    # ------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Go on from a checkpoint or from the end of a shorter run; or take the space for a new
        one.
        """
        if self.store.begun:
            self.resume(self.store.partial / CHECKPOINT)
        elif self.folder.exists():
            self.lengthen()
        else:
            self.store.create()

    def loop(self, bar: tqdm) -> None:
        """To the end, or until nothing lives, or until asked to stop; a checkpoint is left in each
        case.
        """
        n_sites = len(self.positions) * self.system.n_sites
        with deferred() as request, chosen(str(bar.desc), self.trial, n_sites) as choose:
            while (
                self.step < self.options.total_steps and bool(self.alive.any()) and not request.due
            ):
                self.stretch(bar)
                choose()
            if self.step:
                self.checkpoint()
            request.stop(
                f"a checkpoint after step {self.step} of {self.options.total_steps} is in "
                f"{self.store.partial}"
            )

    def trial(self) -> Callable[[], Any] | None:
        """One force call, kept nowhere: what threads are chosen by. None where no kernel computes
        it.
        """
        if not has_kernel(self.evaluate):
            return None
        neighbours = VerletList(self.species, self.neighbours.reach, self.neighbours.skin)

        def step() -> None:
            self.evaluate(neighbours(self.positions.clone(), self.box))

        return step

    def stretch(self, bar: tqdm) -> None:
        """One stride of steps, then save, checkpoint and show."""
        begin = time.time()
        if not self.evaluated:
            self._forces()
            self._freeze()
        for noise in self._normal(self.options.stride):
            self._advance(noise)
        self._watch()
        if self.step > self.options.first_step:
            self._save()
        self.report.seconds += time.time() - begin
        self._count()  # before the checkpoint, which may be the last of the run
        if (
            self.step // self.options.stride
        ) % self.options.checkpoint_every == 0 or self.clock.due:
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
        self.evaluated = True
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
        if (
            plan is not None
            and self.step <= self.options.growth_steps
            and self.step % plan.every == 0
        ):
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
            self.rungs,
            energy,
            self.temperature,
            self.generators[-1],
            (self.step // plan.every) % 2 == 1,
        )
        self.swaps = [self.swaps[0] + accepted, self.swaps[1] + attempted]
        self._heat()
        self.velocities *= (self.kT / before).sqrt()

    def _heat(self) -> None:
        """Set kT (n_replicas, 1, 1) in kJ/mol of the rungs, and what depends on it."""
        factors = (
            torch.ones(1)
            if self.options.exchange is None
            else torch.tensor(self.options.exchange.factors)
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
        """Whether compiling saves more than it takes: 5 s on a CPU (`kernel_pays`), a minute on a
        GPU (10^4 calls).
        """
        if self.options.compile != "auto":
            return bool(self.options.compile)
        if self.positions.is_cuda:
            return self.options.total_steps > 10_000
        return kernel_pays(self.options.total_steps * len(self.positions), self.system.n_sites)

    # -- watching
    # ------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Stop replicas that exploded or left what the potential was trained on."""
        finite = (self.positions.isfinite() & self.force.isfinite()).all(-1).all(-1)
        self._lose(self.alive & ~finite, "exploded: a position or force is not finite")
        self._lose(
            self.alive & ~(self._temperatures() < HOT * self.temperature), "exploded: far too hot"
        )
        if self.guard is not None:
            self._guard(
                self.guard.score(self.neighbours(torch.nan_to_num(self.positions), self.box))
            )

    def _guard(self, score: Tensor) -> None:
        """Stop replicas beyond the guard's bound, and note the largest score (n_replicas,) of those
        that go on.
        """
        # A hot rung wanders further: variances grow as its temperature does.
        score = score / (self.kT[:, 0, 0] / thermal_energy(self.temperature)).sqrt()
        self._lose(
            self.alive & ~(score <= 1), "left the region the potential was trained on", score=score
        )
        if bool(self.alive.any()):
            known = self.report.guard.get("largest_score", 0.0)
            largest = max(known, float(score[self.alive].max()))
            self.report.guard = {**self.guard.about(), "largest_score": largest}  # type: ignore[union-attr]

    def _lose(self, which: Tensor, why: str, **numbers: Tensor) -> None:
        for replica in which.nonzero()[:, 0].tolist():
            self.alive[replica] = False
            where = {
                **self._place(replica),
                **{name: float(x[replica]) for name, x in numbers.items()},
            }
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
        if not bool(dead.any()):
            return
        example = int(self.alive.nonzero()[0])
        self.positions[dead], self.velocities[dead] = self.positions[example].clone(), 0.0
        self.total_force[dead] = 0.0

    # -- keeping
    # -------------------------------------------------------------------------------------------------

    def _save(self) -> None:
        """Store what stands on the lowest rung; a stopped replica has nothing more to say."""
        lowest = (self.rungs.to(self.alive.device) == 0) & self.alive
        self.kinetic += (
            torch.stack([self._temperatures(), torch.ones_like(self.kT[:, 0, 0])]) * self.alive
        )
        values = {
            "positions": self.positions,
            "forces": self.force,
            "energies": self.energy,
            "replicas": self._labels(),
        }
        if self.bias is not None:
            values[RAW_WEIGHTS] = torch.exp(self.bias_energy / thermal_energy(self.temperature))
        if "box" in self.store.arrays:
            values["box"] = self.box
        self.store.put(self.saved, **{k: v[lowest].cpu().numpy() for k, v in values.items()})
        self.saved += int(lowest.sum())

    def _temperatures(self) -> Tensor:
        """(n_replicas,) instantaneous kinetic temperature, K, scaled to the lowest rung.

        From velocities after the first half kick of the next step: those of a whole step are too
        cold by the factor 1 - (omega dt)^2 / 4 for a harmonic mode, these are exact, as the
        positions are.
        """
        halfway = self.velocities + self.half_kick * self.total_force
        kinetic = (self.masses * halfway**2).sum((-1, -2)) / (3 * self.free.sum())
        return kinetic / self.kT[:, 0, 0] * self.temperature

    def _labels(self) -> Tensor:
        rungs = 1 if self.options.exchange is None else len(self.options.exchange.factors)
        return torch.arange(len(self.positions), device=self.positions.device) // rungs

    def _count(self) -> None:
        """Bring the simulated time and the speed of the report up to this step."""
        ns_per_step = self.options.timestep * 1e-3 * len(self.positions)
        self.report.simulated = max(0, self.step - self.options.first_step) * ns_per_step
        self.report.ns_per_day = self.step * ns_per_step / max(self.report.seconds, 1e-9) * 86400

    def _show(self, bar: tqdm) -> None:
        mean = self.kinetic[0].sum() / self.kinetic[1].sum()
        kinetic = float(mean if self.saved else self._temperatures()[self.alive].mean())
        bar.set_postfix(
            ns_per_day=f"{self.report.ns_per_day:.1f}",
            T=f"{kinetic:.0f}K",
            lost=len(self.report.lost),
            refresh=False,
        )

    def checkpoint(self) -> None:
        """Everything needed to go on as if nothing had happened, the order of neighbours included."""
        state = {
            "step": self.step,
            "saved": self.saved,
            "swaps": self.swaps,
            "positions": self.positions,
            "velocities": self.velocities,
            "alive": self.alive,
            "rungs": self.rungs,
            "kinetic": self.kinetic,
            "generators": [g.get_state() for g in self.generators],
            "report": asdict(self.report),
            "bias": None if self.bias is None else self.bias.heights,
            "neighbours": self.neighbours.state(),
            "device": self.positions.device.type,
            "pieces": self.store.flush(self.saved),
        }
        save_state(self.store.partial / CHECKPOINT, state)
        self.clock.reset()

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = load_state(path, self.potential.device)
        if state["positions"].shape != self.positions.shape:
            raise ValueError(
                f"{path}: expected {tuple(self.positions.shape[:2])} replicas and sites, found "
                f"{tuple(state['positions'].shape[:2])}: "
                "it is of another run; remove its folder, or go back to the first settings"
            )
        self._restore(state)
        self.store.open(state["pieces"])

    def lengthen(self) -> None:
        """Go on from the end of the shorter run that is in the folder."""
        path = self.folder / CHECKPOINT
        if not path.exists():
            raise FileExistsError(
                f"{self.folder} exists already: load it, or choose another folder"
            )
        state = load_state(path, self.potential.device)
        if state["step"] >= self.options.total_steps:
            raise FileExistsError(
                f"{self.folder} exists already: load it, or choose another folder"
            )
        self._restore(state)
        self.store.extend(self.saved)
        self.checkpoint()

    def _restore(self, state: dict[str, Any]) -> None:
        for key in ("step", "saved", "swaps", "positions", "velocities", "alive", "kinetic"):
            setattr(self, key, state[key])
        self.rungs = state["rungs"].cpu()
        self.report = SimulationReport(**state["report"])
        self._heat()
        if self.bias is not None:
            self.bias.heights.copy_(state["bias"])
        self.neighbours.restore(state["neighbours"], self.positions.device, self.box)
        if state["device"] == self.positions.device.type:
            for generator, saved in zip(self.generators, state["generators"]):
                generator.set_state(saved.cpu())
            return
        remark(
            f"{self.folder}: begun on {state['device']} and going on on "
            f"{self.positions.device.type}, whose random numbers are others: "
            "from here on the frames are as good, but not those of a run on one device"
        )
        for generator in self.generators:
            generator.manual_seed((generator.initial_seed() + self.step) % 2**63)

    def finish(self) -> None:
        """Leave the frames, and beside them what the run came to and its bias."""
        report = self.report
        if self.saved == 0:
            raise AllLost(
                f"all {len(self.positions)} replicas were lost before a frame could be kept. "
                f"{why_lost(report.lost, self.options.timestep)}"
            )
        report.frames = self.saved
        per_replica = (self.kinetic[0] / self.kinetic[1])[self.kinetic[1] > 0].cpu().numpy()
        report.kinetic_temperature = [
            float(per_replica.mean()),
            float(per_replica.std() / np.sqrt(len(per_replica))),
        ]
        if self.swaps[1]:
            report.exchange_acceptance = self.swaps[0] / self.swaps[1]
        if RAW_WEIGHTS in self.store.arrays:
            raw = np.array(self.store.arrays[RAW_WEIGHTS][: self.saved])
            report.weight_efficiency = float(raw.sum() ** 2 / (len(raw) * (raw**2).sum()))
        write_json(self.store.partial / SIMULATION, asdict(report))
        if self.bias is not None:
            self.bias.save(self.store.partial / "bias.pt")
        one_box = self.box is not None and "box" not in self.store.arrays
        self.store.close(self.saved, self.box[0].cpu().numpy() if one_box else None)  # type: ignore[index]


def why_lost(lost: Sequence[Mapping[str, Any]], timestep: float) -> str:
    """What stopped most replicas, the first of them, and what to do about that, in one or two
    sentences.
    """
    reasons = Counter(one["why"] for one in lost)
    why, n = reasons.most_common(1)[0]
    first = next(one for one in lost if one["why"] == why)
    if why.startswith("exploded"):
        way = (
            f"Halve the time step ({timestep:g} ps now); if that changes nothing, the forces are "
            "wrong: look at the explained fraction"
        )
    else:
        way = (
            "Look at the explained fraction of the fit and give it frames from where the replicas "
            "went, or train it further"
        )
    return f"{n} of {len(lost)} {why}, the first after {first['time']:g} ps. {way}."


def _frictions(given: float | Mapping[str, float], types: Sequence[str]) -> Tensor:
    """(n_sites, 1) 1/ps."""
    if not isinstance(given, Mapping):
        return torch.full((len(types), 1), float(given), dtype=torch.float64)
    missing = sorted(set(types) - set(given))
    if missing:
        raise ValueError(
            f"Langevin.friction: expected one for every site type, found none for {missing}"
        )
    return torch.tensor([[float(given[t])] for t in types], dtype=torch.float64)


def draw(frames: Frames, n: int, rng: np.random.Generator) -> Frames:
    """`n` frames drawn by weight, in random order."""
    return frames[rng.permutation(resampled(frames, n, rng))]


def resampled(frames: Frames, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) indices drawn by weight, spread evenly (systematic resampling) and in order."""
    points = (np.arange(n) + rng.uniform()) / n
    return np.minimum(
        np.searchsorted(np.cumsum(frames.normalised_weights()), points), len(frames) - 1
    )
