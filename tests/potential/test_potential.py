import numpy as np
import pytest
import torch
from contracts import PotentialContract, mirrored, random_frames, to_double

from cgrec import Frames, Potential, System
from cgrec.potential import (
    BranchPrior,
    Committee,
    DensityNetwork,
    ExcludedVolume,
    HarmonicPrior,
    PairStiffness,
    TensorNetwork,
    fit_priors,
)
from cgrec.potential.network import smooth_cutoff
from cgrec.units import BOLTZMANN, thermal_energy

TYPES = ["A", "B", "C"]


def twice(system):
    """Two copies of a System, one after the other."""
    bonds = np.concatenate([system.bonds, system.bonds + system.n_sites])
    return System(
        names=system.names * 2,
        types=system.types * 2,
        masses=np.tile(system.masses, 2),
        bonds=bonds,
    )


def network(**options):
    made = to_double(
        DensityNetwork(
            types=TYPES,
            cutoff=0.5,
            **{"channels": 4, "width": 8, "n_layers": 2, "energy_scale": 100.0, **options},
        )
    )
    for layer in made.layers:
        layer.out.data *= 10
    return made


class TestDensityNetwork(PotentialContract):
    @pytest.fixture
    def potential(self):
        return network()


class TestTensorNetwork(PotentialContract):
    @pytest.fixture
    def potential(self):
        return to_double(
            TensorNetwork(types=TYPES, cutoff=0.5, channels=4, width=8, energy_scale=1e3)
        )


class TestOneLayerHighDegree(PotentialContract):
    @pytest.fixture
    def potential(self):
        return network(n_layers=1, l_max=3)


class TestExcludedVolume(PotentialContract):
    @pytest.fixture
    def potential(self, frames):
        return ExcludedVolume.fit(frames, TYPES, 0.6)


class TestCompiledExcludedVolume(TestExcludedVolume):
    @pytest.fixture
    def potential(self, frames):
        made = ExcludedVolume.fit(frames, TYPES, 0.6).compiled()
        if isinstance(made, ExcludedVolume):
            pytest.skip("no C++ compiler")
        return made

    def test_saved_and_loaded(self, potential, frames, tmp_path):
        potential.save(tmp_path / "p.pt")
        loaded = Potential.load(tmp_path / "p.pt")
        assert isinstance(loaded, ExcludedVolume)
        wanted, found = potential.energy_and_forces(frames)[1], loaded.energy_and_forces(frames)[1]
        np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-10)

    @pytest.mark.parametrize("excluded", [(), [(0, 1), (1, 0)]])
    def test_the_plain_one_in_a_box(self, excluded):
        rng = np.random.default_rng(0)
        diameters = [[0.3, 0.2, 0.25], [0.2, 0.4, 0.3], [0.25, 0.3, 0.35]]
        options = {"energy": 2.5, "diameters": diameters, "n_sites": 40, "excluded": excluded}
        wall = ExcludedVolume(types=TYPES, cutoff=0.6, **options)
        system = System(names=tuple("ABC"[k % 3] for k in range(40)), masses=np.ones(40))
        frames = Frames(system, rng.uniform(0, 1.3, size=(3, 40, 3)), 300.0, box=1.3 * np.eye(3))
        wanted, found = wall.energy_and_forces(frames), wall.compiled().energy_and_forces(frames)
        np.testing.assert_allclose(found[0], wanted[0], rtol=1e-10)
        np.testing.assert_allclose(
            found[1], wanted[1], rtol=1e-9, atol=1e-9 * np.abs(wanted[1]).max()
        )

    def test_copies_of_its_system_are_served(self, potential, frames):
        shift = np.array([0, 0, 0.1])
        two = np.concatenate([frames.positions, frames.positions + shift], 1)
        system = twice(frames.system)
        for wall in (potential, ExcludedVolume.fit(frames, TYPES, 0.6)):
            found = wall.energy_and_forces(Frames(system, two, 300.0))[0]
            x = np.linalg.norm(
                frames.positions[:, :, None] - frames.positions[:, None] - shift, axis=-1
            )
            kinds = [TYPES.index(t) for t in frames.system.types]
            d = np.array(ExcludedVolume.fit(frames, TYPES, 0.6).config["diameters"])[
                np.ix_(kinds, kinds)
            ]
            between = np.where(x < 0.6, (d / x) ** 12 * (1 - (x / 0.6) ** 2) ** 3, 0).sum((1, 2))
            alone = wall.energy_and_forces(frames)[0]
            np.testing.assert_allclose(
                found, 2 * alone + thermal_energy(300.0) * between, rtol=1e-8
            )


class TestPairStiffness(PotentialContract):
    @pytest.fixture
    def potential(self):
        made = to_double(PairStiffness(types=TYPES, n_sites=6))
        made.stiffness.data = torch.rand(15, dtype=torch.float64)
        return made


