"""Free energies against quadrature of a double well, and basins of alanine."""

from __future__ import annotations

import numpy as np
import pytest
from samples import DISTANCE, PHI, PSI, backbone_frames, pair_frames

from cgrec.observables import (
    BASINS_ALANINE,
    Grid,
    basins,
    free_energy,
    free_energy_difference,
    histogram,
)


def test_grid_refuses_what_makes_no_histogram():
    with pytest.raises(ValueError, match="one to three"):
        Grid.over((), bins=4)
    with pytest.raises(ValueError, match="give its range"):
        Grid.over((DISTANCE,))
    with pytest.raises(ValueError, match="low < high"):
        Grid.over((DISTANCE,), ranges={"r": (1.0, 0.0)})


def double_well(x):
    return 3 * (x**2 - 1) ** 2 + 0.4 * x  # in kT


def sample_double_well(rng, n):
    x = rng.uniform(-2.2, 2.2, 40 * n)
    return x[rng.random(len(x)) < np.exp(-double_well(x) - 0.5)][:n]


def quadrature(low, high):
    x = np.linspace(low, high, 20_001)
    return np.trapezoid(np.exp(-double_well(x)), x)


def test_free_energy_and_basins_of_a_double_well():
    x = sample_double_well(np.random.default_rng(10), 40_000) + 5
    frames = pair_frames(x)
    grid = Grid.over((DISTANCE,), frames, bins=60)
    surface = free_energy(frames, grid)
    exact = double_well(grid.centres[0] - 5)
    low = surface.values < 3
    residual = (surface.values - exact)[low]
    assert residual.std() < 0.06
    assert np.median(np.abs(residual - residual.mean()) / surface.errors[low]) < 1.5
    assert surface.kilojoules[low] == pytest.approx(surface.values[low] * 2.4943, rel=1e-4)
    found = basins(frames, (DISTANCE,), {"left": {"r": (0, 5)}, "right": {"r": (5, 10)}})
    expected = np.log(quadrature(-2.2, 0) / quadrature(0, 2.2))
    assert found["left"].free_energy == 0.0
    assert found["right"].free_energy == pytest.approx(
        expected, abs=4 * found["right"].free_energy_error
    )
    assert found["left"].population + found["right"].population == pytest.approx(1.0)


def test_weights_turn_a_biased_histogram_into_the_unbiased_one():
    x = np.random.default_rng(11).uniform(-2.2, 2.2, 60_000)
    frames = pair_frames(x + 5, weights=np.exp(-double_well(x)))
    p = histogram(frames, grid := Grid.over((DISTANCE,), frames, bins=20))
    exact = [
        quadrature(a - 5, b - 5) for a, b in zip(grid.edges[0], grid.edges[0][1:])
    ] / quadrature(-2.2, 2.2)
    assert p == pytest.approx(exact, abs=8e-3)
    right = basins(frames, (DISTANCE,), {"l": {"r": (0, 5)}, "r": {"r": (5, 9)}})["r"].free_energy
    assert right == pytest.approx(np.log(quadrature(-2.2, 0) / quadrature(0, 2.2)), abs=0.05)


def test_free_energy_difference_is_zero_within_its_floor():
    rng = np.random.default_rng(12)
    a, b = (pair_frames(sample_double_well(rng, 20_000) + 5) for _ in range(2))
    grid = Grid.over((DISTANCE,), a, b, bins=30)
    one = free_energy(a, grid)
    difference = free_energy_difference(one, free_energy(b, grid), below=3.0)
    assert difference.rms == pytest.approx(difference.floor, rel=0.5)
    assert free_energy_difference(one, one).rms == 0.0
    with pytest.raises(ValueError, match="different grids"):
        free_energy_difference(one, free_energy(b, Grid.over((DISTANCE,), b, bins=31)))


def test_alanine_basins_tile_the_torus():
    phi, psi = (x.ravel() for x in np.meshgrid(*[np.radians(np.arange(-179.5, 180, 1.0))] * 2))
    found = basins(backbone_frames(phi, psi), (PHI, PSI), BASINS_ALANINE, n_blocks=4)
    assert sum(b.population for b in found.values()) == pytest.approx(1.0, abs=1e-9)
    centres = {"alpha_R": (-70, -30), "beta/PII": (-150, 170), "alpha_L": (55, 40)}
    for name, (a, b) in centres.items():
        frames = backbone_frames(np.radians([a, a]), np.radians([b, b]))
        assert basins(frames, (PHI, PSI), BASINS_ALANINE, n_blocks=2)[name].population == 1.0


def test_an_empty_basin_is_infinitely_high_and_named_when_it_is_the_reference():
    frames = pair_frames(np.linspace(0.1, 0.2, 50))
    definitions = {"here": {"r": (0, 1)}, "there": {"r": (1, 2)}}
    assert basins(frames, (DISTANCE,), definitions)["there"].free_energy == np.inf
    with pytest.raises(ValueError, match="'there' holds no frame"):
        basins(frames, (DISTANCE,), definitions, relative_to="there")
    with pytest.raises(KeyError, match="variable 'phi'"):
        basins(frames, (DISTANCE,), BASINS_ALANINE)
