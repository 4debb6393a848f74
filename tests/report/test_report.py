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

from cgrec.backmapping.judge import (
    BackmappingReport,
    Quantity,
    TermDivergence,
)
from cgrec.chain import Chain
from cgrec.dynamics import Langevin
from cgrec.frames import Frames
from cgrec.level import Level, LevelRecipe
from cgrec.mapping import Mapping, Pick
from cgrec.potential.network import DensityNetwork
from cgrec.report import figures, page, pieces, write_report
from cgrec.report.figures import superpose, wrap_molecules
from cgrec.report.read import LevelFiles, read_run
from cgrec.sources.base import Source
from cgrec.system import System
from cgrec.training import ForceMatching
from cgrec.units import thermal_energy

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
def run(tmp_path_factory):
    """A real climb of three levels, each with its control, in half a minute: bad models, and files
    as they are.
    """
    folder = tmp_path_factory.mktemp("report") / "run"
    levels = {"heavy": recipe(SITES["heavy"]), "backbone": recipe(SITES["backbone"])}
    levels["beads"] = recipe(SITES["beads"], variables={"ends": ["C1", "N2"]})
    config = {"levels": {name: {} for name in levels}}
    chain = Chain(
        folder, Peptide(), levels, variables=VARIABLES, bins=16, go_on=True, recipe=config
    )
    chain.climb()
    return folder


@pytest.fixture
def copy(run, tmp_path):
    """The same run, to be damaged."""
    return Path(shutil.copytree(run, tmp_path / "run"))


def change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


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
    assert "http" not in text and "<script" not in text
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
    assert verdict.word == "do not use" and set(made) == {"word", "reasons"}
    sentence = json.loads((level.folder / "remarks.json").read_text())[-1]
    assert "backbone (direct), the control" in sentence and "2 of 4 replicas were lost" in sentence
    assert "the control, is not to be relied on" in write_report(copy).read_text()


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
        (["level3/report.json"], "interrupted in level 3: comparison"),
        (["level2/report.json", "level2/frames", "level3"], "interrupted in level 2: run"),
        (
            ["level2/report.json", "level2/frames", "level2/potential.pt", "level3"],
            "interrupted in level 2: fit",
        ),
        (
            ["level1", "level2", "level3", "level0/report.json", "level0/frames"],
            "interrupted in level 0: sampling",
        ),
    ],
)
def test_an_interrupted_run_reads_as_one(copy, gone, told):
    change(copy / "level2" / "report.json", verdict={"word": "trust", "reasons": []})
    for name in gone:
        shutil.rmtree(copy / name) if (copy / name).is_dir() else (copy / name).unlink()
    found = read_run(copy)
    assert told in found.state and not found.complete


def test_where_a_run_was_interrupted_stands_at_the_top(copy):
    shutil.rmtree(copy / "level3" / "frames")
    (copy / "level3" / "report.json").unlink()
    text = write_report(copy).read_text()
    assert (
        text.index("interrupted in level 3: run") < text.index("The ladder")
        and "Finished." not in text
    )
    assert "not there yet" in text


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
    assert "level0" in write_report(tmp_path).read_text()


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


SALT = System(names=("Na", "Cl") * 16, masses=[23, 35.5] * 16, elements=("Na", "Cl") * 16)
ONE = System(names=("W",) * 32, masses=[18] * 32)
SEED = np.random.default_rng(4)


def crystal(system, nearest, n=12, spread=0.0003):
    """Face-centred cubic, 32 sites, `nearest` nm from neighbour to neighbour; all have diffused by
    whole boxes.
    """
    cells = np.stack(np.meshgrid(*[np.arange(2.0)] * 3), -1).reshape(-1, 1, 3)
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    edge = np.sqrt(8) * nearest
    x = edge / 2 * (cells + basis).reshape(-1, 3) + spread * SEED.normal(size=(n, 32, 3))
    return Frames(system, x + edge * SEED.integers(-5, 6, (n, 32, 3)), 300.0, box=edge * np.eye(3))


