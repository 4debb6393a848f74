from types import SimpleNamespace

import numpy as np
import pytest
import torch
from contracts import random_frames
from samples import dimer

from cgrec import Frames, System
from cgrec.dynamics import BiasPlan, Exchange, FeatureGuard, Guard, Langevin
from cgrec.dynamics.hooks import Watch
from cgrec.potential import (
    DensityNetwork,
    DihedralPrior,
    ExcludedVolume,
    HarmonicPrior,
    PairStiffness,
)
from cgrec.units import BOLTZMANN, thermal_energy

T = 300.0


def run(potential, start, folder, seed=0, guard=None, **options):
    return Langevin(
        **{
            "n_replicas": 32,
            "length": 20.0,
            "save_every": 0.2,
            "equilibration": 2.0,
            "timestep": 0.004,
            "compile": False,
            **options,
        }
    )(potential, start, folder, seed=seed, guard=guard)


def test_harmonic_distribution_and_temperature(tmp_path):
    potential, start = dimer()
    options = {"n_replicas": 128, "length": 15.0, "friction": 5.0}
    frames, report = run(potential, start, tmp_path / "f", **options)
    square = ((frames.positions[:, 0] - frames.positions[:, 1]).astype(float) ** 2).sum(-1)
    per_replica = np.array([square[frames.replicas == k].mean() for k in range(128)])
    expected = 3 * thermal_energy(T) / 2000.0
    assert square.mean() == pytest.approx(expected, abs=4 * per_replica.std() / np.sqrt(128))
    assert per_replica.std() / np.sqrt(128) < 0.02 * expected
    kinetic, error = report.kinetic_temperature
    assert kinetic == pytest.approx(T, abs=4 * error + 0.01 * T) and error < 5
    assert report.lost == [] and len(frames) == 128 * 75


@pytest.mark.slow
def test_masses_do_not_change_the_distribution(tmp_path):
    potential, start = dimer()
    light, _ = run(potential, start, tmp_path / "a", length=40.0)
    heavy, _ = run(potential, start, tmp_path / "b", length=40.0, minimum_mass=50.0)
    a, b = (((f.positions[:, 0] - f.positions[:, 1]) ** 2).sum(-1).mean() for f in (light, heavy))
    assert a == pytest.approx(b, rel=0.08)


def test_free_particle_diffuses_as_einstein_says(tmp_path):
    """<r^2> = 6 D (t - (1 - exp(-gamma t)) / gamma) with D = kT / (m gamma): the Ornstein-Uhlenbeck
    process.
    """
    system = System(names=("A", "B"), masses=[20.0, 20.0])
    potential = PairStiffness(types=["A", "B"], n_sites=2).double()
    start = Frames(system, np.zeros((1, 2, 3)) + [[[0, 0, 0], [1, 0, 0]]], T)
    frames, _ = run(
        potential, start, tmp_path / "f", n_replicas=128, friction=5.0, length=12.0, save_every=1.0
    )
    track = np.asarray(frames.positions, float).reshape(12, 128, 2, 3)
    moved = ((track[6:] - track[:6]) ** 2).sum(-1).mean() / 6
    times = 6.0 - (1 - np.exp(-5.0 * 6.0)) / 5.0
    assert moved == pytest.approx(BOLTZMANN * T / (20.0 * 5.0) * times, rel=0.12)


def test_same_seed_same_frames_other_seed_other_frames(tmp_path):
    potential, start = dimer()
    a, b, c = (
        run(potential, start, tmp_path / str(k), seed=s, length=1.0)[0]
        for k, s in enumerate((1, 1, 2))
    )
    np.testing.assert_array_equal(a.positions, b.positions)
    assert not np.array_equal(a.positions, c.positions)


class _Killed(Exception):
    pass


@pytest.mark.slow
@pytest.mark.parametrize("case", ["plain", "biased", "exchange", "periodic"])
def test_killed_run_continues_as_if_nothing_happened(tmp_path, monkeypatch, case):
    from cgrec.dynamics.run import Run

    start = random_frames(10)
    potential = HarmonicPrior.fit(random_frames(300), ["A", "B", "C"], 2)
    options = {
        "n_replicas": 4,
        "length": 2.0,
        "save_every": 0.1,
        "equilibration": 0.2,
        "timestep": 0.002,
        "checkpoint_every": 3,
    }
    if case == "biased":
        options["bias"] = BiasPlan(variables={"a": ["S0", "S1", "S2", "S3"]}, growth=0.5)
    if case == "exchange":
        options["exchange"] = Exchange(factors=[1.0, 1.3], every=20)
    if case == "periodic":
        potential = ExcludedVolume.fit(random_frames(50), ["A", "B", "C"], 0.6) + potential
        start = Frames(start.system, start.positions, T, box=2 * np.eye(3))
    whole, _ = run(potential, start, tmp_path / "whole", **options)
    real, count = Run.stretch, []

    def stretch(self, bar):
        count.append(1)
        if len(count) == 14:
            raise _Killed
        real(self, bar)

    with monkeypatch.context() as patch, pytest.raises(_Killed):
        patch.setattr(Run, "stretch", stretch)
        run(potential, start, tmp_path / "killed", **options)
    resumed, _ = run(potential, start, tmp_path / "killed", **options)
    for name in ("positions", "forces", "weights", "replicas"):
        np.testing.assert_array_equal(getattr(resumed, name), getattr(whole, name))


