"""Many copies of a system that move side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..frames import Frames
from ..potential.base import Potential
from ..potential.graph import SiteGraph, VerletList
from ..roles import Hook, Lost
from ..system import System
from ..threads import has_kernel
from ..units import BOLTZMANN, thermal_energy
from .integrators import Baoab, ReplicaNoise
from .store import RAW_WEIGHTS, TEMPERATURES

#: A replica whose kinetic temperature is so many times that of the thermostat has exploded: chance
#: does this to a single free site once in 10^12 looks, to larger systems never.
HOT = 20


class Field:
    """Energies and forces of replicas; neighbours are found again only when a site has moved half
    of `skin`.

    Args:
        potential: of the run.
        system: of each replica.
        box: (n_replicas, 3, 3) nm, or None.
        skin: nm.
        compiled: whether to call `potential.compiled()`.
    """

    def __init__(
        self, potential: Potential, system: System, box: Tensor | None, skin: float, compiled: bool
    ) -> None:
        self.box = box
        self.evaluate = potential.compiled() if compiled else potential
        species = potential.species(system).to(potential.device)
        self.neighbours = VerletList(species, potential.reach(skin), skin)

    def graph(self, positions: Tensor) -> SiteGraph:
        """At `positions` (n_replicas, n_sites, 3) nm; the graph before it may be overwritten."""
        return self.neighbours(positions, self.box)

    def __call__(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """(n_replicas,) kJ/mol and (n_replicas, n_sites, 3) kJ/mol/nm."""
        energy, forces = self.evaluate(self.graph(positions))
        return energy, forces.view_as(positions).double()

    def trial(self, positions: Tensor) -> Callable[[], None] | None:
        """One force call, kept nowhere: what threads are chosen by. None where no kernel computes
        it.
        """
        if not has_kernel(self.evaluate):
            return None
        known = self.neighbours
        neighbours = VerletList(known.species, known.reach, known.skin)

        def step() -> None:
            self.evaluate(neighbours(positions.clone(), self.box))

        return step


class Replicas:
    """Where all copies are, how hot they are and which of them live (see `cgrec.roles.Replicas`,
    where the attributes are said). `find_forces` makes it something an integrator can move.

    Args:
        start: (n_replicas,) frames they start from, of one System; each keeps its box.
        field: of the potential.
        integrator: of each step, which the temperature is set of.
        noise: of the velocities they start with, and of each step.
    """

    def __init__(self, start: Frames, field: Field, integrator: Baoab, noise: ReplicaNoise) -> None:
        n = len(start)
        device = integrator.masses.device
        self.system = start.system
        self.temperature = start.temperature
        self.timestep = integrator.timestep
        self.box = field.box
        self.field = field
        self.integrator = integrator
        self.noise = noise
        self.positions = torch.as_tensor(np.array(start.positions, float), device=device)
        self.velocities = torch.zeros_like(self.positions)
        self.energy = torch.zeros(n, device=device)
        self.force = torch.zeros_like(self.positions)
        self.total_force = self.force
        self.pushed: Tensor | None = None
        self.pushing: list[Hook] = []
        self.alive = torch.ones(n, dtype=torch.bool, device=device)
        self.kept = torch.ones(n, dtype=torch.bool, device=device)
        self.aside = torch.zeros(n, dtype=torch.bool, device=device)
        self.numbers = torch.arange(n, device=device)
        self.lost: list[Lost] = []
        self.step = 0
        self.hooks: Sequence[Hook] = ()
        self.heat(torch.ones(n, dtype=torch.float64))

    def begin(self, hooks: Sequence[Hook], potential: Potential, start: Frames) -> None:
        """Take hooks on, then draw velocities."""
        self.hooks = hooks
        self.pushing = [hook for hook in hooks if hook.pushes]
        for hook in hooks:
            hook.begin(self, potential, start)
        first = self.noise.draw(1, tuple(self.positions.shape[1:]))[0]
        self.velocities = self.integrator.thermal(first)

    @property
    def common(self) -> torch.Generator:
        return self.noise.common

    def heat(self, factors: Tensor) -> None:
        kT = thermal_energy(self.temperature) * factors
        self.kT = kT[:, None, None].to(self.positions.device)
        self.integrator.heat(self.kT)

    def graph(self, positions: Tensor | None = None) -> SiteGraph:
        return self.field.graph(self.positions if positions is None else positions)

    def find_forces(self) -> None:
        """Energies and forces here: of the potential, which frames are labelled with, and with what
        hooks push.
        """
        self.energy, self.force = self.field(self.positions)
        self.total_force = self.force
        self.pushed = None
        for hook in self.pushing:
            energy, push = hook.push(self)
            self.pushed = energy if self.pushed is None else self.pushed + energy
            self.total_force = self.total_force + push.view_as(self.positions)

    def put_in(self, box: Tensor) -> None:
        """From now on in these boxes, (n_replicas, 3, 3) nm."""
        self.box = self.field.box = box

    def move_to(self, positions: Tensor, box: Tensor) -> None:
        self.positions = positions
        self.put_in(box)
        self.find_forces()

    def advance(self, noise: Tensor) -> None:
        """One step of every replica that is alive."""
        self.integrator.step(self, noise)
        if self.lost:
            self.freeze()
        self.step += 1
        for hook in self.hooks:
            hook.after_step(self)

    def watch(self) -> None:
        """Stop replicas that exploded, then let the hooks look."""
        finite = (self.positions.isfinite() & self.force.isfinite()).all(-1).all(-1)
        self.lose(self.alive & ~finite, "exploded: a position or force is not finite")
        hot = ~(self.temperatures() < HOT * self.temperature)
        self.lose(self.alive & hot, "exploded: far too hot")
        for hook in self.hooks:
            hook.at_frame(self)

    def temperatures(self) -> Tensor:
        """(n_replicas,) instantaneous kinetic temperature, K, scaled to the temperature of the run
        where a replica is hotter.
        """
        return self.integrator.kinetic(self) / self.kT[:, 0, 0] * self.temperature

    def lose(self, which: Tensor, why: str, **numbers: Tensor) -> None:
        for replica in which.nonzero()[:, 0].tolist():
            self.alive[replica] = False
            one: Lost = {
                "replica": replica,
                "time": self.step * self.timestep,
                "why": why,
            }
            for hook in self.hooks:
                one |= hook.about_lost(self, replica)
            self.lost.append(one | {name: float(x[replica]) for name, x in numbers.items()})
        if bool(which.any()):
            self.freeze()

    def freeze(self) -> None:
        """Put stopped replicas at a harmless place: they stay in the batch, so that shapes never
        change.
        """
        dead = ~self.alive
        if not bool(self.alive.any()) or not bool(dead.any()):
            return
        example = int(self.alive.nonzero()[0])
        self.positions[dead] = self.positions[example].clone()
        self.velocities[dead] = 0.0
        self.total_force[dead] = 0.0

    def frames(self) -> dict[str, NDArray[np.generic]]:
        """What is stored of each replica that is kept and lives and is not left aside for the moment;
        one that was stopped has nothing more to say.
        """
        values = {
            "positions": self.positions,
            "forces": self.force,
            "energies": self.energy,
            "replicas": self.numbers,
        }
        if self.pushed is not None:
            values[RAW_WEIGHTS] = torch.exp(self.pushed / thermal_energy(self.temperature))
        if self.box is not None:
            values["box"] = self.box
        values[TEMPERATURES] = self.kT[:, 0, 0] / BOLTZMANN
        which = self.kept & self.alive & ~self.aside
        return {name: value[which].cpu().numpy() for name, value in values.items()}

    def trial(self) -> Callable[[], None] | None:
        """See `Field.trial`."""
        return self.field.trial(self.positions)
