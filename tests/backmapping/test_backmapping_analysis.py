"""Metrics of restored frames against planted errors, closed forms and scipy."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

import cgrec
from cgrec.backmapping.judge import (
    BackmappingReport,
    Quantity,
    compare_backmapping,
    contacts,
    energy_distance,
    equivalent_terms,
    round_trip,
    weight_efficiency,
    worst_frames,
)
from cgrec.frames import Frames
from cgrec.system import System

STARTS = Path(cgrec.__file__).parent / "data" / "alanine_dipeptide_nnp" / "starts"


@pytest.fixture(scope="module")
def peptide():
    return Frames.load(STARTS)


def moved(frames, positions, **fields):
    return replace(frames, positions=positions, forces=None, energies=None, **fields)


def repeated(frames, n, noise=0.0, seed=0):
    """Every frame n times in a row, each with its own Gaussian noise (nm)."""
    x = np.repeat(np.asarray(frames.positions, float), n, axis=0)
    return moved(frames, x + noise * np.random.default_rng(seed).normal(size=x.shape))


# ---- bonds, angles, dihedrals --------------------------------------------------------------------


def test_terms_that_differ_by_equivalent_hydrogens_are_one_type(peptide):
    system = peptide.system
    bonds = equivalent_terms(system, "bond")
    assert len(bonds) == 15 and sum(map(len, bonds.values())) == len(system.bonds) == 21
    # read from the centre every time
    assert bonds["ACE:CH3-ACE:HH1"].tolist() == [[0, 1], [0, 2], [0, 3]]
    assert sorted(bonds["ALA:H-ALA:N"][0]) == [6, 7]
    (hch,) = (
        sites
        for sites in equivalent_terms(system, "angle", [12]).values()
        if 11 in sites[:, [0, 2]]
    )
    assert len(hch) == 2  # of the three H-CB-H two hold HB2
    assert not equivalent_terms(system, "bond", [])


def dimers(lengths, **fields):
    """A bond of these lengths, nm, along x."""
    x = np.zeros((len(lengths), 2, 3))
    x[:, 1, 0] = lengths
    system = System(names=("C", "O"), masses=[12, 16], elements=("C", "O"), bonds=[(0, 1)])
    return Frames(system, x, 300.0, **fields)


def test_divergence_is_that_of_histograms_over_the_reference_range():
    rng = np.random.default_rng(1)
    a, b = 0.125 + 0.004 * rng.normal(size=4000), 0.122 + 0.003 * rng.normal(size=5000)
    (term,) = compare_backmapping(dimers(a), dimers(b), bins=32).terms
    edges = np.linspace(b.min(), b.max(), 33)
    edges = [-np.inf, *edges[:-1], np.nextafter(edges[-1], 1), np.inf]
    p, q = np.histogram(a, edges)[0], np.histogram(b, edges)[0]
    assert term.js == pytest.approx(jensenshannon(p, q) ** 2, rel=1e-9)  # scipy gives the root
    assert 0 < term.floor < 0.05 * term.js and 0 < term.error < 0.1 * term.js
    broken = a.copy()
    broken[:3] = 25.0  # outliers may not hide what is wrong with the rest
    (worse,) = compare_backmapping(dimers(broken), dimers(b), bins=32).terms
    assert worse.js == pytest.approx(term.js, rel=0.02)


def test_two_samples_of_one_distribution_differ_by_the_floor(peptide):
    even, odd = peptide[::2], peptide[1::2]
    report = compare_backmapping(even, odd)
    z = np.array([(t.js - t.floor) / t.error for t in report.terms])
    assert len(z) > 50 and np.abs(z).max() < 4.5 and abs(z.mean()) < 1
    shifted = moved(even, even.positions * 1.02)
    longer = compare_backmapping(shifted, odd)
    assert longer.worst("bond").excess > 10 * longer.worst("bond").error
    assert longer.worst("dihedral").excess == pytest.approx(report.worst("dihedral").excess)


def test_rigid_bonds_stored_with_rounding_are_equal():
    held = dimers(np.full(200, 0.0957))
    rounded = dimers(np.full(200, 0.0957, np.float32).astype(float))
    (term,) = compare_backmapping(rounded, held).terms
    assert term.js == 0
    (term,) = compare_backmapping(dimers(np.full(200, 0.0997)), held).terms
    assert term.js == pytest.approx(np.log(2))


# ---- bond graph and clashes ----------------------------------------------------------------------


def water(n_cells=5, spacing=0.31, seed=0):
    """n^3 waters on a lattice in a skewed box, at random orientations; molecules stored in random
    images.
    """
    rng = np.random.default_rng(seed)
    n = n_cells**3
    cells = np.array(list(product(range(n_cells), repeat=3)), float)
    box = n_cells * spacing * np.array([[1, 0, 0], [0.2, 1, 0], [-0.1, 0.1, 1]])
    oxygen = cells / n_cells @ box + rng.integers(-2, 3, (n, 3)) @ box
    turn = np.linalg.qr(rng.normal(size=(n, 3, 3)))[0]
    arms = 0.0957 * np.array([[1, 0, 0], [np.cos(1.82), np.sin(1.82), 0]])
    x = np.concatenate([oxygen[:, None], oxygen[:, None] + arms @ turn], 1).reshape(1, -1, 3)
    system = System(
        names=("O", "H1", "H2") * n,
        masses=[16, 1, 1] * n,
        elements=("O", "H", "H") * n,
        bonds=[(3 * k, 3 * k + j) for k in range(n) for j in (1, 2)],
    )
    return Frames(system, x, 300.0, box=box)


def counted(frames):
    """Contacts of the first frame of water from all pairs and 27 images, radii typed in here."""
    x, box = frames.positions[0], frames.box
    n = len(x)
    oxygen = np.arange(n) % 3 == 0
    images = np.array(list(product((-1, 0, 1), repeat=3))) @ box
    d = x[:, None] - x[None]
    d -= np.round(d @ np.linalg.inv(box)) @ box
    d = np.min([np.linalg.norm(d + image, axis=-1) for image in images], axis=0)
    cov, vdw = np.where(oxygen, 0.066, 0.031), np.where(oxygen, 0.152, 0.11)
    one = np.arange(n)[:, None] // 3 == np.arange(n)[None] // 3
    is_bond = one & (oxygen[:, None] ^ oxygen[None])
    upper = np.triu(np.ones((n, n), bool), 1)
    close = d < 1.25 * (cov[:, None] + cov)
    hydrogen_bond = oxygen[:, None] | oxygen[None]  # any O-O and O-H of two waters may be one
    clash = (vdw[:, None] + vdw - d - 0.06 * hydrogen_bond >= 0.04) & ~one
    return [int((upper & m).sum()) for m in (is_bond & ~close, close & ~is_bond, clash)]


def test_contacts_of_a_periodic_box_are_those_of_all_pairs():
    frames = water(spacing=0.25, seed=3)
    rng = np.random.default_rng(5)
    for scale in (0.0, 0.02, 0.05):
        shaken = moved(frames, frames.positions + scale * rng.normal(size=frames.positions.shape))
        found = contacts(shaken)
        expected = counted(shaken)
        assert [int(c[0]) for c in (found.missing, found.spurious, found.clashes)] == expected
    assert min(expected) > 5  # the last one has some of each


def test_planted_errors_are_counted_apart():
    frames = water(spacing=0.5)
    x = np.repeat(frames.positions, 4, axis=0)
    x[1, 4] += 4 * (x[1, 4] - x[1, 3])  # a hydrogen leaves its oxygen, five bond lengths away
    # another's oxygen at 0.1 nm from an oxygen, seen through the box: a bond too many, beside its
    # own clashes
    x[2, 6:9] += x[2, 0] + [0, 0, -0.1] - x[2, 6] + 3 * frames.box[2]
    x[3] += frames.box[0] + 2 * frames.box[1]
    c = contacts(moved(frames, x))
    assert c.missing.tolist() == [0, 1, 0, 0]
    assert c.spurious[[0, 1, 3]].tolist() == [0, 0, 0] and c.spurious[2] >= 1 and c.clashes[2] >= 1
    assert c.clashes[[0, 3]].tolist() == [0, 0]


def test_true_peptides_have_the_bonds_of_their_system(peptide):
    c = contacts(peptide)
    assert not c.missing.any() and not c.spurious.any()
    assert c.clashes.mean() < 0.6  # mostly O and the carbon four bonds on, in strained basins


def test_ions_and_beads_take_no_part():
    x = np.array([[[0, 0, 0], [0.12, 0, 0], [0.2, 0, 0]]])
    system = System(
        names=("C", "O", "Na"), masses=[12, 16, 23], elements=("C", "O", "Na"), bonds=[(0, 1)]
    )
    c = contacts(Frames(system, x, 300.0))
    assert (c.missing[0], c.spurious[0], c.clashes[0]) == (0, 0, 0)
    alone = Frames(system.select([0, 1]), x[:, :2], 300.0, box=0.25 * np.eye(3))
    assert contacts(alone).clashes[0] == 0  # nor does an atom clash with its own image
    beads = System(names=("A", "B"), masses=[1, 1], bonds=[(0, 1)])
    with pytest.raises(ValueError, match="give System.elements"):
        contacts(Frames(beads, x[:, :2], 300.0))
    two = Frames(beads, np.repeat(x[:, :2], 40, axis=0), 300.0)
    report = compare_backmapping(two, two)
    assert report.clashes is None and report.missing_bonds is None and len(report.terms) == 1


def test_rates_have_errors_and_none_seen_is_not_none_for_certain():
    lengths = np.full(400, 0.12)
    lengths[::8] = 0.3
    report = compare_backmapping(dimers(lengths), dimers(np.full(500, 0.12)))
    q = report.missing_bonds
    assert (q.value, q.reference, q.reference_error) == pytest.approx((1 / 8, 0, 1 / 500))
    rng = np.random.default_rng(2)
    random = np.where(rng.random(4000) < 0.2, 0.3, 0.12)
    q = compare_backmapping(dimers(random), dimers(random)).missing_bonds
    assert q.error == pytest.approx(np.sqrt(0.2 * 0.8 / 4000), rel=0.5)


# ---- handedness ----------------------------------------------------------------------------------


def test_mirror_images_are_counted_at_the_only_centre(peptide):
    x = np.array(peptide.positions[:200], float)
    x[:30, :, 0] *= -1
    report = compare_backmapping(moved(peptide[:200], x), peptide)
    assert report.n_stereocentres == 1 and list(report.chirality) == ["ALA:CA"]
    q = report.chirality["ALA:CA"]
    assert (q.value, q.reference) == pytest.approx((0.15, 0.0)) and q.error > 0


# ---- draws ---------------------------------------------------------------------------------------


def test_best_of_three_planted_draws(peptide):
    true = peptide[:50]
    draws = repeated(true, 3)
    x = draws.positions.copy()
    shifts = np.array([0.03, 0.01, 0.02])
    x[..., 1] += np.tile(shifts, 50)[:, None]
    hydrogen = np.array(true.system.elements) == "H"
    x[:, hydrogen] += 5.0  # none of the heavy atoms' business
    report = compare_backmapping(moved(draws, x), peptide, n_draws=3, paired=true)
    assert report.rmsd_best.value == pytest.approx(0.01, rel=1e-6)
    assert report.rmsd_one.value == pytest.approx(0.02, rel=1e-6)
    assert report.spread.value == pytest.approx(4 / 300, rel=1e-6)  # mean of 0.02, 0.01, 0.01
    only = compare_backmapping(moved(draws, x), peptide, n_draws=3, paired=true, restored=[1, 2])
    assert only.rmsd_best is None and only.spread.reference > 5


def test_spread_tells_a_perfect_sampler_from_a_narrow_one(peptide):
    middle = peptide[:300]
    true = repeated(middle, 1, 0.01, seed=1)
    spreads = {}
    for noise in (0.01, 0.005):
        q = compare_backmapping(
            repeated(middle, 4, noise, seed=2), peptide, n_draws=4, paired=true
        ).spread
        spreads[noise] = (q.reference - q.value) / np.hypot(q.error, q.reference_error)
    assert abs(spreads[0.01]) < 4 and spreads[0.005] > 30
    assert q.value == pytest.approx(0.005 * np.sqrt(6), rel=0.01)  # 3 (s^2 + s^2) a site
    assert q.reference == pytest.approx(np.sqrt(3 * (0.005**2 + 0.01**2)), rel=0.01)


def test_images_of_a_box_are_one_pose():
    frames = moved(water(), np.repeat(water().positions, 40, axis=0))
    away = np.random.default_rng(0).integers(-3, 4, (40, 125, 3)) @ frames.box
    x = frames.positions + np.repeat(away, 3, axis=1) + [0, 0, 0.02]
    report = compare_backmapping(moved(frames, x), frames, paired=frames)
    assert report.rmsd_one.value == pytest.approx(0.02) and np.isnan(report.spread.value)


def test_draws_of_one_coarse_frame_are_no_independent_frames(peptide):
    """Copies say nothing new: all errors stay what they were."""
    # 20 blocks of 1240 would part draws
    few, other = repeated(peptide[:310], 1, 0.01), peptide[1000:]
    once = compare_backmapping(few, other)
    again = compare_backmapping(repeated(few, 4), other, n_draws=4)
    assert again.missing_bonds.error == pytest.approx(once.missing_bonds.error)
    assert again.clashes.value == pytest.approx(once.clashes.value)
    for a, b in zip(again.terms, once.terms):
        assert a.error == pytest.approx(b.error, abs=1e-9) and a.floor == pytest.approx(
            b.floor, rel=0.3
        )


def test_round_trip_is_the_largest_coordinate():
    x = np.random.default_rng(0).random((5, 2, 3))
    y = x.copy()
    y[3, 1, 2] -= 0.25
    assert round_trip(y, x).value == pytest.approx(0.25)
    assert round_trip(x, x.astype(np.float32)).error == pytest.approx(2.0**-24, rel=1e-6)
    with pytest.raises(ValueError, match="one shape"):
        round_trip(x, x[1:])


# ---- energies ------------------------------------------------------------------------------------


def test_shifted_energies_are_apart_by_the_shift(peptide):
    rng = np.random.default_rng(3)
    e = 10 * rng.normal(size=2000)
    report = compare_backmapping(peptide, peptide, energies=(e + 44.0, e))
    assert report.energy.value == pytest.approx(2.0) and report.energy_shift.value == pytest.approx(
        2.0
    )
    h = {k: np.array(v) for k, v in report.energy_histogram.items()}
    assert (h["reference"] * np.diff(h["edges"])).sum() == pytest.approx(1)
    middle = (h["edges"][1:] + h["edges"][:-1]) / 2
    assert (h["model"] * np.diff(h["edges"])) @ middle == pytest.approx(44, abs=1)
    with pytest.raises(ValueError, match="1 not finite"):
        compare_backmapping(peptide, peptide, energies=(np.where(e == e.max(), np.inf, e), e))
    with pytest.raises(ValueError, match="found shape"):
        compare_backmapping(peptide, peptide, energies=(e[1:], e))


def test_floor_and_error_of_energies_are_what_repetition_shows():
    rng = np.random.default_rng(4)
    blocks = tuple(np.arange(n) * 20 // n for n in (500, 2000))
    same = [
        energy_distance(rng.normal(size=500), rng.normal(size=2000), 1, *blocks) for _ in range(40)
    ]
    value, floor = np.mean([(q.value, q.reference) for q in same], axis=0)
    assert floor == pytest.approx(value, rel=0.25)
    apart = [
        energy_distance(rng.normal(size=500) + 1, rng.normal(size=2000), 1, *blocks)
        for _ in range(40)
    ]
    scatter = np.std([q.value for q in apart])
    assert np.mean([q.error for q in apart]) == pytest.approx(scatter, rel=0.35)
    assert scatter == pytest.approx(np.sqrt(1 / 500 + 1 / 2000), rel=0.35)


# ---- weights -------------------------------------------------------------------------------------


def test_efficiency_of_weights():
    assert weight_efficiency([-np.inf, 0.0, 0.0, -np.inf]).value == pytest.approx(0.5)
    assert weight_efficiency(np.full(30, -1e5)).value == pytest.approx(1.0)
    assert weight_efficiency([900.0] + [0.0] * 9).value == pytest.approx(0.1)
    w = np.array([1.0, 2.0, 3.0, 4.0])
    expected = w.sum() ** 2 / (4 * (w**2).sum())
    assert weight_efficiency(np.log(w) + 3000).value == pytest.approx(expected)
    left = [v.sum() ** 2 / (3 * (v**2).sum()) for v in (np.delete(w, k) for k in range(4))]
    error = np.sqrt(3 / 4 * ((np.array(left) - np.mean(left)) ** 2).sum())
    assert weight_efficiency(np.log(w)).error == pytest.approx(error)
    for bad in ([np.nan, 0.0], [np.inf, 0.0], [-np.inf] * 3):
        with pytest.raises(ValueError, match="log_weights"):
            weight_efficiency(bad)


def test_efficiency_of_log_normal_weights_has_its_closed_form_and_an_honest_error():
    rng = np.random.default_rng(6)
    found = [weight_efficiency(0.5 * rng.normal(size=4000)) for _ in range(60)]
    values = np.array([q.value for q in found])
    assert values.mean() == pytest.approx(np.exp(-0.25), abs=0.005)  # exp(-s^2)
    assert np.mean([q.error for q in found]) == pytest.approx(values.std(), rel=0.3)


def test_weights_within_a_coarse_frame_are_judged_apart(peptide):
    draws = repeated(peptide[:100], 3)
    between = np.repeat(np.random.default_rng(7).normal(size=100), 3)
    report = compare_backmapping(draws, peptide, n_draws=3, log_weights=between)
    assert report.group_efficiency.value == pytest.approx(1.0) and report.efficiency.value < 0.7
    within = np.tile(np.log([1.0, 2.0, 3.0]), 100)
    report = compare_backmapping(draws, peptide, n_draws=3, log_weights=within)
    assert report.group_efficiency.value == pytest.approx(36 / 42) == report.efficiency.value


# ---- the report ----------------------------------------------------------------------------------


def test_report_survives_json_and_reads_as_a_table(peptide):
    true = peptide[:100]
    draws = repeated(true, 2, 0.002)
    report = compare_backmapping(
        draws,
        peptide,
        n_draws=2,
        paired=true,
        coarse=(draws.positions[:, :1], draws.positions[:, :1]),
        energies=(np.arange(200.0), np.arange(2000.0)),
        log_weights=np.zeros(200),
    )
    text = json.dumps(report.to_json(), allow_nan=False)
    again = BackmappingReport.from_json(json.loads(text))
    assert again.to_json() == report.to_json() and again.terms == report.terms
    assert np.isnan(again.rmsd_best.reference) and isinstance(again.chirality["ALA:CA"], Quantity)
    table = again.table()
    for words in (
        "worst dihedral JS",
        "clashes a frame",
        "wrong hand at ALA:CA",
        "ESS / N within",
        "64 bins",
    ):
        assert words in table
    with pytest.raises(ValueError, match=r"unknown \['colour'\]"):
        BackmappingReport.from_json({**report.to_json(), "colour": 1})


def test_frames_that_do_not_fit_are_refused(peptide):
    with pytest.raises(ValueError, match="give n_draws as the frames were drawn"):
        compare_backmapping(peptide[:20], peptide, n_draws=3)
    with pytest.raises(ValueError, match="10 coarse frames"):
        compare_backmapping(peptide[:20], peptide, n_draws=2, paired=peptide[:20])
    with pytest.raises(ValueError, match="one System"):
        compare_backmapping(peptide, dimers(np.full(10, 0.1)))
    with pytest.raises(ValueError, match="one a restored frame"):
        compare_backmapping(peptide, peptide, log_weights=np.zeros(3))


def test_worst_frames_are_found_with_their_reason(peptide):
    x = np.array(peptide.positions[:60], float)
    x[7, 1] += [0.6, 0, 0]  # a methyl hydrogen is lost
    x[21, 18] = x[21, 0] + [
        0.0,
        0.0,
        0.2,
    ]  # the other methyl carbon on this one: it leaves its nitrogen and hydrogens
    worst = worst_frames(moved(peptide[:60], x), 2)
    assert {w.index for w in worst} == {7, 21}
    three = {w.index: w.reason for w in worst_frames(moved(peptide[:60], x), 6)}
    assert "bonds missing: 1" in three[7] and "ACE:CH3-ACE:HH1 off by" in three[7]
    assert "bonds missing: 4" in three[21] and "clashes:" in three[21]
    assert len(worst_frames(peptide[:3], 10)) == 3
