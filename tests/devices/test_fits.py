"""A fit on another device is the CPU's, and it makes the device wait once a step."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from contracts import random_frames
from samples import periodic_frames

from cgrec.potential import Bonds, DensityNetwork
from cgrec.potential.priors import fitted
from cgrec.training import Fit, ForceMatching, MatchEnergies, MatchForces

#: The optimiser's decompositions make 1e-4 of the order in which sums are taken.
SAME = 1e-3
TYPES = ["A", "B", "C"]


def labelled(frames, seed=0):
    rng = np.random.default_rng(seed)
    shape = np.shape(frames.positions)
    return replace(frames, forces=rng.normal(size=shape), energies=rng.normal(size=shape[0]))


def network():
    return DensityNetwork(types=TYPES, cutoff=0.5, channels=4, width=8)


def options(device, **given):
    return ForceMatching(
        **{
            "steps": 6,
            "batch_size": 8,
            "validate_every": 3,
            "precision": "float64",
            "compile": False,
            "device": str(device),
            **given,
        }
    )


SAMPLES = {
    "open": lambda: labelled(random_frames(40)),
    "box": lambda: labelled(periodic_frames(20)),
}


@pytest.mark.parametrize("energies", [False, True], ids=["forces", "energies"])
@pytest.mark.parametrize("name", SAMPLES)
def test_a_fit(name, energies, device):
    frames = SAMPLES[name]()
    given = {"objectives": [MatchForces(), MatchEnergies(weight=0.5)]} if energies else {}
    priors = fitted([Bonds()], frames, TYPES) if name == "open" else []
    found = []
    for where in ("cpu", device):
        own = [copy.deepcopy(prior) for prior in priors]
        found.append(options(where, **given)(network(), frames, priors=own, seed=1))
    (here, wanted), (there, report) = found
    assert there.device == device and (wanted.device, report.device) == ("cpu", str(device))
    assert report.validation_loss == pytest.approx(wanted.validation_loss, rel=SAME)
    one, two = (potential.energy_and_forces(frames)[1] for potential in (here, there))
    np.testing.assert_allclose(two, one, atol=SAME * np.abs(one).max())


@pytest.mark.parametrize("first, then", [("there", "there"), ("there", "cpu"), ("cpu", "there")])
def test_a_fit_goes_on_where_it_was_stopped(first, then, device, tmp_path):
    """On the same device or another one."""
    frames = SAMPLES["open"]()
    places = {"there": str(device), "cpu": "cpu"}
    whole = options(places[then])(network(), frames, seed=1)[1]
    options(places[first], steps=3, validate_every=3)
    begun = Fit(options(places[first]), _at(network(), places[first]), frames, [], 1, tmp_path)
    for graph in begun.problem.batches(0, 3):
        begun.optimise(graph)
        begun.step += 1
    begun.recent = [0.0]
    begun.validate()
    begun.checkpoint()
    _, report = options(places[then])(network(), frames, seed=1, folder=tmp_path)
    assert report.validation_loss == pytest.approx(whole.validation_loss, rel=SAME)


def _at(potential, device):
    return potential.to(device, torch.float64)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_step_waits_once(name, traffic, device):
    fit = Fit(options(device), _at(network(), device), SAMPLES[name](), [], 1, None)
    graphs = list(fit.problem.batches(0, 3))
    fit.optimise(graphs[0])  # the optimiser takes its place
    traffic.clear()
    fit.optimise(graphs[1])
    assert traffic.stops <= 1, traffic


def test_labels_of_a_small_molecule_are_sent_without_a_wait(traffic, device):
    fit = Fit(options(device), _at(network(), device), SAMPLES["open"](), [], 1, None)
    traffic.clear()
    list(fit.problem.batches(0, 1))
    assert traffic.stops == 0, traffic
