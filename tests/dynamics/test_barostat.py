"""Constant pressure: the volumes of an ideal gas, and a term of the volume that is found again."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from cgrec import Frames, System
from cgrec.corrections import PressureMatching
from cgrec.dynamics import Barostat, Hook, Langevin
from cgrec.observables import pressure
from cgrec.potential import SumPotential, UF3Potential, VolumeTerm
from cgrec.units import PRESSURE, thermal_energy

T = 300.0
KT = thermal_energy(T)


def sites(n, edge, n_frames=1, bonds=()):
    side = int(np.ceil(n ** (1 / 3)))
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)[:n]
    x = np.repeat((grid + 0.5)[None] * edge / side, n_frames, 0)
    system = System(("A",) * n, [40.0] * n, bonds=list(bonds))
    return Frames(system, x, T, box=np.eye(3) * edge)


def gas():
    """Sites that feel nothing."""
    return UF3Potential(types=["A"], cutoff=0.3)


def run(potential, start, folder, barostat, **given):
    options = {"n_replicas": 32, "length": 20, "equilibration": 6, "save_every": 0.2}
    engine = Langevin(timestep=0.02, hooks=[barostat], compile=True, **{**options, **given})
    frames, _ = engine(potential, start, folder, seed=4)
    return frames, json.loads((folder / "simulation.json").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("bonded", [False, True], ids=["sites", "molecules of two"])
def test_volumes_of_an_ideal_gas(bonded, tmp_path):
    """p(V) ~ V^N exp(-P V / kT): mean (N + 1) kT / P, N molecules."""
    n = 20
    bonds = [(2 * k, 2 * k + 1) for k in range(n // 2)] if bonded else []
    molecules = n // 2 if bonded else n
    pressure = (molecules + 1) * KT / 27.0
    barostat = Barostat(pressure=pressure / PRESSURE["bar"], every=5)
    frames, report = run(gas(), sites(n, 3.0, bonds=bonds), tmp_path / "run", barostat)
    volumes = np.linalg.det(frames.boxes())
    each = volumes.reshape(-1, 32).mean(0)
    assert volumes.mean() == pytest.approx(27.0, abs=4 * each.std() / np.sqrt(32))
    assert volumes.std() / volumes.mean() == pytest.approx((molecules + 1) ** -0.5, rel=0.15)
    if bonded:  # nothing holds the pair together, and nothing but their own motion takes them apart
        assert 0.1 < report["hooks"]["barostat"]["acceptance"] <= 1


def test_a_run_that_goes_on_is_one_that_never_stopped(tmp_path):
    whole, _ = run(
        gas(), sites(8, 2.0), tmp_path / "a", Barostat(pressure=20), length=2, equilibration=1
    )
    run(gas(), sites(8, 2.0), tmp_path / "b", Barostat(pressure=20), length=1, equilibration=1)
    longer, _ = run(
        gas(), sites(8, 2.0), tmp_path / "b", Barostat(pressure=20), length=2, equilibration=1
    )
    assert np.array_equal(whole.boxes(), longer.boxes())
    assert np.array_equal(whole.positions, longer.positions)
    assert np.ptp(np.linalg.det(whole.boxes())) > 0


def fluid():
    """Soft repulsion, and a term of the volume."""
    pair = UF3Potential(types=["A"], cutoff=0.5, spacing=0.1)
    with torch.no_grad():
        pair.coefficients[:3] = torch.tensor([20.0, 12.0, 5.0], dtype=torch.float64)
    term = VolumeTerm(types=["A"], volume=0.125, coefficients=[-14.0, 20.0])
    return pair, term


@pytest.mark.slow
def test_a_term_of_the_volume_is_found_again(tmp_path):
    """The parent has a term that the level does not know; by the parent's volumes it does."""
    pair, term = fluid()
    start = sites(64, 2.0)
    parent, _ = run(
        pair + term, start, tmp_path / "parent", Barostat(pressure=1000, every=10), length=40
    )
    level = UF3Potential(types=["A"], cutoff=0.5, spacing=0.1)
    with torch.no_grad():
        level.coefficients.copy_(pair.coefficients)
    level.made_at(T)
    own = Langevin(timestep=0.02, n_replicas=32, length=10, save_every=0.5, compile=True)
    ran, _ = own(level, parent, tmp_path / "run", seed=2)
    corrected = PressureMatching(pressure=1000)(level, ran, parent, None)
    found = corrected.potential.parts[-1]
    about = corrected.about["pressure"]
    v = np.linalg.det(parent.boxes()).mean() / 64
    x = v / term.volume - 1
    slope = (term.coefficients[0] + 2 * term.coefficients[1] * x) / term.volume
    error = 4 * about["error"] * PRESSURE["bar"]
    assert float(found.coefficients[0]) / v == pytest.approx(float(slope), abs=error)
    again, _ = run(
        corrected.potential,
        parent,
        tmp_path / "again",
        Barostat(pressure=1000, every=10),
        length=40,
    )
    one, other = (np.linalg.det(f.boxes()) for f in (parent, again))
    assert other.mean() == pytest.approx(one.mean(), rel=0.01)
    assert other.var() / other.mean() == pytest.approx(one.var() / one.mean(), rel=0.3)


