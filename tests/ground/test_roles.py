"""The seams of cgrec.roles: networks that are not ours, force maps that have no name, runs without
a guard.
"""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from contracts import random_frames

from cgrec.dynamics import FeatureGuard, Langevin, feature_guard
from cgrec.level.recipe import LevelRecipe
from cgrec.mapping import HeavyAtoms, basic, least_noise
from cgrec.potential import DensityNetwork, PairStiffness, UF3Potential, fit_priors, network_maker
from cgrec.remarks import Remark, kept, remarks_in
from cgrec.roles import DescribesSites
from cgrec.sources import QuantumSource
from cgrec.training import ForceMatching


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)
    return random_frames(30, forces=rng.normal(size=(30, 6, 3)).astype(np.float32))


def test_a_run_without_descriptors_has_no_guard_and_says_so(frames, tmp_path):
    made = PairStiffness.for_frames(frames)
    with (
        kept(tmp_path / "remarks.json"),
        pytest.warns(Remark, match=r"l1: nothing watches.*PairStiffness.*descriptors"),
    ):
        assert feature_guard(made, frames, 0.1, "l1") is None
    with warnings.catch_warnings(), kept(tmp_path / "remarks.json"):
        warnings.simplefilter("ignore")
        feature_guard(made, frames, 0.1, "l1")
    assert len(remarks_in(tmp_path / "remarks.json")) == 1


def test_a_sum_with_a_network_that_describes_its_sites_is_guarded(frames):
    network = DensityNetwork.for_frames(frames, cutoff=0.5, channels=4, width=8)
    priors = fit_priors(frames, types=network.types, cutoff=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        guard = feature_guard(sum(priors, network), frames, 0.2, "l1")
    assert isinstance(guard, FeatureGuard) and guard.looks == 5000


def test_only_what_has_descriptors_describes_sites(frames):
    network = DensityNetwork.for_frames(frames, cutoff=0.5, channels=4, width=8)
    assert isinstance(network, DescribesSites) and not isinstance(
        PairStiffness.for_frames(frames), DescribesSites
    )


def test_a_network_of_labels_is_made_as_before(frames):
    """As QuantumSource made it when it named the class: two layers, scale of the forces over 0.05
    nm, its own defaults.
    """
    options = {"cutoff": 0.6, "channels": 4, "l_max": 3, "width": 8}
    made = network_maker(options, "for_labels")(frames, 7)
    scale = float(np.sqrt(np.mean(np.asarray(frames.forces) ** 2))) * 0.05
    wanted = DensityNetwork(types=["A", "B", "C"], energy_scale=scale, seed=7, **options)
    assert made.config == wanted.config
    assert all(
        torch.equal(a, b) for a, b in zip(made.state_dict().values(), wanted.state_dict().values())
    )


def test_a_maker_is_taken_as_it_is(frames):
    make = partial(UF3Potential.for_frames, cutoff=0.5)
    assert isinstance(network_maker(make, "for_labels")(frames, 1), UF3Potential)


@pytest.mark.parametrize(
    "options, said",
    [
        ({}, "no cutoff"),
        ({"cutoff": 0.5, "chanels": 3}, "chanels"),
        ({"cutoff": 0.5, "seed": 3}, "seed"),
    ],
)
def test_wrong_arguments_of_a_network_are_refused_before_work(options, said):
    run = Langevin(n_replicas=2, length=1)
    with pytest.raises(
        ValueError, match=f"network: expected arguments of DensityNetwork.*found {said}"
    ):
        QuantumSource(
            structure="a.pdb",
            temperature=300,
            dynamics=run,
            exploration=run,
            training=ForceMatching(),
            final_training=ForceMatching(),
            network=options,
        )


def test_a_force_map_may_be_a_function():
    rest = {
        "mapping": HeavyAtoms(),
        "potential": None,
        "training": ForceMatching(),
        "dynamics": Langevin(),
    }
    assert LevelRecipe(**rest, force_map=basic).weigh_forces is basic
    assert LevelRecipe(**rest).weigh_forces is least_noise
    assert (
        LevelRecipe(**rest, force_map=basic).stages(1)["map"]["force_map"]
        == "cgrec.mapping.forces.basic"
    )
    with pytest.raises(ValueError, match="force_map: expected one of basic, .*found 'best'"):
        LevelRecipe(**rest, force_map="best")


def test_energies_are_not_fitted_by_a_network_without_a_zero(frames):
    with pytest.raises(ValueError, match="site_energy.*PairStiffness"):
        ForceMatching(steps=1, energy_weight=0.1)(PairStiffness.for_frames(frames), frames)
