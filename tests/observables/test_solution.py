"""Thermodynamics of solutions against ideal gases, ideal ion pairs, analytic g(r) and explicit pair
virials.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cgrec.frames import Frames
from cgrec.observables import activity_derivative, kirkwood_buff, osmotic_coefficient, pressure
from cgrec.observables.solution import finite_volume_weights
from cgrec.potential import Potential
from cgrec.potential.harmonic import PairStiffness
from cgrec.potential.network import DensityNetwork
from cgrec.system import System

BOX = 2.4 * np.eye(3)
TRICLINIC = np.array([[2.2, 0, 0], [0.7, 2.2, 0], [-0.6, 0.8, 2.2]])


def gas(n_frames, box=BOX, seed=1, **numbers):
    rng = np.random.default_rng(seed)
    names = tuple(t for t, n in numbers.items() for _ in range(n))
    x = rng.random((n_frames, len(names), 3)) @ box
    return Frames(System(names=names, masses=np.ones(len(names))), x, 300.0, box=box)


def ion_pairs(n_frames, n, bond=0.2, seed=2, **more):
    """Ideal gas of n pairs C-A, `bond` nm apart: fully associated salt."""
    frames = gas(n_frames, seed=seed, C=n, A=n, **more)
    u = np.random.default_rng(seed + 1).normal(size=(n_frames, n, 3))
    x = np.array(frames.positions)
    x[:, n : 2 * n] = x[:, :n] + bond * u / np.linalg.norm(u, axis=-1, keepdims=True)
    return replace(frames, positions=x)


# ---- Kirkwood-Buff integrals ---------------------------------------------------------------------


def test_finite_volume_weights_give_the_integral_of_an_analytic_g():
    edges = np.linspace(0, 3.0, 3001)
    r = (edges[1:] + edges[:-1]) / 2
    sigma, height = 0.15, -0.8
    exact = height * (2 * np.pi) ** 1.5 * sigma**3
    running = finite_volume_weights(edges) @ (height * np.exp(-(r**2) / (2 * sigma**2)))
    # what finite L leaves: the third, fourth and fifth moment of g - 1 with the weight's
    # coefficients
    moments = 8 * sigma**6, 15 * (np.pi / 2) ** 0.5 * sigma**7, 48 * sigma**8
    for k in (999, 2999):
        terms = zip((-23 / 8, 3 / 4, 9 / 8), moments, (3, 4, 5))
        left = 4 * np.pi * height * sum(c * m / edges[k + 1] ** p for c, m, p in terms)
        assert running[k] - exact == pytest.approx(left, rel=1e-3, abs=3e-7)
    direct = 4 * np.pi * (r**2 * height * np.exp(-(r**2) / (2 * sigma**2)) * np.gradient(r)).sum()
    assert direct == pytest.approx(exact, rel=1e-3)


def test_finite_volume_weights_vanish_at_the_length_and_beyond():
    edges = np.linspace(0, 1.0, 101)
    weights = finite_volume_weights(edges)
    assert np.all(weights[49, 50:] == 0)
    x = 0.5 * (edges[20] + edges[21])
    w = 1 - 23 / 8 * x**3 + 3 / 4 * x**4 + 9 / 8 * x**5
    assert weights[-1, 20] == pytest.approx(4 * np.pi * x**2 * w * 0.01, rel=1e-3)
    assert weights[-1, -1] == pytest.approx(0.0, abs=1e-2 * weights.max())


@pytest.mark.parametrize("types", [("A", "A"), ("A", "B")])
def test_kirkwood_buff_integrals_of_an_ideal_gas_are_zero(types):
    frames = gas(300, TRICLINIC, A=25, B=20)
    found = kirkwood_buff(frames, *types, bins=40)
    assert abs(found.value) < 4 * found.error < 0.2
    assert np.all(np.abs(found.running) < 5 * found.running_error + 1e-12)
    widths = 1 / np.linalg.norm(np.linalg.inv(TRICLINIC), axis=0)
    assert found.length == pytest.approx(widths.min() / 2)


def test_without_tail_correction_a_closed_gas_misses_the_site_itself():
    frames = gas(300, A=10)
    raw = kirkwood_buff(frames, "A", "A", bins=40, tail_correction=False)
    # g = (N - 1) / N everywhere: -1/N times the integral of the weight, 4 pi L^3 (1/3 - 23/48 +
    # 3/28 + 9/64)
    expected = -4 * np.pi * 1.2**3 / 10 * (1 / 3 - 23 / 48 + 3 / 28 + 9 / 64)
    assert abs(raw.value - expected) < 4 * raw.error < abs(expected)


def test_kirkwood_buff_integral_of_ideal_pairs_is_the_volume_a_pair_has():
    n, volume = 40, 2.4**3
    frames = ion_pairs(400, n)
    cross = kirkwood_buff(frames, "C", "A", bins=60)
    # the bond's peak is scaled down by its weight at x = 0.2 / 1.2, and up by half its own excess
    # over N
    x = 0.2 / cross.length
    expected = volume / n * (1 - 23 / 8 * x**3 + 3 / 4 * x**4 + 9 / 8 * x**5)
    assert abs(cross.value - expected) < 4 * cross.error + 0.02 * expected
    assert cross.error < 0.1 * expected
    like = kirkwood_buff(frames, "C", "C", bins=60)
    assert abs(like.value) < 4 * like.error
    bonded = replace(frames, system=replace_bonds(frames.system, n))
    apart = kirkwood_buff(bonded, "C", "A", bins=60, intermolecular=True)
    assert abs(apart.value) < 4 * apart.error


def replace_bonds(system, n):
    return System(names=system.names, masses=system.masses, bonds=[(k, n + k) for k in range(n)])


def test_plateau_is_the_mean_of_the_running_integral():
    frames = gas(40, A=20)
    found = kirkwood_buff(frames, "A", "A", bins=24, plateau=(0.68, 1.01))
    chosen = (found.lengths > 0.68) & (found.lengths < 1.01)
    assert found.value == pytest.approx(found.running[chosen].mean())
    assert found.error <= found.running_error[chosen].max()
    with pytest.raises(ValueError, match="plateau"):
        kirkwood_buff(frames, "A", "A", plateau=(2.0, 3.0))
    with pytest.raises(ValueError, match="half the smallest width"):
        kirkwood_buff(frames, "A", "A", r_max=1.3)


# ---- activity of a salt --------------------------------------------------------------------------


def test_activity_derivative_of_free_ions_is_one_and_of_ideal_pairs_a_half():
    free = activity_derivative(gas(300, C=30, A=30), "C", "A", bins=40)
    assert abs(free.value - 1) < 4 * free.error < 0.5
    assert (
        free.density == pytest.approx(60 / 2.4**3) and free.constant == "solvent chemical potential"
    )
    pairs = activity_derivative(ion_pairs(400, 40), "C", "A", bins=60)
    # Pi = rho_pairs kT, half of what free ions have
    assert abs(pairs.value - 0.5) < 4 * pairs.error + 0.01
    assert pairs.error < 0.05
    assert abs(pairs.ions - 2.4**3 / 80) < 4 * pairs.ions_error + 0.01 * 2.4**3 / 80


def test_activity_derivative_agrees_with_the_three_integrals_of_the_ions():
    frames = ion_pairs(100, 60)
    found = activity_derivative(frames, "C", "A", bins=60)
    parts = [kirkwood_buff(frames, *p, bins=60).value for p in (("C", "C"), ("A", "A"), ("C", "A"))]
    assert found.ions == pytest.approx((parts[0] + parts[1] + 2 * parts[2]) / 4, rel=0.02)


def test_activity_derivative_at_constant_pressure_in_an_ideal_solvent():
    # Ideal gas of ions and solvent: dp = 0 holds as in any mixture, G_cc = G_cw = 0
    frames = gas(200, C=20, A=20, W=40)
    found = activity_derivative(frames, "C", "A", solvent="W", bins=40)
    assert found.constant == "pressure" and abs(found.value - 1) < 4 * found.error < 0.6
    # half of the solvent sits on a cation each: an ion has half a solvent more than chance, G_cw =
    # 0.5 V / 40
    x = np.array(frames.positions)
    x[:, 40:60] = x[:, :20] + [0.15, 0.0, 0.0]
    close = activity_derivative(replace(frames, positions=x), "C", "A", solvent="W", bins=60)
    assert abs(1 / close.value - 0.5) < 4 * close.error / close.value**2 + 0.01
    assert close.error / close.value**2 < 0.1


def test_activity_derivative_is_for_one_to_one_salts():
    with pytest.raises(ValueError, match="1:1"):
        activity_derivative(gas(3, C=4, A=5), "C", "A")
    with pytest.raises(ValueError, match="1:1"):
        activity_derivative(gas(3, C=4), "C", "C")


# ---- pressure ------------------------------------------------------------------------------------


class InversePower(Potential):
    """U = sum over pairs of ((sigma/r)^6 - (sigma/cutoff)^6)^2: a repulsive wall, smooth at the
    cutoff.
    """

    def __init__(self, *, types, cutoff, sigma=0.3, epsilon=1.0):
        super().__init__(types=types, cutoff=cutoff, sigma=sigma, epsilon=epsilon)
        # float32, as a network's
        self.sigma = sigma
        self.epsilon = torch.nn.Parameter(torch.tensor(epsilon))

    def energy(self, graph):
        r = graph.neighbour_vectors().to(self.epsilon.dtype).norm(dim=-1)
        u = self.epsilon * ((self.sigma / r) ** 6 - (self.sigma / self.cutoff) ** 6) ** 2
        return 0.5 * graph.per_frame((u * (r < self.cutoff)).sum(1)).sum(1)


class VolumeEnergy(Potential):
    """U = tension * V of the box alone."""

    def __init__(self, *, types, cutoff=0.0, tension=1.0):
        super().__init__(types=types, cutoff=cutoff, tension=tension)
        self.tension = tension

    def graph(self, frames, skin=0.0):
        graph = super().graph(frames, skin)
        graph.box = torch.as_tensor(np.array(frames.boxes()))
        return graph

    def energy(self, graph):
        return self.tension * torch.linalg.det(graph.box)


BAR = 0.0602214076  # kJ/mol/nm^3


def test_pressure_of_an_ideal_gas():
    frames = gas(5, A=24)
    found = pressure(InversePower(types=["A"], cutoff=1.0, epsilon=0.0), frames)
    # rho R T in SI units, from moles and cubic metres
    expected = 24 / 6.02214076e23 * 8.31446261815324 * 300.0 / (2.4e-9) ** 3 / 1e5
    assert found.value == pytest.approx(expected, rel=1e-9) and found.ideal == found.value
    assert found.error == 0 and found.virial == 0


@pytest.mark.parametrize("box", [BOX, TRICLINIC])
def test_pressure_is_the_pair_virial(box):
    frames = gas(12, box, A=20)
    # unwrapped: other cells, as after a long run, must not matter
    jump = np.random.default_rng(3).integers(-4, 5, frames.positions.shape) @ box
    frames = replace(frames, positions=frames.positions + jump)
    found = pressure(
        InversePower(types=["A"], cutoff=0.9, sigma=0.3, epsilon=0.02), frames, batch_size=5
    )
    images = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(-1, 3) @ box
    virial = np.zeros(12)
    for k, x in enumerate(frames.positions):
        s = (x[:, None] - x) @ np.linalg.inv(box)
        vectors = ((s - np.round(s)) @ box)[:, :, None] + images
        r = np.linalg.norm(vectors, axis=-1)
        r = r[(r > 0) & (r < 0.9)]
        wall = (0.3 / r) ** 6 - (0.3 / 0.9) ** 6
        virial[k] = 0.5 * (0.02 * 2 * wall * 6 * 0.3**6 / r**6).sum()  # - r du/dr, each pair once
    expected = virial / (3 * np.linalg.det(box)) / BAR
    assert found.virial == pytest.approx(expected.mean(), rel=1e-5)
    assert found.value == pytest.approx(found.ideal + expected.mean(), rel=1e-5)
    assert found.error == pytest.approx(expected.std(ddof=1) / 12**0.5, rel=1e-5)


def test_pressure_of_a_network_is_that_of_its_gradient_by_strain():
    lattice = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), -1).reshape(-1, 3) / 4
    jitter = 0.03 * np.random.default_rng(8).normal(size=(3, 64, 3))
    system = System(names=("W",) * 64, masses=np.ones(64))
    frames = Frames(system, lattice @ TRICLINIC / 1.6 + jitter, 300.0, box=TRICLINIC / 1.6)
    network = DensityNetwork(types=["W"], cutoff=0.6, channels=8, width=16, seed=3)
    with torch.no_grad():
        for k, weights in enumerate(network.parameters()):
            weights += 0.1 * torch.randn(weights.shape, generator=torch.Generator().manual_seed(k))
    exact = DensityNetwork.from_state(network.to_state()).double()
    graph, strain = exact.graph(frames), torch.zeros((), dtype=torch.float64, requires_grad=True)
    graph.positions = graph.positions * (1 + strain)
    graph.neighbour_shift = graph.neighbour_shift * (1 + strain)
    (slope,) = torch.autograd.grad(exact.energy(graph).mean(), strain)
    expected = -float(slope) / (3 * np.linalg.det(TRICLINIC / 1.6)) / BAR
    assert abs(expected) > 10
    assert pressure(network, frames).virial == pytest.approx(expected, rel=1e-5)


def test_pressure_of_springs_and_osmotic_coefficient():
    """Harmonic pairs without images: virial -2 U, by Euler's theorem."""
    frames = gas(6, A=4)
    springs = PairStiffness(types=["A"], n_sites=4)
    with torch.no_grad():
        springs.stiffness += torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    x = frames.positions
    square = np.stack(
        [((x[:, i] - x[:, j]) ** 2).sum(-1) for i in range(4) for j in range(i + 1, 4)], 1
    )
    energy = 0.5 * square @ np.arange(1.0, 7.0)
    found = pressure(springs, frames)
    assert found.virial == pytest.approx(-2 * energy.mean() / (3 * 2.4**3) / BAR, rel=1e-6)
    phi = osmotic_coefficient(springs, frames)
    assert phi.value == pytest.approx(
        1 - 2 * energy.mean() / (3 * 4 * 8.31446261815324e-3 * 300), rel=1e-6
    )
    assert phi.error == pytest.approx(found.virial_error / found.ideal)


