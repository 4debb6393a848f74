"""An engine: Metropolis Monte Carlo of many replicas, each site moved in turn."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cgrec import Frames, Potential
from cgrec.dynamics import SIMULATION
from cgrec.files import read_json, write_json
from cgrec.roles import Guard
from cgrec.units import thermal_energy


@dataclass
class Walked:
    """What a run came to: how many replicas, which were lost, and the share of moves accepted."""

    replicas: int
    lost: list[dict[str, Any]] = field(default_factory=list)
    acceptance: float = 0.0


class MetropolisWalk:
    """(potential, start) -> Frames with forces, by moves of one site that are accepted with
    min(1, exp(-dU / kT)).

    Args:
        n_replicas: side by side.
        n_frames: kept per replica.
        sweeps: over all sites between two of them; ten times as many come before the first.
        step: nm, standard deviation of a move in each direction.
        use_lost: take the frames of a run that lost all its replicas.
    """

    save_every = 1.0  # nothing here has a time: one frame, one ps

    def __init__(
        self,
        *,
        n_replicas: int = 8,
        n_frames: int = 50,
        sweeps: int = 5,
        step: float = 0.05,
        use_lost: bool = False,
    ) -> None:
        self.n_replicas = n_replicas
        self.n_frames = n_frames
        self.sweeps = sweeps
        self.step = step
        self.use_lost = use_lost

    def __call__(
        self,
        potential: Potential,
        start: Frames,
        folder: str | Path,
        *,
        seed: int = 0,
        guard: Guard | None = None,
        name: str = "simulation",
    ) -> tuple[Frames, Walked]:
        """The run in `folder`; it is short, so that a killed one begins anew."""
        folder = Path(folder)
        if folder.exists():
            return self.judged(folder)
        rng = np.random.default_rng(seed)
        chance = start.normalised_weights()
        state = replace(
            start[rng.choice(len(start), self.n_replicas, p=chance)],
            forces=None,
            energies=None,
            weights=None,
            replicas=np.arange(self.n_replicas),
        )
        report = Walked(self.n_replicas)
        alive = np.ones(self.n_replicas, bool)
        kept = []
        state = self._swept(potential, state, 10 * self.sweeps, rng, report)
        for k in range(self.n_frames):
            state = self._swept(potential, state, self.sweeps, rng, report)
            if guard is not None:
                score = guard.score(potential.graph(state)).numpy()
                self._lose(alive & ~(score <= 1), float(k), report)
                alive &= score <= 1
            if alive.any():
                kept.append(state[np.flatnonzero(alive)])
        report.acceptance /= (10 + self.n_frames) * self.sweeps
        if not kept:
            raise ValueError(f"{name}: all {self.n_replicas} replicas were lost")
        numbers = np.concatenate([np.asarray(one.replicas) for one in kept])
        frames = replace(Frames.concatenate(kept), replicas=numbers)
        frames = replace(frames, forces=potential.energy_and_forces(frames)[1])
        frames.save(folder, lambda partial: write_json(partial / SIMULATION, asdict(report)))
        return self.judged(folder)

    def _swept(
        self, potential: Potential, state: Frames, n: int, rng: np.random.Generator, report: Walked
    ) -> Frames:
        energy = potential.energy_and_forces(state)[0]
        kT = thermal_energy(state.temperature)
        for _ in range(n):
            for site in range(state.n_sites):
                x = np.array(state.positions, float)
                x[:, site] += rng.normal(scale=self.step, size=(len(x), 3))
                moved = replace(state, positions=x)
                other = potential.energy_and_forces(moved)[0]
                yes = rng.random(len(x)) < np.exp(np.minimum(0.0, (energy - other) / kT))
                state = replace(state, positions=_chosen(yes, x, state.positions))
                energy = np.where(yes, other, energy)
                report.acceptance += float(yes.mean()) / state.n_sites
        return state

    def _lose(self, which: NDArray[np.bool_], time: float, report: Walked) -> None:
        for replica in np.flatnonzero(which).tolist():
            report.lost.append({"replica": replica, "time": time, "why": "left what is known"})

    def long_enough(self, folder: Path) -> bool:
        return True

    def judged(self, folder: Path) -> tuple[Frames, Walked]:
        report = Walked(**read_json(Path(folder) / SIMULATION))
        if len(report.lost) == report.replicas and not self.use_lost:
            raise ValueError(f"{folder}: all {report.replicas} replicas were lost before its end")
        return Frames.load(folder), report


def _chosen(yes: NDArray[np.bool_], new: NDArray[Any], old: NDArray[Any]) -> NDArray[Any]:
    return np.where(yes[:, None, None], new, old)
