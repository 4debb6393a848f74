"""The first command of the README, whole: about ten minutes of one core."""

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_the_default_climb_ends_with_levels_that_can_be_used(tmp_path):
    command = [sys.executable, "-m", "cgrec", "climb"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    run = tmp_path / "runs" / "alanine_dipeptide"
    assert (run / "report.html").exists()
    reports = [json.loads(path.read_text()) for path in sorted(run.glob("level*/report.json"))]
    assert len(reports) == 4
    assert all(report["verdict"]["value"] in ("trust", "look") for report in reports)
    assert sum(report["replicas"]["lost"] for report in reports) <= 4
