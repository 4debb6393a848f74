"""Every correction: its ensemble is that of its potential, nearer to the parent's than before, and
the same again.
"""

import dataclasses
import json

import numpy as np
import pytest
import torch
from plugin.toy.correction import SameSize

from cgrec import Frames, Potential, System
from cgrec.corrections import PairRefinement, Populations
from cgrec.potential import PairStiffness
from cgrec.roles import Corrected, Correction
from cgrec.units import thermal_energy
from cgrec.variables import CollectiveVariable

T = 300.0
KT = thermal_energy(T)
STIFFNESS = 400.0
CHAIN = System(
    names=tuple("ABCD"), types=("X",) * 4, masses=[12.0] * 4, bonds=[(0, 1), (1, 2), (2, 3)]
)
TURN = CollectiveVariable("turn", ("A", "B", "C", "D"))
BOX = 1.6


def springs():
    """Every pair of the chain on a spring: an ensemble that can be drawn."""
    made = PairStiffness(types=["X"], n_sites=4).double()
    made.stiffness.data[:] = STIFFNESS
    return made


def chains(n, seed, weights_of=None):
    """Frames of the ensemble of `springs`, thinned to other weights where these are given."""
    rng = np.random.default_rng(seed)
    values, vectors = np.linalg.eigh(STIFFNESS * (4 * np.eye(4) - np.ones((4, 4))))
    modes = rng.normal(size=(n, 3, 3)) * np.sqrt(KT / values[1:])[:, None]
    frames = Frames(CHAIN, np.einsum("ik,fkx->fix", vectors[:, 1:], modes), T)
    if weights_of is not None:
        weights = weights_of(frames)
        frames = frames[rng.random(n) < weights / weights.max()]
    return dataclasses.replace(frames, forces=springs().energy_and_forces(frames)[1])


def gas(n, seed, weights_of=None):
    """Two free sites in a box, thinned to other weights where these are given."""
    rng = np.random.default_rng(seed)
    system = System(names=("A", "A"), masses=[12.0, 12.0])
    x = rng.uniform(0, BOX, size=(n, 2, 3))
    frames = Frames(system, x, T, box=BOX * np.eye(3))
    if weights_of is not None:
        weights = weights_of(frames)
        frames = frames[rng.random(n) < weights / weights.max()]
    return dataclasses.replace(frames, forces=np.zeros(frames.positions.shape))


def distance(frames):
    d = np.asarray(frames.positions[:, 1] - frames.positions[:, 0], float)
    return np.linalg.norm(d - BOX * np.round(d / BOX), axis=-1)


def turned(frames):
    return np.cos(TURN.of(frames))


def size(frames):
    x = np.asarray(frames.positions, float)
    return ((x[:, 0] - x[:, 2]) ** 2).sum(-1)


def near(frames):
    return (distance(frames) < 0.45).astype(float)


def free_pair():
    return PairStiffness(types=["A"], n_sites=2).double()


@dataclasses.dataclass
class Case:
    correction: object
    potential: Potential
    run: Frames
    targets: Frames
    measure: object


CASES = {
    "Populations": lambda: Case(
        Populations({"turn": TURN.sites}),
        springs(),
        chains(4000, 0),
        chains(8000, 1, lambda f: np.exp(turned(f))),
        turned,
    ),
    "PairRefinement": lambda: Case(
        PairRefinement(cutoff=0.7, spacing=0.1, rounds=2, efficiency=0.05),
        free_pair(),
        gas(6000, 0),
        gas(16_000, 1, lambda f: 1.0 + 2.0 * near(f)),
        near,
    ),
    "SameSize": lambda: Case(
        SameSize(),
        springs(),
        chains(4000, 0),
        chains(4000, 1, lambda f: np.exp(-20 * size(f))),
        size,
    ),
}


class Again:
    """Runs of the free pair under a potential, by weights; what it was asked for is counted."""

    device = torch.device("cpu")

    def __init__(self, folder):
        self.folder = folder
        self.asked = []

    def __call__(self, potential, name):
        self.asked.append(name)
        return sample(potential, seed=len(self.asked) + 10)


