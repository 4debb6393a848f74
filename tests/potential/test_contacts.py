"""Diameters of the excluded volume: robust to single frames, and no fold's own distances."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cgrec import Frames, System, read
from cgrec.bonds import close_pairs
from cgrec.potential import ExcludedVolume
from cgrec.units import thermal_energy

SHARED = Path(os.environ.get("CGREC_DATA", Path(__file__).parents[3] / "shared" / "data"))


def diameters(frames, cutoff, **options):
    types = sorted(set(frames.system.types))
    return np.array(ExcludedVolume.fit(frames, types, cutoff, **options).config["diameters"])


def hard_spheres(n_frames=100, per_edge=4, edge=1.6, shortest=0.26, names="W", seed=0):
    """Sites of a disturbed lattice in a box, never closer than `shortest`."""
    rng = np.random.default_rng(seed)
    n, spacing = per_edge**3, edge / per_edge
    grid = (
        np.stack(np.meshgrid(*[np.arange(per_edge)] * 3, indexing="ij"), -1).reshape(-1, 3) + 0.5
    ) * spacing
    kicks = rng.normal(size=(n_frames, n, 3))
    kicks *= (
        0.5
        * (spacing - shortest)
        * rng.random((n_frames, n, 1)) ** (1 / 3)
        / np.linalg.norm(kicks, axis=-1, keepdims=True)
    )
    system = System(names=tuple(names[k % len(names)] for k in range(n)), masses=np.full(n, 18.0))
    return Frames(system, grid + kicks, 300.0, box=edge * np.eye(3))


def fold(n_frames=200, width=0.03, seed=0):
    """A helix of twenty sites, each of its own type, that never unfolds: 0.38 nm bonds, 0.15 nm a
    residue.
    """
    rng = np.random.default_rng(seed)
    t = np.arange(20)
    helix = np.stack([0.23 * np.cos(1.745 * t), 0.23 * np.sin(1.745 * t), 0.15 * t], 1)
    system = System(
        names=tuple(f"R{k}" for k in t),
        masses=np.full(20, 110.0),
        bonds=[(k, k + 1) for k in range(19)],
    )
    return Frames(system, helix + rng.normal(scale=width, size=(n_frames, 20, 3)), 300.0)


@pytest.mark.parametrize("bad", [[37], [5, 50, 93], [10, 11, 12, 13]])
@pytest.mark.parametrize("distance", [0.0, 0.03])
def test_a_few_frames_no_molecule_can_be_in_do_not_move_the_wall(bad, distance):
    frames = hard_spheres()
    spoilt = np.array(frames.positions)
    spoilt[bad, 0] = spoilt[bad, 1] + [distance, 0, 0]
    before, after = (diameters(f, 0.7)[0, 0] for f in (frames, replace(frames, positions=spoilt)))
    assert after == pytest.approx(before, rel=0.03) and after > 0.25


def test_a_liquid_has_its_shortest_distance():
    frames = hard_spheres(400)
    found = diameters(frames, 0.7)[0, 0]
    box = 1.6
    x = np.asarray(frames.positions)
    d = x[:, :, None] - x[:, None]
    r = np.linalg.norm(d - box * np.round(d / box), axis=-1)
    shortest = r[:, ~np.eye(64, dtype=bool)].min()
    assert shortest <= found < 1.03 * shortest


def test_a_fold_lends_no_wall_to_pairs_it_keeps_apart():
    """Whatever the cutoff: a contact of 0.5 nm between any two residues costs little."""
    frames = fold()
    for cutoff in (0.8, 1.0, 1.2):
        wall = ExcludedVolume.fit(frames, sorted(set(frames.system.types)), cutoff)
        d = np.array(wall.config["diameters"])
        assert (d > 0.3).all() and d.max() < 0.52
        assert (np.triu(d, 4) / 0.5).max() ** 12 < 2  # kT at 0.5 nm
        costs = wall.energy_and_forces(frames)[0] / thermal_energy(300.0)
        assert np.median(costs) < 4


def test_the_wall_does_not_grow_with_the_cutoff():
    near, far = (diameters(fold(), cutoff) for cutoff in (0.8, 1.4))
    np.testing.assert_allclose(far, near, rtol=0.25)
    near, far = (diameters(hard_spheres(names="ABCD"), cutoff) for cutoff in (0.5, 0.79))
    np.testing.assert_allclose(far, near, rtol=0.02)


def test_types_that_never_meet_get_the_contact_distance_of_the_others():
    frames = hard_spheres()
    names = list(frames.system.names)
    names[0], names[42] = "A", "B"  # half a box apart in each direction: 1.39 nm
    two = System(names=tuple(names), masses=frames.system.masses)
    d = diameters(Frames(two, frames.positions, 300.0, box=frames.box), 0.6)
    assert d[0, 1] == pytest.approx(d[2, 2], rel=0.05)
    assert d[0, 0] == d[1, 1] == d[0, 1]


@pytest.mark.parametrize(
    ("masses", "expected"), [((22.99, 35.45), 0.27), ((18.0, 18.0), 0.23), ((78.0, 78.0), 0.38)]
)
def test_where_nothing_meets_sizes_come_from_masses(masses, expected):
    system = System(names=("A", "B"), masses=masses)
    frames = Frames(system, np.tile([[0, 0, 0], [3.0, 0, 0]], (10, 1, 1)), 300.0)
    for cutoff in (0.6, 1.5):
        assert diameters(frames, cutoff)[0, 1] == pytest.approx(expected, abs=0.01)


def test_different_ions_keep_their_different_sizes():
    """A mixture in which like charges stay further apart than unlike ones: each pair of types has
    its own wall.
    """
    path = SHARED / "nacl_4M_spce" / "ions_0000_3199.npz"
    if not path.exists():
        pytest.skip("shared NaCl data is not here")
    frames = read(path, length_unit="nm", energy_unit="kJ/mol", step=8)
    cl, na = diameters(frames, 1.0)
    assert na[1] == pytest.approx(0.305, abs=0.02) and cl[0] == pytest.approx(0.41, abs=0.02)
    assert na[0] == pytest.approx(0.258, abs=0.01)


def test_water_is_as_before():
    path = SHARED / "water_onesite_spce" / "frames_000_799.npz"
    if not path.exists():
        pytest.skip("shared water data is not here")
    frames = read(
        path, species="W", masses={"W": 18.015}, length_unit="nm", energy_unit="kJ/mol", step=2
    )
    spoilt = np.array(frames.positions)
    spoilt[[5, 130, 277], 0] = spoilt[[5, 130, 277], 1] + [0.03, 0, 0]
    for one in (frames, replace(frames, positions=spoilt)):
        assert diameters(one, 0.6)[0, 0] == pytest.approx(0.242, abs=0.004)


def test_close_pairs_of_many_sites_take_no_square():
    n = 100_002
    bonds = np.stack([np.arange(n - 1), np.arange(1, n)], 1)[np.arange(n - 1) % 3 != 2]
    pairs = close_pairs(n, np.asarray(bonds))
    assert len(pairs) == 6 * n // 3
    wall = ExcludedVolume(
        types=["W"], cutoff=0.5, energy=2.5, diameters=[[0.2]], n_sites=n, excluded=pairs.tolist()
    )
    assert sum(b.numel() * b.element_size() for b in wall.buffers()) < 8e6


def test_beads_that_pass_through_each_other_have_no_wall():
    """Centres of chains lie anywhere; others keep their distance. No frame costs more than the wall
    is meant to.
    """
    frames = hard_spheres(200, names="AB")
    x = np.array(frames.positions)
    free = np.array([name == "A" for name in frames.system.names])
    x[:, free] = np.random.default_rng(5).uniform(0, 1.6, (200, free.sum(), 3))
    frames = replace(frames, positions=x)
    found = diameters(frames, 0.7)
    assert found[0, 0] == 0 and found[0, 1] == 0 and found[1, 1] > 0.25
    wall = ExcludedVolume.fit(frames, ["A", "B"], 0.7)
    energies = np.asarray(wall.energy_and_forces(frames)[0])
    assert energies.max() < 32 * 31 / 2 * thermal_energy(300)
