"""Minutes that a climb takes on this machine, from a few steps of each of its parts: levels above
frames of files, and level 0 of a bare structure under its force field with the levels above it.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..chain.chain import Chain
from ..dynamics import Langevin
from ..frames import Frames
from ..level import LevelRecipe
from ..sources import FileSource, ForceFieldSource
from ..sources.molecule import relaxed
from .cost import Cost, cost, quietly, runs_of, seconds_a_step

#: Steps of the shorter piece of level 0 that is timed, and of the piece that frames are taken from.
STEPS, SAMPLED = 20, 120
#: Frames of a replica in that piece.
SAVES = 4


@dataclass(frozen=True)
class Times:
    """Minutes on one core.

    Attributes:
        source: of level 0; 0 where its frames are there.
        levels: {name: of its fit with its mean forces, and of one of its runs}.
        runs: {name: how many of these there are}.
        trials: {name: of a trial run of its strays, and how many rounds may follow the first}.
        controls: names of levels that have a direct model as control.
    """

    source: float = 0.0
    levels: dict[str, Cost] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    trials: dict[str, tuple[float, int]] = field(default_factory=dict)
    controls: tuple[str, ...] = ()

    def of(self, name: str) -> float:
        """Of a level in all; of its strays the first trial run."""
        found = self.levels[name]
        trial, _ = self.trials.get(name, (0.0, 0))
        models = 1 + (name in self.controls)  # the control is fitted and run as the level itself
        return models * (found.fit + trial + self.runs[name] * found.run) + found.pairs

    @property
    def more(self) -> float:
        """Of all rounds of strays after the first, which there may or may not be: each is a fit and a
        trial run.
        """
        return sum(
            rounds * (self.levels[name].fit + trial) * (1 + (name in self.controls))
            for name, (trial, rounds) in self.trials.items()
        )

    @property
    def total(self) -> float:
        """Of all."""
        return self.source + sum(map(self.of, self.levels))

    def said(self) -> str:
        """In words."""
        parts = [("level 0", self.source)] if self.source else []
        parts += [(name, self.of(name)) for name in self.levels]
        each = ", ".join(f"{name} {_minutes(value)}" for name, value in parts)
        again = ""
        if self.more:
            again = (
                f"; where replicas stray, fits and trial runs are made again: up to "
                f"{_minutes(self.more)} more, which are not counted"
            )
        return (
            f"about {_minutes(self.total)} on one core of this machine ({each}), by a few steps of "
            "each; rough, to a factor of two: comparisons, reports and other work on the machine "
            f"make it longer{again}"
        )


def _minutes(value: float) -> str:
    return f"{value:.2g} min" if value < 100 else f"{value / 60:.2g} h"


def times_of(chain: Chain, said: Callable[[str], object] = lambda name: None) -> Times | None:
    """Of a chain whose level 0 is read from files or run under a force field; None of others.

    Args:
        said: called with the name of each part before it is timed.
    """
    source = chain.source
    if isinstance(source, FileSource):
        return _above(chain, source.beginning, Times(), None, said)
    if not isinstance(source, ForceFieldSource) or not isinstance(source.dynamics, Langevin):
        return None
    said("level 0")
    frames, a_step = _of_force_field(source)
    minutes = a_step * source.dynamics.total_steps / 60
    return _above(chain, frames, Times(minutes), a_step / source.dynamics.n_replicas, said)


def _of_force_field(source: ForceFieldSource) -> tuple[Frames, float]:
    """Frames of the first moments of level 0, and seconds a step of all its replicas."""
    potential, starts = source.molecule
    engine: Langevin = source.dynamics  # type: ignore[assignment]  # looked at by the caller
    timed = replace(engine, bias=None, equilibration=0, compile=True, use_lost=True)
    plain = replace(timed, exchange=None)
    # of a small molecule an attempt to exchange takes as long as tens of steps
    piece = STEPS if engine.exchange is None else max(STEPS, engine.exchange.every)
    number = itertools.count()
    with quietly(), tempfile.TemporaryDirectory() as place:
        first = relaxed(potential, starts) if source.minimise else starts

        def run(steps: int, saves: int = 1, options: Langevin = timed) -> Frames:
            length = steps * engine.timestep
            short = replace(options, length=length, save_every=length / saves)
            folder = Path(place) / str(next(number))
            return short(potential, first, folder, seed=0)[0]

        frames = run(SAMPLED, SAVES, plain)
        frames = frames[np.arange(len(frames))]  # in memory: their folder is removed
        return frames, seconds_a_step(run, piece)


def _above(
    chain: Chain,
    frames: Frames,
    known: Times,
    a_frame: float | None,
    said: Callable[[str], object],
) -> Times:
    """`known` with the levels above some frames of level 0.

    Args:
        a_frame: seconds a step and replica of what moves the frames; None where nothing does.
    """
    levels, runs = dict[str, Cost](), dict[str, int]()
    trials = dict[str, tuple[float, int]]()
    parent = chain.source.dynamics if isinstance(chain.source, ForceFieldSource) else None
    for name, recipe in chain.recipes.items():
        said(name)
        rule = recipe.mapping
        mapping = rule(frames if getattr(rule, "needs_frames", False) else frames.system)
        frames = mapping(frames)
        found = cost(name, recipe, frames)
        labels = _of_mean_forces(recipe, parent, a_frame)
        levels[name] = found._replace(fit=found.fit + labels)
        runs[name] = runs_of(recipe)
        parent = recipe.dynamics
        if isinstance(parent, Langevin):
            a_frame = 60 * found.run / (parent.total_steps * parent.n_replicas)
            if recipe.strays is not None:
                steps = recipe.strays.length / parent.timestep
                trials[name] = found.run * steps / parent.total_steps, recipe.strays.rounds
    controls = tuple(levels)[1:] if chain.ledger.control else ()
    return replace(known, levels=levels, runs=runs, trials=trials, controls=controls)


def _of_mean_forces(recipe: LevelRecipe, parent: object, a_frame: float | None) -> float:
    """Minutes of the runs of the level below from each of its frames."""
    labels = recipe.mean_forces
    if labels is None or a_frame is None or not isinstance(parent, Langevin):
        return 0.0
    there = parent.n_replicas * parent.n_saves
    steps = (labels.length + labels.equilibration) / labels.timestep
    return min(labels.most or there, there) * steps * a_frame / 60
