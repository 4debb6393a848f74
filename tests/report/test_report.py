"""The report of a small real run: complete, interrupted, damaged."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from markupsafe import escape
from samples import change

from cgrec.chain import Chain
from cgrec.dynamics import Langevin
from cgrec.frames import Frames
from cgrec.level import Level, LevelRecipe
from cgrec.level.folder import of_ladder_and_correction
from cgrec.mapping import Pick
from cgrec.potential.network import DensityNetwork
from cgrec.report import figures, page, pieces, write_report
from cgrec.report.figures import superpose
from cgrec.report.health import corrected_said, ladder_said, network_said, pressure_said
from cgrec.report.read import LevelFiles, read_run
from cgrec.report.scenes import library
from cgrec.report.schema import REPORT, fitting
from cgrec.sources.base import Source
from cgrec.system import System
from cgrec.training import ForceMatching

pytestmark = pytest.mark.slow  # its tests look at a climb that they make

VARIABLES = {"phi": ["C1", "N1", "CA", "C2"], "psi": ["N1", "CA", "C2", "N2"]}
NAMES = ("C1", "O1", "N1", "CA", "CB", "C2", "O2", "N2")
ATOMS = System(
    names=NAMES,
    masses=[12, 16, 14, 12, 12, 12, 16, 14],
    elements=tuple(n[0] for n in NAMES),
    bonds=[(0, 1), (0, 2), (2, 3), (3, 4), (3, 5), (5, 6), (5, 7)],
)
SITES = {"level0": range(8), "heavy": range(8), "backbone": (0, 2, 3, 4, 5, 7), "beads": (0, 3, 7)}


def attach(a, b, c, bond, angle, torsion):
    """(n, 3) site at this bond (nm), angle and torsion (rad) from a, counted a-b-c."""
    axis = (a - b) / np.linalg.norm(a - b, axis=1, keepdims=True)
    normal = np.cross(b - c, axis)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    side = np.cross(normal, axis)
    x, y, z = -np.cos(angle), np.sin(angle) * np.cos(torsion), np.sin(angle) * np.sin(torsion)
    return a + bond[:, None] * (x[:, None] * axis + y[:, None] * side + z[:, None] * normal)


def peptide(rng, n, shift=0.0, wide=0.25):
    """(n, 8, 3) nm of a blocked residue with three basins in (phi, psi)."""
    basin = rng.choice(3, n, p=[0.35, 0.58, 0.07])
    phi = np.radians(np.array([-75, -90, 58])[basin]) + shift + wide * rng.normal(size=n)
    psi = np.radians(np.array([-35, 140, 40])[basin]) + wide * rng.normal(size=n)
    bond = lambda r: r + 0.003 * rng.normal(size=n)  # noqa: E731
    angle = lambda a: np.radians(a) + 0.05 * rng.normal(size=n)  # noqa: E731
    still = np.pi + 0.1 * rng.normal(size=n)
    zero = np.zeros((n, 3))
    n1, c1 = zero, bond(0.134)[:, None] * [1.0, 0.0, 0.0]
    ca = attach(n1, c1, c1 + [0.0, 0.1, 0.0], bond(0.146), angle(122), still)
    c2 = attach(ca, n1, c1, bond(0.153), angle(111), phi)
    cb = attach(ca, n1, c1, bond(0.153), angle(110), phi - 2.1)
    n2 = attach(c2, ca, n1, bond(0.134), angle(117), psi)
    o2 = attach(c2, ca, n1, bond(0.123), angle(121), psi + np.pi)
    o1 = attach(c1, n1, ca, bond(0.123), angle(122), still - np.pi)
    return np.stack([c1, o1, n1, ca, cb, c2, o2, n2], 1)


def frames_of(rng, name, n, shift=0.0, energies=False):
    sites = list(SITES[name])
    system = ATOMS.select(sites)
    if name == "beads":
        system = System(names=system.names, masses=system.masses, bonds=[(0, 1), (1, 2)])
    return Frames(
        system,
        peptide(rng, n, shift)[:, sites],
        300.0,
        replicas=np.tile(np.arange(20), n // 20),
        energies=60 + 8 * rng.normal(size=n) if energies else None,
    )


class Peptide(Source):
    """Level 0: frames of `peptide` with forces that say nothing; enough to climb from."""

    def recipe(self):
        return {}

    def sample(self, folder, seed):
        rng = np.random.default_rng(seed)
        found = frames_of(rng, "level0", 1000, energies=True)
        return replace(found, forces=300 * rng.normal(size=found.positions.shape))


def recipe(sites, **changes):
    return LevelRecipe(
        mapping=Pick([NAMES[k] for k in sites]),
        potential=partial(DensityNetwork.for_frames, cutoff=0.6, channels=2, l_max=1, width=8),
        training=ForceMatching(
            steps=10, batch_size=16, validate_every=5, most_validation_frames=50
        ),
        dynamics=Langevin(
            n_replicas=12,
            length=1.0,
            equilibration=0.0,
            save_every=0.02,
            timestep=0.002,
            compile=False,
        ),
        force_map="basic",
        priors={"cutoff": 0.6, "bonds": True, "angles": True},
        **changes,
    )


@pytest.fixture(scope="module")
def climbed(tmp_path_factory):
    """Its folder, and the page after each level, of a real climb of three levels, each with its
    control, in half a minute: bad models, and files as they are.
    """
    folder = tmp_path_factory.mktemp("report") / "run"
    levels = {"heavy": recipe(SITES["heavy"]), "backbone": recipe(SITES["backbone"])}
    levels["beads"] = recipe(SITES["beads"], variables={"ends": ["C1", "N2"]})
    config = {"levels": {name: {} for name in levels}}
    chain = Chain(
        folder, Peptide(), levels, variables=VARIABLES, bins=16, go_on=True, recipe=config
    )
    pages = []

    def finished(chain):
        write_report(chain.folder)
        pages.append((chain.folder / "report.html").read_text())

    chain.climb(finished)
    chain.climb(finished)  # nothing is made again, and no page
    (folder / "report.html").unlink()
    return folder, pages


@pytest.fixture(scope="module")
def run(climbed):
    """Its folder."""
    return climbed[0]


@pytest.fixture
def copy(run, tmp_path):
    """The same run, to be damaged."""
    return Path(shutil.copytree(run, tmp_path / "run"))


def test_while_a_climb_goes_on_there_is_a_page_of_what_is_there(climbed):
    """After level 0 and after each level that another one follows."""
    said = [f"Unfinished: {n} of 3 levels above level 0" for n in range(3)]
    assert [text in page for text, page in zip(said, climbed[1], strict=True)] == [True] * 3


def test_a_finished_run_is_told_in_one_self_contained_page(run):
    text = write_report(run).read_text()
    assert not (run / "report.html.partial").exists()
    for title in (
        "The ladder",
        "Structures",
        "Free energy",
        "Error per level",
        "Training",
        "Simulation health",
        "How the verdicts are found",
    ):
        assert f"<h2>{title}</h2>" in text
    assert "Finished." in text and "not there yet" not in text and "cannot be read" not in text
    assert text.count("data:image/png;base64,") >= 8
    code, licence = library()  # all that is not ours; addresses stand in it that nothing calls
    own = text.replace(str(code), "").replace(str(escape(licence)), "").replace("http-equiv", "")
    assert "http" not in own and own.count("<script") == 4
    assert "default-src 'none'" in own and "connect-src" not in own  # a browser loads nothing
    assert "beads has no phi, psi" in text and "could not be drawn" not in text


def test_the_verdict_comes_first_with_its_reasons_and_remarks(copy):
    level = copy / "level2"
    verdict = json.loads((level / "report.json").read_text())["verdict"]
    (level / "remarks.json").write_text('["a <sentence> about the fit"]')
    change(
        copy / "level0" / "source.json",
        checks={"temperature": [{"verdict": "off", "message": "319 K, not 300"}]},
    )
    text = write_report(copy).read_text()
    assert text.index('class="verdict') < text.index('class="cards"') < text.index("The ladder")
    assert "a &lt;sentence&gt; about the fit" in text and "off: 319 K, not 300" in text
    for reason in verdict["reasons"]:
        assert escape(reason["do"][1:]) in text


def test_a_control_that_lost_replicas_is_named(copy, monkeypatch):
    """Found on the shipped example: the direct model of level 2 lost 126 of 256, and nothing said so."""
    level = Level(copy / "level2", "backbone")
    made = json.loads((copy / "level2" / "report.json").read_text())["control"]
    ran = {"replicas": 4, "lost": [{"replica": k, "time": 0.1, "why": "left"} for k in range(2)]}
    monkeypatch.setattr(Level, "simulation", ran)
    verdict = Chain(copy).ledger.judge_direct(level)
    assert {reason.rule for reason in verdict.reasons} >= {"replicas"}
    assert verdict.word == "do not use" and set(made) == {"value", "reasons"}
    sentence = json.loads((level.folder / "remarks.json").read_text())[-1]
    assert "backbone (direct), the control" in sentence and "2 of 4 replicas were lost" in sentence
    assert "the control, is not to be relied on" in write_report(copy).read_text()


@pytest.mark.slow
def test_the_headline_is_the_levels_own_not_the_controls(copy):
    """The control of the second level is further off than any level; it is not what the run came
    to.
    """
    path = copy / "level2" / "report.json"
    ledger = json.loads(path.read_text())["ledger"]
    assert any(row["level"] == "backbone (direct)" for row in ledger)
    for row in ledger:
        row["excess"] = 0.6 if row["level"] == "backbone (direct)" else 0.001
    change(path, ledger=ledger)
    for k in (1, 3):
        rows = json.loads((copy / f"level{k}" / "report.json").read_text())["ledger"]
        change(
            copy / f"level{k}" / "report.json",
            ledger=[{**row, "excess": 0.0123, "error": 0.001} for row in rows],
        )
    text = write_report(copy).read_text()
    card = re.search(
        r"<b>([^<]*)</b><span>largest JS from level 0, above the floor \(([^)]*)\)", text
    )
    assert card[1] == "0.0123 ± 0.0010" and card[2].split(",")[0] in ("heavy", "beads")


def test_bars_and_floor_belong_to_one_axis(run):
    rows = [
        row
        for level in read_run(run).levels
        for row in level.ledger
        if row.variables == ("phi", "psi")
    ]
    axes = figures.errors(rows, ["level 0", "heavy", "backbone", "beads"]).axes[0]
    assert axes.get_ylabel() == "JS above its floor / nats"
    heights = sorted(bar.get_height() for bar in axes.patches)
    expected = sorted([row.excess for row in rows] + [2 * row.floors["spread"] for row in rows])
    assert heights == pytest.approx(expected)
    low, high = axes.get_ylim()
    assert low < min(row.excess for row in rows) and high > max(row.excess for row in rows)


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        (["level3"], "Not finished: beads is not there yet"),
        (["level3/report.json"], "interrupted in level 3: ledger"),
        (["level2/report.json", "level2/frames", "level3"], "interrupted in level 2: run"),
        (
            ["level2/report.json", "level2/frames", "level2/potential.pt", "level3"],
            "interrupted in level 2: fit",
        ),
        (
            ["level1", "level2", "level3", "level0/report.json", "level0/frames"],
            "interrupted in level 0: source",
        ),
    ],
)
def test_an_interrupted_run_reads_as_one(copy, gone, told):
    change(copy / "level2" / "report.json", verdict={"word": "trust", "reasons": []})
    for name in gone:
        shutil.rmtree(copy / name) if (copy / name).is_dir() else (copy / name).unlink()
    found = read_run(copy)
    assert told in found.state and not found.complete
    # it is said so nowhere else, as of a file that is damaged
    assert not [text for text in found.problems if "is gone" in text]


def test_where_a_run_was_interrupted_stands_at_the_top(copy):
    shutil.rmtree(copy / "level3" / "frames")
    (copy / "level3" / "report.json").unlink()
    text = write_report(copy).read_text()
    assert (
        text.index("interrupted in level 3: run") < text.index("The ladder")
        and "Finished." not in text
    )
    assert "not there yet" in text and "is gone" not in text


def test_a_run_that_its_verdict_ended_says_so(copy):
    shutil.rmtree(copy / "level3")
    reason = {"rule": "hands", "word": "do not use", "found": "f", "expected": "e", "do": "d"}
    change(copy / "level2" / "report.json", verdict={"word": "do not use", "reasons": [reason]})
    assert "Ended at backbone by its verdict" in write_report(copy).read_text()


def test_a_file_that_was_cut_is_named(copy):
    (copy / "level1" / "report.json").write_text('{"name": "heavy", "ledger": [')
    (copy / "level2" / "frames" / "frames.json").unlink()
    (copy / "config.yaml").unlink()
    text = write_report(copy).read_text()
    named = re.findall(
        r'class="bad">cannot be read: [^<]*?(level\d/[\w/]+\.json|config\.yaml)', text
    )
    # each once
    assert sorted(named) == ["config.yaml", "level1/report.json", "level2/frames/frames.json"]
    assert "</html>" in text


def leaves(value, path=()):
    """Paths of all values in a json, tables and lists included."""
    yield path
    for key, entry in (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    ):
        if not (isinstance(key, int) and key > 0):  # entries of a list are alike
            yield from leaves(entry, (*path, key))


OTHERS = ("<text>", 3.5, None, [], [[1]], {"a": "b"}, [None])


def put(value, path, new):
    """A copy of a json with one value replaced."""
    if not path:
        return new
    copied = value.copy()
    copied[path[0]] = put(value[path[0]], path[1:], new)
    return copied


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["run.json", "level0/source.json", "level0/report.json", "level2/report.json"]
)
def test_the_page_survives_every_value_of_another_type(copy, name, monkeypatch):
    for drawing in (
        "surfaces",
        "profiles",
        "structures",
        "bonded",
        "losses",
        "energies",
        "liquid",
        "errors",
    ):
        monkeypatch.setattr(figures, drawing, lambda *_: None)  # drawn from arrays, and slow
    monkeypatch.setattr(pieces, "image", lambda figure, alt: "")
    path = copy / name
    good, tried = json.loads(path.read_text()), 0
    for where in leaves(good):
        # a prime number of them, so that no key always meets the same
        new = OTHERS[tried % len(OTHERS)]
        path.write_text(json.dumps(put(good, where, new)))
        text = page.page(read_run(copy))
        assert text.endswith("</html>\n") and "could not be drawn" not in text, (where, new)
        assert "<text>" not in text
        tried += 1
    assert tried > 10


def test_variables_that_are_not_two_dihedrals_are_drawn_one_by_one(copy):
    for k in range(4):
        report = copy / f"level{k}" / "report.json"
        data = {**json.loads(report.read_text()), "variables": {"ends": ["C1", "N2"]}}
        report.write_text(json.dumps(data))
    text = write_report(copy).read_text()
    assert (
        "One colour scale" not in text
        and "free energy along ends" in text
        and "backbone (direct)" in text
    )


def test_variables_of_a_coarse_level_are_drawn_for_finer_ones_mapped_up(tmp_path):
    """ "#0" counts the sites of the level that asks: of a finer level it would name another site."""
    rng = np.random.default_rng(0)
    atoms = frames_of(rng, "level0", 200)
    mapping = Pick(["CA", "C2"])(atoms.system)
    atoms.save(tmp_path / "level0" / "frames")
    mapping(atoms).save(tmp_path / "level1" / "frames")
    mapping.save(tmp_path / "level1" / "mapping.npz")
    (tmp_path / "level1" / "report.json").write_text('{"variables": {"ends": ["#0", "#1"]}}')
    ((variables, ensembles),) = read_run(tmp_path).comparisons
    assert [level.number for level, _ in ensembles] == [0, 1]
    expected = np.linalg.norm(
        mapping(atoms).positions[:, 0] - mapping(atoms).positions[:, 1], axis=1
    )
    for _, frames in ensembles:
        np.testing.assert_allclose(variables[0].of(frames), expected, rtol=1e-6)


def test_a_run_that_has_only_begun_still_has_a_page(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    assert write_report(tmp_path).read_text().count("not there yet") >= 5
    (tmp_path / "level0").mkdir()
    assert "<b>level 0</b>" in write_report(tmp_path).read_text()


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="is no run"):
        write_report(tmp_path)


def test_superposed_frames_are_rotated_not_mirrored():
    rng = np.random.default_rng(1)
    one = rng.normal(size=(5, 3))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    x = superpose(np.stack([one, one @ turn + 3, one * [1, 1, -1]]), np.arange(1.0, 6))
    assert x[1] == pytest.approx(x[0])
    assert np.abs(x[2] - x[0]).max() > 0.1
    volume = lambda f: np.linalg.det(f[1:4] - f[0])  # noqa: E731
    assert np.sign(volume(x[0])) == np.sign(volume(one))


def test_a_level_without_a_box_or_with_one_molecule_is_no_liquid(tmp_path):
    rng = np.random.default_rng(0)
    open_system = frames_of(rng, "level0", 20)
    boxed = Frames(open_system.system, open_system.positions, 300.0, box=3 * np.eye(3))
    for frames in (open_system, boxed):
        assert figures.liquid(LevelFiles(1, Path("level1"), frames=frames, targets=frames)) is None
        assert not figures.is_liquid(frames)
    assert figures.liquid(LevelFiles(1, Path("level1"))) is None
    boxed.save(tmp_path / "level1" / "frames")
    assert "Liquid structure" not in write_report(tmp_path).read_text()


def test_exchange_and_corrections_stand_under_the_health_of_the_runs(tmp_path):
    """As the summary of a level makes them of its simulation.json and correction.json."""
    ladder = {"factors": [1.0, 1.5], "acceptance": [0.234], "round_trips": 7}
    run = {"exchange": ladder, "held_out_divergence": [0.2, None, 0.1], "round": 2, "floor": 0.05}
    level = LevelFiles(1, tmp_path, {"name": "l1", **of_ladder_and_correction(run)})
    assert ladder_said(level) == (
        "l1, replica exchange: rungs at 1, 1.5 times the temperature; neighbours accept 23 % of the "
        "attempts; 7 round trips of all replicas."
    )
    assert corrected_said(level) == (
        "l1, correction: divergence of held-out distances 0.2000 before it, all replicas lost, "
        "0.1000 in its rounds, 0.05 between halves of the parent; round 2 is taken."
    )
    out = LevelFiles(1, tmp_path, {"name": "l1", **of_ladder_and_correction({"left_out": "X"})})
    assert "X lost all replicas and is left out" in corrected_said(out)
    none = LevelFiles(1, tmp_path, {"name": "l1", **of_ladder_and_correction({})})
    assert ladder_said(none) == corrected_said(none) == ""


def test_how_far_a_network_is_from_its_labels_stands_under_the_health_of_the_runs(tmp_path):
    report = {"name": "level 0", "force_error": {"value": 19.05, "error": 0.29, "frames": 200}}
    assert network_said(LevelFiles(0, tmp_path, report)) == (
        "level 0: its network is 19.7 ± 0.3 meV/Å off the quantum chemistry, root mean square of a "
        "force component on 200 frames of its own run."
    )
    assert network_said(LevelFiles(0, tmp_path, {"name": "level 0"})) == ""


def test_what_a_volume_costs_stands_under_the_health_of_the_runs(tmp_path):
    def said(about):
        report = {"name": "l1", **of_ladder_and_correction({"pressure": about})}
        problems = []
        fitted = fitting(report, REPORT, "report.json", problems)
        assert not problems
        return pressure_said(LevelFiles(1, tmp_path, fitted))

    by_volumes = {"at": 1.0, "without_term": 1976.7, "error": 25.8, "independent_volumes": 260.4}
    squeezed = {"compressibility": 4.255e-5, "compressibility_error": 3.7e-6}
    assert said({**by_volumes, **squeezed}) == (
        "l1: without the volume's own term it presses with 1,977 ± 25.8 bar where its parent has 1. "
        "With it, it has its parent's compressibility, (42.5 ± 3.7) 10⁻⁶/bar, known by 260 "
        "independent volumes."
    )
    by_densities = {
        "densities": [32.4, 33.4],
        "parent": [-420.0, 12.0],
        "without_term": [2100.0, 2300.0],
        "with_term": [-421.0, None],
        "error": [30.0, 31.0],
    }
    assert "at 32.4 sites per nm³: -420; 2,100; -421 ± 30 bar, at 33.4" in said(by_densities)
    assert said({}) == ""


@pytest.mark.slow
def test_a_damaged_ladder_is_left_out_of_the_page(copy):
    change(copy / "level1" / "report.json", exchange={"factors": [1, 2], "acceptance": [0.234]})
    assert "neighbours accept 23 % of the attempts" in page.page(read_run(copy))
    change(copy / "level1" / "report.json", exchange={"factors": "all", "acceptance": [0.2]})
    assert "neighbours accept" not in page.page(read_run(copy))
