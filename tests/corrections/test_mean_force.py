"""Mean forces from runs with the kept sites held, against those of a harmonic system, which are
known.
"""

import numpy as np
import pytest
import torch

from cgrec import Frames, Level, System
from cgrec.chain.foresight import foresee
from cgrec.corrections import MeanForces
from cgrec.dynamics import Langevin, mean_force_labels
from cgrec.level import LevelRecipe
from cgrec.mapping import Mapping, Pick
from cgrec.potential import PairStiffness
from cgrec.training import ForceMatching
from cgrec.units import thermal_energy

N = 5
SYSTEM = System(names=tuple(f"S{k}" for k in range(N)), masses=np.full(N, 20.0))

LONG = {"length": 20, "save_every": 0.05, "timestep": 0.004, "equilibration": 2}


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


def pmf(potential):
    """(2, 2): the same of the PMF of S0 and S2."""
    k = hessian(potential)
    kept, rest = [0, 2], [1, 3, 4]
    return k[np.ix_(kept, kept)] - k[np.ix_(kept, rest)] @ np.linalg.solve(
        k[np.ix_(rest, rest)], k[np.ix_(rest, kept)]
    )


@pytest.mark.slow
def test_mean_forces_of_a_harmonic_system(springs, starts, tmp_path):
    mapping = Pick(["S0", "S2"])(SYSTEM)
    found = mean_force_labels(
        springs,
        starts,
        mapping,
        tmp_path / "run",
        **LONG,
    )
    reduced = pmf(springs)
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
        in_order(found.positions), in_order(starts.positions[:, [0, 2]]), atol=1e-6
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


@pytest.mark.slow
def test_centres_that_are_held_stay_and_have_their_mean_forces(springs, starts, tmp_path):
    """Two centres with weights that are not the masses of the run; the PMF of a linear combination
    of harmonic sites is known: the inverse of M Sigma M^T.
    """
    weights = np.array([[0.2, 0.8, 0, 0, 0], [0, 0, 0.5, 0, 0.5]])
    mapping = Mapping(
        SYSTEM,
        System(names=("A", "B"), masses=[40.0, 40.0]),
        position_weights=weights,
        force_weights=np.linalg.solve(weights @ weights.T, weights),
    )
    found = mean_force_labels(
        springs,
        starts,
        mapping,
        tmp_path / "run",
        **LONG,
        minimum_mass=30.0,
    )
    free = Frames.load(tmp_path / "run")
    centres = mapping(free).positions
    for r in range(40):
        assert np.ptp(centres[free.replicas == r], axis=0).max() < 1e-7  # float32
    k = hessian(springs)
    system = np.block([[k, weights.T], [weights, np.zeros((2, 2))]])
    reduced = -np.linalg.inv(system)[N:, N:]  # of the lowest energy with these centres
    exact = -np.einsum("ij,fjx->fix", reduced, found.positions)
    noise = np.std(found.forces - exact)
    assert noise < 0.1 * np.std(exact)
    assert np.abs((found.forces - exact).mean((0, 1))).max() < 5 * noise / np.sqrt(80)


@pytest.mark.slow
def test_held_centres_leave_the_rest_its_temperature(springs, starts, tmp_path):
    groups = [{"S0": 0.3, "S1": 0.7}, {"S2": 0.5, "S3": 0.5}]
    engine = Langevin(n_replicas=40, length=20, save_every=0.1, timestep=0.004, held_centres=groups)
    frames, report = engine(springs, starts, tmp_path / "run")
    assert report.kinetic_temperature[0] == pytest.approx(
        300, abs=4 * report.kinetic_temperature[1]
    )
    # of what may move: S0 and S1, S2 and S3 against each other, and S4
    free = np.array([[1, -3 / 7, 0, 0, 0], [0, 0, 1, -1, 0], [0, 0, 0, 0, 1]])
    stiffness = free @ hessian(springs) @ free.T
    along = frames.positions[:, [0, 2, 4]]
    start = frames.replicas
    own = np.concatenate([along[start == r] - along[start == r].mean(0) for r in range(40)])
    covariance = thermal_energy(300.0) * np.linalg.inv(stiffness)
    np.testing.assert_allclose(own.var(0).mean(1), np.diag(covariance), rtol=0.1)


@pytest.mark.parametrize(
    "given", [{"held": ["S0"]}, {"held_centres": [{"S0": 1.0, "S1": 1.0}, {"S1": 1.0, "S2": 1.0}]}]
)
def test_a_site_is_held_once(springs, starts, tmp_path, given):
    groups = {"held_centres": [{"S0": 0.5, "S1": 0.5}], **given}
    with pytest.raises(ValueError, match="found MOL:S. twice|found .*S. twice"):
        Langevin(n_replicas=2, length=1, **groups)(springs, starts, tmp_path / "run")


