"""`Strays`: let a network be silent where a trial run goes and its parent never was.

A network says anything where it has seen no frame. Where that is a well, deeper than all the parent
knows, it swallows replicas, and the guard of a run stops them: of 128 of CLN025's alpha carbons 54,
though of its parent's own frames, at 300 to 510 K, none is beyond a guard that was made from the other
half of the walkers. Such frames say what no frame of the parent can: that nothing is there. So they
are labelled with the forces of the priors alone, which lead back to where chains are, and the fit is
made again with them. They are no part of the ensemble: neither the guard nor the priors are fitted
to them, and nothing is compared with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..dynamics import Langevin
from ..dynamics.guard import feature_guard
from ..dynamics.hooks.guard import FAR, PATIENCE
from ..frames import Frames
from ..potential import Potential, SumPotential
from ..potential.base import portion
from ..ranges import expect
from ..roles import Engine, Guard
from ..run import layout
from ..run.digests import keep, keep_json, made
from ..training import TrainingReport
from .trial import same_engine

#: (frames, folder, round) -> the potential fitted to them, and what the fit came to; its files are
#: left in the folder. Each round has other untrained weights.
Train = Callable[[Frames, Path, int], tuple[Potential, TrainingReport]]
#: Share of the frames of a fit that are strays of one round at most: more would be what it learns.
MOST = 0.1


@dataclass(frozen=True, kw_only=True)
class Strays:
    """Fits again with frames of a trial run that strayed from all that the parent has seen.

    A round costs a fit and a trial run of `length`. It is the last one where at most `few` of the
    replicas would have been stopped by the guard of a run. Each fit may make wells of its own: the
    strays of all rounds are learned from, and the fit of which the fewest strayed is taken.

    Attributes:
        rounds: after the first fit, at most.
        length: ps of each replica in a trial run; nothing stops a replica there. As long as the run
            of the level, where it can be: of CLN025's alpha carbons 1 of 128 strayed in 200 ps and
            15 in 500.
        few: share of the replicas that may stray.
    """

    rounds: int = 4
    length: float = 100.0
    few: float = 0.01

    def __post_init__(self) -> None:
        expect("Strays", at_least=1, rounds=self.rounds)
        expect("Strays", above=0, length=self.length)
        expect("Strays", at_least=0, below=1, few=self.few)

    def check(self, engine: Engine) -> None:
        """ValueError where a trial run cannot be made like the runs of `engine`."""
        if not isinstance(engine, Langevin):
            raise ValueError(
                "strays: expected dynamics of cgrec.dynamics.Langevin, which a trial run is made "
                f"like, found {type(engine).__name__}; leave strays out"
            )

    def __call__(
        self,
        train: Train,
        frames: Frames,
        priors: Sequence[Potential],
        engine: Langevin,
        folder: Path,
        seed: int = 0,
        name: str = "level",
        device: str | torch.device = "cpu",
    ) -> tuple[Potential, Path, list[dict[str, int]]]:
        """The best potential, the folder of its fit, and of each trial run the number of replicas
        that strayed and of frames beyond what the guard knows.

        Args:
            train: a fit.
            frames: it is made to, with forces.
            priors: what strays are labelled with.
            engine: of the level; a trial run has its replicas, time step and friction.
            folder: where fits and runs are kept until all is done; the same call goes on there.
            seed: of the trial runs.
            name: of the level, for the progress bar.
            device: of a potential that is read again.

        Raises:
            ValueError: frames with energies: those of strays are not known.
        """
        if frames.energies is not None:
            raise ValueError(
                f"levels.{name}.strays: expected frames without energies, since nobody knows those "
                "of strays, found some; leave strays out"
            )
        seen = frames
        said: list[dict[str, int]] = []
        best: tuple[int, Potential, Path] | None = None
        for k in range(self.rounds + 1):
            place = folder / f"fit_{k}"
            potential = _fitted(train, seen, place, k, device)
            run = self._tried(potential, frames, engine, folder / f"trial_{k}", seed + k, name)
            guard = feature_guard(potential, frames, engine.save_every, f"{name}: strays")
            if guard is None:
                return potential, place, said
            score = scores(guard, potential, run)
            lost = strayed(score, run, engine.n_replicas)
            beyond = np.flatnonzero(~(score <= 1))
            said.append({"replicas": engine.n_replicas, "strayed": lost, "frames": len(beyond)})
            print(
                f"{name}: in a trial run {lost} of {engine.n_replicas} replicas stray from what the "
                "parent has seen"
            )
            if best is None or lost < best[0]:
                best = lost, potential, place
            if lost <= self.few * engine.n_replicas or not len(beyond):
                break
            found = run[_spread(beyond, round(MOST * len(frames)))]
            seen = among(seen, _labelled(found, priors, frames))
        assert best is not None
        return *best[1:], said

    def _tried(
        self,
        potential: Potential,
        frames: Frames,
        engine: Langevin,
        place: Path,
        seed: int,
        name: str,
    ) -> Frames:
        if not made(place):
            options = Langevin(
                n_replicas=engine.n_replicas,
                timestep=engine.timestep,
                length=self.length,
                save_every=min(engine.save_every, self.length),
                equilibration=0,
                use_lost=True,
                **same_engine(engine),
            )
            options(potential, frames, place, seed=seed, name=f"{name}: trial run")
        return Frames.load(place)


def scores(guard: Guard, potential: Potential, frames: Frames) -> NDArray[np.float64]:
    """(n_frames,) of a guard; above 1 a frame is beyond what it knows."""
    found = [guard.score(potential.graph(part)) for part in _parts(frames)]
    return np.asarray(torch.cat(found).double().cpu())


def strayed(score: NDArray[np.float64], run: Frames, n_replicas: int) -> int:
    """Of `n_replicas`, how many the guard of a run would have stopped, or ended of themselves.

    Args:
        score: (n_frames,) of the frames of `run`, which nothing stopped.
        run: with replicas; one that has fewer frames than the others was lost.
        n_replicas: that began.
    """
    own = np.zeros(len(run), int) if run.replicas is None else np.asarray(run.replicas)
    rows = [score[own == k] for k in np.unique(own)]
    longest = max(map(len, rows))
    kept = sum(len(row) == longest and not _stopped(row) for row in rows)
    return n_replicas - kept


def _stopped(row: NDArray[np.float64]) -> bool:
    """As `cgrec.dynamics.hooks.guard.Watch` stops a replica of these scores."""
    beyond = ~(row <= 1)
    in_a_row = np.convolve(beyond, np.ones(PATIENCE), "valid") if len(row) >= PATIENCE else [0.0]
    return bool(~(row <= FAR).all() or np.max(in_a_row) >= PATIENCE)


def _fitted(
    train: Train, frames: Frames, place: Path, k: int, device: str | torch.device
) -> Potential:
    path = place / layout.POTENTIAL
    if not made(path):
        place.mkdir(parents=True, exist_ok=True)
        potential, report = train(frames, place, k)
        keep_json(place / layout.FIT, report.to_json())
        keep(path, potential.save)
        return potential
    return Potential.load(path, device)


def _spread(places: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most so many of them, spread over all."""
    n = min(len(places), max(1, most))
    return places[np.linspace(0, len(places) - 1, n).round().astype(int)]


