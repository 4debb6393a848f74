"""Replica exchange in temperature: hot replicas cross barriers for the cold one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict, cast

import torch
from torch import Tensor

from ...frames import Frames
from ...potential.base import Potential
from ...roles import Replicas
from ...units import BOLTZMANN
from .hook import Hook


class _State(TypedDict):
    rungs: Tensor
    swaps: list[int]


class Exchange(Hook):
    """Parallel tempering (Sugita, Okamoto, Chem. Phys. Lett. 314, 141 (1999)) within a batch of
    replicas.

    Replicas form ladders of len(factors) rungs. Neighbouring rungs trade temperatures with the
    Metropolis probability; only what stands on the lowest rung is kept as a frame. At a level above
    the atoms the energy is a PMF of the lowest temperature: the hot rungs are then a sampling
    device, not another thermodynamic state.

    Args:
        factors: temperatures of the rungs relative to the lowest, rising from 1.
        every: steps between attempts.
    """

    def __init__(self, *, factors: list[float], every: int = 100) -> None:
        if len(factors) < 2 or factors[0] != 1 or sorted(factors) != list(factors):
            raise ValueError(
                f"Exchange.factors: expected at least two, rising from 1, found {list(factors)}"
            )
        self.factors = [float(f) for f in factors]
        self.every = every

    def begin(self, replicas: Replicas, potential: Potential, start: Frames) -> None:
        """Put consecutive replicas on the rungs of a ladder, which is one replica of the frames."""
        n = len(replicas.positions)
        self.standing = self.rungs(n)
        self.accepted = 0
        self.attempted = 0
        device = replicas.positions.device
        replicas.numbers = torch.arange(n, device=device) // len(self.factors)
        self._heat(replicas)

    def rungs(self, n_replicas: int) -> Tensor:
        """(n_replicas,) first rung of each replica. Raises ValueError where replicas do not fill
        whole ladders.
        """
        n = len(self.factors)
        if n_replicas % n:
            raise ValueError(
                f"replica exchange over {n} temperatures needs a multiple of {n} replicas, "
                f"found {n_replicas}"
            )
        return torch.arange(n_replicas) % n

    def after_step(self, replicas: Replicas) -> None:
        """Attempt exchanges; velocities are scaled to the new temperatures."""
        if replicas.step % self.every:
            return
        pushed = replicas.pushed
        energy = replicas.energy if pushed is None else replicas.energy + pushed
        # the dead go to the hottest rung
        energy = torch.where(replicas.alive & energy.isfinite(), energy, torch.inf)
        before = replicas.kT.clone()
        self.standing, accepted, attempted = self.swap(
            self.standing,
            energy,
            replicas.temperature,
            replicas.common,
            (replicas.step // self.every) % 2 == 1,
        )
        self.accepted += accepted
        self.attempted += attempted
        self._heat(replicas)
        replicas.velocities *= (replicas.kT / before).sqrt()

    def _heat(self, replicas: Replicas) -> None:
        replicas.heat(torch.tensor(self.factors).double()[self.standing])
        replicas.kept = (self.standing == 0).to(replicas.positions.device)

    def swap(
        self,
        rungs: Tensor,
        energies: Tensor,
        temperature: float,
        generator: torch.Generator,
        odd: bool,
    ) -> tuple[Tensor, int, int]:
        """(new rungs, accepted, attempted) after one attempt for every other pair of neighbours of
        every ladder.

        Args:
            rungs: (n_replicas,) present rung; ladders are consecutive replicas.
            energies: (n_replicas,) kJ/mol.
            temperature: K of the lowest rung.
            odd: which alternate pairs are tried.
        """
        n = len(self.factors)
        # replica of each ladder that stands on rung k
        holder = torch.argsort(rungs.view(-1, n), dim=1)
        beta = 1 / (BOLTZMANN * temperature * torch.tensor(self.factors, dtype=torch.float64))
        new = rungs.view(-1, n).clone()
        accepted = 0
        attempted = 0
        ladder = torch.arange(len(holder))
        energy = energies.double().cpu().view(-1, n)
        for low in range(int(odd), n - 1, 2):
            a = holder[:, low]
            b = holder[:, low + 1]
            log_p = (beta[low] - beta[low + 1]) * (energy[ladder, a] - energy[ladder, b])
            chance = torch.rand(
                len(a), generator=generator, dtype=torch.float64, device=generator.device
            )
            yes = chance.cpu().log() < log_p
            new[ladder[yes], a[yes]] = low + 1
            new[ladder[yes], b[yes]] = low
            accepted += int(yes.sum())
            attempted += len(a)
        return new.view(-1), accepted, attempted

    def state(self) -> object:
        return _State(rungs=self.standing, swaps=[self.accepted, self.attempted])

    def restore(self, state: object, replicas: Replicas) -> None:
        known = cast(_State, state)
        self.standing = known["rungs"].cpu()
        self.accepted, self.attempted = known["swaps"]
        self._heat(replicas)

    def about(self) -> Mapping[str, object]:
        if not self.attempted:
            return {}
        return {"exchange_acceptance": self.accepted / self.attempted}
