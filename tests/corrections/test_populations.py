"""Populations of dihedrals brought to those of the parent, against distributions known exactly."""

import numpy as np
import pytest

from cgrec import Frames, Potential, System
from cgrec.corrections.populations import refine
from cgrec.potential import HarmonicPrior, half_space
from cgrec.variables import CollectiveVariable

CHAIN = System(
    names=tuple("ABCD"), types=("X",) * 4, masses=[1] * 4, bonds=[(0, 1), (1, 2), (2, 3)]
)
TURN = (CollectiveVariable("turn", ("A", "B", "C", "D")),)


def turned(angles, **more):
    """Frames of a four-site chain with these dihedrals."""
    x = np.zeros((len(angles), 4, 3))
    x[:, 0] = [0.1, 0, -0.05]
    x[:, 2] = [0, 0, 0.15]
    x[:, 3] = np.stack([0.1 * np.cos(angles), 0.1 * np.sin(angles), np.full(len(angles), 0.2)], 1)
    return Frames(CHAIN, x, 300.0, **more)


def test_a_flat_model_gets_the_populations_of_its_target():
    rng = np.random.default_rng(0)
    springs = HarmonicPrior(types=["X"], n_sites=4, sites=[[0, 1]], centre=[0.1], stiffness=[1e4])
    model = turned(rng.uniform(-np.pi, np.pi, 20_000))
    model = Frames(CHAIN, model.positions, 300.0, forces=springs.energy_and_forces(model)[1])
    target = turned(rng.vonmises(0.7, 1.0, 20_000))
    potential, frames = refine(springs, model, target, TURN)
    of_target = np.exp(1j * TURN[0].of(target)).mean()
    of_model = frames.normalised_weights() @ np.exp(1j * TURN[0].of(frames))
    assert abs(of_target) > 0.4 and abs(of_model - of_target) < 0.01
    # von Mises in every bin, not only its first average
    edges = np.linspace(-np.pi, np.pi, 13)
    counts = [
        np.histogram(TURN[0].of(f), edges, weights=f.normalised_weights())[0]
        for f in (frames, target)
    ]
    np.testing.assert_allclose(*counts, atol=0.006)
    np.testing.assert_allclose(potential.energy_and_forces(frames)[1], frames.forces, atol=1e-8)


def test_what_the_target_does_not_know_is_left_alone():
    """Twenty frames cannot ask for more than their own error."""
    rng = np.random.default_rng(1)
    springs = HarmonicPrior(types=["X"], n_sites=4, sites=[[0, 1]], centre=[0.1], stiffness=[1e4])
    model = turned(rng.uniform(-np.pi, np.pi, 5000), forces=np.zeros((5000, 4, 3)))
    _, frames = refine(springs, model, turned(rng.uniform(-np.pi, np.pi, 20)), TURN)
    assert frames.weight_efficiency() > 0.5


def test_a_refined_potential_is_saved_with_its_series(tmp_path):
    rng = np.random.default_rng(2)
    springs = HarmonicPrior(types=["X"], n_sites=4, sites=[[0, 1]], centre=[0.1], stiffness=[1e4])
    model = turned(rng.uniform(-np.pi, np.pi, 500), forces=np.zeros((500, 4, 3)))
    potential, frames = refine(springs, model, turned(rng.vonmises(0, 2, 500)), TURN)
    potential.save(tmp_path / "p.pt")
    again = Potential.load(tmp_path / "p.pt")
    np.testing.assert_array_equal(
        again.energy_and_forces(frames)[0], potential.energy_and_forces(frames)[0]
    )


def test_modes_count_each_wave_once():
    modes = {tuple(v) for v in half_space(2, 2)}
    assert len(modes) == 12 and not any(tuple(-np.array(v)) in modes for v in modes)


def test_only_dihedrals_are_refined():
    with pytest.raises(ValueError, match="dihedrals"):
        refine(None, None, None, (CollectiveVariable("d", ("A", "B")),))
