import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from contracts import random_frames
from scipy.spatial.transform import Rotation

from cgrec import Frames, System
from cgrec.potential import DensityNetwork, PairStiffness, base, fit_priors
from cgrec.sources import GaussianChainSource
from cgrec.training import Fit, ForceMatching, LabelledGraphs, Torques, split


def springs(n_frames=400, noise=0.0, seed=0):
    """Frames of known pair springs, with noise on the labels."""
    frames = random_frames(n_frames, seed=seed)
    truth = PairStiffness(types=["A", "B", "C"], n_sites=6).double()
    truth.stiffness.data = torch.linspace(100.0, 500.0, 15, dtype=torch.float64)
    energy, forces = truth.energy_and_forces(frames)
    forces = (
        forces + np.random.default_rng(seed + 1000).normal(scale=noise, size=forces.shape)
        if noise
        else forces
    )
    return truth, Frames(frames.system, frames.positions, 300.0, forces=forces, energies=energy)


def quick(**options):
    return ForceMatching(
        **{
            "steps": 400,
            "batch_size": 64,
            "learning_rate": 0.05,
            "validate_every": 100,
            "precision": "float64",
            "patience": 0,
            **options,
        }
    )


@pytest.mark.slow
def test_known_springs_are_found():
    truth, frames = springs()
    fitted, report = quick(steps=2500, learning_rate=0.1)(PairStiffness.for_frames(frames), frames)
    assert report.explained_fraction > 0.99999
    other = random_frames(50, seed=9)
    np.testing.assert_allclose(
        fitted.energy_and_forces(other)[1], truth.energy_and_forces(other)[1], atol=0.5
    )


def test_error_of_the_explained_fraction_is_its_scatter():
    """Where nearly all is noise, as in the forces on ions: the same potential judged by labels with
    other noise.
    """
    found = []
    for seed in range(25):
        truth, frames = springs(400, noise=1500.0, seed=seed)
        report = quick(steps=1, learning_rate=0.0)(truth, frames)[1]
        found.append((report.explained_fraction, report.explained_fraction_error))
    values, errors = np.array(found).T
    assert values.mean() < 0.2
    assert errors.mean() == pytest.approx(values.std(ddof=1), rel=0.4)


@pytest.mark.slow
def test_frames_needed_is_what_linear_regression_says():
    """15 stiffnesses of springs on 6 sites x 3 components of noise: the loss is p / (18 N) of the
    noise.
    """
    found = []
    for seed in range(6):
        _, frames = springs(300, noise=1500.0, seed=seed)
        report = quick(steps=300, learning_rate=0.3, validate_every=300)(
            PairStiffness.for_frames(frames), frames
        )[1]
        lost = report.frames_needed(1.0).value * report.explained_fraction / report.n_training
        found.append(lost * report.reference_loss / 1500.0**2 * report.n_training * 18)
    assert np.mean(found) == pytest.approx(15, abs=3 * np.std(found) / 6**0.5 + 1)
    assert report.frames_needed(0.1).value == pytest.approx(10 * report.frames_needed(1.0).value)


@pytest.mark.slow
def test_noise_is_seen_as_noise():
    """loss = signal + noise: the noise estimate is the variance of the noise put in."""
    _, frames = springs(4000, noise=30.0)
    _, report = quick(steps=1500, learning_rate=0.1)(PairStiffness.for_frames(frames), frames)
    assert report.noise_estimate == pytest.approx(900.0, rel=0.05)
    expected = 1 - 900.0 / report.reference_loss
    assert report.explained_fraction == pytest.approx(
        expected, abs=4 * report.explained_fraction_error + 0.01
    )


@pytest.mark.slow
def test_weights_count():
    """Frames of weight zero do not matter, whatever their forces say."""
    truth, frames = springs(600)
    forces, weights = np.array(frames.forces), np.ones(600)
    forces[::3], weights[::3] = 1e4, 0.0
    spoiled = Frames(frames.system, frames.positions, 300.0, forces=forces, weights=weights)
    fitted, _ = quick(steps=2000, learning_rate=0.1)(PairStiffness.for_frames(frames), spoiled)
    error = fitted.energy_and_forces(frames)[1] - frames.forces
    assert np.sqrt(np.mean(error**2)) < 0.02 * frames.forces.std()


def test_priors_are_subtracted_and_added_back():
    _, frames = springs(100)
    priors = fit_priors(frames, types=["A", "B", "C"], cutoff=0.5)
    network = DensityNetwork.for_frames(frames, cutoff=0.5, channels=4, width=8)
    for layer in network.layers:
        layer.out.data.zero_()
    untouched = [p.energy_and_forces(frames)[1] for p in priors]
    fitted, _ = quick(steps=1, learning_rate=0.0)(network, frames, priors=priors)
    np.testing.assert_allclose(
        fitted.energy_and_forces(frames)[1], sum(untouched), rtol=1e-10, atol=1e-10
    )


