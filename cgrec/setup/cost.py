"""What a level costs on this machine: a few steps of its fit and of its run are timed."""

from __future__ import annotations

import contextlib
import io
import itertools
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ..corrections.pairs import pair_modes
from ..dynamics import AllLost, Langevin
from ..frames import Frames
from ..level import LevelRecipe
from ..level.trial import try_priors
from ..observables import compare_liquids
from ..potential import Potential, UF3Potential
from ..potential.priors import fitted

#: Steps of the shorter piece, and how often each is timed.
STEPS, REPEATS = 10, 3
#: ps, below which no time step is tried.
SHORTEST = 0.001
#: A run under a network is rougher than one under the priors alone.
MARGIN = 1.25
#: Frames that the trial fit sees, and in which pairs are counted.
FRAMES, COUNTED = 400, 4


class Cost(NamedTuple):
    """What a level costs on one core.

    Attributes:
        fit, run: minutes, of its fit and of one of its runs.
        pairs: minutes, of counting pairs in the frames of all runs, for the ledger and corrections.
        timestep: ps, at which the priors alone live (`cgrec.level.trial`).
    """

    fit: float
    run: float
    pairs: float
    timestep: float


def runs_of(recipe: LevelRecipe) -> int:
    """Runs of a level: one, and one for each round of its corrections."""
    return 1 + sum(getattr(correction, "rounds", 1) for correction in recipe.all_corrections)


def cost(name: str, recipe: LevelRecipe, frames: Frames) -> Cost:
    """From a short timing.

    Args:
        name: of the level.
        recipe: of the level; its dynamics must be `Langevin`.
        frames: of the level below, mapped.
    """
    engine = recipe.dynamics
    if not isinstance(engine, Langevin):
        raise TypeError(f"cost: expected dynamics that are Langevin, found {engine!r}")
    some = frames[:: max(1, -(-len(frames) // FRAMES))]
    with quietly(), tempfile.TemporaryDirectory() as place:
        network = recipe.potential(some, 0)
        # walls stand behind all frames, and are what breaks first
        priors = fitted(recipe.listed_priors, frames, network.types)
        timestep = _steady(name, priors, frames, engine)
        potential, fit = _fit(recipe, network, priors, some)
        run = _run(replace(engine, timestep=timestep), potential, some, Path(place) / "run")
        pairs = _count(recipe, engine, network.types, frames)
    return Cost(
        fit * recipe.training.steps / 60, run * engine.total_steps / 60, pairs / 60, timestep
    )


def _steady(name: str, priors: list[Potential], frames: Frames, engine: Langevin) -> float:
    """ps, the longest step, of what was asked and halves of it, at which the priors alone live, and
    at a somewhat longer one.
    """
    step = engine.timestep
    while step > SHORTEST:
        try:
            try_priors(name, priors, frames, replace(engine, timestep=MARGIN * step))
        except ValueError:
            step /= 2
            continue
        break
    return step


def _fit(
    recipe: LevelRecipe, network: Potential, priors: list[Potential], frames: Frames
) -> tuple[Potential, float]:
    """A potential that was fitted for a few steps, and seconds a step."""
    short = replace(recipe.training, compile=True, most_validation_frames=20, validate_every=10**6)

    def fit(steps: int) -> Potential:
        return replace(short, steps=steps)(network, frames, priors=priors, seed=0)[0]

    return fit(STEPS), seconds_a_step(fit, STEPS)


def _run(engine: Langevin, potential: Potential, frames: Frames, folder: Path) -> float:
    """Seconds a step; of a network that knows next to nothing, so that replicas may be lost."""
    number = itertools.count()

    def run(steps: int) -> None:
        length = steps * engine.timestep
        short = replace(
            engine, length=length, equilibration=0, save_every=length, compile=True, use_lost=True
        )
        with contextlib.suppress(AllLost):
            short(potential, frames, folder / str(next(number)), seed=0)

    run(STEPS)
    return seconds_a_step(run, 4 * STEPS)


def _count(recipe: LevelRecipe, engine: Langevin, types: tuple[str, ...], frames: Frames) -> float:
    """Seconds, of distributions of distances in a liquid and of the sums that a correction of pairs
    needs: in the frames of each run, and in those of the level below.
    """
    pairs = recipe.refine_pairs
    if frames.box is None or int(frames.system.molecules.max()) < 1:
        return 0.0

    def compared(n: int) -> object:
        return compare_liquids(frames[:n], frames[:n])

    runs = 1 + (pairs is not None)  # of forces alone, too
    saved = engine.n_replicas * engine.n_saves
    seconds = seconds_a_step(compared, COUNTED) / 2 * (runs * saved + len(frames))
    if pairs is not None:
        splines = UF3Potential(types=types, cutoff=pairs.cutoff, spacing=pairs.spacing)
        a_frame = seconds_a_step(lambda n: pair_modes(splines, frames[:n]), COUNTED)
        seconds += pairs.rounds * a_frame * (saved + len(frames))
    return seconds


def seconds_a_step(work: Callable[[int], object], steps: int) -> float:
    """By the difference of a longer and a shorter piece, which begin alike, in seconds of a core,
    which do not count what other programs take; the least of a few.

    Args:
        work: does so many steps.
        steps: of the shorter piece.
    """
    times = {n: min(_seconds(work, n) for _ in range(REPEATS)) for n in (steps, 3 * steps)}
    return max(times[3 * steps] - times[steps], 0.1 * times[steps]) / (2 * steps)


def _seconds(work: Callable[[int], object], steps: int) -> float:
    begin = time.process_time()
    work(steps)
    return time.process_time() - begin


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without bars, remarks and what runs print: what is timed is no part of the run."""
    unseen = io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stderr(unseen),
        contextlib.redirect_stdout(unseen),
    ):
        warnings.simplefilter("ignore")
        yield