@pytest.mark.slow
def test_bias_makes_flat_and_weights_undo_it(tmp_path):
    """One dihedral in a cosine well of 4 kT: the weighted run gives back exp(-U / kT), the raw one
    is flatter.
    """
    start = random_frames(40)
    kT = thermal_energy(T)
    stiff = [HarmonicPrior.fit(random_frames(300), ["A", "B", "C"], n) for n in (2, 3)]
    torsion = DihedralPrior(
        types=["A", "B", "C"], n_sites=6, sites=[[0, 1, 2, 3]], cosine=[[2.0 * kT]], sine=[[0.0]]
    )
    frames, report = run(
        stiff[0] + stiff[1] + torsion,
        start,
        tmp_path / "f",
        n_replicas=64,
        length=30.0,
        timestep=0.002,
        equilibration=2.0,
        save_every=0.1,
        bias=BiasPlan(
            variables={"x": ["S0", "S1", "S2", "S3"]}, growth=10.0, height=0.1, bias_factor=10.0
        ),
    )
    from cgrec import CollectiveVariable

    x = CollectiveVariable("x", ("S0", "S1", "S2", "S3")).of(frames)
    raw, weighted = np.cos(x).mean(), frames.normalised_weights() @ np.cos(x)
    grid = np.linspace(-np.pi, np.pi, 2001)
    exact = np.average(np.cos(grid), weights=np.exp(-2 * np.cos(grid)))
    assert weighted == pytest.approx(exact, abs=0.06)
    assert abs(raw) < abs(exact) - 0.2
    assert 0.1 < report.weight_efficiency < 1


def test_bias_force_stays_out_of_the_labels(tmp_path):
    potential = HarmonicPrior.fit(random_frames(300), ["A", "B", "C"], 2)
    frames, _ = run(
        potential,
        random_frames(10),
        tmp_path / "f",
        n_replicas=4,
        length=1.0,
        timestep=0.002,
        bias=BiasPlan(variables={"x": ["S0", "S1", "S2", "S3"]}, growth=2.0, height=2.0),
    )
    np.testing.assert_allclose(frames.forces, potential.energy_and_forces(frames)[1], atol=0.05)


def test_replica_exchange_keeps_the_cold_distribution(tmp_path):
    potential, start = dimer()
    frames, report = run(
        potential,
        start,
        tmp_path / "f",
        n_replicas=64,
        length=16.0,
        exchange=Exchange(factors=[1.0, 1.4], every=25),
    )
    square = ((frames.positions[:, 0] - frames.positions[:, 1]).astype(float) ** 2).sum(-1)
    assert len(frames) == 32 * 80
    assert square.mean() == pytest.approx(3 * thermal_energy(T) / 2000.0, rel=0.06)
    assert 0.5 < report.exchange_acceptance < 1


class _Fence(Guard):
    """Replicas may not come closer than this."""

    def score(self, graph):
        x = graph.per_frame(graph.positions)
        return 0.03 / (x[:, 0] - x[:, 1]).norm(dim=-1)


def test_lost_replicas_are_stopped_counted_and_salvaged(tmp_path):
    potential, start = dimer()
    frames, report = run(potential, start, tmp_path / "f", guard=_Fence(), length=2.0)
    assert 0 < len(report.lost) < 32 and "left the region" in report.lost[0]["why"]
    assert 0 < len(frames) < 32 * 10
    distance = np.linalg.norm(frames.positions[:, 0] - frames.positions[:, 1], axis=-1)
    assert distance.min() > 0.03


class _Script(Guard):
    """Scores by look and replica, whatever the sites do."""

    def __init__(self):
        self.look = 0
        self.scores = torch.full((20, 32), 0.5, dtype=torch.float64)
        self.scores[4:7, 0] = 1.2  # three looks beyond, then back
        self.scores[4:, 1] = 1.2  # stays beyond
        self.scores[4, 2] = 1.6  # far beyond at once
        self.scores[4:20:2, 3] = 1.2  # comes and goes
        self.scores[4, 4] = torch.nan

    def score(self, graph):
        self.look += 1
        return self.scores[self.look - 1]


