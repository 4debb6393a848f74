"""Sites on a line, and labels that are not finite."""

import os
from pathlib import Path

import numpy as np
import pytest

from cgrec import Frames, System, read
from cgrec.potential import DensityNetwork, HarmonicPrior, LinePrior, fit_priors
from cgrec.training import ForceMatching
from cgrec.units import thermal_energy

CASES = Path(os.environ.get("CGREC_CASES", Path(__file__).parents[3] / "shared" / "cases"))
KT = thermal_energy(300.0)


def rod(n=4, bend=0.0, n_frames=300, seed=0):
    """n sites 0.15 nm apart along x, each off the line by `bend` nm on average."""
    rng = np.random.default_rng(seed)
    x = np.zeros((n_frames, n, 3))
    x[..., 0] = 0.15 * np.arange(n) + rng.normal(scale=0.003, size=(n_frames, n))
    x[..., 1:] = bend * rng.normal(size=(n_frames, n, 2))
    system = System(
        names=tuple(f"C{k}" for k in range(n)),
        types=("C",) * n,
        masses=np.full(n, 12.0),
        bonds=[(k, k + 1) for k in range(n - 1)],
    )
    return Frames(system, x, 300.0, forces=rng.normal(size=x.shape))


@pytest.mark.parametrize("bend", [0.0, 1e-6, 0.002, 0.005])
@pytest.mark.parametrize("n", [3, 4, 6])
def test_priors_of_a_rod_are_finite_and_no_stiffer_than_its_bonds(bend, n):
    frames = rod(n, bend)
    with pytest.warns(
        UserWarning, match=rf"{n - 2} of {n - 2} angles.*MOL:C0 \(site 0\), MOL:C1 \(site 1\)"
    ):
        priors = fit_priors(frames, types=["C"], cutoff=0.5, dihedrals=True, excluded_volume=False)
    assert [type(p).__name__ for p in priors] == ["HarmonicPrior", "LinePrior"]
    bonds, line = (p.energy_and_forces(frames)[1] for p in priors)
    assert np.isfinite(bonds).all() and np.isfinite(line).all()
    assert np.sqrt((line**2).mean()) < 4 * np.sqrt((bonds**2).mean())


def test_the_stiffness_of_a_line_is_that_of_its_sample():
    """Bends of a Gaussian of two dimensions with k = 200 kJ/mol."""
    rng, k = np.random.default_rng(1), 200.0
    x = np.zeros((100_000, 3, 3))
    x[:, 0, 0], x[:, 2, 0] = -0.15, 0.15 * np.cos(0)
    bend = rng.normal(scale=np.sqrt(KT / k), size=(len(x), 2))
    size = np.linalg.norm(bend, axis=1)
    x[:, 2, 0] = 0.15 * np.cos(size)
    x[:, 2, 1:] = 0.15 * np.sin(size)[:, None] * bend / size[:, None]
    system = System(
        names=("O", "C", "O"), types=("O", "C", "O"), masses=[16.0, 12, 16], bonds=[(0, 1), (1, 2)]
    )
    prior = LinePrior.fit(Frames(system, x, 300.0), ["C", "O"])
    assert float(prior.stiffness) == pytest.approx(k, rel=0.02)


def test_a_bent_angle_that_passes_through_the_line_stays_finite():
    x = np.array([[[0, 0, 0], [0.15, 0, 0], [0.3, 0, 0]]])
    system = System(names=("C",) * 3, masses=[12.0] * 3, bonds=[(0, 1), (1, 2)])
    prior = HarmonicPrior(
        types=["C"], n_sites=3, sites=[[0, 1, 2]], centre=[2.6], stiffness=[100.0]
    )
    energy, force = prior.energy_and_forces(Frames(system, x, 300.0))
    assert energy[0] == pytest.approx(50 * (np.pi - 2.6) ** 2) and np.isfinite(force).all()


def test_a_bond_held_rigid_gets_a_spring_a_time_step_can_follow():
    frames = rod(3, 0.002)
    x = np.array(frames.positions)
    x[:, 1] = x[:, 0] + [0.15, 0, 0]
    prior = HarmonicPrior.fit(Frames(frames.system, x, 300.0), ["C"], 2)
    assert float(prior.stiffness.max()) <= KT / 1e-6 * 1.001


def quick(frames, priors=(), steps=4):
    network = DensityNetwork(
        types=sorted(set(frames.system.types)), cutoff=0.5, channels=4, width=8
    )
    return ForceMatching(steps=steps, batch_size=4, validate_every=steps // 2, compile=False)(
        network, frames, priors=priors
    )


def test_the_frame_with_two_sites_at_one_place_is_named():
    frames = rod(4, 0.02, 100)
    x = np.array(frames.positions)
    x[37, 3] = x[37, 0]
    frames = Frames(frames.system, x, 300.0, forces=frames.forces)
    with pytest.raises(
        ValueError,
        match=r"frame 37, site 0 \(MOL:C0\): expected finite forces of the prior ExcludedVolume",
    ):
        quick(frames, fit_priors(frames, types=["C"], cutoff=0.5))
    with pytest.raises(ValueError, match=r"a finite loss, found one of frames \[37\]"):
        quick(frames, steps=44)


def test_a_label_that_is_not_finite_is_named():
    frames = rod(4, 0.02, 100)
    forces = np.array(frames.forces)
    forces[11, 2, 1] = np.nan
    try:
        spoilt = Frames(frames.system, frames.positions, 300.0, forces=forces)
    except ValueError:
        return  # refused even earlier
    with pytest.raises(ValueError, match="frame 11, site 2"):
        quick(spoilt)


def test_labels_that_are_all_zero_can_be_trained_on():
    """A molecule in vacuum as one site."""
    system = System(names=("B",), masses=[100.0])
    frames = Frames(system, np.zeros((40, 1, 3)), 300.0, forces=np.zeros((40, 1, 3)))
    _, report = quick(frames)
    assert report.explained_fraction == 0


@pytest.mark.slow
def test_the_line_of_the_cases_runs(tmp_path):
    from cgrec.dynamics import FeatureGuard, Langevin

    path = CASES / "20_line.npz"
    if not path.exists():
        pytest.skip("shared cases are not here")
    frames = read(path, temperature=300, masses={f"C{k}": 12.0 for k in range(1, 5)})
    network = DensityNetwork.for_frames(frames, 0, cutoff=0.5, channels=8, width=16)
    priors = fit_priors(frames, types=network.types, cutoff=0.5, dihedrals=True)
    potential, _ = ForceMatching(steps=300, batch_size=16, validate_every=100)(
        network, frames, priors=priors
    )
    _, report = Langevin(
        n_replicas=4, length=1.0, save_every=0.05, equilibration=0.1, timestep=0.001
    )(potential, frames, tmp_path / "f", guard=FeatureGuard.fit(potential, frames))
    assert report.lost == []
