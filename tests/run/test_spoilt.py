"""A run that cannot be spoilt: locks, signals, digests, recipes, and a few of the crash points and
damages of the benchmarks.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from cgrec import stopping
from cgrec.files import sha256, write_whole
from cgrec.frames import Frames
from cgrec.remarks import remark
from cgrec.run.digests import (
    Changed,
    check_all,
    checked,
    faults,
    keep,
    keep_json,
    keep_remarks,
    made,
    open_record,
    recorded,
    sealed,
    verify,
)
from cgrec.run.lock import Busy, ask_to_stop, busy, holder, only_here
from cgrec.run.recipes import OtherRecipe, described, differences
from cgrec.run.stages import claim, noted
from cgrec.stopping import Stopped, deferred
from cgrec.system import System
from cgrec.training import ForceMatching

BENCHMARKS = Path(__file__).parents[2] / "scripts" / "benchmarks"
PRODUCTS = {"fit": ("potential.pt",), "run": ("frames",)}


def write(text):
    return lambda path: path.write_text(text)


def test_a_product_that_was_changed_or_removed_is_named_with_a_way_out(tmp_path):
    open_record(tmp_path)
    for name in ("a.txt", "b.txt"):
        keep(tmp_path / name, write(name))
    (tmp_path / "a.txt").write_text("b.txt")
    with pytest.raises(
        Changed,
        match=r"a\.txt.*put the original back|a\.txt.*Put the original back, or remove [^ ]*a.txt, "
        r"[^ "
        r"]*b.txt",
    ):
        checked(tmp_path / "a.txt")
    (tmp_path / "a.txt").unlink()
    with pytest.raises(
        Changed,
        match=r"a\.txt was made and is gone: put it back, or remove what was made after it \([^ "
        r"]*b.txt\)",
    ):
        made(tmp_path / "a.txt")
    (tmp_path / "b.txt").unlink()  # the way out
    with pytest.warns(match="a.txt was made and is gone: it is made anew"):
        assert not made(tmp_path / "a.txt")


def test_a_rename_that_was_left_to_do_is_done(tmp_path, monkeypatch):
    open_record(tmp_path)
    keep(tmp_path / "a.txt", write("old"))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", _killed_at("a.txt.partial", Path.replace))
        keep(tmp_path / "a.txt", write("new"))
    assert (tmp_path / "a.txt").read_text() == "old"
    assert made(tmp_path / "a.txt") and (tmp_path / "a.txt").read_text() == "new"


def _killed_at(name, real):
    def replace(self, target):
        if self.name == name:
            raise KeyboardInterrupt
        return real(self, target)

    return replace


def test_the_record_itself_is_sealed(tmp_path):
    open_record(tmp_path)
    keep_json(tmp_path / "a.json", {"a": 1})
    path = tmp_path / "digests.json"
    path.write_text(path.read_text().replace("a.json", "b.json"))
    with pytest.raises(Changed, match=r"digests\.json"):
        recorded(tmp_path)


def test_a_full_disk_says_so_whatever_the_library_calls_it(tmp_path):
    def torch_says(path):
        path.write_text("half")
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")

    with pytest.raises(OSError, match="the disk is full.*make room and run the same command again"):
        write_whole(tmp_path / "a.pt", torch_says)
    assert list(tmp_path.iterdir()) == []


OWNER = """
import sys, time
from cgrec.run.lock import only_here
with only_here(sys.argv[1]):
    print("here", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_told_who_works_here_and_a_dead_one_holds_nothing_up(tmp_path):
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, env=os.environ
    )
    assert owner.stdout.readline() == b"here\n"
    try:
        with (
            pytest.raises(Busy, match=rf"another process works in .*process {owner.pid} on host"),
            only_here(tmp_path),
        ):
            pass
    finally:
        owner.kill()
        owner.communicate()
    assert (tmp_path / ".lock").exists()  # what a killed process leaves
    with only_here(tmp_path), only_here(tmp_path):  # and inside one process it is no hindrance
        pass
    assert not (tmp_path / ".lock").exists()


