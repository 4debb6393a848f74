"""Bonded terms, hands and radial distributions against closed forms, planted faults and ideal gases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from samples import backbone_frames, pair_frames

from cgrec.frames import Frames
from cgrec.observables import (
    chirality_flips,
    circular_wasserstein,
    compare_structure,
    rdf,
    stereocentres,
    wasserstein,
)
from cgrec.system import System


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
