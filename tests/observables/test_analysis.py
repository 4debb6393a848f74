"""Analysis against known answers: statistics, divergences and floors, free energy, structure, the
ledger.
"""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from contracts import random_frames

from cgrec.frames import Frames
from cgrec.geometry import dihedral
from cgrec.observables import (
    BASINS_ALANINE,
    Grid,
    LedgerRow,
    basins,
    block_average,
    check_triangle,
    chirality_flips,
    circular_wasserstein,
    compare_distributions,
    compare_structure,
    effective_sample_size,
    free_energy,
    free_energy_difference,
    histogram,
    jackknife,
    jensen_shannon,
    ledger_row,
    rdf,
    statistical_inefficiency,
    stereocentres,
    structure,
    table,
    wasserstein,
)
from cgrec.observables.ledger import basin_differences
from cgrec.remarks import Remark
from cgrec.statistics import jackknife_rows
from cgrec.statistics.divergence import Tally, divergence
from cgrec.system import System
from cgrec.variables import CollectiveVariable

PAIR = System(names=("A", "B"), masses=[1.0, 1.0], bonds=[(0, 1)])
DISTANCE = CollectiveVariable("r", ("A", "B"))
PHI = CollectiveVariable("phi", ("C1", "N1", "CA", "C2"))
PSI = CollectiveVariable("psi", ("N1", "CA", "C2", "N2"))
BACKBONE = System(
    names=("C1", "N1", "CA", "C2", "N2"),
    masses=[12, 14, 12, 12, 14],
    bonds=[(0, 1), (1, 2), (2, 3), (3, 4)],
)


def pair_frames(distances, **fields):
    """Frames of two sites at these distances along x, nm."""
    positions = np.zeros((len(distances), 2, 3))
    positions[:, 1, 0] = distances
    return Frames(PAIR, positions, 300.0, **fields)


def backbone_frames(phi, psi, bond=0.15, **fields):
    """Frames of a five-site chain with these two dihedrals, rad, and right angles."""
    zero = np.zeros_like(phi)
    n1, ca = np.stack([zero, zero, zero], 1), np.stack([zero, zero, zero + bond], 1)
    c1 = n1 + bond * np.stack([zero + 1, zero, zero], 1)
    c2 = ca + bond * np.stack([np.cos(phi), np.sin(phi), zero], 1)
    # psi about the axis CA-C2, perpendicular to z: started from the direction of N1 seen from CA
    axis, down = c2 - ca, np.stack([zero, zero, zero - 1], 1)
    side = np.cross(axis / bond, down)
    n2 = c2 + bond * (np.cos(psi)[:, None] * down + np.sin(psi)[:, None] * side)
    return Frames(BACKBONE, np.stack([c1, n1, ca, c2, n2], 1), 300.0, **fields)


def ar1(rng, n_replicas, n, decay):
    """(n_replicas, n) unit normal AR(1) series, rho(t) = decay^t."""
    x = np.empty((n, n_replicas))
    x[0] = rng.normal(size=n_replicas)
    for t in range(1, n):
        x[t] = decay * x[t - 1] + np.sqrt(1 - decay**2) * rng.normal(size=n_replicas)
    return x.T


# ---- statistics ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_replicas", "n", "decay"), [(1, 60_000, 0.9), (50, 4000, 0.95), (200, 300, 0.8)]
)
def test_effective_sample_size_of_ar1(n_replicas, n, decay):
    x = ar1(np.random.default_rng(0), n_replicas, n, decay)
    interleaved = x.T.ravel()  # time-major, as a batch of replicas is stored
    replicas = np.tile(np.arange(n_replicas), n)
    exact = x.size * (1 - decay) / (1 + decay)
    n_eff = effective_sample_size(pair_frames(interleaved + 10, replicas=replicas), interleaved)
    assert n_eff == pytest.approx(exact, rel=0.15)


def test_inefficiency_of_independent_and_constant_series():
    rng = np.random.default_rng(1)
    assert statistical_inefficiency(rng.normal(size=20_000)) < 1.1
    assert statistical_inefficiency(np.ones(10)) == 1.0
    assert statistical_inefficiency([1.0]) == 1.0


