"""What was never seen is a barrier for the dihedral prior, and its forces are bounded."""

import numpy as np
import pytest

from cgrec import Frames, System
from cgrec.dynamics import Langevin
from cgrec.potential import DihedralPrior, HarmonicPrior
from cgrec.potential.priors.dihedral import BENT, barrier_series
from cgrec.units import thermal_energy

T = 300.0
KT = thermal_energy(T)
POINTS = np.linspace(-np.pi, np.pi, 1440, endpoint=False)
CHAIN = System(
    names=("A", "B", "C", "D"),
    types=("A",) * 4,
    masses=np.full(4, 12.0),
    bonds=[(0, 1), (1, 2), (2, 3)],
)


def chains(dihedrals, bend=1.9, bond=0.15, noise=0.0, seed=0):
    """Frames of four sites in a chain with these dihedrals."""
    inner = np.array([[0, 0, 0], [0, 0, bond]])
    out = bond * np.sin(bend)
    first = np.tile([out, 0, bond * np.cos(bend)], (len(dihedrals), 1))
    last = np.stack(
        [
            out * np.cos(dihedrals),
            out * np.sin(dihedrals),
            np.full(len(dihedrals), bond - bond * np.cos(bend)),
        ],
        1,
    )
    positions = np.concatenate(
        [first[:, None], np.broadcast_to(inner, (len(first), 2, 3)), last[:, None]], 1
    )
    shaken = np.random.default_rng(seed).normal(scale=noise, size=positions.shape) if noise else 0.0
    return Frames(CHAIN, positions + shaken, T)


def scan(prior):
    """(1440,) energy in kT at `POINTS`."""
    return prior.energy_and_forces(chains(POINTS))[0] / KT


def counted(x, bins=72):
    """(1440,) whether the bin each of `POINTS` lies in has a count."""
    place = lambda y: np.minimum(((y + np.pi) * (bins / (2 * np.pi))).astype(int), bins - 1)  # noqa: E731
    return np.bincount(place(x), minlength=bins)[place(POINTS)] > 0


def wrapped(x):
    return (x + np.pi) % (2 * np.pi) - np.pi


@pytest.mark.parametrize("width", [0.05, 0.1, 0.15, 0.25, 0.4, 0.7, 1.2, 2.0])
@pytest.mark.parametrize("n", [500, 2000, 20000])
@pytest.mark.parametrize("wells", [(0.0,), (0.0, 0.7), (0.0, 2.1), (0.0, 2.1, 4.2)])
def test_no_place_unseen_lies_below_the_seen_minimum(width, n, wells):
    rng = np.random.default_rng(int(1000 * width) + n + len(wells))
    for mean in (0.9, np.pi, -2.4):
        x = wrapped(rng.normal(mean + rng.choice(wells, n), width))
        energy = scan(DihedralPrior.fit(chains(x), ["A"]))
        seen = counted(x)
        assert np.ptp(energy) < 2 * np.log(2 * n)
        if not seen.all():
            assert energy[~seen].min() > energy[seen].min() - 1e-9


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_at_every_order_the_well_is_where_the_sample_is_and_slopes_are_bounded(order):
    x = wrapped(np.random.default_rng(order).normal(0.9, 0.2, 3000))
    energy = scan(DihedralPrior.fit(chains(x), ["A"], order=order))
    assert abs(POINTS[energy.argmin()] - 0.9) < 0.2
    far = np.abs(wrapped(POINTS - 0.9)) > 1.5
    assert energy[far].min() > energy.min() + 1.5
    slope = np.abs(np.diff(energy)).max() / (POINTS[1] - POINTS[0])
    assert slope <= order * np.ptp(energy) / 2 * 1.001  # Bernstein's inequality


