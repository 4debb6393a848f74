import pytest
import torch

from cgrec import System, geometry
from cgrec.potential import MetadynamicsBias
from cgrec.potential.graph import site_graph
from cgrec.potential.pulled_dihedral import PulledDihedral

SITES = [[0, 1, 2, 3], [4, 2, 1, 3]]


def positions(n_frames=37):
    return torch.randn(n_frames, 5, 3, dtype=torch.float64, generator=torch.manual_seed(3))


@pytest.mark.parametrize("sites", SITES)
def test_value_and_forces_are_those_of_autograd_bit_for_bit(sites):
    x = positions().requires_grad_()
    value = geometry.dihedral(x, torch.tensor([sites]))[:, 0]
    slope = torch.linspace(-2, 3, len(x), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((slope * value).sum(), x)
    dihedral = PulledDihedral(x.detach(), sites)
    forces = torch.zeros_like(x)
    dihedral.push(-slope, forces)
    assert torch.equal(dihedral.value, value.detach())
    assert torch.equal(forces, gradient)


def test_two_sites_at_one_place_pull_at_nothing_as_autograd_says():
    x = positions()
    x[0, 2] = x[0, 1]
    free = x.clone().requires_grad_()
    dihedral = geometry.dihedral(free, torch.tensor(SITES[:1]))
    (gradient,) = torch.autograd.grad(dihedral.sum(), free)
    forces = torch.zeros_like(x)
    PulledDihedral(x, SITES[0]).push(-torch.ones(len(x), dtype=torch.float64), forces)
    assert torch.equal(forces, gradient)


@pytest.mark.parametrize("n_variables", [1, 2])
def test_a_bias_has_the_energy_and_forces_of_autograd(n_variables):
    system = System(["A"] * 5, [1.0] * 5)
    variables = {f"v{k}": [f"#{i}" for i in sites] for k, sites in enumerate(SITES[:n_variables])}
    bias = MetadynamicsBias(types=["A"], variables=variables, temperature=300.0).bind(system)
    bias.heights.uniform_(0, 3)
    graph = site_graph(positions(), torch.zeros(5, dtype=torch.long), 0.0)
    energy, forces = bias(graph)
    wanted, by_autograd = bias(graph, differentiable=True)
    torch.testing.assert_close(energy, wanted.detach(), rtol=1e-14, atol=0)
    # products with the heights may be rounded in another order on another machine
    torch.testing.assert_close(forces, by_autograd.detach(), rtol=1e-13, atol=1e-12)
    assert float(forces.abs().max()) > 1
