"""Frames of a level for other programs: `cgrec export xtc` and its kin."""

import MDAnalysis
import mdtraj
import numpy as np
import pytest
from contracts import random_frames

from cgrec import commands
from cgrec.export import EXPORTERS
from cgrec.export.trajectories import TRAJECTORIES


def test_the_list_that_help_shows_is_that_of_the_exporters():
    assert set(commands._OWN_EXPORTERS) == set(EXPORTERS)


def test_every_second_frame(tmp_path):
    frames = random_frames(7)
    path = TRAJECTORIES["xtc"](None, frames, tmp_path / "a.xtc", every=2)
    found = mdtraj.load(str(path), top=str(path.with_suffix(".pdb")))
    np.testing.assert_allclose(found.xyz, frames.positions[::2], atol=1e-3)
    assert found.topology.n_bonds == len(frames.system.bonds)


def test_a_weighted_sample_is_drawn_from_unless_asked_for(tmp_path):
    """Frame k weighs k: 0, 1, 2, ... of 21 in all."""
    frames = random_frames(7, weights=np.arange(7.0))
    path = TRAJECTORIES["npz"](None, frames, tmp_path / "a.npz")
    drawn = np.load(path)
    near = np.abs(drawn["positions"][:, None] - frames.positions).max((2, 3)).argmin(1)
    counts = np.bincount(near, minlength=7)
    assert np.abs(counts - 7 * frames.normalised_weights()).max() < 1  # systematic resampling
    assert "weights" not in drawn
    kept = np.load(TRAJECTORIES["npz"](None, frames, tmp_path / "b.npz", weighted=True))
    np.testing.assert_array_equal(kept["weights"], frames.weights)


def test_an_ending_is_added_and_another_one_refused(tmp_path):
    assert TRAJECTORIES["pdb"](None, random_frames(), tmp_path / "a").name == "a.pdb"
    with pytest.raises(ValueError, match=r"ending \.pdb, found .*cgrec export xtc writes that"):
        TRAJECTORIES["pdb"](None, random_frames(), tmp_path / "a.xtc")


def test_every_is_one_or_more(tmp_path):
    with pytest.raises(ValueError, match="every= 1 or more, found 0"):
        TRAJECTORIES["xtc"](None, random_frames(), tmp_path / "a.xtc", every=0)


@pytest.mark.filterwarnings("ignore:DCDReader:DeprecationWarning")
@pytest.mark.parametrize("ending", ["xtc", "trr", "dcd", "h5md"])
@pytest.mark.parametrize("interval, wanted", [(None, 2.0), (0.25, 0.5)])
def test_frames_have_their_times(tmp_path, ending, interval, wanted):
    """As MDAnalysis reads them; every second frame lies twice the interval apart."""
    path = TRAJECTORIES[ending](
        None, random_frames(7), tmp_path / f"a.{ending}", every=2, interval=interval
    )
    universe = MDAnalysis.Universe(str(path.with_suffix(".pdb")), str(path))
    times = [step.time for step in universe.trajectory]
    np.testing.assert_allclose(times, wanted * np.arange(4), atol=1e-5)


def test_an_interval_is_positive(tmp_path):
    with pytest.raises(ValueError, match=r"interval: expected more than 0, found -1"):
        TRAJECTORIES["xtc"](None, random_frames(), tmp_path / "a.xtc", interval=-1.0)
