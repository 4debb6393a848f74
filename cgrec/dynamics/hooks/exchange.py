"""Replica exchange in temperature: hot replicas cross barriers for the cold one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NotRequired, TypedDict, cast

import numpy as np
import torch
from torch import Tensor

from ...frames import Frames
from ...potential.base import Potential
from ...ranges import expect
from ...roles import Replicas
from ...run import layout
from ...statistics.temperatures import need_pymbar
from ...units import BOLTZMANN
from ..walks import round_trips
from .hook import Hook

#: Temperature of a rung over that of the lowest: nobody heats so far, and no temperature of a
#: molecule in kelvin is less.
_HOTTEST = 20.0
#: K, of the examples in what is said of kelvin.
_ROOM = 300.0


class _State(TypedDict):
    """`swaps`: (2, n_rungs - 1) accepted and attempted of each pair of neighbours; until walks were
    kept, two sums.
    """

    rungs: Tensor
    swaps: Tensor | list[int]
    walks: NotRequired[Tensor]


class Exchange(Hook):
    """Parallel tempering (Sugita, Okamoto, Chem. Phys. Lett. 314, 141 (1999)) within a batch of
    replicas.

    Replicas form ladders of rungs. Neighbouring rungs trade temperatures with the Metropolis
    probability. At a level above the atoms the energy is a PMF of the lowest temperature: the hot
    rungs are then a sampling device, not another thermodynamic state, and only what stands on the
    lowest rung may be kept.

    Leaves walks.npy beside the frames: (n_times, n_replicas), the rung of each replica at the end
    of each stretch, equilibration included.

    Args:
        factors: temperatures of the rungs over that of the lowest, which is the run's: no kelvin,
            but numbers rising from 1.
        highest: in place of factors, that of the highest rung, such as 1.5 for 450 K above a run at
            300 K; those between rise by the same factor each, which gives all neighbours of a
            ladder the same acceptance where the heat capacity does not change (D. A. Kofke, J.
            Chem. Phys. 117, 6911 (2002)).
        rungs: of such a ladder.
        every: steps between attempts.
        keep: "lowest", frames of the lowest rung, numbered by ladder; "all", those of all rungs
            with weights by MBAR at the lowest temperature, numbered by replica, which walks. For
            energies, such as a force field, not for a PMF.

    Raises:
        ValueError: no ladder, or one in kelvin.
        ImportError: keep="all" without pymbar.
    """

    def __init__(
        self,
        *,
        factors: Sequence[float] | None = None,
        highest: float | None = None,
        rungs: int | None = None,
        every: int = 100,
        keep: Literal["lowest", "all"] = "lowest",
    ) -> None:
        self.factors = _ladder(factors, highest, rungs)
        expect("Exchange", at_least=1, every=every)
        if keep not in ("lowest", "all"):
            raise ValueError(f"Exchange.keep: expected lowest or all, found {keep!r}")
        if keep == "all":
            need_pymbar("Exchange.keep=all")
        self.every = every
        # None and no word: recipes of runs that know no keep= are still the same
        self.keep = "all" if keep == "all" else None

    def begin(self, replicas: Replicas, potential: Potential, start: Frames) -> None:
        """Put consecutive replicas on the rungs of a ladder, which is one replica of the frames."""
        n = len(replicas.positions)
        self.standing = self.first_rungs(n)
        self.swaps = torch.zeros(2, len(self.factors) - 1, dtype=torch.int64)
        self.walks: list[Tensor] = []
        if self.keep == "all" and potential.temperature is not None:
            raise ValueError(
                "Exchange.keep: expected lowest at a level above the atoms, found all: a PMF holds "
                f"at {potential.temperature:g} K alone, so its hot frames belong to no ensemble"
            )
        device = replicas.positions.device
        numbers = torch.arange(n, device=device)
        replicas.numbers = numbers if self.keep == "all" else numbers // len(self.factors)
        self._heat(replicas)

    def first_rungs(self, n_replicas: int) -> Tensor:
        """(n_replicas,) first rung of each replica. Raises ValueError where replicas do not fill
        whole ladders.
        """
        n = len(self.factors)
        if n_replicas % n:
            whole = max(1, round(n_replicas / n))
            raise ValueError(
                f"n_replicas: expected a multiple of {n}, the rungs of replica exchange, found "
                f"{n_replicas}; give n_replicas={whole * n}, or another ladder"
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
        self.standing = self.swap(
            self.standing,
            energy,
            replicas.temperature,
            replicas.common,
            (replicas.step // self.every) % 2 == 1,
        )
        self._heat(replicas)
        replicas.velocities *= (replicas.kT / before).sqrt()

    def _heat(self, replicas: Replicas) -> None:
        replicas.heat(torch.tensor(self.factors).double()[self.standing])
        kept = self.standing >= 0 if self.keep == "all" else self.standing == 0
        replicas.kept = kept.to(replicas.positions.device)

    def at_frame(self, replicas: Replicas) -> None:
        """Note where everyone stands."""
        self.walks.append(self.standing.to(torch.int8))

    def swap(
        self,
        rungs: Tensor,
        energies: Tensor,
        temperature: float,
        generator: torch.Generator,
        odd: bool,
    ) -> Tensor:
        """(n_replicas,) new rungs after one attempt for every other pair of neighbours of every
        ladder.

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
            self.swaps[0, low] += int(yes.sum())
            self.swaps[1, low] += len(a)
        return new.view(-1)

    def state(self) -> object:
        walks = torch.stack(self.walks) if self.walks else torch.empty(0, len(self.standing))
        return _State(rungs=self.standing, swaps=self.swaps, walks=walks.to(torch.int8))

    def restore(self, state: object, replicas: Replicas) -> None:
        known = cast(_State, state)
        self.standing = known["rungs"].cpu()
        swaps = torch.as_tensor(known["swaps"]).cpu()
        if swaps.ndim == 1:  # sums of all pairs, of an older version
            swaps = torch.stack([swaps, *[torch.zeros_like(swaps)] * (len(self.factors) - 2)], 1)
        self.swaps = swaps
        self.walks = list(known["walks"].cpu()) if "walks" in known else []
        self._heat(replicas)

    def about(self) -> Mapping[str, object]:
        accepted, attempted = self.swaps.sum(1).tolist()
        if not attempted:
            return {}
        pairs = (self.swaps[0] / self.swaps[1].clamp(min=1)).tolist()
        walks = torch.stack(self.walks).numpy()
        trips = int(round_trips(walks, len(self.factors) - 1).sum())
        exchange = {"factors": self.factors, "acceptance": pairs, "round_trips": trips}
        return {"exchange_acceptance": accepted / attempted, "exchange": exchange}

    def finish(self, folder: Path) -> None:
        np.save(folder / layout.WALKS, torch.stack(self.walks).numpy())


