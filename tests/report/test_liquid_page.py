"""The report of a liquid: a real climb of ions in a box, and pictures whose answer is known."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from samples import change

from cgrec.chain import Chain
from cgrec.dynamics import Langevin
from cgrec.frames import Frames
from cgrec.level import LevelRecipe
from cgrec.mapping import Mapping
from cgrec.potential.network import DensityNetwork
from cgrec.report import figures, pieces, write_report
from cgrec.report.figures import wrap_molecules
from cgrec.report.read import LevelFiles
from cgrec.sources.base import Source
from cgrec.system import System
from cgrec.training import ForceMatching
from cgrec.units import thermal_energy

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
