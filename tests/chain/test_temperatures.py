"""A level that is made from frames of several temperatures, and runs at others."""

from functools import partial

import numpy as np
import pytest
from samples import dimer

from cgrec import Chain, Frames
from cgrec.dynamics import Exchange, Langevin
from cgrec.frames import at_own_temperature
from cgrec.level import LevelRecipe
from cgrec.mapping import Mapping
from cgrec.potential import EnergyEntropy, PairStiffness
from cgrec.sources import FileSource
from cgrec.training import ForceMatching

RUNG = 1.3


@pytest.fixture(scope="module")
def hot_and_cold(tmp_path_factory):
    """Frames of a spring, of two temperatures."""
    folder = tmp_path_factory.mktemp("parent") / "frames"
    exchange = Exchange(factors=[1.0, RUNG], every=20, keep="all")
    engine = Langevin(
        n_replicas=32, length=20, save_every=0.5, timestep=0.01, friction=5.0, exchange=exchange
    )
    engine(*dimer(), folder, seed=1)
    return folder


def recipe(**other):
    springs = partial(EnergyEntropy.for_frames, cutoff=0.0, network=stiffness)
    given = {
        "mapping": Mapping.identity,
        "potential": springs,
        "training": ForceMatching(steps=300, learning_rate=0.3, precision="float64"),
        "dynamics": Langevin(n_replicas=32, length=10, save_every=0.5, timestep=0.01, friction=5.0),
    }
    return LevelRecipe(**{**given, **other})


def stiffness(frames, seed, cutoff):
    return PairStiffness.for_frames(frames)


def climbed(path, folder, **other):
    source = FileSource(path=path, check_units=False)
    return Chain(folder, source, {"l1": recipe(**other)}, go_on=True, threads=1)


def square(frames):
    """Mean squared length of the spring, nm^2."""
    return np.mean(np.sum((frames.positions[:, 0] - frames.positions[:, 1]) ** 2, -1))


@pytest.mark.slow
def test_a_level_runs_at_every_temperature_of_its_frames(hot_and_cold, tmp_path):
    chain = climbed(hot_and_cold, tmp_path / "run").climb()
    level = chain.levels[1]
    assert level.frames.temperatures is None
    hot = level.run(to=tmp_path / "hot", temperature=360.0, length=15)
    assert hot.temperature == 360.0
    assert square(hot) / square(level.frames) == pytest.approx(1.2, rel=0.1)
    assert "entropy" not in (tmp_path / "hot" / "remarks.json").read_text()
    with pytest.raises(ValueError, match="temperature: expected 300 to 390 K.*found 450 K"):
        level.run(to=tmp_path / "hotter", temperature=450.0)
    assert isinstance(level.potential.energy_and_forces(level.frames)[0], np.ndarray)


def test_frames_know_their_temperatures(hot_and_cold):
    frames = Frames.load(hot_and_cold)
    assert set(frames.temperatures.round(3)) == {300.0, 390.0}
    cold = at_own_temperature(frames)
    assert cold.temperatures is None and cold.weights is None
    assert len(cold) == (frames.temperatures < 301).sum()
    joined = Frames.concatenate([frames[:10], frames[10:30]])
    np.testing.assert_array_equal(joined.temperatures, frames.temperatures[:30])


def test_one_temperature_is_refused_before_work(hot_and_cold, tmp_path):
    frames = at_own_temperature(Frames.load(hot_and_cold))
    frames.save(tmp_path / "cold")
    with pytest.raises(ValueError, match="several temperatures, found 300 K alone"):
        climbed(tmp_path / "cold", tmp_path / "run").climb()