def _ladder(
    factors: Sequence[float] | None, highest: float | None, rungs: int | None
) -> list[float]:
    """Relative temperatures, from either way to say them."""
    if factors is not None and (highest is not None or rungs is not None):
        raise ValueError(
            "Exchange: expected either factors, or highest and rungs, found both; leave one out"
        )
    if factors is None:
        if highest is None or rungs is None or not highest > 1 or rungs < 2:
            raise ValueError(
                "Exchange: expected factors=[1, ...], or highest above 1 with rungs of 2 or more, "
                f"found highest={highest} and rungs={rungs}"
            )
        if not highest < _HOTTEST:
            raise ValueError(
                "Exchange.highest: expected the highest temperature over the lowest, such as 1.5, "
                f"found {highest:g}, as if in kelvin; divide it by the temperature of the run: "
                f"{highest:g} K above {_ROOM:g} K is highest={highest / _ROOM:.4g}"
            )
        factors = np.geomspace(1, highest, rungs).tolist()
    rising = all(low <= high for low, high in zip(factors, factors[1:]))  # false for NaN, too
    if len(factors) < 2 or factors[0] != 1 or not rising or not factors[-1] < _HOTTEST:
        raise ValueError(
            "Exchange.factors: expected at least two temperatures over the lowest, rising from 1, "
            f"found {list(factors)}{_in_kelvin(factors)}"
        )
    return [float(f) for f in factors]


def _in_kelvin(factors: Sequence[float]) -> str:
    """What to give for temperatures in kelvin; an example where these are none."""
    if not factors or not all(math.isfinite(f) for f in factors) or max(factors) < _HOTTEST:
        return "; give some such as [1, 1.2, 1.44]"
    lowest = factors[0] if factors[0] > 1 else _ROOM
    given = ", ".join(f"{max(1.0, f / lowest):.4g}" for f in factors)
    return f"; if these are kelvin, give [{given}]"
