"""`minimise`: strain taken out of restored atoms while the sites stay where they are, because only
u of `Split` moves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..frames import Frames
from ..mapping import Mapping
from ..potential import Potential
from ..potential.graph import VerletList, check_box
from .split import Split

#: (n_frames, n_atoms, 3) nm -> energies (n_frames,) kJ/mol and forces (n_frames, n_atoms, 3)
#: kJ/mol/nm.
Field = Callable[[Tensor], tuple[Tensor, Tensor]]
#: nm by which neighbours are found further than needed: minimised atoms move little.
_SKIN = 0.05


class GivesForces(Protocol):
    """A cgrec Potential, or anything else that has energies and forces of frames."""

    def energy_and_forces(
        self, frames: Frames, /
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n_frames,) kJ/mol and (n_frames, n_sites, 3) kJ/mol/nm."""
        ...


def field_of(potential: GivesForces, frames: Frames) -> Field:
    """Energies and forces at positions of the atoms of `frames`, in its boxes, one batch.

    Args:
        potential: a cgrec Potential, or anything with `energy_and_forces(frames)`, such as
            `OpenMMForceField`.
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
    box = None if boxes is None else torch.as_tensor(np.array(boxes, float)).to(species.device)

    def field(x: Tensor) -> tuple[Tensor, Tensor]:
        energy, forces = fast(neighbours(x.to(species.device), box))
        return energy.double().to(x.device), forces.double().view(x.shape).to(x.device)

    return field


def minimise(
    frames: Frames,
    mapping: Mapping | Split,
    potential: GivesForces,
    steps: int = 50,
    longest: float = 0.01,
    done: Callable[[], object] | None = None,
) -> Frames:
    """Less strained frames on the same sites, by FIRE (E. Bitzek et al., Phys. Rev. Lett. 97,
    170201 (2006)), each frame at its own pace.

    Args:
        frames: of `mapping.fine`.
        mapping: to the sites that stay, or the `Split` of it.
        potential: of the fine level, see `field_of`.
        steps: force calls at most.
        longest: nm an atom moves in a step at most.
        done: called after each step, for a progress bar.
    """
    free = FreeHalf(frames, mapping, potential)
    u, best = (
        free.u.clone(),
        (torch.full((len(frames),), torch.inf, dtype=torch.float64), free.u.clone()),
    )
    velocity = torch.zeros_like(u)
    n = len(u)
    dt, mix, uphill = (torch.full((n,), v, dtype=torch.float64) for v in (0.001, 0.1, 0.0))
    for _ in range(steps):
        energy, force = free(u)
        better = energy < best[0]
        best = (
            torch.where(better, energy, best[0]),
            torch.where(better[:, None, None], u, best[1]),
        )
        power = (force * velocity).sum((1, 2))
        down = power > 0
        uphill = torch.where(down, uphill + 1, torch.zeros_like(uphill))
        faster = uphill > 5
        dt = torch.where(down, torch.where(faster, dt * 1.1, dt).clamp(max=0.005), dt * 0.5)
        mix = torch.where(down, torch.where(faster, mix * 0.99, mix), torch.full_like(mix, 0.1))
        along = force * (_norm(velocity) / _norm(force).clamp(min=1e-12))[:, None, None]
        velocity = torch.where(
            down[:, None, None],
            (1 - mix)[:, None, None] * velocity + mix[:, None, None] * along,
            torch.zeros_like(velocity),
        )
        velocity = velocity + dt[:, None, None] * force
        move = dt[:, None, None] * velocity
        farthest = free.split.atoms(torch.zeros_like(free.sites), move).norm(dim=-1).amax(-1)
        u = u + move * (longest / farthest.clamp(min=longest))[:, None, None]
        if done is not None:
            done()
    energy, _ = free(u)
    return free.frames(torch.where((energy < best[0])[:, None, None], u, best[1]))


class FreeHalf:
    """Energy and force on u of all frames at once."""

    def __init__(self, frames: Frames, mapping: Mapping | Split, potential: GivesForces) -> None:
        self.split = mapping if isinstance(mapping, Split) else Split(mapping)
        self.start = frames
        x = torch.tensor(np.asarray(frames.positions, float))
        self.sites, self.u = self.split.sites(x), self.split.free(x)
        self.field = field_of(potential, frames)

    def __call__(self, u: Tensor) -> tuple[Tensor, Tensor]:
        energy, forces = self.field(self.split.atoms(self.sites, u))
        return energy, self.split.force(forces)

    def frames(self, u: Tensor) -> Frames:
        return replace(
            self.start,
            positions=self.split.atoms(self.sites, u).numpy(),
            forces=None,
            energies=None,
        )


def _norm(x: Tensor) -> Tensor:
    return x.square().sum((1, 2)).sqrt()
