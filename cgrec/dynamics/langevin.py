"""Langevin dynamics of many replicas in one batch.

BAOAB splitting (Leimkuhler, Matthews, Appl. Math. Res. Express 2013, 34), whose configurations are
right to second order with a tiny constant. What a level hands on is its configurations, and their
distribution does not depend on the masses: `minimum_mass` makes light sites heavier so that the
time step can be longer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from tqdm import tqdm

from ..checkpoints import load_state
from ..files import read_json
from ..frames import Frames
from ..lock import only_here
from ..potential.base import Potential
from ..potential.bias import MetadynamicsBias
from ..potential.graph import check_box
from ..potential.state import other_density
from ..ranges import expect
from .exchange import Exchange
from .guard import Guard
from .run import SIMULATION, AllLost, Run, SimulationReport, why_lost
from .store import CHECKPOINT, finish, partial_of


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
        self.variables = variables
        self.growth = growth
        self.bias_factor = bias_factor
        self.height = height
        self.every = every
        self.points = points

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
        skin: nm added to the cutoff so that neighbours are found again only when a site has moved
            half of it.
        bias: to grow and freeze a bias first.
        exchange: replica exchange in temperature.
        checkpoint_every: saved frames per replica between two points from which a killed run goes
            on.
        keep_energies: store potential energies: for level 0 only, where they are true energies.
        compile: run on `Potential.compiled()`: "auto" does so where the work saved outweighs the
            time a compiler takes.
        other_temperature: run a PMF at a temperature it was not made at.
        other_density: run a PMF at a density it was not made at; a PMF of a periodic system knows
            the range of its frames.
        use_lost: let the frames of a run that lost all its replicas before its end stand for the
            ensemble all the same.
    """

    def __init__(
        self,
        *,
        n_replicas: int = 128,
        length: float = 20,
        save_every: float = 0.1,
        equilibration: float = 1,
        timestep: float = 0.003,
        friction: float | Mapping[str, float] = 1.0,
        minimum_mass: float = 0.0,
        skin: float = 0.1,
        bias: BiasPlan | None = None,
        exchange: Exchange | None = None,
        held: Sequence[str] = (),
        checkpoint_every: int = 20,
        keep_energies: bool = False,
        compile: str | bool = "auto",
        other_temperature: bool = False,
        other_density: bool = False,
        use_lost: bool = False,
    ) -> None:
        expect("Langevin", above=0, length=length, save_every=save_every, timestep=timestep)
        expect("Langevin", at_least=1, n_replicas=n_replicas, checkpoint_every=checkpoint_every)
        expect(
            "Langevin",
            at_least=0,
            equilibration=equilibration,
            minimum_mass=minimum_mass,
            skin=skin,
        )
        each = friction if isinstance(friction, Mapping) else {"friction": friction}
        expect(
            "Langevin",
            at_least=0,
            **{k if k == "friction" else f"friction[{k}]": v for k, v in each.items()},
        )
        self.n_replicas = n_replicas
        self.length = length
        self.save_every = save_every
        self.equilibration = equilibration
        self.timestep = timestep
        self.friction = friction
        self.minimum_mass = minimum_mass
        self.skin = skin
        self.bias = bias
        self.exchange = exchange
        self.checkpoint_every = checkpoint_every
        self.keep_energies = keep_energies
        self.compile = compile
        self.other_temperature = other_temperature
        self.other_density = other_density
        self.held = tuple(held)
        self.use_lost = use_lost
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
            -(-(self.growth_steps + round(self.equilibration / self.timestep)) // self.stride)
            * self.stride
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
        """Run and leave the frames in `folder`, with simulation.json and the bias beside them.

        The same call after a kill continues from the last checkpoint; the frames are those of a run
        that was not killed. A call for a longer run than the one in `folder` goes on from its end.

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
            Changed: something it would go on from was changed.
        """
        folder = Path(folder)
        with only_here(partial_of(folder), beside=True):
            return self._run(potential, start, folder, seed, guard, name)

    def _run(
        self,
        potential: Potential,
        start: Frames,
        folder: Path,
        seed: int,
        guard: Guard | None,
        name: str,
    ) -> tuple[Frames, SimulationReport]:
        if finish(folder):
            return self.judged(folder)
        if folder.exists() and (folder / SIMULATION).exists():
            self.judged(folder)  # a run without a living replica is not made longer
        check_box(start.box, potential.cutoff)
        self._check_state(potential, start)
        run = Run(self, potential, start, folder, seed, guard)
        run.begin()
        with tqdm(
            total=self.total_steps, initial=run.step, desc=name, unit="step", mininterval=1.0
        ) as bar:
            run.loop(bar)
        run.finish()
        return self.judged(folder)

    def long_enough(self, folder: Path) -> bool:
        """Whether the finished run in `folder` needs not to be made longer; one of an older version
        cannot be.
        """
        path = folder / CHECKPOINT
        return (
            not path.exists() or load_state(path)["step"] >= self.total_steps or self._lost(folder)
        )

    @staticmethod
    def _lost(folder: Path) -> bool:
        about = read_json(folder / SIMULATION) if (folder / SIMULATION).exists() else {}
        lost = {one["replica"] for one in about.get("lost", [])}
        return bool(lost) and len(lost) == about["replicas"]

    def judged(self, folder: Path) -> tuple[Frames, SimulationReport]:
        """Frames and report of a finished run.

        Raises:
            AllLost: no replica lived to its end, and `use_lost` does not say that its frames stand
                for the ensemble.
        """
        known = {f.name for f in fields(SimulationReport)}
        path = folder / SIMULATION
        about = {k: v for k, v in (read_json(path) if path.exists() else {}).items() if k in known}
        report = SimulationReport(**about)
        if self._lost(folder) and not self.use_lost:
            raise AllLost(
                f"all {report.replicas} replicas were lost before the end of the run; "
                f"{report.frames} frames are kept in {folder} and "
                f"stand for nothing. {why_lost(report.lost, self.timestep)} What was made from "
                "the old settings is then made anew; "
                "use_lost=true of the dynamics goes on with these frames"
            )
        return Frames.load(folder), report

    def _check_state(self, potential: Potential, start: Frames) -> None:
        made_at = potential.temperature
        if (
            made_at is not None
            and abs(made_at - start.temperature) > 0.01
            and not self.other_temperature
        ):
            raise ValueError(
                f"the potential is a PMF made at {made_at} K and the run is at "
                f"{start.temperature} K: run it at {made_at} K, train one at "
                f"{start.temperature} K, or ask for the error by name with other_temperature=True"
            )
        differs = None if self.other_density else other_density(potential.density, start)
        if differs is not None:
            raise ValueError(
                f"the potential is a PMF {differs}: run it in the box of its frames, train one "
                "at this density, or ask for the "
                "error by name with other_density=True"
            )