def test_a_term_of_the_volume_is_found_by_pressures_of_several_densities():
    """Its slope at each density is what the parent's pressure has beside that of the pairs."""
    pair, term = fluid()
    level = pair.made_at(T)
    edges = (1.95, 2.0, 2.05, 2.1)
    frames = [sites(64, edge, 20) for edge in edges]
    boxes = np.repeat([f.box for f in frames], 20, axis=0)
    run = replace(
        frames[0], positions=np.concatenate([f.positions for f in frames]), box=boxes, replicas=None
    )

    def costs(which, edge):
        volume = edge**3
        low, high = (
            which.energy_and_forces(sites(64, (volume * s) ** (1 / 3)))[0][0]
            for s in (0.999, 1.001)
        )
        return -(high - low) / (0.002 * volume) / PRESSURE["bar"]

    pressures = [
        [64 / edge**3, pressure(pair, f).value + costs(term, edge)]
        for edge, f in zip(edges, frames)
    ]
    corrected = PressureMatching(pressures=pressures)(level, run, run, None)
    found = corrected.potential.parts[-1]
    for edge in (*edges, 1.97):
        assert costs(found, edge) == pytest.approx(costs(term, edge), abs=1)
    about = corrected.about["pressure"]
    assert np.allclose(about["with_term"], about["parent"], atol=1)
    assert np.abs(np.subtract(about["without_term"], about["parent"])).min() > 50
    with pytest.raises(ValueError, match="a pressure for each density of the parent, .*6.911"):
        PressureMatching(pressures=pressures[:3])(level, run, run, None)
    with pytest.raises(ValueError, match="none at 8.63.* more dynamics.n_replicas"):
        PressureMatching(pressures=pressures)(level, run[20:], run, None)


def test_pressures_are_of_one_kind():
    for given, found in (({}, "neither"), ({"pressure": 1, "pressures": [[1, 2], [2, 3]]}, "both")):
        with pytest.raises(ValueError, match=f"found {found}"):
            PressureMatching(**given)
    for few in ([[33.0, 1.0]], [[33.0], [34.0]]):
        with pytest.raises(ValueError, match="of two densities at least"):
            PressureMatching(pressures=few)


def test_what_does_not_know_the_volume_is_refused(tmp_path):
    pair, term = fluid()
    pmf = pair.made_at(T)
    with pytest.raises(ValueError, match="knows what a volume costs.*PressureMatching"):
        run(pmf, sites(64, 2.0), tmp_path / "a", Barostat())
    with pytest.raises(ValueError, match="expected replicas in a box"):
        run(gas(), replace(sites(8, 2.0), box=None), tmp_path / "b", Barostat())
    with pytest.raises(ValueError, match="whose box changes"):
        PressureMatching(pressure=1)(gas(), sites(8, 2.0, 5), sites(8, 2.0, 5), None)
    with pytest.raises(ValueError, match="Barostat.every"):
        Barostat(every=0)
    with pytest.raises(ValueError, match="in a box"):
        term.energy_and_forces(replace(sites(8, 2.0), box=None))


def test_volumes_beyond_those_of_the_parent_are_not_taken_and_counted(tmp_path):
    potential = gas() + VolumeTerm(types=["A"], volume=1.0, coefficients=[0.0])
    potential.made_at(T)
    potential.density = (0.95, 1.05)
    with pytest.warns(match="went beyond the densities"):
        frames, report = run(
            potential, sites(8, 2.0), tmp_path / "a", Barostat(pressure=1), length=20
        )
    density = 8 / np.linalg.det(frames.boxes())
    assert density.min() > 0.95 * 0.98 and density.max() < 1.05 * 1.02
    assert report["hooks"]["barostat"]["beyond_known_densities"] > 0.01


def test_the_term_is_saved_with_its_level(tmp_path):
    pair, term = fluid()
    (pair + term).save(tmp_path / "x.pt")
    loaded = SumPotential.load(tmp_path / "x.pt")
    frames = sites(64, 2.0, 3)
    assert np.array_equal(
        loaded.energy_and_forces(frames)[0], (pair + term).energy_and_forces(frames)[0]
    )
    assert term.energy_and_forces(frames)[0][0] == pytest.approx(0, abs=1e-9)  # at v0
    # - V dU/dV in each direction
    virial = term.energy_forces_virial(frames)[2][0]
    assert virial == pytest.approx(64 * 14.0 * np.eye(3), rel=1e-9)


def test_a_bias_beside_it_is_refused(tmp_path):
    class Push(Hook):
        pushes = True

        def push(self, replicas):
            return torch.zeros(len(replicas.positions)), torch.zeros_like(replicas.positions)

    with pytest.raises(ValueError, match="expected no bias"):
        Langevin(n_replicas=2, length=1, timestep=0.02, hooks=[Barostat(), Push()], compile=False)(
            gas(), sites(8, 2.0), tmp_path / "x", seed=0
        )
