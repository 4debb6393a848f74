"""The device that is made up refuses what a GPU refuses, and counts what makes one wait."""

import copy

import numpy as np
import pytest
import torch


def test_operands_of_two_devices_are_refused(device):
    there, here = torch.ones(3, device=device), torch.ones(3)
    for mixed in (
        lambda: there + here,
        lambda: here.sub_(there),
        lambda: torch.stack([there, here]),
        lambda: torch.where(here > 0, there, here),
        lambda: torch.zeros(3).index_add_(0, torch.arange(3), there),
    ):
        with pytest.raises(RuntimeError, match="same device"):
            mixed()


def test_a_number_of_the_cpu_may_be_an_operand(device):
    assert (torch.ones(3, device=device) * torch.tensor(2.0)).tolist() == [2.0, 2.0, 2.0]


def test_numpy_does_not_see_the_device(device):
    for read in (lambda t: t.numpy(), np.asarray):
        with pytest.raises((RuntimeError, TypeError)):
            read(torch.ones(3, device=device))
    assert torch.ones(3, device=device).cpu().numpy().tolist() == [1.0, 1.0, 1.0]


def test_random_numbers_come_from_a_generator_of_their_device(device):
    there, here = torch.Generator(device), torch.Generator()
    assert there.device.type == "cuda"
    first = torch.randn(3, device=device, generator=there.manual_seed(1)).tolist()
    assert torch.randn(3, device=device, generator=there).tolist() != first
    assert torch.randn(3, device=device, generator=there.manual_seed(1)).tolist() == first
    with pytest.raises(RuntimeError, match="generator"):
        torch.rand(3, device=device, generator=here)
    with pytest.raises(RuntimeError, match="generator"):
        torch.rand(3, generator=there)


def test_gradients_stay_there(device):
    x = torch.tensor([1.0, 2.0], device=device, requires_grad=True)
    (slope,) = torch.autograd.grad((x**3).sum(), x, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), x)
    assert curvature.device == device and curvature.tolist() == [6.0, 12.0]


def test_a_module_goes_there_and_comes_back(device):
    module = torch.nn.Linear(2, 1)
    wanted = module(torch.ones(1, 2)).item()
    there = copy.deepcopy(module).to(device)
    assert there(torch.ones(1, 2, device=device)).item() == pytest.approx(wanted)
    with pytest.raises(RuntimeError, match="same device"):
        there(torch.ones(1, 2))
    assert copy.deepcopy(there).to("cpu")(torch.ones(1, 2)).item() == pytest.approx(wanted)


def test_a_file_is_read_where_it_is_wanted(device, tmp_path):
    torch.save({"x": torch.ones(2, device=device)}, tmp_path / "x.pt")
    here, there = (torch.load(tmp_path / "x.pt", map_location=m) for m in ("cpu", device))
    assert here["x"].device.type == "cpu" and there["x"].device == device


def test_waits_are_counted(traffic):
    x = torch.ones(3, device="cuda")
    y = x * 2 + 1
    torch.where(y > 2, y, x)
    assert traffic.stops == 0
    for wait in (
        lambda: x.sum().item(),
        lambda: bool((x > 0).any()),
        lambda: x.cpu(),
        lambda: x.tolist(),
        lambda: x[x > 0],
        lambda: (x > 0).nonzero(),
    ):
        traffic.clear()
        wait()
        assert traffic.stops == 1
