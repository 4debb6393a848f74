"""Wrong settings are refused before any work, by their key, with what was expected and a way out."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from cgrec.cli import main

SETTINGS = yaml.safe_load(Path(__file__).with_name("wrong_settings.yaml").read_text())
BASES = {
    "five": [
        "experiment=five_beads",
        "source.path=places.npy",
        "source.forces_path=forces.npy",
    ],
    "gauss": ["experiment=gaussian_chain"],
    "default": [],
    "helix": ["experiment=helix"],
    "nacl": ["experiment=nacl", "source.path=places.npy"],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a trajectory of five beads, angstrom and kcal/mol/angstrom."""
    folder = tmp_path_factory.mktemp("place")
    random = np.random.default_rng(0)
    chain = np.array([[0, 0, 0], [1.3, 0, 0], [1.9, 1.3, 0], [3.3, 1.4, 0.6], [3.9, 2.6, 0.7]])
    np.save(folder / "places.npy", chain + random.normal(scale=0.03, size=(40, 5, 3)))
    np.save(folder / "forces.npy", random.normal(scale=20, size=(40, 5, 3)))
    return folder


def named(setting):
    base, words, _, _ = setting
    return f"{base} {words}"


def refusal(words, capsys):
    """The one line that a command of wrong words ends with."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert "Traceback" not in capsys.readouterr().err
    assert stop.value.code != 0
    return str(stop.value.code)


def assert_refused(said, key, more):
    first = said.partition(": expected")[0]
    assert re.search(key, first) or re.search(key, said), f"{key} is not named: {said}"
    assert re.search(more, said), f"{more} is not said: {said}"
    assert re.search("expected|no such|none|cannot", said), said
    assert re.search("found|gave|was given", said), said
    way = "give|did you mean|take|the default is|cgrec keys|check the path|correct|name |put "
    assert re.search(way + "|such as|lower|near to|divide|leave|install|shows|multiple of", said), (
        said
    )


@pytest.mark.parametrize("setting", SETTINGS["settings"], ids=named)
def test_words_alone_are_refused(setting, place, monkeypatch, capsys):
    base, word, key, more = setting
    monkeypatch.chdir(place)
    monkeypatch.setattr("cgrec.commands.check.build", None)  # nothing may be made for it
    said = refusal(["check", *BASES[base], word], capsys)
    assert_refused(said, key, more)
    assert sorted(p.name for p in place.iterdir()) == ["forces.npy", "places.npy"]


@pytest.mark.parametrize("setting", SETTINGS["data"], ids=named)
def test_data_refuse(setting, place, monkeypatch, capsys):
    base, word, key, more = setting
    monkeypatch.chdir(place)
    for command in ("check", "climb"):
        assert_refused(refusal([command, *BASES[base], word], capsys), key, more)
    assert not [p for p in place.rglob("level0")]


IN_A_FILE = [
    s
    for s in SETTINGS["settings"]
    if s[0] == "gauss" and not s[1].startswith(("experiment", "source="))
]


@pytest.mark.parametrize("setting", IN_A_FILE, ids=named)
def test_a_file_of_ones_own_is_refused_alike(setting, tmp_path, monkeypatch, capsys):
    _, word, key, more = setting
    dotted, _, value = word.partition("=")
    node = yaml.safe_load(value)
    for name in reversed(dotted.split(".")):
        node = {name: node}
    node["defaults"] = ["/experiment/gaussian_chain", "_self_"]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(node))
    monkeypatch.chdir(tmp_path)
    assert_refused(refusal(["check", "mine.yaml"], capsys), key, more)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.yaml"]


def test_climb_looks_before_it_begins(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    said = refusal(["climb", *BASES["five"], "levels.l1.training.batch_size=0"], capsys)
    assert said.startswith("cgrec: levels.l1.training.batch_size: expected 1 or more, found 0")


def test_words_are_refused_without_torch(tmp_path):
    """What takes seconds to import is not imported, whatever the setting."""
    wrong = [[*BASES[base], word] for base, word, _, _ in SETTINGS["settings"] if base == "gauss"]
    script = f"""
import sys
from cgrec.configuration import checked, composed
for words in {wrong!r}:
    try:
        checked(composed(words))
    except Exception:
        continue
    raise SystemExit(f"{{words}} passed")
slow = [name for name in ("torch", "MDAnalysis", "scipy") if name in sys.modules]
raise SystemExit(", ".join(slow) or None)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_right_settings_pass(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    main(["check", *BASES["gauss"]])
    assert "16 sites" in capsys.readouterr().out
    assert not (place / "runs").exists()


def test_a_package_that_a_later_step_needs_is_asked_for(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    monkeypatch.setattr("cgrec.needs.find_spec", lambda name: None)
    keep = "{_target_: cgrec.dynamics.Exchange, factors: [1, 1.2], keep: all}"
    for words, package in (
        (["experiment=helix"], "openmm"),
        ([*BASES["five"], "levels.l1.training.processes=2"], "lightning_fabric"),
        ([*BASES["five"], f"levels.l1.dynamics.exchange={keep}"], "pymbar"),
    ):
        said = refusal(["check", *words], capsys)
        assert f"expected the package {package}, found none; pip install" in said
