"""A time step that the priors cannot bear is found before a fit."""

import signal

import numpy as np
import pytest

from cgrec import Frames, Level, System
from cgrec.dynamics import Langevin
from cgrec.level import LevelRecipe, trial
from cgrec.level.trial import try_priors
from cgrec.mapping import Pick
from cgrec.potential import HarmonicPrior
from cgrec.remarks import Remark
from cgrec.stopping import Stopped
from cgrec.training import ForceMatching
from cgrec.units import thermal_energy

T = 300.0
PAIR = System(names=("A", "B"), types=("X", "X"), masses=[20.0, 20.0], bonds=[(0, 1)])
STIFFNESS = 4e5  # kJ/mol/nm^2; with a reduced mass of 10 amu a period of 0.0314 ps
PERIOD = 2 * np.pi * np.sqrt(10 / STIFFNESS)


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)
    x = np.zeros((3000, 2, 3))
    x[:, 1, 0] = 0.2 + np.sqrt(thermal_energy(T) / STIFFNESS) * rng.normal(size=3000)
    return Frames(PAIR, x, T, forces=np.zeros_like(x))


def engine(timestep, **given):
    return Langevin(timestep=timestep, length=1, equilibration=0, compile=False, **given)


def test_what_is_stable_passes_and_what_is_not_names_the_period(frames):
    springs = [HarmonicPrior.fit(frames, ["X"], 2)]
    try_priors("l1", springs, frames, engine(PERIOD / 10))
    with pytest.raises(ValueError, match=r"levels.l1.dynamics.timestep=0.0125.*period of 0.031 ps"):
        try_priors("l1", springs, frames, engine(PERIOD / 2.5))
    # the way out works
    try_priors("l1", springs, frames, engine(PERIOD / 2.5, minimum_mass=20 * 16))
    try_priors("l1", [], frames, engine(0.4))
    try_priors("l1", springs, frames, lambda *given, **more: None)  # somebody else's engine


@pytest.mark.parametrize("at_half, refused", [(0, True), (1, False)])
def test_few_that_a_shorter_step_saves_are_refused_too(frames, monkeypatch, at_half, refused):
    """One of sixteen within a hundredth of a run is most of them in the whole."""
    springs, step = [HarmonicPrior.fit(frames, ["X"], 2)], PERIOD / 10
    monkeypatch.setattr(trial, "_lost", lambda *given: at_half if given[-1] < step else 1)
    with (
        pytest.raises(ValueError, match="1 are lost")
        if refused
        else pytest.warns(Remark, match="as many with half")
    ):
        try_priors("l1", springs, frames, engine(step))


def test_a_stop_in_the_trial_names_no_checkpoint_that_is_gone(frames, monkeypatch):
    def stop(engine, potential, start, place, **more):
        raise Stopped(signal.SIGTERM, f"a checkpoint is in {place}")

    monkeypatch.setattr(Langevin, "__call__", stop)
    with pytest.raises(Stopped, match="SIGTERM; the trial of the priors begins anew"):
        try_priors("l1", [HarmonicPrior.fit(frames, ["X"], 2)], frames, engine(PERIOD / 10))


@pytest.mark.filterwarnings("ignore::cgrec.remarks.Remark")
def test_nothing_is_trained_before(frames, tmp_path):
    def network(targets, seed):
        return HarmonicPrior.fit(targets, sorted(set(targets.system.types)), 2)

    class Never(ForceMatching):
        def __call__(self, *given, **more):
            raise AssertionError("trained")

    recipe = LevelRecipe(
        Pick(["A", "B"]),
        network,
        Never(),
        engine(PERIOD / 2.5),
        priors={"cutoff": 0.5, "angles": False},
    )
    with pytest.raises(ValueError, match="before anything is trained"):
        Level(tmp_path / "level1", "l1").make(frames, recipe, 1)
