"""Every engine: the right ensemble with its forces, the same again, and lost replicas told."""

import json

import numpy as np
import pytest
from plugin.toy.engine import MetropolisWalk

from cgrec import Frames, System
from cgrec.dynamics import Guard, Langevin
from cgrec.dynamics.run import Run
from cgrec.potential import PairStiffness
from cgrec.roles import Engine
from cgrec.units import thermal_energy

T = 300.0
STIFFNESS = 2000.0
REPLICAS = 24
#: Multiples of the standard deviation between which a normal variable is counted.
EDGES = np.array([-np.inf, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, np.inf])
#: Its share between them.
SHARES = np.array([0.0668072, 0.0918481, 0.1498823, 0.1914625])

ENGINES = {
    "Langevin": lambda **more: Langevin(
        n_replicas=REPLICAS,
        length=20.0,
        save_every=0.2,
        equilibration=2.0,
        timestep=0.004,
        friction=5.0,
        compile=False,
        **more,
    ),
    "MetropolisWalk": lambda **more: MetropolisWalk(n_replicas=REPLICAS, n_frames=60, **more),
}
#: What a kill hits: between two pieces of the run, or before its frames are kept.
INSIDE = {"Langevin": (Run, "stretch", 40), "MetropolisWalk": (Frames, "save", 1)}


@pytest.fixture(params=list(ENGINES))
def name(request):
    return request.param


@pytest.fixture
def engine(name):
    return ENGINES[name]()


def dimer(stiffness=STIFFNESS):
    """Two sites on a spring of no rest length: each direction of their distance is normal, with
    the variance kT / k, whatever the masses.
    """
    potential = PairStiffness(types=["A", "B"], n_sites=2).double()
    potential.stiffness.data[:] = stiffness
    system = System(names=("A", "B"), masses=[12.0, 16.0], bonds=[(0, 1)])
    return potential, Frames(system, np.array([[[0, 0, 0], [0.05, 0, 0]]]), T)


class Fence(Guard):
    """Stops a replica whose sites come closer than `nearest` nm."""

    def __init__(self, nearest):
        self.nearest = nearest

    def score(self, graph):
        x = graph.per_frame(graph.positions)
        return self.nearest / (x[:, 0] - x[:, 1]).norm(dim=-1)


def test_it_has_the_role(engine):
    assert isinstance(engine, Engine)


def test_the_ensemble_of_a_harmonic_well_is_exact(engine, tmp_path):
    """Histograms of the distance in each direction; errors from replica to replica."""
    potential, start = dimer()
    frames, _ = engine(potential, start, tmp_path / "f", seed=1)
    apart = np.asarray(frames.positions[:, 1] - frames.positions[:, 0], float)
    z = apart / np.sqrt(thermal_energy(T) / STIFFNESS)
    shares = np.array(
        [
            np.histogram(z[frames.replicas == r], EDGES)[0] / (3 * (frames.replicas == r).sum())
            for r in range(REPLICAS)
        ]
    )
    error = shares.std(0) / np.sqrt(REPLICAS)
    exact = np.concatenate([SHARES, SHARES[::-1]])
    assert error.max() < 0.02
    assert np.abs(shares.mean(0) - exact).max() < 0.02
    assert (np.abs(shares.mean(0) - exact) < 4.5 * error).all()


def test_frames_are_whole_and_have_the_forces_of_the_potential(engine, tmp_path):
    potential, start = dimer()
    frames, report = engine(potential, start, tmp_path / "f", seed=1)
    assert frames.temperature == T and frames.system.fingerprint() == start.system.fingerprint()
    wanted = potential.energy_and_forces(frames)[1]
    np.testing.assert_allclose(frames.forces, wanted, atol=1e-5 * np.abs(wanted).max())
    assert set(np.unique(frames.replicas)) == set(range(REPLICAS))
    assert report.replicas == REPLICAS and report.lost == []
    kept = Frames.load(tmp_path / "f")
    np.testing.assert_array_equal(kept.positions, frames.positions)
    assert json.loads((tmp_path / "f" / "simulation.json").read_text())["replicas"] == REPLICAS
    assert engine.long_enough(tmp_path / "f")
    again, told = engine.judged(tmp_path / "f")
    np.testing.assert_array_equal(again.forces, frames.forces)
    assert told.replicas == REPLICAS


@pytest.mark.slow
def test_the_seed_decides(engine, tmp_path):
    potential, start = dimer()
    one, same, other = (
        engine(potential, start, tmp_path / name, seed=seed)[0].positions
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_starts_are_drawn_by_weight(engine, tmp_path):
    """Of two places far apart without a force between sites, only the one with weight is begun at."""
    system = System(names=("A", "B"), masses=[1e6, 1e6])
    x = np.array([[[0, 0, 0], [0.1, 0, 0]], [[50, 0, 0], [50.1, 0, 0]]], float)
    start = Frames(system, x, T, weights=np.array([0.0, 1.0]))
    frames, _ = engine(dimer(0.0)[0], start, tmp_path / "f", seed=1)
    assert np.asarray(frames.positions)[..., 0].min() > 25


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_frames(name, engine, tmp_path, monkeypatch):
    potential, start = dimer()
    whole, _ = engine(potential, start, tmp_path / "whole", seed=1)
    owner, method, after = INSIDE[name]
    real, count = getattr(owner, method), []

    def killed(*arguments):
        count.append(1)
        if len(count) == after:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(owner, method, killed)
        engine(potential, start, tmp_path / "f", seed=1)
    assert not (tmp_path / "f").exists()
    resumed, _ = engine(potential, start, tmp_path / "f", seed=1)
    for field in ("positions", "forces", "replicas"):
        np.testing.assert_array_equal(getattr(resumed, field), getattr(whole, field))


def test_lost_replicas_are_told_and_stay_lost(engine, tmp_path):
    potential, start = dimer()
    fence = Fence(0.009)
    frames, report = engine(potential, start, tmp_path / "f", seed=1, guard=fence)
    lost = {one["replica"] for one in report.lost}
    assert 0 < len(lost) == len(report.lost) < REPLICAS
    assert all(one["time"] >= 0 and one["why"] for one in report.lost)
    distance = np.linalg.norm(frames.positions[:, 0] - frames.positions[:, 1], axis=-1)
    assert distance.min() > 0.009
    most = (frames.replicas == frames.replicas[-1]).sum()
    assert all((frames.replicas == r).sum() < most for r in lost)
    about = json.loads((tmp_path / "f" / "simulation.json").read_text())
    assert {one["replica"] for one in about["lost"]} == lost


def test_a_run_that_lost_all_is_no_ensemble(name, tmp_path):
    potential, start = dimer()
    with pytest.raises(ValueError, match=f"all {REPLICAS} replicas were lost"):
        ENGINES[name]()(potential, start, tmp_path / "all", seed=1, guard=Fence(9.0))
    with pytest.raises(ValueError, match=f"all {REPLICAS} replicas were lost"):
        ENGINES[name]()(potential, start, tmp_path / "f", seed=1, guard=Fence(0.04))
    frames, report = ENGINES[name](use_lost=True).judged(tmp_path / "f")
    assert len(report.lost) == REPLICAS and len(frames) > 0


def test_an_unknown_type_is_refused(engine, tmp_path):
    potential, start = dimer()
    other = System(names=("A", "Q"), masses=[12.0, 16.0])
    with pytest.raises(ValueError, match="Q"):
        engine(potential, Frames(other, start.positions, T), tmp_path / "f")
    assert not (tmp_path / "f").exists()
