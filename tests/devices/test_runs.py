"""Runs on another device: what they compute, what they keep, how often they wait."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from contracts import random_frames
from samples import periodic_frames, splines

from cgrec import Frames
from cgrec.dynamics import Barostat, BiasPlan, Exchange, FeatureGuard, Langevin
from cgrec.dynamics.guard import CommitteeGuard
from cgrec.dynamics.guard_file import load_guard, save_guard
from cgrec.dynamics.integrators import ReplicaNoise
from cgrec.dynamics.langevin import picked, prepared
from cgrec.potential import Bonds, Committee, DensityNetwork, PairStiffness, VolumeTerm
from cgrec.potential.priors import fitted
from cgrec.remarks import Remark

TYPES = ["A", "B", "C"]


def network(seed=0):
    return DensityNetwork(types=TYPES, cutoff=0.5, channels=4, width=8, seed=seed).double()


def molecule():
    """A molecule on springs, with a network that hardly pulls."""
    frames = random_frames(40)
    return sum(fitted([Bonds()], frames, TYPES), network()), frames


def liquid():
    return network(), periodic_frames(4)


SYSTEMS = {"molecule": molecule, "liquid": liquid}


def engine(**given):
    return Langevin(
        **{
            "n_replicas": 4,
            "length": 0.024,
            "save_every": 0.006,
            "equilibration": 0.006,
            "timestep": 0.002,
            "checkpoint_every": 1,
            "compile": False,
            **given,
        }
    )


@pytest.mark.parametrize("name", SYSTEMS)
def test_forces_of_its_frames_are_those_of_the_potential(name, device, tmp_path):
    potential, start = SYSTEMS[name]()
    frames, report = engine()(potential.to(device), start, tmp_path / "run", seed=1)
    assert report.device == str(device) and len(frames) == 16
    wanted = potential.to("cpu").energy_and_forces(frames)[1]
    np.testing.assert_allclose(frames.forces, wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())


def begun(options, potential, start, folder):
    """The replicas of a run at its start; nothing is written."""
    noise = ReplicaNoise(1, options.n_replicas, potential.device)
    own = picked(options, start, 1)
    return prepared(options, potential, start, own, noise, folder / "run").replicas


@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compiled"])
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_step_waits_at_most_to_look_for_neighbours(name, compiled, traffic, device, tmp_path):
    """Where neighbours never change not at all, else for one number."""
    potential, start = SYSTEMS[name]()
    options = engine(compile=compiled, timestep=1e-5)
    replicas = begun(options, potential.to(device), start, tmp_path)
    replicas.find_forces()
    (noise,) = replicas.noise.draw(1, tuple(replicas.positions.shape[1:]))
    replicas.advance(noise)
    traffic.clear()
    for noise in replicas.noise.draw(5, tuple(replicas.positions.shape[1:])):
        replicas.advance(noise)
    assert all("potential/graph.py" in line for line in traffic.to_host), traffic
    assert traffic.stops == traffic.to_host.total() == (0 if name == "molecule" else 5), traffic
    assert traffic.to_device.total() == 0, traffic


def stopped(options, potential, start, folder, seed=1):
    """A run that is killed after its second frame, of which the checkpoint is there."""
    from cgrec.dynamics import run

    class Killed(RuntimeError):
        pass

    with pytest.MonkeyPatch.context() as patch:
        before = run.Run.checkpoint

        def checkpoint(self):
            before(self)
            if self.saved >= 2 * options.n_replicas:
                raise Killed

        patch.setattr(run.Run, "checkpoint", checkpoint)
        with pytest.raises(Killed):
            options(potential, start, folder, seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"exchange": Exchange(factors=[1.0, 1.5], every=3)},
        {"bias": BiasPlan(variables={"phi": ["#0", "#1", "#2", "#3"]}, growth=0.02, every=2)},
        {"held": ["#0"], "held_centres": [{"#1": 1.0, "#2": 2.0}]},
    ],
    ids=["plain", "exchange", "bias", "held"],
)
def test_a_run_that_was_killed_goes_on_to_the_same_frames(given, device, tmp_path):
    potential, start = molecule()
    potential.to(device)
    options = engine(**given)
    whole, _ = options(potential, start, tmp_path / "whole", seed=1)
    stopped(options, potential, start, tmp_path / "killed")
    again, _ = options(potential, start, tmp_path / "killed", seed=1)
    np.testing.assert_array_equal(again.positions, whole.positions)
    np.testing.assert_array_equal(again.replicas, whole.replicas)


def test_a_run_goes_on_on_another_device_and_says_so(device, tmp_path):
    potential, start = molecule()
    stopped(engine(), potential.to(device), start, tmp_path / "run")
    with pytest.warns(Remark, match="begun on cuda and going on on cpu"):
        frames, report = engine()(potential.to("cpu"), start, tmp_path / "run", seed=1)
    assert len(frames) == 16 and report.device == "cpu"


def test_noise_of_a_replica_does_not_depend_on_the_others(device, tmp_path):
    potential, start = molecule()
    few, many = (
        begun(engine(n_replicas=n), potential.to(device), start, tmp_path).noise for n in (2, 4)
    )
    assert few.generators[0].device.type == device.type
    one, two = (noise.draw(3, (6, 3)) for noise in (few, many))
    assert one.device == device
    torch.testing.assert_close(one.cpu(), two[:, :2].cpu(), rtol=0, atol=0)


def test_a_barostat(device, tmp_path):
    start = periodic_frames(4, triclinic=False)
    box = 1.6 * np.asarray(start.box)
    start = Frames(start.system, 1.6 * np.asarray(start.positions), 300.0, box=box)
    volume = VolumeTerm(
        types=TYPES, volume=float(np.linalg.det(box)) / 36, coefficients=[-1.0, 5.0]
    )
    potential = (splines(three_cutoff=0.0, energy_scale=0.1) + volume).to(device)
    frames, _ = engine(hooks=[Barostat(pressure=1.0, every=2, warm_up=0.01)])(
        potential, start, tmp_path / "run", seed=1
    )
    assert np.ptp(np.linalg.det(frames.boxes())) > 0
    said = json.loads((tmp_path / "run" / "simulation.json").read_text())
    assert 0 < said["hooks"]["barostat"]["acceptance"] <= 1


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_guard_is_the_cpu_s(name, device, tmp_path):
    _, frames = SYSTEMS[name]()
    net = network()
    here = FeatureGuard.fit(net, frames)
    wanted = here.score(net.graph(frames))
    net.to(device)
    guard = FeatureGuard.fit(net, frames)
    found = guard.score(net.graph(frames))
    assert found.device == device
    torch.testing.assert_close(found.cpu(), wanted, rtol=1e-4, atol=1e-4)
    save_guard(guard, tmp_path / "guard.npz")
    again = load_guard(tmp_path / "guard.npz", net).score(net.graph(frames))
    torch.testing.assert_close(again.cpu(), wanted, rtol=1e-4, atol=1e-4)


def test_a_guarded_run_stops_what_leaves(device, tmp_path):
    potential, start = molecule()
    potential.to(device)
    guard = FeatureGuard.fit(potential, start)
    frames, report = engine()(potential, start, tmp_path / "a", seed=1, guard=guard)
    assert report.guard["largest_score"] > 0
    committee = Committee([network(1), network(2)]).to(device)
    strict = CommitteeGuard(committee, 1e-9)
    with pytest.raises(ValueError, match="left the region"):
        engine()(potential, start, tmp_path / "b", seed=1, guard=strict)


def test_a_replica_that_explodes_is_lost_alone(device, tmp_path):
    start = random_frames(4)
    potential = PairStiffness(types=TYPES, n_sites=6).double()
    potential.stiffness.data[:] = 100.0
    far = np.array(start.positions)
    far[1, 0, 0] = 1e8
    start = replace(start, positions=far)
    _, report = engine(n_replicas=8)(potential.to(device), start, tmp_path / "run", seed=2)
    lost = {one["replica"] for one in report.lost}
    assert 0 < len(lost) < 8