def row(what, types, value, **other):
    base = {
        "level": "ions",
        "against": "parent",
        "what": what,
        "types": types,
        "value": value,
        "error": 0.00123,
    }
    numbers = {
        "floor": 0.0077,
        "rms": 0.0666,
        "largest": 0.5551,
        "peak": 1.0444,
        "low": 0.2,
        "high": 0.97,
    }
    return {**base, **numbers, **other}


class Salt(Source):
    """Level 0: ions about the places of a crystal; the forces are those of springs to them."""

    def recipe(self):
        return {}

    def sample(self, folder, seed):
        frames = crystal(SALT, 0.505, 200, spread=0.02)
        spring = thermal_energy(300.0) / 0.02**2
        places = crystal(SALT, 0.505, 1, spread=0.0).positions[0]
        edge = frames.box[0, 0]
        moved = frames.positions - places
        return replace(frames, forces=-spring * (moved - edge * np.round(moved / edge)))


@pytest.fixture(scope="module")
def liquid(tmp_path_factory):
    """A real climb of one level of ions in a box, without bonds and without variables."""
    folder = tmp_path_factory.mktemp("liquid") / "run"
    run = Langevin(
        n_replicas=4, length=0.4, equilibration=0.0, save_every=0.02, timestep=0.002, compile=False
    )
    level = LevelRecipe(
        mapping=partial(Mapping.identity),
        potential=partial(DensityNetwork.for_frames, cutoff=0.6, channels=2, l_max=1, width=8),
        training=ForceMatching(steps=20, batch_size=8, validate_every=1, compile=False),
        dynamics=run,
        force_map="basic",
        priors={"cutoff": 0.6, "bonds": False, "angles": False},
    )
    config = {"levels": {"ions": {}}}
    chain = Chain(folder, Salt(), {"ions": level}, control=False, go_on=True, recipe=config)
    chain.climb()
    return folder


@pytest.fixture
def salt(liquid, tmp_path):
    """The same run, to be changed."""
    return Path(shutil.copytree(liquid, tmp_path / "run"))


def test_a_liquid_is_told_by_its_distributions_and_nothing_it_cannot_have(liquid):
    text = write_report(liquid).read_text()
    assert "not there yet" not in text and "could not be drawn" not in text
    assert not any(t in text for t in ("Free energy", "Error per level", "Bonds, angles", "√JS"))
    assert text.count("data:image/png;base64,") == 3  # structures, one level's liquid, losses
    rows = json.loads((liquid / "level1" / "report.json").read_text())["liquid"]
    radial = {"-".join(row["types"]): row for row in rows if row["what"] == "g(r)"}
    assert set(radial) == {"Cl-Cl", "Cl-Na", "Na-Na"}
    for types, row in radial.items():
        (told,) = re.findall(rf"<td>g\(r\) {types}</td><td>([\d.]+) ± [\d.]+</td>", text)
        assert float(told) == pytest.approx(row["value"], abs=1e-4)
    worst = max(radial, key=lambda types: radial[types]["value"])
    assert f"largest mean |difference| of g(r) from the parent ({worst})" in text
    assert "One frame solid" not in text


def test_numbers_of_a_liquid_are_rounded_with_their_errors(salt):
    rows = [
        row("g(r)", ["Cl", "Na"], 0.0512),
        row("g(r)", ["Na", "Na"], 0.0256),
        row("angles", ["Cl"], 0.7, low=0.1, high=np.pi),
        row("g(r)", ["Cl", "Na"], 0.9, level="ions (forces alone)"),
        row("tetrahedrality", ["Cl"], float("nan"), low=-2.99, high=0.99),
    ]
    change(salt / "level1" / "report.json", liquid=rows)
    text = write_report(salt).read_text()
    cells = (
        "<td>ions</td><td>parent</td><td>g(r) Cl-Na</td><td>0.0512 ± "
        "0.0012</td><td>0.0077</td><td>0.0666</td>"
    )
    assert cells + "<td>0.555</td><td>1.044</td><td>0.20 to 0.97 nm</td>" in text
    assert "<td>6 to 180°</td>" in text and "<td>-2.99 to 0.99</td>" in text
    card = (
        "<b>0.0512 ± 0.0012</b><span>largest mean |difference| of g(r) from the parent "
        "(Cl-Na)</span>"
    )
    assert card in text  # neither the angles nor the run on forces alone, which are further off


