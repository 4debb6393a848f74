"""PWD-JS: nothing between a sample and itself, its floor between halves, the worst pair named."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from variables_of_cln025 import shaken

from cgrec import Frames
from cgrec.mapping import ResidueCentres, alpha_carbons
from cgrec.observables import check_triangle, pair_distance_divergence, pair_row


def chain(n_frames=4000, replicas=20, seed=0, width=0.35, stretched=1.0):
    """Independent random walks of ten residues; the last step `stretched`."""
    frames = alpha_carbons(shaken(1).system)(shaken(1))
    rng = np.random.default_rng(seed)
    steps = width * rng.normal(size=(n_frames, 10, 3))
    steps[:, -1] *= stretched
    labels = np.arange(n_frames) * replicas // n_frames
    return Frames(frames.system, steps.cumsum(1), 300.0, replicas=labels)


def test_a_sample_is_nowhere_from_itself():
    found = pair_distance_divergence(chain(), chain())
    assert found.js == 0 and found.n_pairs == 28 and found.width == 0.01 and found.floor > 0


def test_halves_of_one_ensemble_are_their_floor_apart():
    excess = []
    for seed in range(4):
        one, other = chain(seed=2 * seed), chain(seed=2 * seed + 1)
        found = pair_distance_divergence(one, other)
        excess.append(found.excess / found.floor)
        assert found.js == pytest.approx(found.floor, rel=0.05)
    assert abs(np.mean(excess)) < 0.03


def test_it_is_the_mean_of_scipys_over_pairs():
    one, other = chain(seed=1), chain(seed=2, stretched=1.5)
    found = pair_distance_divergence(one, other)
    each = {}
    for i in range(10):
        for j in range(i + 3, 10):
            r = [
                np.linalg.norm(f.positions[:, i] - f.positions[:, j], axis=1) for f in (one, other)
            ]
            edges = np.arange(0, max(map(np.max, r)) + 0.02, 0.01)
            counts = [np.histogram(x, edges)[0] for x in r]
            each[i, j] = jensenshannon(*counts) ** 2
    assert found.js == pytest.approx(np.mean(list(each.values())), rel=1e-9)
    names = one.system.unique_labels
    i, j = max(each, key=each.get)
    assert found.worst[0].pair == f"{names[i]} - {names[j]}"
    assert found.worst[0].js == pytest.approx(each[i, j])
    assert all("TYR10:CA" in pair for pair, _ in found.worst)  # the pairs that were stretched


def test_its_error_is_the_scatter_over_samples():
    values, errors = [], []
    for seed in range(12):
        found = pair_distance_divergence(
            chain(1000, seed=10 + seed), chain(1000, seed=50 + seed, width=0.42)
        )
        values.append(found.js)
        errors.append(found.error)
    assert 0.5 < np.mean(errors) / np.std(values, ddof=1) < 2.5


def test_levels_are_compared_in_the_sites_both_have():
    atoms = shaken(60, 0.1, replicas=10)
    other = shaken(60, 0.1, seed=1, replicas=10)
    mapping = alpha_carbons(atoms.system)
    both = pair_distance_divergence(mapping(atoms), mapping(other))
    mixed = pair_distance_divergence(mapping(atoms), other)
    assert mixed.js == both.js and mixed.n_pairs == 28
    with pytest.raises(ValueError, match="found 0 sites in common along a chain of 5"):
        pair_distance_divergence(ResidueCentres(2)(atoms.system)(atoms), other)
    with pytest.raises(ValueError, match="width: expected nm > 0, found 0"):
        pair_distance_divergence(atoms, other, width=0)


def test_weights_count():
    frames = chain(2000)
    first = replace(frames, weights=np.r_[np.ones(1000), np.zeros(1000)])
    assert pair_distance_divergence(first, frames[:1000]).js == pytest.approx(0, abs=1e-12)


def test_its_row_of_the_ledger_is_no_side_of_a_triangle():
    found = pair_distance_divergence(chain(500), chain(500, seed=1))
    rows = [pair_row(name, to, found) for name in ("a", "b") for to in ("parent", "level 0")]
    assert rows[0].variables == ("pair distances",) and rows[0].js == found.js
    assert check_triangle(rows, ["a", "b"]) == []
