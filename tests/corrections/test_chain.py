"""A chain whose ends attract each other, and a model that does not know it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from cgrec import Frames, System
from cgrec.corrections import ChainRefinement
from cgrec.dynamics import AllLost, Langevin
from cgrec.potential import BondGraph, HarmonicPrior, SitePairSplines, SumPotential
from cgrec.remarks import Remark

N = 8
CHAIN = System(
    names=tuple("ABCDEFGH"),
    types=("X",) * N,
    masses=[50.0] * N,
    bonds=[(k, k + 1) for k in range(N - 1)],
)
T = 300.0


def springs():
    return HarmonicPrior(
        types=["X"],
        n_sites=N,
        sites=[[k, k + 1] for k in range(N - 1)],
        centre=[0.38] * (N - 1),
        stiffness=[2000.0] * (N - 1),
        bond_graph=BondGraph.of(CHAIN).config,
    ).made_at(T)


def attraction():
    """8 kJ/mol between the first and the last site within half a nanometre."""
    knots = np.arange(0.3, 1.01, 0.1)
    depth = [-8.0, -8.0, -8.0, -4.0, 0.0, 0.0]
    return SitePairSplines(
        types=["X"],
        n_sites=N,
        sites=[[0, N - 1]],
        knots=knots.tolist(),
        coefficients=[depth],
        bond_graph=BondGraph.of(CHAIN).config,
    ).made_at(T)


def sample(potential, folder, seed):
    x = np.zeros((1, N, 3))
    x[0, :, 0] = 0.38 * np.arange(N)
    x[0, :, 1] = 0.1 * np.cos(3 * np.arange(N))
    engine = Langevin(
        n_replicas=128,
        length=60,
        save_every=2.0,
        equilibration=20,
        timestep=0.02,
        friction=2.0,
        compile=False,
    )
    return engine(potential, Frames(CHAIN, x, T), folder, seed=seed)[0]


@dataclass
class Again:
    folder: Path
    device = torch.device("cpu")
    seed: int = 10

    def __call__(self, potential, name):
        self.seed += 1
        return sample(potential, self.folder / name, self.seed)


@pytest.mark.slow
def test_ends_that_attract_each_other_are_found(tmp_path, capsys):
    parent = sample(SumPotential([springs(), attraction()]), tmp_path / "parent", 1)
    model = sample(springs(), tmp_path / "model", 2)
    corrected = ChainRefinement(rounds=2)(springs(), model, parent, Again(tmp_path))
    said = corrected.about["held_out_divergence"]
    floor = corrected.about["floor"]
    assert said[0] > 3 * floor, "the model is off before, or there is nothing to correct"
    assert said[corrected.about["round"]] < floor + 0.25 * (said[0] - floor)
    frames = sample(corrected.potential, tmp_path / "corrected", 3)
    near = [
        (np.linalg.norm(f.positions[:, 0] - f.positions[:, -1], axis=-1) < 0.6).mean()
        for f in (model, parent, frames)
    ]
    assert near[1] > 3 * near[0]
    assert near[2] == pytest.approx(near[1], rel=0.25)


@dataclass
class Bad:
    """Every run of a corrected model gives the same frames."""

    folder: Path
    frames: Frames
    device = torch.device("cpu")

    def __call__(self, potential, name):
        return self.frames


def drawn(scale, seed):
    """400 chains with random steps of about 0.38 nm times `scale`, not simulated."""
    steps = np.random.default_rng(seed).normal(size=(400, N, 3))
    steps *= 0.38 * scale / np.linalg.norm(steps, axis=-1, keepdims=True)
    return Frames(CHAIN, np.cumsum(steps, 1), T)


@pytest.mark.parametrize(
    "frames", [drawn(2.0, 9), drawn(0.9, 3)[:300]], ids=["stretched", "replicas lost"]
)
def test_a_round_that_is_worse_is_taken_back_by_half(tmp_path, frames):
    """The second round begins where the first one did, with half of its step."""
    again = Bad(tmp_path, frames)
    corrected = ChainRefinement(rounds=2)(springs(), drawn(1.0, 1), drawn(0.9, 2), again)
    assert corrected.about["round"] == 0
    first, second = (
        SumPotential.load(tmp_path / f"correction_{k}.pt").parts[0].coefficients for k in (1, 2)
    )
    assert first.abs().max() > 0.01
    assert torch.allclose(second, 0.5 * first, atol=1e-9)


@dataclass
class Lost:
    """Runs of a corrected model, of which the first ones lose all replicas at once."""

    folder: Path
    frames: Frames
    lost: int
    device = torch.device("cpu")

    def __call__(self, potential, name):
        if int(name.removeprefix("round_")) <= self.lost:
            raise AllLost("all 16 replicas were lost before a frame could be kept")
        return self.frames


@pytest.mark.parametrize("lost", [1, 3])
def test_a_round_that_loses_all_replicas_is_a_worse_one(tmp_path, lost):
    """The next round takes half of its step; where all rounds are lost the model stays."""
    again = Lost(tmp_path, drawn(0.9, 4), lost)
    with pytest.warns(Remark, match="nothing is taken of round_1 .*all 16 replicas"):
        corrected = ChainRefinement(rounds=3)(springs(), drawn(1.0, 1), drawn(0.9, 2), again)
    said = corrected.about["held_out_divergence"]
    assert said[1 : 1 + lost] == [None] * lost and None not in said[1 + lost :]
    assert corrected.about["round"] == (2 if lost == 1 else 0)
    first, second = (
        SumPotential.load(tmp_path / f"correction_{k}.pt").parts[0].coefficients for k in (1, 2)
    )
    assert torch.allclose(second, 0.5 * first, atol=1e-9)


def test_a_chain_too_short_for_pairs_is_refused(tmp_path):
    system = System(names=tuple("ABC"), types=("X",) * 3, masses=[1] * 3, bonds=[(0, 1), (1, 2)])
    frames = Frames(system, np.random.default_rng(0).normal(size=(40, 3, 3)), T)
    with pytest.raises(ValueError, match="chain of 5 sites or more .*found 3"):
        ChainRefinement()(springs(), frames, frames, Again(tmp_path))


@pytest.mark.parametrize(
    "options", [{"rounds": 0}, {"spacing": 0}, {"held_out": 1.0}, {"reach": 0.4}, {"efficiency": 0}]
)
def test_wrong_options_are_refused(options):
    with pytest.raises(ValueError, match="ChainRefinement"):
        ChainRefinement(**options)
