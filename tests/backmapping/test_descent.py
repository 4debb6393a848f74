"""Going down with weights: against quadrature, and by the command, from a run on disk."""

import json
import re

import numpy as np
import pytest
import torch

import cgrec
from cgrec import Frames, System
from cgrec.backmapping import FlowBackmapper, TemplateBackmapper, audit, step_down
from cgrec.cli import main
from cgrec.mapping import Pick
from cgrec.statistics import Estimate

pytestmark = pytest.mark.slow  # its tests look at a climb that they make

KT = 8.314462618e-3 * 300.0


class Triangle:
    """A and C kept, B between them on two springs; energies in kJ/mol."""

    def energy_and_forces(self, frames):
        x = np.asarray(frames.positions, float)
        ab, bc = (np.linalg.norm(x[:, 1] - x[:, k], axis=-1) for k in (0, 2))
        return 0.5 * 2e4 * (ab - 0.15) ** 2 + 0.5 * 1e4 * (bc - 0.17) ** 2, np.zeros_like(x)


class Flat:
    """A coarse potential that knows nothing."""

    def energy_and_forces(self, frames):
        return np.zeros(len(frames)), np.zeros(frames.positions.shape)


def free_energy(R):
    """-ln of the integral over B, by quadrature on rings around the axis, kT."""
    z, rho = np.meshgrid(np.linspace(-0.3, 0.6, 1801), np.linspace(0, 0.35, 701), indexing="ij")
    energy = (
        0.5 * 2e4 * (np.hypot(z, rho) - 0.15) ** 2 + 0.5 * 1e4 * (np.hypot(z - R, rho) - 0.17) ** 2
    )
    return -np.log(
        (2 * np.pi * rho * np.exp(-energy / KT)).sum()
        * (z[1, 0] - z[0, 0])
        * (rho[0, 1] - rho[0, 0])
    )


@pytest.fixture(scope="module")
def case():
    """Sites at distances even between 0.2 and 0.26 nm, a flow fitted to atoms that are only roughly
    right.
    """
    rng = np.random.default_rng(0)
    n = 6000
    system = System(names=("A", "B", "C"), masses=[1.0, 1.0, 1.0], bonds=[(0, 1), (1, 2)])
    mapping = Pick(["A", "C"])(system)
    R = rng.uniform(0.2, 0.26, n)
    x = np.zeros((n, 3, 3))
    x[:, 2, 0] = R
    r, cosine, turn = 0.15 + 0.012 * rng.normal(size=n), None, rng.uniform(0, 2 * np.pi, n)
    s = 0.17 + 0.017 * rng.normal(size=n)
    cosine = np.clip((r**2 + R**2 - s**2) / (2 * r * R), -0.95, 0.95)
    sine = np.sqrt(1 - cosine**2)
    x[:, 1] = r[:, None] * np.stack([cosine, sine * np.cos(turn), sine * np.sin(turn)], 1)
    frames = Frames(system, x, 300.0)
    return mapping, FlowBackmapper.fit(frames, mapping, steps=800, width=32), mapping(frames)


def test_audit_finds_the_free_energy(case):
    mapping, flow, coarse = case
    some = coarse[:60]
    exact = np.array(
        [free_energy(R) for R in np.linalg.norm(np.diff(some.positions, axis=1)[:, 0], axis=-1)]
    )
    found = audit(some, flow, Triangle(), Flat(), n_draws=400)
    off = found.audited - (exact - exact.mean())
    assert np.abs(off).max() < 5 * found.error.max()
    assert (off**2).mean() == pytest.approx((found.error**2).mean(), rel=0.6)
    assert found.rms.value == pytest.approx(exact.std(), abs=3 * found.rms.error + 0.02)
    assert found.slope == pytest.approx((0, 0), abs=1e-12)
    assert found.ess > 0.3


class Known:
    """The coarse potential that the quadrature says."""

    def energy_and_forces(self, frames):
        R = np.linalg.norm(np.diff(frames.positions, axis=1)[:, 0], axis=-1)
        grid = np.linspace(0.19, 0.27, 81)
        return KT * np.interp(R, grid, [free_energy(r) for r in grid]), np.zeros(
            frames.positions.shape
        )


@pytest.mark.slow
def test_audit_of_the_right_potential_finds_nothing(case):
    mapping, flow, coarse = case
    found = audit(coarse[:80], flow, Triangle(), Known(), n_draws=400)
    assert found.rms.value < 0.05
    assert found.slope.value == pytest.approx(1, abs=max(0.05, 4 * found.slope.error))
    assert isinstance(found.entropy, Estimate)


