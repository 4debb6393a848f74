"""RMSD: mdtraj's number, its own gradient, and the same structure at every level."""

from dataclasses import replace

import mdtraj
import numpy as np
import pytest
import torch
from variables_of_cln025 import PDB, native, shaken

from cgrec import Frames, System
from cgrec.io import to_mdtraj
from cgrec.mapping import (
    Backbone,
    BackboneAndSideChain,
    HeavyAtoms,
    ResidueCentres,
    alpha_carbons,
)
from cgrec.variables import RMSD


def test_it_is_mdtrajs():
    frames = shaken(50, 0.1)
    alphas = [i for i, name in enumerate(frames.system.names) if name == "CA"]
    own, reference = (to_mdtraj(f).atom_slice(alphas) for f in (frames, native()))
    expected = mdtraj.rmsd(own, reference)
    found = RMSD(structure=PDB)(frames)
    assert found.shape == (50,) and np.allclose(found, expected, atol=2e-4)
    assert np.array_equal(found, RMSD(structure=native()).of(frames))


def test_it_is_mdtrajs_for_sites_by_label():
    frames = shaken(20, 0.1)
    labels = ("TYR1:N", "PRO4:CD", "TRP9:CG", "TYR10:OH")  # as in the file: mdtraj warns else
    sites = [frames.system.site(label) for label in labels]
    own, reference = (to_mdtraj(f).atom_slice(sites) for f in (frames, native()))
    found = RMSD(structure=PDB, sites=labels)(frames)
    assert np.allclose(found, mdtraj.rmsd(own, reference), atol=2e-4)


def test_a_mirror_image_is_not_the_structure():
    first = native()
    mirrored = replace(first, positions=first.positions * [-1.0, 1.0, 1.0])
    found = RMSD(structure=first)
    assert found(first)[0] < 1e-6 and found(mirrored)[0] > 0.1


def test_the_same_number_at_every_level_that_keeps_alpha_carbons():
    frames = shaken(10, 0.05)
    variable = RMSD(structure=PDB)
    expected = variable(frames)
    for rule in (Backbone(), Backbone(["N", "CA", "C", "CB", "O"]), alpha_carbons):
        mapped = rule(frames.system)(frames)
        assert variable.defined_on(mapped.system)
        assert np.allclose(variable(mapped), expected, atol=1e-9)


def test_a_level_of_beads_takes_the_structure_through_its_mapping():
    frames = shaken(10, 0.05)
    for rule in (BackboneAndSideChain(), ResidueCentres(), ResidueCentres(2)):
        mapping = rule(frames.system)
        mapped = mapping(frames)
        variable = RMSD(structure=PDB).through(mapping)
        expected = mdtraj.rmsd(to_mdtraj(mapped), to_mdtraj(mapping(native())))
        assert np.allclose(variable(mapped), expected, atol=2e-4)


def test_a_structure_without_hydrogens_is_enough_for_alpha_carbons_but_not_to_be_mapped():
    atoms = native()
    heavy = HeavyAtoms()(atoms.system)(atoms)
    variable = RMSD(structure=heavy)
    assert variable(atoms)[0] < 1e-6
    with pytest.raises(ValueError, match="site H in residue TYR1.*needs every atom of level 0"):
        variable.through(ResidueCentres()(atoms.system))


def test_a_bead_of_two_residues_is_said_to_be_none_of_them():
    two = ResidueCentres(2)(native().system).coarse
    why = RMSD(structure=PDB).missing_on(two)
    assert why is not None and not RMSD(structure=PDB).defined_on(two)
    assert "10 residues, this level 5 sites" in why and "several residues is none of them" in why


@pytest.mark.parametrize("level", ["atoms", "alphas"])
def test_gradients_are_those_of_the_numbers(level):
    frames = shaken(3, 0.1)
    if level == "alphas":
        frames = alpha_carbons(frames.system)(frames)
    variable = RMSD(structure=PDB)
    x = torch.tensor(np.asarray(frames.positions, float), requires_grad=True)
    values = variable.values(x, frames.system)
    assert np.allclose(values.detach(), variable(frames))
    (gradient,) = torch.autograd.grad(values.sum(), x)
    step = 1e-6
    direction = np.random.default_rng(1).normal(size=frames.positions.shape)
    up, down = (
        variable(replace(frames, positions=frames.positions + s * step * direction))
        for s in (1, -1)
    )
    along = (gradient.numpy() * direction).sum((1, 2))
    assert np.allclose(along, (up - down) / (2 * step), rtol=1e-5, atol=1e-8)
    assert torch.isfinite(
        torch.autograd.grad(
            variable.values(
                x0 := torch.tensor(native().positions, dtype=torch.float64, requires_grad=True),
                native().system,
            ).sum(),
            x0,
        )[0]
    ).all()  # at the structure itself


def test_what_is_not_there_is_told():
    with pytest.raises(ValueError, match="structure: expected a file, found none at nowhere.pdb"):
        RMSD(structure="nowhere.pdb")
    with pytest.raises(ValueError, match="expected Frames, or the path of a PDB file, found 3"):
        RMSD(structure=3)
    with pytest.raises(KeyError, match="TYR1:CX"):
        RMSD(structure=PDB, sites=("TYR1:CX", "TYR2:CA", "TYR10:CA"))
    with pytest.raises(ValueError, match="expected three sites or more, found 2"):
        RMSD(structure=PDB, sites=("TYR1:CA", "TYR2:CA"))
    water = System(names=("O", "H1", "H2"), masses=[16.0, 1.0, 1.0], bonds=[(0, 1), (0, 2)])
    assert not RMSD(structure=PDB).defined_on(water)
    other = Frames(water, np.zeros((1, 3, 3)) + np.eye(3), 300.0)
    with pytest.raises(ValueError, match="the structure has 10 residues"):
        RMSD(structure=PDB)(other)
