"""Walls where the sample of a bond or an angle ends, and none where a spring says it all."""

import numpy as np
import pytest
import torch

from cgrec import Frames, System, geometry
from cgrec.potential import Angles, Bonds, FlatBottomPrior, HarmonicPrior, SumPotential
from cgrec.potential.priors import ChainWalls, flat_bottom
from cgrec.potential.priors.terms import inverse_masses
from cgrec.units import thermal_energy

TYPES = ("A",)


def chain(cosines, lengths):
    """Frames of four sites in a plane with these cosines of both angles, and these bonds."""
    turn = np.pi - np.arccos(cosines)
    direction = np.cumsum(np.concatenate([np.zeros((len(turn), 1)), turn], axis=1), axis=1)
    steps = lengths[..., None] * np.stack(
        [np.cos(direction), np.sin(direction), np.zeros_like(direction)], axis=-1
    )
    positions = np.concatenate([np.zeros((len(turn), 1, 3)), np.cumsum(steps, axis=1)], axis=1)
    system = System(["A"] * 4, [70.0] * 4, bonds=[(0, 1), (1, 2), (2, 3)])
    return Frames(system, positions, 300.0)


@pytest.fixture
def frames():
    """Angles whose cosines fill -0.8 to 0.2 evenly, bonds that are normal."""
    rng = np.random.default_rng(4)
    return chain(rng.uniform(-0.8, 0.2, (20_000, 2)), rng.normal(0.38, 0.005, (20_000, 3)))


def test_walls_of_angles_stand_where_their_sample_ends(frames):
    wall = FlatBottomPrior.fit(frames, TYPES, 3)
    assert wall.sites.tolist() == [[0, 1, 2], [1, 2, 3]]
    assert wall.lower.numpy() == pytest.approx(-0.8 + 1e-3, abs=4e-4)
    assert wall.upper.numpy() == pytest.approx(0.2 - 1e-3, abs=4e-4)
    # the sample ends within a hundredth; no wall is steeper than a fifth of a standard deviation
    spread = 1 / np.sqrt(12)
    assert wall.above.numpy() == pytest.approx(
        thermal_energy(300) / (flat_bottom.SOFTEST * spread) ** 2, rel=0.02
    )


def test_a_normal_bond_has_a_spring_and_no_wall(frames):
    assert [type(p) for p in Bonds()(frames, TYPES)] == [HarmonicPrior]
    assert [type(p) for p in Angles()(frames, TYPES)] == [HarmonicPrior, FlatBottomPrior]


def test_bonds_of_two_states_have_walls():
    """Beads of two residues: a helix is short, a strand long."""
    rng = np.random.default_rng(5)
    lengths = rng.choice([0.45, 0.65], (5_000, 3)) + rng.normal(0, 0.01, (5_000, 3))
    wall = FlatBottomPrior.fit(chain(rng.uniform(-0.5, 0.5, (5_000, 2)), lengths), TYPES, 2)
    assert wall.lower.numpy() == pytest.approx(0.45 - 0.03, abs=0.01)
    assert wall.upper.numpy() == pytest.approx(0.65 + 0.03, abs=0.01)


def test_no_wall_swings_faster_than_the_stiffest_bond():
    """A bond that ends early on one side, as quantum chemistry's do: its wall was four times as
    stiff, and took half of the time step.
    """
    rng = np.random.default_rng(7)
    kT, stiffness = thermal_energy(300), 6e5
    normal = rng.normal(0, np.sqrt(kT / stiffness), (20_000, 3))
    lengths = 0.12 + np.maximum(normal, -1.5 * np.sqrt(kT / stiffness))
    frames = chain(rng.uniform(-0.5, 0.5, (20_000, 2)), lengths)
    spring, wall = HarmonicPrior.fit(frames, TYPES, 2), FlatBottomPrior.fit(frames, TYPES, 2)
    assert float(wall.below.max()) == pytest.approx(float(spring.stiffness.max()), rel=1e-6)


def test_inverse_masses_are_those_of_wilson():
    rng = np.random.default_rng(8)
    frames = chain(rng.uniform(-0.5, 0.5, (100, 2)), rng.normal(0.38, 0.005, (100, 3)))
    r = np.linalg.norm(np.diff(frames.positions, axis=1), axis=-1)
    cosines = np.cos(geometry.angle(frames.positions, np.array([[0, 1, 2], [1, 2, 3]])))
    a, b = r[:, :2], r[:, 1:]
    # of an angle; that of its cosine has the square of the sine beside
    swing = (1 / a**2 + 1 / b**2 + (a**2 + b**2 - 2 * a * b * cosines) / (a * b) ** 2) / 70
    expected = (swing * (1 - cosines**2)).mean()
    found = inverse_masses(frames, geometry.cosine, frames.system.bonded_paths(3))
    assert found == pytest.approx(np.full(2, expected))
    assert inverse_masses(frames, geometry.distance, [(0, 1)]) == pytest.approx(2 / 70)