def test_replicas_stuck_in_different_basins_count_once_each():
    series = np.repeat(np.arange(10.0), 100) + 0.01 * np.random.default_rng(0).normal(size=1000)
    g = statistical_inefficiency(series, np.repeat(np.arange(10), 100))
    assert 1000 / g < 20


def test_effective_sample_size_with_weights_is_kish():
    rng = np.random.default_rng(2)
    weights = np.exp(rng.normal(size=20_000))
    x = rng.normal(size=20_000)
    kish = weights.sum() ** 2 / (weights**2).sum()
    frames = pair_frames(x + 10, weights=weights)
    assert effective_sample_size(frames, x) == pytest.approx(kish, rel=0.1)
    assert effective_sample_size(frames, x, periodic=True) == pytest.approx(kish, rel=0.1)
    assert effective_sample_size(frames, np.ones(20_000)) == pytest.approx(kish, rel=1e-9)


def test_series_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="expected 3 values"):
        effective_sample_size(pair_frames(np.ones(3)), np.ones(4))
    with pytest.raises(ValueError, match="at least two frames"):
        block_average(pair_frames(np.ones(1)), lambda f: 0.0)


def test_block_and_jackknife_errors_of_a_mean():
    x = 5 + np.random.default_rng(3).normal(size=4000)
    frames = pair_frames(x)
    mean = lambda f: DISTANCE.of(f).mean()  # noqa: E731
    for estimate in (block_average(frames, mean, 100), jackknife(frames, mean, 100)):
        assert estimate.value == pytest.approx(x.mean())
        assert estimate.error == pytest.approx(1 / np.sqrt(4000), rel=0.2)


def test_jackknife_of_rows_is_the_jackknife_of_frames():
    rng = np.random.default_rng(31)
    frames = pair_frames(
        rng.uniform(1, 2, 60), weights=rng.random(60), replicas=np.repeat(np.arange(12), 5)
    )

    def ratio(f):
        r, w = f.positions[:, 1, 0], f.normalised_weights()
        return (w @ r) ** 2 / (w @ r**2)

    r = frames.positions[:, 1, 0]
    found = jackknife_rows(frames, np.stack([r, r**2], 1), lambda m: m[0] ** 2 / m[1])
    assert found == pytest.approx(jackknife(frames, ratio))
    assert np.isnan(jackknife_rows(frames[:1], np.ones((1, 2))).error).all()


# ---- divergences and their floors ----------------------------------------------------------------


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


def test_grid_refuses_what_makes_no_histogram():
    with pytest.raises(ValueError, match="one to three"):
        Grid.over((), bins=4)
    with pytest.raises(ValueError, match="give its range"):
        Grid.over((DISTANCE,))
    with pytest.raises(ValueError, match="low < high"):
        Grid.over((DISTANCE,), ranges={"r": (1.0, 0.0)})


# ---- free energy ---------------------------------------------------------------------------------


def double_well(x):
    return 3 * (x**2 - 1) ** 2 + 0.4 * x  # in kT


def sample_double_well(rng, n):
    x = rng.uniform(-2.2, 2.2, 40 * n)
    return x[rng.random(len(x)) < np.exp(-double_well(x) - 0.5)][:n]


def quadrature(low, high):
    x = np.linspace(low, high, 20_001)
    return np.trapezoid(np.exp(-double_well(x)), x)


def test_free_energy_and_basins_of_a_double_well():
    x = sample_double_well(np.random.default_rng(10), 40_000) + 5
    frames = pair_frames(x)
    grid = Grid.over((DISTANCE,), frames, bins=60)
    surface = free_energy(frames, grid)
    exact = double_well(grid.centres[0] - 5)
    low = surface.values < 3
    residual = (surface.values - exact)[low]
    assert residual.std() < 0.06
    assert np.median(np.abs(residual - residual.mean()) / surface.errors[low]) < 1.5
    assert surface.kilojoules[low] == pytest.approx(surface.values[low] * 2.4943, rel=1e-4)
    found = basins(frames, (DISTANCE,), {"left": {"r": (0, 5)}, "right": {"r": (5, 10)}})
    expected = np.log(quadrature(-2.2, 0) / quadrature(0, 2.2))
    assert found["left"].free_energy == 0.0
    assert found["right"].free_energy == pytest.approx(
        expected, abs=4 * found["right"].free_energy_error
    )
    assert found["left"].population + found["right"].population == pytest.approx(1.0)


