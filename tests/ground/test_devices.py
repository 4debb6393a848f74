"""The one setting `device`: what it means, and that it is no part of a result."""

from dataclasses import replace

import pytest
import torch
from samples import periodic_frames

from cgrec.configuration import build, composed
from cgrec.devices import asked, check_device, resolved, use_device
from cgrec.run.recipes import described
from cgrec.training import ForceMatching
from cgrec.training.folder import fingerprint


@pytest.fixture
def two_gpus(monkeypatch):
    """What torch says of a machine with two."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr("cgrec.devices._DRIVERS", ("/",))


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("cgrec.devices._DRIVERS", ())


def test_auto_is_a_gpu_where_torch_sees_one(two_gpus):
    assert resolved() == torch.device("cuda")


def test_auto_is_the_cpu_elsewhere(no_gpu):
    assert resolved("auto") == torch.device("cpu")


def test_a_step_follows_the_climb_unless_it_has_its_own(two_gpus):
    with use_device("cuda:1"):
        assert ForceMatching().torch_device == torch.device("cuda:1")
        assert ForceMatching(device="cpu").torch_device == torch.device("cpu")
        assert asked() == "cuda:1"
    assert asked() == "auto"


@pytest.mark.parametrize("device", ["gpu", "mps", "cuda:first", "CPU", ""])
def test_what_is_no_device_is_refused(device):
    with pytest.raises(ValueError, match=r"expected auto, cpu, cuda or cuda:0, found.*give here=c"):
        check_device(device, "here")


@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_a_gpu_that_is_not_there_is_refused_before_work(no_gpu, device):
    with pytest.raises(ValueError, match=rf"ForceMatching.device: .*{device}.*device=cpu"):
        ForceMatching(device=device)
    with pytest.raises(ValueError, match=r"^device: expected a device of this machine.*device=cpu"):
        build(composed(["experiment=gaussian_chain", f"device={device}"]))


def test_a_third_gpu_of_two_is_refused(two_gpus):
    with pytest.raises(ValueError, match=r"'cuda:2', of which torch sees 2; give device=cpu"):
        resolved("cuda:2")


def test_a_run_goes_on_on_another_device(two_gpus):
    """Neither its recipe nor the digest of its checkpoint knows where it was computed."""
    words = ["experiment=gaussian_chain", "levels.l1.training.device="]
    here, there = (
        build(composed([words[0], words[1] + d, f"device={d}"])) for d in ("cpu", "cuda")
    )
    assert (here.device, there.device) == ("cpu", "cuda")
    assert here.recipes["l1"].stages(1, "") == there.recipes["l1"].stages(1, "")
    assert "device" not in here.recipe
    cpu = ForceMatching(device="cpu")
    assert described(cpu) == described(replace(cpu, device="cuda"))
    frames = periodic_frames()
    frames = replace(frames, forces=frames.positions)
    assert fingerprint(cpu, frames, 1) == fingerprint(ForceMatching(device="cuda"), frames, 1)