def among(frames: Frames, strays: Frames) -> Frames:
    """`strays` spread evenly over `frames`, each with the replica of the frame before it: a fit holds
    out whole replicas, and must not be judged by strays alone.
    """
    n = len(frames)
    own = np.zeros(n, int) if frames.replicas is None else np.asarray(frames.replicas)
    before = np.linspace(0, n - 1, len(strays)).round().astype(int)
    order = np.argsort(np.concatenate([np.arange(n), before + 0.5]), kind="stable")
    replicas = None if frames.replicas is None else np.concatenate([own, own[before]])[order]
    return replace(Frames.concatenate([frames, strays])[order], replicas=replicas)


def _labelled(found: Frames, priors: Sequence[Potential], like: Frames) -> Frames:
    """With the forces of the priors, weighing as much as a frame of `like` on average."""
    forces = np.zeros(found.positions.shape)
    if priors:
        forces = SumPotential(list(priors)).energy_and_forces(found)[1]
    weights = None
    if like.weights is not None:
        weights = np.full(len(found), float(np.mean(np.asarray(like.weights))))
    return replace(found, forces=forces, energies=None, weights=weights)


def _parts(frames: Frames) -> Iterator[Frames]:
    step = portion(frames.n_sites, len(frames))
    yield from (frames[k : k + step] for k in range(0, len(frames), step))
