"""Mean forces from runs with the kept sites held, against those of a harmonic system, which are
known.
"""

import numpy as np
import pytest
import torch

from cgrec import Frames, System
from cgrec.dynamics import Langevin, mean_force_labels
from cgrec.mapping import CentresOfMass, Pick
from cgrec.potential import PairStiffness
from cgrec.units import thermal_energy

N = 5
SYSTEM = System(names=tuple(f"S{k}" for k in range(N)), masses=np.full(N, 20.0))


@pytest.fixture
def springs():
    made = PairStiffness(types=sorted(SYSTEM.types), n_sites=N).double()
    made.stiffness.data = torch.linspace(200.0, 900.0, N * (N - 1) // 2, dtype=torch.float64)
    return made


@pytest.fixture
def starts():
    return Frames(SYSTEM, np.random.default_rng(0).normal(scale=0.04, size=(40, N, 3)), 300.0)


def hessian(potential):
    """(N, N): the energy is 1/2 x^T K x in each direction."""
    unit = np.zeros((N, N, 3))
    unit[np.arange(N), np.arange(N), 0] = 1.0
    return -potential.energy_and_forces(Frames(SYSTEM, unit, 300.0))[1][:, :, 0]


def test_mean_forces_of_a_harmonic_system(springs, starts, tmp_path):
    mapping = Pick(["S0", "S2"])(SYSTEM)
    found = mean_force_labels(
        springs,
        starts,
        mapping,
        tmp_path / "run",
        length=20,
        save_every=0.05,
        timestep=0.004,
        equilibration=2,
    )
    k = hessian(springs)
    kept, rest = [0, 2], [1, 3, 4]
    reduced = k[np.ix_(kept, kept)] - k[np.ix_(kept, rest)] @ np.linalg.solve(
        k[np.ix_(rest, rest)], k[np.ix_(rest, kept)]
    )
    exact = -np.einsum("ij,fjx->fix", reduced, found.positions)
    single = mapping(
        Langevin(n_replicas=40, length=4, save_every=1, timestep=0.004)(
            springs, starts, tmp_path / "free"
        )[0]
    )
    # noise of one label
    one = np.std(single.forces + np.einsum("ij,fjx->fix", reduced, single.positions))
    noise = np.std(found.forces - exact)
    assert len(found) == 40 and noise < 0.25 * one
    assert np.abs((found.forces - exact).mean((0, 1))).max() < 5 * noise / np.sqrt(80)
    in_order = lambda x: x[np.argsort(x[:, 0, 0])]  # noqa: E731
    np.testing.assert_allclose(
        in_order(found.positions), in_order(starts.positions[:, kept]), atol=1e-6
    )


def test_held_sites_stay_and_the_others_have_the_temperature(springs, starts, tmp_path):
    frames, report = Langevin(
        n_replicas=40, length=20, save_every=0.1, timestep=0.004, held=["S1"]
    )(springs, starts, tmp_path / "run")
    for r in range(40):
        assert np.ptp(frames.positions[frames.replicas == r, 1], axis=0).max() == 0
    assert report.kinetic_temperature[0] == pytest.approx(
        300, abs=4 * report.kinetic_temperature[1]
    )
    variance = np.var(frames.positions[:, 0] - frames.positions[:, 3], axis=0).mean()
    k = hessian(springs)
    free = [0, 2, 3, 4]
    covariance = thermal_energy(300.0) * np.linalg.inv(k[np.ix_(free, free)])
    assert variance == pytest.approx(
        covariance[0, 0] + covariance[2, 2] - 2 * covariance[0, 2], rel=0.1
    )


def test_centres_are_refused(springs, starts, tmp_path):
    mapping = CentresOfMass({"A": ["S0", "S1"], "B": ["S2"]})(SYSTEM)
    with pytest.raises(ValueError, match="made of 2"):
        mean_force_labels(springs, starts, mapping, tmp_path / "run")
