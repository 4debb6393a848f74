"""Diffusion and friction against Brownian walks and the free Langevin particle."""

from __future__ import annotations

import numpy as np
import pytest

from cgrec.frames import Frames
from cgrec.observables import diffusion, friction_for_diffusion, yeh_hummer
from cgrec.system import System
from cgrec.units import thermal_energy

BOX = 3.0 * np.eye(3)


def walk(rng, d, interval, n_frames, n_sites, n_replicas=1, drift=0.0):
    """Brownian walkers with diffusion coefficient d, nm^2/ps; replicas one after the other."""
    steps = np.sqrt(2 * d * interval) * rng.normal(size=(n_replicas, n_frames, n_sites, 3)) + drift
    x = steps.cumsum(1).reshape(-1, n_sites, 3)
    system = System(names=("W",) * n_sites, masses=np.ones(n_sites))
    return Frames(system, x, 300.0, box=BOX, replicas=np.repeat(np.arange(n_replicas), n_frames))


@pytest.mark.parametrize("n_replicas, n_frames", [(1, 2000), (3, 701), (16, 150)])
def test_diffusion_of_a_brownian_walk(n_replicas, n_frames):
    found = diffusion(
        walk(np.random.default_rng(1), 2.3e-3, 0.5, n_frames, 60, n_replicas), "W", 0.5
    )
    assert abs(found.value - 2.3e-3) < 4 * found.error
    assert found.error < 0.06 * found.value
    assert found.si == pytest.approx((1000 * found.value, 1000 * found.error))
    assert found.exponent == pytest.approx(1.0, abs=0.1)


def test_the_error_of_diffusion_is_that_of_repetitions():
    rng = np.random.default_rng(2)
    runs = [diffusion(walk(rng, 1e-3, 1.0, 400, 10), "W", 1.0, fit=(2.0, 10.0)) for _ in range(60)]
    scatter = np.std([r.value for r in runs], ddof=1)
    assert np.mean([r.error for r in runs]) == pytest.approx(scatter, rel=0.3)
    assert np.mean([r.value for r in runs]) == pytest.approx(1e-3, abs=4 * scatter / 60**0.5)


def test_msd_is_the_mean_over_all_origins_and_replicas_in_any_order():
    frames = walk(np.random.default_rng(3), 1e-3, 1.0, 30, 4, n_replicas=2)
    shuffled = frames[np.arange(60).reshape(2, 30).T.ravel()]  # replicas interleaved
    found = diffusion(shuffled, "W", 1.0, n_blocks=2)
    x = frames.positions.reshape(2, 30, 4, 3)
    direct = [((x[:, lag:] - x[:, : 30 - lag]) ** 2).sum(-1).mean() for lag in range(30)]
    assert found.msd == pytest.approx(np.array(direct), abs=1e-12)
    assert found.times.tolist() == list(range(30))


def test_drift_can_be_taken_out():
    frames = walk(np.random.default_rng(4), 1e-3, 1.0, 1000, 50, drift=0.03)
    assert diffusion(frames, "W", 1.0).exponent > 1.5
    still = diffusion(frames, "W", 1.0, remove_drift=True)
    assert abs(still.value - 1e-3 * (1 - 1 / 50)) < 4 * still.error


def test_straight_flight_is_not_diffusive():
    x = np.arange(40)[:, None, None] * np.array([[0.01, 0.0, 0.0]])
    found = diffusion(Frames(System(names=("A",), masses=[1.0]), x, 300.0), "A", 2.0, n_blocks=2)
    assert found.exponent == pytest.approx(2.0)
    assert found.msd == pytest.approx((0.01 * np.arange(20)) ** 2)


def test_diffusion_refuses_what_it_cannot_use():
    frames = walk(np.random.default_rng(5), 0.02, 1.0, 200, 5)
    wrapped = Frames(frames.system, frames.positions % 3.0, 300.0, box=BOX)
    with pytest.raises(ValueError, match="unwrapped"):
        diffusion(wrapped, "W", 1.0)
    with pytest.raises(ValueError, match="weights"):
        diffusion(
            Frames(frames.system, frames.positions, 300.0, weights=np.arange(200.0)), "W", 1.0
        )
    with pytest.raises(ValueError, match="no site of type"):
        diffusion(frames, "O", 1.0)
    with pytest.raises(ValueError, match="two lags"):
        diffusion(frames, "W", 1.0, fit=(5.0, 50.0))
    with pytest.raises(ValueError, match="at least three frames"):
        diffusion(frames[:8], "W", 1.0)