@pytest.mark.slow
def test_energies_are_learned_where_they_are_labels():
    truth, frames = springs()
    fitted, _ = quick(steps=1500, learning_rate=0.1, energy_weight=1.0)(
        DensityNetwork.for_frames(frames, cutoff=0.8, channels=8, width=16), shifted(frames, 1234.0)
    )
    error = fitted.energy_and_forces(frames)[0] - frames.energies - 1234.0
    assert abs(error.mean()) < 0.2 and error.std() < 0.25 * frames.energies.std()


def shifted(frames, by):
    return Frames(
        frames.system, frames.positions, 300.0, forces=frames.forces, energies=frames.energies + by
    )


@pytest.mark.slow
def test_resumed_training_equals_uninterrupted(tmp_path):
    _, frames = springs(200)
    make = lambda: DensityNetwork.for_frames(frames, cutoff=0.5, channels=4, width=8)  # noqa: E731
    whole, _ = quick()(make(), frames, seed=3)

    class Killed(Exception):
        pass

    real = Fit.advance
    calls = []

    def advance(run, bar):
        if len(calls) == 2:
            raise Killed
        calls.append(1)
        real(run, bar)

    Fit.advance = advance
    try:
        with pytest.raises(Killed):
            quick()(make(), frames, seed=3, folder=tmp_path)
    finally:
        Fit.advance = real
    resumed, report = quick()(make(), frames, seed=3, folder=tmp_path)
    assert report.steps == 400
    np.testing.assert_array_equal(
        resumed.energy_and_forces(frames)[1], whole.energy_and_forces(frames)[1]
    )


def test_split_keeps_replicas_and_times_apart():
    frames = random_frames(400)
    training, validation = split(frames, 0.2)
    held = np.concatenate(validation)
    assert not set(training) & set(held) and len(training) + len(held) == 400
    assert (np.diff(np.sort(held)) == 1).mean() > 0.9  # runs of time, not random frames
    replicas = np.tile(np.arange(40), 10)
    training, validation = split(
        Frames(frames.system, frames.positions, 300.0, replicas=replicas), 0.2
    )
    assert not set(replicas[training]) & set(replicas[np.concatenate(validation)])


def test_missing_forces_are_refused():
    with pytest.raises(ValueError, match="no forces"):
        quick()(PairStiffness(types=["A", "B", "C"], n_sites=6), random_frames(50))


def test_energy_term_without_energies_is_refused():
    _, frames = springs(50)
    without = Frames(frames.system, frames.positions, 300.0, forces=frames.forces)
    with pytest.raises(ValueError, match="energy"):
        quick(energy_weight=1.0)(PairStiffness.for_frames(frames), without)


def test_torque_is_the_derivative_along_the_rotation():
    """tau = -dU/d(angle) when everything beyond the bond turns, whatever the energy."""
    rng = np.random.default_rng(0)
    system = System(
        names=tuple("ABCDE"),
        types=("X",) * 5,
        masses=[1] * 5,
        bonds=[(0, 1), (1, 2), (2, 3), (3, 4)],
    )
    x = rng.normal(size=(3, 5, 3)) + np.arange(5)[None, :, None]
    k = torch.tensor(rng.normal(size=(5, 3)))

    def energy(positions):
        return (k * positions).sum((1, 2)) + (positions[:, 0] * positions[:, 4]).sum(1).sin()

    positions = torch.tensor(x, requires_grad=True)
    forces = -torch.autograd.grad(energy(positions).sum(), positions)[0]
    torques = Torques(system)(positions.detach(), forces)
    assert torques.shape == (3, 2)
    h = 1e-6
    for d, (b, c) in enumerate([(1, 2), (2, 3)]):
        moved = system.beyond(b, c)
        assert moved == list(range(c, 5))
        change = []
        for sign in (1, -1):
            turned = x.copy()
            for n in range(3):
                axis = (x[n, c] - x[n, b]) / np.linalg.norm(x[n, c] - x[n, b])
                turned[n, moved] = (
                    Rotation.from_rotvec(sign * h * axis).apply(x[n, moved] - x[n, c]) + x[n, c]
                )
            change.append(energy(torch.tensor(turned)))
        np.testing.assert_allclose(torques[:, d], -(change[0] - change[1]) / (2 * h), rtol=1e-6)


def test_bonds_of_a_ring_do_not_turn():
    ring = System(
        names=tuple("ABCD"),
        types=("X",) * 4,
        masses=[1] * 4,
        bonds=[(0, 1), (1, 2), (2, 3), (3, 0)],
    )
    assert ring.beyond(0, 1) is None and len(Torques(ring).size) == 0


