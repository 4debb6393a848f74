"""What sbatch is told, which jobs are alive, and what is said where there is no SLURM."""

import re
import time
from functools import partial
from pathlib import Path

import pytest

from cgrec.cluster import Slurm
from cgrec.configuration import checked, composed

pytest.importorskip("submitit")
from cgrec.cluster.queue import LocalQueue, SlurmQueue  # noqa: E402


def asked(folder):
    """{option: value} of the jobs in a folder of submitit."""
    (path,) = folder.glob("[0-9]*_submission.sh")
    return dict(re.findall(r"#SBATCH --([\w-]+)=(.*)", path.read_text())), path.read_text()


def test_sbatch_is_told_what_was_asked_for(cluster, tmp_path):
    (cluster / "doomed").write_text("1")
    options = Slurm(
        partition="gpu",
        time=30,
        gpus_per_node=1,
        mem="16GB",
        account="me",
        setup=["module load gcc"],
        additional_parameters={"reservation": "course"},
    )
    (number,) = SlurmQueue(options, tmp_path / "jobs").submit("level1", [partial(print, 1)])
    told, script = asked(tmp_path / "jobs")
    wanted = {
        "partition": "gpu",
        "time": "30",
        "gpus-per-node": "1",
        "cpus-per-task": "8",
        "mem": "16GB",
        "account": "me",
        "job-name": "level1",
        "reservation": "course",
        "signal": "USR2@120",
    }
    assert number == "1" and wanted.items() <= told.items()
    assert "\nmodule load gcc\n" in script and "qos" not in told


def test_jobs_of_a_level_ask_for_what_it_has_of_its_own(cluster, tmp_path):
    (cluster / "doomed").write_text("1 2")
    options = Slurm(gpus_per_node=1, time=30, levels={"l1": {"time": 90, "gpus_per_node": 0}})
    queue = SlurmQueue(options, tmp_path / "jobs")
    told = []
    for level in ("l1", "l2"):
        queue.ask(options.of(level))
        (number,) = queue.submit(level, [partial(print, 1)])
        script = (tmp_path / "jobs" / f"{number}_submission.sh").read_text()
        told.append(dict(re.findall(r"#SBATCH --([\w-]+)=(.*)", script)))
    assert [own["time"] for own in told] == ["90", "30"]
    assert ["gpus-per-node" in own for own in told] == [False, True]


@pytest.mark.parametrize(
    "levels, said",
    [
        ({"l1": {"resubmit": 3}}, "Slurm.levels.l1: expected partition.*found resubmit"),
        ({"l1": {"gpus": 3}}, "Slurm.levels.l1: expected partition.*found gpus"),
        ({"l1": {"time": 0}}, "Slurm.levels.l1: Slurm.time: expected"),
    ],
)
def test_what_no_level_asks_for_is_refused(levels, said):
    with pytest.raises(ValueError, match=said):
        Slurm(levels=levels)


def test_a_level_that_no_climb_has_is_refused():
    words = ["experiment=gaussian_chain", "+slurm.levels.l9.time=5"]
    with pytest.raises(ValueError, match=r"slurm.levels: .*level0, l1, l2, l3.*found l9"):
        checked(composed(words))


@pytest.mark.parametrize(
    "words, said",
    [
        (["+slurm.levels.level0.replicas=8"], "level0.replicas: .*sources make level 0 whole"),
        (["+slurm.levels.level0.array_parallelism=8"], "level0.array_parallelism: .*one job"),
        (
            [
                "+slurm.levels.l1.replicas=8",
                "+levels.l1.dynamics.exchange={_target_: cgrec.dynamics.Exchange, highest: 400, "
                "rungs: 4}",
            ],
            r"l1.replicas: .*its exchange moves all .*leave it out",
        ),
    ],
)
def test_blocks_of_a_run_that_is_never_divided_are_refused(words, said):
    with pytest.raises(ValueError, match=rf"slurm\.levels\.{said}"):
        checked(composed(["experiment=gaussian_chain", *words]))


def test_blocks_of_a_plain_run_and_cores_of_level_0_are_taken():
    words = ["+slurm.levels.l1.replicas=8", "+slurm.levels.level0.cpus_per_task=2"]
    checked(composed(["experiment=gaussian_chain", *words]))


def test_several_calls_are_an_array(cluster, tmp_path):
    (cluster / "doomed").write_text("1_0 1_1 1_2")
    queue = SlurmQueue(Slurm(array_parallelism=2), tmp_path / "jobs")
    assert queue.submit("blocks", [partial(print, k) for k in range(3)]) == ["1_0", "1_1", "1_2"]
    assert asked(tmp_path / "jobs")[0]["array"] == "0-2%2"


def test_jobs_are_alive_as_squeue_says_and_where_it_says_nothing(cluster, tmp_path):
    queue = SlurmQueue(Slurm(), tmp_path / "jobs")
    (cluster / "7.queued").touch()
    (cluster / "9_1.queued").touch()
    assert queue.alive(["7", "8", "9_0", "9_1"]) == {"7", "9_1"}
    (cluster / "squeue").write_text("#!/bin/sh\nexit 1\n")
    assert queue.alive(["7", "8"]) == {"7", "8"}


def test_the_end_of_a_log_is_shown(cluster, tmp_path):
    queue = SlurmQueue(Slurm(), tmp_path)
    assert queue.last_words("3").startswith("nothing (")
    (tmp_path / "3_0_log.err").write_text("a\n" * 9 + "slurmstepd: oom_kill\n")
    assert "oom_kill (" in queue.last_words("3") and queue.last_words("3").count("a / ") == 4


def test_a_machine_without_slurm_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ValueError, match="found no sbatch; .*submit=local"):
        SlurmQueue(Slurm(), tmp_path)


@pytest.mark.slow
def test_local_jobs_run_here_and_are_found_again(tmp_path):
    queue = LocalQueue(Slurm(time=1), tmp_path / "jobs")
    numbers = queue.submit("a", [partial(Path.touch, tmp_path / f"made{k}") for k in range(2)])
    again = LocalQueue(Slurm(), tmp_path / "jobs")
    assert again.alive(numbers) == set(numbers)
    while queue.alive(numbers):
        time.sleep(0.1)
    assert (tmp_path / "made0").exists() and (tmp_path / "made1").exists()
    assert not again.alive(numbers)
