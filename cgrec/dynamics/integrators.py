"""How positions and velocities become those of the next time step.

A step is made of sub-steps that are exact each: a kick (the forces change velocities), a drift
(positions move on) and friction (velocities forget, and are given noise of the right temperature).
`Baoab` puts them in the order B A O A B of B. Leimkuhler, C. Matthews, Appl. Math. Res. Express
2013, 34: configurations are right to second order in the time step, with a tiny constant.
"""

from __future__ import annotations

from copy import copy
from typing import Protocol

import numpy as np
import torch
from torch import Tensor


class Moving(Protocol):
    """What an integrator moves, in place.

    Attributes:
        positions, velocities: (..., 3) nm, nm/ps.
        total_force: (..., 3) kJ/mol/nm at these positions.
    """

    positions: Tensor
    velocities: Tensor
    total_force: Tensor

    def find_forces(self) -> None:
        """Set `total_force` to that at `positions`."""
        ...


class HeldCentres:
    """Takes out of velocities what moves the weighted centres of groups of sites.

    The centre of a group is sum_i w_i x_i over its sites, and sum_i w_i v_i = 0 holds it. Velocities
    of the Maxwell distribution that obeys this are free ones less m_i^-1 w_i (sum w v) / (sum w^2 / m).
    Such a constraint is linear, so no metric enters the ensemble.

    Args:
        group: (n_sites,) number of the group of each site, or -1.
        weights: (n_sites,) w.
        masses: (n_sites, 1) amu.
    """

    def __init__(self, group: Tensor, weights: Tensor, masses: Tensor) -> None:
        self.n_groups = int(group.max()) + 1
        self.group = group.clamp(min=0)
        self.weights = torch.where(group < 0, 0.0, weights)[:, None]
        give = self.weights / masses
        size = give.new_zeros(self.n_groups, 1).index_add_(0, self.group, self.weights * give)
        self.give = give / size[self.group]

    def project(self, velocities: Tensor) -> Tensor:
        """(n_replicas, n_sites, 3) changed in place."""
        centre = velocities.new_zeros(len(velocities), self.n_groups, 3)
        centre.index_add_(1, self.group, self.weights * velocities)
        return velocities.sub_(self.give * centre[:, self.group])


class Baoab:
    """Langevin dynamics by BAOAB splitting.

    Args:
        timestep: ps.
        masses: amu, of a shape that goes with that of positions.
        friction: 1/ps, of such a shape.
        free: 1 for what moves and 0 for what is held; None: all moves.
        centres: that are held; None: none.
    """

    def __init__(
        self,
        timestep: float,
        masses: Tensor,
        friction: Tensor,
        free: Tensor | None = None,
        centres: HeldCentres | None = None,
    ) -> None:
        self.centres = centres
        self.timestep = timestep
        self.masses = masses
        self.free = torch.ones_like(masses) if free is None else free
        self.half_kick = 0.5 * timestep / masses * self.free
        self.decay = torch.exp(-friction * timestep)
        self.forgotten = 1 - torch.exp(-2 * friction * timestep)

    def heat(self, kT: Tensor) -> None:
        """Set the temperature of the noise, kJ/mol, of a shape that goes with that of positions."""
        self.kT = kT
        self.noise_scale = (self.forgotten * kT / self.masses).sqrt() * self.free

    def thermal(self, noise: Tensor) -> Tensor:
        """Velocities of the Maxwell distribution from standard normal `noise`, nm/ps."""
        return self.held(noise * (self.kT / self.masses).sqrt() * self.free)

    def held(self, velocities: Tensor) -> Tensor:
        """Velocities that leave held centres where they are; changed in place."""
        return velocities if self.centres is None else self.centres.project(velocities)

    def step(self, moving: Moving, noise: Tensor) -> None:
        """One time step; `noise` is standard normal, of the shape of positions."""
        self.kick(moving)
        self.drift(moving)
        self.friction(moving, noise)
        self.drift(moving)
        moving.find_forces()
        self.kick(moving)

    def kick(self, moving: Moving) -> None:
        """B: half a time step of the forces."""
        self.held(moving.velocities.addcmul_(self.half_kick, moving.total_force))

    def drift(self, moving: Moving) -> None:
        """A: half a time step at constant velocity."""
        moving.positions.add_(moving.velocities, alpha=0.5 * self.timestep)

    def friction(self, moving: Moving, noise: Tensor) -> None:
        """O: a whole time step of the Ornstein-Uhlenbeck process, exactly."""
        self.held(moving.velocities.mul_(self.decay).addcmul_(self.noise_scale, noise))

    def kinetic(self, moving: Moving) -> Tensor:
        """(n_replicas,) mean of m v^2 over what moves, kJ/mol: kT in equilibrium.

        From velocities after the first half kick of the next step: those of a whole step are too
        cold by the factor 1 - (omega dt)^2 / 4 for a harmonic mode, these are exact, as the
        positions are.
        """
        halfway = self.held(moving.velocities + self.half_kick * moving.total_force)
        n_free = self.free.sum() - (0 if self.centres is None else self.centres.n_groups)
        return (self.masses * halfway**2).sum((-1, -2)) / (3 * n_free)


class ReplicaNoise:
    """Normal random numbers, those of each replica from a generator of its own: what becomes of one
    replica does not depend on the others.

    Args:
        seed: of all of them.
        n_replicas: how many.
        device: where the numbers are made, which decides what they are.
    """

    def __init__(self, seed: int, n_replicas: int, device: torch.device) -> None:
        seeds = np.random.SeedSequence((seed, 1)).generate_state(n_replicas + 1)
        self.generators = [torch.Generator(device).manual_seed(int(s)) for s in seeds]
        #: For what is drawn of all replicas together, such as exchanges.
        self.common = self.generators[-1]

    def part(self, first: int, last: int) -> ReplicaNoise:
        """That of replicas `first` to `last`, the last one excluded: their numbers stay the same."""
        own = copy(self)
        own.generators = [*self.generators[first:last], self.common]
        return own

    def draw(self, steps: int, shape: tuple[int, ...]) -> Tensor:
        """(steps, n_replicas, *shape)."""
        own = [
            torch.randn((steps, *shape), generator=g, device=g.device) for g in self.generators[:-1]
        ]
        return torch.stack(own, dim=1).double()

    def state(self) -> list[Tensor]:
        """What `restore` needs to go on with the very next number."""
        return [g.get_state() for g in self.generators]

    def restore(self, state: list[Tensor]) -> None:
        """Go on from a `state` that was taken on the same kind of device."""
        for generator, saved in zip(self.generators, state):
            generator.set_state(saved.cpu())

    def renew(self, step: int) -> None:
        """Other numbers from `step` on, where the device is another one."""
        for generator in self.generators:
            generator.manual_seed((generator.initial_seed() + step) % 2**63)
