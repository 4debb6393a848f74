"""Files that are whole or not there, and remarks kept beside a result."""

import errno
import os
import stat

import numpy as np
import pytest

from cgrec import Frames, Mapping, System
from cgrec.backmapping.resolvate import _save_draws
from cgrec.files import read_json, sha256, with_nan, write_json, write_whole
from cgrec.io import write
from cgrec.remarks import Remark, kept, remark, remarks_in
from cgrec.run.digests import keep_json


def test_a_failed_write_leaves_the_old_content(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})

    def half(partial):
        partial.write_text('{"a": ')
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError):
        write_whole(path, half)
    assert read_json(path) == {"a": 1}


def test_json_that_was_cut_is_named(tmp_path):
    path = tmp_path / "report.json"
    path.write_text('{"a": ')
    with pytest.raises(ValueError, match=r"report\.json: expected json, found a file of 6 bytes"):
        read_json(path)


def test_json_has_no_nan(tmp_path):
    """Other readers of json refuse NaN and Infinity."""
    given = {"a": [1.0, float("nan")], "b": {"c": np.float64("inf")}, "d": (2, "x")}
    write_json(tmp_path / "a.json", given)
    keep_json(tmp_path / "b.json", given)
    for name in ("a.json", "b.json"):
        assert "NaN" not in (tmp_path / name).read_text()
        found = read_json(tmp_path / name)
        assert found == {"a": [1.0, None], "b": {"c": None}, "d": [2, "x"]}
    assert np.isnan(with_nan(found)["a"][1]) and with_nan(found)["d"] == [2, "x"]


def test_sha256_of_a_known_text(tmp_path):
    (tmp_path / "abc").write_text("abc")
    assert sha256(tmp_path / "abc").startswith("ba7816bf8f01cfea")  # FIPS 180-2, example B.1


def test_remarks_are_shown_and_kept_once(tmp_path):
    path = tmp_path / "remarks.json"
    assert remarks_in(path) == []
    for _ in range(2):  # a second session says the same again
        with pytest.warns(Remark, match="too few frames"), kept(path):
            remark("too few frames")
    with pytest.warns(Remark), kept(path):
        remark("box varies")
    with pytest.warns(Remark):
        remark("outside any block")
    assert remarks_in(path) == ["too few frames", "box varies"]


ATOM = System(names=("C",), masses=[12.0], elements=("C",))
FRAMES = Frames(ATOM, np.zeros((2, 1, 3)), 300.0, box=2 * np.eye(3))
WRITERS = {
    "mapping.npz": Mapping.identity(ATOM).save,
    "draws.npz": lambda path: _save_draws(path, np.zeros((2, 3)), "[]"),
    **{f"a.{kind}": (lambda path: write(FRAMES, path)) for kind in ("npz", "pdb", "xtc", "extxyz")},
}


@pytest.mark.parametrize("name", WRITERS)
def test_what_is_renamed_into_place_is_on_the_disk_before(tmp_path, monkeypatch, name):
    """The file first, then its folder; a full disk leaves nothing behind."""
    forced, fsync = [], os.fsync

    def noted(descriptor):
        forced.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    WRITERS[name](tmp_path / name)
    assert (forced[0], forced[-1]) == ("file", "folder")
    (tmp_path / name).unlink()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="the disk is full.*make room"):
        WRITERS[name](tmp_path / name)
    assert list(tmp_path.iterdir()) == []
