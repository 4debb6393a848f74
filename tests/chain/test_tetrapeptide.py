"""140 correlated frames of Ac-Asn-Asn-Gln-Gln-NHMe: no level made from them is to be used, and
every place says so.
"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import cgrec
from cgrec.cli import main
from cgrec.frames import Frames
from cgrec.system import System
from cgrec.verdict import DO_NOT_USE, LOOK

pytestmark = pytest.mark.slow  # its tests look at a climb that they make

DATA = Path(__file__).parents[1] / "data" / "tetrapeptide.npz"
SCRIPT = Path(__file__).parents[2] / "scripts" / "references" / "tetrapeptide.py"


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """The folder of frames that the script makes, from the small file of them."""
    folder = tmp_path_factory.mktemp("parent") / "frames"
    with np.load(DATA) as data:
        system = System(**json.loads(data["system"].item()))
        positions, forces = data["positions"] * np.float32(1e-4), data["forces"].astype(np.float32)
        Frames(system, positions, float(data["temperature"]), forces=forces).save(folder)
    return folder


def command(parent, run, *more):
    quick = ("training.steps=100", "dynamics.length=2")
    steps = [f"levels.l{k}.{word}" for k in (1, 2) for word in quick]
    return [
        "climb",
        "experiment=tetrapeptide",
        f"source.path={parent}",
        "threads=1",
        *steps,
        f"run={run}",
        *more,
    ]


@pytest.fixture(scope="module")
def stopped(parent, tmp_path_factory):
    """A climb that was ended by its verdict, and what it said last."""
    run = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.raises(SystemExit) as stop:
        main(command(parent, run))
    return run, str(stop.value)


def test_the_first_level_ends_the_climb_with_its_reason(stopped):
    run, said = stopped
    assert "the verdict on l1 is 'do not use'" in said and "go_on=true" in said
    assert len(cgrec.load(run).levels) == 2
    base, level = (level.report["verdict"] for level in cgrec.load(run).levels)
    assert base["value"] == LOOK and base["reasons"][0]["rule"] == "parent_samples"
    assert level["value"] == DO_NOT_USE and len(level["reasons"]) >= 2
    assert all(
        set(reason) == {"rule", "word", "found", "expected", "do"} for reason in level["reasons"]
    )
    assert (run / "level1" / "frames" / "positions.npy").exists() and (run / "report.html").exists()


@pytest.mark.slow
def test_the_same_command_says_the_same(stopped, parent):
    run, said = stopped
    with pytest.raises(SystemExit) as stop:
        main(command(parent, run))
    assert str(stop.value) == said


@pytest.mark.slow
def test_go_on_climbs_and_the_verdict_stays(stopped, parent, capsys):
    run, _ = stopped
    main(command(parent, run, "go_on=true"))
    words = [level.report["verdict"]["value"] for level in cgrec.load(run).levels]
    assert words == [LOOK, DO_NOT_USE, DO_NOT_USE]
    rules = [reason["rule"] for reason in cgrec.load(run).levels[2].report["verdict"]["reasons"]]
    assert "parent" in rules
    said = capsys.readouterr().out
    assert "l2: do not use: " in said and "+-" in said


def test_nobody_gave_variables_and_there_is_a_row(stopped):
    level = cgrec.load(stopped[0]).levels[1]
    assert {tuple(row["variables"]) for row in level.report["ledger"]} == {("ends", "turn")}
    assert level.report["variables"]["ends"] == ["ASN2:CA", "GLN5:CA"]
    names = [bond["bond"] for bond in level.report["conformation"]["cis"]]
    assert names == [f"omega {residue}:N" for residue in ("ASN3", "GLN4", "GLN5", "NME")]
    assert len(level.report["conformation"]["torsions"]) == 8


def test_the_script_tells_how_to_use_it(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--help"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert stop.value.code == 0 and "--frames" in capsys.readouterr().out


def test_the_script_builds_the_chain_that_it_says(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import tetrapeptide

    lines = [line for line in tetrapeptide.heavy_atoms().splitlines() if line.startswith("ATOM")]
    x = {
        (line[22:26].strip(), line[12:16].strip()): np.array(line[30:54].split(), float)
        for line in lines
    }
    assert len(x) == len(lines) == 39
    for k in range(1, 6):
        assert np.linalg.norm(x[f"{k}", "C"] - x[f"{k + 1}", "N"]) == pytest.approx(
            1.329, abs=0.002
        )
    for k in range(2, 5):
        step = np.linalg.norm(x[f"{k}", "CA"] - x[f"{k + 1}", "CA"])
        assert step == pytest.approx(3.80, abs=0.03)  # trans
        arms = [x[f"{k}", name] - x[f"{k}", "CA"] for name in ("N", "C", "CB")]
        assert np.dot(arms[0], np.cross(arms[1], arms[2])) > 0  # L, as in every protein
