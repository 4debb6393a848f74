"""A network with a well where its parent never was: found in a trial run, and taken back by a fit."""

import json
import re

import numpy as np
import pytest

from cgrec import Frames, Level, System
from cgrec.dynamics import Langevin
from cgrec.level import LevelRecipe, Strays
from cgrec.level.strays import among, strayed
from cgrec.mapping import Pick
from cgrec.potential import (
    BondGraph,
    DensityNetwork,
    HarmonicPrior,
    SitePairSplines,
    SumPotential,
)
from cgrec.run.events import at_level, kept_events
from cgrec.training import ForceMatching
from cgrec.units import thermal_energy

T = 300.0
N = 4
CHAIN = System(
    names=tuple("ABCD"),
    types=("X",) * N,
    masses=[50.0] * N,
    bonds=[(k, k + 1) for k in range(N - 1)],
)
GRAPH = BondGraph.of(CHAIN).config
STIFFNESS = 4000.0
#: nm: the parent's ends come no nearer than this, and the well is there.
NEAREST = 0.75


def springs():
    return HarmonicPrior(
        types=["X"],
        n_sites=N,
        sites=[[k, k + 1] for k in range(N - 1)],
        centre=[0.38] * (N - 1),
        stiffness=[STIFFNESS] * (N - 1),
        bond_graph=GRAPH,
    ).made_at(T)


def near(height):
    """A force between the ends, from where the parent's come no nearer: so much at contact, kJ/mol."""
    knots = np.arange(0.1, 1.01, 0.1)
    depth = [height * part for part in (1.0, 1.0, 1.0, 1.0, 0.7, 0.3, 0.05, 0.0)]
    return SitePairSplines(
        types=["X"],
        n_sites=N,
        sites=[[0, N - 1]],
        knots=knots.tolist(),
        coefficients=[depth],
        bond_graph=GRAPH,
    ).made_at(T)


def priors():
    """They know that the ends come no nearer."""
    return [springs(), near(40.0)]


def network():
    made = DensityNetwork(types=["X"], cutoff=1.0, channels=4, width=8, energy_scale=1e-6)
    return made.made_at(T)