def test_weights_turn_a_biased_histogram_into_the_unbiased_one():
    x = np.random.default_rng(11).uniform(-2.2, 2.2, 60_000)
    frames = pair_frames(x + 5, weights=np.exp(-double_well(x)))
    p = histogram(frames, grid := Grid.over((DISTANCE,), frames, bins=20))
    exact = [
        quadrature(a - 5, b - 5) for a, b in zip(grid.edges[0], grid.edges[0][1:])
    ] / quadrature(-2.2, 2.2)
    assert p == pytest.approx(exact, abs=8e-3)
    right = basins(frames, (DISTANCE,), {"l": {"r": (0, 5)}, "r": {"r": (5, 9)}})["r"].free_energy
    assert right == pytest.approx(np.log(quadrature(-2.2, 0) / quadrature(0, 2.2)), abs=0.05)


def test_free_energy_difference_is_zero_within_its_floor():
    rng = np.random.default_rng(12)
    a, b = (pair_frames(sample_double_well(rng, 20_000) + 5) for _ in range(2))
    grid = Grid.over((DISTANCE,), a, b, bins=30)
    one = free_energy(a, grid)
    difference = free_energy_difference(one, free_energy(b, grid), below=3.0)
    assert difference.rms == pytest.approx(difference.floor, rel=0.5)
    assert free_energy_difference(one, one).rms == 0.0
    with pytest.raises(ValueError, match="different grids"):
        free_energy_difference(one, free_energy(b, Grid.over((DISTANCE,), b, bins=31)))


def test_alanine_basins_tile_the_torus():
    phi, psi = (x.ravel() for x in np.meshgrid(*[np.radians(np.arange(-179.5, 180, 1.0))] * 2))
    found = basins(backbone_frames(phi, psi), (PHI, PSI), BASINS_ALANINE, n_blocks=4)
    assert sum(b.population for b in found.values()) == pytest.approx(1.0, abs=1e-9)
    centres = {"alpha_R": (-70, -30), "beta/PII": (-150, 170), "alpha_L": (55, 40)}
    for name, (a, b) in centres.items():
        frames = backbone_frames(np.radians([a, a]), np.radians([b, b]))
        assert basins(frames, (PHI, PSI), BASINS_ALANINE, n_blocks=2)[name].population == 1.0


def test_an_empty_basin_is_infinitely_high_and_named_when_it_is_the_reference():
    frames = pair_frames(np.linspace(0.1, 0.2, 50))
    definitions = {"here": {"r": (0, 1)}, "there": {"r": (1, 2)}}
    assert basins(frames, (DISTANCE,), definitions)["there"].free_energy == np.inf
    with pytest.raises(ValueError, match="'there' holds no frame"):
        basins(frames, (DISTANCE,), definitions, relative_to="there")
    with pytest.raises(KeyError, match="variable 'phi'"):
        basins(frames, (DISTANCE,), BASINS_ALANINE)


# ---- structure -----------------------------------------------------------------------------------


def test_wasserstein_on_the_line_and_on_the_circle():
    rng = np.random.default_rng(13)
    x = rng.normal(size=500)
    assert wasserstein(x, x + 0.3) == pytest.approx(0.3)
    assert wasserstein([0.0, 1.0], [0.0, 1.0], [1, 3], [1, 1]) == pytest.approx(0.25)
    assert circular_wasserstein(x / 5, x / 5 + 0.3) == pytest.approx(0.3)
    assert circular_wasserstein([np.pi - 0.1], [-np.pi + 0.1]) == pytest.approx(0.2)
    assert circular_wasserstein([0.0], [np.pi]) == pytest.approx(np.pi)
    # three against one peak: two fifths of the mass move a quarter turn each way
    assert circular_wasserstein([0, 0, 0, np.pi / 2, -np.pi / 2], [0.0]) == pytest.approx(np.pi / 5)
    assert circular_wasserstein(x, x + 2 * np.pi) == pytest.approx(0.0, abs=1e-12)


