"""Correctors: the finer level's own energy improves restored atoms while the sites stay where they are, because only u of `Split` moves.

`minimise` takes strain out, `null_space_langevin` samples, `metropolis` makes draws of a density into samples of exp(-beta W) given
the sites, exactly and without a step size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..frames import Frames
from ..mapping import Mapping
from ..potential import Potential
from ..potential.graph import VerletList, check_box
from ..units import thermal_energy
from .base import Backmapper
from .split import Split

#: (n_frames, n_atoms, 3) nm -> energies (n_frames,) kJ/mol and forces (n_frames, n_atoms, 3) kJ/mol/nm.
Field = Callable[[Tensor], tuple[Tensor, Tensor]]
_SKIN = 0.05  # nm


def field_of(potential: Any, frames: Frames) -> Field:
    """Energies and forces at positions of the atoms of `frames`, in its boxes, one batch.

    Args:
        potential: a cgrec Potential, or anything with `energy_and_forces(frames)`, such as `OpenMMForceField`.
        frames: whose System and box count.
    """
    if not isinstance(potential, Potential):
        return lambda x: tuple(
            map(torch.as_tensor, potential.energy_and_forces(replace(frames, positions=x.numpy())))
        )  # type: ignore[return-value]
    check_box(frames.box, potential.cutoff)
    fast = potential.compiled()
    species = potential.species(frames.system).to(potential.device)
    neighbours = VerletList(species, potential.reach(_SKIN), _SKIN)
    boxes = frames.boxes()
    box = None if boxes is None else torch.as_tensor(np.array(boxes, float))

    def field(x: Tensor) -> tuple[Tensor, Tensor]:
        energy, forces = fast(neighbours(x, box))
        return energy.double(), forces.double().view_as(x)

    return field


def minimise(
    frames: Frames, mapping: Mapping, potential: Any, steps: int = 50, longest: float = 0.01
) -> Frames:
    """Less strained frames on the same sites, by FIRE (E. Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006)), each frame at its own pace.

    Args:
        frames: of `mapping.fine`.
        mapping: to the sites that stay.
        potential: of the fine level, see `field_of`.
        steps: force calls at most.
        longest: nm an atom moves in a step at most.
    """
    free = _Free(frames, mapping, potential)
    u, best = free.u.clone(), (torch.full((len(frames),), torch.inf, dtype=torch.float64), free.u.clone())
    velocity = torch.zeros_like(u)
    n = len(u)
    dt, mix, uphill = (torch.full((n,), v, dtype=torch.float64) for v in (0.001, 0.1, 0.0))
    for _ in range(steps):
        energy, force = free(u)
        better = energy < best[0]
        best = (torch.where(better, energy, best[0]), torch.where(better[:, None, None], u, best[1]))
        power = (force * velocity).sum((1, 2))
        down = power > 0
        uphill = torch.where(down, uphill + 1, torch.zeros_like(uphill))
        faster = uphill > 5
        dt = torch.where(down, torch.where(faster, dt * 1.1, dt).clamp(max=0.005), dt * 0.5)
        mix = torch.where(down, torch.where(faster, mix * 0.99, mix), torch.full_like(mix, 0.1))
        along = force * (_norm(velocity) / _norm(force).clamp(min=1e-12))[:, None, None]
        velocity = torch.where(
            down[:, None, None], (1 - mix)[:, None, None] * velocity + mix[:, None, None] * along, torch.zeros_like(velocity)
        )  # fmt: skip
        velocity = velocity + dt[:, None, None] * force
        move = dt[:, None, None] * velocity
        farthest = free.split.atoms(torch.zeros_like(free.sites), move).norm(dim=-1).amax(-1)
        u = u + move * (longest / farthest.clamp(min=longest))[:, None, None]
    energy, _ = free(u)
    return free.frames(torch.where((energy < best[0])[:, None, None], u, best[1]))


def null_space_langevin(
    frames: Frames, mapping: Mapping, potential: Any, *, steps: int, timestep: float = 0.0005, friction: float = 10.0,
    generator: torch.Generator | None = None, save_every: int = 0, name: str = "",
) -> Frames:  # fmt: skip
    """BAOAB Langevin dynamics of u (Leimkuhler and Matthews, 2013) at the temperature of `frames`, with the sites where they are.

    Args:
        frames: of `mapping.fine`, not strained.
        mapping: to the sites that stay.
        potential: of the fine level, see `field_of`.
        steps: of `timestep` ps.
        friction: 1/ps.
        generator: of the noise; by default one seeded with 0.
        save_every: steps between kept frames, those of one time after another; 0 keeps the last ones alone.
        name: of the progress bar; empty: none.

    Returns:
        Frames with their replica numbers.
    """
    free = _Free(frames, mapping, potential)
    generator = generator or torch.Generator().manual_seed(0)
    kT = thermal_energy(frames.temperature)
    decay, u = math.exp(-friction * timestep), free.u.clone()
    noise = lambda: torch.randn(u.shape, generator=generator, dtype=u.dtype)  # noqa: E731
    velocity, kept = math.sqrt(kT) * noise(), []
    _, force = free(u)
    for k in tqdm(range(1, steps + 1), desc=name, unit="step", mininterval=1.0, disable=not name):
        velocity += 0.5 * timestep * force
        u += 0.5 * timestep * velocity
        velocity = decay * velocity + math.sqrt((1 - decay**2) * kT) * noise()
        u += 0.5 * timestep * velocity
        _, force = free(u)
        velocity += 0.5 * timestep * force
        if (save_every and k % save_every == 0) or (not save_every and k == steps):
            kept.append(free.frames(u))
    replicas = np.arange(len(frames)) if frames.replicas is None else frames.replicas
    order = np.tile(np.arange(len(frames)), len(kept))
    return replace(
        frames[order], positions=np.concatenate([f.positions for f in kept]), forces=None, energies=None,
        replicas=None if not save_every else replicas[order],
    )  # fmt: skip


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
    coarse: Frames, backmapper: Backmapper, potential: Any, *, rounds: int = 50, generator: torch.Generator | None = None,
    start: Frames | None = None,
) -> tuple[Frames, MetropolisReport]:  # fmt: skip
    """Samples of exp(-beta W) given the sites: new draws of one molecule at a time, accepted by min(1, e^(-beta dW) q_old / q_new).

    Whatever q is, this leaves the right distribution as it is (W. K. Hastings, Biometrika 57, 97 (1970)); how fast it is reached
    depends on q. Joint weights of many molecules die with their number, moves of one at a time do not.

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
            f"metropolis needs proposals of known density, which a {type(backmapper).__name__} does not have: use FlowBackmapper"
        )
    if start is not None:
        state = torch.tensor(np.asarray(start.positions, float))
        density = backmapper.densities(start)
    field = field_of(potential, replace(coarse, system=split.mapping.fine, positions=state.numpy()))
    copies = [unit.atoms[k] for unit in split.units for k in range(len(unit.atoms))]
    energy, accepted = field(state)[0], torch.zeros(density.shape)
    for _ in range(rounds):
        new, new_density = backmapper.propose(coarse, generator)
        for k, atoms in enumerate(copies):
            trial = state.clone()
            trial[:, atoms] = new[:, atoms]
            trial_energy = field(trial)[0]
            log_ratio = beta * (energy - trial_energy) + density[:, k] - new_density[:, k]  # type: ignore[index]
            take = torch.rand(len(state), generator=generator, dtype=torch.float64).log() < log_ratio
            state = torch.where(take[:, None, None], trial, state)
            energy = torch.where(take, trial_energy, energy)
            density[:, k] = torch.where(take, new_density[:, k], density[:, k])  # type: ignore[index]
            accepted[:, k] += take
    frames = replace(coarse, system=split.mapping.fine, positions=state.numpy(), forces=None, energies=None)
    return frames, MetropolisReport(
        float(accepted.mean()) / rounds, float((accepted > 0).float().mean()), rounds
    )


def redraw(
    fine: Frames, backmapper: Backmapper, bad: np.ndarray, generator: torch.Generator | None = None
) -> Frames:
    """New draws for the molecules marked in `bad` (n_frames, n_molecules, in the order of `backmapper.split.units`); the rest as it is."""
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


class _Free:
    """Energy and force on u of all frames at once."""

    def __init__(self, frames: Frames, mapping: Mapping, potential: Any) -> None:
        self.split, self.start = Split(mapping), frames
        x = torch.tensor(np.asarray(frames.positions, float))
        self.sites, self.u = self.split.sites(x), self.split.free(x)
        self.field = field_of(potential, frames)

    def __call__(self, u: Tensor) -> tuple[Tensor, Tensor]:
        energy, forces = self.field(self.split.atoms(self.sites, u))
        return energy, self.split.force(forces)

    def frames(self, u: Tensor) -> Frames:
        return replace(
            self.start, positions=self.split.atoms(self.sites, u).numpy(), forces=None, energies=None
        )


def _norm(x: Tensor) -> Tensor:
    return x.square().sum((1, 2)).sqrt()
