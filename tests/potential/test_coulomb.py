import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from contracts import PotentialContract
from torch_geometric.loader import DataLoader

from cgrec import Frames, Potential, System
from cgrec.native import NoKernel
from cgrec.observables import dielectric_constant, dipole_moments
from cgrec.potential import ExcludedVolume, ScreenedCoulomb, SumPotential, fit_priors
from cgrec.potential.graph import VerletList
from cgrec.potential.priors.coulomb import charged, kernel
from cgrec.training import LabelledGraphs
from cgrec.units import BOLTZMANN, COULOMB, ENERGY, force_factor

DATA = Path(os.environ.get("CGREC_DATA", Path(__file__).parents[3] / "shared" / "data"))
LICL = DATA / "licl_ions_model_trajectory" / "licl_cg_share_0000_0999.npz"
CUBE = np.eye(3) * 2.5
SKEW = np.array([[2.4, 0.0, 0.0], [0.5, 2.2, 0.0], [-0.4, 0.6, 2.3]])


def ions(types="NC", permittivity=71.0, charges=(1, -1), **options):
    return ScreenedCoulomb(types=types, charges=list(charges), permittivity=permittivity, **options)


def salt(positions, box, types=None):
    n = np.shape(positions)[-2]
    system = System(
        names=tuple(types or "NC" * (n // 2)),
        masses=np.where(np.arange(n) % 2, 35.45, 22.99),
        charges=np.resize([1.0, -1.0], n),
    )
    return Frames(system, np.asarray(positions).reshape(-1, n, 3), 300.0, box=box)


def gas(n=76, box=CUBE, n_frames=1, seed=0):
    """Sites near the points of a lattice, so that none overlap."""
    rng, side = np.random.default_rng(seed), int(np.ceil(n ** (1 / 3)))
    points = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)
    s = (
        np.array(
            [rng.permutation(points)[:n] + rng.uniform(0.2, 0.8, (n, 3)) for _ in range(n_frames)]
        )
        / side
    )
    return salt(s @ np.asarray(box), box)


def both(potential):
    fast = potential.compiled()
    assert fast is not potential
    return potential, fast


class TestOpenSystem(PotentialContract):
    @pytest.fixture
    def potential(self):
        return ScreenedCoulomb(
            types=["A", "B", "C"], charges={"B": -0.5, "A": 1, "C": 0.3}, permittivity=2.0
        )


# ---- exact answers
# -------------------------------------------------------------------------------------------------------


def rock_salt(primitive):
    """One lattice, in a cube of eight ions or in the rhombohedral cell of two; nearest neighbours
    0.28 nm apart.
    """
    if primitive:
        return salt([[0, 0, 0], [0.28, 0, 0]], 0.28 * (np.ones((3, 3)) - np.eye(3)))
    sites = np.array(list(np.ndindex(2, 2, 2)))
    types = ["NC"[k] for k in sites.sum(1) % 2]
    return salt(0.28 * sites, 0.56 * np.eye(3), types)


@pytest.mark.parametrize("cutoff", [0.0, 0.12, 0.15])
@pytest.mark.parametrize("accuracy", [1e-9, 1e-13])
@pytest.mark.parametrize(
    ("frames", "constant", "distance"),
    [
        (rock_salt(False), 1.7475645946331822, 0.28),
        (rock_salt(True), 1.7475645946331822, 0.28),
        (salt([[0, 0, 0], [0.2, 0.2, 0.2]], 0.4 * np.eye(3)), 1.7626747730709, 0.2 * 3**0.5),
    ],
    ids=["cubic", "rhombohedral", "CsCl"],
)
def test_madelung_constants(frames, constant, distance, accuracy, cutoff):
    for potential in both(ions(permittivity=3.0, accuracy=accuracy, cutoff=cutoff)):
        energy, force = potential.energy_and_forces(frames)
        found = -energy[0] / (frames.n_sites / 2) * distance * 3.0 / COULOMB
        assert found == pytest.approx(constant, abs=20 * accuracy)
        assert np.abs(force).max() < 1e-5


def test_two_charges_far_from_their_images():
    # The image correction of a dipole p in a cube with a conducting boundary: -2 pi p^2 / 3 V.
    side, r = 40.0, 0.4
    frames = salt([[1, 1, 1], [1 + r, 1, 1]], side * np.eye(3))
    for potential in both(ions(permittivity=5.0, accuracy=1e-12, cutoff=8.0)):
        energy, force = potential.energy_and_forces(frames)
        assert energy[0] == pytest.approx(
            COULOMB / 5 * (-1 / r - 2 * np.pi * r**2 / (3 * side**3)), rel=1e-8
        )
        assert force[0, 0, 0] == pytest.approx(COULOMB / 5 / r**2, rel=1e-4)


def test_open_system_is_the_pair_sum():
    frames = gas(20)
    apart = Frames(frames.system, frames.positions, 300.0)
    x, q = frames.positions[0], frames.system.charges
    expected = sum(q[i] * q[j] / np.linalg.norm(x[i] - x[j]) for i in range(20) for j in range(i))
    for potential in both(ions(permittivity=71.0, cutoff=1.0)):
        assert potential.energy_and_forces(apart)[0][0] == pytest.approx(
            COULOMB / 71 * expected, rel=1e-11
        )


def test_published_forces():
    if not LICL.exists():
        pytest.skip("shared LiCl data is not here")
    data = np.load(LICL)
    names = tuple(data["type_names"][data["types"]].tolist())
    system = System(names=names, masses=np.ones(len(names)))
    frames = Frames(
        system, data["pos"][::100].astype(float) / 10, 300.0, box=np.eye(3) * float(data["L"]) / 10
    )
    energy, force = (
        ScreenedCoulomb(types=["Li", "Cl"], charges={"Li": 1, "Cl": -1}, permittivity=78.3)
        .compiled()
        .energy_and_forces(frames)
    )
    reference = data["forces_coul"][::100] * force_factor("eV/angstrom")
    # Theirs are in single precision, with their own value of the Coulomb constant.
    assert np.abs(force - reference).max() < 2e-5 * np.abs(reference).max()
    np.testing.assert_allclose(energy, data["energy_coul"][::100] * ENERGY["eV"], rtol=1e-5)


# ---- consistency
# ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cutoff", [0.0, 0.8])
@pytest.mark.parametrize("box", [CUBE, SKEW], ids=["cubic", "triclinic"])
def test_compiled_is_the_plain_one(box, cutoff):
    frames = gas(76, box, n_frames=3)
    # Images of a site are the same site, however far it has wandered.
    frames = Frames(frames.system, frames.positions + 3 * box[0] - 7 * box[2], 300.0, box=box)
    plain, fast = (p.energy_and_forces(frames) for p in both(ions(cutoff=cutoff)))
    np.testing.assert_allclose(fast[0], plain[0], rtol=1e-11)
    np.testing.assert_allclose(fast[1], plain[1], atol=1e-11 * np.abs(plain[1]).max())


def test_accuracy_is_kept_whatever_the_split():
    frames = gas(48, SKEW)
    exact = ions(accuracy=1e-13).compiled().energy_and_forces(frames)[1]
    size = np.sqrt((exact**2).mean())
    for accuracy in (1e-4, 1e-6, 1e-8):
        for cutoff in (0.0, 0.7, 1.0):
            force = ions(accuracy=accuracy, cutoff=cutoff).compiled().energy_and_forces(frames)[1]
            error = np.sqrt(((force - exact) ** 2).mean()) / size
            assert 0.01 * accuracy < error < 2 * accuracy


def test_mesh_of_many_sites(monkeypatch):
    monkeypatch.setattr(charged, "MESH_SITES", 100)
    frames = gas(150, np.eye(3) * 3.2, n_frames=2)
    exact = ions(accuracy=1e-12).compiled().energy_and_forces(frames)[1]
    potential = ions(accuracy=1e-4, cutoff=1.2)
    assert potential.on_mesh(potential.graph(frames))
    force = potential.energy_and_forces(frames)[1]
    assert 1e-7 < np.sqrt(((force - exact) ** 2).mean() / (exact**2).mean()) < 1e-4
    np.testing.assert_array_equal(potential.compiled().energy_and_forces(frames)[1], force)


@pytest.mark.parametrize("cutoff", [0.0, 0.9])
def test_force_is_minus_gradient(cutoff):
    frames, h = gas(30, SKEW), 1e-5
    for potential in both(ions(accuracy=1e-12, cutoff=cutoff)):
        force = potential.energy_and_forces(frames)[1][0]
        for site, axis in ((0, 0), (7, 1), (29, 2)):
            energies = []
            for sign in (1, -1):
                x = frames.positions.copy()
                x[0, site, axis] += sign * h
                energies.append(potential.energy_and_forces(salt(x, SKEW))[0][0])
            assert force[site, axis] == pytest.approx(
                (energies[1] - energies[0]) / (2 * h), rel=1e-6, abs=1e-6
            )
        assert np.abs(force.sum(0)).max() < 1e-6


def test_plain_energy_has_the_gradient_the_forces_have():
    potential = ions()
    graph = potential.graph(gas(20, n_frames=2))
    graph.positions.requires_grad_()
    (gradient,) = torch.autograd.grad(potential.energy(graph).sum(), graph.positions)
    torch.testing.assert_close(-gradient, potential(graph)[1], rtol=1e-12, atol=1e-12)


def test_frames_with_boxes_of_their_own():
    one = gas(30, CUBE)
    boxes = np.stack([CUBE, SKEW, np.diag([2.5, 3.5, 2.2]), CUBE])
    x = one.positions[0] / 2.5 @ boxes
    for potential in both(ions()):
        energy, force = potential.energy_and_forces(salt(x, boxes))
        for k, box in enumerate(boxes):
            e, f = potential.energy_and_forces(salt(x[k], box))
            np.testing.assert_allclose(e[0], energy[k], rtol=1e-12)
            np.testing.assert_allclose(f[0], force[k], atol=1e-11 * np.abs(force).max())
        assert len(set(energy.round(6))) == 3


def test_threads_change_nothing():
    frames, fast = gas(n_frames=5), ions().compiled()
    threads = torch.get_num_threads()
    try:
        found = []
        for n in (1, 3):
            torch.set_num_threads(n)
            found.append(fast.energy_and_forces(frames)[1])
    finally:
        torch.set_num_threads(threads)
    np.testing.assert_array_equal(*found)


def test_permittivity_scales():
    frames = gas(20)
    vacuum, water = (ions(permittivity=e).compiled().energy_and_forces(frames) for e in (1.0, 71.0))
    np.testing.assert_allclose(vacuum[0], 71 * water[0], rtol=1e-12)
    np.testing.assert_allclose(vacuum[1], 71 * water[1], rtol=1e-10)


@pytest.mark.parametrize("cutoff", [0.0, 0.9])
def test_exploded_replica_harms_no_other(cutoff):
    frames, fast = gas(n_frames=3), ions(cutoff=cutoff).compiled()
    graph = fast.graph(frames)
    energy, force = fast(graph)
    graph.positions = graph.positions.clone()
    graph.positions[80] = float("nan")
    graph.positions[90] = float("inf")
    graph.positions[91] = 1e300
    after, pushed = fast(graph)
    for k in (0, 2):
        assert after[k] == energy[k]
        torch.testing.assert_close(
            graph.per_frame(pushed)[k], graph.per_frame(force)[k], rtol=0, atol=0
        )
    assert not torch.isfinite(graph.per_frame(pushed)[1]).all()


# ---- as a part of the rest
# -----------------------------------------------------------------------------------------------


def wall(n):
    diameters = [[0.3, 0.25], [0.25, 0.35]]
    return ExcludedVolume(types="NC", cutoff=0.7, energy=2.5, diameters=diameters, n_sites=n)


def test_sum_saved_and_loaded(tmp_path):
    frames = gas(n_frames=2)
    parts = [wall(76), ions()]
    expected = [sum(values) for values in zip(*(p.energy_and_forces(frames) for p in parts))]
    total = SumPotential(parts)
    total.compiled().save(tmp_path / "sum.pt")
    for potential in (total, total.compiled(), Potential.load(tmp_path / "sum.pt")):
        energy, force = potential.energy_and_forces(frames)
        np.testing.assert_allclose(energy, expected[0], rtol=1e-12)
        np.testing.assert_allclose(force, expected[1], atol=1e-10 * np.abs(expected[1]).max())


def test_sum_elsewhere_traces_the_rest(monkeypatch):
    monkeypatch.setattr(Potential, "device", torch.device("meta"))
    parts = SumPotential([wall(76), ions()]).compiled().parts
    assert [type(p).__name__ for p in parts] == ["ScreenedCoulomb", "TracedPotential"]
    assert type(SumPotential([wall(76)]).compiled()).__name__ == "TracedPotential"


def test_verlet_list_follows_the_box():
    fast, box = ions(cutoff=0.9).compiled(), torch.eye(3, dtype=torch.float64)[None] * 2.5
    x = torch.as_tensor(gas().positions)
    neighbours = VerletList(fast.species(gas().system), fast.reach(0.1), 0.1)
    fast(neighbours(x, box))
    for stretch in (1.0, 1.2, 1.5):
        energy = fast(neighbours(x * stretch, box * stretch))[0]
        expected = fast.energy_and_forces(salt(x * stretch, CUBE * stretch))[0]
        assert float(energy[0]) == pytest.approx(expected[0], rel=1e-10)


def test_labels_and_batches_of_training():
    frames = gas(20, n_frames=4)
    push = np.random.default_rng(1).normal(size=frames.positions.shape)
    frames = Frames(frames.system, frames.positions, 300.0, forces=push, box=frames.box)
    prior = ions()
    data = LabelledGraphs(wall(20), frames, np.arange(4), [prior])
    (graph,) = DataLoader(data, batch_size=1, sampler=[np.array([3, 1])])
    np.testing.assert_array_equal(graph.box, [CUBE] * 2)
    expected = (push - prior.energy_and_forces(frames)[1])[[3, 1]]
    np.testing.assert_allclose(graph.labels.reshape(2, 20, 3), expected, atol=1e-10)
    (apart,) = DataLoader(
        LabelledGraphs(
            wall(20),
            Frames(frames.system, frames.positions, 300.0, forces=push),
            np.arange(4),
        ),
        batch_size=1,
        sampler=[np.array([0])],
    )
    assert apart.box is None


def test_priors_of_ions():
    frames = gas(20, n_frames=2)
    options = {"types": ["N", "C"], "cutoff": 0.6, "bonds": False, "angles": False}
    by_system = fit_priors(frames, coulomb={"permittivity": 71}, **options)
    by_hand = fit_priors(
        frames, coulomb={"permittivity": 71, "charges": {"C": -1, "N": 1}}, **options
    )
    assert [type(p).__name__ for p in by_system] == ["ExcludedVolume", "ScreenedCoulomb"]
    assert by_system[1].config == by_hand[1].config and by_system[1].config["charges"] == [
        1.0,
        -1.0,
    ]
    assert len(fit_priors(frames, **options)) == 1
    unlike = System(names=frames.system.names, masses=np.ones(20), charges=np.linspace(-1, 1, 20))
    with pytest.raises(ValueError, match="within a type"):
        fit_priors(
            Frames(unlike, frames.positions, 300.0, box=frames.box),
            coulomb={"permittivity": 71},
            **options,
        )


def test_energy_is_conserved():
    frames = gas(64, seed=3)
    system, total = frames.system, SumPotential([ions(), wall(64)]).compiled()
    masses = torch.as_tensor(system.masses)[:, None]
    neighbours = VerletList(total.species(system), total.reach(0.1), 0.1)
    box = torch.eye(3, dtype=torch.float64)[None] * 2.5

    def run(timestep, steps):
        x = torch.as_tensor(frames.positions)
        v = (BOLTZMANN * 300 / masses).sqrt() * torch.randn(
            x.shape, generator=torch.Generator().manual_seed(0)
        ).double()
        energy, force = total(neighbours(x, box))
        totals = []
        for _ in range(steps):
            v = v + 0.5 * timestep / masses * force
            x = x + timestep * v
            energy, force = total(neighbours(x, box))
            v = v + 0.5 * timestep / masses * force
            totals.append(float(energy) + 0.5 * float((masses * v**2).sum()))
        return np.array(totals)

    coarse, fine = run(0.002, 200), run(0.001, 400)
    kinetic = 1.5 * 64 * BOLTZMANN * 300
    assert np.ptp(coarse) < 2e-4 * kinetic
    assert abs(fine[-100:].mean() - fine[:100].mean()) < 2e-5 * kinetic
    assert 3 < np.ptp(coarse) / np.ptp(fine) < 5.5  # what velocity Verlet does to a smooth energy


# ---- refusals
# ------------------------------------------------------------------------------------------------------------


def test_charged_box_is_refused():
    for potential in both(ions(charges=(1, -0.9))):
        with pytest.raises(ValueError, match=r"\+1 e in all.*counter-ions"):
            potential.energy_and_forces(gas(20))
        potential.energy_and_forces(Frames(gas(20).system, gas(20).positions, 300.0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"charges": {"N": 1}},
        {"charges": {"N": 1, "C": -1, "K": 1}},
        {"charges": [1]},
        {"charges": [1, float("nan")]},
        {"permittivity": 0},
        {"accuracy": 2},
    ],
)
def test_wrong_arguments_are_refused(wrong):
    with pytest.raises(ValueError, match="ScreenedCoulomb: expected"):
        ScreenedCoulomb(
            **{"types": ["N", "C"], "charges": {"N": 1, "C": -1}, "permittivity": 71, **wrong}
        )


