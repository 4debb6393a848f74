"""Jobs of a queue that does as it is told: what is submitted, how often, and what is said of it."""

import os
import signal
import time
from functools import partial

import pytest

from cgrec.cluster.jobs import DEATHS, LOOKS, Answer, JobFailed, Jobs, said_in
from cgrec.files import read_json
from cgrec.stopping import Stopped, deferred


class Told:
    """A queue that runs what it takes at once, unless it is told that a job shall die or wait.

    Args:
        dying: numbers of jobs that end without a word.
        waiting: numbers of jobs that are alive and do nothing.
    """

    every, cancel = 0.0, "scancel"

    def __init__(self, dying=(), waiting=()):
        self.dying, self.waiting = list(dying), list(waiting)
        self.taken = []

    def submit(self, name, calls):
        numbers = [str(len(self.taken) + k + 1) for k in range(len(calls))]
        for number, call in zip(numbers, calls):
            self.taken.append(name)
            if number not in (*self.dying, *self.waiting):
                call()
        return numbers

    def alive(self, jobs):
        return set(jobs) & set(self.waiting)

    def last_words(self, job):
        return f"out of memory (log of {job})"


def work(said, about=None, error=None):
    with said_in(said):
        if error is not None:
            raise error
        if about is not None:
            raise Answer(about)


def jobs(folder, queue, words=("mine.yaml",), resubmit=3):
    folder.mkdir(exist_ok=True)
    return Jobs(folder, queue, words, resubmit)


def test_jobs_say_what_they_came_to(tmp_path):
    queue = Told()
    works = {"a": work, "b": partial(work, about={"blocks": "x"})}
    found = jobs(tmp_path, queue).finish(works)
    assert found == {"a": {"said": "done"}, "b": {"said": "done", "blocks": "x"}}
    assert queue.taken == ["a", "a"]  # an array


def test_a_job_that_dies_is_submitted_again(tmp_path):
    queue = Told(dying=["1"])
    assert jobs(tmp_path, queue).finish({"a": work}) == {"a": {"said": "done"}}
    assert len(queue.taken) == 2


def test_one_that_always_dies_is_given_up_with_its_last_words(tmp_path):
    queue = Told(dying=list("123456"))
    with pytest.raises(JobFailed, match=r"a: .* 2 times; .*out of memory \(log of 2\).*slurm.mem"):
        jobs(tmp_path, queue).finish({"a": work})
    assert len(queue.taken) == DEATHS


def test_one_that_is_stopped_goes_on_as_often_as_is_allowed(tmp_path):
    queue = Told()
    stopped = partial(work, error=Stopped(signal.SIGUSR1, "a checkpoint is left"))
    with pytest.raises(JobFailed, match="3 times.*a checkpoint is left"):
        jobs(tmp_path, queue, resubmit=2).finish({"a": stopped})
    assert len(queue.taken) == 3


def test_an_error_ends_it_and_is_not_tried_again(tmp_path):
    queue = Told()

    class Raising(Told):
        def submit(self, name, calls):
            with pytest.raises(ValueError):
                super().submit(name, calls)
            return ["1"]

    queue = Raising()
    with pytest.raises(JobFailed, match="levels.l1: expected"):
        jobs(tmp_path, queue).finish({"a": partial(work, error=ValueError("levels.l1: expected"))})
    assert len(queue.taken) == 1
    # the same command after it was mended
    assert jobs(tmp_path, Told()).finish({"a": work}) == {"a": {"said": "done"}}


def test_the_same_command_waits_for_the_job_that_another_one_submitted(tmp_path):
    queue = Told(waiting=["1"])
    first = jobs(tmp_path, queue)
    first.look = lambda tasks: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        first.finish({"a": work})
    again = jobs(tmp_path, queue)
    assert again.numbers == ["1"]
    again.look = lambda tasks: work(tmp_path / again.known["a"].file)  # now it does its work
    assert again.finish({"a": work}) == {"a": {"said": "done"}}
    assert len(queue.taken) == 1


def test_another_command_is_refused_while_a_job_is_at_work(tmp_path):
    queue = Told(waiting=["1"])
    jobs(tmp_path, queue)._submit({"a": work})
    with pytest.raises(ValueError, match="another command.*: mine.yaml;.*scancel 1"):
        jobs(tmp_path, queue, words=("mine.yaml", "seed=2"))
    queue.waiting.clear()
    assert not jobs(tmp_path, queue, words=("mine.yaml", "seed=2")).numbers


def test_what_comes_late_over_a_network_is_no_death(tmp_path):
    queue, looked = Told(dying=["1"]), []
    mine = jobs(tmp_path, queue)

    def look(tasks):
        looked.append(tasks)
        if len(looked) == LOOKS:
            work(tmp_path / mine.known["a"].file)

    mine.look = look
    assert mine.finish({"a": work})["a"]["said"] == "done" and len(queue.taken) == 1


def test_a_warned_job_stops_where_it_left_a_checkpoint(tmp_path):
    """SIGUSR2 is what submitit has SLURM send before the time is up."""
    said = tmp_path / "said.json"
    with said_in(said), deferred() as request:
        os.kill(os.getpid(), signal.SIGUSR2)
        while not request.due:
            time.sleep(0.001)
        request.stop("a checkpoint is in frames.partial")
    about = read_json(said)
    assert about["said"] == "stopped" and "a checkpoint is in frames.partial" in about["text"]
