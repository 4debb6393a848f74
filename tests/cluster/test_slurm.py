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
from cgrec.files import read_json

pytest.importorskip("submitit")
CHAIN = [*TINY[1:], "experiment=gaussian_chain", "~levels.l2", "~levels.l3"]


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
