"""Frames that are kept as they were made: every replica's own box, weights that survive a kill,
arrays that are compared.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from contracts import random_frames
from samples import dimer

from cgrec import Frames, System
from cgrec.dynamics import AllLost, BiasPlan, Langevin
from cgrec.dynamics.store import FrameStore
from cgrec.potential import ExcludedVolume, HarmonicPrior
from cgrec.run.checkpoints import load_state, save_state
from cgrec.run.digests import Changed
from cgrec.run.recipes import OtherRecipe

T = 300.0
QUICK = {
    "n_replicas": 4,
    "length": 0.4,
    "save_every": 0.05,
    "equilibration": 0.05,
    "timestep": 0.005,
    "compile": False,
}


def gas(n_frames=12, n=12, seed=0):
    """Free sites all over boxes of another edge in every frame, as a run at constant pressure has
    them.
    """
    rng = np.random.default_rng(seed)
    edges = np.linspace(0.9, 1.3, n_frames)
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)[:n] / 3
    positions = (grid + rng.normal(scale=0.01, size=(n_frames, n, 3))) * edges[:, None, None]
    system = System(names=("A",) * n, masses=np.full(n, 12.0))
    return Frames(system, positions, T, box=edges[:, None, None] * np.eye(3))


@pytest.fixture(scope="module")
def at_constant_pressure(tmp_path_factory):
    parent = gas()
    wall = ExcludedVolume.fit(parent, ["A"], 0.4)
    return (
        parent,
        wall,
        Langevin(**QUICK)(wall, parent, tmp_path_factory.mktemp("npt") / "f", seed=3)[0],
    )


def test_every_replica_keeps_the_box_it_started_in(at_constant_pressure):
    parent, wall, frames = at_constant_pressure
    assert frames.box.shape == (len(frames), 3, 3)
    own = [np.unique(frames.box[frames.replicas == k, 0, 0]) for k in range(4)]
    assert all(len(edge) == 1 for edge in own) and len({float(e[0]) for e in own}) == 4
    assert {float(e[0]) for e in own} <= {float(b[0, 0]) for b in parent.box}


def test_forces_of_the_stored_box_are_the_stored_forces(at_constant_pressure):
    _, wall, frames = at_constant_pressure
    wanted = wall.energy_and_forces(frames)[1]
    assert np.abs(wanted).max() > 1
    np.testing.assert_allclose(frames.forces, wanted, atol=2e-3 * np.abs(wanted).max())
    foreign = replace(frames, box=frames.box[0])  # what an earlier version stored
    assert (
        np.abs(wall.energy_and_forces(foreign)[1] - frames.forces).max()
        > 0.1 * np.abs(wanted).max()
    )


def test_one_box_is_stored_once(tmp_path):
    parent = gas(1)
    wall = ExcludedVolume.fit(parent, ["A"], 0.4)
    frames, _ = Langevin(**QUICK)(wall, replace(parent, box=parent.box[0]), tmp_path / "f")
    assert frames.box.shape == (3, 3)


def biased(folder, length=0.4, **options):
    potential = HarmonicPrior.fit(random_frames(300), ["A", "B", "C"], 2)
    plan = BiasPlan(variables={"a": ["S0", "S1", "S2", "S3"]}, growth=0.2, height=2.0)
    settings = {
        **QUICK,
        "timestep": 0.002,
        "length": length,
        "bias": plan,
        "checkpoint_every": 3,
        **options,
    }
    return Langevin(**settings)(potential, random_frames(10), folder, seed=1)[0]


@pytest.mark.parametrize(
    "where", ["weights.npy", "box.npy", "system.json", "frames.json", "simulation.json", "bias.pt"]
)
def test_a_kill_while_the_folder_is_closed_changes_nothing(tmp_path, monkeypatch, where):
    """The weights were normalised in place: half of them twice after a kill, wrong by a factor of
    2.7.
    """
    whole = biased(tmp_path / "whole")
    import cgrec.files

    real = cgrec.files.write_whole_as

    def killed(path, write):
        real(path, write)
        if path.name == f"{where}.partial":  # whole, and not renamed
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cgrec.files, "write_whole_as", killed)
        if where == "box.npy":  # an open system has none: killed while positions are cut instead
            patch.setattr(FrameStore, "close", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            biased(tmp_path / "killed")
    assert not (tmp_path / "killed").exists()
    resumed = biased(tmp_path / "killed")
    for name in ("positions", "forces", "weights", "replicas"):
        np.testing.assert_array_equal(getattr(resumed, name), getattr(whole, name))
    assert json.loads((tmp_path / "killed/simulation.json").read_text())["frames"] == len(whole)


def test_a_run_made_longer_equals_a_long_run(tmp_path):
    biased(tmp_path / "a")
    longer = biased(tmp_path / "a", 0.8)
    whole = biased(tmp_path / "b", 0.8)
    for name in ("positions", "forces", "weights", "replicas"):
        np.testing.assert_array_equal(getattr(longer, name), getattr(whole, name))
    with pytest.raises(FileExistsError):
        biased(tmp_path / "a", 0.8)


@pytest.fixture
def at_work(tmp_path, monkeypatch):
    """The folder of a run of 0.8 ps that was killed after the checkpoint of its sixth frame."""
    from cgrec.dynamics.run import Run

    real = Run.checkpoint

    def killed(run):
        real(run)
        if run.replicas.step >= 6 * run.schedule.stride + run.schedule.first_step:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Run, "checkpoint", killed)
        biased(tmp_path / "killed", 0.8)
    return tmp_path / "killed"


@pytest.mark.parametrize("length", [0.4, 1.2])
def test_a_run_at_work_takes_another_end(at_work, tmp_path, length):
    """The space of a longer one was that of the shorter, and its last frames had none."""
    moved, whole = biased(at_work, length), biased(tmp_path / "whole", length)
    for name in ("positions", "forces", "weights", "replicas"):
        np.testing.assert_array_equal(getattr(moved, name), getattr(whole, name))


def test_a_run_at_work_refuses_an_end_it_has_passed(at_work):
    with pytest.raises(
        OtherRecipe, match=r"is at 0\.(4|35|3) ps .* end at 0\.1: give a length of 0"
    ):
        biased(at_work, 0.1)
    assert len(biased(at_work, 0.4)) == 32


def test_how_often_checkpoints_are_written_changes_no_bit(tmp_path):
    parent = gas()
    wall = ExcludedVolume.fit(parent, ["A"], 0.4)
    a, b = (
        Langevin(**QUICK, checkpoint_every=n)(wall, parent, tmp_path / str(n), seed=3)[0]
        for n in (1, 1000)
    )
    np.testing.assert_array_equal(a.positions, b.positions)


@pytest.mark.parametrize(
    "what", ["positions.npy", "forces.npy", "raw_weights.npy", "checkpoint.pt"]
)
@pytest.mark.parametrize("how", ["flip", "cut", "remove"])
def test_a_half_finished_run_that_was_damaged_is_named(tmp_path, monkeypatch, what, how):
    from cgrec.dynamics.run import Run

    real, count = Run.stretch, []

    def stretch(self, bar):
        count.append(1)
        if len(count) == 12:
            raise KeyboardInterrupt
        real(self, bar)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Run, "stretch", stretch)
        biased(tmp_path / "f")
    damage(tmp_path / "f.partial" / what, how)
    # nothing says that there was one: the run begins anew, and is equal
    if (what, how) == ("checkpoint.pt", "remove"):
        np.testing.assert_array_equal(
            biased(tmp_path / "f").positions, biased(tmp_path / "g").positions
        )
        return
    with pytest.raises(Changed, match=f"{what} is not .* remove .* run the same command again"):
        biased(tmp_path / "f")


@pytest.mark.parametrize("how", ["flip", "cut", "remove"])
def test_finished_frames_that_were_damaged_are_named(tmp_path, how):
    random_frames(5, weights=np.ones(5), replicas=np.arange(5)).save(tmp_path / "whole")
    names = [p.name for p in (tmp_path / "whole").iterdir()]
    for k, name in enumerate(names):
        folder = random_frames(5, weights=np.ones(5), replicas=np.arange(5)).save(tmp_path / str(k))
        damage(folder / name, how)
        with pytest.raises((ValueError, FileNotFoundError), match=name):
            Frames.load(folder)


def test_an_array_that_was_added_is_named(tmp_path):
    folder = random_frames(5).save(tmp_path / "f")
    np.save(folder / "weights.npy", np.ones(5))
    with pytest.raises(Changed, match=r"weights\.npy was not made with these frames"):
        Frames.load(folder)


def test_a_checkpoint_knows_whether_it_was_changed(tmp_path):
    path = tmp_path / "c.pt"
    save_state(path, {"step": 3})
    assert load_state(path) == {"step": 3}
    content = path.read_bytes()
    for place in range(0, len(content), 37):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(Changed, match="c.pt is not the checkpoint"):
            load_state(path)


def test_a_run_that_lost_all_replicas_half_way_is_no_ensemble(tmp_path):
    potential, start = dimer(-2000.0)
    settings = {
        **QUICK,
        "length": 10.0,
        "equilibration": 0.0,
        "save_every": 0.04,
        "timestep": 0.004,
    }
    for _ in range(2):  # the second call finds the run finished, and says the same
        with pytest.raises(
            AllLost, match="all 4 replicas were lost before the end.* frames are kept"
        ):
            Langevin(**settings)(potential, start, tmp_path / "f")
            Langevin(**settings).judged(tmp_path / "f")
    frames, report = Langevin(**settings, use_lost=True).judged(tmp_path / "f")
    assert len(report.lost) == 4 and report.frames == len(frames)


def damage(path, how):
    """One flipped bit, the second half cut off, or gone."""
    if how == "remove":
        path.unlink()
        return
    content = path.read_bytes()
    place = len(content) // 2
    path.write_bytes(
        content[:place]
        if how == "cut"
        else content[:place] + bytes([content[place] ^ 64]) + content[place + 1 :]
    )
