"""A package of somebody else is first class: it climbs, is loaded again, reports, exports and has a
command.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
EXPERIMENT = """# @package _global_
defaults:
  - /level@levels.l1: gaussian
name: ring
source: {_target_: toy.SpringRing, n_sites: 8, n_frames: 400}
variables: {across: [R0, R4], spread: {_target_: toy.Spread}}
levels:
  l1:
    mapping: {_target_: toy.EveryOther, step: 2}
    potential: {_target_: toy.SoftPairs.for_frames, _partial_: true, n_centres: 5}
    priors: [{_target_: toy.Size, share: 0.5}]
    training:
      steps: 60
      batch_size: 32
      validate_every: 20
      objectives: [{_target_: cgrec.training.MatchForces}, {_target_: toy.NoisedForces, noise: 0.05}]
    dynamics:
      n_replicas: 4
      length: 8
      save_every: 1
      equilibration: 1
      hooks: [{_target_: toy.Tether, spring: 5}]
    corrections: [{_target_: toy.SameSize, strongest: 50}]
  l2:
    _target_: cgrec.level.LevelRecipe
    mapping: {_target_: toy.EveryOther, step: 2}
    potential: {_target_: toy.SoftPairs.for_frames, _partial_: true, n_centres: 5}
    training: {_target_: cgrec.training.ForceMatching, steps: 60, batch_size: 16, validate_every: 20}
    dynamics: {_target_: toy.MetropolisWalk, n_replicas: 4, n_frames: 8}
"""
PROGRAM = """
import contextlib, io, json, sys
from cgrec.cli import main
answers = []
for words in json.loads(sys.argv[1]):
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main(words)
        except SystemExit as stop:
            said.write(stop.code if isinstance(stop.code, str) else "")
    answers.append(said.getvalue())
import cgrec
try:
    names = [type(part).__module__ for part in cgrec.load("run").levels[1].potential.parts]
    answers.append(" ".join(names + [type(cgrec.load("run").levels[2].potential).__module__]))
except Exception as error:
    answers.append(str(error))
print(json.dumps(answers))
"""
CLIMB = [
    "climb",
    "--config-dir",
    "own",
    "experiment=ring",
    "run=run",
    "go_on=true",
    "threads=1",
    "bins=8",
]
EXPORT = ["export", "table", "run=run", "level=2"]


def install(folder):
    """What an installer leaves: the package, and beside it its metadata with the entry points of
    its pyproject.toml.
    """
    about = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    shutil.copytree(HERE / "toy", folder / "toy", ignore=shutil.ignore_patterns("__pycache__"))
    known = folder / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    known.mkdir()
    head = [("Metadata-Version", "2.1"), ("Name", about["name"]), ("Version", about["version"])]
    lines = [f"{key}: {value}" for key, value in [*head, ("Summary", about["description"])]]
    (known / "METADATA").write_text("\n".join(lines) + "\n")
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in points.items())])
        for group, points in about["entry-points"].items()
    ]
    (known / "entry_points.txt").write_text("\n\n".join(groups) + "\n")


def answers(commands, folder, installed=None):
    """What each command of `cgrec` says, and then the module of the potential of level 2, or why it
    cannot be loaded.

    All in one process of its own, because most of its time goes into importing torch.
    """
    paths = [str(HERE.parents[1]), *([str(installed)] if installed else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-c", PROGRAM, json.dumps(commands)]
    done = subprocess.run(words, env=environment, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """(folder with an experiment all of whose roles are the package's, where the package is
    installed).
    """
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "site").mkdir()
    install(folder / "site")
    (folder / "own" / "experiment").mkdir(parents=True)
    (folder / "own" / "experiment" / "ring.yaml").write_text(EXPERIMENT)
    return folder, folder / "site"


@pytest.mark.slow
def test_a_plugin_is_first_class_and_missed_in_words(place):
    """Without --trust. Then the same folder is given to somebody who has not installed it."""
    folder, installed = place
    commands = [
        CLIMB,
        ["report", "run=run"],
        ["count", "run=run"],
        [*EXPORT, "to=table", "digits=2"],
        [*EXPORT, "to=other", "digit=2"],
        ["--help"],
        ["count", "--help"],
        ["count"],
        ["coutn"],
    ]
    climb, report, count, export, wrong, usage, own_help, nothing, near, modules = answers(
        commands, folder, installed
    )
    assert "report: " in climb and "report: " in report, climb
    assert "cannot be read" not in report, report
    simulation = json.loads((folder / "run/level1/frames/simulation.json").read_text())
    assert simulation["guard"]["guard"] == "FeatureGuard"
    assert simulation["hooks"]["tether"] == {"spring": 5, "looks": 9}
    assert abs(simulation["spring"]) <= 50 and simulation["weight_efficiency"] < 1
    assert (folder / "run/level1/refined.pt").exists()
    walked = json.loads((folder / "run/level2/frames/simulation.json").read_text())
    assert 0 < walked["acceptance"] < 1 and walked["replicas"] == 4
    about = json.loads((folder / "run/level1/report.json").read_text())
    assert {tuple(row["variables"]) for row in about["ledger"]} == {("across", "spread")}
    assert about["variables"]["spread"] == {"class": "toy.variable.Spread"}
    assert count.strip() == "8 4 2"
    frames = np.load(folder / "run" / "level2" / "frames" / "positions.npy")
    lines = (folder / "table" / "energies.txt").read_text().splitlines()
    note, made = export.strip().splitlines()
    assert "verdict is do not use" in note
    assert made == "table" and lines[0] == "# SoftPairs" and len(lines) == 1 + len(frames) > 1
    assert len(lines[1].partition(".")[2]) == 2
    assert "unknown: digit=2; did you mean digits=" in wrong
    assert "cgrec count" in usage and "cgrec export table" in usage and "package cgrec-toy" in usage
    assert "how many sites each level" in own_help
    assert "cgrec: count: expected run=FOLDER, found nothing" in nothing
    assert "did you mean count?" in near
    assert modules == "toy.prior toy.network cgrec.potential.harmonic toy.network"

    commands = [["--help"], ["count", "run=run"], [*EXPORT, "to=x"], CLIMB]
    usage, count, export, climb, load = answers(commands, folder)
    assert "cgrec count" not in usage and "cgrec export table" not in usage
    assert "found count" in count and "to export to, lammps, " in export and "found table" in export
    assert "toy." in climb and "installed plugin" in climb
    assert (
        "toy.prior:SizePrior is a potential class of the package toy" in load
        and "install toy" in load
    )