class TestSumOfPriorsAndNetwork(PotentialContract):
    @pytest.fixture
    def potential(self, frames):
        priors = fit_priors(frames, types=TYPES, cutoff=0.5)
        return sum(priors[1:], priors[0]) + network()


class TestCommittee(PotentialContract):
    @pytest.fixture
    def potential(self):
        return Committee([network(seed=1), network(seed=2)])


def test_network_tells_mirror_images_apart_and_a_scalar_one_could_not():
    frames = random_frames()
    energy, other = (network().energy_and_forces(f)[0] for f in (frames, mirrored(frames)))
    assert np.abs(energy - other).min() > 1e-4 * np.abs(energy).max()
    even = network()
    for layer in even.layers:
        layer.triples = [t for t in layer.triples if sum(t) % 2 == 0]
        keep = 4 * (1 + 3 + len(layer.triples))
        layer.first = torch.nn.Parameter(layer.first[:keep])
    np.testing.assert_allclose(
        even.energy_and_forces(frames)[0], even.energy_and_forces(mirrored(frames))[0], rtol=1e-10
    )


def test_network_is_many_body():
    """Energy of a site with two neighbours at fixed distances depends on the angle between them."""
    system = System(names=("A", "B", "B"), types=("A", "B", "B"), masses=np.ones(3))
    angles = np.linspace(0.6, 2.5, 4)
    # The B-B distance stays beyond the cutoff of 0.15 nm, so only a three-body term can tell the
    # angles apart.
    positions = np.array(
        [[[0, 0, 0], [0.14, 0, 0], [0.14 * np.cos(a), 0.14 * np.sin(a), 0]] for a in angles + 0.6]
    )
    short = to_double(
        DensityNetwork(types=["A", "B"], cutoff=0.15, channels=4, width=8, energy_scale=1e4)
    )
    for layer in short.layers:
        layer.out.data *= 10
    energy = short.energy_and_forces(Frames(system, positions[1:], 300.0))[0]
    assert np.ptp(energy) > 1e-9