def test_whoever_holds_the_lock_can_be_asked_to_stop(tmp_path):
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ) as owner:
        assert owner.stdout.readline() == b"here\n"
        assert holder(tmp_path).pid == owner.pid and busy(tmp_path)
        assert ask_to_stop(tmp_path).pid == owner.pid
        assert owner.wait(20) == -signal.SIGTERM
    assert (tmp_path / ".lock").exists() and holder(tmp_path) is None and not busy(tmp_path)
    with only_here(tmp_path):
        assert holder(tmp_path).pid == os.getpid()
        with pytest.raises(ValueError, match="expected another process at work, found this one"):
            ask_to_stop(tmp_path)


def test_a_lock_file_that_names_a_process_without_the_lock_stops_nothing(tmp_path):
    """A killed process leaves the file; its number may be that of another process by now."""
    with subprocess.Popen(["sleep", "60"]) as other:
        about = {"pid": other.pid, "host": socket.gethostname(), "since": "now"}
        (tmp_path / ".lock").write_text(json.dumps(about))
        assert holder(tmp_path) is None and not busy(tmp_path)
        with pytest.raises(ValueError, match="expected a process that works in it, found none"):
            ask_to_stop(tmp_path)
        assert other.poll() is None
        (tmp_path / ".lock").write_text(json.dumps({**about, "host": "elsewhere"}))
        with pytest.raises(ValueError, match=f"found process {other.pid} on elsewhere; stop it"):
            ask_to_stop(tmp_path)
        other.kill()


def test_where_a_file_system_has_no_locks_the_process_must_look_like_cgrec(tmp_path, monkeypatch):
    monkeypatch.setattr("cgrec.run.lock._flock", lambda file, kind: None)
    with subprocess.Popen(["sleep", "60"]) as other:
        about = {"pid": other.pid, "host": socket.gethostname(), "since": "now"}
        (tmp_path / ".lock").write_text(json.dumps(about))
        assert holder(tmp_path).pid == other.pid
        with pytest.raises(ValueError, match="to be a cgrec, found another; stop it by hand"):
            ask_to_stop(tmp_path)
        assert other.poll() is None
        other.kill()


def test_a_look_at_a_lock_does_not_keep_a_process_from_it(tmp_path):
    """Whoever looks has a shared lock for a moment."""
    with only_here(tmp_path):
        pass
    (tmp_path / ".lock").touch()
    looking = os.open(tmp_path / ".lock", os.O_RDONLY)
    fcntl = pytest.importorskip("fcntl")
    fcntl.flock(looking, fcntl.LOCK_SH)
    threading.Timer(0.03, os.close, [looking]).start()
    with only_here(tmp_path):
        assert holder(tmp_path) is not None


def test_what_a_killed_run_left_beside_its_frames_is_removed_and_what_another_process_holds_is_not(
    tmp_path,
):
    (tmp_path / "frames.partial.lock").write_text("{}")
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            OWNER.replace("argv[1])", "argv[1], beside=True)"),
            str(tmp_path / "held"),
        ],
        stdout=subprocess.PIPE,
    )
    assert owner.stdout.readline() == b"here\n"
    try:
        with only_here(tmp_path):
            assert [p.name for p in tmp_path.glob("?*.lock")] == ["held.lock"]
    finally:
        owner.kill()
        owner.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_waits_for_the_checkpoint(number):
    done = []
    with (
        pytest.raises(
            Stopped, match=rf"stopped by {number.name}; two pieces are kept.*same command goes on"
        ) as stop,
        deferred() as request,
    ):
        for piece in range(5):
            if piece == 1:
                os.kill(os.getpid(), number)
            done.append(piece)
            if request.due:
                request.stop("two pieces are kept")
    assert done == [0, 1] and stop.value.exit_code == 128 + number


def test_a_signal_that_is_sent_twice_is_one_and_a_later_one_does_not_wait(monkeypatch):
    """`timeout` sends it to the process and to its group."""
    done = []
    with pytest.raises(Stopped, match="a piece is kept"), deferred() as request:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        done.append(1)
        request.stop("a piece is kept")
    assert done == [1]
    monkeypatch.setattr(stopping, "SAME", 0.0)  # a second is over
    with pytest.raises(Stopped, match="asked twice"), deferred() as request:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        done.append(2)
    assert done == [1]


def test_how_a_thing_is_computed_and_defaults_are_no_other_recipe():
    a = ForceMatching(steps=10)
    b = ForceMatching(steps=10, batch_size=64, compile=False, device="cpu")
    assert differences(described(a), described(b)) == []
    assert differences(described(a), described(ForceMatching(steps=11))) == [("steps", 10, 11)]