def test_without_compiler_the_plain_one_runs(monkeypatch):
    def none():
        raise NoKernel("no C++ compiler found")

    monkeypatch.setattr(kernel, "kernel_library", none)
    potential = ions()
    with pytest.warns(UserWarning, match="no C.. compiler"):
        assert potential.compiled() is potential


# ---- permittivity
# --------------------------------------------------------------------------------------------------------


def dumbbells(n_frames=4000, n=20, seed=0):
    """Independent dipoles of 0.1 e nm and two ions, in a box of 8 nm^3."""
    rng = np.random.default_rng(seed)
    arrow = rng.normal(size=(n_frames, n, 3))
    arrow *= 0.2 / np.linalg.norm(arrow, axis=-1, keepdims=True)
    middle = rng.uniform(-5, 5, (n_frames, n, 3))
    ends = np.stack([middle - arrow / 2, middle + arrow / 2], 2).reshape(n_frames, 2 * n, 3)
    system = System(
        names=("A", "B") * n + ("N", "C"),
        masses=np.ones(2 * n + 2),
        charges=[-0.5, 0.5] * n + [1, -1],
        bonds=np.arange(2 * n).reshape(n, 2),
    )
    return Frames(
        system,
        np.concatenate([ends, rng.uniform(0, 2, (n_frames, 2, 3))], 1),
        300.0,
        box=2 * np.eye(3),
    )


