"""Local order against ideal gases and perfect crystals."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from cgrec.frames import Frames
from cgrec.observables import (
    Liquid,
    compare_liquids,
    first_shell_angles,
    liquid,
    mean_absolute_difference,
    radial_distributions,
    rdf,
    tetrahedral_order,
    three_body,
)
from cgrec.observables.structure import RadialDistribution
from cgrec.system import System

FCC = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2
DIAMOND = np.concatenate([FCC, FCC + 0.25])
TRICLINIC = np.array([[2.2, 0, 0], [0.7, 2.2, 0], [-0.6, 0.8, 2.2]])


def crystal(basis, cells, constant, n_frames=2, spread=False):
    """A perfect crystal; `spread` sends every site into another cell of the periodic lattice."""
    shifts = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    x = constant * (shifts + basis).reshape(-1, 3)
    box = constant * cells * np.eye(3)
    x = np.broadcast_to(x, (n_frames, *x.shape)).copy()
    if spread:
        x += np.random.default_rng(0).integers(-3, 4, x.shape) @ box
    return Frames(System(names=("A",) * x.shape[1], masses=np.ones(x.shape[1])), x, 300.0, box=box)


def gas(n_frames, n_sites, box=TRICLINIC, seed=1, **fields):
    x = np.random.default_rng(seed).random((n_frames, n_sites, 3)) @ box
    return Frames(
        System(names=("A",) * n_sites, masses=np.ones(n_sites)), x, 300.0, box=box, **fields
    )


def peaks(order):
    """{x: weight} of the bins that hold something."""
    width = order.x[1] - order.x[0]
    return {round(float(x), 3): w for x, w in zip(order.x, order.density * width) if w > 0}


# ---- angles --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", [{"r_shell": 0.5}, {"n_neighbours": 6}])
def test_angles_of_an_ideal_gas_follow_the_sine(shell):
    p = first_shell_angles(gas(300, 80), "A", bins=18, **shell)
    assert p.unit == "rad"
    assert p.density.sum() * np.pi / 18 == pytest.approx(1.0)
    edges = np.linspace(0, np.pi, 19)
    expected = (np.cos(edges[:-1]) - np.cos(edges[1:])) / 2 / (np.pi / 18)
    assert p.ideal == pytest.approx(expected)
    z = (p.density - expected) / p.error
    assert np.abs(z).max() < 4.5 and 0.3 < (z**2).mean() < 2.5
    assert p.relative == pytest.approx(p.density / expected)
    assert abs(p.mean - np.pi / 2) < 4 * p.mean_error


def test_angles_of_a_simple_cubic_crystal():
    frames = crystal(np.zeros((1, 3)), 4, 0.3, spread=True)
    for shell in ({"r_shell": 0.35}, {"n_neighbours": 6}):
        found = peaks(
            first_shell_angles(frames, "A", bins=181, **shell)
        )  # 90 and 180 degrees are bin centres
        # of 15 pairs of six neighbours twelve are at a right angle and three opposite
        assert found == pytest.approx(
            {round(np.pi / 2, 3): 12 / 15, round(np.pi * 180.5 / 181, 3): 3 / 15}
        )


def test_angles_of_an_fcc_crystal_in_its_primitive_triclinic_cell():
    cell = 0.4 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2
    shifts = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), -1).reshape(-1, 3)
    x = (shifts @ cell)[None]
    frames = Frames(System(names=("A",) * 64, masses=np.ones(64)), x, 300.0, box=4 * cell)
    p = first_shell_angles(frames, "A", r_shell=0.33, bins=9)
    # 66 pairs of twelve neighbours: 24 at 60, 12 at 90, 24 at 120, 6 at 180 degrees
    # 60 and 120 degrees are bin edges, see below
    weights = np.array([0, 0, 0, 24, 12, 0, 24, 0, 6]) / 66
    found = p.density * np.pi / 9
    assert found[4] == pytest.approx(weights[4]) and found[8] == pytest.approx(weights[8])
    assert found[2] + found[3] == pytest.approx(24 / 66) and found[5] + found[6] == pytest.approx(
        24 / 66
    )
    assert np.isnan(p.error).all()  # a single frame


def test_angles_only_of_the_type_asked_for_and_by_weight():
    cubic, oblique = (
        [[0.0, 0, 0], [0.3, 0, 0], [0, 0.3, 0]],
        [[0.0, 0, 0], [0.3, 0, 0], [-0.3, 0, 0]],
    )
    blocker = [0.01, 0.02, 0.03]
    x = np.array([[*cubic, blocker], [*oblique, blocker]])
    system = System(names=("A", "A", "A", "B"), masses=np.ones(4))
    frames = Frames(system, x, 300.0, box=5 * np.eye(3), weights=np.array([1.5, 0.5]))
    found = peaks(first_shell_angles(frames, "A", r_shell=0.31, bins=181))
    assert found == pytest.approx({round(np.pi / 2, 3): 0.75, round(np.pi * 180.5 / 181, 3): 0.25})


def test_angles_say_what_is_wrong():
    frames = gas(2, 10)
    with pytest.raises(ValueError, match="either r_shell or n_neighbours"):
        first_shell_angles(frames, "A")
    with pytest.raises(ValueError, match="either r_shell or n_neighbours"):
        first_shell_angles(frames, "A", r_shell=0.3, n_neighbours=4)
    with pytest.raises(ValueError, match="no site of type"):
        first_shell_angles(frames, "O", r_shell=0.3)
    with pytest.raises(ValueError, match="enlarge r_shell"):
        first_shell_angles(frames, "A", r_shell=1e-4)
    with pytest.raises(ValueError, match="no box"):
        tetrahedral_order(Frames(frames.system, frames.positions, 300.0), "A")


# ---- tetrahedral order ---------------------------------------------------------------------------


def test_diamond_is_perfectly_tetrahedral():
    q = tetrahedral_order(crystal(DIAMOND, 2, 0.5, spread=True), "A")
    assert q.mean == pytest.approx(1.0, abs=1e-12) and q.mean_error == pytest.approx(0.0, abs=1e-12)
    assert peaks(q) == pytest.approx({0.99: 1.0})


def test_tetrahedral_order_of_an_ideal_gas_is_zero_on_average():
    q = tetrahedral_order(gas(1200, 60, seed=2), "A")
    assert abs(q.mean) < 4 * q.mean_error < 0.02
    assert q.density.sum() * 0.02 == pytest.approx(1.0)
    assert q.density @ q.x * 0.02 == pytest.approx(q.mean, abs=0.01)
    # six independent terms: var q = (3/8)^2 6 var (cos + 1/3)^2, pairs of pairs being independent
    # too
    c = np.linspace(-1, 1, 200001)
    variance = 6 * (3 / 8) ** 2 * ((c + 1 / 3) ** 2).var()
    assert q.density @ (q.x - q.mean) ** 2 * 0.02 == pytest.approx(variance, rel=0.03)


def test_tetrahedral_order_finds_neighbours_across_a_void():
    """A droplet and a site far from it, beyond the reach that the mean density suggests."""
    drop = 0.3 * np.random.default_rng(3).random((40, 3))
    x = np.concatenate([drop, [[10.0, 10.0, 10.0]]])
    frames = Frames(
        System(names=("A",) * 41, masses=np.ones(41)), x[None], 300.0, box=20 * np.eye(3)
    )
    q = peaks(tetrahedral_order(frames, "A"))
    assert q[-2.99] == pytest.approx(1 / 41)  # it sees all four in one direction: q = -3


# ---- triangles -----------------------------------------------------------------------------------


def test_triangles_of_an_ideal_gas_are_those_of_two_points_in_a_ball():
    p = three_body(gas(300, 80), "A", 0.5, bins=20)
    rng = np.random.default_rng(7)  # by brute force, not by the formula
    points = rng.uniform(-0.5, 0.5, (2, 2_000_000, 3))
    inside = (np.linalg.norm(points, axis=-1) < 0.5).all(0)
    sides = np.linalg.norm(points[0, inside] - points[1, inside], axis=1)
    counts, edges = np.histogram(sides, 20, (0, 1.0))
    assert p.ideal == pytest.approx(counts / len(sides) / np.diff(edges), abs=0.02)
    assert p.ideal.sum() * 0.05 == pytest.approx(1.0)
    z = (p.density - p.ideal)[1:] / p.error[1:]
    assert np.abs(z).max() < 4.5 and 0.3 < (z**2).mean() < 2.5


def test_triangles_of_a_simple_cubic_crystal():
    p = three_body(crystal(np.zeros((1, 3)), 4, 0.3), "A", 0.35, bins=70)
    found = peaks(p)
    assert found.pop(0.425) == pytest.approx(12 / 15)
    # 0.6 nm is an edge
    assert sum(found.values()) == pytest.approx(3 / 15) and set(found) <= {0.595, 0.605}
    assert p.mean == pytest.approx(0.8 * 0.3 * 2**0.5 + 0.2 * 0.6)


# ---- difference of two radial distributions ------------------------------------------------------


def flat(r, g, error):
    return RadialDistribution(("A", "A"), r, np.broadcast_to(g, r.shape), np.full(r.shape, error))


def test_difference_of_known_distributions():
    fine, coarse = np.linspace(0.0, 1.0, 401), np.linspace(0.02, 0.98, 49)
    a, b = flat(fine, 1 + 2 * fine, 0.03), flat(coarse, 1 + 2 * coarse - 0.1, 0.04)
    for pair in ((a, b), (b, a)):
        found = mean_absolute_difference(*pair, 0.3, 0.7)
        assert found.value == pytest.approx(0.1)
        n = ((coarse >= 0.3) & (coarse <= 0.7)).sum()
        assert found.error == pytest.approx(0.05 / n**0.5)
        assert found.floor == pytest.approx((2 / np.pi) ** 0.5 * 0.05)
    with pytest.raises(ValueError, match="where both are known"):
        mean_absolute_difference(a, b, 0.3, 1.2)


def test_the_floor_is_what_two_samples_of_one_gas_show():
    box = 2 * np.eye(3)
    found = []
    for seed in range(12):
        pair = [rdf(gas(60, 40, box, 100 + 2 * seed + k), "A", "A", 1.0, bins=25) for k in (0, 1)]
        found.append(mean_absolute_difference(*pair, 0.3, 0.96))
    assert np.mean([f.value for f in found]) == pytest.approx(
        np.mean([f.floor for f in found]), rel=0.15
    )


def test_types_of_one_molecule_have_no_radial_distribution():
    """A solute whose solvent was dropped keeps its box, and has no pair between molecules."""
    x = np.random.default_rng(3).random((20, 5, 3)) * 2
    lone = System(
        names=("A", "B", "A", "C", "C"), masses=np.ones(5), bonds=[(0, 1), (1, 2), (2, 3), (3, 4)]
    )
    one = Frames(lone, x, 300.0, box=2 * np.eye(3))
    assert compare_liquids(one, one) == []
    two = System(names=("A", "B", "A", "C", "C"), masses=np.ones(5), bonds=[(0, 1), (1, 2), (3, 4)])
    found = [g.types for g in radial_distributions(Frames(two, x, 300.0, box=2 * np.eye(3)))]
    assert found == [("A", "C"), ("B", "C")]


# ---- ensembles compared more than once -----------------------------------------------------------


def test_an_ensemble_is_counted_once_however_often_it_is_compared(monkeypatch):
    frames = [dense(seed) for seed in (1, 2, 3)]
    expected = [compare_liquids(a, b) for a, b in ((frames[0], frames[1]), (frames[2], frames[1]))]
    counted = []
    for name in ("radial_distributions", "first_shell_angles", "three_body", "tetrahedral_order"):
        original = getattr(liquid, name)
        monkeypatch.setattr(
            liquid,
            name,
            lambda f, *a, _own=original, _name=name, **k: counted.append(_name) or _own(f, *a, **k),
        )
    first, second, third = map(Liquid, frames)
    assert [compare_liquids(first, second), compare_liquids(third, second)] == expected
    assert compare_liquids(first, second) == expected[0]
    assert Counter(counted) == dict.fromkeys(
        ("radial_distributions", "first_shell_angles", "three_body", "tetrahedral_order"), 3
    )


def dense(seed):
    """A liquid with a first shell: a lattice, shaken."""
    frames = crystal(np.zeros((1, 3)), 5, 0.35, n_frames=6)
    noise = np.random.default_rng(seed).normal(scale=0.03, size=frames.positions.shape)
    return Frames(frames.system, frames.positions + noise, 300.0, box=frames.box)


def test_distances_beyond_one_and_a_half_nanometres_are_compared_only_where_asked_for():
    frames = gas(2, 60, 5.0 * np.eye(3))
    assert radial_distributions(frames)[0].r[-1] == pytest.approx(1.495)
    assert radial_distributions(frames, 2.4)[0].r[-1] == pytest.approx(2.395)
    assert radial_distributions(frames, 9.9)[0].r[-1] == pytest.approx(2.495)
    assert liquid.compared_range(frames) == 1.5
    assert compare_liquids(frames, frames)[0].high == pytest.approx(1.495)


def test_portions_of_centres_make_no_difference(monkeypatch):
    frames = gas(3, 150, TRICLINIC)
    whole = three_body(frames, "A", 0.6), first_shell_angles(frames, "A", r_shell=0.6)
    monkeypatch.setattr(liquid, "_PORTION", 500)
    for a, b in zip(
        whole, (three_body(frames, "A", 0.6), first_shell_angles(frames, "A", r_shell=0.6))
    ):
        np.testing.assert_array_equal(a.density, b.density)
        assert a.mean == pytest.approx(b.mean, rel=1e-13)


def test_a_gas_without_shells_has_no_local_order_to_compare():
    frames = gas(4, 8, 5.0 * np.eye(3))
    x = np.array(frames.positions)
    x[:, 1] = x[:, 0] + [0.3, 0, 0]  # one pair: the highest peak of g(r)
    pair = Frames(frames.system, x, 300.0, box=frames.box)
    with pytest.raises(ValueError, match="no site has two neighbours"):
        first_shell_angles(pair, "A", r_shell=0.31)
    assert {d.what for d in compare_liquids(pair, pair)} == {"g(r)"}
