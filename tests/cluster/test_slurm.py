"""A climb by jobs on a stand-in for SLURM: a job that dies, a command that is killed, blocks of
replicas. What is left is what one process leaves.
"""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from samples import TINY

from cgrec import Frames
from cgrec.cli import main
from cgrec.commands import _submitted
from cgrec.files import read_json

pytest.importorskip("submitit")
from cgrec.cluster.queue import SlurmQueue  # noqa: E402
from cgrec.cluster.watching import Watch  # noqa: E402

CHAIN = [*TINY[1:], "experiment=gaussian_chain", "~levels.l2", "~levels.l3"]


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch):
    monkeypatch.setattr(SlurmQueue, "every", 0.5)


def numbers(folder):
    """Of the jobs in the book of a run."""
    book = folder / "jobs.json"
    return [job["number"] for job in read_json(book)["jobs"].values()] if book.exists() else []


@pytest.mark.slow
def test_a_climb_by_jobs_leaves_what_one_process_leaves(cluster, tmp_path, monkeypatch, capsys):
    """Level 0, level 1 to its run, two blocks, level 1; the first job is killed by its node, and the
    command by somebody.
    """
    monkeypatch.chdir(tmp_path)
    main(["climb", *CHAIN, "run=alone"])
    (cluster / "doomed").write_text("1")
    words = ["climb", *CHAIN, "run=jobs", "submit=slurm", "slurm.replicas=8"]
    command = subprocess.Popen([sys.executable, "-m", "cgrec", *words], start_new_session=True)
    while "2" not in numbers(tmp_path / "jobs.jobs"):  # again, after the first was killed
        assert command.poll() is None
        time.sleep(0.2)
    os.killpg(command.pid, signal.SIGKILL)
    command.wait()
    main(words)
    # level 0 twice, level 1 to its run, an array of two blocks, level 1
    assert len(list(cluster.glob("*.taken"))) == 5
    for level in ("level0", "level1"):
        one, two = (Frames.load(tmp_path / run / level / "frames") for run in ("alone", "jobs"))
        np.testing.assert_array_equal(one.positions, two.positions)
        np.testing.assert_array_equal(one.replicas, two.replicas)
    assert not numbers(tmp_path / "jobs.jobs")
    assert (tmp_path / "jobs" / "report.html").exists()
    assert "level1_frames_1" in capsys.readouterr().err


@pytest.mark.slow
def test_a_job_whose_time_is_up_goes_on_in_the_next(cluster, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    look = Watch.__call__

    def look_and_warn(watch, tasks):
        look(watch, tasks)
        if (tmp_path / "jobs" / "level1" / "frames.partial").exists():
            (cluster / "2.warned").touch()

    monkeypatch.setattr(Watch, "__call__", look_and_warn)
    longer = "levels.l1.dynamics.length=200"
    main(["climb", *CHAIN, longer, "control=false", "run=jobs", "submit=slurm"])
    assert read_json(tmp_path / "jobs.jobs" / "level1.2.json")["said"] == "stopped"
    said = capsys.readouterr().err
    assert "jobs 3: level1; again, from the checkpoint" in said
    assert "climb stopped: stopped by SIGUSR1; a checkpoint after step" in said
    assert len(list(cluster.glob("*.taken"))) == 3
    assert (tmp_path / "jobs" / "level1" / "report.json").exists()


def test_a_gpu_of_the_jobs_need_not_be_one_of_this_machine(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = []
    monkeypatch.setattr(_submitted._Climb, "make_level", lambda self, k, options: made.append(k))
    words = ["climb", *CHAIN, "run=jobs", "submit=slurm"]
    main([*words, "device=cuda"])
    assert made == [0, 1]
    with pytest.raises(SystemExit, match="device: expected auto, cpu, cuda or cuda:0"):
        main([*words, "device=gpu"])
    assert made == [0, 1]