def test_permittivity_of_independent_dipoles():
    frames = dumbbells()
    expected = 1 + 4 * np.pi * COULOMB * 20 * 0.1**2 / (3 * 8 * BOLTZMANN * 300)
    found = dielectric_constant(frames)
    # <M^2> has three Gaussian components
    assert found.error == pytest.approx((expected - 1) * np.sqrt(2 / (3 * len(frames))), rel=0.5)
    assert abs(found.value - expected) < 4 * found.error


def test_permittivity_honours_weights_and_charges():
    frames = dumbbells(400)
    weights = np.r_[np.full(200, 2.0), np.zeros(200)]
    half = Frames(frames.system, frames.positions, 300.0, box=frames.box, weights=weights)
    assert dielectric_constant(half).value == pytest.approx(
        dielectric_constant(frames[:200]).value, rel=1e-12
    )
    twice = dielectric_constant(frames, 2 * frames.system.charges).value
    assert twice - 1 == pytest.approx(4 * (dielectric_constant(frames).value - 1), rel=1e-9)


def test_moments_need_whole_neutral_molecules():
    frames = dumbbells(3)
    broken = frames.positions.copy()
    broken[1, 4] += [2, 0, 0]
    with pytest.raises(ValueError, match=r"bond \(4, 5\) of frame 1"):
        dipole_moments(Frames(frames.system, broken, 300.0, box=frames.box))
    with pytest.raises(ValueError, match="neutral molecules"):
        dipole_moments(frames, np.r_[np.full(40, 0.5), 1, -1])
    with pytest.raises(ValueError, match="no box"):
        dielectric_constant(Frames(frames.system, frames.positions, 300.0))


def test_nothing_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ions().energy_and_forces(gas(20))