def test_a_liquid_on_its_way_up_says_what_is_missing(salt):
    run = salt
    (run / "config.yaml").write_text("levels: {ions: {}, fewer: {}}\n")
    text = write_report(run).read_text()
    assert text.count(pieces.NOT_YET) == 3  # the next level may have variables and bonds
    (run / "level1" / "report.json").unlink()
    (run / "level1" / "frames" / "frames.json").unlink()
    text = write_report(run).read_text()
    assert "Liquid structure" in text and "largest JS" in text and "<h2>Differences</h2>" in text


def test_the_line_is_the_own_run_and_the_band_its_target():
    """Twelve neighbours of a close packing: 66 pairs, at 60, 90, 120 and 180 degrees 24, 12, 24 and
    6.
    """
    figure = figures.liquid(
        LevelFiles(1, Path("level1"), frames=crystal(ONE, 0.405), targets=crystal(ONE, 0.505))
    )
    radial, angles = figure.axes[:2]
    assert (radial.get_xlabel(), radial.get_ylabel(), radial.get_title("left")) == (
        "r / nm",
        "g(r)",
        "W-W",
    )
    own = next(line for line in radial.lines if line.get_label() == "own run")
    assert own.get_xdata()[np.argmax(own.get_ydata())] == pytest.approx(0.405)
    band = radial.collections[0].get_paths()[0].vertices
    assert band[np.argmax(band[:, 1]), 0] == pytest.approx(0.505)
    assert angles.get_xlabel() == r"$\theta$ / degrees"
    (shell,) = (line for line in angles.lines if line.get_label() == "own run")
    theta, density = shell.get_data()
    for angle, pairs in ((60, 24), (90, 12), (120, 24), (180, 6)):
        share = density[abs(theta - angle) < 5].sum() * np.radians(theta[1] - theta[0])
        assert share == pytest.approx(pairs / 66)


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


def test_molecules_are_moved_into_the_box_whole():
    """Moved by whole lattice vectors of a skewed box, and back: bonds may stick out, centres of
    mass may not.
    """
    box = np.array([[2.0, 0, 0], [0.7, 1.8, 0], [-0.4, 0.3, 1.5]])
    system = System(
        names=("O", "H") * 20, masses=[16, 1] * 20, bonds=[(2 * k, 2 * k + 1) for k in range(20)]
    )
    rng = np.random.default_rng(2)
    centres, bond = rng.uniform(0.01, 0.99, (20, 3)) @ box, rng.normal(size=(20, 3))
    home = np.stack([centres - bond / 17, centres + bond * 16 / 17], 1).reshape(-1, 3)
    away = home + np.repeat(rng.integers(-7, 8, (20, 3)) @ box, 2, axis=0)
    np.testing.assert_allclose(wrap_molecules(away, system, box), home, atol=1e-12)


def test_a_liquid_is_drawn_at_the_size_of_its_box():
    frames = crystal(SALT, 0.505)
    (axes,) = figures.structures([LevelFiles(0, Path("level0"), frames=frames)]).axes
    half = np.sqrt(2) * 0.505
    assert axes.get_xlim() == pytest.approx((-1.15 * half, 1.15 * half))  # the box and a margin
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["Na", "Cl"]
    beads = System(names=("W", "D", "W"), masses=[1, 1, 1])
    w, d, again = figures.site_colours(beads)
    assert w == again != d
    assert len(set(figures.site_colours(SALT))) == 2


# ---- restored frames -----------------------------------------------------------------------------