KEPT = Pick(["S0", "S2"])
SHORT = {"length": 10, "save_every": 0.05, "equilibration": 2, "friction": 5, "minimum_mass": 0}


@pytest.fixture
def parent(starts):
    """Starts with weights and forces that no fit would learn anything from."""
    rng = np.random.default_rng(1)
    return Frames(
        SYSTEM,
        starts.positions,
        300.0,
        forces=rng.normal(scale=1e3, size=starts.positions.shape),
        weights=rng.uniform(0.5, 1.5, size=len(starts)),
    )


@pytest.mark.slow
def test_labels_keep_the_order_and_the_weights_of_their_frames(springs, parent, tmp_path):
    mapping = KEPT(SYSTEM)
    targets = mapping(parent)
    found = MeanForces(**SHORT, portion=15)(springs, parent, mapping, targets, tmp_path)
    assert sorted(p.name for p in tmp_path.glob("*_?")) == ["portion_0", "portion_1", "portion_2"]
    np.testing.assert_array_equal(found.positions, targets.positions)
    np.testing.assert_array_equal(found.weights, targets.weights)
    exact = -np.einsum("ij,fjx->fix", pmf(springs), targets.positions)
    noise = np.std(found.forces - exact)
    assert noise < 0.3 * np.std(exact)  # frames in another order would have sqrt(2)
    few = MeanForces(**SHORT, most=4)(springs, parent, mapping, targets, tmp_path / "few")
    np.testing.assert_array_equal(few.positions, targets.positions[[0, 13, 26, 39]])


@pytest.mark.slow
def test_killed_between_portions_it_goes_on_to_the_same_labels(
    springs, parent, tmp_path, monkeypatch
):
    mapping = KEPT(SYSTEM)
    labels = MeanForces(**SHORT, portion=15)
    whole = labels(springs, parent, mapping, mapping(parent), tmp_path / "whole")
    save = Frames.save

    def stop(frames, folder, beside=None):
        if folder.name == "portion_1":
            raise KeyboardInterrupt
        return save(frames, folder, beside)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Frames, "save", stop)
        labels(springs, parent, mapping, mapping(parent), tmp_path / "killed")
    after = labels(springs, parent, mapping, mapping(parent), tmp_path / "killed")
    np.testing.assert_array_equal(after.forces, whole.forces)


def recipe(mapping=KEPT, **given):
    return LevelRecipe(
        mapping,
        lambda frames, seed: PairStiffness(types=sorted(frames.system.types), n_sites=2),
        ForceMatching(steps=800, batch_size=20, learning_rate=50.0, precision="float64"),
        Langevin(n_replicas=20, length=2, timestep=0.004),
        **given,
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::cgrec.remarks.Remark")
def test_a_level_is_fitted_to_its_mean_forces(springs, parent, tmp_path):
    level = Level(tmp_path / "level1", "l1")
    level.make(parent, recipe(mean_forces=MeanForces(**SHORT)), 1, model=lambda: springs)
    found = Frames.load(level.folder / "mean_forces")
    np.testing.assert_array_equal(found.positions, level.targets.positions)
    assert not (level.folder / "labelling").exists()
    exact = -np.einsum("ij,fjx->fix", pmf(springs), level.targets.positions)
    learned = level.potential.energy_and_forces(level.targets)[1]
    assert np.std(learned - exact) < 0.1 * np.std(exact)


@pytest.mark.filterwarnings("ignore::cgrec.remarks.Remark")
def test_mean_forces_that_cannot_be_made_are_refused(springs, parent, tmp_path):
    asked = recipe(mean_forces=MeanForces(**SHORT))
    with pytest.raises(ValueError, match="levels.l1.mean_forces.*leave mean_forces out"):
        Level(tmp_path / "level1", "l1").make(parent, asked, 1, model=lambda: None)

    def shared(system):
        weights = np.array([[0.5, 0.5, 0, 0, 0], [0, 0.5, 0.5, 0, 0]])
        return Mapping(
            system,
            System(names=("A", "B"), masses=[40.0, 40.0]),
            position_weights=weights,
            force_weights=np.linalg.pinv(weights).T,
        )

    with pytest.raises(ValueError, match="levels.l1.mapping.*in several"):
        foresee(SYSTEM, {"l1": recipe(shared, mean_forces=MeanForces())})
    with pytest.raises(ValueError, match="MeanForces.length: expected more than 0"):
        MeanForces(length=0)
    with pytest.raises(ValueError, match="save_every of at most length"):
        MeanForces(length=0.1, save_every=0.2)
