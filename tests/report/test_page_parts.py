"""Parts of the page that every run has: verdicts first, contents, structures that can be turned, what
to do next; and what must not be in it.
"""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from samples import ALANINE_BONDS, ALANINE_DIPEPTIDE, MASS, WATER, waters

from cgrec.chain.about import processor
from cgrec.frames import Frames
from cgrec.mapping import ResidueCentres
from cgrec.report.ladder import ladder_picture
from cgrec.report.page import page
from cgrec.report.private import without_paths
from cgrec.report.read import LevelFiles, RunFiles
from cgrec.report.scenes import MOST_SITES, library, scenes, script
from cgrec.system import System
from cgrec.verdict import Reason, Verdict

TRUSTED = Verdict().to_json()
REASON = Reason("own_samples", "look", "it is short", "30 or more", "run it longer")
DOUBTED = Verdict((REASON,)).to_json()


def alanine(n=2):
    names = [label.split(":")[1] for label in ALANINE_DIPEPTIDE]
    elements = tuple(name.lstrip("0123456789")[0] for name in names)
    system = System(
        names=tuple(names),
        masses=[MASS[e] for e in elements],
        elements=elements,
        bonds=ALANINE_BONDS,
        residue_names=tuple(label.split(":")[0] for label in ALANINE_DIPEPTIDE),
        residues=np.repeat([0, 1, 2], [6, 10, 6]),
    )
    rng = np.random.default_rng(4)
    return Frames(system, 0.3 * rng.normal(size=(n, 22, 3)), 300.0)


def beads(n=2):
    system = System(names=("A", "B", "A"), masses=[15.0, 60.0, 15.0], bonds=[(0, 1), (1, 2)])
    positions = np.random.default_rng(5).normal(size=(n, 3, 3))
    return Frames(system, positions, 300.0)


def run_of(*levels, about=None, config="levels: {l1: {}, l2: {}}"):
    return RunFiles(Path("/home/somebody/runs/mine"), about or {}, config, tuple(levels))


def level(number, frames, verdict, **fields):
    report = {"name": f"l{number}" if number else "level 0", "ledger": [], "verdict": verdict}
    made = frozenset({"report.json", "frames"})
    folder = Path(f"/home/somebody/runs/mine/level{number}")
    return LevelFiles(number, folder, report=report, frames=frames, made=made, **fields)


def whole():
    return run_of(
        level(0, alanine(), TRUSTED), level(1, beads(), DOUBTED), level(2, beads(), TRUSTED)
    )


def test_a_scene_has_every_atom_hydrogens_too_and_every_bond():
    (found,) = scenes([level(0, alanine(), TRUSTED)])
    assert len(found["positions"]) == len(found["labels"]) == len(found["kind"]) == 22
    assert {tuple(pair) for pair in found["bonds"]} == set(ALANINE_BONDS)
    hydrogens = [k for k, kind in enumerate(found["kinds"]) if kind["name"].startswith("H")]
    assert sum(k in hydrogens for k in found["kind"]) == 12  # of the 22 atoms
    assert len(set(found["residue"])) == 3 and found["residue"][0] == found["residue"][5]


def test_a_scene_is_the_frame_itself_in_angstrom():
    frames = alanine()
    (found,) = scenes([level(0, frames, TRUSTED)])
    x, drawn = np.asarray(frames.positions[0]), np.array(found["positions"])
    lengths = [np.linalg.norm(a[0] - a[21]) for a in (10 * x, drawn)]
    assert lengths[1] == pytest.approx(lengths[0], abs=0.02)
    # a rotation, not a mirror image
    hand = [np.linalg.det(a[1:4] - a[0]) for a in (10 * x, drawn)]
    assert np.sign(hand[0]) == np.sign(hand[1])


def test_a_liquid_lies_in_its_box_and_no_bond_crosses_it():
    box = 1.5 * np.eye(3)
    positions = np.concatenate([WATER, WATER + [1.45, 1.6, -0.2]])[None]
    system = waters(2)
    (found,) = scenes([level(0, Frames(system, positions, 300.0, box=box), TRUSTED)])
    assert len(found["box"]) == 12
    assert {float(np.linalg.norm(np.subtract(a, b))) for a, b in found["box"]} == {15.0}
    centres = np.array(found["positions"]).reshape(2, 3, 3).mean(1)
    assert (np.abs(centres) < 7.5 + 0.6).all()
    assert len(found["bonds"]) == 4 and found["residue"] is None


def test_beads_grow_with_their_mass_and_too_many_sites_have_no_scene():
    (found,) = scenes([level(1, beads(), TRUSTED)])
    small, large = (kind["radius"] for kind in found["kinds"])
    assert large / small == pytest.approx(4 ** (1 / 3), abs=0.02)
    n = MOST_SITES + 1
    system = System(names=("A",) * n, masses=np.ones(n))
    frames = Frames(system, np.zeros((1, n, 3)), 300.0)
    assert scenes([level(0, frames, TRUSTED)]) == []


def test_labels_cannot_end_the_script_they_stand_in():
    (found,) = scenes([level(0, alanine(), TRUSTED)])
    found["labels"][0] = "</script><b>"
    text = str(script([found]))
    assert "<" not in text and json.loads(text)[0]["labels"][0] == "</script><b>"


