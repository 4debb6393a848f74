"""Runs in blocks of replicas, against the run of one process."""


import numpy as np
import pytest
import torch
from contracts import random_frames, to_double

from cgrec import Frames
from cgrec.dynamics import Langevin
from cgrec.dynamics.blocks import BlocksWanted, divided, in_blocks, run_block
from cgrec.dynamics.integrators import ReplicaNoise
from cgrec.potential import DensityNetwork, fit_priors

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


def test_blocks_leave_the_frames_of_one_process(potential, start, tmp_path):
    engine = Langevin(**RUN)
    whole, said = engine(potential, start, tmp_path / "whole", seed=3)
    joined, told = by_blocks(engine, potential, start, tmp_path / "joined")
    same(joined, whole)
    assert {p.name for p in tmp_path.iterdir()} == {"whole", "joined"}
    for name in ("replicas", "lost", "simulated", "frames", "kinetic_temperature", "interval"):
        assert getattr(told, name) == getattr(said, name), name
