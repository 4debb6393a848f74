"""Constant pressure: Monte Carlo moves of the volume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict, cast

import torch
from torch import Tensor

from ...frames import Frames
from ...potential import VolumeTerm, summands
from ...potential.base import Potential
from ...potential.graph import box_widths
from ...potential.state import SAME_DENSITY
from ...ranges import expect
from ...remarks import remark
from ...roles import Replicas
from ...units import PRESSURE
from .hook import Hook

#: Share of moves that should be taken, and the factor by which their size is changed to get there.
WANTED, CHANGE = 0.4, 1.1
#: Share of the volume: size of the first moves, and of the largest.
FIRST, LARGEST = 0.01, 0.1
#: Share of moves beyond what the potential knows from which the ensemble counts as cut off.
CUT_OFF = 0.01


class _State(TypedDict):
    size: float
    tried: int
    taken: int
    beyond: int


class Barostat(Hook):
    """Volumes at constant pressure, by Monte Carlo (K.-H. Chow, D. M. Ferguson, Comput. Phys. Commun.
    91, 283 (1995); J. Aqvist et al., Chem. Phys. Lett. 384, 288 (2004)).

    Now and then the box of each replica, and with it the centres of its molecules, is scaled by
    chance, and the move is taken with the Metropolis probability of dU + P dV - N kT ln(V'/V), N
    molecules. Boxes keep their shape. The size of the moves is set in the warm-up.

    A potential of mean force at a new volume lacks what the volume costs, which no force of one volume
    shows: a `VolumeTerm` has to say it (`cgrec.corrections.PressureMatching`). Moves beyond the
    densities that the potential was made from are not taken, and simulation.json says how many were
    asked for.

    Args:
        pressure: bar.
        every: steps between moves.
        warm_up: ps before the equilibration, in which the size of moves is found.
    """

    def __init__(self, *, pressure: float = 1.0, every: int = 25, warm_up: float = 5.0) -> None:
        expect("Barostat", at_least=-10_000, at_most=1_000_000, pressure=pressure)
        expect("Barostat", at_least=1, every=every)
        expect("Barostat", at_least=0, warm_up=warm_up)
        self.pressure = pressure
        self.every = every
        self.warm_up = warm_up

    def begin(self, replicas: Replicas, potential: Potential, start: Frames) -> None:
        """Refuse what has no volume, or does not know what one costs.

        Raises:
            ValueError: an open system; a bias beside; a potential of mean force without a term of
                the volume.
        """
        if replicas.box is None:
            raise ValueError(
                "Barostat: expected replicas in a box, found an open system; leave the barostat out"
            )
        parts = summands(potential)
        if potential.temperature is not None and not any(isinstance(p, VolumeTerm) for p in parts):
            raise ValueError(
                "Barostat: expected a potential that knows what a volume costs, found a potential of "
                "mean force without such a term: its pressure is wrong by hundreds of bars. Learn it "
                "from a parent at constant pressure: levels.X.corrections=[{_target_: "
                "cgrec.corrections.PressureMatching, pressure: bar}]"
            )
        self.density = potential.density
        self.reach = potential.cutoff
        self.molecule = torch.as_tensor(start.system.molecules, device=replicas.positions.device)
        self.sizes = torch.bincount(self.molecule)
        self.size, self.tried, self.taken, self.beyond = FIRST, 0, 0, 0

    def after_step(self, replicas: Replicas) -> None:
        """Try a move of every replica."""
        if replicas.step % self.every:
            return
        if replicas.pushed is not None:
            raise ValueError("Barostat: expected no bias beside it, found one; leave one out")
        box, before = cast(Tensor, replicas.box), replicas.positions
        energy, kT = replicas.energy.double(), replicas.kT[:, 0, 0]
        volume = torch.linalg.det(box).abs()
        generator = replicas.common
        chance = torch.rand(
            2, len(box), generator=generator, dtype=torch.float64, device=generator.device
        )
        other = volume * (1 + self.size * (2 * chance[0] - 1))
        known = self._known(replicas, box, volume, other)
        scale = torch.where(known, other / volume, 1.0) ** (1 / 3)
        replicas.move_to(
            before + (scale - 1)[:, None, None] * self._centres(before), box * scale[:, None, None]
        )
        n = len(self.sizes)
        work = replicas.energy - energy + self.pressure * PRESSURE["bar"] * (other - volume)
        take = (chance[1].log() < n * (other / volume).log() - work / kT) & known & replicas.alive
        kept = take[:, None, None]
        replicas.move_to(
            torch.where(kept, replicas.positions, before),
            torch.where(kept, cast(Tensor, replicas.box), box),
        )
        self._count(replicas, take, known)

    def _known(self, replicas: Replicas, box: Tensor, volume: Tensor, other: Tensor) -> Tensor:
        """(n_replicas,) whether the potential knows the other volume, and a site meets one image of
        each other there.
        """
        narrowest = box_widths(box).amin(-1) * (other / volume) ** (1 / 3)
        known = narrowest > 2 * self.reach
        if self.density is None:
            return known
        density = replicas.system.n_sites / other
        low, high = self.density
        return known & (density > low * (1 - SAME_DENSITY)) & (density < high * (1 + SAME_DENSITY))

    def _centres(self, positions: Tensor) -> Tensor:
        """(n_replicas, n_sites, 3) the centre of the molecule of each site, which keeps its shape."""
        sums = positions.new_zeros(len(positions), len(self.sizes), 3)
        sums.index_add_(1, self.molecule, positions)
        return (sums / self.sizes[:, None])[:, self.molecule]

    def _count(self, replicas: Replicas, take: Tensor, known: Tensor) -> None:
        alive = replicas.alive
        if replicas.step * replicas.timestep <= self.warm_up:
            share = float(take[alive].double().mean())
            self.size = min(LARGEST, self.size * (CHANGE if share > WANTED else 1 / CHANGE))
            return
        self.tried += int(alive.sum())
        self.taken += int(take[alive].sum())
        self.beyond += int((~known)[alive].sum())

    def state(self) -> object:
        return _State(size=self.size, tried=self.tried, taken=self.taken, beyond=self.beyond)

    def restore(self, state: object, replicas: Replicas) -> None:
        known = cast(_State, state)
        self.size, self.tried = known["size"], known["tried"]
        self.taken, self.beyond = known["taken"], known["beyond"]

    def about(self) -> Mapping[str, object]:
        tried = max(self.tried, 1)
        if self.beyond > CUT_OFF * tried:
            remark(
                f"barostat: {100 * self.beyond / tried:.0f} % of the moves went beyond the densities "
                "that the potential was made from and were not taken, so the volumes are cut off "
                "there; make the level from a parent of more volumes"
            )
        return {
            "barostat": {
                "pressure": self.pressure,
                "acceptance": self.taken / tried,
                "beyond_known_densities": self.beyond / tried,
                "largest_move": self.size,
            }
        }