def test_a_replica_that_comes_back_is_not_lost_and_one_that_stays_away_is(tmp_path):
    potential, start = dimer()
    frames, report = run(
        potential, start, tmp_path / "f", guard=_Script(), length=4, equilibration=0
    )
    first = 4 * 0.2 + 0.2
    lost = {one["replica"]: one["time"] for one in report.lost}
    assert lost == pytest.approx({1: first + 3 * 0.2, 2: first, 4: first})
    kept = np.bincount(frames.replicas, minlength=32)
    assert kept[:6].tolist() == [17, 4, 4, 12, 4, 20]  # none of the frames beyond


def test_patience_survives_a_kill(tmp_path):
    """A replica that was beyond at the last looks before a checkpoint has no new patience."""
    watch, other = Watch(_Script()), Watch(_Script())
    replicas = SimpleNamespace(
        positions=torch.zeros(32, 2, 3),
        kT=torch.full((32, 1, 1), thermal_energy(T)),
        temperature=T,
        alive=torch.ones(32, dtype=torch.bool),
        graph=lambda positions: None,
        lost=[],
    )
    replicas.lose = lambda which, why, score: replicas.lost.append(which.nonzero()[:, 0].tolist())
    for _ in range(6):
        watch.at_frame(replicas)
    assert replicas.lost == [[], [], [], [], [2, 4], []]
    other.guard.look = 6
    other.restore(watch.state(), replicas)
    for _ in range(2):
        other.at_frame(replicas)
    assert replicas.lost[6:] == [[], [1]]
    other.restore(1.3, replicas)  # as it was kept before there was patience
    assert other.largest == 1.3 and other.beyond is None


def test_explosion_is_reported_not_propagated(tmp_path):
    potential, start = dimer(stiffness=1e7)  # far beyond the stable time step
    with pytest.raises(ValueError, match="all 32 replicas were lost"):
        run(potential, start, tmp_path / "f", equilibration=10.0)


def test_feature_guard_knows_training_frames_from_far_ones():
    frames = random_frames(400)
    network = DensityNetwork(types=["A", "B", "C"], cutoff=0.5, channels=4, width=8)
    guard = FeatureGuard.fit(network, frames)
    far = np.array(frames.positions[:5])
    far[:, 5] = far[:, 0] + [0.06, 0, 0]
    assert guard.score(network.graph(frames)).max() < 1
    assert guard.score(network.graph(Frames(frames.system, far, T))).min() > 1
    apart = frames.positions[:5] * 1e3  # nobody sees anybody
    assert guard.score(network.graph(Frames(frames.system, apart, T))).min() > 1


def test_start_is_drawn_by_weight():
    from cgrec.statistics.resampling import draw

    frames = random_frames(4, weights=np.array([0.0, 1.0, 3.0, 0.0]))
    picked = draw(frames, 400, np.random.default_rng(0))
    assert (picked.positions == frames.positions[1]).all((1, 2)).sum() == 100


def test_existing_frames_are_never_overwritten(tmp_path):
    potential, start = dimer()
    (tmp_path / "f").mkdir()
    with pytest.raises(FileExistsError):
        run(potential, start, tmp_path / "f")


def test_full_disk_is_found_before_the_work(tmp_path, monkeypatch):
    import shutil

    potential, start = dimer()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 1, 0))
    with pytest.raises(OSError, match="disk has 0 B free"):
        run(potential, start, tmp_path / "f")


def test_another_temperature_is_refused_unless_asked_for(tmp_path):
    potential, start = dimer()
    potential.temperature = 310.0
    with pytest.raises(ValueError, match="PMF made at 310.0 K and the run is at 300.0 K"):
        run(potential, start, tmp_path / "f")
    run(potential, start, tmp_path / "f", length=1.0, other_temperature=True)


def test_a_replica_that_runs_away_is_stopped_while_its_numbers_are_still_finite(tmp_path):
    potential, start = dimer(-2000.0)
    options = {"length": 10.0, "equilibration": 0.0, "save_every": 0.04, "use_lost": True}
    frames, report = run(potential, start, tmp_path / "f", **options)
    assert {lost["why"] for lost in report.lost} == {"exploded: far too hot"} and len(
        report.lost
    ) == 32
    assert len(frames) < 32 * 10


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"timestep": 4.0}, "Langevin.timestep: expected ps, .* if these are fs, give 0.004"),
        ({"length": 10, "save_every": 20}, "save_every: .*at most the length of 10 ps, found 20"),
    ],
)
def test_times_that_cannot_be_meant_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        Langevin(**options)
