"""TICA: the slow one of two processes whose timescales are known, and its own algebra."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from variables_of_cln025 import shaken

from cgrec import CollectiveVariable, Frames, System
from cgrec.configuration import build, composed
from cgrec.mapping import alpha_carbons
from cgrec.sources import GaussianChainSource
from cgrec.variables import TICA, PairDistances, from_plain, to_plain

SLOW, FAST = 40.0, 4.0  # frames


def processes(n, replicas, seed=0):
    """(n * replicas, 2) Ornstein-Uhlenbeck processes of variance one, replica after replica."""
    rng = np.random.default_rng(seed)
    keep = np.exp(-1 / np.array([SLOW, FAST]))
    x = np.empty((replicas, n, 2))
    x[:, 0] = rng.normal(size=(replicas, 2))
    for t in range(1, n):
        x[:, t] = keep * x[:, t - 1] + np.sqrt(1 - keep**2) * rng.normal(size=(replicas, 2))
    return x.reshape(-1, 2)


def hidden(n=4000, replicas=8, seed=0):
    """Frames whose three distances from A are combinations of the two processes, and these."""
    x = processes(n, replicas, seed)
    mixed = x @ np.array([[0.3, 0.5, 0.1], [1.0, -0.4, 0.8]])
    positions = np.zeros((len(x), 4, 3))
    for k in range(3):
        positions[:, k + 1, k] = 20 + mixed[:, k]
    system = System(names=("A", "B", "C", "D"), masses=np.ones(4))
    frames = Frames(system, positions, 300.0, replicas=np.repeat(np.arange(replicas), n))
    return frames, x


FEATURES = tuple(CollectiveVariable(f"d{s}", ("A", s)) for s in "BCD")


def test_the_slow_process_is_found_with_its_timescale():
    frames, x = hidden()
    tica = TICA.fit(frames, FEATURES, lag=5, dim=2)
    assert tica.timescales == pytest.approx([SLOW, FAST], rel=0.15)
    found = tica(frames)
    assert abs(np.corrcoef(found[:, 0], x[:, 0])[0, 1]) > 0.99
    assert abs(np.corrcoef(found[:, 1], x[:, 1])[0, 1]) > 0.99
    assert np.allclose(found.mean(0), 0, atol=0.02) and np.allclose(found.std(0), 1, atol=0.02)
    assert tica.columns(frames.system) == ("TICA 1", "TICA 2")


def test_a_lag_does_not_reach_from_one_replica_into_the_next():
    """Replicas of two frames have pairs one frame apart and none two apart."""
    frames, _ = hidden(2, 500)
    TICA.fit(frames, FEATURES, lag=1)
    with pytest.raises(ValueError, match="lag: expected fewer .* has, 2, found 2"):
        TICA.fit(frames, FEATURES, lag=2)
    order = np.random.default_rng(1).permutation(500)  # of replicas: their order says nothing
    mixed = frames[np.concatenate([[2 * r, 2 * r + 1] for r in order])]
    one, other = (TICA.fit(f, FEATURES, lag=1) for f in (frames, mixed))
    assert np.allclose(one.matrix, other.matrix) and np.allclose(one.mean, other.mean)


def test_the_estimator_is_reversible():
    frames, _ = hidden(1000, 2)
    back = frames[np.concatenate([np.arange(1000)[::-1] + 1000 * r for r in range(2)])]
    one, other = (TICA.fit(f, FEATURES, lag=3) for f in (frames, back))
    assert np.allclose(one.timescales, other.timescales) and np.allclose(one.matrix, other.matrix)


def test_it_is_saved_as_arrays_and_made_from_plain_values(tmp_path):
    frames = alpha_carbons(shaken(1).system)(shaken(400, 0.1, replicas=4))
    tica = TICA.fit(frames, PairDistances(), lag=2)
    path = tica.save(tmp_path / "tica.npz")
    with np.load(path, allow_pickle=False) as arrays:
        assert sorted(arrays) == ["lag", "matrix", "mean", "timescales"]
    again = TICA.from_file(path, PairDistances())
    assert np.array_equal(again(frames), tica(frames)) and again.lag == 2
    plain = from_plain("TICA", to_plain(tica))
    assert np.array_equal(plain(frames), tica(frames))
    with np.testing.assert_raises(ValueError):
        np.savez(tmp_path / "other.npz", x=np.ones(3))
        TICA.from_file(tmp_path / "other.npz", PairDistances())


def test_values_of_tensors_are_those_of_frames_with_gradients():
    frames = alpha_carbons(shaken(1).system)(shaken(300, 0.1))
    turn = CollectiveVariable("turn", ("TYR2:CA", "PRO4:CA", "GLY7:CA", "TRP9:CA"))
    tica = TICA.fit(frames, (PairDistances(), turn), lag=1)
    x = torch.tensor(np.asarray(frames.positions[:5], float), requires_grad=True)
    values = tica.values(x, frames.system)
    assert np.allclose(values.detach(), tica(frames[:5]))
    assert torch.autograd.gradcheck(
        lambda y: tica.values(y, frames.system), x[:1].detach().requires_grad_()
    )


def test_what_cannot_be_is_told():
    frames, _ = hidden(50, 2)
    with pytest.raises(ValueError, match="found weights"):
        TICA.fit(replace(frames, weights=np.ones(100)), FEATURES, lag=1)
    with pytest.raises(ValueError, match="lag: expected 1 frame or more, found 0"):
        TICA.fit(frames, FEATURES, lag=0)
    with pytest.raises(ValueError, match="dim: expected at most .*, 2, found 3"):
        TICA.fit(frames, FEATURES, lag=1, dim=3)  # three distances of two processes
    tica = TICA.fit(frames, FEATURES, lag=1)
    bare = System(names=("A", "B", "C"), masses=np.ones(3))
    assert "its feature dD" in tica.missing_on(bare)


def test_it_is_deeptimes():
    decomposition = pytest.importorskip("deeptime.decomposition")
    frames, _ = hidden(1000, 1)
    x = np.stack([v.of(frames) for v in FEATURES], 1)
    theirs = decomposition.TICA(lagtime=5, dim=2, scaling=None).fit_from_timeseries(x).fetch_model()
    ours = TICA.fit(frames, FEATURES, lag=5)
    assert np.allclose(ours.timescales, theirs.timescales(k=2), rtol=1e-3)


def test_a_yaml_takes_components_that_were_saved(tmp_path):
    """As docs/concepts.md writes it."""
    frames = GaussianChainSource(n_frames=200).make(tmp_path / "level0", 1)
    found = TICA.fit(frames, PairDistances(), lag=1)
    path = found.save(tmp_path / "tica.npz")
    features = "{_target_: cgrec.variables.PairDistances}"
    table = f"{{_target_: cgrec.variables.TICA.from_file, file: {path}, features: {features}}}"
    chain = build(composed(["experiment=gaussian_chain", f"+variables.slow={table}"]))
    (slow,) = [v for v in chain.variables if v.name == "slow"]
    np.testing.assert_allclose(slow(frames), found(frames))
