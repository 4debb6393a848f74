"""Every rule: a System (or Frames) in, a Mapping out whose sites are weighted means of atoms."""

import numpy as np
import pytest
from plugin.toy.rule import EveryOther

import cgrec
from cgrec import Frames
from cgrec import mapping as room
from cgrec.files import package_path
from cgrec.run.recipes import described

RESIDUES = {
    "ACE": {"A": ["CH3", "C", "O"]},
    "ALA": {"B": ["N", "CA", "C", "O"], "S": ["CB"]},
    "NME": {"N": ["N", "CH3", "C"]},
}
#: By labels, not by numbers, so that they mean the same atoms in any order.
RULES = {
    "HeavyAtoms": room.HeavyAtoms(),
    "Pick": room.Pick(["ALA:CB", "ALA:N"]),
    "Drop": room.Drop(["NME"]),
    "Weighted": room.Weighted(
        {"a": {"ALA:CA": 0.5, "ALA:CB": 0.5}, "b": {"ALA:N": 0.25, "ALA:C": 0.75}}
    ),
    "CentresOfMass": room.CentresOfMass({"a": ["ALA:CA", "ALA:CB"], "b": ["ALA:C", "ALA:O"]}),
    "MoleculeCentres": room.MoleculeCentres(),
    "Parts": room.Parts([["ALA:CA", "ALA:CB"], ["ALA:C", "ALA:O"]]),
    "HeavyAtomGroups": room.HeavyAtomGroups(2),
    "Contracted": room.Contracted(4),
    "Learned": room.Learned(4),
    "EssentialDynamics": room.EssentialDynamics(3),
    "Protected": room.Protected(room.MoleculeCentres(), ["ALA:CB"]),
    "Backbone": room.Backbone(),
    "alpha_carbons": room.alpha_carbons,
    "ResidueCentres": room.ResidueCentres(),
    "BackboneAndSideChain": room.BackboneAndSideChain(),
    "ResidueTable": room.ResidueTable(RESIDUES),
    "identity": room.Mapping.identity,
    "of a plugin": EveryOther(3),
}
#: Rules whose choice is by the numbers of the sites, or is tied to the cuts of a tree between
#: equals.
BY_NUMBER = {"of a plugin", "HeavyAtomGroups"}


@pytest.fixture(scope="module")
def frames():
    """Alanine dipeptide that shakes, with forces."""
    one = cgrec.read(package_path("package:alanine_dipeptide.pdb"), temperature=300)
    rng = np.random.default_rng(0)
    positions = np.asarray(one.positions[:1], float) + rng.normal(
        scale=0.01, size=(80, one.n_sites, 3)
    )
    return Frames(one.system, positions, 300.0, forces=rng.normal(size=positions.shape))


@pytest.fixture(params=RULES)
def rule(request):
    return RULES[request.param]


def given(rule, frames):
    return frames if getattr(rule, "needs_frames", False) else frames.system


def sites_of(mapping, names):
    """Each site as what it is made of: {(atom, weight)}."""
    rows = np.asarray(mapping.position_weights)
    return {frozenset((names[i], round(row[i], 9)) for i in np.flatnonzero(row)) for row in rows}


def test_a_site_is_a_mean_of_atoms_and_its_force_the_one_of_it(rule, frames):
    made = rule(given(rule, frames))
    weights, forces = np.asarray(made.position_weights), np.asarray(made.force_weights)
    assert isinstance(made, room.Mapping) and made.fine is frames.system
    assert (
        weights.shape == (made.coarse.n_sites, frames.n_sites)
        and 0 < made.coarse.n_sites <= frames.n_sites
    )
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-9)
    np.testing.assert_allclose(forces @ weights.T, np.eye(len(weights)), atol=1e-9)


def test_sites_move_with_their_atoms(rule, frames):
    made = rule(given(rule, frames))
    moved = Frames(frames.system, np.asarray(frames.positions) + [1.0, -2.0, 3.0], 300.0)
    plain = Frames(frames.system, frames.positions, 300.0)
    np.testing.assert_allclose(
        made(moved).positions, made(plain).positions + [1.0, -2.0, 3.0], atol=1e-6
    )


def test_no_mass_is_made(rule, frames):
    coarse = rule(given(rule, frames)).coarse
    assert coarse.masses.min() > 0 and coarse.masses.sum() < frames.system.masses.sum() * (1 + 1e-9)


def test_it_gives_the_same_again(rule, frames):
    first, second = rule(given(rule, frames)), rule(given(rule, frames))
    np.testing.assert_array_equal(first.position_weights, second.position_weights)
    assert first.coarse.fingerprint() == second.coarse.fingerprint()


def test_a_recipe_can_hold_it(rule):
    assert described(rule) == described(rule)


@pytest.mark.parametrize("name", sorted(set(RULES) - BY_NUMBER))
def test_the_order_of_atoms_does_not_matter(name, frames):
    rule, order = RULES[name], np.random.default_rng(1).permutation(frames.n_sites)
    labels = np.array(frames.system.labels)
    shuffled = Frames(
        frames.system.select(order),
        frames.positions[:, order],
        300.0,
        forces=frames.forces[:, order],
    )
    assert sites_of(rule(given(rule, shuffled)), labels[order]) == sites_of(
        rule(given(rule, frames)), labels
    )
