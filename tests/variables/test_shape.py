"""Radius of gyration, pair distances, contacts and helices: points and chains whose numbers are
known.
"""

from dataclasses import replace

import mdtraj
import numpy as np
import pytest
import torch
from variables_of_cln025 import native, pulled_apart, shaken

from cgrec import Frames, System
from cgrec.io import to_mdtraj
from cgrec.mapping import ResidueCentres, alpha_carbons
from cgrec.variables import ContactMap, Helix, PairDistances, RadiusOfGyration


def beads(positions, masses=None):
    x = np.array(positions, float)
    n = x.shape[-2]
    system = System(
        names=tuple(f"B{k}" for k in range(n)),
        masses=np.ones(n) if masses is None else masses,
        bonds=[(k, k + 1) for k in range(n - 1)],
    )
    return Frames(system, x.reshape(-1, n, 3), 300.0)


def test_the_radius_of_gyration_of_known_points():
    cube = np.array([(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    assert RadiusOfGyration()(beads(cube))[0] == pytest.approx(np.sqrt(3) / 2)
    pair = beads([[0, 0, 0], [0, 0, 3.0]], [1.0, 2.0])  # the centre lies 2 from the lighter one
    assert RadiusOfGyration()(pair)[0] == pytest.approx(np.sqrt((4 + 2) / 3))
    assert RadiusOfGyration(sites=("B0", "B1"))(beads(cube))[0] == pytest.approx(0.5)
    assert not RadiusOfGyration(sites=("B9",)).defined_on(pair.system)


def test_the_radius_of_gyration_is_mdtrajs_and_has_a_gradient():
    frames = shaken(10)
    # of equal masses: mdtraj takes the mean of the positions for the centre of any
    alike = replace(frames, system=replace(frames.system, masses=np.ones(frames.n_sites)))
    assert np.allclose(RadiusOfGyration()(alike), mdtraj.compute_rg(to_mdtraj(alike)), atol=1e-5)
    x = torch.tensor(np.asarray(frames.positions[:1], float), requires_grad=True)
    value = RadiusOfGyration().values(x, frames.system)
    (gradient,) = torch.autograd.grad(value.sum(), x)
    share = frames.system.masses / frames.system.masses.sum()
    centred = x.detach() - (torch.tensor(share)[:, None] * x.detach()).sum(1, keepdim=True)
    assert torch.allclose(gradient, torch.tensor(share)[:, None] * centred / value.item())


def test_pair_distances_of_a_line():
    line = beads([[0.0, 0.0, 0.38 * k] for k in range(6)])
    found = PairDistances()
    assert found.columns(line.system)[0] == "MOL:B0 - MOL:B3"
    assert np.allclose(found(line), 0.38 * np.array([[3, 4, 5, 3, 4, 3]]))
    assert PairDistances(offset=5)(line).shape == (1, 1)
    with pytest.raises(ValueError, match="chain of more than 6 sites, found 6: give a smaller"):
        PairDistances(offset=6)(line)
    assert not PairDistances(offset=6).defined_on(line.system)
    x = torch.tensor(line.positions, requires_grad=True)
    assert torch.autograd.grad(found.values(x, line.system).sum(), x)[0].abs().sum() > 0


def test_pair_distances_are_those_of_alpha_carbons_at_every_level():
    frames = shaken(5)
    mapped = alpha_carbons(frames.system)(frames)
    assert np.allclose(PairDistances()(frames), PairDistances()(mapped))
    centres = ResidueCentres(2)(frames.system)(frames)
    assert PairDistances()(centres).shape == (5, 3) and PairDistances()(mapped).shape == (5, 28)


def test_contacts_are_mdtrajs_and_their_mean_has_an_error():
    frames = shaken(200, 0.15, replicas=20)
    pairs = [(i, j) for i in range(10) for j in range(i + 3, 10)]
    distances, _ = mdtraj.compute_contacts(to_mdtraj(frames), pairs, scheme="ca", periodic=False)
    found = ContactMap()(frames)
    assert (found != (distances < 0.8)).mean() < 1e-3  # mdtraj counts in single precision
    mean = ContactMap().mean(frames)
    assert mean.value.shape == (10, 10) and np.isnan(mean.value[0, 2])
    assert np.allclose([mean.value[i, j] for i, j in pairs], found.mean(0))
    i, j = pairs[int(np.abs(found.mean(0) - 0.5).argmin())]
    independent = np.sqrt(mean.value[i, j] * (1 - mean.value[i, j]) / 200)
    assert mean.error[i, j] == pytest.approx(independent, rel=0.6)
    weighted = replace(frames, weights=np.r_[np.ones(199), 1e9])
    assert np.allclose(
        [ContactMap().mean(weighted).value[i, j] for i, j in pairs], found[-1], atol=1e-6
    )


def test_the_native_hairpin_has_contacts_across_and_a_chain_pulled_apart_has_none():
    contacts = ContactMap()
    near = contacts(native())[0] > 0
    pairs = np.stack(np.triu_indices(10, 3), 1)[near]
    assert [0, 9] in pairs.tolist() and len(pairs) >= 10  # the two ends, and what lies between
    assert set(pairs.sum(1)) <= {7, 8, 9, 10, 11}  # strands that run against each other
    assert contacts(pulled_apart()).sum() == 0


def test_alpha_carbons_of_an_ideal_helix_and_of_its_mirror_image():
    k = np.arange(15)
    turn = np.radians(100.0) * k  # 3.6 residues a turn, 0.15 nm a residue, radius 0.23 nm
    helix = np.stack([0.23 * np.cos(turn), 0.23 * np.sin(turn), 0.15 * k], 1)
    strand = np.stack([0.34 * k, 0.09 * (k % 2), 0 * k], 1)
    system = System(
        names=("CA",) * 15,
        masses=np.full(15, 12.0),
        elements=("C",) * 15,
        bonds=[(i, i + 1) for i in range(14)],
        residues=k,
        residue_names=("ALA",) * 15,
    )
    frames = Frames(system, np.array([helix, helix * [1, 1, -1], strand]), 300.0)
    assert Helix()(frames).tolist() == [1.0, 0.0, 0.0]
    few = system.select([0, 1, 2])
    assert "four sites called CA" in Helix().missing_on(few)
