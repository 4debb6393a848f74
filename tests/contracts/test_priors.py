"""Every prior: it fits itself to frames, what it gives is a Potential of that sample and System,
and a recipe can hold it.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from plugin.toy.prior import Size

from cgrec import Frames, Potential, System
from cgrec.cli import build, composed
from cgrec.potential import Angles, Bonds, Branches, Coulomb, Dihedrals, Repulsion
from cgrec.potential.priors import fitted, priors_by_name
from cgrec.run.recipes import described
from contracts import PotentialContract, random_frames

TYPES = ["A", "B", "C"]
CHARGES = {"A": 1.0, "B": -0.25, "C": -0.75}
PRIORS = {
    "Bonds": Bonds(),
    "Angles": Angles(),
    "Branches": Branches(),
    "Dihedrals": Dihedrals(),
    "Repulsion": Repulsion(cutoff=0.6),
    "Coulomb": Coulomb(charges=CHARGES, permittivity=20.0),
    "of a plugin": Size(share=0.5),
}
#: Priors whose terms are of numbered sites of the System.
NUMBERED = sorted(set(PRIORS) - {"Coulomb"})
#: Priors that have terms along bonds only.
BONDED = ["Angles", "Bonds", "Branches", "Dihedrals"]


def total(prior, frames):
    first, *rest = fitted([prior], frames, TYPES)
    return sum(rest, first)


def by_name(names):
    return pytest.mark.parametrize("name", names)


class TestEnergy(PotentialContract):
    """What is fitted is a Potential like any other."""

    @pytest.fixture(params=PRIORS)
    def potential(self, request):
        return total(PRIORS[request.param], random_frames(200, seed=3))


@pytest.fixture(scope="module")
def sample():
    return random_frames(200, seed=3)


@by_name(PRIORS)
def test_it_belongs_to_the_temperature_of_the_sample_or_to_none(name, sample):
    hot = Frames(sample.system, sample.positions, 400.0)
    for cold_one, hot_one in zip(
        fitted([PRIORS[name]], sample, TYPES), fitted([PRIORS[name]], hot, TYPES), strict=True
    ):
        assert isinstance(cold_one, Potential) and list(cold_one.types) == TYPES
        if cold_one.temperature is None:  # an energy
            assert cold_one.config == hot_one.config
        else:
            assert (cold_one.temperature, hot_one.temperature) == (300.0, 400.0)


@by_name(PRIORS)
def test_the_order_of_sites_does_not_matter(name, sample):
    order = np.random.default_rng(1).permutation(sample.n_sites)
    other = Frames(sample.system.select(order), sample.positions[:, order], 300.0)
    energy, force = total(PRIORS[name], sample).energy_and_forces(sample)
    found, turned = total(PRIORS[name], other).energy_and_forces(other)
    np.testing.assert_allclose(found, energy, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(turned, force[:, order], rtol=1e-7, atol=1e-7)


def two_molecules():
    """Frames of two molecules in a box."""
    one, two = random_frames(100, seed=3), random_frames(100, seed=4)
    system = one.system
    both = System(
        names=system.names * 2,
        types=system.types * 2,
        masses=np.tile(system.masses, 2),
        bonds=np.concatenate([system.bonds, system.bonds + 6]),
    )
    positions = np.concatenate([one.positions, two.positions + [0.0, 0.0, 0.35]], 1)
    return Frames(both, positions, 300.0, box=1.3 * np.eye(3))


@by_name(sorted(set(PRIORS) - {"of a plugin"}))
def test_a_molecule_may_stand_in_any_image(name):
    frames = two_molecules()
    potential = total(PRIORS[name], frames)
    moved = np.array(frames.positions)
    moved[:, 6:] += 1.3 * np.array([1.0, -2.0, 0.0])
    energy, force = potential.energy_and_forces(frames)
    found, same = potential.energy_and_forces(replace(frames, positions=moved))
    np.testing.assert_allclose(found, energy, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(same, force, rtol=1e-6, atol=1e-6)


@by_name(NUMBERED)
def test_what_was_not_seen_costs_more(name, sample):
    """No hole where there are no data."""
    potential = total(PRIORS[name], sample)
    shaken = np.random.default_rng(5).normal(scale=0.05, size=sample.positions.shape)
    unseen = Frames(sample.system, np.asarray(sample.positions) + shaken, 300.0)
    seen, costs = (potential.energy_and_forces(f)[0] for f in (sample, unseen))
    assert np.isfinite(costs).all() and costs.mean() > seen.mean()


@by_name(PRIORS)
def test_only_the_ratio_of_weights_matters(name, sample):
    for weights in (np.full(200, 7.0), np.ones(200)):
        weighted = Frames(sample.system, sample.positions, 300.0, weights=weights)
        for one, two in zip(
            fitted([PRIORS[name]], sample, TYPES),
            fitted([PRIORS[name]], weighted, TYPES),
            strict=True,
        ):
            np.testing.assert_allclose(
                two.energy_and_forces(sample)[0], one.energy_and_forces(sample)[0], rtol=1e-9
            )


@by_name(NUMBERED)
def test_another_system_is_refused(name, sample):
    more = System(names=tuple("ABCABCA"), masses=np.ones(7), bonds=[(k, k + 1) for k in range(6)])
    frames = Frames(more, np.random.default_rng(0).normal(size=(2, 7, 3)), 300.0)
    with pytest.raises(ValueError, match="fitted to .*6 sites"):
        total(PRIORS[name], sample).energy_and_forces(frames)


@by_name(BONDED)
def test_a_system_without_such_terms_gets_none(name):
    free = System(names=tuple("ABC"), masses=np.ones(3))
    frames = Frames(free, np.random.default_rng(0).normal(size=(20, 3, 3)), 300.0)
    assert fitted([PRIORS[name]], frames, TYPES) == []


@by_name(PRIORS)
def test_a_recipe_can_hold_it(name):
    about = described(PRIORS[name])
    assert json.loads(json.dumps(about)) == about and about["class"].endswith(
        type(PRIORS[name]).__name__
    )


def test_a_table_of_names_gives_what_a_list_gives(sample):
    options = {"charges": CHARGES, "permittivity": 20.0}
    table = {"cutoff": 0.6, "branches": True, "dihedrals": True, "coulomb": options}
    named = fitted(priors_by_name(**table, size=Size(share=0.5), none=None), sample, TYPES)
    listed = fitted(PRIORS.values(), sample, TYPES)
    assert [type(p).__name__ for p in named] == [type(p).__name__ for p in listed]
    for one, two in zip(named, listed, strict=True):
        assert one.config == two.config


LISTED = """# @package _global_
defaults:
  - /source: gaussian_chain
  - /level@levels.l1: own_priors
