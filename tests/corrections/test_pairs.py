"""Pairs brought to the distances of the parent, against a potential put in by hand."""

import numpy as np
import pytest

from cgrec import Frames, System
from cgrec.corrections.pairs import PairRefinement, correct_pairs
from cgrec.units import thermal_energy


@pytest.mark.slow
def test_pairs_of_an_ideal_gas_get_the_potential_of_their_target():
    """Two free sites in a box against two with a known pair potential: the correction is that
    potential.
    """
    rng, kT = np.random.default_rng(0), thermal_energy(300.0)
    system = System(names=("A", "A"), masses=[1, 1])
    box = 1.6 * np.eye(3)
    made = lambda n: Frames(system, rng.uniform(0, 1.6, size=(n, 2, 3)), 300.0, box=box)  # noqa: E731

    def well(r):
        return np.where(r < 0.7, -1.5 * kT * np.sin(np.pi * (r - 0.3) / 0.4), 0.0) * (r > 0.3)

    def distances(frames):
        d = frames.positions[:, 1] - frames.positions[:, 0]
        return np.linalg.norm(d - 1.6 * np.round(d / 1.6), axis=-1)

    free = made(120_000)
    r = distances(free)
    kept = (r > 0.2) & (rng.random(len(r)) < np.exp(-(well(r) + 1.5 * kT) / kT))
    target = Frames(system, free.positions[kept], 300.0, box=box)
    model = made(40_000)
    options = PairRefinement(cutoff=0.75, spacing=0.05, efficiency=0.0)
    correction = correct_pairs(["A"], model, target, options)
    x = np.linspace(0.32, 0.68, 30)
    pair = np.zeros((30, 2, 3))
    pair[:, 1, 0] = x
    energy, forces = correction.energy_and_forces(Frames(system, pair, 300.0))
    difference = energy - well(x)
    assert np.std(difference) < 0.15 * kT and abs(np.mean(difference)) < 0.15 * kT
    # Nearer than anything in the target there is no force.
    pair[:, 1, 0] = np.linspace(0.02, 0.1, 30)
    assert np.abs(correction.energy_and_forces(Frames(system, pair, 300.0))[1]).max() < 1e-6
    # A step is as long as its weights allow, and the next one goes on from it.
    short = PairRefinement(cutoff=0.75, spacing=0.05, efficiency=0.9)
    first = correct_pairs(["A"], model, target, short)
    ratio = (first.coefficients / correction.coefficients).detach()
    assert 0 < float(ratio[correction.coefficients.abs() > 1e-3].mean()) < 0.9
    second = correct_pairs(["A"], model, target, short, first)
    np.testing.assert_allclose(
        (second.coefficients - first.coefficients).detach(), first.coefficients.detach()
    )
