"""Every hook of a run: it leaves labels and weighted averages right, serves many runs, and goes on
after a kill as if nothing had happened.
"""

import json

import numpy as np
import pytest
from plugin.toy.hook import Tether

from cgrec import Frames, System, roles
from cgrec.dynamics import BiasPlan, Exchange, Guard, Hook, Langevin
from cgrec.dynamics.run import Run
from cgrec.potential import PairStiffness
from cgrec.units import thermal_energy

T = 300.0
STIFFNESS = 400.0
CHAIN = System(names=tuple("ABCD"), masses=[12.0] * 4, bonds=[(0, 1), (1, 2), (2, 3)])
QUICK = {
    "n_replicas": 24,
    "length": 2.0,
    "save_every": 0.1,
    "equilibration": 0.2,
    "timestep": 0.004,
    "friction": 5.0,
    "checkpoint_every": 3,
    "compile": False,
}


class Wide(Guard):
    """A guard that no replica of these runs meets."""

    def score(self, graph):
        return graph.per_frame(graph.positions).flatten(1).abs().amax(1) / 1e3


HOOKS = {
    "none": lambda: {"hooks": [Hook()]},
    "bias": lambda: {"bias": BiasPlan(variables={"turn": list("ABCD")}, growth=1.0, height=0.05)},
    "exchange": lambda: {"exchange": Exchange(factors=[1.0, 1.3], every=10)},
    "guard": lambda: {"guard": Wide()},
    "tether": lambda: {"hooks": [Tether(spring=150.0)]},
}


@pytest.fixture(params=list(HOOKS))
def options(request):
    return HOOKS[request.param]()


def springs():
    """Every pair on a spring: <|r_D - r_A|^2> = 3 kT 2 / (4 k), whatever the masses."""
    made = PairStiffness(types=list("ABCD"), n_sites=4).double()
    made.stiffness.data[:] = STIFFNESS
    return made


def run(folder, options, **more):
    guard = options.get("guard")
    rest = {k: v for k, v in options.items() if k != "guard"}
    x = np.random.default_rng(0).normal(scale=0.05, size=(40, 4, 3))
    dynamics = Langevin(**{**QUICK, **rest, **more})
    return dynamics(springs(), Frames(CHAIN, x, T), folder, seed=3, guard=guard)


def same(one, two):
    for name in ("positions", "forces", "weights", "replicas"):
        a, b = getattr(one, name), getattr(two, name)
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a, b)


def test_it_has_the_role(options):
    hooks = [h for h in (*options.values(), *options.get("hooks", ())) if isinstance(h, Hook)]
    assert hooks or "guard" in options
    assert all(isinstance(hook, roles.Hook) for hook in hooks)


@pytest.mark.slow
def test_labels_and_weighted_averages_are_those_of_the_potential(tmp_path, options):
    frames, report = run(tmp_path / "f", options, length=16.0, equilibration=1.0, n_replicas=64)
    np.testing.assert_allclose(frames.forces, springs().energy_and_forces(frames)[1], atol=0.02)
    x = np.asarray(frames.positions, float)
    square = ((x[:, 3] - x[:, 0]) ** 2).sum(-1)
    weights = frames.normalised_weights()
    replicas = np.unique(frames.replicas)
    own = [
        np.average(square[frames.replicas == r], weights=weights[frames.replicas == r])
        for r in replicas
    ]
    error = np.std(own) / np.sqrt(len(own))
    exact = 3 * thermal_energy(T) * 2 / (4 * STIFFNESS)
    assert weights @ square == pytest.approx(exact, abs=4 * error) and error < 0.05 * exact
    assert report.weight_efficiency == pytest.approx(frames.weight_efficiency())
    # Near three sites in a line, where these soft chains come, the force along a dihedral has no
    # bound, and no time step serves it.
    if "bias" not in options:
        kinetic, error = report.kinetic_temperature
        assert kinetic == pytest.approx(T, abs=4 * error)


def test_one_object_serves_many_runs(tmp_path, options):
    same(run(tmp_path / "a", options)[0], run(tmp_path / "b", options)[0])


def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path, monkeypatch, options):
    whole, told = run(tmp_path / "whole", options)
    real, count = Run.stretch, []

    def stretch(self, bar):
        count.append(1)
        if len(count) == 14:
            raise KeyboardInterrupt
        real(self, bar)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Run, "stretch", stretch)
        run(tmp_path / "killed", options)
    after, told_after = run(tmp_path / "killed", options)
    same(after, whole)
    for name in ("lost", "kinetic_temperature", "exchange_acceptance", "guard", "hooks"):
        a, b = (json.dumps(getattr(report, name)) for report in (told_after, told))
        assert a == b, name


def test_a_run_made_longer_equals_a_long_run(tmp_path, options):
    run(tmp_path / "grown", options)
    same(
        run(tmp_path / "grown", options, length=3.0)[0],
        run(tmp_path / "long", options, length=3.0)[0],
    )


def test_a_hook_that_does_nothing_changes_nothing(tmp_path):
    same(run(tmp_path / "a", {})[0], run(tmp_path / "b", HOOKS["none"]())[0])


def test_what_hooks_say_is_in_the_report(tmp_path):
    options = {**HOOKS["tether"](), **HOOKS["guard"](), **HOOKS["exchange"]()}
    _, report = run(tmp_path / "f", options)
    about = json.loads((tmp_path / "f" / "simulation.json").read_text())
    assert about["hooks"] == {"tether": {"spring": 150.0, "looks": 22}} == report.hooks
    assert about["guard"]["guard"] == "Wide" and 0 < about["guard"]["largest_score"] < 1
    assert 0.5 < about["exchange_acceptance"] < 1
    assert "hooks" not in json.loads(run_plain(tmp_path / "g"))


def run_plain(folder):
    run(folder, {})
    return (folder / "simulation.json").read_text()


def test_what_is_no_hook_is_refused():
    with pytest.raises(ValueError, match="Langevin.hooks: expected .*found 3"):
        Langevin(hooks=[3])


def test_checkpoints_of_the_time_before_hooks_are_gone_on_from(tmp_path, monkeypatch):
    """They held the bias, the rungs and the guard's largest score under names of their own."""
    from cgrec.run.checkpoints import load_state, save_state

    options = {**HOOKS["bias"](), **HOOKS["guard"](), **HOOKS["exchange"]()}
    whole, told = run(tmp_path / "whole", options)
    real, count = Run.stretch, []

    def stretch(self, bar):
        count.append(1)
        if len(count) == 14:
            raise KeyboardInterrupt
        real(self, bar)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Run, "stretch", stretch)
        run(tmp_path / "old", options)
    path = tmp_path / "old.partial" / "checkpoint.pt"
    state = load_state(path)
    heights, exchange, largest = state.pop("hooks")
    state |= {"bias": heights, **exchange}
    state["report"]["guard"] = {"guard": "Wide", "largest_score": largest}
    del state["report"]["hooks"]
    save_state(path, state)
    after, told_after = run(tmp_path / "old", options)
    same(after, whole)
    assert told_after.guard == told.guard
    assert told_after.exchange_acceptance == told.exchange_acceptance
