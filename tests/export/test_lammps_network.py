"""The network of a level in real LAMMPS, by the plugin, against cgrec: energies, forces, virial, guard."""

import json
import shutil
import subprocess
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from contracts import random_frames
from lammps_runs import command, lammps, run

from cgrec import Frames, System
from cgrec.dynamics import FeatureGuard
from cgrec.dynamics.guard_file import save_guard
from cgrec.export import write_lammps
from cgrec.potential import (
    Angles,
    Bonds,
    Branches,
    DensityNetwork,
    Dihedrals,
    DihedralSeries,
    ExcludedVolume,
    ScreenedCoulomb,
    SitePairSplines,
    SumPotential,
    UF3Potential,
    VolumeTerm,
)

#: Of forces, over their root mean square: what float32 leaves.
SAME = 2e-5


@pytest.fixture(scope="module", autouse=True)
def needed():
    command(1)
    if shutil.which("g++") is None:
        pytest.skip("no g++ here")


def built(potential, frames, folder, *guard):
    write_lammps(potential, frames, folder, *guard)
    done = subprocess.run(["bash", "build.sh"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def disturbed(network, seed=1):
    """With an output that counts: as made, it is next to nothing."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    return network


def liquid(n_frames=20, side=5, types=("A", "B")):
    """Sites of two types and masses that jiggle about a lattice in a box that is not a cube."""
    rng = np.random.default_rng(3)
    n = side**3
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)
    edges = np.array([1.5, 1.6, 1.7])
    x = grid * edges / side + 0.03 * rng.normal(size=(n_frames, n, 3))
    names = [types[k % len(types)] for k in range(n - n % len(types))]
    x = x[:, : len(names)]
    masses = [20.0 if t == types[0] else 35.0 for t in names]
    forces = 300 * rng.normal(size=x.shape)
    return Frames(System(tuple(names), masses), x, 300.0, box=np.diag(edges), forces=forces)


def chain():
    """Six beads with all bonded priors, walls and a network, in an open system."""
    frames = random_frames(1500, seed=3)
    frames = replace(frames, forces=np.random.default_rng(1).normal(size=frames.positions.shape))
    types = sorted(set(frames.system.types))
    network = disturbed(DensityNetwork.for_frames(frames, cutoff=0.6, channels=8, width=16))
    priors = [prior for make in (Bonds(), Angles()) for prior in make(frames, types)]
    for make in (Branches(), Dihedrals()):
        made = make(frames, types)
        priors += made if isinstance(made, list) else [made]
    own = {"types": types, "n_sites": 6}
    series = DihedralSeries(
        **own, sites=[[0, 1, 2, 3], [1, 2, 3, 4]], orders=[[1, -1]], cosine=[2.0], sine=[-1.0]
    )
    splines = SitePairSplines(
        **own, sites=[[0, 4], [0, 3]], knots=[0.2, 0.3, 0.5], coefficients=[[9.0], [-7.0]]
    )
    wall = ExcludedVolume.fit(frames[:200], types, 0.6)
    return SumPotential([*priors, series, splines, wall, network]), frames


def assert_same(potential, frames, folder, ranks=(1, 2, 4)):
    energy, force = (x[0] for x in potential.energy_and_forces(frames[-1:]))
    check = json.loads((folder / "check.json").read_text())
    assert check["energy"] == pytest.approx(energy) and np.allclose(check["forces"], force)
    for n in ranks:
        found, forces = lammps(folder, n)
        assert found == pytest.approx(energy, rel=1e-5)
        np.testing.assert_allclose(forces, force, atol=SAME * np.sqrt((force**2).mean()))


@pytest.mark.slow
@pytest.mark.parametrize("layers", [1, 2])
def test_a_liquid_by_one_and_two_layers(layers, tmp_path):
    frames = liquid()
    network = DensityNetwork.for_frames(frames, cutoff=0.55, channels=8, width=16, n_layers=layers)
    splines = UF3Potential(types=network.types, cutoff=0.6, spacing=0.1)
    splines.coefficients.data += 3 * torch.sin(torch.arange(len(splines.coefficients)))
    wall = ExcludedVolume.fit(frames, network.types, 0.5)
    volume = VolumeTerm(types=network.types, volume=0.03, coefficients=[3.0, 20.0])
    potential = SumPotential([wall, disturbed(network), splines, volume])
    folder = built(potential, frames, tmp_path / "liquid")
    assert_same(potential, frames, folder)
    assert stress(folder, frames) == pytest.approx(
        potential.energy_forces_virial(frames[-1:])[2][0], rel=1e-4, abs=1e-2
    )


def stress(folder, frames):
    """kJ/mol: the virial by the pressure that LAMMPS prints of sites at rest."""
    setup = (folder / "run.in").read_text().split("velocity")[0]
    (folder / "press.in").write_text(
        f"{setup}thermo_style custom step pxx pyy pzz pxy pxz pyz\n"
        "thermo_modify format float %.16g\nrun 0\n"
    )
    lines = run(folder, "press.in", 2).splitlines()
    start = next(k for k, line in enumerate(lines) if "Pxx" in line)
    xx, yy, zz, xy, xz, yz = map(float, lines[start + 1].split()[1:])
    # an atmosphere times a cubic nanometre; LAMMPS' own constant of real units
    volume = np.linalg.det(frames.boxes()[-1]) * 1000 / 68568.415 * 4.184
    return volume * np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


@pytest.mark.slow
def test_ions_with_all_their_images(tmp_path):
    frames = liquid(side=4)
    network = DensityNetwork.for_frames(frames, cutoff=0.55, channels=8, width=16)
    charges = ScreenedCoulomb(
        types=network.types, charges=[1, -1], permittivity=78.4, accuracy=1e-9
    )
    potential = SumPotential([charges, disturbed(network)])
    folder = built(potential, frames, tmp_path / "salt")
    assert_same(potential, frames, folder)
    alone = charges.energy_and_forces(frames[-1:])[0][0]
    assert abs(alone) > 1e-2 * abs(potential.energy_and_forces(frames[-1:])[0][0])
    found = stress(folder, frames)
    wanted = potential.energy_forces_virial(frames[-1:])[2][0]
    assert found == pytest.approx(wanted, rel=1e-4, abs=1e-4 * np.abs(wanted).max())


@pytest.mark.slow
def test_a_chain_with_all_bonded_priors_runs_and_is_watched(tmp_path):
    potential, frames = chain()
    guard = FeatureGuard.fit(potential, frames)
    folder = built(potential, frames, tmp_path / "chain", partial(save_guard, guard))
    assert_same(potential, frames, folder, ranks=(1, 2))
    said = run(folder, "run.in", 1, "-var", "steps", "2000").splitlines()
    start = next(k for k, line in enumerate(said) if "c_outside" in line)
    score = float(said[start + 1].split()[-1])
    assert score == pytest.approx(float(guard.score(potential.graph(frames[-1:]))[0]), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_the_guard_stops_what_lies_outside(ranks, tmp_path):
    """A liquid pressed together: the same score as ours, and the run ends early."""
    frames = liquid()
    network = disturbed(DensityNetwork.for_frames(frames, cutoff=0.55, channels=8, width=16))
    guard = FeatureGuard.fit(network, frames)
    away = frames.positions.copy()
    away[-1, 0] = away[-1, 1] + [0.0, 0.0, 0.02]
    folder = built(
        network, replace(frames, positions=away), tmp_path / "x", partial(save_guard, guard)
    )
    outside = float(guard.score(network.graph(replace(frames, positions=away)[-1:]))[0])
    assert outside > 1
    said = run(folder, "run.in", ranks, "-var", "steps", "2000")
    lines = said.splitlines()
    start = next(k for k, line in enumerate(lines) if "c_outside" in line)
    assert float(lines[start + 1].split()[-1]) == pytest.approx(outside, rel=1e-3)
    assert "Fix halt condition for fix-id stop met on step" in said


@pytest.mark.slow
def test_files_of_another_plugin_are_refused(tmp_path):
    frames = liquid()
    folders = []
    for k, width in enumerate((16, 24)):
        network = DensityNetwork.for_frames(frames, cutoff=0.55, channels=8, width=width)
        folders.append(write_lammps(network, frames, tmp_path / str(k)))
    done = subprocess.run(["bash", "build.sh"], cwd=folders[0], capture_output=True, text=True)
    assert done.returncode == 0
    shutil.copy(folders[0] / "cgrecplugin.so", folders[1])
    start, environment = command(1)
    done = subprocess.run(
        [*start, "-in", "run.in"], cwd=folders[1], env=environment, capture_output=True, text=True
    )
    assert (
        done.returncode and "belongs to another plugin: run build.sh" in done.stdout + done.stderr
    )


def test_two_networks_are_refused(tmp_path):
    frames = liquid()
    networks = [DensityNetwork.for_frames(frames, cutoff=0.5, channels=8, width=16) for _ in "ab"]
    with pytest.raises(ValueError, match="expected one network.*DensityNetwork, DensityNetwork"):
        write_lammps(SumPotential(networks), frames, tmp_path / "x")
