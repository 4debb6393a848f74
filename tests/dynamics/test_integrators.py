"""A time step is linear in a harmonic well, so that what it leads to in the long run is known
exactly.
"""

import numpy as np
import pytest
import torch
from scipy.linalg import solve_discrete_lyapunov

from cgrec.dynamics import Baoab
from cgrec.dynamics.integrators import ReplicaNoise

SPRING = 900.0
MASS = 12.0
KT = 2.5


class Well:
    """One coordinate on a spring."""

    def __init__(self, x, v):
        self.positions = torch.tensor([[[x]]], dtype=torch.float64)
        self.velocities = torch.tensor([[[v]]], dtype=torch.float64)
        self.calls = 0
        self.find_forces()

    def find_forces(self):
        self.calls += 1
        self.total_force = -SPRING * self.positions


def integrator(timestep, friction=3.0, free=None):
    one = torch.ones(1, 1, dtype=torch.float64)
    made = Baoab(timestep, MASS * one, friction * one, free)
    made.heat(KT * one[None])
    return made


def matrices(made):
    """(2, 2) and (2,): (x, v) after a step is the first times (x, v), and the second times noise."""
    columns = []
    for x, v, noise in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)):
        well = Well(x, v)
        made.step(well, torch.full((1, 1, 1), noise, dtype=torch.float64))
        columns.append([well.positions.item(), well.velocities.item()])
    columns = np.array(columns).T
    return columns[:, :2], columns[:, 2]


@pytest.mark.parametrize("timestep", [0.005, 0.02, 0.1])
@pytest.mark.parametrize("friction", [0.5, 20.0])
def test_positions_are_exact_and_whole_velocities_too_cold(timestep, friction):
    """BAOAB gives <x^2> = kT / k at every stable time step; <m v^2> is kT (1 - (omega dt)^2 / 4),
    and that of half a kick later is kT.
    """
    made = integrator(timestep, friction)
    a, b = matrices(made)
    covariance = solve_discrete_lyapunov(a, np.outer(b, b))
    assert covariance[0, 0] == pytest.approx(KT / SPRING, rel=1e-9)
    cold = 1 - SPRING / MASS * timestep**2 / 4
    assert MASS * covariance[1, 1] == pytest.approx(KT * cold, rel=1e-9)
    later = np.array([-0.5 * timestep * SPRING / MASS, 1.0])  # velocity after half a kick
    assert MASS * later @ covariance @ later == pytest.approx(KT, rel=1e-9)


def test_the_kinetic_energy_is_that_of_half_a_kick_later():
    made = integrator(0.02)
    well = Well(0.03, -0.4)
    halfway = -0.4 - 0.5 * 0.02 * SPRING * 0.03 / MASS
    assert float(made.kinetic(well)) == pytest.approx(MASS * halfway**2 / 3)  # of three directions


def test_without_friction_a_step_is_undone_by_turning_round():
    made = integrator(0.02, friction=0.0)
    well = Well(0.03, -0.4)
    noise = torch.randn(1, 1, 1, dtype=torch.float64)
    for _ in range(50):
        made.step(well, noise)
    assert abs(well.positions.item() - 0.03) > 1e-3
    well.velocities *= -1
    for _ in range(50):
        made.step(well, noise)
    assert well.positions.item() == pytest.approx(0.03, abs=1e-12)
    assert well.velocities.item() == pytest.approx(0.4, abs=1e-12)


def test_a_step_calls_for_forces_once():
    well = Well(0.1, 0.0)
    integrator(0.01).step(well, torch.zeros(1, 1, 1, dtype=torch.float64))
    assert well.calls == 2  # and once at its start


def test_what_is_held_stays():
    held = torch.zeros(1, 1, dtype=torch.float64)
    well = Well(0.1, 0.0)
    made = integrator(0.01, free=held)
    well.velocities = made.thermal(torch.ones(1, 1, 1, dtype=torch.float64))
    for _ in range(3):
        made.step(well, torch.ones(1, 1, 1, dtype=torch.float64))
    assert well.positions.item() == 0.1 and well.velocities.item() == 0.0


def test_numbers_of_a_replica_do_not_depend_on_the_others():
    few, many = (ReplicaNoise(3, n, torch.device("cpu")) for n in (2, 5))
    a, b = (noise.draw(4, (6, 3)) for noise in (few, many))
    assert a.shape == (4, 2, 6, 3) and a.dtype == torch.float64
    assert torch.equal(a, b[:, :2])
    known = few.state()
    wanted = few.draw(2, (6, 3))
    assert not torch.equal(wanted[0], a[0])
    few.restore(known)
    assert torch.equal(few.draw(2, (6, 3)), wanted)
    few.renew(step=7)
    assert not torch.equal(few.draw(2, (6, 3)), wanted)
