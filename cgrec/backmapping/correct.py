"""Correctors: the finer level's own energy improves restored atoms while the sites stay where they
are, because only u of `Split` moves.

`null_space_langevin` samples, `metropolis` makes draws of a density into samples of exp(-beta W)
given the sites, exactly and without a step size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..dynamics.integrators import Baoab
from ..frames import Frames
from ..mapping import Mapping
from ..progress import Progress
from ..units import thermal_energy
from .base import Backmapper
from .minimise import FreeHalf, GivesForces, field_of


def null_space_langevin(
    frames: Frames,
    mapping: Mapping,
    potential: GivesForces,
    *,
    steps: int,
    timestep: float = 0.0005,
    friction: float = 10.0,
    generator: torch.Generator | None = None,
    save_every: int = 0,
    name: str = "",
) -> Frames:
    """Langevin dynamics of u (`cgrec.dynamics.Baoab`) at the temperature of `frames`, with the sites
    where they are.

    Args:
        frames: of `mapping.fine`, not strained.
        mapping: to the sites that stay.
        potential: of the fine level, see `field_of`.
        steps: of `timestep` ps.
        friction: 1/ps.
        generator: of the noise; by default one seeded with 0.
        save_every: steps between kept frames, those of one time after another; 0 keeps the last
            ones alone.
        name: of the progress bar; empty: none.

    Returns:
        Frames with their replica numbers.
    """
    moving = _FreeMotion(FreeHalf(frames, mapping, potential))
    generator = generator or torch.Generator().manual_seed(0)
    one = torch.ones(1, dtype=torch.float64)
    integrator = Baoab(timestep, masses=one, friction=friction * one)
    integrator.heat(thermal_energy(frames.temperature) * one)

    def noise() -> Tensor:
        u = moving.positions
        return torch.randn(u.shape, generator=generator, dtype=u.dtype)

    moving.velocities = integrator.thermal(noise())
    kept = []
    with Progress(name, steps, shown=bool(name)) as bar:
        for k in range(1, steps + 1):
            integrator.step(moving, noise())
            if (save_every and k % save_every == 0) or (not save_every and k == steps):
                kept.append(moving.free.frames(moving.positions))
            bar.advance()
    replicas = np.arange(len(frames)) if frames.replicas is None else frames.replicas
    order = np.tile(np.arange(len(frames)), len(kept))
    return replace(
        frames[order],
        positions=np.concatenate([f.positions for f in kept]),
        forces=None,
        energies=None,
        replicas=None if not save_every else replicas[order],
    )


class _FreeMotion:
    """u of `Split` as something an integrator moves."""

    def __init__(self, free: FreeHalf) -> None:
        self.free = free
        self.positions = free.u.clone()
        self.velocities = torch.zeros_like(self.positions)
        self.find_forces()

    def find_forces(self) -> None:
        self.total_force = self.free(self.positions)[1]


@dataclass(frozen=True)
class MetropolisReport:
    """What independence sampling came to.

    Attributes:
        acceptance: share of proposals accepted.
        moved: share of (frame, molecule) pairs in which at least one was.
        rounds: proposals to each molecule.
    """

    acceptance: float
    moved: float
    rounds: int


def metropolis(
    coarse: Frames,
    backmapper: Backmapper,
    potential: GivesForces,
    *,
    rounds: int = 50,
    generator: torch.Generator | None = None,
    start: Frames | None = None,
) -> tuple[Frames, MetropolisReport]:
    """Samples of exp(-beta W) given the sites: new draws of one molecule at a time, accepted by
    min(1, e^(-beta dW) q_old / q_new).

    Whatever q is, this leaves the right distribution as it is (W. K. Hastings, Biometrika 57, 97
    (1970)); how fast it is reached depends on q. Joint weights of many molecules die with their
    number, moves of one at a time do not.

    Args:
        coarse: frames to restore.
        backmapper: with a density.
        potential: of the fine level, see `field_of`.
        rounds: proposals to each molecule.
        generator: of all draws.
        start: fine frames to begin with; by default draws.

    Raises:
        TypeError: the backmapper has no density.
    """
    generator = generator or torch.Generator().manual_seed(0)
    beta, split = 1 / thermal_energy(coarse.temperature), backmapper.split
    state, density = backmapper.propose(coarse, generator)
    if density is None:
        raise TypeError(
            f"metropolis needs proposals of known density, which a {type(backmapper).__name__} "
            "does not have: use FlowBackmapper"
        )
    if start is not None:
        state = torch.tensor(np.asarray(start.positions, float))
        density = backmapper.densities(start)
    # forces and energies are those of the sites, not of what is restored
    bare = replace(coarse, forces=None, energies=None)
    field = field_of(potential, replace(bare, system=split.mapping.fine, positions=state.numpy()))
    copies = [unit.atoms[k] for unit in split.units for k in range(len(unit.atoms))]
    energy, accepted = field(state)[0], torch.zeros(density.shape)
    for _ in range(rounds):
        new, new_density = backmapper.propose(coarse, generator)
        for k, atoms in enumerate(copies):
            trial = state.clone()
            trial[:, atoms] = new[:, atoms]
            trial_energy = field(trial)[0]
            log_ratio = beta * (energy - trial_energy) + density[:, k] - new_density[:, k]  # type: ignore[index]
            take = (
                torch.rand(len(state), generator=generator, dtype=torch.float64).log() < log_ratio
            )
            state = torch.where(take[:, None, None], trial, state)
            energy = torch.where(take, trial_energy, energy)
            density[:, k] = torch.where(take, new_density[:, k], density[:, k])  # type: ignore[index]
            accepted[:, k] += take
    frames = replace(
        coarse, system=split.mapping.fine, positions=state.numpy(), forces=None, energies=None
    )
    return frames, MetropolisReport(
        float(accepted.mean()) / rounds, float((accepted > 0).float().mean()), rounds
    )


def redraw(
    fine: Frames,
    backmapper: Backmapper,
    bad: NDArray[np.bool_],
    generator: torch.Generator | None = None,
) -> Frames:
    """New draws for the molecules marked in `bad` (n_frames, n_molecules, in the order of
    `backmapper.split.units`); the rest as it is.
    """
    some = np.flatnonzero(bad.any(1))
    if not len(some):
        return fine
    generator = generator or torch.Generator().manual_seed(0)
    new, _ = backmapper.propose(backmapper.mapping(replace(fine[some], forces=None)), generator)
    x = np.array(fine.positions, float)
    copies = [unit.atoms[k] for unit in backmapper.split.units for k in range(len(unit.atoms))]
    for row, frame in enumerate(some):
        for k in np.flatnonzero(bad[frame]):
            x[frame, copies[k]] = new[row, copies[k]].numpy()
    return replace(fine, positions=x, forces=None, energies=None)
