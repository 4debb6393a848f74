import numpy as np
import pytest
import torch
from contracts import PotentialContract, mirrored, random_frames
from samples import periodic_frames, splines

from cgrec import Frames, Potential, System
from cgrec.potential import UF3Potential
from cgrec.potential.uf3 import CubicSpline, near_triples

TYPES = ["A", "B", "C"]


class TestUF3(PotentialContract):
    @pytest.fixture
    def potential(self):
        return splines()


class TestPairsOnly(PotentialContract):
    @pytest.fixture
    def potential(self):
        return splines(three_cutoff=0.0)


class TestCompiledPairs(PotentialContract):
    @pytest.fixture(params=["uniform", "given knots"])
    def plain(self, request):
        knots = None if request.param == "uniform" else 0.5 * np.linspace(0, 1, 9) ** 1.5
        return splines(three_cutoff=0.0, knots=knots)

    @pytest.fixture
    def potential(self, plain):
        made = plain.compiled()
        if made is plain:
            pytest.skip("no C++ compiler")
        return made

    def test_saved_and_loaded(self, potential, plain, frames, tmp_path):
        potential.save(tmp_path / "p.pt")
        loaded = Potential.load(tmp_path / "p.pt")
        assert isinstance(loaded, UF3Potential)
        for a, b in zip(loaded.energy_and_forces(frames), potential.energy_and_forces(frames)):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_energy_is_linear_in_the_coefficients():
    made, frames = splines(three_cutoff=0.0), random_frames()
    energy = made.energy_design(made.graph(frames)) @ made.coefficients
    np.testing.assert_allclose(energy.detach(), made.energy_and_forces(frames)[0], rtol=1e-10)


class TestGivenKnots(PotentialContract):
    @pytest.fixture
    def potential(self):
        grid = np.linspace(0, 1, 9) ** 1.5
        return splines(
            knots=0.5 * grid, three_knots=0.35 * grid, across_knots=(0.7 * grid).tolist()
        )


@pytest.mark.parametrize("knots", [np.linspace(0, 1, 9), np.linspace(0, 1, 9) ** 2])
def test_splines_sum_to_one_and_their_slopes_to_zero(knots):
    spline = CubicSpline(knots)
    r = torch.linspace(0, 0.9999, 500, dtype=torch.float64)
    assert len(spline) == len(knots) + 2
    np.testing.assert_allclose(spline(r)[1].sum(1), 1, atol=1e-12)
    np.testing.assert_allclose(spline.derivative(r)[1].sum(1), 0, atol=1e-10)


def test_splines_reproduce_a_cubic():
    """Their span holds every cubic polynomial, slopes included."""
    spline = CubicSpline(np.linspace(0, 1, 6))
    r = torch.linspace(0, 0.999, 200, dtype=torch.float64)
    place, values = spline(r)
    design = torch.zeros(200, 8, dtype=torch.float64).scatter(
        1, place[:, None] + torch.arange(4), values
    )
    cubic = 1 - 2 * r + 3 * r**2 - 5 * r**3
    coefficients = torch.linalg.lstsq(design, cubic[:, None]).solution[:, 0]
    slopes = (coefficients[place[:, None] + torch.arange(4)] * spline.derivative(r)[1]).sum(1)
    np.testing.assert_allclose(design @ coefficients, cubic, atol=1e-12)
    np.testing.assert_allclose(slopes, -2 + 6 * r - 15 * r**2, atol=1e-10)


def line(distances, types="AB"):
    """Two sites at each of the distances."""
    positions = np.zeros((len(distances), 2, 3))
    positions[:, 1, 0] = distances
    return Frames(System(names=tuple(types), masses=np.ones(2)), positions, 300.0)


def test_force_and_its_slope_vanish_at_the_cutoff():
    step = 1e-5
    force = splines().energy_and_forces(line([0.5 - 2 * step, 0.5 - step, 0.5 + step, 2.0]))[1][
        :, 0, 0
    ]
    # Cubic in the distance to the cutoff: the force falls with its square.
    assert force[0] / force[1] == pytest.approx(4, rel=1e-3)
    assert (force[2:] == 0).all()


def test_three_body_energy_vanishes_smoothly_where_one_side_passes_its_cutoff():
    potential = splines()
    potential.coefficients.data[: int(potential.triple_columns.min())] = 0
    system = System(names=tuple("ABC"), masses=np.ones(3))
    x = np.array([0.35 - 2e-5, 0.35 - 1e-5, 0.35 + 1e-5])
    positions = np.zeros((3, 3, 3))
    positions[:, 1, 0], positions[:, 2, 1] = x, 0.3
    # Side BC is longer than 0.35, so A is the only middle site.
    energy, force = potential.energy_and_forces(Frames(system, positions, 300.0))
    assert energy[0] / energy[1] == pytest.approx(8, rel=1e-2) and energy[2] == 0
    assert force[0, 1, 0] / force[1, 1, 0] == pytest.approx(4, rel=1e-2)