def test_a_file_counts_by_its_content(tmp_path, monkeypatch):
    np.save(tmp_path / "t.npy", np.ones(3))
    monkeypatch.chdir(tmp_path)
    spellings = [described({"path": p}) for p in ("t.npy", "./t.npy", str(tmp_path / "t.npy"))]
    assert spellings[0] == spellings[1] == spellings[2] != described({"path": "u.npy"})


def test_stages_may_be_made_by_another_recipe_until_they_have_left_something(tmp_path):
    open_record(tmp_path)
    claim(tmp_path, {"fit": {"steps": 1}, "run": {"length": 1}}, PRODUCTS)
    # a first attempt that left nothing
    claim(tmp_path, {"fit": {"steps": 2}, "run": {"length": 1}}, PRODUCTS)
    keep(tmp_path / "potential.pt", write("p"))
    claim(tmp_path, {"fit": {"steps": 2}, "run": {"length": 3}}, PRODUCTS)  # the run has not begun
    with pytest.raises(
        OtherRecipe,
        match=f"steps=2 and now it is 5: choose another run=FOLDER; or remove {tmp_path} and",
    ):
        claim(tmp_path, {"fit": {"steps": 5}, "run": {"length": 3}}, PRODUCTS)
    with pytest.raises(ValueError), noted(tmp_path):
        raise ValueError("all replicas were lost")
    with pytest.warns(match="made anew with steps=5.*all replicas were lost"):
        claim(tmp_path, {"fit": {"steps": 5}, "run": {"length": 3}}, PRODUCTS)
    assert not (tmp_path / "potential.pt").exists() and list(recorded(tmp_path)) == ["recipe.json"]


def test_a_longer_run_is_refused_while_levels_stand_on_it(tmp_path):
    level, above = tmp_path / "level1", tmp_path / "level2"
    open_record(level)
    above.mkdir()
    keep(level / "frames", write("f"))
    recipe = {"run": {"dynamics": {"length": 0.4}}}
    longer = {"run": {"dynamics": {"length": 0.8}}}
    claim(level, recipe, PRODUCTS)
    with pytest.raises(
        OtherRecipe,
        match="can be made longer, but level2 was made from its frames.*another run=FOLDER; or "
        "remove "
        ".*level2 and",
    ):
        claim(level, longer, PRODUCTS, above=[above])
    above.rmdir()
    claim(level, longer, PRODUCTS, above=[above])
    with pytest.raises(OtherRecipe, match="length=0.8 and now it is 0.4"):
        claim(level, recipe, PRODUCTS)


@pytest.mark.parametrize("kind", ["level", "corrected", "another engine"])
def test_a_run_at_work_may_end_elsewhere_until_something_is_made_of_it(tmp_path, kind):
    """Who stops a long run wants what is there: a shorter length was refused."""
    open_record(tmp_path)
    products = {"run": ("unrefined", "frames", "sampling")}
    place = tmp_path / ("sampling" if kind == "another engine" else "frames.partial")
    place.mkdir()
    (place / "checkpoint.pt").write_text("half")
    if kind == "corrected":
        (tmp_path / "unrefined").mkdir()
        (tmp_path / "unrefined" / "positions.npy").write_text("whole")
    recipe = [
        {"run": {"n_frames": n} if kind == "another engine" else {"dynamics": {"length": n}}}
        for n in (8, 4)
    ]
    claim(tmp_path, recipe[0], products)
    if kind == "corrected":
        with pytest.raises(OtherRecipe, match="length=8 and now it is 4"):
            claim(tmp_path, recipe[1], products)
        return
    claim(tmp_path, recipe[1], products)
    with pytest.raises(OtherRecipe, match="timestep"):
        claim(tmp_path, {"run": {**recipe[1]["run"], "timestep": 2}}, products)
    assert (place / "checkpoint.pt").exists()


