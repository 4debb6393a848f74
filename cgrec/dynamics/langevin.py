"""Langevin dynamics of many replicas in one batch.

By BAOAB splitting (`integrators`). What a level hands on is its configurations, and their
distribution does not depend on the masses: `minimum_mass` makes light sites heavier so that the
time step can be longer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..frames import SAME_TEMPERATURE, Frames
from ..potential.base import Potential, kernel_pays
from ..potential.graph import check_box
from ..potential.state import other_density
from ..progress import Progress
from ..ranges import expect, expect_unit
from ..roles import Guard, Hook
from ..run.checkpoints import load_state
from ..run.lock import only_here
from ..statistics.resampling import draw
from ..system import System
from .hooks import Barostat, BiasPlan, Exchange, Watch
from .integrators import Baoab, HeldCentres, ReplicaNoise
from .replicas import Field, Replicas
from .report import SIMULATION, AllLost, SimulationReport, why_lost
from .run import Run, Schedule
from .store import CHECKPOINT, FrameStore, finish, partial_of

#: ps: no coarse model takes such a step, and every step in fs is larger.
LONGEST_STEP = 0.5
#: Steps of a run on a GPU from which compiling, a minute there, saves more than it takes.
STEPS_THAT_PAY = 10_000


@dataclass(kw_only=True, eq=False)
class Langevin:
    """BAOAB Langevin dynamics, (potential, start) -> Frames with forces.

    Attributes:
        n_replicas: run side by side; starting structures are drawn from `start` by weight.
        length: ps per replica that are kept.
        save_every: ps between saved frames.
        equilibration: ps per replica before, not kept.
        timestep: ps.
        friction: 1/ps, one for all or {site type: its own} (see `fit_friction`).
        minimum_mass: amu; lighter sites are given this mass.
        held: labels of sites that stay where they start, as `System.site` takes them.
        held_centres: groups of sites whose weighted centre stays where it starts, each as {label:
            weight}; a site may be in one group.
        skin: nm added to the cutoff: neighbours are found again when a site has moved half of it.
        bias: to grow and freeze a bias first.
        exchange: replica exchange in temperature.
        hooks: what else is done beside the steps (see `cgrec.roles.Hook`), after these two.
        checkpoint_every: saved frames per replica between checkpoints.
        keep_energies: store potential energies: for level 0 only, where they are true energies.
        compile: run on `Potential.compiled()`: "auto" does so where the work saved outweighs the
            time a compiler takes.
        other_temperature: run a PMF at a temperature it was not made at.
        other_density: run a PMF at a density it was not made at; a PMF of a periodic system knows
            the range of its frames.
        use_lost: let frames of a run that lost all its replicas stand for the ensemble.
    """

    n_replicas: int = 128
    length: float = 20
    save_every: float = 0.1
    equilibration: float = 1
    timestep: float = 0.003
    friction: float | Mapping[str, float] = 1.0
    minimum_mass: float = 0.0
    skin: float = 0.1
    bias: BiasPlan | None = None
    exchange: Exchange | None = None
    held: Sequence[str] = ()
    held_centres: Sequence[Mapping[str, float]] | None = None
    checkpoint_every: int = 20
    keep_energies: bool = False
    compile: Literal["auto"] | bool = "auto"
    other_temperature: bool = False
    other_density: bool = False
    use_lost: bool = False
    hooks: Sequence[Hook] | None = None

    def __post_init__(self) -> None:
        _check_numbers(self)
        _check_hooks(self.hooks or ())
        if self.bias is not None and _keeps_hot(self):
            raise ValueError(
                "Langevin.exchange: expected keep=lowest beside a bias, found all; leave one out"
            )
        self.held = tuple(self.held)

    @property
    def stride(self) -> int:
        """Steps between saved frames."""
        return max(1, round(self.save_every / self.timestep))

    @property
    def n_saves(self) -> int:
        """Frames kept per replica."""
        return max(1, round(self.length / (self.stride * self.timestep)))

    @property
    def all_hooks(self) -> tuple[Hook, ...]:
        """What is done beside the steps, in this order."""
        own = [hook for hook in (self.bias, self.exchange) if hook is not None]
        return (*own, *(self.hooks or ()))

    @property
    def warm_up_steps(self) -> int:
        """Steps that hooks need before the equilibration."""
        return sum(round(hook.warm_up / self.timestep) for hook in self.all_hooks)

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.first_step + self.n_saves * self.stride

    @property
    def first_step(self) -> int:
        """Steps before the first kept stretch, whole strides."""
        before = self.warm_up_steps + round(self.equilibration / self.timestep)
        return -(-before // self.stride) * self.stride

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
        """Run and leave the frames in `folder`, with simulation.json and the bias beside them.

        The same call after a kill continues from the last checkpoint; the frames are those of a run
        that was not killed. A call for a longer run than the one in `folder` goes on from its end;
        one for a shorter run than the one at work there ends it earlier.

        Args:
            potential: run at the temperature of `start`; a PMF is valid at no other.
            start: where replicas start. Each keeps the box of the frame it starts from.
            folder: becomes a Frames folder.
            seed: of noise and starting structures.
            guard: watches every replica at every saved frame.
            name: shown by the progress bar.

        Raises:
            ValueError: the box is narrower than twice the cutoff; a type is unknown; another
                temperature, density or bond graph.
            Busy: another process runs into the same folder.
            AllLost: every replica was lost, the message says whether frames are kept.
            FileExistsError: `folder` holds a run that is as long as this one, or longer.
            OtherRecipe: the run at work in `folder` is longer already.
            Changed: something it would go on from was changed.
        """
        folder = Path(folder)
        with only_here(partial_of(folder), beside=True):
            if finish(folder):
                return self.judged(folder)
            if folder.exists() and (folder / SIMULATION).exists():
                self.judged(folder)  # a run without a living replica is not made longer
            check_start(self, potential, start)
            noise = ReplicaNoise(seed, self.n_replicas, potential.device)
            own = picked(self, start, seed)
            run = prepared(self, potential, start, own, noise, folder, guard)
            run.begin()
            to_its_end(run, name)
            run.finish()
            return self.judged(folder)

    def long_enough(self, folder: Path) -> bool:
        """Whether the finished run in `folder` needs not to be made longer; one of an older version
        cannot be.
        """
        path = folder / CHECKPOINT
        if not path.exists() or SimulationReport.read(folder).all_lost:
            return True
        return bool(load_state(path)["step"] >= self.total_steps)

    def judged(self, folder: Path) -> tuple[Frames, SimulationReport]:
        """Frames and report of a finished run.

        Raises:
            AllLost: no replica lived to its end, and `use_lost` does not say that its frames stand
                for the ensemble.
        """
        report = SimulationReport.read(folder)
        if report.all_lost and not self.use_lost:
            raise AllLost(
                f"all {report.replicas} replicas were lost before the end of the run; "
                f"{report.frames} frames are kept in {folder} and "
                f"stand for nothing. {why_lost(report.lost, self.timestep)} What was made from "
                "the old settings is then made anew; "
                "use_lost=true of the dynamics goes on with these frames"
            )
        return Frames.load(folder), report


def _check_numbers(options: Langevin) -> None:
    """ValueError where a number is out of its range, a time was given in fs, no frame is saved within
    the length, or replicas do not fill ladders.
    """
    expect("Langevin", above=0, length=options.length, timestep=options.timestep)
    expect("Langevin", above=0, save_every=options.save_every)
    expect("Langevin", at_least=1, n_replicas=options.n_replicas)
    expect("Langevin", at_least=1, checkpoint_every=options.checkpoint_every)
    expect("Langevin", at_least=0, equilibration=options.equilibration, skin=options.skin)
    expect("Langevin", at_least=0, minimum_mass=options.minimum_mass)
    if isinstance(options.friction, Mapping):
        for kind, value in options.friction.items():
            expect("Langevin", at_least=0, **{f"friction[{kind}]": value})
    else:
        expect("Langevin", at_least=0, friction=options.friction)
    step = options.timestep
    expect_unit("Langevin", "ps", below=LONGEST_STEP, mistaken="fs", factor=1e-3, timestep=step)
    if options.exchange is not None:
        options.exchange.first_rungs(options.n_replicas)
    if options.save_every > options.length * (1 + 1e-9):
        raise ValueError(
            "Langevin.save_every: expected ps between saved frames, at most the length of "
            f"{options.length:g} ps, found {options.save_every:g}; lower it, or give a longer length"
        )


def check_start(options: Langevin, potential: Potential, start: Frames) -> None:
    """ValueError where the box is narrower than twice the cutoff, or a PMF is at another temperature
    or density than it was made at.
    """
    check_box(start.box, potential.cutoff)
    made_at = potential.temperature
    if (
        made_at is not None
        and abs(made_at - start.temperature) > SAME_TEMPERATURE
        and not options.other_temperature
    ):
        raise ValueError(
            f"the potential is a PMF made at {made_at} K and the run is at "
            f"{start.temperature} K: run it at {made_at} K, train one at "
            f"{start.temperature} K, or ask for the error by name with other_temperature=True"
        )
    differs = None if options.other_density else other_density(potential.density, start)
    if differs is not None:
        raise ValueError(
            f"the potential is a PMF {differs}: run it in the box of its frames, train one "
            "at this density, or ask for the "
            "error by name with other_density=True"
        )


def _check_hooks(hooks: Sequence[Hook]) -> None:
    for hook in hooks:
        if not isinstance(hook, Hook):
            raise ValueError(
                "Langevin.hooks: expected tables that say what they are (_target_: ...), "
                f"each a cgrec.dynamics.Hook, found {hook!r}"
            )


def picked(options: Langevin, start: Frames, seed: int) -> Frames:
    """(n_replicas,) frames that replicas start from."""
    return draw(start, options.n_replicas, np.random.default_rng((seed, 0)))


def prepared(
    options: Langevin,
    potential: Potential,
    start: Frames,
    own: Frames,
    noise: ReplicaNoise,
    folder: Path,
    guard: Guard | None = None,
    more: Sequence[Hook] = (),
) -> Run:
    """A run at its start.

    Args:
        options: of the run.
        potential: of it.
        start: what hooks are told of.
        own: of these, a frame for each replica.
        noise: of as many replicas.
        folder: becomes a Frames folder.
        guard: watches every replica at every saved frame.
        more: hooks after all others.
    """
    device = potential.device
    system = own.system
    boxes = own.boxes()
    box = None if boxes is None else torch.as_tensor(np.array(boxes, float), device=device)
    heavy = np.maximum(system.masses, options.minimum_mass)
    masses = torch.as_tensor(heavy, device=device)[:, None]
    free = torch.ones_like(masses)
    free[[system.site(label) for label in options.held]] = 0.0
    friction = _frictions(options.friction, system.types).to(device)
    compiled = _pays(options, device, system.n_sites)
    replicas = Replicas(
        own,
        Field(potential, system, box, options.skin, compiled),
        Baoab(options.timestep, masses, friction, free, _centres(options, system, masses)),
        noise,
    )
    watch = [] if guard is None else [Watch(guard)]
    hooks = [copy(hook) for hook in (*options.all_hooks, *watch)]
    replicas.begin([*hooks, *more], potential, start)
    return Run(_schedule(options), replicas, _store(options, replicas, folder))


def to_its_end(run: Run, name: str) -> None:
    """Make all steps of a run that was begun, under a bar of this name."""
    with Progress(name, run.schedule.total_steps, done=run.replicas.step) as bar:
        run.loop(bar)


def _centres(options: Langevin, system: System, masses: Tensor) -> HeldCentres | None:
    """The centres that are held; ValueError where groups share a site, which may not be held itself."""
    if not options.held_centres:
        return None
    group = torch.full((system.n_sites,), -1)
    weights = torch.zeros(system.n_sites, dtype=torch.float64)
    taken = {system.site(label) for label in options.held}
    for k, own in enumerate(options.held_centres):
        for label, weight in own.items():
            site = system.site(label)
            if site in taken:
                raise ValueError(
                    "Langevin.held_centres: expected groups that share no site with another one or "
                    f"with held, found {system.labels[site]} twice"
                )
            taken.add(site)
            group[site] = k
            weights[site] = weight
    return HeldCentres(group.to(masses.device), weights.to(masses.device), masses)


def _schedule(options: Langevin) -> Schedule:
    return Schedule(
        options.stride, options.first_step, options.total_steps, options.checkpoint_every
    )


def _store(options: Langevin, replicas: Replicas, folder: Path) -> FrameStore:
    box = replicas.box
    hot = _keeps_hot(options)
    return FrameStore(
        folder,
        replicas.system,
        replicas.temperature,
        options.n_saves * int(replicas.kept.sum()),
        energies=options.keep_energies or hot,
        weights=bool(replicas.pushing),
        temperatures=hot,
        boxes=box is not None and (_at_pressure(options) or bool((box != box[0]).any())),
    )


def _at_pressure(options: Langevin) -> bool:
    """Whether boxes change."""
    return any(isinstance(hook, Barostat) for hook in options.all_hooks)


def _keeps_hot(options: Langevin) -> bool:
    """Whether frames of all temperatures are kept. Their weights and those of a bias do not go
    together.
    """
    return options.exchange is not None and options.exchange.keep == "all"


def _pays(options: Langevin, device: torch.device, n_sites: int) -> bool:
    """Whether compiling saves more than it takes: 5 s on a CPU (`kernel_pays`), a minute on a
    GPU.
    """
    if options.compile != "auto":
        return bool(options.compile)
    if device.type == "cuda":
        return options.total_steps > STEPS_THAT_PAY
    steps = options.total_steps
    return kernel_pays(steps * options.n_replicas, n_sites, steps)


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