def network_data():
    frames = random_frames(64)
    truth = DensityNetwork(
        types=["A", "B", "C"], cutoff=0.5, channels=8, width=8, n_layers=1, energy_scale=100.0
    ).double()
    truth.layers[0].out.data *= 10
    energies, forces = truth.energy_and_forces(frames)
    return Frames(frames.system, frames.positions, 300.0, forces=forces, energies=energies)


@pytest.mark.slow
def test_two_processes_give_the_loss_of_one(tmp_path):
    pytest.importorskip("lightning_fabric")
    frames, losses = network_data(), []
    for processes in (1, 2):
        fit = quick(
            steps=20,
            validate_every=10,
            batch_size=16,
            energy_weight=0.1,
            processes=processes,
            learning_rate=0.005,
        )
        start = DensityNetwork.for_frames(frames, 1, cutoff=0.5, channels=8, width=8)
        place = tmp_path / str(processes)
        place.mkdir()
        fitted, report = fit(start, frames, folder=place)
        losses.append(report.validation_loss)
        assert report.steps == 20 and [p.name for p in place.glob("*.pt*")] == ["training.pt"]
        assert len((place / "training.csv").read_text().splitlines()) == 3
    # Round-off grows over 20 steps of SOAP; a process that kept its gradient to itself would be off
    # by a per cent.
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_processes_need_a_folder_and_an_even_share():
    with pytest.raises(ValueError, match="3 processes can share evenly, found 64"):
        quick(processes=3)
    pytest.importorskip("lightning_fabric")
    with pytest.raises(ValueError, match="needs a folder"):
        quick(processes=2)(DensityNetwork.for_frames(network_data(), 1, cutoff=0.5), network_data())


@pytest.mark.parametrize("compile", [False, True])
def test_one_graph_of_the_data_is_held_at_a_time(compile, monkeypatch):
    held, most, sizes = [], [], []
    whole = LabelledGraphs.__getitem__

    def watched(self, which):
        graph = whole(self, which)
        held.append(weakref.ref(graph))
        most.append(sum(one() is not None for one in held))
        sizes.append(graph.n_frames)
        return graph

    monkeypatch.setattr(LabelledGraphs, "__getitem__", watched)
    monkeypatch.setattr(base, "PORTION", 3 * network_data().n_sites)
    frames = shifted(network_data(), 77.0)
    start = DensityNetwork.for_frames(frames, cutoff=0.5, channels=8, width=8)
    fit = quick(
        steps=2,
        validate_every=1,
        batch_size=16,
        energy_weight=0.1,
        learning_rate=1e-4,
        compile=compile,
    )
    fitted, _ = fit(start, frames)
    assert max(most) <= 3 and sizes.count(3) > 20  # the training batches keep their size
    training = split(frames, fit.validation_fraction)[0]
    error = fitted.energy_and_forces(frames[training])[0] - frames.energies[training]
    assert abs(error.mean()) < 1e-3


def test_sizes_of_torques_are_measured_in_portions(monkeypatch):
    frames = random_frames(40)
    forced = Frames(
        frames.system,
        frames.positions,
        300.0,
        forces=np.random.default_rng(0).normal(size=frames.positions.shape),
    )
    data = LabelledGraphs(
        DensityNetwork.for_frames(forced, cutoff=0.5, channels=8, width=8),
        forced,
        np.arange(40),
    )
    whole = Torques.scaled(data, most=10)
    monkeypatch.setattr(base, "PORTION", 3 * frames.n_sites)
    seen, call = [], Torques.__call__
    monkeypatch.setattr(
        Torques, "__call__", lambda self, x, f: seen.append(len(x)) or call(self, x, f)
    )
    np.testing.assert_allclose(Torques.scaled(data, most=10).size, whole.size, rtol=1e-12)
    assert seen == [3, 3, 3, 1] and float(whole.size.min()) > 0.1


def test_torques_that_rounding_leaves_are_no_objective():
    """The springs of an ideal chain turn no bond. Their torques were divided by 1e-12 once, which
    left nothing of the forces.
    """
    frames = GaussianChainSource(n_sites=6, n_frames=400).sample(Path(), 0)
    data = LabelledGraphs(PairStiffness.for_frames(frames), frames, np.arange(400))
    assert len(Torques(frames.system).size) == 3 and Torques.scaled(data) is None
    fitted, report = quick(learning_rate=0.3)(PairStiffness.for_frames(frames), frames)
    assert report.explained_fraction > 0.9  # 0.02 before
    # a push on site 4 turns what lies beyond bonds 1-2 and 2-3, and goes through the axis of 3-4
    push = np.eye(6)[4][:, None] * [0.0, 0.0, 1.0]
    turned = replace(frames, forces=frames.forces + push)
    kept = Torques.scaled(LabelledGraphs(PairStiffness.for_frames(turned), turned, np.arange(400)))
    assert kept is not None and kept.first.tolist() == [1, 2] and float(kept.size.min()) > 1e-2
