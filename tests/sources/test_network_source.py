"""An all-atom NNP of a liquid from a file of labels: learned, run, kept in its range."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from cgrec import Frames, System
from cgrec.dynamics import Langevin
from cgrec.potential import PairStiffness, Potential
from cgrec.sources import NetworkSource
from cgrec.sources.network import number_density, replicated, without_net_force
from cgrec.training import ForceMatching

BOX = 1.3


def labels(n_frames=30, seed=0):
    """Soft diatomics in a box: harmonic bonds alone have forces and energies, plus a net force that
    does not belong.
    """
    rng = np.random.default_rng(seed)
    n = 12
    bonds = np.arange(2 * n).reshape(n, 2)
    system = System(
        names=("O", "H") * n, masses=np.array([16.0, 1.0] * n), elements=("O", "H") * n, bonds=bonds
    )
    centres = (
        np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)[:n] * BOX / 3
    )
    first = centres + rng.normal(scale=0.02, size=(n_frames, n, 3))
    turn = rng.normal(size=(n_frames, n, 3))
    length = 0.1 + rng.normal(scale=0.004, size=(n_frames, n, 1))
    arm = turn / np.linalg.norm(turn, axis=-1, keepdims=True)
    positions = np.stack([first, first + length * arm], 2).reshape(n_frames, -1, 3)
    pull = 1e5 * (length - 0.1) * arm
    forces = np.stack([pull, -pull], 2).reshape(n_frames, -1, 3) + rng.normal(size=(n_frames, 1, 3))
    energies = 0.5e5 * ((length - 0.1) ** 2).sum((1, 2))
    return Frames(system, positions, 300.0, forces=forces, energies=energies, box=BOX * np.eye(3))


@pytest.fixture
def source(tmp_path):
    labels().save(tmp_path / "labels")
    return lambda **options: NetworkSource(
        **{
            "temperature": 300,
            "labels": {"path": tmp_path / "labels"},
            "members": 2,
            "network": {"cutoff": 0.3, "channels": 8, "width": 8, "l_max": 1},
            "training": ForceMatching(steps=40, batch_size=4, validate_every=20, compile=False),
            "dynamics": Langevin(
                n_replicas=2,
                length=0.02,
                save_every=0.005,
                equilibration=0.0,
                timestep=0.0005,
                compile=False,
            ),
            **options,
        }
    )


@pytest.mark.slow
def test_learns_runs_and_says_what_it_knows(source, tmp_path):
    made = source(margin=1e6)
    frames = made.make(tmp_path / "level0", 1)
    about = json.loads((tmp_path / "level0" / "learning" / "about.json").read_text())
    assert len(frames) == 8 and frames.system.bonds.shape == (12, 2)
    assert about["n_training"] == 26 and about["n_held_out"] == 4 and len(about["force_rmse"]) == 2
    assert about["density"] == pytest.approx(24 / BOX**3) and about["spread"] > 0
    # What was learned serves another run, of more molecules.
    larger = source(
        labels=None, potential=str(tmp_path / "level0" / "learning"), copies=2, margin=1e6
    )
    assert larger.make(tmp_path / "larger", 1).n_sites == 8 * 24


@pytest.mark.slow
def test_a_replica_the_committee_disagrees_on_is_stopped(source, tmp_path):
    with pytest.raises(ValueError, match="left the region the potential was trained on"):
        source(margin=1e-9).make(tmp_path / "level0", 1)


@pytest.mark.parametrize(
    "options, what",
    [({"temperature": 400}, "400.0 K"), ({"labels": None}, "either labels.*found neither")],
)
def test_refused(source, tmp_path, options, what):
    with pytest.raises(ValueError, match=what):
        source(**options).make(tmp_path / "level0", 1)


def test_another_density_is_refused(source):
    frames = labels()
    about = {"density": number_density(frames), "temperature": 300.0}
    source().check_range(frames, about)
    with pytest.raises(ValueError, match="atoms/nm"):
        source().check_range(replace(frames, box=1.05 * np.asarray(frames.box)), about)


def test_replicas_of_a_box():
    frames = labels(2)
    many = replicated(frames, 2)
    assert many.n_sites == 8 * frames.n_sites and number_density(many) == pytest.approx(
        number_density(frames)
    )
    assert np.unique(many.system.residues).size == 8 * np.unique(frames.system.residues).size
    lengths = np.linalg.norm(np.diff(many.positions[:, many.system.bonds], axis=2), axis=-1)
    assert lengths.max() < 0.12


def test_net_force_is_taken_out():
    assert np.abs(without_net_force(labels()).forces.sum(1)).max() < 1e-9


def test_another_network_is_made_by_its_maker(source, tmp_path):
    made = source(network=partial(PairStiffness.for_frames), members=2)
    made.learn(tmp_path / "learning", 1)
    committee = Potential.load(tmp_path / "learning" / "committee.pt")
    assert all(isinstance(member.parts[-1], PairStiffness) for member in committee.members)
    assert "PairStiffness" in json.dumps(made.stages(1))
