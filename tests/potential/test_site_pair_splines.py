"""Splines of the distances of pairs of sites: forces, linearity, what lies beyond the knots."""

import numpy as np
import pytest

from cgrec import Frames, Potential, System
from cgrec.potential import BondGraph, SitePairSplines

CHAIN = System(
    names=tuple("ABCDE"), types=("X",) * 5, masses=[1] * 5, bonds=[(k, k + 1) for k in range(4)]
)
PAIRS = [[0, 3], [1, 4], [0, 4]]
KNOTS = np.arange(0.3, 1.21, 0.1)


def walks(n, seed=0):
    steps = np.random.default_rng(seed).normal(0, 0.25, (n, 5, 3))
    return Frames(CHAIN, steps.cumsum(1), 300.0)


def splines(seed=1):
    coefficients = np.random.default_rng(seed).normal(size=(3, len(KNOTS) - 2))
    return SitePairSplines(
        types=["X"],
        n_sites=5,
        sites=PAIRS,
        knots=KNOTS.tolist(),
        coefficients=coefficients.tolist(),
        bond_graph=BondGraph.of(CHAIN).config,
    )


def test_forces_are_the_slope_of_the_energy():
    potential, frames, h = splines(), walks(20), 1e-5
    _, forces = potential.energy_and_forces(frames)
    for site, axis in ((0, 0), (3, 1), (4, 2)):
        moved = []
        for sign in (1, -1):
            x = np.array(frames.positions)
            x[:, site, axis] += sign * h
            moved.append(potential.energy_and_forces(Frames(CHAIN, x, 300.0))[0])
        slope = (moved[0] - moved[1]) / (2 * h)
        np.testing.assert_allclose(forces[:, site, axis], -slope, atol=1e-4)


def test_the_energy_is_linear_in_its_coefficients():
    potential, frames = splines(), walks(200)
    expected = potential.design(frames) @ potential.coefficients.flatten().numpy()
    np.testing.assert_allclose(potential.energy_and_forces(frames)[0], expected, atol=1e-10)
    np.testing.assert_allclose(potential.design(frames).sum(1), len(PAIRS), atol=1e-12)


@pytest.mark.parametrize("distance", [0.1, 0.29, 1.21, 3.0])
def test_beyond_the_knots_there_is_no_force_and_no_step(distance):
    """Value, slope and curvature are continuous: the force rises from zero as a square."""
    potential = splines()
    x = np.zeros((3, 5, 3))
    x[:, 3, 0] = [distance, 0.3 + 1e-4, 1.2 - 1e-4]
    x[:, 4, 1] = 5.0
    energy, forces = potential.energy_and_forces(Frames(CHAIN, x, 300.0))
    assert np.abs(forces[0]).max() == 0
    assert np.abs(forces[1:, 3]).max() < 1e-3
    near = 1 if distance < 0.5 else 2
    assert energy[0] == pytest.approx(energy[near], abs=1e-6)


def test_a_file_gives_it_back(tmp_path):
    potential, frames = splines(), walks(5)
    potential.save(tmp_path / "p.pt")
    again = Potential.load(tmp_path / "p.pt")
    np.testing.assert_array_equal(
        again.energy_and_forces(frames)[0], potential.energy_and_forces(frames)[0]
    )


def test_another_chain_is_refused():
    other = System(names=tuple("ABCDE"), types=("X",) * 5, masses=[1] * 5, bonds=[(0, 1), (2, 3)])
    with pytest.raises(ValueError, match="SitePairSplines"):
        splines().energy_and_forces(Frames(other, walks(2).positions, 300.0))