def test_a_broad_dihedral_keeps_its_boltzmann_inversion():
    """A density that is a Fourier series itself is given back."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-np.pi, np.pi, 400_000)
    u = 1.2 * np.cos(x) + 0.6 * np.sin(2 * x) - 0.4 * np.cos(3 * x)
    x = x[rng.random(len(x)) < np.exp(-u - 2.3)]
    series = barrier_series(np.histogram(x, np.linspace(-np.pi, np.pi, 73))[0].astype(float), 3)
    np.testing.assert_allclose(series, [1.2, 0, -0.4, 0, 0.6, 0], atol=0.04)


@pytest.mark.parametrize("centre", [0.0, np.pi, 2.9])
def test_a_bond_that_is_no_single_one_is_held_by_its_width(centre):
    """Free energy of a normal density of 10 degrees, out to two of its widths; beyond, a barrier
    that no run climbs.
    """
    width = np.radians(10)
    x = wrapped(np.random.default_rng(2).normal(centre, width, 20_000))
    u = scan(DihedralPrior.fit(chains(x, bond=0.134), ["A"]))
    away = wrapped(POINTS - centre)
    near = abs(away) < 2 * width
    np.testing.assert_allclose(
        u[near] - u.min(), away[near] ** 2 / (2 * width**2), rtol=0.1, atol=0.05
    )
    assert np.ptp(u) > 50


@pytest.mark.parametrize("bond, cis, n", [(0.15, 0, 5000), (0.134, 20, 5000), (0.134, 0, 1)])
def test_held_is_no_single_bond_nor_what_was_seen_to_turn_nor_known_from_a_frame(bond, cis, n):
    x = np.random.default_rng(3).normal(0, 0.17, n)
    x[:cis] += np.pi
    assert np.ptp(scan(DihedralPrior.fit(chains(x, bond=bond), ["A"]))) < 34


def test_few_frames_give_a_weak_prior():
    x = wrapped(np.random.default_rng(1).normal(2.0, 0.3, 20))
    assert np.ptp(scan(DihedralPrior.fit(chains(x), ["A"]))) < 6


def fading(bends, series=(1.5, -0.7, 0.4)):
    """A prior, and frames whose first angle is so many rad from a line, with a dihedral of 1 rad."""
    order = len(series)
    own = {"types": ["A"], "n_sites": 4, "sites": [[0, 1, 2, 3]]}
    prior = DihedralPrior(**own, cosine=[list(series)], sine=[[0.9] * order])
    frames = chains(np.full(len(bends), 1.0))
    x = np.array(frames.positions)
    turned = np.arctan2(x[:, 0, 1], x[:, 0, 0])
    size = np.linalg.norm(x[:, 0], axis=1)
    x[:, 0, 0] = size * np.sin(bends) * np.cos(turned)
    x[:, 0, 1] = size * np.sin(bends) * np.sin(turned)
    x[:, 0, 2] = -size * np.cos(bends)
    energy = sum(a * np.cos(n) + 0.9 * np.sin(n) for n, a in enumerate(series, 1))
    return prior, Frames(CHAIN, x, T), energy


def test_the_switch_is_its_formula():
    bends = np.array([1.2, 0.5, 0.31, 0.3, 0.2, 0.1, 0.01])
    prior, frames, series = fading(bends)
    y = np.minimum(np.sin(bends) / BENT, 1.0) ** 2
    wanted = series * (2 * y - y**2)
    assert prior.energy_and_forces(frames)[0] == pytest.approx(wanted, rel=1e-9)
    assert wanted[:3] == pytest.approx(series)


def test_force_goes_to_zero_at_a_line_and_has_no_jump():
    bends = np.concatenate([np.geomspace(1e-12, 1e-2, 30), np.linspace(0.01, 0.6, 500), [0.0]])
    prior, frames, _ = fading(bends)
    energy, forces = prior.energy_and_forces(frames)
    size = np.linalg.norm(forces, axis=-1).max(1)
    usual = size[-2]
    assert np.isfinite(forces).all() and energy[-1] == 0
    assert size.max() < 10 * usual
    assert (size[:30] < 300 * bends[:30] * usual).all() and size[0] < 1e-9
    swings = np.linalg.norm(np.diff(forces[30:-1], axis=0), axis=-1).max(1)
    assert swings.max() < 0.1 * size.max()


def test_force_at_the_switch_is_the_slope_of_the_energy():
    prior, frames, _ = fading(np.array([0.25, 0.1, 0.02]))
    force = prior.energy_and_forces(frames)[1]
    x, step = np.asarray(frames.positions), 1e-7
    for site in range(4):
        for axis in range(3):
            move = np.zeros_like(x)
            move[:, site, axis] = step
            up, down = (
                prior.energy_and_forces(Frames(CHAIN, x + sign * move, T))[0] for sign in (1, -1)
            )
            assert force[:, site, axis] == pytest.approx((down - up) / (2 * step), abs=1e-4)


@pytest.mark.slow
def test_a_narrow_dihedral_does_not_heat_a_run(tmp_path):
    """The chain of a fold: dihedral of width 0.15 rad, bonds and angles as sampled."""
    x = np.random.default_rng(0).normal(0.9, 0.15, 2000)
    frames = chains(x, noise=0.004)
    potential = HarmonicPrior.fit(frames, ["A"], 2) + HarmonicPrior.fit(frames, ["A"], 3)
    potential = potential + DihedralPrior.fit(frames, ["A"])
    made, report = Langevin(
        n_replicas=32,
        length=20.0,
        save_every=0.1,
        equilibration=5.0,
        timestep=0.003,
        friction=5.0,
        compile=False,
    )(potential, frames, tmp_path / "f")
    kinetic, error = report.kinetic_temperature
    assert not report.lost and kinetic == pytest.approx(T, abs=4 * error + 2)
    from cgrec import geometry

    found = geometry.dihedral(np.asarray(made.positions, float), np.array([[0, 1, 2, 3]]))[:, 0]
    assert np.mean(np.abs(wrapped(found - 0.9)) < 1.0) > 0.9
