"""A cluster of one machine."""

import os
import sys
from pathlib import Path

import pytest

STAND_IN = Path(__file__).with_name("slurm_stand_in.py")


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A folder of its jobs; its commands come first on PATH."""
    place = tmp_path / "cluster"
    place.mkdir()
    for name in ("sbatch", "squeue", "srun"):
        (place / name).write_text(f'#!/bin/sh\nexec {sys.executable} {STAND_IN} {name} "$@"\n')
        (place / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_STAND_IN", str(place))
    return place