def test_yeh_hummer_is_for_runs_that_conserve_momentum():
    # water at 298 K, eta = 0.8965 mPa s: k_B T xi / (6 pi eta L) in SI units
    expected = 2.837297 * 1.380649e-23 * 298.0 / (6 * np.pi * 0.8965e-3 * 1.86e-9)
    corrected = yeh_hummer(2.0e-3, 1.86, 0.8965, 298.0, momentum_conserved=True)
    assert (corrected - 2.0e-3) * 1e-6 == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ValueError, match="Langevin"):
        yeh_hummer(2.0e-3, 1.86, 0.8965, 298.0)
    with pytest.raises(ValueError, match="viscosity"):
        yeh_hummer(2.0e-3, 1.86, 0.0, 298.0, momentum_conserved=True)


def free_langevin(rng, gamma, mass, temperature, interval, n_frames, n_sites):
    """Free Langevin particles by the exact joint distribution of velocity and displacement
    (Chandrasekhar 1943).
    """
    kT, decay = thermal_energy(temperature), np.exp(-gamma * interval)
    vv = kT / mass * (1 - decay**2)
    xv = kT / mass / gamma * (1 - decay) ** 2
    xx = kT / mass / gamma**2 * (2 * gamma * interval - 3 + 4 * decay - decay**2)
    draw = np.linalg.cholesky([[vv, xv], [xv, xx]])
    v = np.sqrt(kT / mass) * rng.normal(size=(n_sites, 3))
    x = np.zeros((n_frames, n_sites, 3))
    for t in range(1, n_frames):
        noise = np.tensordot(draw, rng.normal(size=(2, n_sites, 3)), 1)
        x[t] = x[t - 1] + v * (1 - decay) / gamma + noise[1]
        v = decay * v + noise[0]
    return Frames(System(names=("A",) * n_sites, masses=[mass] * n_sites), x, temperature)


def test_friction_of_a_free_particle_is_found_in_one_step():
    rng, mass, interval = np.random.default_rng(6), 18.0, 0.2
    target = thermal_energy(300.0) / (mass * 12.5)
    first = diffusion(
        free_langevin(rng, 4.0, mass, 300.0, interval, 2000, 100), "A", interval, fit=(2.0, 12.0)
    )
    assert abs(first.value - thermal_energy(300.0) / (mass * 4.0)) < 4 * first.error
    gamma = friction_for_diffusion(4.0, first.value, target)
    assert gamma == pytest.approx(12.5, rel=4 * first.error / first.value)
    assert friction_for_diffusion(
        4.0, thermal_energy(300.0) / (mass * 4.0), target
    ) == pytest.approx(12.5)


def test_friction_converges_where_the_liquid_adds_its_own():
    def d(g):
        return 1 / (g + 30.0 + 0.02 * g**1.2)  # not linear in 1/D

    wanted, gamma, before = d(7.0), 40.0, None
    for _ in range(5):
        gamma, before = friction_for_diffusion(gamma, d(gamma), wanted, before), (gamma, d(gamma))
    assert gamma == pytest.approx(7.0, rel=1e-3)
    gamma = 40.0
    for _ in range(60):  # without memory: slower, but there
        gamma = friction_for_diffusion(gamma, d(gamma), wanted)
    assert gamma == pytest.approx(7.0, rel=1e-3)
    # noise that turns the slope round does not turn the step round
    assert friction_for_diffusion(10.0, 2.0, 1.0, (5.0, 1.9)) == pytest.approx(20.0)
    assert friction_for_diffusion(10.0, 2.0, 4.0, (5.0, 1.9)) == pytest.approx(5.0)
    with pytest.raises(ValueError, match="measured"):
        friction_for_diffusion(1.0, -1.0, 1.0)
