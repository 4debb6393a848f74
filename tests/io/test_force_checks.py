"""What the forces say of temperature, unit, frame and box: cgrec/io/force_units.py,
hypervirial.py.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cgrec.frames import Frames
from cgrec.io import check_force_units, hypervirial, read
from cgrec.io.hypervirial import molecule_terms
from cgrec.remarks import Remark
from cgrec.sources import FileSource
from cgrec.system import System
from cgrec.units import BOLTZMANN

T = 300.0
SHARED = Path(__file__).parents[3] / "shared" / "data"


def oscillators(
    n_frames: int, n_bonds: int = 20, *, seed: int = 0, noise: float = 0.0, k: float = 1e5
) -> Frames:
    """Heteronuclear bonds drawn exactly from U = k/2 (r - r0)^2 in three dimensions, far from each
    other; their forces with Gaussian noise of `noise` kJ/mol/nm, which keeps their mean.
    """
    rng = np.random.default_rng(seed)
    grid = 0.12 * np.linspace(0.3, 1.7, 20001)
    weight = grid**2 * np.exp(-k * (grid - 0.12) ** 2 / (2 * BOLTZMANN * T))
    r = np.interp(rng.random((n_frames, n_bonds)), np.cumsum(weight) / weight.sum(), grid)
    e = rng.normal(size=(n_frames, n_bonds, 3))
    e /= np.linalg.norm(e, axis=-1, keepdims=True)
    first = 5.0 * np.arange(n_bonds)[:, None] * np.ones(3) + 0.02 * rng.normal(size=e.shape)
    positions = np.stack([first, first + r[..., None] * e], 2).reshape(n_frames, -1, 3)
    pull = (k * (r - 0.12))[..., None] * e
    forces = np.stack([pull, -pull], 2).reshape(n_frames, -1, 3)
    forces = forces + noise * rng.normal(size=forces.shape)
    system = System(
        names=("A", "B") * n_bonds,
        masses=[12.0, 16.0] * n_bonds,
        bonds=[(2 * m, 2 * m + 1) for m in range(n_bonds)],
    )
    return Frames(system, positions, T, forces=forces)


def saved(frames: Frames, path: Path) -> Path:
    """As a user would bring it: an npz with bead names."""
    system = frames.system
    np.savez(
        path,
        positions=frames.positions,
        forces=frames.forces,
        temperature=frames.temperature,
        species=system.names,
        masses=system.masses,
        bonds=system.bonds,
        length_unit="nm",
        energy_unit="kJ/mol",
    )
    return path


@pytest.mark.parametrize("noise", [0.0, 300.0])
def test_the_estimate_is_the_temperature_within_its_error(noise):
    """Thirty samples: the deviations in standard errors scatter by one."""
    checks = [check_force_units(oscillators(300, seed=s, noise=noise)) for s in range(30)]
    assert {c.verdict for c in checks} == {"ok"}
    assert 0.7 < np.std([c.sigmas for c in checks]) < 1.4
    assert abs(np.mean([c.sigmas for c in checks])) < 0.7


def hydrogens_held(n_frames: int, n_bonds: int, *, constraints: bool) -> Frames:
    """Bonds A-B with a hydrogen at a fixed distance from A, a spring between it and B, and a stiff
    angle at A: drawn exactly from their potential, on a grid of bond lengths and cosines.
    """
    rng = np.random.default_rng(3)
    k, pull, bend, held = 5e4, 2e5, 8e3, 0.11
    r, cosine = np.meshgrid(np.linspace(0.1, 0.2, 401), np.linspace(0, 1, 401), indexing="ij")
    apart = np.sqrt(r**2 + held**2 - 2 * r * held * cosine)
    energy = k / 2 * (r - 0.15) ** 2 + pull / 2 * (apart - 0.12) ** 2
    energy += bend / 2 * (cosine - 0.6) ** 2
    weight = (r**2 * np.exp(-energy / (BOLTZMANN * T))).ravel()
    picked = rng.choice(weight.size, (n_frames, n_bonds), p=weight / weight.sum())
    r, cosine, apart = (x.ravel()[picked] for x in (r, cosine, apart))
    e = rng.normal(size=(*r.shape, 3))
    e /= np.linalg.norm(e, axis=-1, keepdims=True)
    across = np.cross(e, rng.normal(size=e.shape))
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    a = 5.0 * np.arange(n_bonds)[:, None] * np.ones(3) + np.zeros_like(e)
    b = a + r[..., None] * e
    h = a + held * (cosine[..., None] * e + np.sqrt(1 - cosine**2)[..., None] * across)
    stretch = (k * (r - 0.15))[..., None] * e
    spring = (pull * (apart - 0.12) / apart)[..., None] * (b - h)
    n, c = (h - a) / held, cosine[..., None]
    on_b, on_h = (-bend * (c - 0.6) * v for v in ((n - c * e) / r[..., None], (e - c * n) / held))
    pulls = (stretch - on_b - on_h, -stretch - spring + on_b, spring + on_h)
    x, forces = (np.stack(v, 2).reshape(n_frames, -1, 3) for v in ((a, b, h), pulls))
    system = System(
        names=("C1", "C2", "H") * n_bonds,
        masses=[12.0, 12.0, 1.0] * n_bonds,
        bonds=[(3 * m, 3 * m + s) for m in range(n_bonds) for s in (1, 2)],
        constraints=[(3 * m, 3 * m + 2) for m in range(n_bonds)] if constraints else None,
    )
    return Frames(system, x, T, forces=forces)


def test_what_constraints_tie_to_a_site_moves_with_it():
    """The bare force on a carbon whose hydrogen is rigid says another temperature."""
    check = check_force_units(hydrogens_held(10_000, 5, constraints=True))
    assert check.verdict == "ok" and check.error < 5
    assert abs(check.estimate - T) < 4 * check.error
    bare = check_force_units(hydrogens_held(10_000, 5, constraints=False))
    assert abs(bare.estimate - T) > 6 * bare.error


@pytest.mark.parametrize("given", [280.0, 285.0, 315.0, 330.0])
def test_a_wrong_temperature_is_judged_in_standard_errors(given):
    check = check_force_units(replace(oscillators(2000), temperature=given))
    assert check.verdict == "off" and "sigma" in check.message
    assert abs(check.estimate - T) < 4 * check.error < 15
    assert check.sensitivity < abs(given - T)


def test_noise_does_not_buy_tolerance():
    """With so much noise that the temperature cannot be told the forces are untested, not right."""
    check = check_force_units(oscillators(100, 2, noise=3000.0))
    assert check.verdict == "untested" and "too large to tell" in check.message


@pytest.mark.parametrize(
    "factor, verdict",
    [
        (0.9, "off"),
        (1.1, "off"),
        (2.0, "off"),
        (4.184, "wrong unit"),
        (1 / 4.184, "wrong unit"),
        (-1, "wrong unit"),
        (-10, "wrong unit"),
        (96.485, "wrong unit"),
    ],
)
def test_a_factor_on_the_forces_is_seen(factor, verdict):
    frames = oscillators(1000, noise=100.0)
    check = check_force_units(replace(frames, forces=factor * frames.forces))
    assert check.verdict == verdict, check.message


@pytest.mark.parametrize("shift, name", [(1, "after"), (-1, "before")])
def test_forces_of_the_neighbouring_frame_are_named(shift, name, tmp_path):
    frames = oscillators(400)
    wrong = replace(frames, forces=np.roll(frames.forces, shift, axis=0))
    check = check_force_units(wrong)
    assert check.verdict == "wrong frame" and f"forces of the frame {name}" in check.message
    with pytest.raises(ValueError, match="shifted against each other by one frame"):
        read(saved(wrong, tmp_path / "a.npz"))


def test_a_frozen_half_is_named_whatever_it_does_to_the_mean():
    frames = oscillators(400, seed=3)
    index = np.minimum(np.arange(400), 200)
    check = check_force_units(frames[index])
    assert check.verdict == "uneven" and "blocks of frames contradict" in check.message


@pytest.mark.parametrize("share", [0.02, 0.1])
def test_a_share_of_foreign_forces_is_seen(share):
    frames = oscillators(500, 40)
    rng = np.random.default_rng(1)
    wrong = rng.random(500) < share
    forces = frames.forces.copy()
    forces[wrong] = rng.permutation(forces)[wrong]
    assert check_force_units(replace(frames, forces=forces)).verdict in ("uneven", "off")


def test_exchanged_forces_of_two_sites_are_named():
    frames = oscillators(2000)
    order = np.arange(frames.n_sites)
    order[[1, 7]] = [7, 1]
    check = check_force_units(replace(frames, forces=frames.forces[:, order]))
    assert check.verdict == "uneven" and "bonds of one kind contradict" in check.message
    assert "site 1)" in check.message or "site 7)" in check.message


def test_few_frames_of_many_bonds_are_enough():
    frames = oscillators(4, 128)
    assert check_force_units(frames).verdict == "ok"
    assert check_force_units(replace(frames, forces=51.4 * frames.forces)).verdict == "wrong unit"
    assert check_force_units(oscillators(3, 2)).verdict == "untested"


def test_weights_of_a_biased_sample_count():
    """Half of the frames from a bond twice as stiff, weighted back: forces are those of the true
    bond.
    """
    frames = oscillators(4000, 1, k=2e5)
    r = np.linalg.norm(frames.positions[:, 1] - frames.positions[:, 0], axis=-1)
    weights = np.exp(0.5e5 * (r - 0.12) ** 2 / (BOLTZMANN * T))
    true = replace(frames, forces=frames.forces / 2)
    assert check_force_units(replace(true, weights=weights)).verdict in ("ok", "untested")
    assert check_force_units(true).estimate < 0.6 * T
    assert abs(check_force_units(replace(true, weights=weights)).ratio - 1) < 0.25


def test_what_the_user_said_is_no_cause():
    """Positions said to be in angstrom are not suspected to be in bohr 'and not nm'."""
    frames = oscillators(300)
    check = check_force_units(replace(frames, forces=0.1 * frames.forces), "eV/angstrom")
    assert "positions" not in check.message
    check = check_force_units(replace(frames, forces=10 * frames.forces), "eV/angstrom", "angstrom")
    assert "the positions are in bohr" not in check.message and "not nm" not in check.message


def test_estimate_and_verdict_are_kept_with_the_source(tmp_path):
    frames = oscillators(600)
    source = FileSource(path=saved(frames, tmp_path / "a.npz"))
    source.make(tmp_path / "level0", 0)
    (found,) = json.loads((tmp_path / "level0" / "source.json").read_text())["checks"][
        "temperature"
    ]
    assert found["verdict"] == "ok" and abs(found["estimate"] - T) < 4 * found["error"]
    off = FileSource(path=saved(replace(frames, temperature=250.0), tmp_path / "b.npz"))
    with pytest.warns(Remark, match="b.npz: forces along bonds imply .* off by"):
        off.make(tmp_path / "other", 0)
    (found,) = json.loads((tmp_path / "other" / "source.json").read_text())["checks"]["temperature"]
    assert found["verdict"] == "off" and found["sigmas"] > 4


def test_a_folder_of_frames_is_checked_when_read(tmp_path):
    frames = oscillators(200)
    path = replace(frames, forces=-10 * frames.forces).save(tmp_path / "frames")
    with pytest.raises(ValueError, match="their sign is wrong"):
        FileSource(path=path).make(tmp_path / "level0", 0)
    assert len(read(path, check_units=False)) == 200
    assert len(read(frames.save(tmp_path / "right"))) == 200


def test_a_long_time_step_is_recognised():
    """Leap-frog at step dt makes a bond of frequency w sample a variance 1 / (1 - (w dt)^2 / 4) too
    large.
    """
    path = SHARED / "ala2_cgnet" / "ala2_coordinates.npy"
    if not path.exists():
        pytest.skip("shared data is not here")
    system = System(
        names=("C1", "N2", "CA", "C4", "N5"),
        masses=[12.011, 14.007, 12.011, 12.011, 14.007],
        elements=("C", "N", "C", "C", "N"),
        bonds=[(0, 1), (1, 2), (2, 3), (3, 4)],
    )
    options = {"length_unit": "angstrom", "force_unit": "kcal/mol/angstrom", "temperature": 300}
    with pytest.warns(
        Remark, match=r"imply 3\d\d.* off by .* sigma; a Verlet time step of 2\.\d fs"
    ):
        read(path, system, forces_path=path.with_name("ala2_forces.npy"), **options)


# ---- molecules ---------------------------------------------------------------------------------


def crystal(n_frames: int, seed: int = 0) -> Frames:
    """100 beads on a lattice, each drawn exactly from U = kT / 2 (x - x0)^2 / s^2 about its place,
    s = 0.05 nm.
    """
    spread = 0.05
    places = (
        np.stack(np.meshgrid(*[np.arange(5)] * 3, indexing="ij"), -1).reshape(-1, 3)[:100] * 0.5
    )
    moved = spread * np.random.default_rng(seed).standard_normal((n_frames, 100, 3))
    forces = -BOLTZMANN * T / spread**2 * moved
    system = System(names=("W",) * 100, masses=np.full(100, 18.0))
    return Frames(system, places + moved, T, forces=forces, box=np.eye(3) * 2.5)


def test_the_estimate_of_molecules_is_the_temperature_within_its_error():
    checks = [check_force_units(crystal(60, seed)) for seed in range(30)]
    sigmas = np.array([c.sigmas for c in checks])
    assert abs(sigmas.mean()) < 4 / 30**0.5 and 0.5 < sigmas.std() < 1.6
    assert (
        abs(np.mean([c.estimate for c in checks]) - T)
        < 4 * np.mean([c.error for c in checks]) / 30**0.5
    )


def test_all_frames_count_and_portions_change_nothing(monkeypatch):
    frames = crystal(400)
    whole = molecule_terms(frames)
    assert whole.used.tolist() == list(range(400))
    monkeypatch.setattr(hypervirial, "_PORTION", 700)  # seven frames
    for one, other in zip(whole.kinds, molecule_terms(frames).kinds, strict=True):
        np.testing.assert_allclose(one.work, other.work, rtol=1e-12)
        np.testing.assert_allclose(one.divergence, other.divergence, rtol=1e-12)
    best = check_force_units(frames)
    monkeypatch.setattr(hypervirial, "_WINDOW_BUDGET", 30_000)
    fewer = molecule_terms(frames).used
    assert 10 < len(fewer) < 100 and len(set(np.diff(fewer))) == 1 and fewer[-1] > 360
    assert check_force_units(frames).error > 1.5 * best.error


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is absent")
def test_water_tells_its_temperature_from_all_frames():
    frames = read(
        SHARED / "water_onesite_spce" / "frames_000_799.npz",
        temperature=300,
        length_unit="nm",
        energy_unit="kJ/mol",
        species="W",
        masses={"W": 18.015},
    )
    check = check_force_units(frames)
    assert check.verdict == "ok" and check.error < 1.5 and abs(check.sigmas) < 3


def test_exchanged_forces_of_two_molecules_are_named():
    frames = crystal(300)
    assert check_force_units(frames).verdict == "ok"
    order = np.arange(100)
    order[[3, 60]] = [60, 3]
    check = check_force_units(replace(frames, forces=frames.forces[:, order]))
    assert check.verdict == "uneven" and "2 of 100 molecules contradict the others" in check.message


@pytest.mark.parametrize("share", [0.01, 0.05])
def test_foreign_forces_in_noisy_chains_of_few_bonds_are_seen(share):
    """Four bonds whose forces hold a third of noise, as of a peptide in solvent."""
    frames = oscillators(5000, 4, noise=150.0)
    assert check_force_units(frames).verdict == "ok"
    wrong = np.random.default_rng(1).random(5000) < share
    forces = frames.forces.copy()
    forces[wrong] = np.roll(forces, 1000, axis=0)[wrong]
    check = check_force_units(replace(frames, forces=forces))
    assert (
        check.verdict == "uneven"
        and "of 5000 frames looked at contradict the others" in check.message
    )


def gas(n_frames: int, seed: int) -> Frames:
    """40 pairs of Lennard-Jones particles, far from each other, that move by small Monte Carlo
    steps: most of them feel next to nothing for long.
    """
    rng, kT = np.random.default_rng(seed), 180 * BOLTZMANN
    energy = lambda r: 4 * ((0.34 / r) ** 12 - (0.34 / r) ** 6)  # noqa: E731
    force = lambda r: 4 * (12 * (0.34 / r) ** 12 - 6 * (0.34 / r) ** 6) / r  # noqa: E731
    r, kept = rng.uniform(0.35, 1.0, 40), []
    for _ in range(500 + 10 * n_frames):
        new = r + 0.05 * rng.normal(size=40)
        ratio = (new / r) ** 2 * np.exp(
            np.minimum(energy(r) - energy(np.maximum(new, 0.25)), 0) / kT
        )
        r = np.where((new > 0.25) & (new < 1.0) & (rng.random(40) < ratio), new, r)
        kept.append(r)
    r = np.array(kept)[500::10][..., None]
    direction = rng.normal(size=(n_frames, 40, 3))
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    middle = 5.0 * np.arange(40)[:, None] * np.array([1, 0, 0])
    half, pull = r * direction / 2, force(r) * direction
    x = np.stack([middle - half, middle + half], 2).reshape(n_frames, 80, 3)
    system = System(names=("Ar",) * 80, masses=[39.9] * 80)
    return Frames(system, x, 180.0, forces=np.stack([-pull, pull], 2).reshape(x.shape))


@pytest.mark.parametrize("n_frames", [30, 60, 200])
@pytest.mark.parametrize("seed", range(4))
def test_molecules_of_a_gas_do_not_contradict_each_other(n_frames, seed):
    assert check_force_units(gas(n_frames, seed)).verdict != "uneven"


@pytest.mark.parametrize("seed", range(3))
def test_frames_that_scatter_unlike_a_gaussian_are_let_through(seed):
    """Eight bonds whose noise has the longer tail of a Laplace distribution, as of beads that
    touch.
    """
    frames, rng = oscillators(4000, 8, noise=0.0), np.random.default_rng(seed)
    noise = 50 * rng.laplace(size=frames.forces.shape)
    assert check_force_units(replace(frames, forces=frames.forces + noise)).verdict != "uneven"
