"""One thread for each worker: the tests run on all cores as processes (pytest-xdist), which is
faster than threads for systems this small. What is dear and needed in several rooms is made here,
once for all workers.
"""

import fcntl
import gc
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
gc.disable()  # until all is imported


def pytest_collection_finish(session):
    """What torch and the tests brought in stays: Python looks through its half a million objects no
    more. That was a seventh of all time.
    """
    gc.freeze()
    gc.enable()


@dataclass(frozen=True)
class Climbed:
    """A run that was climbed in a process of its own, with no terminal.

    Attributes:
        folder: the run, a copy that a module may change.
        made_in: where it was made; it has the same text.
        said: what stood on stderr.
        printed: what stood on stdout.
    """

    folder: Path
    made_in: Path
    said: str
    printed: str


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Folder of a run of `TINY`, which the first worker that asks for it climbs."""
    from samples import TINY  # with torch, which reads the number of threads once

    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # of all workers
    folder = shared / "tiny_climb"
    with (shared / "tiny_climb.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "said").exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed
            command = [sys.executable, "-m", "cgrec", "climb", *TINY, f"run={folder}/run"]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            (folder / "printed").write_text(done.stdout)
            (folder / "said").write_text(done.stderr)
    return folder


@pytest.fixture(scope="module")
def tiny_climb(made_once, tmp_path_factory):
    """A climb of seconds of an ideal chain, three levels: `Climbed`, a copy for each module."""
    folder = tmp_path_factory.mktemp("tiny") / "run"
    shutil.copytree(made_once / "run", folder)
    said, printed = ((made_once / name).read_text() for name in ("said", "printed"))
    return Climbed(folder, made_once / "run", said, printed)


@pytest.fixture(scope="module")
def tiny(tiny_climb):
    """The folder of that run."""
    return tiny_climb.folder
