"""Deviation and helix: known structures, and the role of a variable."""

import numpy as np
import pytest
from cgrec.io.variables import Deviation, Helix
from scipy.spatial.transform import Rotation

from cgrec import Frames, System
from cgrec.observables import compare_distributions


def placed(a, b, c, bond, angle, dihedral):
    """The fourth atom by its internal coordinates, nm and degrees."""
    angle, dihedral = np.radians([angle, dihedral])
    along = (c - b) / np.linalg.norm(c - b)
    normal = np.cross(b - a, along)
    normal /= np.linalg.norm(normal)
    frame = np.array([along, np.cross(normal, along), normal])
    where = [
        -np.cos(angle),
        np.sin(angle) * np.cos(dihedral),
        np.sin(angle) * np.sin(dihedral),
    ]
    return c + bond * np.array(where) @ frame


def backbone(n, phi, psi):
    """N, CA, C, O of `n` alanines with usual bonds and angles (R. A. Engh, R. Huber, 1991)."""
    x = [np.zeros(3), np.array([0.1458, 0, 0]), np.array([0.2009, 0.1420, 0])]
    for _ in range(n - 1):
        x.append(placed(*x[-3:], 0.1329, 116.2, psi))
        x.append(placed(*x[-3:], 0.1458, 121.7, 180))
        x.append(placed(*x[-3:], 0.1525, 111.2, phi))
    atoms = []
    for k in range(n):
        nitrogen, alpha, carbon = x[3 * k : 3 * k + 3]
        oxygen = placed(nitrogen, alpha, carbon, 0.1231, 120.5, psi + 180)
        atoms += [nitrogen, alpha, carbon, oxygen]
    return np.array(atoms)


def peptide(*structures):
    n = len(structures[0]) // 4
    system = System(
        names=("N", "CA", "C", "O") * n,
        elements=("N", "C", "C", "O") * n,
        masses=np.tile([14.0, 12.0, 12.0, 16.0], n),
        residues=np.repeat(np.arange(n), 4),
        residue_names=("ALA",) * (4 * n),
        residue_numbers=np.repeat(np.arange(1, n + 1), 4),
    )
    return Frames(system, np.array(structures), 300.0)


def test_a_helix_is_found_and_a_strand_is_none():
    frames = peptide(backbone(12, -57, -47), backbone(12, -120, 130))
    share = Helix().of(frames)
    assert 0.6 < share[0] < 0.95 and share[1] == 0  # the ends of a helix have no partner


def test_deviation_is_that_of_the_best_rotation():
    rng = np.random.default_rng(0)
    first = backbone(4, -57, -47)
    turned = Rotation.random(random_state=1).apply(first) + [1.0, 2.0, 3.0]
    moved = first + rng.normal(0, 0.02, first.shape)
    frames = peptide(first, turned, moved)
    sites = tuple(f"#{k}" for k in range(len(first)))
    found = Deviation(sites=sites, structure=frames[:1]).of(frames)
    centred = first - first.mean(0), moved - moved.mean(0)
    best, _ = Rotation.align_vectors(*centred)
    expected = np.sqrt(((centred[0] - best.apply(centred[1])) ** 2).sum(1).mean())
    assert found[:2].max() < 1e-3 and found[2] == pytest.approx(expected, abs=1e-4)


def test_they_are_histogrammed_like_any_variable():
    frames = peptide(*(backbone(8, -57 + s, -47) for s in np.linspace(-30, 30, 40)))
    deviation = Deviation(sites=("#1", "#5", "#9", "#13"), structure=frames[:1])
    for variable in (deviation, Helix()):
        assert variable.defined_on(frames.system) and not variable.periodic
    same = compare_distributions(frames, frames, (deviation, Helix()), bins=4)
    other = compare_distributions(frames[:20], frames[20:], (deviation,), bins=4)
    assert same.js == 0 and other.js > 0.1


def test_what_is_not_there_is_told():
    beads = System(names=("W",) * 3, masses=np.ones(3))
    frames = Frames(beads, np.random.default_rng(0).normal(size=(2, 3, 3)), 300.0)
    assert not Helix().defined_on(beads)
    with pytest.raises(ValueError, match="expected residues with N, CA, C and O"):
        Helix().of(frames)
    with pytest.raises(ValueError, match="expected three sites or more, found 1"):
        Deviation(sites=("#0",), structure=frames)
