"""One line and a card of what is looked at most: no scripts, whole HTML, the numbers that are there."""

import html.parser
import json

import numpy as np
import pytest
from contracts import random_frames
from samples import water_box

import cgrec
from cgrec.cards import card, drawing, some
from cgrec.chain import Chain
from cgrec.level import Level
from cgrec.mapping import Pick
from cgrec.potential import DensityNetwork, fit_priors

VOID = {"meta", "line", "circle"}


class Reader(html.parser.HTMLParser):
    """Text and tags of a card; every tag must be closed."""

    def __init__(self, page):
        super().__init__()
        self.open_tags, self.words, self.tags = [], [], []
        self.feed(page)
        assert not self.open_tags

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open_tags.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open_tags.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def write_level(folder, frames, report):
    frames.save(folder / "frames")
    (folder / "report.json").write_text(json.dumps(report))
    return Level(folder, report["name"])


REPORT = {
    "name": "beads",
    "n_sites": 6,
    "explained_fraction": 0.5,
    "verdict": {"word": "look", "reasons": [{"found": "a bond <is> off", "do": "train longer"}]},
    "ledger": [
        {"level": "beads", "against": "parent", "variables": ["r"], "excess": 0.25, "error": 0.125}
    ],
    "states": {"own": {"basins": {"in": {"free_energy": 1.5, "free_energy_error": 0.25}}}},
}


@pytest.fixture
def objects(tmp_path):
    frames = random_frames(4, forces=np.zeros((4, 6, 3)))
    types = sorted(set(frames.system.types))
    network = DensityNetwork(types=types, cutoff=0.5, channels=4, width=8)
    (tmp_path / "run").mkdir()
    level = write_level(tmp_path / "run" / "level0", frames, REPORT)
    return {
        "frames": frames,
        "system": frames.system,
        "mapping": Pick(sites=["S0", "S2", "S4"])(frames.system),
        "potential": sum(fit_priors(frames, types=types, cutoff=0.5), network),
        "level": level,
        "chain": Chain(tmp_path / "run"),
    }


SAID = {
    "frames": ["4 frames at 300 K", "(4, 6, 3)"],
    "system": ["6 sites", "5 bonds"],
    "mapping": ["6 -> 3 sites", "MOL:S0, MOL:S2, MOL:S4"],
    "potential": ["HarmonicPrior", "DensityNetwork", "A, B, C", "cutoff 0.5 nm", "at 300 K"],
    "level": ["beads: 6 sites, 4 frames at 300 K, look", "level0"],
    "chain": ["beads: 6 sites, look"],
}


@pytest.mark.parametrize("name", SAID)
def test_one_line(name, objects):
    text = repr(objects[name])
    assert "\n" not in text and len(text) < 400
    assert text.startswith(f"{type(objects[name]).__name__}(") or name == "potential"
    for words in SAID[name]:
        assert words in text


@pytest.mark.parametrize("name", SAID)
def test_a_card_is_whole_html_without_scripts(name, objects):
    page = objects[name]._repr_html_()
    reader = Reader(page)
    assert "script" not in reader.tags and "<is>" not in page
    assert ("svg" in reader.tags) == (name in ("frames", "level", "chain"))


def test_the_card_of_a_level_has_verdict_accuracy_and_free_energies(objects):
    words = Reader(objects["level"]._repr_html_()).words
    for said in ("look", "a bond <is> off", "train longer", "0.25 +- 0.12", "50 %"):
        assert said in words
    assert "F = 1.50 +- 0.25 kT" in words


@pytest.mark.parametrize("damage", ["no report", "no json", "no frames", "nothing"])
def test_a_level_half_made_or_damaged_is_shown_as_far_as_it_goes(damage, objects, tmp_path):
    level = objects["level"]
    report = level.folder / "report.json"
    if damage in ("no report", "nothing"):
        report.unlink()
    if damage == "no json":
        report.write_text("{")
    if damage in ("no frames", "nothing"):
        (level.folder / "frames" / "positions.npy").unlink()
    assert "\n" not in repr(level) and Reader(level._repr_html_()).words
    assert ("not made yet" in repr(level)) == (damage == "nothing")
    assert "Chain(" in repr(objects["chain"]) and Reader(objects["chain"]._repr_html_()).words
    assert "nothing made yet" in repr(Chain(tmp_path / "new"))


def test_a_drawing_keeps_sites_inside_and_apart():
    """Three sites on a line: drawn at equal steps across its width."""
    x = np.array([[0.0, 0, 0], [1, 1, 1], [2, 2, 2]])
    page = drawing(x, np.array([[0, 1], [1, 2]]), ("C", "X", "O"), ("C", "B", "O"))
    centres = sorted(
        float(part.partition('cx="')[2].partition('"')[0]) for part in page.split("<circle")[1:]
    )
    assert np.diff(centres) == pytest.approx([(210 - 28) / 2] * 2, abs=0.11)
    assert page.count("<line") == 2 and "#cf4035" in page


def test_what_is_too_large_is_not_drawn():
    large = water_box(n_frames=1, side=6)
    assert large.n_sites > 600 and "svg" not in Reader(large._repr_html_()).tags


def test_some_words():
    assert some(["a", "b"]) == "a, b"
    assert some(list("abcdefgh"), 3) == "a, b, c, ... (8 in all)"
    assert "<td" not in card("x", [("empty", "")])


def test_calls_of_commands_say_what_the_command_line_says():
    from cgrec.commands._calls import as_words

    values = {
        "experiment": "helix",
        "go_on": True,
        "levels": {"l1": {"dynamics": {"length": 20, "bias": None}}},
        "basins": {"in": {"r": [0.1, 2]}},
        "run": "my runs/x",
    }
    assert as_words(("mine.yaml",), values) == [
        "mine.yaml",
        "experiment=helix",
        "go_on=true",
        "levels.l1.dynamics.length=20",
        "levels.l1.dynamics.bias=null",
        "basins.in.r=[0.1,2]",
        "run='my runs/x'",
    ]


def test_climb_and_others_in_python(tmp_path, capsys):
    levels = ["~levels.l1", "~levels.l2", "~levels.l3"]
    chain = cgrec.climb(
        *levels, experiment="gaussian_chain", source={"n_frames": 40}, run=f"{tmp_path}/a run"
    )
    assert [len(level.frames) for level in chain.levels] == [40]
    assert (tmp_path / "a run" / "report.html").exists()
    with pytest.raises(ValueError, match="expected 0 <= to < from <= 0"):
        cgrec.descend(run=f"{tmp_path}/a run", begin=3, to=0)
    with pytest.raises(ValueError, match="expected level= one of 0"):
        cgrec.distil(run=f"{tmp_path}/a run", level=1, three_cutoff=0.4)
    with pytest.raises(TypeError, match="three_cutof"):
        cgrec.distil(run=f"{tmp_path}/a run", level=1, three_cutof=0.4)
    assert {"climb", "descend", "pack", "load", "check"} <= set(dir(cgrec))