def test_weights_make_up_for_a_wrong_coarse_potential(case):
    """Distances are even; under the springs they are not."""
    mapping, flow, coarse = case
    fine, step = step_down(coarse, flow, Triangle(), Flat(), resample_below=0.0)
    assert np.abs(mapping(fine).positions - coarse.positions).max() < 1e-13
    R = np.linalg.norm(fine.positions[:, 2] - fine.positions[:, 0], axis=-1)
    grid = np.linspace(0.2, 0.26, 61)
    weight = np.exp(-np.array([free_energy(r) for r in grid]))
    exact = np.trapezoid(grid * weight, grid) / np.trapezoid(weight, grid)
    assert abs(R.mean() - exact) > 1e-3  # without weights it is wrong
    assert np.average(R, weights=fine.weights) == pytest.approx(exact, abs=5e-4)
    ab = np.linalg.norm(fine.positions[:, 1] - fine.positions[:, 0], axis=-1)
    spread = np.sqrt(
        np.average((ab - np.average(ab, weights=fine.weights)) ** 2, weights=fine.weights)
    )
    z, rho = np.meshgrid(np.linspace(-0.3, 0.6, 901), np.linspace(0, 0.35, 351), indexing="ij")
    p, squares, first = 0.0, 0.0, 0.0
    for R0 in grid[::3]:
        energy = (
            0.5 * 2e4 * (np.hypot(z, rho) - 0.15) ** 2
            + 0.5 * 1e4 * (np.hypot(z - R0, rho) - 0.17) ** 2
        )
        w = rho * np.exp(-energy / KT)
        p, first, squares = (
            p + w.sum(),
            first + (w * np.hypot(z, rho)).sum(),
            squares + (w * np.hypot(z, rho) ** 2).sum(),
        )
    assert spread == pytest.approx(np.sqrt(squares / p - (first / p) ** 2), rel=0.05)
    assert 0.1 < step.ess < 1


def test_resampled_frames_are_moved_apart(case):
    mapping, flow, coarse = case
    fine, step = step_down(coarse[:500], flow, Triangle(), Flat(), resample_below=1.0, rounds=10)
    assert step.resampled
    assert fine.weights is None
    assert 0.2 < step.acceptance < 1
    assert len(np.unique(fine.positions[:, 1].round(12), axis=0)) > 0.9 * len(fine)


def test_without_energies_the_weights_of_the_sites_stay(case):
    mapping, flow, coarse = case
    weighted = Frames(
        coarse.system, coarse.positions, 300.0, weights=np.linspace(0.5, 1.5, len(coarse))
    )
    fine, step = step_down(
        weighted, TemplateBackmapper.fit(flow(coarse), mapping), Triangle(), Flat()
    )
    assert np.array_equal(fine.weights, weighted.weights)
    assert np.isnan(step.ess)


def test_descend_by_command_resumes_and_can_be_read(tiny, capsys):
    arguments = ["descend", f"run={tiny}", "from=2", "to=0", "frames=50", "method=library"]
    main(arguments)
    folder = tiny / "descent_2_0"
    chain = cgrec.load(tiny)
    path = chain.levels[2].mapping @ chain.levels[1].mapping
    atoms = Frames.load(folder / "level0")
    assert len(atoms) == 50
    middle = Frames.load(folder / "level1")
    assert np.abs(path(atoms).positions - chain.levels[2].mapping(middle).positions).max() < 1e-12
    import MDAnalysis

    universe = MDAnalysis.Universe(str(folder / "atoms.pdb"), str(folder / "atoms.xtc"))
    assert len(universe.trajectory) == 50
    assert len(universe.bonds) == len(atoms.system.bonds)
    stamp = (folder / "level0" / "positions.npy").stat().st_mtime_ns
    main(arguments)
    assert (folder / "level0" / "positions.npy").stat().st_mtime_ns == stamp
    assert len(json.loads((folder / "descent.json").read_text())["steps"]) == 2
    with pytest.raises(SystemExit, match=r"was made with frames=50 and now it is 60"):
        main([*arguments[:-2], "frames=60", "method=library"])
    with pytest.raises(SystemExit, match=r"0 <= to < from <= "):
        main(["descend", f"run={tiny}", "from=9", "to=0"])
    with pytest.raises(SystemExit, match=r"missing: to="):
        main(["descend", f"run={tiny}", "from=2"])


def test_chain_descends_from_frames(tiny):
    chain = cgrec.load(tiny)
    coarse = chain.levels[1].frames[:20]
    fine = chain.descend(
        coarse, to=0, fit={"method": "template"}, generator=torch.Generator().manual_seed(3)
    )
    assert np.abs(chain.levels[1].mapping(fine).positions - coarse.positions).max() < 1e-12
    with pytest.raises(ValueError, match=r"below 1"):
        chain.descend(coarse, to=1)
    with pytest.raises(ValueError, match=r"expected frames of one of its levels"):
        chain.descend(Frames(System(names=("X",), masses=[1.0]), np.zeros((1, 1, 3)), 300.0))


def test_analyse_backmapping_by_command(tiny, capsys):
    main(
        [
            "analyse-backmapping",
            f"run={tiny}",
            "level=1",
            "frames=20",
            "draws=4",
            "steps=2",
            "audited=10",
            "audit_draws=8",
        ]
    )
    text = capsys.readouterr().out
    assert "library, own simulation" in text
    assert "W1 of energies" in text or "worst bond" in text
    folder = tiny / "level1"
    reports = json.loads((folder / "backmapping.json").read_text())
    method = next(iter(reports)).split(",")[0]
    assert reports[f"{method}, mapped true frames"]["round_trip"]["value"] < 1e-12
    page = (tiny / "report.html").read_text()
    assert len(re.findall(r"<h2[^>]*>\s*Restored frames", page)) == 1
    with pytest.raises(SystemExit, match=r"level= 1 or above"):
        main(["analyse-backmapping", f"run={tiny}", "level=0"])
