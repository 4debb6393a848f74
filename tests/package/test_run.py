"""`cgrec run`: the potential of a finished level at work, from a run and from a package."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from samples import dimer

import cgrec
from cgrec import Frames, System
from cgrec.cli import main
from cgrec.dynamics import Langevin
from cgrec.files import write_json
from cgrec.level import Level
from cgrec.package import pack
from cgrec.potential import fit_priors
from cgrec.potential.state import density_range
from cgrec.remarks import Remark
from cgrec.run import layout
from cgrec.run.digests import keep, keep_json, open_record
from cgrec.run.recipes import OtherRecipe
from cgrec.units import thermal_energy

QUICK = ["n_replicas=8", "length=0.4", "save_every=0.02", "equilibration=0.02", "timestep=0.002"]
STIFFNESS = 2000.0


@pytest.fixture(scope="module")
def spring(tmp_path_factory):
    """A run whose level 1 is two sites on a spring: <r^2> = 3 kT / k. Its own frames are exact."""
    folder = tmp_path_factory.mktemp("spring") / "run"
    potential, start = dimer(STIFFNESS)
    potential.made_at(300.0)
    rng = np.random.default_rng(0)
    kT = thermal_energy(300.0)
    x = np.zeros((2000, 2, 3))
    x[:, 1] = rng.normal(scale=np.sqrt(kT / STIFFNESS), size=(2000, 3))
    own = replace(start, positions=x)
    open_record(folder)
    keep(folder / layout.CONFIG, lambda p: p.write_text(CONFIG))
    for number, name in ((0, "atoms"), (1, "beads")):
        place = layout.level_folder(folder, number)
        open_record(place)
        own.save(place / layout.FRAMES, lambda p: write_json(p / layout.SIMULATION, {}))
        keep_json(place / layout.REPORT, {"name": name, **(REPORT if number else {})})
    keep(layout.level_folder(folder, 1) / layout.POTENTIAL, potential.save)
    return folder


CONFIG = (
    "levels: {beads: {dynamics: {timestep: 0.002, friction: 5.0, n_replicas: 32, length: 1.0}}}"
)
REPORT = {
    "variables": {"r": ["A", "B"]},
    "compared_by": {"basins": {"near": {"r": [0.0, 0.06]}, "far": {"r": [0.06, 9.0]}}},
}


@pytest.mark.filterwarnings("ignore:beads. nothing watches")
@pytest.mark.parametrize("kelvin", [300.0, 600.0])
def test_a_spring_has_the_spread_of_its_temperature(spring, kelvin, tmp_path):
    options = {"length": 20.0, "save_every": 0.2, "seed": 1}
    if kelvin == 300.0:
        frames = Level(spring / "level1", "beads").run(tmp_path / "out", **options)
    else:
        with pytest.warns(Remark, match="made at 300 K and is run at 600 K"):
            frames = Level(spring / "level1", "beads").run(
                tmp_path / "out", temperature=kelvin, **options
            )
    assert len(frames) == 32 * 100 and frames.temperature == kelvin
    square = ((frames.positions[:, 1] - frames.positions[:, 0]) ** 2).sum(-1)
    replicas = square.reshape(-1, 32) if frames.replicas is None else square
    per = [replicas[frames.replicas == k].mean() for k in range(32)]
    error = np.std(per) / np.sqrt(32)
    assert np.mean(per) == pytest.approx(3 * thermal_energy(kelvin) / STIFFNESS, abs=4 * error)


def test_the_command_prints_and_keeps_numbers_with_errors(spring, tmp_path, capsys):
    words = ["run", f"run={spring}", "level=1", f"to={tmp_path}/out", "length=10"]
    main(words)
    said = capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    one = report["variables"]["r"]
    assert abs(one["excess"]) < 4 * one["error"]  # the level's own frames are exact
    near = report["states"]["own"]["basins"]["near"]
    exact = report["states"]["parent"]["basins"]["near"]
    error = np.hypot(near["population_error"], exact["population_error"])
    assert near["population"] == pytest.approx(exact["population"], abs=4 * error)
    assert "basin near: " in said and " +- " in said and f"{tmp_path}/out" in said
    assert (tmp_path / "out" / "run.png").read_bytes()[1:4] == b"PNG"
    assert any("nothing watches" in sentence for sentence in report["remarks"])
    before = (tmp_path / "out" / "frames" / "positions.npy").read_bytes()
    main(words)  # all is there
    assert (tmp_path / "out" / "frames" / "positions.npy").read_bytes() == before


def test_a_run_can_be_made_longer_and_is_then_the_long_run(spring, tmp_path):
    level = Level(spring / "level1", "beads")
    level.run(tmp_path / "a", length=0.4)
    grown = level.run(tmp_path / "a", length=0.8)
    whole = level.run(tmp_path / "b", length=0.8)
    np.testing.assert_array_equal(grown.positions, whole.positions)
    with pytest.raises(OtherRecipe, match=r"seed=0 and now it is 5: choose another to=FOLDER"):
        level.run(tmp_path / "b", length=0.8, seed=5)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_frames(spring, tmp_path):
    words = ["run", f"run={spring}", "level=1", "length=300", "save_every=0.1", "n_replicas=4"]
    command = [sys.executable, "-m", "cgrec", *words, f"to={tmp_path}/killed"]
    partial = tmp_path / "killed" / "frames.partial"
    killed = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.time() + 120
        while not list(partial.glob("*checkpoint*")) and time.time() < end:
            assert killed.poll() is None, "it ended before it could be killed: make it longer"
            time.sleep(0.02)
        os.kill(killed.pid, signal.SIGKILL)
    finally:
        killed.kill()
        killed.wait()
    assert not (tmp_path / "killed" / "frames").exists()
    for name in ("killed", "whole"):
        main([*words, f"to={tmp_path}/{name}"])
    one, two = (Frames.load(tmp_path / name / "frames") for name in ("killed", "whole"))
    np.testing.assert_array_equal(one.positions, two.positions)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::cgrec.remarks.Remark")
@pytest.mark.parametrize("packed", [False, True])
def test_the_guard_watches_and_starts_may_be_files(packed, run, tmp_path, capsys):
    source = pack(run, tmp_path / "model.cgrec") if packed else run
    level = cgrec.load(run).levels[1]
    level.frames[:5].write(tmp_path / "beads.xtc")
    cgrec.load(run).levels[0].frames[:5].write(tmp_path / "atoms.npz")
    for name in ("beads.xtc", "atoms.npz"):
        words = [
            f"run={source}",
            "level=1",
            f"start={tmp_path}/{name}",
            f"to={tmp_path}/{name}_run",
        ]
        main(["run", *words, *QUICK])
        simulation = json.loads((tmp_path / f"{name}_run/frames/simulation.json").read_text())
        assert simulation["guard"]["guard"] == "FeatureGuard"
        assert simulation["guard"]["looks_per_ns"] == pytest.approx(1000 / 0.02)
    assert "8 replicas lost" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::cgrec.remarks.Remark")
def test_a_start_of_other_sites_is_refused_before_work(run, tmp_path):
    cgrec.load(run).levels[0].frames[:3].write(tmp_path / "atoms.gro")
    other = cgrec.load(run).levels[0].frames[:3]
    one = Frames(other.system.select([0, 1, 2, 3]), other.positions[:, :4], 300.0)
    one.save(tmp_path / "four")
    level = cgrec.load(run).levels[1]
    with pytest.raises(ValueError, match="3 sites of beads or the 6 it is mapped from, found 4"):
        level.run(tmp_path / "out", start=str(tmp_path / "four"))
    assert not (tmp_path / "out").exists()


def test_the_default_folder_lies_beside(spring):
    from cgrec.commands.run import Run

    assert Run(run=str(spring), level=1)._beside() == spring.parent / "run_level1_run"
    assert Run(run="/a/x.cgrec", level=2)._beside().name == "x_level2_run"


@pytest.fixture(scope="module")
def liquid(tmp_path_factory):
    """A run whose level 1 are lone sites in a box, kept apart by a wall; its own frames are a run of
    the same potential.
    """
    folder = tmp_path_factory.mktemp("liquid") / "run"
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), -1).reshape(-1, 3) + 0.5
    system = System(names=("AR",) * 64, masses=np.full(64, 40.0))
    start = grid * 0.5 + 0.03 * rng.normal(size=(40, 64, 3))
    own = Frames(system, start, 300.0, box=2.0 * np.eye(3))
    walls = sum_of(fit_priors(own, types=["AR"], cutoff=0.9, excluded_volume=True))
    walls.made_at(300.0)
    walls.density = density_range(own)
    open_record(folder)
    for number in (0, 1):
        place = layout.level_folder(folder, number)
        open_record(place)
        if number:
            options = {"n_replicas": 8, "length": 20.0, "save_every": 0.5, "equilibration": 10.0}
            Langevin(**options)(walls, own, place / layout.FRAMES)
            keep(place / layout.POTENTIAL, walls.save)
        else:
            own.save(place / layout.FRAMES, lambda p: write_json(p / layout.SIMULATION, {}))
        keep_json(place / layout.REPORT, {"name": ["atoms", "beads"][number]})
    return folder


def sum_of(priors):
    return sum(priors[1:], priors[0])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::cgrec.remarks.Remark")
@pytest.mark.parametrize(("box", "sites"), [("4", 512), ("2,2,4", 128), ("3.3", None)])
def test_another_box_of_a_liquid_has_its_density_and_its_structure(
    box, sites, liquid, tmp_path, capsys
):
    words = [f"run={liquid}", "level=1", f"box={box}", f"to={tmp_path}/out", "n_replicas=4"]
    main(["run", *words, "length=10", "save_every=0.5", "equilibration=10"])
    frames = Frames.load(tmp_path / "out" / "frames")
    assert sites in (None, frames.n_sites)
    density = frames.n_sites / np.linalg.det(np.asarray(frames.box, float).reshape(-1, 3, 3)[0])
    assert density == pytest.approx(8.0, rel=1e-9)
    (row,) = json.loads((tmp_path / "out" / "report.json").read_text())["radial"]
    assert row["types"] == ["AR", "AR"] and row["value"] < 3 * row["floor"] + 4 * row["error"]
    assert "g(r) AR-AR: " in capsys.readouterr().out
    assert (tmp_path / "out" / "run.png").exists()


def test_another_density_is_refused(liquid, tmp_path):
    level = cgrec.load(liquid).levels[1]
    thin = replace(level.frames[:4], box=3.0 * np.eye(3))
    thin.save(tmp_path / "thin")
    with pytest.raises(ValueError, match="per nm.3 and the run is at"), pytest.warns(Remark):
        level.run(tmp_path / "out", start=str(tmp_path / "thin"), length=0.4)