def test_energy_and_forces():
    """Zero between the walls, and the parabola beyond them."""
    wall = FlatBottomPrior(
        types=TYPES,
        n_sites=4,
        sites=[[0, 1], [1, 2], [2, 3]],
        lower=[0.3, 0.3, 0.3],
        upper=[0.4, 0.4, 0.4],
        below=[100.0, 100.0, 0.0],
        above=[300.0, 300.0, 300.0],
    )
    lengths = np.array([[0.35, 0.3, 0.4], [0.25, 0.35, 0.1], [0.35, 0.5, 0.35]])
    energy, forces = wall.energy_and_forces(chain(np.zeros((3, 2)), lengths))
    assert np.asarray(energy) == pytest.approx([0, 0.5 * 100 * 0.05**2, 0.5 * 300 * 0.1**2])
    norms = np.linalg.norm(np.asarray(forces), axis=-1)
    assert norms == pytest.approx(np.array([[0, 0, 0, 0], [5, 5, 0, 0], [0, 30, 30, 0]]), abs=1e-9)


def test_few_frames_know_no_ends(frames):
    assert FlatBottomPrior.fit(frames[: flat_bottom.FEWEST // 2 - 1], TYPES, 3) is None
    assert FlatBottomPrior.fit(frames[: flat_bottom.FEWEST], TYPES, 3) is not None


def test_a_collapsed_angle_costs_what_no_spring_asks(frames):
    """Three alpha carbons at 50 degrees: a spring of their variance lets that happen."""
    spring, wall = Angles()(frames, TYPES)
    folded = chain(np.full((1, 2), np.cos(np.radians(50))), np.full((1, 3), 0.38))
    alone, _ = spring.energy_and_forces(folded)
    both, _ = SumPotential([spring, wall]).energy_and_forces(folded)
    kT = thermal_energy(300)
    assert float(alone[0]) < 12 * kT
    assert float(both[0]) > 30 * kT


def test_equal_sites_share_their_walls():
    """The two ends of the chain are one kind: what only one of them has seen holds for both."""
    rng = np.random.default_rng(6)
    cosines = np.stack([rng.uniform(-0.8, 0.0, 4_000), rng.uniform(-0.2, 0.4, 4_000)], axis=1)
    wall = FlatBottomPrior.fit(chain(cosines, np.full((4_000, 3), 0.38)), TYPES, 3)
    assert torch.equal(wall.lower[:1], wall.lower[1:])
    assert wall.upper.numpy() == pytest.approx(0.4, abs=0.01)


def five(distances):
    """Five sites on a line, the last of which stands this far, nm, from the first."""
    x = np.zeros((len(distances), 5, 3))
    x[:, :4, 0] = 0.38 * np.arange(4)
    x[:, 4, 1] = distances
    system = System(
        names=tuple("ABCDE"),
        types=("X",) * 5,
        masses=np.ones(5),
        bonds=[(k, k + 1) for k in range(4)],
    )
    return Frames(system, x, 300.0)


def test_sites_far_along_a_chain_stay_where_they_were_seen():
    """Each pair has a wall of its own where its distances end, whatever the type."""
    seen = five(np.random.default_rng(2).uniform(0.6, 1.2, 20_000))
    wall = ChainWalls(rise=0.03)(seen, ["X"])
    assert wall.sites.tolist() == [[0, 3], [0, 4], [1, 4]]
    assert wall.lower.numpy() == pytest.approx([1.14, 0.6, np.hypot(0.6, 0.38)], abs=1e-3)
    assert float(wall.energy_and_forces(seen)[0].max()) == 0  # no label lies behind a wall
    assert float(wall.energy_and_forces(five(np.array([0.7])))[0][0]) == 0
    kT = thermal_energy(300)
    first = 0.5 * (0.12 / 0.03) ** 2  # 0.12 nm behind the wall of the first and the last
    second = 0.5 * ((np.hypot(0.6, 0.38) - np.hypot(0.48, 0.38)) / 0.03) ** 2
    found = float(wall.energy_and_forces(five(np.array([0.48])))[0][0])
    assert found == pytest.approx((first + second) * kT, rel=0.02)


def test_chains_whose_ends_nobody_knows_get_no_walls():
    seen = five(np.linspace(0.6, 1.2, flat_bottom.FEWEST - 1))
    assert ChainWalls()(seen, ["X"]) is None
    assert ChainWalls(offset=5)(five(np.linspace(0.6, 1.2, 2000)), ["X"]) is None
    with pytest.raises(ValueError, match="ChainWalls.rise: expected more than 0"):
        ChainWalls(rise=0.0)
