"""The guard's rate of false alarms is set, and does not grow with the box; what is unphysical is
stopped.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from contracts import random_frames

from cgrec import Frames, System
from cgrec.dynamics import FeatureGuard, Langevin
from cgrec.dynamics.tails import Tail
from cgrec.potential import DensityNetwork, HarmonicPrior

T = 300.0


def network(types, cutoff=0.5, **options):
    return DensityNetwork(types=types, cutoff=cutoff, **{"channels": 8, "width": 16, **options})


def liquid(n_frames, per_edge, seed=0, spacing=0.36):
    """A disturbed lattice: independent frames whose pairs keep a distance."""
    rng = np.random.default_rng(seed)
    n, edge = per_edge**3, per_edge * spacing
    grid = (
        np.stack(np.meshgrid(*[np.arange(per_edge)] * 3, indexing="ij"), -1).reshape(-1, 3) + 0.5
    ) * spacing
    kicks = np.clip(rng.normal(scale=0.03, size=(n_frames, n, 3)), -0.1, 0.1)
    return Frames(
        System(names=("W",) * n, masses=np.full(n, 18.0)), grid + kicks, T, box=edge * np.eye(3)
    )


def scores(guard, net, frames):
    return torch.cat(
        [guard.score(net.graph(frames[k : k + 10])) for k in range(0, len(frames), 10)]
    )


@pytest.mark.parametrize(
    ("draw", "exact"),
    [
        (lambda rng, n: rng.exponential(2.0, n), lambda p: -2 * np.log(p)),
        (lambda rng, n: rng.normal(size=(n, 2)).__pow__(2).sum(1), lambda p: -2 * np.log(p)),
        (lambda rng, n: rng.pareto(5.0, n), lambda p: p**-0.2 - 1),
    ],
    ids=["exponential", "chi square", "Pareto"],
)
def test_a_tail_is_extrapolated_beyond_its_sample(draw, exact):
    """Levels of 1e-8 from 20,000 values: at least the true one, at most twice as high."""
    for seed in range(4):
        level = Tail.of(draw(np.random.default_rng(seed), 20_000)).level(1e-8)
        assert 0.85 * exact(1e-8) < level < 2.2 * exact(1e-8)


def test_a_sample_of_one_value_has_a_tail():
    assert Tail.of(np.zeros(50)).level(1e-9) == 0
    assert Tail.of(np.array([3.0])).level(1e-9) == 3


def test_independent_frames_of_a_larger_box_give_no_false_alarm():
    """A thousand times more looks at sites than it was fitted to, three times as many sites a
    frame.
    """
    net = network(["W"])
    guard = FeatureGuard.fit(net, liquid(20, 3))
    found = scores(guard, net, liquid(600, 4, seed=1))
    assert found.max() < 1


def test_overlap_and_tearing_are_stopped():
    net = network(["W"])
    frames = liquid(60, 4)
    guard = FeatureGuard.fit(net, frames)
    close = np.array(frames.positions[:8])
    close[:, 0] = close[:, 1] + [0.05, 0.0, 0.0]
    overlap = replace(frames[:8], positions=close)
    assert scores(guard, net, overlap).min() > 1
    sites = guard.of_sites(net.graph(overlap))
    assert sites.shape == close.shape[:2] and set(sites.argmax(1).tolist()) <= {0, 1}
    chain = random_frames(400)
    net = network(["A", "B", "C"])
    guard = FeatureGuard.fit(net, chain)
    torn = np.array(chain.positions[:5])
    torn[:, 4] += [2.0, 0, 0]
    assert scores(guard, net, replace(chain[:5], positions=torn)).min() > 1


def test_the_bound_grows_slowly_with_sites_and_looks():
    net = network(["W"])
    frames = liquid(100, 4)
    few, often = (FeatureGuard.fit(net, frames, looks=looks) for looks in (100.0, 100_000.0))
    assert (
        float(few.bounds(64)[0])
        <= float(often.bounds(64)[0])
        <= 2.5**2 * often.tails[0].largest + 1e-9
    )
    assert few.about() == {
        "guard": "FeatureGuard",
        "false_alarms_per_replica_and_ns": 0.01,
        "looks_per_ns": 100.0,
    }


def constant(names, positions, bonds=()):
    positions = np.asarray(positions, float)
    return Frames(
        System(names=names, masses=np.full(len(names), 30.0), bonds=list(bonds)), positions, T
    )


@pytest.mark.parametrize("case", ["one site", "two out of reach", "chain and an ion"])
def test_descriptors_that_never_change_stop_nothing(case, tmp_path):
    rng = np.random.default_rng(0)
    if case == "one site":
        frames, potential = constant(("A",), rng.normal(size=(50, 1, 3))), network(["A"])
    elif case == "two out of reach":
        x = np.zeros((50, 2, 3))
        x[:, 1, 0] = 3 + 0.1 * rng.normal(size=50)
        frames, potential = constant(("A", "B"), x), network(["A", "B"])
    else:
        chain = random_frames(200)
        ion = 3 + 0.1 * rng.normal(size=(200, 1, 3))
        system = System(
            names=(*chain.system.names, "ION"),
            types=(*chain.system.types, "ION"),
            masses=np.full(7, 30.0),
            bonds=chain.system.bonds,
        )
        frames = Frames(system, np.concatenate([chain.positions, ion], 1), T)
        types = ["A", "B", "C", "ION"]
        stiff = [HarmonicPrior.fit(frames, types, n) for n in (2, 3)]
        potential = stiff[0] + stiff[1] + network(types, energy_scale=1e-3)
    guard = FeatureGuard.fit(potential, frames)
    _, report = Langevin(
        n_replicas=4, length=0.2, save_every=0.01, equilibration=0.02, timestep=0.001, compile=False
    )(potential, frames, tmp_path / "f", guard=guard)
    assert report.lost == []
    assert report.guard["guard"] == "FeatureGuard" and 0 <= report.guard["largest_score"] <= 1


def test_many_sites_are_fitted_in_portions():
    """Of 30 frames of 4,096 sites; all descriptors at once would be 300 MB."""
    import tracemalloc

    frames = liquid(30, 16)
    tracemalloc.start()
    FeatureGuard.fit(network(["W"], cutoff=0.4), frames, most_sites=60_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e8