def test_pressure_scales_a_box_the_energy_knows_and_weights_count():
    frames = replace(gas(4, A=3), weights=np.array([0.0, 2.0, 1.0, 1.0]))
    total = VolumeEnergy(types=["A"], tension=0.25)
    assert pressure(total, frames).virial == pytest.approx(-0.25 / BAR, rel=1e-6)
    wall = InversePower(types=["A"], cutoff=1.0, epsilon=0.1)
    each = [pressure(wall, replace(frames, weights=None)[[k]]).virial for k in range(4)]
    assert pressure(wall, frames).virial == pytest.approx((2 * each[1] + each[2] + each[3]) / 4)


def test_pressure_refuses_what_it_would_get_wrong():
    wall, frames = InversePower(types=["A"], cutoff=0.9), gas(3, A=5)
    breathing = replace(frames, box=frames.boxes() * np.array([1.0, 1.01, 1.02])[:, None, None])
    with pytest.raises(ValueError, match="box changes"):
        pressure(wall, breathing)
    rigid = System(names=("A",) * 5, masses=np.ones(5), constraints=[(0, 1)])
    with pytest.raises(ValueError, match="constraints"):
        pressure(wall, replace(frames, system=rigid))
    with pytest.raises(ValueError, match="no box"):
        pressure(wall, replace(frames, box=None))
