"""What a GPU runs is traced once: here on a CPU, without the compiler, which changes no number."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from contracts import random_frames
from samples import periodic_frames, splines

from cgrec.potential.traced import TracedPotential
from cgrec.potential.uf3_terms import PairSplines

from .test_potentials import OPEN, PERIODIC

#: What TracedPotential is never given: they have forces of their own, or cannot be traced.
UNTRACED = ("Coulomb", "screened", "committee", "sum", "UF3")


def same_when_traced(potential, frames, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    monkeypatch.setattr(PairSplines, "energy", PairSplines._energy_of_slots)  # as a GPU does
    traced = TracedPotential(potential)
    assert potential.traceable
    for one in frames:
        wanted, found = (p(potential.graph(one)) for p in (potential, traced))
        for a, b in zip(found, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in OPEN if name not in UNTRACED])
@pytest.mark.filterwarnings("error")
def test_open_systems(name, monkeypatch):
    """Traced at one number of pairs, called at others."""
    near = random_frames(3, seed=1)
    far, nearer = (replace(near, positions=s * np.asarray(near.positions)) for s in (2.0, 0.8))
    same_when_traced(OPEN[name](), [near, far, nearer], monkeypatch)


@pytest.mark.parametrize("name", [name for name in PERIODIC if name not in UNTRACED])
@pytest.mark.filterwarnings("error")
def test_boxes(name, monkeypatch):
    frames = periodic_frames(3)
    moved = np.random.default_rng(3).normal(scale=0.05, size=np.shape(frames.positions))
    others = [replace(frames, positions=frames.positions + s * moved) for s in (1.0, 0.5)]
    same_when_traced(PERIODIC[name](), [frames, *others], monkeypatch)


def test_what_cannot_be_traced_runs_as_it_is(device):
    """How many triples there are depends on the positions; what stands beside them is traced."""
    triples = splines().to(device)
    assert not triples.traceable and triples.compiled() is triples
    both = (OPEN["network"]() + splines()).to(device).compiled()
    assert sorted(type(part).__name__ for part in both.parts) == ["TracedPotential", "UF3Potential"]
