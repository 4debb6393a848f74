"""Q: by mdtraj's distances, one in the structure and none in a chain pulled apart."""

from dataclasses import replace
from itertools import combinations

import mdtraj
import numpy as np
import pytest
import torch
from variables_of_cln025 import PDB, native, pulled_apart, shaken

from cgrec.io import to_mdtraj
from cgrec.mapping import Backbone, BackboneAndSideChain, ResidueCentres, alpha_carbons
from cgrec.variables import ContactMap, NativeContacts


def by_mdtraj(frames, reference, atoms, cutoff, factor):
    """Q of R. B. Best, G. Hummer, W. A. Eaton, PNAS 110, 17874 (2013) from mdtraj's distances."""
    trajectory, first = to_mdtraj(frames), to_mdtraj(reference)
    chosen = first.topology.select(atoms)
    residue = [first.topology.atom(i).residue.index for i in chosen]
    pairs = np.array(
        [(a, b) for (a, i), (b, j) in combinations(zip(chosen, residue), 2) if abs(i - j) > 3]
    )
    native_distances = mdtraj.compute_distances(first[0], pairs, periodic=False)[0]
    near = native_distances < cutoff
    r0 = native_distances[near]
    r = mdtraj.compute_distances(trajectory, pairs[near], periodic=False)
    return (1.0 / (1 + np.exp(50.0 * (r - factor * r0)))).mean(1)


@pytest.mark.parametrize("width", [0.02, 0.15])
def test_it_is_the_one_of_mdtrajs_distances(width):
    frames = shaken(30, width)
    heavy = by_mdtraj(frames, native(), "not element H", 0.45, 1.8)
    alphas = by_mdtraj(frames, native(), "name CA", 0.8, 1.2)
    assert np.allclose(NativeContacts(structure=PDB)(frames), heavy, atol=1e-4)
    assert np.allclose(NativeContacts(structure=PDB, between="CA")(frames), alphas, atol=1e-4)
    if width > 0.1:
        assert alphas.max() < 0.95  # not one for everything


def test_one_in_the_structure_and_none_in_a_chain_pulled_apart():
    for between in ("heavy", "CA"):
        q = NativeContacts(structure=PDB, between=between)
        assert q(native())[0] > 0.99
        assert q(pulled_apart())[0] < 0.2


def test_between_alpha_carbons_it_is_the_same_at_every_level_that_keeps_them():
    frames = shaken(10, 0.1)
    q = NativeContacts(structure=PDB, between="CA")
    for rule in (Backbone(), alpha_carbons):
        assert np.allclose(q(rule(frames.system)(frames)), q(frames), atol=1e-9)
    free = NativeContacts(structure=PDB)  # chooses by the level
    mapped = alpha_carbons(frames.system)(frames)
    assert np.allclose(free(mapped), q(frames), atol=1e-9)
    assert not np.allclose(free(frames), q(frames), atol=1e-3)


def test_beads_take_the_structure_through_their_mapping_unless_they_hold_several_residues():
    atoms = native()
    q = NativeContacts(structure=PDB)
    for rule in (BackboneAndSideChain(), ResidueCentres()):
        mapping = rule(atoms.system)
        level = q.through(mapping)
        assert level(mapping(atoms))[0] > 0.99 and level(mapping(pulled_apart()))[0] < 0.2
    with pytest.raises(
        ValueError, match="the structure has 10, this level 5 sites, so that a site"
    ):
        q.through(ResidueCentres(2)(atoms.system))
    assert "several residues" in q.missing_on(ResidueCentres(2)(atoms.system).coarse)


def test_gradients_are_those_of_the_numbers():
    frames = shaken(3, 0.1)
    q = NativeContacts(structure=PDB)
    x = torch.tensor(np.asarray(frames.positions, float), requires_grad=True)
    (gradient,) = torch.autograd.grad(q.values(x, frames.system).sum(), x)
    direction = np.random.default_rng(1).normal(size=frames.positions.shape)
    step = 1e-6
    up, down = (
        q(replace(frames, positions=frames.positions + s * step * direction)) for s in (1, -1)
    )
    along = (gradient.numpy() * direction).sum((1, 2))
    assert np.abs(along).min() > 1e-3
    assert np.allclose(along, (up - down) / (2 * step), rtol=1e-5, atol=1e-7)


def test_what_is_not_there_is_told():
    with pytest.raises(ValueError, match="between: expected heavy or CA, found 'CB'"):
        NativeContacts(structure=PDB, between="CB")
    with pytest.raises(ValueError, match="expected sites within 0.8 nm .* found none"):
        NativeContacts(structure=pulled_apart(), between="CA")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"cutoff": 4.5},
            r"Q.cutoff: expected nm, .* found 4.5; if these are angstroms, give 0.45",
        ),
        ({"cutoff": 0.0}, "Q.cutoff: expected more than 0"),
        ({"beta": 5.0}, r"Q.beta: expected 1/nm.*if these are 1/angstrom, give 50"),
        ({"beta": 0.0}, "Q.beta: expected more than 0"),
        ({"beta": -5.0}, "Q.beta: expected more than 0"),
        ({"beta": float("nan")}, "Q.beta: expected more than 0"),
        ({"factor": -2.0}, "Q.factor: expected 1 or more"),
        ({"factor": 0.0}, "Q.factor: expected 1 or more"),
    ],
)
def test_numbers_that_make_it_no_fraction_of_contacts_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        NativeContacts(structure=PDB, **options)


def test_a_contact_map_in_angstroms_is_refused():
    with pytest.raises(ValueError, match="contacts.cutoff: .*if these are angstroms, give 0.8"):
        ContactMap(cutoff=8.0)
