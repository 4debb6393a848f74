"""What else a climb does on its device: level 0, corrections, variables, backmappers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from contracts import random_frames
from contracts.test_corrections import gas, near

from cgrec import Frames
from cgrec.backmapping import FlowBackmapper, minimise
from cgrec.corrections import PairRefinement
from cgrec.devices import resolved, use_device
from cgrec.dynamics import Langevin
from cgrec.mapping import Mapping
from cgrec.potential import Bonds, Potential, UF3Potential
from cgrec.potential.priors import fitted
from cgrec.sources import NetworkSource
from cgrec.training import ForceMatching
from cgrec.variables import CollectiveVariable, RadiusOfGyration

TYPES = ["A", "B", "C"]
QUICK = {"steps": 20, "width": 16, "batch_size": 32, "validate_every": 10}


def test_auto_is_there(device):
    assert resolved().type == device.type == ForceMatching().torch_device.type
    with use_device("cpu"):
        assert ForceMatching().torch_device.type == "cpu"


def test_level_0_of_a_network(device, tmp_path, monkeypatch):
    """Its members are trained, its committee watches and its dynamics runs there."""
    from sources.test_network_source import labels

    labels(12).save(tmp_path / "labels")
    seen = []
    before = Langevin.__call__
    monkeypatch.setattr(
        Langevin,
        "__call__",
        lambda self, p, *a, **k: seen.append(p.device) or before(self, p, *a, **k),
    )
    run = Langevin(
        n_replicas=2,
        length=0.004,
        save_every=0.002,
        equilibration=0,
        timestep=0.0005,
        compile=False,
    )
    source = NetworkSource(
        temperature=300,
        labels={"path": tmp_path / "labels"},
        members=2,
        network={"cutoff": 0.3, "channels": 4, "width": 4, "l_max": 1},
        training=ForceMatching(steps=4, batch_size=4, validate_every=2, compile=False),
        dynamics=run,
        margin=1e6,
    )
    assert len(source.make(tmp_path / "level0", 1)) == 4
    assert seen == [device]


@dataclass
class Again:
    folder: Path
    frames: Frames
    device: torch.device

    def __call__(self, potential, name):
        assert potential.device == self.device
        return self.frames


def test_pairs_are_refined(device, tmp_path):
    """Runs of two sites that do not see each other, a target whose sites attract each other."""
    run, target = gas(3000, 0), gas(6000, 1, lambda frames: 1.0 + 2.0 * near(frames))
    found = []
    for where in (torch.device("cpu"), device):
        (tmp_path / where.type).mkdir()
        again = Again(tmp_path / where.type, run, where)
        potential = UF3Potential(types=["A"], cutoff=0.7, spacing=0.1).to(where)
        refinement = PairRefinement(cutoff=0.7, spacing=0.1, rounds=1, efficiency=0.05)
        found.append(refinement(potential, run, target, again).potential)
    wanted, other = (p.energy_and_forces(run)[1] for p in found)
    assert np.abs(wanted).max() > 0
    np.testing.assert_allclose(other, wanted, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "variable",
    [
        RadiusOfGyration(),
        CollectiveVariable("r", ("#0", "#4")),
        CollectiveVariable("bend", ("#0", "#1", "#2")),
        CollectiveVariable("phi", ("#0", "#1", "#2", "#3")),
    ],
    ids=lambda v: v.name,
)
def test_variables(variable, device):
    frames = random_frames(4)
    there = torch.tensor(np.asarray(frames.positions), device=device)
    found = variable.values(there, frames.system)
    assert found.device == device
    np.testing.assert_allclose(found.cpu().numpy(), variable.of(frames), rtol=1e-6)


def test_a_flow_is_the_cpu_s(device, tmp_path):
    """It is fitted there to the same weights, drawn from there, and its file knows no device."""
    frames, mapping = random_frames(100), every_other()
    found = {}
    for where in ("cpu", str(device)):
        with use_device(where):
            flow = FlowBackmapper.fit(frames, mapping, **QUICK)
            flow.save(tmp_path / f"{where[:4]}.pt")
            read = FlowBackmapper.load(tmp_path / f"{where[:4]}.pt", mapping)
            coarse = mapping(frames[:5])
            drawn = read(coarse, generator=torch.Generator().manual_seed(1))
            found[where] = drawn.positions, read.log_prob(drawn)
    for one, two in zip(*found.values(), strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-4)


def every_other():
    system = random_frames(1).system
    weights = np.zeros((3, 6))
    weights[np.arange(3), 2 * np.arange(3)] = 1.0
    return Mapping(fine=system, coarse=system.select([0, 2, 4]), position_weights=weights)


def test_strain_is_taken_out_by_a_potential_that_lies_there(device):
    frames = random_frames(3)
    potential = sum(fitted([Bonds()], random_frames(100), TYPES)[1:], _bonds())
    here = minimise(frames, every_other(), potential, steps=5).positions
    there = minimise(frames, every_other(), potential.to(device), steps=5).positions
    np.testing.assert_allclose(there, here, rtol=1e-8, atol=1e-8)


def _bonds() -> Potential:
    return fitted([Bonds()], random_frames(100), TYPES)[0]
