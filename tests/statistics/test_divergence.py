"""Distances between distributions and their sampling floors, against densities known exactly."""

from __future__ import annotations

import numpy as np
import pytest
from samples import PHI, PSI, backbone_frames

from cgrec.geometry import dihedral
from cgrec.observables import (
    compare_distributions,
    jensen_shannon,
)
from cgrec.statistics.divergence import Tally, divergence


def test_jensen_shannon_limits():
    p, q = np.array([[0.2, 0.3], [0.0, 0.5]]), np.array([[0.0, 0.0], [3.0, 0.0]])
    assert jensen_shannon(p, 7 * p) == pytest.approx(0.0, abs=1e-15)
    assert jensen_shannon(p, q) == pytest.approx(np.log(2), abs=1e-15)
    with pytest.raises(ValueError, match="one shape"):
        jensen_shannon(p, q[0])
    with pytest.raises(ValueError, match="non-negative"):
        jensen_shannon([1.0, -1.0, 2.0], [1.0, 1.0, 1.0])


def test_sqrt_js_is_a_metric():
    rng = np.random.default_rng(4)
    for _ in range(200):
        p, q, r = rng.dirichlet(np.full(6, 0.3), size=3)
        d = [np.sqrt(jensen_shannon(*pair)) for pair in ((p, q), (q, r), (p, r))]
        assert d[2] <= d[0] + d[1] + 1e-12


def density(shift=0.0):
    """A (phi, psi) density with three basins on 64 x 64 bins."""
    phi, psi = np.meshgrid(*[(np.arange(64) + 0.5) / 64 * 2 * np.pi - np.pi] * 2, indexing="ij")
    p = np.zeros((64, 64))
    for a, b, k, w in ((-80, -30, 8, 0.4), (-75, 140, 7, 0.55), (60, 40, 9, 0.05)):
        peak = np.exp(k * (np.cos(phi - np.radians(a) - shift) + np.cos(psi - np.radians(b)) - 2))
        p += w * peak / peak.sum()
    return p.ravel()


def tally(rng, p, n, weights=None, n_blocks=20):
    w = np.ones(n) if weights is None else weights(rng, n)
    return Tally.count(
        rng.choice(len(p), n, p=p), w / w.sum(), np.arange(n) * n_blocks // n, len(p)
    )


@pytest.mark.parametrize(
    ("n1", "n2", "weights"),
    [
        (1000, 1000, None),
        (10_000, 10_000, None),
        (50_000, 50_000, None),
        (50_000, 5000, None),
        (10_000, 10_000, lambda rng, n: np.exp(rng.normal(size=n))),
    ],
)
def test_floor_is_what_two_samples_of_one_density_give(n1, n2, weights):
    rng, p = np.random.default_rng(5), density()
    found = [
        divergence(tally(rng, p, n1, weights), tally(rng, p, n2), seed=k, draws=10)
        for k in range(6)
    ]
    js, floor = np.mean([(d.js, d.floor) for d in found], 0)
    assert floor == pytest.approx(js, rel=0.04)
    assert np.mean([d.floor_bootstrap for d in found]) < js  # bins nobody visited are missing there


def test_floor_of_well_filled_bins_is_the_formula():
    rng, p = np.random.default_rng(6), np.full(40, 1 / 40)
    d = [divergence(tally(rng, p, 20_000), tally(rng, p, 10_000), seed=k) for k in range(20)]
    exact = 39 / 8 * (1 / 20_000 + 1 / 10_000)
    assert np.mean([x.floor for x in d]) == pytest.approx(exact, rel=0.1)
    assert np.mean([x.js for x in d]) == pytest.approx(exact, rel=0.15)


def test_floor_of_correlated_samples():
    rng, p = np.random.default_rng(7), density()
    out = []
    for k in range(4):
        pair = []
        for _ in range(2):  # every draw repeated three times in a row: three frames are worth one
            cells = np.repeat(rng.choice(4096, 5000, p=p), 3)
            pair.append(Tally.count(cells, np.ones(15_000), np.arange(15_000) // 300, 4096))
        out.append(divergence(*pair, seed=k, draws=10))
    assert np.mean([d.floor for d in out]) == pytest.approx(np.mean([d.js for d in out]), rel=0.05)
    assert out[0].n_model == pytest.approx(5000, rel=0.1)


def test_excess_is_the_true_divergence():
    rng, p, q = np.random.default_rng(8), density(), density(shift=0.2)
    d = divergence(tally(rng, p, 50_000), tally(rng, q, 50_000))
    assert d.js - d.floor == pytest.approx(jensen_shannon(p, q), abs=2.5e-3)
    assert abs(d.js - d.floor - jensen_shannon(p, q)) < 4 * d.error


def test_comparison_of_frames_of_one_and_of_two_distributions():
    rng = np.random.default_rng(9)
    frames = lambda mean: backbone_frames(  # noqa: E731
        mean + 0.3 * rng.normal(size=4000),
        0.5 * rng.normal(size=4000),
        replicas=np.tile(np.arange(20), 200),
    )
    same = compare_distributions(frames(2.9), frames(2.9), (PHI, PSI), bins=32)
    assert abs(same.excess) < 3 * same.error
    assert same.n_eff_model == pytest.approx(4000, rel=0.1)
    assert same.sqrt_excess <= same.sqrt_js
    apart = compare_distributions(frames(2.9), frames(0.0), (PHI,), bins=64)
    assert apart.js == pytest.approx(np.log(2), abs=1e-3)
    itself = frames(1.0)
    assert compare_distributions(itself, itself, (PHI, PSI)).js == pytest.approx(0.0, abs=1e-12)


def test_backbone_builder_has_the_dihedrals_asked_for():
    phi, psi = np.random.default_rng(0).uniform(-3, 3, (2, 50))
    x = backbone_frames(phi, psi).positions
    assert dihedral(x, np.array([[0, 1, 2, 3], [1, 2, 3, 4]])) == pytest.approx(
        np.stack([phi, psi], 1)
    )