def test_structure_names_the_worst_term_of_each_kind():
    rng = np.random.default_rng(14)
    phi, psi = rng.normal(size=(2, 3000)) * 0.3
    reference = backbone_frames(phi, psi)
    moved = np.array(reference.positions)
    moved[:, 4] += 0.02 * (moved[:, 4] - moved[:, 3]) / 0.15  # the last bond 0.02 nm longer
    model = replace(backbone_frames(phi + 3.0, psi), positions=moved)
    worst = compare_structure(model, reference).worst("bond")
    assert worst is not None and worst.label == "MOL:C2-MOL:N2"
    assert worst.wasserstein == pytest.approx(0.02, rel=1e-6)
    turned = compare_structure(backbone_frames(phi + 2.0, psi), reference)
    assert turned.worst("dihedral").label == "MOL:C1-MOL:N1-MOL:CA-MOL:C2"
    assert turned.worst("dihedral").wasserstein == pytest.approx(2.0, abs=0.02)
    assert turned.worst("dihedral").wasserstein_floor < 0.05
    with pytest.raises(ValueError, match="one System"):
        compare_structure(model, pair_frames(np.ones(5)))


TETRAHEDRON = System(
    names=("C", "H", "F", "Cl", "Br"),
    masses=[12, 1, 19, 35, 80],
    elements=("C", "H", "F", "Cl", "Br"),
    bonds=[(0, k) for k in range(1, 5)],
)


def test_a_mirrored_tetrahedron_has_flipped():
    corners = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 10
    one = np.vstack([np.zeros(3), corners])
    x = np.stack([one, one + 1, one * [1, 1, -1], one])
    frames = Frames(TETRAHEDRON, x, 300.0)
    centres = stereocentres(TETRAHEDRON)
    assert centres == [("MOL:C", "MOL:Br", "MOL:Cl", "MOL:F")]
    assert chirality_flips(frames, centres[0]) == 1
    assert chirality_flips(frames[2:3], centres[0], reference=frames) == 1
    assert chirality_flips(frames[:2], centres[0]) == 0


def test_a_centre_with_two_like_branches_is_not_chiral():
    ethanol = System(
        names=("C1", "C2", "O", "H1", "H2", "H3", "H4", "H5", "H6"),
        masses=[12, 12, 16] + [1] * 6,
        elements=("C", "C", "O") + ("H",) * 6,
        bonds=[(0, 1), (1, 2), (0, 3), (0, 4), (0, 5), (1, 6), (1, 7), (2, 8)],
    )
    assert stereocentres(ethanol) == []


@pytest.mark.parametrize(
    "box", [np.diag([2.0, 2.5, 3.0]), [[2.2, 0, 0], [0.7, 2.2, 0], [-0.6, 0.8, 2.2]]]
)
def test_rdf_of_an_ideal_gas_is_one(box):
    rng = np.random.default_rng(15)
    system = System(names=("A",) * 30 + ("B",) * 20, masses=[1.0] * 50)
    x = rng.random((300, 50, 3)) @ np.array(box)
    frames = Frames(system, x, 300.0, box=np.array(box))
    for pair in (("A", "A"), ("A", "B")):
        g = rdf(frames, *pair, r_max=0.9, bins=9)
        assert np.all(np.abs(g.g - 1)[1:] < 5 * g.error[1:] + 1e-3)
        assert g.g[5:] == pytest.approx(1.0, abs=0.03)


def test_rdf_finds_the_nearest_image_and_refuses_a_box_too_small():
    system = System(names=("A", "A"), masses=[1.0, 1.0])
    frames = Frames(system, [[[0.05, 0, 0], [1.95, 0, 0]]], 300.0, box=2 * np.eye(3))
    g = rdf(frames, "A", "A", r_max=1.0, bins=10)
    shell = 4 / 3 * np.pi * (0.2**3 - 0.1**3)
    assert np.flatnonzero(g.g).tolist() in ([0], [1])  # 0.1 nm lies on an edge
    assert g.g.max() in (pytest.approx(8 / shell), pytest.approx(8 / (4 / 3 * np.pi * 0.1**3)))
    with pytest.raises(ValueError, match="half the smallest width"):
        rdf(frames, "A", "A", r_max=1.1)
    with pytest.raises(ValueError, match="no box"):
        rdf(pair_frames(np.ones(3)), "A", "B", r_max=1.0)
    with pytest.raises(ValueError, match="no pair"):
        rdf(frames, "A", "Z", r_max=1.0)