def test_energy_is_smooth_at_the_cutoff():
    x = torch.linspace(0.9, 1.1, 2001, dtype=torch.float64, requires_grad=True)
    value = smooth_cutoff(x)
    (first,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    at = 1000
    assert abs(value[at]) < 1e-12 and abs(first[at]) < 1e-10 and abs(second[at]) < 1e-8
    assert second.diff().abs().max() < 0.1  # no jump: 168 x its slope times the grid step


def test_isolated_site_has_no_force():
    system = System(names=("A", "B"), types=("A", "B"), masses=np.ones(2))
    energy, force = network().energy_and_forces(
        Frames(system, np.array([[[0, 0, 0], [5.0, 0, 0]]]), 300.0)
    )
    assert np.isfinite(energy).all() and np.abs(force).max() == 0


@pytest.mark.parametrize("triclinic", [False, True])
def test_periodic_images_and_lattice_translations(triclinic):
    rng = np.random.default_rng(0)
    box = np.diag([1.2, 1.3, 1.4]) + (
        np.array([[0, 0, 0], [0.2, 0, 0], [0.1, -0.2, 0]]) if triclinic else 0
    )
    system = System(names=tuple("ABC" * 12), masses=np.ones(36))
    grid = np.stack(
        np.meshgrid(*[(np.arange(k) + 0.5) / k for k in (3, 3, 4)], indexing="ij"), -1
    ).reshape(-1, 3)
    positions = (grid @ box + rng.normal(scale=0.02, size=(36, 3)))[None]
    shifted = positions + rng.integers(-2, 3, (36, 3)) @ box
    energy, force = network().energy_and_forces(Frames(system, positions, 300.0, box=box))
    other, same = network().energy_and_forces(Frames(system, shifted, 300.0, box=box))
    np.testing.assert_allclose(other, energy, rtol=1e-9)
    np.testing.assert_allclose(same, force, atol=1e-6)
    brute = brute_force_energy(network(), system, positions[0], box)
    assert energy[0] == pytest.approx(brute, rel=1e-9)


def brute_force_energy(potential, system, positions, box):
    """Sum of site energies of the cell inside an open cluster of its 27 images."""
    images = [
        np.array([i, j, k]) @ box
        for i in (0, -1, 1, -2, 2)
        for j in (0, -1, 1, -2, 2)
        for k in (0, -1, 1, -2, 2)
    ]
    cluster = np.concatenate([positions + shift for shift in images])
    big = System(names=system.names * len(images), masses=np.ones(len(cluster)))
    graph = potential.graph(Frames(big, cluster[None], 300.0))
    site, _ = potential._sites(graph)
    return float(site[: len(positions)].detach().sum()) * potential.energy_scale


def test_box_smaller_than_twice_the_cutoff_is_refused():
    frames = Frames(
        System(names=("A",), masses=[1.0]), np.zeros((1, 1, 3)), 300.0, box=np.diag([2.0, 2.0, 0.9])
    )
    with pytest.raises(ValueError, match="0.900 nm wide"):
        network().energy_and_forces(frames)


def test_boltzmann_inversion_has_the_right_factor():
    """k = kT / variance: a bond sampled from exp(-k (x - x0)^2 / 2kT) gives back its k."""
    rng, k = np.random.default_rng(1), 5000.0
    kT = thermal_energy(300.0)
    x = rng.normal(0.3, np.sqrt(kT / k), 200_000)
    positions = np.zeros((len(x), 2, 3))
    positions[:, 1, 0] = x
    system = System(names=("A", "B"), masses=[1, 1], bonds=[(0, 1)])
    prior = HarmonicPrior.fit(Frames(system, positions, 300.0), ["A", "B"], 2)
    assert float(prior.stiffness) == pytest.approx(k, rel=0.01)
    assert float(prior.centre) == pytest.approx(0.3, abs=1e-4)


def test_wall_stands_where_there_are_no_data():
    frames = random_frames(200)
    wall = ExcludedVolume.fit(frames, TYPES, 0.6)
    closer = np.array(frames.positions[:1])
    closer[0, 5] = closer[0, 0] + [0.05, 0, 0]
    kT = BOLTZMANN * 300
    assert wall.energy_and_forces(frames)[0].max() < 6 * kT
    assert wall.energy_and_forces(Frames(frames.system, closer, 300.0))[0][0] > 100 * kT


def test_truncated_potential_file_is_named(tmp_path):
    path = tmp_path / "p.pt"
    network().save(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="p.pt"):
        Potential.load(path)


def test_equivalent_terms_share_their_prior():
    """The hydrogens of a methyl group keep one spring, however differently they happened to be
    sampled.
    """
    rng = np.random.default_rng(0)
    system = System(
        names=("C", "H1", "H2", "H3"),
        elements=("C", "H", "H", "H"),
        types=("C", "H", "H", "H"),
        masses=[12, 1, 1, 1],
        bonds=[(0, 1), (0, 2), (0, 3)],
    )
    positions = rng.normal(scale=[[0.001], [0.002], [0.003], [0.004]], size=(500, 4, 3)) + [
        [0, 0, 0],
        [0.1, 0, 0],
        [0, 0.1, 0],
        [0, 0, 0.1],
    ]
    frames = Frames(system, positions, 300.0)
    for n in (2, 3):
        prior = HarmonicPrior.fit(frames, ["C", "H"], n)
        assert (
            np.ptp(prior.stiffness.numpy()) < 1e-9 * float(prior.stiffness[0])
            and np.ptp(prior.centre.numpy()) < 1e-12
        )


def test_a_mirror_image_costs_a_branch_dearly():
    system = System(
        names=("C", "N", "B", "O"),
        types=TYPES[:1] * 4,
        masses=np.ones(4),
        bonds=[(0, 1), (0, 2), (0, 3)],
    )
    arms = np.array([[0, 0, 0.03], [0.15, 0, 0], [-0.07, 0.13, 0], [-0.07, -0.13, 0]])
    positions = arms + np.random.default_rng(0).normal(scale=0.003, size=(200, 4, 3))
    frames = Frames(system, positions, 300.0)
    prior = BranchPrior.fit(frames, TYPES)
    kT = thermal_energy(300.0)
    assert prior.energy_and_forces(frames)[0].mean() == pytest.approx(0.5 * kT, rel=1e-6)
    assert prior.energy_and_forces(mirrored(frames))[0].min() > 50 * kT


@pytest.mark.parametrize("wanted", ["bonds", "angles", "branches", "dihedrals"])
def test_bonded_priors_serve_copies_of_their_system(wanted):
    frames = random_frames()
    terms = dict.fromkeys(["bonds", "angles", "branches", "dihedrals", "excluded_volume"], False)
    (prior,) = fit_priors(frames, types=TYPES, cutoff=0.5, **{**terms, wanted: True})
    other = random_frames(seed=1)
    system = twice(frames.system)
    both = Frames(system, np.concatenate([frames.positions, other.positions + 5.0], 1), 300.0)
    energies = [prior.energy_and_forces(f) for f in (frames, other)]
    found = prior.energy_and_forces(both)
    np.testing.assert_allclose(found[0], energies[0][0] + energies[1][0], rtol=1e-9)
    np.testing.assert_allclose(
        found[1], np.concatenate([f for _, f in energies], 1), rtol=1e-7, atol=1e-7
    )
    with pytest.raises(ValueError, match="6 sites"):
        prior.energy_and_forces(random_frames(n=4))
