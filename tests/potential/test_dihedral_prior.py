"""What was never seen is a barrier for the dihedral prior, and its forces are bounded."""

import numpy as np
import pytest

from cgrec import Frames, System
from cgrec.dynamics import Langevin
from cgrec.potential import DihedralPrior, HarmonicPrior
from cgrec.potential.priors.dihedral import barrier_series
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


def test_few_frames_give_a_weak_prior():
    x = wrapped(np.random.default_rng(1).normal(2.0, 0.3, 20))
    assert np.ptp(scan(DihedralPrior.fit(chains(x), ["A"]))) < 6


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
