"""The state point is part of a sum, and a run is held to it."""

from dataclasses import replace

import numpy as np
import pytest

from cgrec import Frames, Potential, System
from cgrec.dynamics import Langevin
from cgrec.potential import DensityNetwork, ExcludedVolume, fit_priors
from cgrec.training import ForceMatching

BOX = 1.3 * np.eye(3)


def liquid(edge=1.3, n_frames=12, n=27, temperature=300.0, box=True):
    grid = (np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3) + 0.5) / 3
    rng = np.random.default_rng(0)
    edges = np.broadcast_to(edge, n_frames)[:, None, None]
    positions = grid * edges + rng.normal(scale=0.02, size=(n_frames, n, 3))
    boxes = edges * np.eye(3) if box else None
    forces = rng.normal(size=positions.shape)
    return Frames(
        System(names=("A",) * n, masses=np.full(n, 18.0)),
        positions,
        temperature,
        forces=forces,
        box=boxes,
    )


def wall(temperature=None, density=None):
    made = ExcludedVolume(types=["A"], cutoff=0.5, energy=2.5, diameters=[[0.25]], n_sites=1)
    made.temperature, made.density = temperature, density
    return made


def run(potential, start, folder, **options):
    return Langevin(
        n_replicas=2, length=0.02, save_every=0.01, equilibration=0.0, compile=False, **options
    )(potential, start, folder)


def test_a_sum_keeps_the_state_of_its_terms(tmp_path):
    pmf = wall() + wall()
    pmf.temperature, pmf.density = 300.0, (12.0, 12.5)
    for total in (
        pmf + wall(),
        wall() + pmf,
        pmf + wall() + wall(),
        pmf + pmf,
        (pmf + wall()).compiled(),
    ):
        assert total.temperature == 300.0 and total.density == (12.0, 12.5)
    (pmf + wall()).save(tmp_path / "p.pt")
    assert Potential.load(tmp_path / "p.pt").density == (12.0, 12.5)
    assert (wall() + wall()).temperature is None


def test_terms_of_two_states_are_not_added():
    with pytest.raises(ValueError, match="PMFs of 300.0 K and 320.0 K"):
        wall(300.0) + wall(320.0)
    with pytest.raises(ValueError, match="12 to 12.5 and of 14 to 14 sites per nm"):
        wall(300.0, (12.0, 12.5)) + wall(300.0, (14.0, 14.0))
    assert (wall(300.0, (12.0, 12.5)) + wall(300.0, (12.4, 13.0))).density == (12.4, 12.5)


def test_a_trained_pmf_knows_its_state_and_a_run_at_another_is_refused(tmp_path):
    frames = liquid(edge=np.linspace(1.29, 1.31, 12))  # from constant pressure
    network = DensityNetwork(types=["A"], cutoff=0.5, channels=4, width=8)
    priors = fit_priors(frames, types=["A"], cutoff=0.5)
    pmf, _ = ForceMatching(steps=2, batch_size=4, validate_every=2)(network, frames, priors=priors)
    assert pmf.temperature == 300.0
    np.testing.assert_allclose(pmf.density, (27 / 1.31**3, 27 / 1.29**3))
    run(pmf, liquid(1.295), tmp_path / "inside")
    for k, (edge, total) in enumerate(((1.25, pmf), (1.35, pmf + wall()))):
        with pytest.raises(ValueError, match="other_density=True"):
            run(total, liquid(edge), tmp_path / f"outside{k}")
        run(total, liquid(edge), tmp_path / f"asked{k}", other_density=True)
    with pytest.raises(ValueError, match="the run has no box"):
        run(pmf, liquid(box=False), tmp_path / "open")
    with pytest.raises(ValueError, match="PMF made at 300.0 K and the run is at 310.0 K"):
        run(pmf + wall(), liquid(temperature=310.0), tmp_path / "hot")


def test_an_energy_and_an_open_pmf_have_no_density(tmp_path):
    frames = liquid(box=False)
    network = DensityNetwork(types=["A"], cutoff=0.5, channels=4, width=8)
    pmf, _ = ForceMatching(steps=2, batch_size=4, validate_every=2, torque_weight=0)(
        network, frames
    )
    assert pmf.temperature == 300.0 and pmf.density is None
    labelled = replace(liquid(), energies=np.zeros(12))
    energy, _ = ForceMatching(steps=2, batch_size=4, validate_every=2, energy_weight=1.0)(
        network, labelled
    )
    assert energy.temperature is None and energy.density is None
    run(energy, liquid(1.4), tmp_path / "any")


def test_priors_inverted_from_samples_of_two_temperatures_are_no_sum():
    warm, hot = (ExcludedVolume.fit(liquid(temperature=t), ["A"], 0.5) for t in (300.0, 400.0))
    assert (warm + ExcludedVolume.fit(liquid(), ["A"], 0.5)).temperature == 300.0
    with pytest.raises(ValueError, match=r"300\.0 K and 400\.0 K .*make both at one temperature"):
        _ = warm + hot
    _ = warm + hot.made_at(None)  # one that is said to be an energy