levels:
  l1:
    mapping: {_target_: cgrec.mapping.Pick, sites: [B0, B2]}
    priors: [{_target_: cgrec.potential.Bonds}, {_target_: cgrec.potential.Dihedrals, order: 2}]
"""


def test_a_yaml_lists_priors(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(LISTED)
    chain = build(composed(["experiment=mine", f"run={tmp_path}/run"], str(tmp_path)))
    assert chain.recipes["l1"].listed_priors == [Bonds(), Dihedrals(order=2)]


def climbed(*given):
    return build(composed(["experiment=water", "run=nowhere", *given])).recipes["l1"]


def test_a_yaml_adds_a_prior_to_the_table():
    own = "+levels.l1.priors.own={_target_: cgrec.potential.Dihedrals, order: 2}"
    assert climbed(own).listed_priors == [Repulsion(cutoff=0.6), Dihedrals(order=2)]


@pytest.mark.parametrize(
    "given, said",
    [
        ("+levels.l1.priors.bond=true", "priors.bond: expected .* did you mean bonds?"),
        (
            "++levels.l1.priors=5",
            "priors: expected a table .* or a list of values or null, found 5",
        ),
        ("levels.l1.priors.coulomb={permitivity: 3}", "found permitivity"),
    ],
)
def test_a_yaml_that_names_no_prior_is_refused_before_work(given, said):
    with pytest.raises(ValueError, match=f"levels.l1.*{said}"):
        climbed(given)


def test_two_that_keep_one_record_are_refused():
    with pytest.raises(ValueError, match="one prior that keeps .* coulomb.json, found 2"):
        replace(climbed(), priors=[PRIORS["Coulomb"], PRIORS["Coulomb"]])