def test_the_page_is_one_file_with_the_library_and_its_licence_once():
    text = page(whole())
    code, licence = library()
    assert text.count(str(code)) == 1 and "</script" not in code
    assert "University of Pittsburgh" in text and "BSD-3-Clause" in licence
    assert not re.search(r"(?:src|href)=(?![\"']?(?:data:|#))", text.replace(str(code), ""))
    assert "default-src 'none'" in text  # a browser loads nothing for it
    assert len(text) < 5e6


def test_the_verdicts_come_first_then_what_to_do_then_the_contents():
    text = page(whole())
    places = [
        text.index(part)
        for part in (
            'class="verdict',
            "What to do next",
            "<nav",
            "<h2>The ladder",
            "<h2>Structures",
        )
    ]
    assert places == sorted(places)
    assert "<b>l1</b>: Run it longer." in text
    assert "cgrec descend run=mine from=2 to=0" in text


def test_every_entry_of_the_contents_leads_to_a_section():
    text = page(whole())
    contents = text[text.index("<nav") : text.index("</nav>")]
    anchors = re.findall(r'href="#([^"]+)"', contents)
    sections = re.findall(r'<section id="([^"]+)"', text)
    assert anchors == sections and len(set(anchors)) == len(anchors) >= 4


def test_an_unfinished_run_says_how_much_there_is_and_how_to_go_on():
    about = {"command": "cgrec climb experiment=mine source.path=/home/somebody/secret/traj.trr"}
    half = replace(level(2, None, None), report={}, made=frozenset({"targets"}), planned="l2")
    text = page(run_of(level(0, alanine(), TRUSTED), level(1, beads(), TRUSTED), half, about=about))
    banner = text[text.index('class="banner"') : text.index("</div>")]
    assert "Unfinished: 1 of 2 levels above level 0" in banner
    assert "cgrec climb experiment=mine source.path=traj.trr" in banner
    assert "<b>l2</b>" in text and "level2" not in text
    assert 'class="banner"' not in page(whole())


def test_an_unfinished_run_says_why_its_climb_ended(monkeypatch):
    ends = {"event": "climb_failed", "text": "/home/somebody/mine: all 55 replicas were lost."}
    monkeypatch.setattr("cgrec.report.page.read_events", lambda folder: [ends])
    half = replace(level(1, None, None), report={}, made=frozenset({"targets"}), planned="l1")
    text = page(run_of(level(0, alanine(), TRUSTED), half, about={}))
    banner = text[text.index('class="banner"') : text.index("</div>")]
    assert "The last climb failed: " in banner and "all 55 replicas were lost." in banner
    assert "/home/somebody" not in banner


def test_no_path_of_the_disk_stands_in_the_page():
    about = {"command": "cgrec climb run=/home/somebody/runs/mine", "device": "Some CPU @ 3 GHz"}
    base = level(
        0,
        alanine(),
        TRUSTED,
        remarks=("/home/somebody/data/x.trr: forces are odd",),
        source={"files": [{"path": "/home/somebody/data/x.trr"}]},
    )
    run = run_of(base, about=about, config="source: {path: /home/somebody/data/x.trr}\nlevels: {}")
    text = page(run)
    assert "somebody" not in text and "x.trr: forces are odd" in text
    assert "cgrec climb run=mine" in text and "on Some CPU @ 3 GHz" in text


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("run=/home/me/runs/a", "run=a"),
        ("run=/home/me/runs/", "run=runs/"),
        ("/home/me/runs/a/level1/report.json: cut", "level1/report.json: cut"),
        ("'source.paths=[/data/a.trr,/d/b.trr]'", "'source.paths=[a.trr,b.trr]'"),
        ("~/runs/mine: changed", "mine: changed"),
        (r"C:\Users\me\x.trr", "x.trr"),
        ('{"path": "/data/x/y.npz"}', '{"path": "y.npz"}'),
        ("kJ/mol/nm", "kJ/mol/nm"),
        ("runs/mine/level1", "runs/mine/level1"),
        ("5 / 334, 1/2 and (kJ/mol)/nm", "5 / 334, 1/2 and (kJ/mol)/nm"),
        ("https://example.org/a/b", "https://example.org/a/b"),
    ],
)
def test_of_an_absolute_path_the_last_part_is_shown(given, shown):
    assert without_paths(given) == shown


def test_the_processor_has_a_name():
    assert processor() and processor() not in ("x86_64", "aarch64", "arm64", "unknown", "arm")


def test_each_site_of_a_ladder_has_a_circle_around_its_atoms_and_a_name():
    frames = alanine(1)
    mapping = ResidueCentres()(frames.system)
    figure = ladder_picture([mapping], ["l1"], frames.positions[0])
    (axes,) = figure.axes
    dots = axes.collections[0].get_offsets()
    assert [text.get_text() for text in axes.texts] == list(mapping.coarse.names)
    assert len(axes.patches) == mapping.coarse.n_sites == 3
    for circle, weights in zip(axes.patches, mapping.position_weights):
        way = np.linalg.norm(dots[weights != 0] - np.array(circle.center), axis=1)
        assert 0 < way.max() < circle.radius < way.max() + 0.1
