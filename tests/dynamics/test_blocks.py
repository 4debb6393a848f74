"""Runs in blocks of replicas, against the run of one process."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from contracts import random_frames, to_double
from samples import water_box

from cgrec import Frames
from cgrec.dynamics import Exchange, Hook, Langevin, feature_guard
from cgrec.dynamics.blocks import BlocksWanted, divided, in_blocks, run_block
from cgrec.dynamics.integrators import ReplicaNoise
from cgrec.dynamics.run import Run
from cgrec.potential import DensityNetwork, fit_priors
from cgrec.stopping import Stopped

RUN = {
    "n_replicas": 5,
    "length": 0.06,
    "save_every": 0.01,
    "equilibration": 0.01,
    "timestep": 0.002,
    "use_lost": True,
}


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    folder = random_frames(30).save(tmp_path_factory.mktemp("frames") / "start")
    return Frames.load(folder)


@pytest.fixture(scope="module")
def potential(start):
    types = sorted(set(start.system.types))
    network = DensityNetwork(types=types, cutoff=0.5, channels=4, width=4, seed=1)
    return sum(fit_priors(start, types=types, cutoff=0.5), to_double(network)).made_at(300.0)


def by_blocks(engine, potential, start, folder, size=2, **more):
    """The run of `engine`, its blocks made one after the other."""
    with in_blocks(size):
        own = divided(engine)
        with pytest.raises(BlocksWanted) as wanted:
            own(potential, start, folder, seed=3, **more)
        for number in wanted.value.numbers:
            run_block(wanted.value.folder, number)
        return own(potential, start, folder, seed=3, **more)


def same(one, two):
    for name in ("positions", "forces", "replicas"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    np.testing.assert_array_equal(one.boxes(), two.boxes())


def test_the_noise_of_a_replica_depends_on_seed_and_number_alone():
    whole = ReplicaNoise(7, 6, torch.device("cpu")).draw(3, (2, 3))
    part = ReplicaNoise(7, 6, torch.device("cpu")).part(2, 5).draw(3, (2, 3))
    fewer = ReplicaNoise(7, 4, torch.device("cpu")).draw(3, (2, 3))
    assert torch.equal(part, whole[:, 2:5]) and torch.equal(fewer, whole[:, :4])
    assert not torch.equal(whole[:, 0], whole[:, 1])


@pytest.fixture(scope="module")
def guard(potential, start):
    return feature_guard(potential, start, RUN["save_every"], "run")


@pytest.fixture(scope="module")
def whole(potential, start, guard, tmp_path_factory):
    """A run by one process: its frames, its report."""
    folder = tmp_path_factory.mktemp("whole") / "frames"
    return Langevin(**RUN)(potential, start, folder, seed=3, guard=guard)


def test_blocks_leave_the_frames_of_one_process(potential, start, guard, whole, tmp_path):
    """Bit by bit, of an open system this small: all sites are neighbours always."""
    joined, told = by_blocks(Langevin(**RUN), potential, start, tmp_path / "frames", guard=guard)
    same(joined, whole[0])
    assert [p.name for p in tmp_path.iterdir()] == ["frames"]
    for name in ("replicas", "lost", "simulated", "frames", "kinetic_temperature", "interval"):
        assert getattr(told, name) == getattr(whole[1], name), name
    assert told.guard == pytest.approx(whole[1].guard) and told.guard["largest_score"] > 0


def test_a_joined_run_is_made_longer_as_any_other(potential, start, guard, tmp_path):
    Langevin(**RUN)(potential, start, tmp_path / "one", seed=3, guard=guard)
    by_blocks(Langevin(**RUN), potential, start, tmp_path / "two", guard=guard)
    longer = Langevin(**{**RUN, "length": 0.1})
    one, two = (
        longer(potential, start, tmp_path / name, seed=3, guard=guard)[0] for name in ("one", "two")
    )
    assert len(one) == 50
    same(one, two)


def test_a_block_that_lost_all_its_replicas_leaves_the_others(potential, start, tmp_path):
    """The second of five frames has two sites at one place."""
    five = start[:5]
    x = np.array(five.positions)
    x[1, 1] = x[1, 0] + 1e-4
    five = replace(five, positions=x)
    engine = Langevin(**RUN)
    one, said = engine(potential, five, tmp_path / "one", seed=3)
    two, told = by_blocks(engine, potential, five, tmp_path / "two", size=1)
    same(one, two)
    assert len(said.lost) == 1 and told.lost == said.lost


def test_a_block_that_is_stopped_goes_on(potential, start, guard, whole, tmp_path, monkeypatch):
    stretch, made = Run.stretch, []

    def stretch_and_stop(run, bar):
        stretch(run, bar)
        made.append(run)
        if len(made) == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Run, "stretch", stretch_and_stop)
    with in_blocks(3):
        own = divided(Langevin(**RUN))
        with pytest.raises(BlocksWanted) as wanted:
            own(potential, start, tmp_path / "frames", seed=3, guard=guard)
        with pytest.raises(Stopped):
            run_block(wanted.value.folder, 0)
        run_block(wanted.value.folder, 0)
        with pytest.raises(BlocksWanted) as left:
            own(potential, start, tmp_path / "frames", seed=3, guard=guard)
        assert wanted.value.numbers == [0, 1] and left.value.numbers == [1]
        run_block(wanted.value.folder, 1)
        same(own(potential, start, tmp_path / "frames", seed=3, guard=guard)[0], whole[0])


def test_blocks_of_another_seed_are_made_anew(potential, start, tmp_path):
    with in_blocks(3):
        own = divided(Langevin(**RUN))
        for seed, left in ((3, [0, 1]), (3, [1]), (4, [0, 1])):
            with pytest.raises(BlocksWanted) as wanted:
                own(potential, start, tmp_path / "frames", seed=seed)
            assert wanted.value.numbers == left
            run_block(wanted.value.folder, 0)


def test_what_moves_replicas_together_is_not_divided():
    with in_blocks(2):
        for hook in ({"exchange": Exchange(factors=[1.0, 1.2], every=1)}, {"hooks": [Hook()]}):
            engine = Langevin(**{**RUN, "n_replicas": 6}, **hook)
            assert divided(engine) is engine
        few = Langevin(**{**RUN, "n_replicas": 2})
        assert divided(few) is few
    engine = Langevin(**RUN)
    assert divided(engine) is engine


def test_in_a_box_blocks_differ_by_rounding_alone(tmp_path):
    """Neighbours are found again when a site of any replica of a process has moved far, so that sums
    come in another order.
    """
    start = Frames.load(water_box(6, side=3).save(tmp_path / "start"))
    types = sorted(set(start.system.types))
    network = DensityNetwork(types=types, cutoff=0.4, channels=4, width=4, seed=1)
    priors = fit_priors(start, types=types, cutoff=0.4)
    potential = sum(priors, network).made_at(300.0)
    options = {"timestep": 0.0001, "save_every": 0.001, "equilibration": 0.0, "skin": 0.01}
    engine = Langevin(**{**RUN, **options, "length": 0.002, "n_replicas": 2, "compile": False})
    one, _ = engine(potential, start, tmp_path / "one", seed=3)
    two, _ = by_blocks(engine, potential, start, tmp_path / "two", size=1)
    np.testing.assert_array_equal(one.replicas, two.replicas)
    np.testing.assert_allclose(one.positions, two.positions, atol=1e-6)
    np.testing.assert_array_equal(one.boxes(), two.boxes())
