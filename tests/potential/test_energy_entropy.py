"""A PMF of several temperatures, against a model whose entropy is known."""

import numpy as np
import pytest

from cgrec import Frames, System
from cgrec.potential import (
    DensityNetwork,
    EnergyEntropy,
    PairStiffness,
    Potential,
    SumPotential,
    at_temperature,
    thermal_part,
)
from cgrec.training import ForceMatching
from cgrec.units import BOLTZMANN

RUNGS = np.array([250.0, 300.0, 360.0])
LEVEL, DEPTH, WIDTH = 40.0, 30.0, 0.1  # kJ/mol/nm^2 of the seen spring; of the hidden one; nm


def stiffness(r):
    """Of a hidden coordinate y at distance r of the two sites, kJ/mol/nm^2, and its slope."""
    bump = np.exp(-(((r - 0.45) / WIDTH) ** 2))
    return 10 + DEPTH * bump, DEPTH * bump * -2 * (r - 0.45) / WIDTH**2


def mean_pull(r, kelvin):
    """-dW/dr of U = LEVEL (r - 0.45)^2 + k(r) y^2 / 2 with y integrated out: the second term leaves
    kT/2 ln k(r), which is entropy alone.
    """
    k, slope = stiffness(r)
    return -2 * LEVEL * (r - 0.45) - 0.5 * BOLTZMANN * kelvin * slope / k


def pairs(r, pull, kelvin=300.0, **more):
    """Frames of two sites at distances r, drawn apart by `pull`."""
    away = np.stack([r, 0 * r, 0 * r], -1)
    forces = np.stack([-pull, 0 * r, 0 * r], -1)
    system = System(names=("A", "B"), masses=[10.0, 10.0], types=("A", "B"))
    return Frames(
        system,
        np.stack([0 * away, away], 1),
        kelvin,
        forces=np.stack([forces, -forces], 1),
        **more,
    )


def sampled(n=1500, seed=0):
    """Frames at all rungs; each has the mean pull of 25 hidden coordinates, for less noise."""
    rng = np.random.default_rng(seed)
    kelvin = np.repeat(RUNGS, n)
    r = rng.uniform(0.3, 0.6, len(kelvin))
    k, slope = stiffness(r)
    square = rng.chisquare(25, len(r)) / 25 * BOLTZMANN * kelvin / k
    pull = -2 * LEVEL * (r - 0.45) - 0.5 * slope * square
    # weights to 300 K, which a fit of all temperatures must not use
    weights = np.where(kelvin == RUNGS[1], 1.0, 1e-3)
    return pairs(r, pull, weights=weights, temperatures=kelvin, replicas=rng.integers(0, 8, len(r)))


@pytest.fixture(scope="module")
def fitted():
    frames = sampled()
    untrained = EnergyEntropy.for_frames(frames, cutoff=1.0, network=small)
    fit = ForceMatching(
        steps=1000, batch_size=128, learning_rate=0.02, validate_every=250, patience=0, compile=True
    )
    return fit(untrained, frames)[0]


def small(frames, seed, cutoff):
    return DensityNetwork.for_frames(frames, seed, cutoff=cutoff, channels=8, l_max=1, width=16)


@pytest.mark.slow
@pytest.mark.parametrize("kelvin", [250, 275, 300, 330, 360])
def test_mean_forces_at_temperatures_between_those_of_the_frames(fitted, kelvin):
    r = np.linspace(0.34, 0.56, 45)
    exact = mean_pull(r, kelvin)
    there = at_temperature(fitted, kelvin)
    assert there.temperature == kelvin
    found = there.energy_and_forces(pairs(r, exact))[1][:, 1, 0]
    own = mean_pull(r, 300.0)
    error = np.sqrt(np.mean((found - exact) ** 2))
    assert error < 0.12 * np.std(exact)
    if kelvin in (250, 360):  # the PMF of 300 K is wrong there by more
        assert error < 0.3 * np.sqrt(np.mean((own - exact) ** 2))


@pytest.mark.slow
def test_entropy_is_that_of_the_hidden_coordinate(fitted):
    r = np.linspace(0.34, 0.56, 45)
    exact = -0.5 * BOLTZMANN * np.log(stiffness(r)[0])
    part = thermal_part(fitted)
    found = part.entropy(part.graph(pairs(r, 0 * r))).detach().numpy()
    assert np.std(found - exact) < 0.1 * np.std(exact)


@pytest.fixture
def untrained():
    potential = EnergyEntropy.for_frames(sampled(20), cutoff=1.0, network=small)
    for weights in potential.parameters():
        weights.data = weights.data.double()
    return potential.made_at(300.0)


def test_forces_are_slopes_of_the_energy_at_every_temperature(untrained):
    r, step = np.linspace(0.3, 0.6, 7), 1e-5
    hot = untrained.at(350.0)
    ahead, behind = (hot.energy_and_forces(pairs(r + s, 0 * r))[0] for s in (step, -step))
    found = hot.energy_and_forces(pairs(r, 0 * r))[1][:, 1, 0]
    np.testing.assert_allclose(found, -(ahead - behind) / (2 * step), rtol=1e-5, atol=1e-5)


def test_is_linear_in_temperature_and_the_first_network_at_its_own(untrained):
    frames = pairs(np.linspace(0.3, 0.6, 7), np.zeros(7))
    of = {t: untrained.at(t).energy_and_forces(frames)[1] for t in (250.0, 300.0, 350.0)}
    np.testing.assert_allclose(of[300.0], (of[250.0] + of[350.0]) / 2, atol=1e-10)
    assert np.abs(of[350.0] - of[300.0]).max() > 1e-3
    assert untrained.at(300.0) is untrained.free
    np.testing.assert_array_equal(untrained.energy_and_forces(frames)[1], of[300.0])


@pytest.mark.slow
def test_file_kernel_and_sum_keep_it(untrained, tmp_path):
    frames = pairs(np.linspace(0.3, 0.6, 7), np.zeros(7))
    springs = PairStiffness(types=["A", "B"], n_sites=2).double().made_at(300.0)
    springs.stiffness.data[:] = 100.0
    total = SumPotential([springs, untrained])
    total.density = (30.0, 31.0)
    total.save(tmp_path / "potential.pt")
    again = Potential.load(tmp_path / "potential.pt")
    for kelvin in (300.0, 355.0):
        plain, loaded = (at_temperature(p, kelvin) for p in (total, again))
        expected = springs.energy_and_forces(frames)[1]
        expected = expected + untrained.at(kelvin).energy_and_forces(frames)[1]
        assert loaded.temperature == kelvin and loaded.density == (30.0, 31.0)
        for other in (plain, loaded, loaded.compiled()):
            np.testing.assert_allclose(other.energy_and_forces(frames)[1], expected, atol=1e-9)
    assert total.temperature == 300.0  # what was made of it left it as it was


def test_beyond_its_temperatures_it_is_refused(untrained):
    with pytest.raises(ValueError, match="expected 250 to 360 K.*found 400 K"):
        untrained.at(400.0)


def test_frames_of_one_temperature_are_refused():
    r = np.linspace(0.3, 0.6, 7)
    with pytest.raises(ValueError, match="several temperatures, found 300 K alone"):
        EnergyEntropy.for_frames(pairs(r, r), cutoff=1.0)
