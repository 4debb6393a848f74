"""What every Potential must obey. A test class inherits these and gives `potential` and `frames`
fixtures.
"""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from cgrec import Frames, Potential, System


def small_system(n=6):
    """A branched chain with three types."""
    bonds = [(0, 1), (1, 2), (2, 3), (3, 4), (2, 5)][: n - 1]
    return System(
        names=tuple(f"S{i}" for i in range(n)),
        types=tuple("ABC"[i % 3] for i in range(n)),
        masses=np.full(n, 12.0),
        bonds=bonds,
    )


def random_frames(n_frames=5, n=6, seed=0, **fields):
    rng = np.random.default_rng(seed)
    template = np.array(
        [
            [0, 0, 0],
            [0.15, 0, 0],
            [0.22, 0.13, 0],
            [0.37, 0.14, 0.03],
            [0.45, 0.25, 0.1],
            [0.15, 0.25, -0.05],
        ]
    )[:n]
    return Frames(
        small_system(n), template + rng.normal(scale=0.01, size=(n_frames, n, 3)), 300.0, **fields
    )


class PotentialContract:
    @pytest.fixture
    def frames(self):
        return random_frames()

    def moved(self, frames, positions):
        return Frames(frames.system, positions, frames.temperature)

    def test_rotation_and_translation(self, potential, frames):
        turn = Rotation.random(random_state=1).as_matrix()
        energy, force = potential.energy_and_forces(frames)
        other, turned = potential.energy_and_forces(
            self.moved(frames, frames.positions @ turn.T + [1.0, -2.0, 3.0])
        )
        np.testing.assert_allclose(other, energy, rtol=1e-9, atol=1e-8)
        np.testing.assert_allclose(turned, force @ turn.T, rtol=1e-7, atol=1e-6)

    def test_force_is_minus_gradient(self, potential, frames):
        one, h = frames[:1], 1e-5
        force = potential.energy_and_forces(one)[1][0]
        for site, axis in ((0, 0), (2, 1), (5, 2)):
            step = np.zeros_like(one.positions)
            step[0, site, axis] = h
            up, down = (
                potential.energy_and_forces(self.moved(one, one.positions + s * step))[0][0]
                for s in (1, -1)
            )
            assert force[site, axis] == pytest.approx(-(up - down) / (2 * h), rel=1e-4, abs=1e-3)

    def test_no_net_force_or_torque(self, potential, frames):
        force = potential.energy_and_forces(frames)[1]
        size = np.abs(force).max()
        assert np.abs(force.sum(1)).max() <= 1e-10 * size
        assert np.abs(np.cross(frames.positions, force).sum(1)).max() <= 1e-10 * size

    def test_batch_equals_singles(self, potential, frames):
        energy, force = potential.energy_and_forces(frames)
        single = [potential.energy_and_forces(frames[k]) for k in range(len(frames))]
        np.testing.assert_allclose(energy, [e[0] for e, _ in single], atol=1e-9)
        np.testing.assert_allclose(force, [f[0] for _, f in single], atol=1e-7)

    def test_saved_and_loaded(self, potential, frames, tmp_path):
        potential.save(tmp_path / "p.pt")
        np.testing.assert_array_equal(
            Potential.load(tmp_path / "p.pt").energy_and_forces(frames)[1],
            potential.energy_and_forces(frames)[1],
        )

    def test_sum_with_itself_is_twice(self, potential, frames):
        np.testing.assert_allclose(
            (potential + potential).energy_and_forces(frames)[1],
            2 * potential.energy_and_forces(frames)[1],
            rtol=1e-10,
        )

    def test_unknown_type_is_refused(self, potential, frames):
        other = System(names=("Q",) * 6, masses=np.ones(6))
        with pytest.raises(ValueError, match="Q"):
            potential.energy_and_forces(Frames(other, frames.positions, 300.0))


def mirrored(frames):
    return Frames(frames.system, np.asarray(frames.positions) * [1, 1, -1], frames.temperature)


def to_double(potential):
    return potential.to(torch.float64)