def restored(scale, **fields):
    terms = [
        TermDivergence("bond", "A:C-A:O", 2, 0.5 * scale, 0.1, 0.01),
        TermDivergence("bond", "A:C-A:N", 1, 0.2, 0.1, 0.01),
        TermDivergence("angle", "A:C-A:N-A:CA", 1, 0.05, 0.06, 0.02),
    ]
    return BackmappingReport(400, 300, 4, 64, tuple(terms), **fields)


def write_backmapping(level, reports):
    level.mkdir(parents=True)
    found = {name: report.to_json() for name, report in reports.items()}
    (level / "backmapping.json").write_text(json.dumps(found, allow_nan=False))


def test_restored_frames_have_their_table_and_their_plots(tmp_path):
    histogram = {"edges": [0.0, 1.0, 2.0], "model": [0.2, 0.8], "reference": [0.5, 0.5]}
    reports = {
        "flow, <mapped>": restored(
            1, clashes=Quantity(0.25, 0.05, 0.125, 0.01), energy_histogram=histogram
        ),
        "flow, own run": restored(2, chirality={"A:CA": Quantity(0.0, 0.0025)}),
    }
    write_backmapping(tmp_path / "level0", reports)
    text = write_report(tmp_path).read_text()
    assert "<h2>Restored frames</h2>" in text and "cannot be read" not in text
    assert (
        "<td>flow, &lt;mapped&gt;</td><td>0.4000 ± 0.0100</td>" in text
        and "<td>300 true frames</td>" in text
    )
    # clashes, and those of true frames
    assert "<td>0.25 ± 0.05</td>" in text and "<td>0.12</td>" in text
    assert "flow, &lt;mapped&gt;: 400 restored frames, 4 a coarse frame" in text
    assert "wrong hand at A:CA, fraction" in text
    # bonded terms, and energies of the one set that has them
    assert text.count("restored from level0") == 2


def test_bars_are_the_divergence_above_its_floor_worst_first():
    figure = figures.restored_terms({"one": restored(1), "two": restored(2)})
    bonds, angles = figure.axes
    assert [label.get_text() for label in bonds.get_yticklabels()] == ["C-O", "C-N"]
    assert [bar.get_width() for bar in bonds.patches] == pytest.approx([0.4, 0.1, 0.9, 0.1])
    assert [bar.get_width() for bar in angles.patches] == pytest.approx([-0.01, -0.01])
    assert (
        figures.restored_terms({}) is None
        and figures.restored_energies({"one": restored(1)}) is None
    )


def test_a_damaged_report_of_restored_frames_is_named(tmp_path):
    write_backmapping(tmp_path / "level0", {"one": restored(1)})
    path = tmp_path / "level0" / "backmapping.json"
    path.write_text(path.read_text().replace("n_draws", "draws"))
    text = write_report(tmp_path).read_text()
    assert "cannot be read: level0/backmapping.json" in text and "Restored frames" not in text


def test_the_audit_of_a_pmf_has_its_numbers_and_its_plot(tmp_path):
    (tmp_path / "level1").mkdir()
    numbers = {
        "rms": [0.25, 0.05],
        "slope": [0.875, 0.03125],
        "entropy": [-12.5, 0.125],
        "ess": 0.375,
    }
    points = {"audited": [0.0, 1.0, -1.0], "learned": [0.5, 0.75, -1.25], "error": [0.1, 0.1, 0.2]}
    (tmp_path / "level1" / "audit.json").write_text(json.dumps({**numbers, **points}))
    text = write_report(tmp_path).read_text()
    assert "<h2>Audit of the PMF</h2>" in text
    assert "0.25 ± 0.05" in text and "0.875 ± 0.03" in text and "38 %" in text
    axes = figures.audit([LevelFiles(1, Path("level1"), audit={**numbers, **points})]).axes[0]
    x, y = axes.lines[1].get_data()
    assert list(x) == points["audited"] and list(y) == points["learned"]
