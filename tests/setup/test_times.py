"""Minutes that a climb takes, before it is made."""

from dataclasses import replace

import pytest

from cgrec.configuration import build, composed
from cgrec.dynamics import Langevin
from cgrec.level import Strays
from cgrec.mapping import Mapping
from cgrec.setup import times
from cgrec.setup.cost import Cost

SHORT = {"length": 20.0, "equilibration": 10.0, "n_replicas": 16, "timestep": 0.004}
WORDS = [
    "experiment=alanine_dipeptide",
    "source=force_field",
    "source.structure=package:alanine_dipeptide.pdb",
    "~levels.l2",
    "~levels.l3",
    *(f"source.dynamics.{key}={value}" for key, value in SHORT.items()),
]


@pytest.fixture
def chain():
    pytest.importorskip("openmm", reason="openmm is missing: pip install 'cgrec[openmm]'")
    return build(composed(WORDS))


def test_level_0_of_a_structure_takes_what_its_steps_take(chain, monkeypatch):
    """By a clock that an engine moves on: 3 s for each of its runs, and 1 ms a step of each replica."""
    clock, call = [0.0], Langevin.__call__

    def counted(self, *args, **kwargs):
        clock[0] += 3.0 + 1e-3 * self.n_replicas * self.total_steps
        return call(self, *args, **kwargs)

    monkeypatch.setattr(Langevin, "__call__", counted)
    monkeypatch.setattr("cgrec.setup.cost.time.process_time", lambda: clock[0])
    frames, a_step = times._of_force_field(chain.source)
    assert frames.n_sites == 22 and len(frames) == 16 * times.SAVES and frames.forces is not None
    assert a_step == pytest.approx(1e-3 * 16)


def test_minutes_add_up(chain, monkeypatch):
    """30 ps of 0.004 ps at 0.01 s a step; 2 runs for a correction of one round; 1000 labels of 0.8 ps
    by single replicas at 0.001 s a step.
    """
    made = Cost(fit=3.0, run=5.0, pairs=1.0, timestep=0.002)
    monkeypatch.setattr(times, "_of_force_field", lambda source: (source.molecule[1], 0.016))
    monkeypatch.setattr(times, "cost", lambda name, recipe, frames: made)
    (name,) = chain.recipes
    found = times.times_of(chain)
    rounds = sum(getattr(one, "rounds", 1) for one in chain.recipes[name].all_corrections)
    assert found.source == pytest.approx(30 / 0.004 * 0.016 / 60)
    assert found.of(name) == pytest.approx(3 + 5 * (1 + rounds) + 1)
    assert found.total == pytest.approx(found.source + found.of(name))
    assert f"level 0 {found.source:.2g} min" in found.said() and "rough" in found.said()


def test_strays_and_controls_count_and_what_may_come_again_is_said(chain, monkeypatch):
    """Runs of 5 min; a trial run is a tenth of their steps, but for rounding to whole saves. Two levels, the second with a control."""
    made = Cost(fit=3.0, run=5.0, pairs=0.0, timestep=0.004)
    monkeypatch.setattr(times, "_of_force_field", lambda source: (source.molecule[1], 0.016))
    monkeypatch.setattr(times, "cost", lambda name, recipe, frames: made)
    (recipe,) = chain.recipes.values()
    engine = replace(recipe.dynamics, length=90.0, equilibration=10.0, timestep=0.004)
    plain = replace(recipe, dynamics=engine, refine=(), refine_pairs=None, corrections=())
    strays = replace(plain, strays=Strays(rounds=2, length=10.0))
    chain.recipes = {"l1": strays, "l2": replace(plain, mapping=Mapping.identity)}
    found = times.times_of(chain)
    assert found.of("l1") == pytest.approx(3 + 0.5 + 5, rel=0.01)
    assert found.of("l2") == pytest.approx(2 * (3 + 5))
    assert found.more == pytest.approx(2 * (3 + 0.5), rel=0.01)
    assert "up to 7 min more, which are not counted" in found.said()
    chain.ledger = replace(chain.ledger, control=False)
    assert times.times_of(chain).of("l2") == pytest.approx(3 + 5)


def test_labels_by_mean_forces_count(chain):
    from cgrec.corrections import MeanForces

    (recipe,) = chain.recipes.values()
    labels = MeanForces(length=0.6, equilibration=0.2, timestep=0.004, most=1000)
    given = replace(recipe, mean_forces=labels)
    engine = replace(chain.source.dynamics, length=1000.0, save_every=1.0)
    assert times._of_mean_forces(given, engine, 0.001) == pytest.approx(1000 * 200 * 0.001 / 60)
    assert times._of_mean_forces(recipe, engine, 0.001) == 0.0
    few = replace(engine, length=2.0)  # 32 frames
    assert times._of_mean_forces(given, few, 0.001) == pytest.approx(32 * 200 * 0.001 / 60)


def test_a_source_that_is_not_timed_says_so(tmp_path):
    assert times.times_of(build(composed(["experiment=gaussian_chain"]))) is None