def test_a_run_that_was_being_made_longer_is_refused_while_levels_stand_on_the_shorter(tmp_path):
    """What it left beside the frames was taken for a run at work, and they were replaced."""
    level, above = tmp_path / "level0", tmp_path / "level1"
    open_record(level)
    above.mkdir()
    keep(level / "frames", write("f"))
    (level / "frames.partial").mkdir()
    (level / "frames.partial" / "checkpoint.pt").write_text("half")
    claim(level, {"run": {"dynamics": {"length": 0.4}}}, PRODUCTS)
    longer = {"run": {"dynamics": {"length": 0.8}}}
    with pytest.raises(OtherRecipe, match="can be made longer, but level1 was made"):
        claim(level, longer, PRODUCTS, above=[above])
    above.rmdir()
    (level / "report.json").write_text("of the shorter run")
    claim(level, longer, PRODUCTS, above=[above])
    assert not (level / "report.json").exists() and (level / "frames").exists()
    assert (level / "frames.partial" / "checkpoint.pt").exists()


@pytest.fixture
def in_a_new_process(monkeypatch):
    """Calls functions of `scripts/benchmarks` there. They fork, and torch differentiates in no child
    of a process that has differentiated on a device, which the tests of `tests/devices` do.
    """
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield lambda function, *given: pool.submit(function, *given).result()


@pytest.mark.slow
def test_a_few_crash_points(in_a_new_process):
    """All of them: scripts/benchmarks/crash_points.py."""
    import crash_points

    for kind in ("kill", "enospc"):
        outcomes = in_a_new_process(
            crash_points.main,
            ["--commands", "climb", "--every", "150", "--first", "60", "--kind", kind],
        )
        assert set(outcomes["climb"]) <= {"equal", "refused"} and outcomes["climb"]["equal"]


@pytest.mark.slow
def test_a_few_damages(in_a_new_process):
    """All of them: scripts/benchmarks/corruption.py."""
    import corruption

    outcomes = in_a_new_process(
        corruption.main, ["--states", "finished", "--every", "40", "--how", "flip"]
    )
    assert {outcome for _, outcome in outcomes["finished"]} <= {*corruption.GOOD, "named"}


def test_a_long_step_checkpoints_by_wall_time(monkeypatch):
    from cgrec.run.checkpoints import Clock

    clock = Clock()
    assert not clock.due
    monkeypatch.setattr(time, "monotonic", lambda: clock.last + 301.0)
    assert clock.due


def test_a_record_knows_the_folders_inside_and_what_is_in_frames(tmp_path):
    open_record(tmp_path)
    open_record(tmp_path / "direct")
    keep_json(tmp_path / "direct" / "a.json", {"a": 1})
    (tmp_path / "direct" / "a.json").write_text("{}")
    with pytest.raises(Changed, match=r"direct/a\.json: expected the file that was made"):
        verify(tmp_path)
    (tmp_path / "direct" / "digests.json").unlink()
    with pytest.raises(Changed, match=r"direct/digests\.json was made and is gone"):
        check_all(tmp_path)
    frames = Frames(System(["A", "B"], np.ones(2)), np.zeros((2, 2, 3)), 300.0)
    (tmp_path / "direct" / "a.json").unlink()
    frames.save(tmp_path / "frames")
    array = tmp_path / "frames" / "positions.npy"
    array.write_bytes(array.read_bytes()[:-1] + b"\x01")
    assert [fault.file for fault in faults(tmp_path)] == [array]


def test_remarks_are_a_product_and_their_loss_is_a_remark(tmp_path):
    open_record(tmp_path)
    with keep_remarks(tmp_path), pytest.warns(match="look at it"):
        remark("look at it")
    path = tmp_path / "remarks.json"
    assert path.name in recorded(tmp_path)
    path.write_text(path.read_text().replace("look", "lock"))
    with (
        pytest.raises(Changed, match=r"remarks\.json.*or remove [^ ]*remarks\.json and run"),
        keep_remarks(tmp_path),
    ):
        pass
    path.unlink()
    with pytest.warns(match="what was remarked before is lost"), keep_remarks(tmp_path):
        pass
    assert "is lost" in path.read_text()


def test_who_only_reads_leaves_a_rename_to_the_process_that_is_at_it(tmp_path):
    open_record(tmp_path)
    keep(tmp_path / "a.txt", write("old"))
    (tmp_path / "a.txt.partial").write_text("new")
    known = {"a.txt": sha256(tmp_path / "a.txt.partial")}
    (tmp_path / "digests.json").write_text(sealed({"files": known}))
    (tmp_path / ".lock").write_text('{"pid": 1, "host": "another"}')
    verify(tmp_path)
    assert (tmp_path / "a.txt").read_text() == "old"
