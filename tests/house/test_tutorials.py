"""Every tutorial runs to its end in its small mode, and leaves what its page says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: {tutorial: files that it leaves}
LEFT = {
    "own_polymer": ["polymer.yaml", "beads.xtc", "beads.pdb", "runs/polymer/report.html"],
    "liquid_mixture": ["mixture.yaml", "runs/mixture/report.html"],
    "salt": ["salt.yaml", "runs/salt/report.html"],
    "peptide_up_and_down": ["ala10.yaml", "runs/ala10/report.html"],
    "plugin": ["everynth.py", "runs/every_third/report.html"],
}


def test_every_tutorial_is_tried():
    found = {
        path.stem
        for path in (ROOT / "scripts" / "tutorials").glob("*.py")
        if "# %% [markdown]" in path.read_text()
    }
    assert found == set(LEFT)


@pytest.mark.slow
@pytest.mark.parametrize("name", LEFT)
def test_a_tutorial_runs(name, tmp_path):
    """Half a minute to a minute of one core each."""
    pytest.importorskip("openmm")
    script = ROOT / "scripts" / "tutorials" / f"{name}.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(script), "--small"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for file in LEFT[name]:
        assert (tmp_path / file).exists(), file
