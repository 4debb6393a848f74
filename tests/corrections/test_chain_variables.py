"""`ChainRefinement` along Variables: a model whose two basins have populations that are wrong by a
known free energy.

Chains are drawn, not simulated: of independent steps, thinned to an energy that is a function of
how compact the chain is. So what the parent is, and by how much the model is wrong, is exact.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from cgrec import Frames, System
from cgrec.corrections import ChainRefinement
from cgrec.potential import BondGraph, HarmonicPrior, VariableSplines
from cgrec.remarks import Remark
from cgrec.units import thermal_energy
from cgrec.variables import NativeContacts, PairDistances, RadiusOfGyration

N = 8
T = 300.0
KT = thermal_energy(T)
#: kT by which the model has too much of the stretched chains.
WRONG = 2.0
#: Frames that chains are drawn from, and frames of a sample.
DRAWN, MANY = 40_000, 4000
CHAIN = System(
    names=("CA",) * N,
    types=("X",) * N,
    masses=[50.0] * N,
    bonds=[(k, k + 1) for k in range(N - 1)],
    residue_names=("ALA",) * N,
    residues=range(N),
)


def drawn(n, seed):
    steps = np.random.default_rng(seed).normal(size=(n, N - 1, 3))
    steps *= 0.38 / np.linalg.norm(steps, axis=-1, keepdims=True)
    x = np.zeros((n, N, 3))
    x[:, 1:] = steps.cumsum(1)
    return Frames(CHAIN, x, T)


def thinned(frames, log_weights, seed):
    """`MANY` frames with these weights: a run has as many frames whatever its potential is."""
    chance = np.exp(log_weights - log_weights.max())
    taken = frames[np.random.default_rng(seed).random(len(frames)) < chance]
    assert len(taken) >= MANY
    return taken[:MANY]


def compact():
    x = np.zeros((1, N, 3))
    x[0, :, 0] = 0.38 * np.concatenate([np.arange(4), np.arange(4)[::-1]])
    x[0, 4:, 1] = 0.38
    return Frames(CHAIN, x, T)


VARIABLES = {
    "Rg": RadiusOfGyration(),
    "Q": NativeContacts(structure=compact(), between="CA", factor=1.5, beta=10.0),
}
#: Value of the barrier, and how wide it is; compact chains are below it in Rg and above it in Q.
BARRIER = {"Rg": (0.45, 0.02, 1.0), "Q": (0.35, 0.05, -1.0)}


def stretched(frames, name):
    """0 for compact chains, 1 for stretched ones."""
    place, width, sign = BARRIER[name]
    return 1 / (1 + np.exp(-sign * (VARIABLES[name].of(frames) - place) / width))


def barrier(frames, name):
    """ln weight: 2 kT up between two basins, and compact chains as many as the others, about."""
    place, width, _ = BARRIER[name]
    top = np.exp(-(((VARIABLES[name].of(frames) - place) / (1.5 * width)) ** 2))
    return -2.0 * top - 1.5 * stretched(frames, name)


def free_energy(frames, name):
    """kT: of the compact basin below the stretched one, and its error."""
    inside = (stretched(frames, name) < 0.5).astype(float)
    p = frames.normalised_weights() @ inside
    return float(np.log(p / (1 - p))), float(1 / np.sqrt(len(frames) * p * (1 - p)))


@dataclass
class Again:
    """The ensemble of the model with what a correction adds, drawn anew."""

    folder: Path
    name: str
    device = torch.device("cpu")
    seed: int = 100

    def __call__(self, potential, name):
        self.seed += 1
        frames = drawn(DRAWN, self.seed)
        added = potential.parts[1:]
        energy = sum(part.energy_and_forces(frames)[0] for part in added)
        log_weights = barrier(frames, self.name) + WRONG * stretched(frames, self.name)
        return thinned(frames, log_weights - energy / KT, self.seed)


def springs():
    return HarmonicPrior(
        types=["X"],
        n_sites=N,
        sites=[[k, k + 1] for k in range(N - 1)],
        centre=[0.38] * (N - 1),
        stiffness=[2000.0] * (N - 1),
        bond_graph=BondGraph.of(CHAIN).config,
    )


def samples(name):
    frames = drawn(DRAWN, 1)
    parent = thinned(frames, barrier(frames, name), 2)
    frames = drawn(DRAWN, 3)
    wrong = WRONG * stretched(frames, name)
    return thinned(frames, barrier(frames, name) + wrong, 4), parent


def along(name):
    return ChainRefinement(offset=6, rounds=1, efficiency=0.05, variables={name: VARIABLES[name]})


@pytest.mark.parametrize("name", list(VARIABLES))
def test_populations_of_two_basins_come_out_right(tmp_path, name):
    model, parent = samples(name)
    before, _ = free_energy(model, name)
    aim, error = free_energy(parent, name)
    assert aim - before > 1.2, "the model is right before: there is nothing to find"
    again = Again(tmp_path, name)
    asked = along(name)
    corrected = asked(springs(), model, parent, again)
    said = corrected.about["held_out_divergence"]
    floor = corrected.about["floor"]
    assert corrected.about["round"] == 1 and said[1] < floor + 0.1 * (said[0] - floor)
    after, own = free_energy(again(corrected.potential, "after"), name)
    assert abs(after - aim) < 3 * np.hypot(error, own)


@pytest.mark.parametrize("name", list(VARIABLES))
def test_what_is_added_is_what_was_missing(tmp_path, name):
    """The energy that the model has too little of is known at every value."""
    model, parent = samples(name)
    asked = along(name)
    corrected = asked(springs(), model, parent, Again(tmp_path, name))
    frames = parent[:2000]
    energy = sum(p.energy_and_forces(frames)[0] for p in corrected.potential.parts[1:]) / KT
    missing = WRONG * stretched(frames, name)
    off = (energy - energy.mean()) - (missing - missing.mean())
    assert np.sqrt((off**2).mean()) < 0.25 < missing.std()


def test_without_variables_nothing_of_it_is_in_the_potential(tmp_path):
    model, parent = samples("Rg")
    corrected = ChainRefinement(offset=6, rounds=1)(springs(), model, parent, Again(tmp_path, "Rg"))
    assert not any(isinstance(part, VariableSplines) for part in corrected.potential.modules())


@dataclass
class Same:
    """Runs that give the same frames again."""

    folder: Path
    frames: Frames
    device = torch.device("cpu")

    def __call__(self, potential, name):
        return self.frames


def test_values_that_no_sample_shares_are_left_out(tmp_path):
    """Nobody knows how to come from one to the other."""
    frames = drawn(4000, 5)
    rg = VARIABLES["Rg"].of(frames)
    asked = ChainRefinement(offset=6, rounds=1, variables={"Rg": VARIABLES["Rg"]})
    with pytest.warns(Remark, match="Rg is left out: the run has values from .* none in common"):
        asked(springs(), frames[rg > 0.6], frames[rg < 0.45], Same(tmp_path, frames[rg > 0.6]))


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"pairs": PairDistances()}, "variables: pairs: expected one number"),
        ({"turn": ["#0", "#1", "#2", "#3"]}, "variables: turn: expected a number on a line"),
        ({"far": ["#0", "#9"]}, "variables: far cannot be computed at this level"),
    ],
)
def test_what_cannot_be_corrected_is_refused_before_work(variables, why):
    assert why in ChainRefinement(offset=4, variables=variables).missing_on(CHAIN)


def test_what_is_no_variable_is_refused_at_once():
    with pytest.raises(ValueError, match="variables.Q: expected labels"):
        ChainRefinement(variables={"Q": 3})