def sample(potential, seed):
    """Unweighted frames of two sites in the box under a potential, by rejection."""
    frames = gas(12_000, seed)
    energy, forces = potential.energy_and_forces(frames)
    chance = np.exp(-(energy - energy.min()) / KT)
    taken = np.random.default_rng(seed).random(len(frames)) < chance
    return dataclasses.replace(frames, forces=forces)[taken]


@pytest.fixture(params=list(CASES), scope="module")
def case(request):
    return CASES[request.param]()


def corrected(case, folder):
    folder.mkdir(exist_ok=True)
    again = Again(folder)
    found = case.correction(case.potential, case.run, case.targets, again)
    return found, again


def mean(frames, measure):
    return float(frames.normalised_weights() @ measure(frames))


def test_it_has_the_role(case):
    assert isinstance(case.correction, Correction)


def test_the_ensemble_comes_nearer_to_that_of_the_parent(case, tmp_path):
    found, _ = corrected(case, tmp_path)
    assert isinstance(found, Corrected)
    frames = sample(found.potential, 5) if found.frames is None else found.frames
    aim = mean(case.targets, case.measure)
    before = abs(mean(case.run, case.measure) - aim)
    assert before > 0 and abs(mean(frames, case.measure) - aim) < 0.3 * before


@pytest.mark.parametrize("name", ["Populations", "SameSize"])
def test_its_frames_are_those_of_its_potential(name, tmp_path):
    case = CASES[name]()
    found, _ = corrected(case, tmp_path)
    assert found.frames.system is case.run.system and found.frames.temperature == T
    energy, forces = found.potential.energy_and_forces(found.frames)
    np.testing.assert_allclose(found.frames.forces, forces, atol=1e-6)
    added = energy - case.potential.energy_and_forces(case.run)[0]
    ratio = found.frames.normalised_weights() / case.run.normalised_weights()
    np.testing.assert_allclose(np.log(ratio) + added / KT, np.log(ratio[0]) + added[0] / KT)


def test_its_potential_is_kept_and_what_it_says_is_json(case, tmp_path):
    found, _ = corrected(case, tmp_path)
    found.potential.save(tmp_path / "refined.pt")
    some = case.run[:20]
    np.testing.assert_array_equal(
        Potential.load(tmp_path / "refined.pt").energy_and_forces(some)[1],
        found.potential.energy_and_forces(some)[1],
    )
    assert json.loads(json.dumps(dict(found.about))) == found.about


def test_the_same_comes_out_again_and_what_went_in_is_unchanged(case, tmp_path):
    inside = np.array(case.run.positions), np.array(case.targets.positions)
    before = {k: v.clone() for k, v in case.potential.state_dict().items()}
    one, _ = corrected(case, tmp_path / "a")
    two, _ = corrected(case, tmp_path / "b")
    some = case.run[:20]
    for k in (0, 1):
        np.testing.assert_array_equal(
            one.potential.energy_and_forces(some)[k], two.potential.energy_and_forces(some)[k]
        )
    np.testing.assert_array_equal(case.run.positions, inside[0])
    np.testing.assert_array_equal(case.targets.positions, inside[1])
    assert all(torch.equal(v, before[k]) for k, v in case.potential.state_dict().items())


class Killed(Exception):
    pass


class Killing(Again):
    def __call__(self, potential, name):
        raise Killed


def test_a_killed_one_goes_on_from_its_products(tmp_path):
    """Killed in the first of its further runs: the same answer, and no product made twice."""
    case = CASES["PairRefinement"]()
    whole, _ = corrected(case, tmp_path / "whole")
    folder = tmp_path / "killed"
    folder.mkdir()
    with pytest.raises(Killed):
        case.correction(case.potential, case.run, case.targets, Killing(folder))
    made = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    assert list(made) == ["correction_1.pt"]
    after, _ = corrected(case, folder)
    assert {name: (folder / name).stat().st_mtime_ns for name in made} == made
    some = case.run[:20]
    np.testing.assert_array_equal(
        after.potential.energy_and_forces(some)[1], whole.potential.energy_and_forces(some)[1]
    )
