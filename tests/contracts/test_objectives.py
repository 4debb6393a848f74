"""Every objective: smallest at the truth, the same for the same frames in another batch, resumed
like the trainer, and held by a recipe.
"""

import json

import numpy as np
import pytest
import torch
from plugin.toy.objective import NoisedForces

from cgrec import Frames
from cgrec.potential import DensityNetwork, HarmonicPrior, PairStiffness
from cgrec.roles import HasColumn, Objective
from cgrec.run.recipes import described
from cgrec.training import (
    Evaluation,
    Fit,
    ForceMatching,
    LabelledGraphs,
    MatchEnergies,
    MatchForces,
    MatchTorques,
)
from cgrec.training.evaluation import Setting
from cgrec.units import thermal_energy
from contracts import random_frames

OBJECTIVES = {
    "forces": MatchForces(),
    "torques": MatchTorques(),
    "energies": MatchEnergies(weight=0.5),
    "of a plugin": NoisedForces(noise=0.02),
}
#: Objectives whose labels the truth meets exactly.
EXACT = ["forces", "torques", "energies"]


def by_name(names):
    return pytest.mark.parametrize("name", names)


def truth():
    network = DensityNetwork(
        types=["A", "B", "C"], cutoff=0.5, channels=8, width=8, n_layers=1, energy_scale=100.0
    ).double()
    network.layers[0].out.data *= 10
    return network


@pytest.fixture(scope="module")
def frames():
    plain = random_frames(64)
    energies, forces = truth().energy_and_forces(plain)
    return Frames(plain.system, plain.positions, 300.0, forces=forces, energies=energies)


def loss_of(name, frames, potential, which=slice(None), stream=(1, 0), **options):
    data = LabelledGraphs(potential, frames, np.arange(len(frames)))
    setting = Setting(potential, [], data.scale)
    graph = data[np.arange(len(frames))[which]]
    batch = Evaluation(potential, graph, setting, stream, **options)
    return OBJECTIVES[name].loss_of(data)(batch)


@by_name(OBJECTIVES)
def test_it_has_the_role(name):
    assert isinstance(OBJECTIVES[name], Objective)
    about = described(OBJECTIVES[name])
    assert json.loads(json.dumps(about)) == about and about["weight"] == OBJECTIVES[name].weight


@by_name(EXACT)
def test_the_truth_has_no_loss_and_others_have(name, frames):
    assert float(loss_of(name, frames, truth()).max()) < 1e-20
    assert float(loss_of(name, frames, DensityNetwork.for_frames(frames, cutoff=0.5)).mean()) > 1e-4


@by_name(OBJECTIVES)
def test_its_gradient_is_that_of_its_value(name, frames):
    potential = truth()
    weight = potential.layers[0].out
    loss = loss_of(name, frames, potential, slice(8), differentiable=True).mean()
    (gradient,) = torch.autograd.grad(loss, weight)
    place = divmod(int(gradient.abs().argmax()), gradient[0].numel())
    step = torch.zeros_like(weight)
    step.view(len(weight), -1)[place] = 1e-4
    values = []
    for sign in (1, -1):
        weight.data += sign * step
        values.append(float(loss_of(name, frames, potential, slice(8)).mean()))
        weight.data -= sign * step
    slope = (values[0] - values[1]) / 2e-4
    assert float(gradient.view(len(weight), -1)[place]) == pytest.approx(slope, rel=1e-3, abs=1e-7)


@by_name(["forces", "torques"])
def test_a_frame_has_its_loss_in_any_batch(name, frames):
    potential = DensityNetwork.for_frames(frames, 1, cutoff=0.5).double()
    whole = loss_of(name, frames, potential)
    assert whole.shape == (64,)
    torch.testing.assert_close(whole[10:20], loss_of(name, frames, potential, slice(10, 20)))


@by_name(OBJECTIVES)
def test_it_draws_the_same_again_and_others_in_other_steps(name, frames):
    potential = truth()
    one, again = (loss_of(name, frames, potential) for _ in range(2))
    assert torch.equal(one, again)
    if name == "of a plugin":
        assert not torch.equal(one, loss_of(name, frames, potential, stream=(1, 1)))


class Killed(Exception):
    pass


