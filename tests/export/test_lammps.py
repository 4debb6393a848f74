"""Energies and forces of real LAMMPS against ours, on one and on two MPI ranks."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from contracts import random_frames
from lammps_runs import command, lammps, run
from samples import periodic_frames, splines

from cgrec import Frames, System
from cgrec.cli import main
from cgrec.export import write_lammps
from cgrec.export.lammps import uf3_file
from cgrec.potential import (
    BondGraph,
    DihedralPrior,
    DihedralSeries,
    ExcludedVolume,
    FlatBottomPrior,
    HarmonicPrior,
    LinePrior,
    UF3Potential,
)
from cgrec.remarks import Remark
from cgrec.verdict import Reason, Verdict

WATER = Path(__file__).parents[3] / "shared" / "data" / "water_onesite_spce" / "frames_000_799.npz"
TYPES = ["A", "B", "C"]


def assert_same(potential, frames, folder):
    command(1)
    write_lammps(potential, frames, folder)
    energy, force = (x[0] for x in potential.energy_and_forces(frames[-1:]))
    for ranks in (1, 2):
        found, forces = lammps(folder, ranks)
        assert found == pytest.approx(energy, rel=1e-8)
        np.testing.assert_allclose(forces, force, atol=1e-8 * np.abs(force).max())


def bonded():
    """All kinds of bonded terms beside splines for the small branched chain."""
    frames = random_frames(300, seed=3)
    parts = [HarmonicPrior.fit(frames, TYPES, 2), HarmonicPrior.fit(frames, TYPES, 3)]
    parts.append(DihedralPrior.fit(frames, TYPES))
    own = {"types": TYPES, "n_sites": 6, "cosine": [1.0, 2.0, -1.5], "sine": [0.5, -1.0, 2.0]}
    parts.append(DihedralSeries(**own, sites=[[0, 1, 2, 3]], orders=[[1], [-2], [3]]))
    parts.append(
        DihedralSeries(**own, sites=[[0, 1, 2, 3], [1, 2, 3, 4]], orders=[[0, 1], [1, -1], [2, 1]])
    )
    return sum(parts, splines())


def walls(frames):
    """Walls of bonds and angles, on both sides and on one, of which `frames` has some that are
    passed and some that are not.
    """
    own = {"types": TYPES, "n_sites": 6}
    bonds = FlatBottomPrior(
        **own,
        sites=[[0, 1], [1, 2], [2, 3], [3, 4]],
        lower=[0.16, 0.10, 0.2, -1e6],
        upper=[0.20, 0.13, 1e6, 0.1],
        below=[900.0, 500.0, 700.0, 0.0],
        above=[400.0, 300.0, 0.0, 600.0],
    )
    angles = FlatBottomPrior(
        **own,
        sites=[[0, 1, 2], [1, 2, 3], [2, 3, 4], [1, 2, 5]],
        lower=[-0.2, -0.9, -0.1, -1e6],
        upper=[0.6, -0.8, 1e6, -0.7],
        below=[50.0, 90.0, 40.0, 0.0],
        above=[60.0, 30.0, 0.0, 80.0],
    )
    for one in (bonds, angles):
        assert one.energy_and_forces(frames[-1:])[0] > 0
    return bonds + angles


def test_walls_beside_springs(tmp_path):
    frames = random_frames(3)
    potential = bonded() + walls(frames)
    potential += LinePrior(types=TYPES, n_sites=6, sites=[[1, 2, 3]], stiffness=[30.0])
    assert_same(potential, frames, tmp_path / "chain")
    said = (tmp_path / "chain" / "potential.in").read_text()
    assert "bond_style hybrid harmonic lepton" in said
    assert "angle_style hybrid harmonic lepton cosine" in said


def test_walls_far_along_the_chain(tmp_path):
    """Of sites that are not bonded: what LAMMPS keeps from bonded sites must stay what it was."""
    frames = random_frames(3)
    far = FlatBottomPrior(
        types=TYPES,
        n_sites=6,
        sites=[[0, 3], [1, 4], [0, 4]],
        lower=[0.5, 0.4, 0.6],
        upper=[1e6] * 3,
        below=[900.0, 500.0, 700.0],
        above=[0.0] * 3,
        bond_graph=BondGraph.of(frames.system).config,
    )
    assert far.energy_and_forces(frames)[0].min() > 0
    assert_same(bonded() + far, frames, tmp_path / "chain")


@pytest.mark.slow
@pytest.mark.parametrize("term", range(4))
def test_each_wall_for_itself(term, tmp_path):
    """Alone a style is no hybrid."""
    frames = random_frames(3)
    for number, wall in enumerate(walls(frames).parts):
        config = {**wall.config, **{n: [wall.config[n][term]] for n in SIDES}}
        assert_same(splines() + FlatBottomPrior(**config), frames, tmp_path / str(number))


#: Numbers that each term of a wall has of its own.
SIDES = ("sites", "lower", "upper", "below", "above")


@pytest.fixture
def water():
    if not WATER.exists():
        pytest.skip("shared water data is not here")
    data = np.load(WATER)
    system = System(names=("W",) * 316, masses=np.full(316, 18.0154))
    potential = UF3Potential(types=["W"], cutoff=0.7, three_cutoff=0.4, energy_scale=3.0)
    potential.coefficients.data = torch.randn(
        len(potential.coefficients), generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    return potential, Frames(system, data["positions"][-1:], 300.0, box=data["box"])


def test_water(water, tmp_path):
    assert_same(*water, tmp_path / "water")


def test_bonded_open_molecule(tmp_path):
    assert_same(bonded(), random_frames(3), tmp_path / "chain")


@pytest.mark.parametrize("triclinic", [False, True])
def test_three_types_in_a_box(triclinic, tmp_path):
    assert_same(splines(three_cutoff=0.45), periodic_frames(1, triclinic), tmp_path / "box")


def test_pairs_only_with_given_knots(tmp_path):
    knots = 0.5 * np.linspace(0, 1, 12) ** 1.3
    assert_same(splines(three_cutoff=0.0, knots=knots), periodic_frames(1), tmp_path / "box")


@pytest.mark.slow
def test_one_type_with_two_masses_and_names_lammps_would_not_take(tmp_path):
    frames, potential = periodic_frames(1), splines(three_cutoff=0.45)
    types = {"A": "ALA:CA", "B": "NULL", "C": "C"}
    potential = UF3Potential(**{**potential.config, "types": list(types.values())})
    potential.coefficients.data = splines(three_cutoff=0.45).coefficients.data
    system = replace(
        frames.system,
        types=tuple(types[t] for t in frames.system.types),
        masses=np.arange(36) % 4 + 10.0,
    )
    assert_same(potential, replace(frames, system=system), tmp_path / "box")
    assert "12 atom types" in (tmp_path / "box" / "system.data").read_text()


def test_dynamics_keep_the_temperature(tmp_path):
    """The input script as written: bonds hold and the thermostat works."""
    command(1)
    sample = random_frames(300, seed=3)
    still = UF3Potential(types=TYPES, cutoff=0.5) + HarmonicPrior.fit(sample, TYPES, 2)
    still += HarmonicPrior.fit(sample, TYPES, 3)
    write_lammps(still, random_frames(), tmp_path / "run", friction=10.0, timestep=0.001)
    said = run(tmp_path / "run", "run.in", 1, "-var", "steps", "100000")
    rows = [
        line.split()
        for line in said.splitlines()
        if line.strip()[:1].isdigit() and len(line.split()) == 6
    ]
    temperatures = [float(row[1]) for row in rows[3:]]
    # 18 degrees of freedom: one reading scatters by a third, the mean of 98 of them by a thirtieth.
    assert len(temperatures) == 98 and np.mean(temperatures) == pytest.approx(300, rel=0.12)
    assert (tmp_path / "run" / "run.lammpstrj").exists()


def test_what_lammps_has_no_words_for_is_refused(tmp_path):
    wall = ExcludedVolume.fit(random_frames(), TYPES, 0.5)
    with pytest.raises(ValueError, match="ExcludedVolume.*distil"):
        write_lammps(splines() + wall, random_frames(), tmp_path / "x")
    with pytest.raises(ValueError, match="UF3Potential, UF3Potential; distil"):
        write_lammps(splines() + splines(), random_frames(), tmp_path / "x")
    with pytest.raises(ValueError, match="timestep: expected .*found -1"):
        write_lammps(splines(), random_frames(), tmp_path / "x", timestep=-1)
    turned = np.roll(np.diag([1.2, 1.3, 1.4]), 1, axis=0)
    with pytest.raises(ValueError, match="along x"):
        write_lammps(splines(), replace(periodic_frames(1), box=turned), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_nothing_is_overwritten(tmp_path):
    write_lammps(splines(), random_frames(), tmp_path / "x")
    with pytest.raises(FileExistsError, match="exists already"):
        write_lammps(splines(), random_frames(), tmp_path / "x")


def test_file_has_a_block_for_every_pair_and_triple_of_types():
    heads = [line for line in uf3_file(splines()).splitlines() if line[:2] in ("2B", "3B")]
    assert (
        sum(h.startswith("2B") for h in heads) == 6 and sum(h.startswith("3B") for h in heads) == 18
    )
    assert "3B B A C 0 3 uk" in heads and "2B A C 0 3 uk" in heads


@pytest.fixture
def run_folder(tmp_path):
    level = tmp_path / "run" / "level1"
    level.mkdir(parents=True)
    random_frames().save(level / "frames")
    return level


def test_command_exports_what_was_distilled(run_folder, tmp_path, capsys):
    (run_folder.parent / "level0").mkdir()
    arguments = [
        "export",
        "lammps",
        f"run={run_folder.parent}",
        "level=1",
        f"to={tmp_path / 'out'}",
        "distilled=true",
    ]
    with pytest.raises(SystemExit, match="no distilled potential.*cgrec distil"):
        main(arguments)
    bonded().save(run_folder / "distilled.pt")
    main([*arguments, "timestep=0.004"])
    files = {p.name for p in (tmp_path / "out").iterdir()}
    assert files == {
        "README.md",
        "check.json",
        "system.data",
        "potential.in",
        "potential.uf3",
        "run.in",
        "series.colvars",
    }
    assert (
        "timestep 4.0\n" in (tmp_path / "out" / "run.in").read_text()
        and "README.md" in capsys.readouterr().out
    )


def test_a_verdict_goes_with_the_level(run_folder, tmp_path):
    (run_folder.parent / "level0").mkdir()
    bonded().save(run_folder / "distilled.pt")
    reason = Reason("lost", "do not use", "9 of 9 replicas were lost", "none", "sample longer")
    (run_folder / "report.json").write_text(json.dumps({"verdict": Verdict((reason,)).to_json()}))
    words = ["export", "lammps", f"run={run_folder.parent}", "level=1", "distilled=true"]
    with pytest.warns(Remark, match="do not use: 9 of 9 replicas"):
        main([*words, f"to={tmp_path / 'out'}"])
    assert "do not use: 9 of 9 replicas" in (tmp_path / "out" / "README.md").read_text()
    with pytest.warns(Remark, match="do not use: 9 of 9 replicas"):
        main(["export", "npz", f"run={run_folder.parent}", "level=1", f"to={tmp_path}/a.npz"])


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], "expected the program to export to, lammps, .*found nothing"),
        (["gromacs"], "found gromacs"),
        (["lammps", "run=x", "level=1"], "missing: to="),
        (["lammps", "run=x", "level=1", "to=y", "step=3"], "unknown: step=3"),
    ],
)
def test_command_refuses_with_a_reason(arguments, said):
    with pytest.raises(SystemExit, match=said):
        main(["export", *arguments])
