"""What a run came to, beside its frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..files import read_json, with_nan
from ..remarks import remark
from ..roles import Lost
from ..run import layout

#: Where it is kept, beside the frames.
SIMULATION = layout.SIMULATION
#: Share of attempts between two rungs below which replicas do not walk.
_HARDLY = 0.02
#: What a report has no number for where nothing was counted.
_MAY_BE_NAN = ("kinetic_temperature", "exchange_acceptance", "weight_efficiency")


@dataclass
class SimulationReport:
    """What a run came to.

    Attributes:
        replicas: replicas started.
        lost: [{"replica", "time" (ps), "why"}] of those stopped before the end; their frames up to
            then are kept.
        simulated: ns of all replicas together, without equilibration.
        seconds: wall time.
        device: where it ran, in its last session.
        ns_per_day: aggregate.
        kinetic_temperature: [K, standard error over replicas]. Of velocities after a half kick,
            which in BAOAB have the temperature of the thermostat at any usual time step, in
            anharmonic potentials too. Where it differs by more than its error the run is most often
            not in equilibrium: it still takes up or gives off potential energy, which the
            thermostat makes good within about 1 / friction. A longer equilibration mends that.
        frames: saved.
        interval: ps between saved frames of a replica; 0 where an older version made them.
        exchange_acceptance: of replica exchange, nan without.
        exchange: {"factors": of the ladder, "acceptance": of each pair of neighbours, "round_trips":
            of all replicas to the highest rung and back}.
        weight_efficiency: (sum w)^2 / (n sum w^2); 1 for an unbiased run.
        guard: which guard watched, how many false alarms it is set to give, the largest score of a
            replica that was kept. Replicas that it stopped are in `lost`: what is left is an
            ensemble under the condition of not having been stopped.
        hooks: what hooks of somebody else say.
    """

    replicas: int = 0
    lost: list[Lost] = field(default_factory=list)
    simulated: float = 0.0
    seconds: float = 0.0
    device: str = ""
    ns_per_day: float = 0.0
    kinetic_temperature: list[float] = field(default_factory=lambda: [float("nan")] * 2)
    frames: int = 0
    interval: float = 0.0
    exchange_acceptance: float = float("nan")
    exchange: dict[str, object] = field(default_factory=dict)
    weight_efficiency: float = 1.0
    guard: dict[str, object] = field(default_factory=dict)
    hooks: dict[str, object] = field(default_factory=dict)

    def count(self, steps: int, kept: int, timestep: float) -> None:
        """Bring the simulated time and the speed up to `steps`, of which `kept` come after the
        equilibration; `timestep` in ps.
        """
        ns_per_step = timestep * 1e-3 * self.replicas
        self.simulated = max(0, kept) * ns_per_step
        self.ns_per_day = steps * ns_per_step / max(self.seconds, 1e-9) * 86400

    def weigh(self, weights: NDArray[np.float64]) -> None:
        """Note the efficiency of (n_frames,) weights."""
        self.weight_efficiency = float(weights.sum() ** 2 / (len(weights) * (weights**2).sum()))

    def say(self, told: Mapping[str, object]) -> None:
        """Take in what a hook tells: numbers the report has a place for, and others."""
        known = {f.name for f in fields(self)}
        for name, value in told.items():
            if name in known:
                setattr(self, name, value)
            else:
                self.hooks[name] = value

    def plain(self) -> dict[str, object]:
        """As json; `exchange` and `hooks` only where they say something."""
        about = asdict(self)
        return {k: v for k, v in about.items() if v or k not in ("exchange", "hooks")}

    @classmethod
    def read(cls, folder: Path) -> SimulationReport:
        """That of a finished run, as far as it is there."""
        path = folder / SIMULATION
        about = read_json(path) if path.exists() else {}
        about |= with_nan({k: about[k] for k in _MAY_BE_NAN if k in about})
        known = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in about.items() if k in known})

    @property
    def all_lost(self) -> bool:
        """Whether no replica lived to the end."""
        lost = {one["replica"] for one in self.lost}
        return bool(lost) and len(lost) == self.replicas


class Tally:
    """What each replica's kinetic temperature was at saved frames.

    Attributes:
        sums: (2, n_replicas) sum of instantaneous temperatures in K, and their number.
    """

    def __init__(self, n_replicas: int, device: torch.device) -> None:
        self.sums = torch.zeros(2, n_replicas, dtype=torch.float64, device=device)

    def add(self, temperatures: Tensor, alive: Tensor) -> None:
        """Count (n_replicas,) K of those alive."""
        self.sums += torch.stack([temperatures, torch.ones_like(temperatures)]) * alive

    @property
    def mean(self) -> Tensor:
        """K, of all counts."""
        return self.sums[0].sum() / self.sums[1].sum()

    def over_replicas(self) -> list[float]:
        """[mean, standard error], K, each replica one value."""
        each = (self.sums[0] / self.sums[1])[self.sums[1] > 0].cpu().numpy()
        return [float(each.mean()), float(each.std() / np.sqrt(len(each)))]


class AllLost(ValueError):
    """No replica of a run lived to its end."""


def why_lost(lost: Sequence[Lost], timestep: float) -> str:
    """What stopped most replicas, the first of them, and what to do about that, in one or two
    sentences.
    """
    reasons = Counter(str(one["why"]) for one in lost)
    why, n = reasons.most_common(1)[0]
    first = next(one for one in lost if one["why"] == why)
    if why.startswith("exploded"):
        way = (
            f"Halve the time step ({timestep:g} ps now); if that changes nothing, the forces are "
            "wrong: look at the explained fraction"
        )
    else:
        way = (
            "Look at the explained fraction of the fit and give it frames from where the replicas "
            "went, or train it further"
        )
    return f"{n} of {len(lost)} {why}, the first after {first['time']:g} ps. {way}."


def say_exchange(report: SimulationReport) -> None:
    """Show how a ladder of temperatures exchanged, with a remark where two rungs hardly did."""
    accepted = report.exchange.get("acceptance")
    if not isinstance(accepted, list) or not accepted:
        return
    shares = ", ".join(f"{100 * share:.0f} %" for share in accepted)
    print(
        f"exchange: neighbouring rungs accept {shares} of the attempts; "
        f"{report.exchange.get('round_trips')} round trips"
    )
    if min(accepted) < _HARDLY:
        remark(
            f"replica exchange: two neighbouring rungs accept {100 * min(accepted):.1f} % of their "
            f"attempts, expected {100 * _HARDLY:.0f} % or more: the ladder is cut in two; give more "
            "rungs, or a lower highest temperature"
        )