def test_exchanging_the_outer_sites_changes_nothing():
    table = splines().triple_table()
    np.testing.assert_array_equal(table.detach(), table.detach().permute(0, 2, 1, 4, 3, 5))
    assert len(set(splines().triple_columns[0, 0, 1].flatten().tolist())) == 5 * 5 * 10 + 1


def test_energy_is_the_sum_over_all_ordered_triples_done_by_hand():
    frames, potential = random_frames(1), splines(seed=3)
    x, table = np.asarray(frames.positions[0]), potential.triple_table().detach().numpy()
    pairs = potential.pair_table().detach().numpy()
    species = potential.species(frames.system).numpy()
    expected = 0.0
    for i in range(6):
        for j in range(6):
            if i == j or (a := np.linalg.norm(x[i] - x[j])) >= 0.5:
                continue
            expected += 0.5 * contracted(pairs[species[i], species[j]], (potential.pair_spline, a))
            for k in range(j):
                if k != i and max(a, b := np.linalg.norm(x[i] - x[k])) < 0.35:
                    sides = [(potential.side_spline, a), (potential.side_spline, b)]
                    sides.append((potential.across_spline, np.linalg.norm(x[j] - x[k])))
                    expected += contracted(table[species[i], species[j], species[k]], *sides)
    assert potential.energy_and_forces(frames)[0][0] == pytest.approx(expected, rel=1e-10)


def contracted(table, *sides):
    for spline, r in reversed(sides):
        place, values = spline(torch.tensor([r], dtype=torch.float64))
        table = table[..., int(place) : int(place) + 4] @ values[0].numpy()
    return float(table)


def test_periodic_energy_is_that_of_a_cell_among_its_images():
    frames, potential = periodic_frames(1), splines(three_cutoff=0.45)
    energy, force = potential.energy_and_forces(frames)
    shifts = np.stack(np.meshgrid(*[[0, -1, 1]] * 3, indexing="ij"), -1).reshape(-1, 3) @ frames.box
    cluster = np.concatenate([frames.positions[0] + s for s in shifts])
    big = Frames(
        System(names=frames.system.names * 27, masses=np.ones(len(cluster))), cluster[None], 300.0
    )
    np.testing.assert_allclose(force[0], potential.energy_and_forces(big)[1][0, :36], atol=1e-9)
    moved = frames.positions + np.random.default_rng(1).integers(-2, 3, (36, 3)) @ frames.box
    again, same = potential.energy_and_forces(Frames(frames.system, moved, 300.0, box=frames.box))
    np.testing.assert_allclose(again, energy, rtol=1e-10)
    np.testing.assert_allclose(same, force, atol=1e-8)


def test_force_design_times_coefficients_is_the_force():
    for frames, potential in (
        (random_frames(3), splines()),
        (periodic_frames(), splines(three_cutoff=0.45)),
    ):
        graph, n = potential.graph(frames), len(potential.coefficients)
        design = potential.force_design(graph, torch.arange(n + 1), n + 1)
        force = design[:, :n] @ potential.coefficients.detach()
        np.testing.assert_allclose(force, potential(graph)[1].flatten(), atol=1e-8)
        assert potential.touched(graph).tolist() == design[:, :n].any(0).nonzero()[:, 0].tolist()


def test_every_two_near_neighbours_once():
    r = torch.tensor([[0.1, 9.0, 0.2, 0.3], [9.0, 9.0, 0.1, 9.0]])
    found = [tuple(t.tolist()) for t in torch.stack(near_triples(r, 1.0), 1)]
    assert found == [(0, 0, 2), (0, 0, 3), (0, 2, 3)]
    assert len(near_triples(torch.zeros(3, 0), 1.0)[0]) == 0


def test_mirror_images_have_one_energy():
    """What it cannot do: the docstring says so, and a PMF's handedness must come from its bonded
    priors.
    """
    frames = random_frames()
    np.testing.assert_allclose(
        splines().energy_and_forces(frames)[0],
        splines().energy_and_forces(mirrored(frames))[0],
        rtol=1e-12,
    )


@pytest.mark.parametrize(
    "options, said",
    [
        ({"three_cutoff": 0.6}, "three_cutoff: .* found 0.6"),
        ({"cutoff": 0.0, "three_cutoff": 0.0}, "UF3Potential.cutoff: .* found 0.0"),
        ({"spacing": 0.2}, "spacing"),
        ({"knots": [0.1, 0.2, 0.3, 0.4, 0.5]}, "knots"),
        ({"across_knots": [0, 0.1, 0.2, 0.3, 0.5]}, "across_knots"),
    ],
)
def test_what_makes_no_sense_is_named(options, said):
    with pytest.raises(ValueError, match=said):
        splines(**options)
