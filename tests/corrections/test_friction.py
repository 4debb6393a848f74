"""Friction by site type, and the fit of it to wanted diffusion coefficients."""

import numpy as np
import pytest

from cgrec import Frames, System
from cgrec.dynamics import Langevin, fit_friction
from cgrec.potential import ExcludedVolume
from cgrec.units import thermal_energy

SYSTEM = System(names=("A", "B") * 30, masses=np.array([20.0, 40.0] * 30))
FREE = ExcludedVolume(
    types=["A", "B"], cutoff=0.0, energy=1.0, diameters=np.zeros((2, 2)).tolist(), n_sites=60
)
START = Frames(SYSTEM, np.random.default_rng(0).uniform(0, 9, size=(4, 60, 3)), 300.0)


def dynamics(friction, **options):
    return Langevin(
        **{
            "n_replicas": 16,
            "timestep": 0.05,
            "length": 100,
            "save_every": 0.5,
            "equilibration": 10,
            "friction": friction,
            **options,
        }
    )


def exact(mass, friction):
    """Einstein: kT / (m gamma), nm^2/ps."""
    return thermal_energy(300.0) / (mass * friction)


def test_free_sites_get_the_friction_of_their_diffusion(tmp_path):
    targets = {"A": exact(20, 4.0), "B": exact(40, 1.5)}
    rounds = fit_friction(
        FREE, START, targets, dynamics(2.0), tmp_path, rounds=3, tolerance=0.08, seed=1
    )
    assert rounds[0].friction == {"A": 2.0, "B": 2.0}
    assert rounds[-1].friction["A"] == pytest.approx(4.0, rel=0.15)
    assert rounds[-1].friction["B"] == pytest.approx(1.5, rel=0.15)
    for kind, (value, error) in rounds[-1].diffusion.items():
        assert abs(value - targets[kind]) < max(4 * error, 0.1 * targets[kind])
    again = fit_friction(
        FREE, START, targets, dynamics(2.0), tmp_path, rounds=3, tolerance=0.08, seed=1
    )
    assert again == rounds  # from the runs that are there


def test_a_type_without_friction_is_refused(tmp_path):
    with pytest.raises(ValueError, match="none for .'B'"):
        dynamics({"A": 1.0})(FREE, START, tmp_path / "run")


def test_a_target_for_no_type_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'Q'"):
        fit_friction(FREE, START, {"Q": 1.0}, dynamics(1.0), tmp_path)