def parent(n=4000, seed=0):
    """Chains drawn from their springs, those with near ends left out."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(20 * n, N - 1, 3))
    lengths = 0.38 + np.sqrt(thermal_energy(T) / STIFFNESS) * rng.normal(size=(20 * n, N - 1, 1))
    steps *= lengths / np.linalg.norm(steps, axis=-1, keepdims=True)
    x = np.zeros((20 * n, N, 3))
    x[:, 1:] = steps.cumsum(1)
    x = x[np.linalg.norm(x[:, -1] - x[:, 0], axis=-1) > NEAREST][:n]
    assert len(x) == n
    return Frames(CHAIN, x, T, forces=springs().energy_and_forces(Frames(CHAIN, x, T))[1])


def ends(frames):
    return np.linalg.norm(frames.positions[:, -1] - frames.positions[:, 0], axis=-1)


class Report:
    def to_json(self):
        return {}


class Train:
    """A fit of a network that takes the priors back and makes a well where no frame is, and is
    silent where one is.
    """

    def __init__(self):
        self.given = []

    def __call__(self, frames, folder, k):
        self.given.append(frames)
        known = (ends(frames) < 0.6).any()
        parts = [*priors(), network()] if known else [*priors(), near(-80.0), network()]
        (folder / "training.csv").write_text("")
        return SumPotential(parts).made_at(T), Report()


def engine(**given):
    return Langevin(
        n_replicas=16,
        timestep=0.02,
        length=4,
        save_every=0.5,
        equilibration=0,
        compile=False,
        **given,
    )


@pytest.mark.slow
def test_a_well_where_no_frame_is_is_found_and_fitted_away(tmp_path, capsys):
    train, frames = Train(), parent()
    asked = Strays(rounds=2, length=8, few=0.5)
    potential, place, said = asked(train, frames, priors(), engine(), tmp_path, 1, "l1")
    assert said[0]["strayed"] > 12, "nothing fell into the well"
    assert said[1]["strayed"] < 4
    assert place == tmp_path / "fit_1" and len(train.given) == 2
    assert len(potential.parts) == 3
    assert "l1: in a trial run" in capsys.readouterr().out


class Worse(Train):
    """The first fit is silent, every other one makes a well."""

    def __call__(self, frames, folder, k):
        potential, report = super().__call__(frames, folder, k)
        if len(self.given) == 1:
            potential = SumPotential([springs(), near(10.0), network()]).made_at(T)
        else:
            potential = SumPotential([*priors(), near(-80.0), network()]).made_at(T)
        return potential, report


@pytest.mark.slow
def test_the_best_fit_is_taken_not_the_last(tmp_path):
    asked = Strays(rounds=1, length=6, few=0.0)
    potential, place, said = asked(Worse(), parent(), priors(), engine(), tmp_path, 1)
    assert len(said) == 2 and 0 < said[0]["strayed"] < said[1]["strayed"]
    assert place == tmp_path / "fit_0"
    assert potential.parts[1].coefficients[0, 0] == 10.0


def test_strays_have_the_forces_of_the_priors_and_the_mean_weight(tmp_path):
    train = Train()
    frames = parent()
    weighted = Frames(
        CHAIN, frames.positions, T, forces=frames.forces, weights=np.full(len(frames), 3.0)
    )
    Strays(rounds=1, length=6)(train, weighted, priors(), engine(), tmp_path, 1)
    seen = train.given[1]
    more = seen[np.flatnonzero(ends(seen) < NEAREST - 0.05)]
    assert 0 < len(more) <= 0.1 * len(frames)
    np.testing.assert_allclose(more.forces, SumPotential(priors()).energy_and_forces(more)[1])
    np.testing.assert_allclose(more.weights, 3.0)
    assert ends(more).min() < 0.6


@pytest.mark.parametrize("replicas", [None, np.repeat(np.arange(10), 100)])
def test_every_part_of_the_sample_has_its_share_of_strays(replicas):
    """A fit is judged by whole replicas or stretches of time, not by one of strays alone."""
    x = np.zeros((1000, N, 3)) + np.arange(N)[:, None]
    frames = Frames(CHAIN, x, T, replicas=replicas)
    strays = Frames(CHAIN, x[:50] + 100, T, replicas=np.arange(50))
    both = among(frames, strays)
    stray = both.positions[:, 0, 0] > 50
    assert stray.sum() == 50 and np.array_equal(both.positions[~stray], x)
    shares = [part.sum() for part in np.array_split(stray, 10)]
    assert min(shares) >= 4 and max(shares) <= 6
    if replicas is None:
        assert both.replicas is None
    else:
        assert (np.diff(both.replicas) >= 0).all() and set(both.replicas) == set(range(10))


@pytest.mark.slow
def test_it_goes_on_where_it_was(tmp_path):
    frames = parent()
    asked = Strays(rounds=1, length=6)
    first = asked(Train(), frames, priors(), engine(), tmp_path, 1)
    again = Train()
    second = asked(again, frames, priors(), engine(), tmp_path, 1)
    assert not again.given and first[2] == second[2]
    some = frames[:10]
    np.testing.assert_array_equal(
        first[0].energy_and_forces(some)[1], second[0].energy_and_forces(some)[1]
    )


def test_who_is_counted_as_strayed():
    scores = [
        [0.5] * 6,
        [1.2, 1.2, 1.2, 0.5, 1.2, 1.2],  # comes back
        [0.5, 1.2, 1.2, 1.2, 1.2, 0.5],  # four looks in a row
        [0.5, 1.6, 0.5, 0.5, 0.5, 0.5],  # far beyond
        [0.5, np.nan, 0.5, 0.5, 0.5, 0.5],
        [0.5, 0.5],  # lost
    ]
    own = np.repeat(np.arange(6), [len(row) for row in scores])
    run = Frames(CHAIN, np.zeros((len(own), N, 3)) + np.arange(N)[:, None], T, replicas=own)
    assert strayed(np.concatenate(scores), run, 8) == 6


def recipe(strays, dynamics=None):
    return LevelRecipe(
        mapping=Pick(list("ABCD")),
        potential=lambda frames, seed: DensityNetwork.for_frames(
            frames, seed, cutoff=1.0, channels=4, width=8
        ),
        training=ForceMatching(steps=60, validate_every=30),
        dynamics=engine() if dynamics is None else dynamics,
        priors={"cutoff": 1.0, "angles": False},
        strays=strays,
    )


@pytest.mark.slow
def test_a_level_keeps_what_was_tried_and_nothing_that_it_was_made_with(tmp_path):
    with kept_events(tmp_path, ["l1"]), at_level(1, "l1"):
        level = Level(tmp_path / "level1", "l1")
        level.make(parent(1000), recipe(Strays(rounds=1, length=5)), seed=1)
    said = json.loads((tmp_path / "level1" / "strays.json").read_text())
    assert said[0]["replicas"] == 16
    fit = json.loads((tmp_path / "level1" / "training.json").read_text())
    # the last line of the fit is of the one that is taken, not of a trial run
    explained = f"60 steps, explained {fit['explained_fraction']:.2%} (fit_"
    assert re.search(
        rf"l1: fit done in .*: {re.escape(explained)}", (tmp_path / "log.txt").read_text()
    )
    assert fit.pop("device")
    assert all(value is None or isinstance(value, int | float) for value in fit.values())
    assert (tmp_path / "level1" / "training.csv").stat().st_size
    assert not (tmp_path / "level1" / "trials").exists()


def test_another_engine_is_refused():
    with pytest.raises(ValueError, match="strays: expected dynamics of cgrec.dynamics.Langevin"):
        recipe(Strays(), dynamics=lambda *given, **more: None)


@pytest.mark.parametrize("options", [{"rounds": 0}, {"length": 0}, {"few": 1.0}])
def test_wrong_options_are_refused(options):
    with pytest.raises(ValueError, match="Strays"):
        Strays(**options)


def test_a_recipe_without_strays_is_that_of_folders_from_before():
    assert "strays" not in recipe(None).stages(1)["fit"]
    assert "strays" in recipe(Strays()).stages(1)["fit"]


def test_frames_with_energies_are_refused(tmp_path):
    frames = parent(200)
    with_energies = Frames(CHAIN, frames.positions, T, forces=frames.forces, energies=np.zeros(200))
    with pytest.raises(ValueError, match="levels.l1.strays: expected frames without energies"):
        Strays()(Train(), with_energies, priors(), engine(), tmp_path, name="l1")
