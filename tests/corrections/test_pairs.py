import numpy as np
import pytest

from cgrec import Frames, Potential, System
from cgrec.corrections.pairs import PairRefinement, correct_pairs, refine
from cgrec.potential import HarmonicPrior, half_space
from cgrec.units import thermal_energy
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