def test_rdf_of_molecules_leaves_out_bonded_pairs():
    rng = np.random.default_rng(16)
    system = System(
        names=("A",) * 40, masses=[1.0] * 40, bonds=[(2 * k, 2 * k + 1) for k in range(20)]
    )
    centre = rng.random((200, 20, 1, 3)) * 2
    x = (centre + [[0.0, 0, 0], [0.1, 0, 0]]).reshape(200, 40, 3)
    g = rdf(
        Frames(system, x, 300.0, box=2 * np.eye(3)),
        "A",
        "A",
        r_max=0.9,
        bins=6,
        intermolecular=True,
    )
    assert g.g == pytest.approx(1.0, abs=0.15)


# ---- the ledger ----------------------------------------------------------------------------------


def chain_of_ensembles():
    rng = np.random.default_rng(17)
    return [
        backbone_frames(-1.3 + s + 0.4 * rng.normal(size=3000), 2.0 + 0.5 * rng.normal(size=3000))
        for s in (0.0, 0.1, 0.25)
    ]


def test_ledger_rows_survive_json_and_print():
    level0, level1, level2 = chain_of_ensembles()
    rows = [
        ledger_row("l1", "parent", level1, level0, (PHI, PSI), bins=32, definitions=BASINS_ALANINE),
        ledger_row("l1", "level 0", level1, level0, (PHI, PSI), bins=32),
        ledger_row("l2", "parent", level2, level1, (PHI, PSI), bins=32),
        ledger_row("l2", "level 0", level2, level0, (PHI, PSI), bins=32),
    ]
    back = [
        LedgerRow.from_json(json.loads(json.dumps(row.to_json(), allow_nan=False))) for row in rows
    ]
    assert back[1:] == rows[1:]
    assert back[0].worst.keys() == {"bond", "angle", "dihedral"}
    assert back[0].basins["beta/PII"][0] == 0.0
    lines = table(rows).splitlines()
    assert len(lines) == 6 and lines[2].startswith("l1")
    triangles = check_triangle(rows, ["l1", "l2"])
    assert [t.level for t in triangles] == ["l1", "l2"]
    assert all(t.holds for t in triangles + check_triangle(rows, ["l1", "l2"], excess=True))


def test_triangle_of_a_ledger_that_cannot_be_is_found():
    row = LedgerRow("l1", "parent", ("phi",), (8,), *[0.1] * 4, 0.1, 0.1, 0.0, 1.0, 1.0, 8)
    total = replace(row, against="level 0", sqrt_js=0.3)
    assert not check_triangle([row, total], ["l1"])[0].holds
    with pytest.raises(ValueError, match="against"):
        replace(row, against="nobody")
    with pytest.raises(ValueError, match="missing"):
        LedgerRow.from_json({"level": "l1"})


def test_bonded_values_come_in_portions_of_sites(monkeypatch):
    frames, sites = random_frames(7), np.array([[0, 1], [1, 2]])
    whole = structure.bonded_values(frames, "bond", sites)
    seen = []
    distance = structure.KINDS["bond"][1]
    monkeypatch.setitem(
        structure.KINDS, "bond", (2, lambda x, s: seen.append(len(x)) or distance(x, s), "nm")
    )
    monkeypatch.setattr(structure, "_MOST_SITES", 3 * frames.n_sites)
    np.testing.assert_array_equal(structure.bonded_values(frames, "bond", sites), whole)
    assert seen == [3, 3, 1] and whole.shape == (7, 2)


def test_basins_that_the_reference_never_visited_are_remarked_not_an_error():
    """A climb ended in an error, after its work, where the parent was in none of the basins."""
    rng = np.random.default_rng(3)
    system = System(names=("A", "B"), masses=np.ones(2), bonds=np.array([[0, 1]]))
    frames = Frames(system, rng.normal(size=(60, 2, 3)), 300.0)
    ends = (CollectiveVariable("ends", ("A", "B")),)
    far = {"far": {"ends": (90.0, 91.0)}}
    with pytest.warns(Remark, match="in any of the basins far"):
        found = basin_differences(frames, frames, ends, far)
    assert np.isnan(found["far"]).all()