@by_name(OBJECTIVES)
def test_a_fit_that_is_killed_goes_on_to_the_same_bits(name, frames, tmp_path, monkeypatch):
    given = [MatchForces(), OBJECTIVES[name]] if name != "forces" else [MatchForces(weight=0.7)]
    fit = ForceMatching(
        steps=12, batch_size=16, validate_every=4, precision="float64", objectives=given
    )
    start = lambda: DensityNetwork.for_frames(frames, 3, cutoff=0.5, channels=4, width=8)  # noqa: E731
    (tmp_path / "whole").mkdir()
    whole, report = fit(start(), frames, folder=tmp_path / "whole")
    real, count = Fit.advance, []

    def dying(self, bar):
        if len(count) == 2:
            raise Killed
        count.append(1)
        real(self, bar)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Fit, "advance", dying)
        fit(start(), frames, folder=tmp_path)
    resumed, again = fit(start(), frames, folder=tmp_path)
    np.testing.assert_array_equal(
        resumed.energy_and_forces(frames)[1], whole.energy_and_forces(frames)[1]
    )
    assert again.objectives == report.objectives
    lines = [(p / "training.csv").read_text().splitlines() for p in (tmp_path / "whole", tmp_path)]
    heads = [line[0] for line in lines]
    assert heads[0] == heads[1] and ("noised_loss" in heads[0]) == isinstance(
        OBJECTIVES[name], HasColumn
    )
    timeless = [[row.split(",")[:7] + row.split(",")[8:] for row in one] for one in lines]
    assert timeless[0] == timeless[1]


def test_listed_objectives_are_the_sum_of_the_weights(frames):
    """The same bits as by energy_weight and torque_weight."""
    options = {"steps": 8, "batch_size": 16, "validate_every": 4, "precision": "float64"}
    listed = [MatchForces(), MatchTorques(weight=0.5), MatchEnergies(weight=0.1)]
    fits = [
        ForceMatching(**options, torque_weight=0.5, energy_weight=0.1),
        ForceMatching(**options, objectives=listed),
    ]
    found = []
    for fit in fits:
        network = DensityNetwork.for_frames(frames, 3, cutoff=0.5, channels=4, width=8)
        found.append(fit(network, frames)[0])
    assert [f.temperature for f in found] == [None, None]  # energies, no PMFs
    for k in (0, 1):
        np.testing.assert_array_equal(*(f.energy_and_forces(frames)[k] for f in found))


def test_springs_are_found_from_noise_alone():
    """Score matching needs no forces: the stiffness of a bond of variance v smeared by s is
    kT / (v + 2 s^2), in one direction.
    """
    rng = np.random.default_rng(0)
    kT, stiffness, noise = thermal_energy(300.0), 250.0, 0.03
    ends = random_frames(1).system.select([0, 1])
    apart = rng.normal(scale=np.sqrt(kT / stiffness), size=(6000, 1, 3))
    x = np.concatenate([apart / 2, -apart / 2], 1)
    labels = rng.normal(size=x.shape)  # forces that say nothing
    sample = Frames(ends, x, 300.0, forces=labels)
    fit = ForceMatching(
        steps=600,
        batch_size=512,
        learning_rate=0.1,
        validate_every=200,
        precision="float64",
        patience=0,
        objectives=[NoisedForces(noise=noise)],
    )
    network = PairStiffness(types=["A", "B"], n_sites=2, scale=300.0)
    fitted, report = fit(network, sample)
    expected = kT / (kT / stiffness + 2 * noise**2)
    assert float(fitted.stiffness.detach()) * 300.0 == pytest.approx(expected, rel=0.1)
    assert report.objectives["noised_loss"] < 1


def test_priors_are_known_where_sites_are_moved(frames):
    """What is learned beside a prior and what is learned alone have the same labels."""
    prior = HarmonicPrior.fit(frames, ["A", "B", "C"], 2)
    network = truth()
    data = LabelledGraphs(network, frames, np.arange(64), [prior])
    batch = Evaluation(network, data[np.arange(8)], Setting(network, [prior], data.scale))
    moved = np.asarray(frames.positions[:8]) + 0.01
    moved[:, 0] += 0.02
    elsewhere = batch.at(torch.from_numpy(moved))
    there = Frames(frames.system, moved, 300.0)
    np.testing.assert_allclose(
        elsewhere.prior_forces(), prior.energy_and_forces(there)[1], rtol=1e-9, atol=1e-8
    )
    np.testing.assert_allclose(
        elsewhere.forces.detach(), network.energy_and_forces(there)[1], rtol=1e-9, atol=1e-8
    )
    assert torch.equal(elsewhere.graph.labels, batch.graph.labels)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"objectives": 3}, "expected a list of objectives, found 3"),
        ({"objectives": [3]}, "expected objectives, .*found 3"),
        ({"objectives": [MatchForces()], "energy_weight": 0.1}, r"MatchEnergies\(weight=0.1\)"),
        ({"objectives": [MatchEnergies(weight=1.0)]}, "a loss of each frame"),
        ({"objectives": [NoisedForces(noise=0.1)] * 2}, "found noised_loss twice"),
        ({"objectives": []}, "an objective that applies to these frames, found none"),
    ],
)
def test_what_cannot_be_minimised_is_refused(options, said, frames):
    with pytest.raises(ValueError, match=said):
        ForceMatching(**options, steps=2)(
            DensityNetwork.for_frames(frames, cutoff=0.5, channels=4, width=8), frames
        )
