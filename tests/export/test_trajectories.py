"""Frames of a level for other programs: `cgrec export xtc` and its kin."""

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
