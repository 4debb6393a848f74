"""Beads that move together, against enumeration of every partition and against motions put in by
hand.
"""

from itertools import combinations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cgrec import Frames, System
from cgrec.mapping.choose.essential import essential_dynamics

RNG = np.random.default_rng(7)


def molecule(bonds, elements=None, masses=None) -> System:
    n = max(max(b) for b in bonds) + 1
    return System(
        names=tuple(f"A{k}" for k in range(n)),
        masses=np.linspace(10, 20, n) if masses is None else masses,
        elements=elements or ("C",) * n,
        bonds=bonds,
    )


def tumbling(system: System, n_frames=120, seed=0, **fields) -> Frames:
    """Correlated fluctuations about a random walk in space, each frame turned and shifted at
    random.
    """
    rng = np.random.default_rng(seed)
    n = system.n_sites
    rest = np.cumsum(rng.normal(scale=0.15, size=(n, 3)), axis=0)
    mixing = rng.normal(size=(n, 3, 8)) * 0.02
    x = rest + np.einsum("ikm,fm->fik", mixing, rng.normal(size=(n_frames, 8)))
    turns = Rotation.random(n_frames, random_state=seed).as_matrix()
    x = np.einsum("fik,flk->fil", x, turns) + rng.normal(size=(n_frames, 1, 3))
    return Frames(system, x, 300.0, **fields)


def displacements(frames: Frames, share: float) -> np.ndarray:
    """(n_frames, n, 3) in the dominant subspace: Kabsch by scipy, components by singular values of
    the frames.
    """
    x, m, w = frames.positions.copy(), frames.system.masses, frames.normalised_weights()
    x -= np.average(x, axis=1, weights=m)[:, None]
    mean = x[0]
    for _ in range(12):
        x = np.array([Rotation.align_vectors(mean, f, weights=m)[0].apply(f) for f in x])
        mean = np.average(x, axis=0, weights=w)
    q = ((x - mean) * np.sqrt(m)[:, None]).reshape(len(x), -1)
    _, s, modes = np.linalg.svd(q * np.sqrt(w)[:, None], full_matrices=False)
    k = 1 + int(np.flatnonzero(np.cumsum(s**2) >= share * (s**2).sum())[0])
    return (q @ modes[:k].T @ modes[:k]).reshape(x.shape) / np.sqrt(m)[:, None]


def residual(d: np.ndarray, weights: np.ndarray, beads) -> float:
    pairs = [p for bead in beads for p in combinations(bead, 2)]
    return sum(weights @ ((d[:, i] - d[:, j]) ** 2).sum(-1) for i, j in pairs) / (3 * len(beads))


def contiguous(n, k):
    for cuts in combinations(range(1, n), k - 1):
        yield [list(range(a, b)) for a, b in zip((0, *cuts), (*cuts, n))]


@pytest.mark.parametrize(
    "n, k, weighted", [(12, 4, False), (12, 4, True), (9, 3, False), (5, 1, False)]
)
def test_a_chain_gets_the_best_of_all_contiguous_partitions(n, k, weighted):
    weights = RNG.exponential(size=120) if weighted else None
    frames = tumbling(molecule([(i, i + 1) for i in range(n - 1)]), seed=n + k, weights=weights)
    d, w = displacements(frames, 0.8), frames.normalised_weights()
    expected = min((residual(d, w, beads), beads) for beads in contiguous(n, k))
    partition, found = essential_dynamics(frames, k, share=0.8)
    assert partition == expected[1]
    assert found == pytest.approx(expected[0], rel=1e-6)


def test_a_chain_numbered_at_random_is_the_same_chain():
    n, names = 10, RNG.permutation(10)
    straight = tumbling(molecule([(i, i + 1) for i in range(n - 1)]), seed=3)
    masses = np.empty(n)
    masses[names] = straight.system.masses
    bonds = [(int(names[i]), int(names[i + 1])) for i in range(n - 1)]
    positions = np.empty_like(straight.positions)
    positions[:, names] = straight.positions
    mixed, residual_mixed = essential_dynamics(
        Frames(molecule(bonds, masses=masses), positions, 300.0), 4
    )
    beads, residual_straight = essential_dynamics(straight, 4)
    assert sorted(map(sorted, mixed)) == mixed
    assert {frozenset(b) for b in mixed} == {frozenset(int(names[i]) for i in b) for b in beads}
    assert residual_mixed == pytest.approx(residual_straight, rel=1e-8)


def cuts_of_tree(bonds, n, k):
    """Every partition of a tree into k connected beads: k - 1 bonds removed."""
    for cut in combinations(bonds, k - 1):
        label = list(range(n))
        for i, j in bonds:
            if (i, j) not in cut:
                old, new = label[j], label[i]
                label = [new if a == old else a for a in label]
        yield [[i for i in range(n) if label[i] == a] for a in dict.fromkeys(label)]


def test_a_tree_gets_connected_beads_not_far_from_the_best():
    bonds = [(0, 1), (1, 2), (2, 3), (3, 4), (2, 5), (5, 6), (5, 7), (7, 8), (3, 9), (9, 10)]
    excess = []
    for seed in range(8):
        frames = tumbling(molecule(bonds, elements=tuple("CNOSPCNOSPC")), seed=seed)
        d, w = displacements(frames, 0.9), frames.normalised_weights()
        all_of_them = list(cuts_of_tree(bonds, 11, 4))
        values = [residual(d, w, beads) for beads in all_of_them]
        partition, found = essential_dynamics(frames, 4)
        assert sorted(partition) in [sorted(b) for b in all_of_them]
        assert found == pytest.approx(
            values[[sorted(b) for b in all_of_them].index(partition)], rel=1e-5
        )
        excess.append(found / min(values) - 1)
    assert np.median(excess) < 0.05 and max(excess) < 0.5


def test_domains_that_slide_as_one_are_found():
    """Three blocks of unequal length pulled along the chain, each as a whole: cut between them,
    nothing is left.
    """
    block = np.repeat([0, 1, 2], [4, 6, 5])
    rest = np.array([[0.15 * i, 0.04 * (i % 2), 0.03 * (i % 3)] for i in range(15)])
    slide = RNG.normal(scale=0.02, size=(200, 3))[:, block]
    frames = Frames(
        molecule([(i, i + 1) for i in range(14)]), rest + slide[..., None] * [1, 0, 0], 300.0
    )
    partition, left = essential_dynamics(frames, 3)
    assert partition == [np.flatnonzero(block == k).tolist() for k in range(3)]
    assert left < 0.02 * essential_dynamics(frames, 2)[1]


def test_hydrogens_and_twins_go_with_the_atom_that_bears_them():
    """Isobutane and a tail: C0(H)(C1 H3)(C2 H3)-C3-C4-C5."""
    bonds = [(0, 1), (0, 2), (0, 3), (3, 4), (4, 5), (0, 6)] + [
        (1, 7),
        (1, 8),
        (1, 9),
        (2, 10),
        (2, 11),
        (2, 12),
    ]
    frames = tumbling(molecule(bonds, elements=("C",) * 6 + ("H",) * 7))
    beads, _ = essential_dynamics(frames, 3)
    assert {0, 1, 2, *range(6, 13)} <= set(next(b for b in beads if 0 in b))
    # more beads than units with the twins tied: only hydrogens are
    six, _ = essential_dynamics(frames, 6)
    assert six == [[0, 6], [1, 7, 8, 9], [2, 10, 11, 12], [3], [4], [5]]


def test_protected_atoms_stay_alone():
    frames = tumbling(molecule([(i, i + 1) for i in range(11)]))
    beads, _ = essential_dynamics(frames, 5, protected=[6])
    assert [6] in beads and len(beads) == 5
    with pytest.raises(ValueError, match="3 beads or more"):
        essential_dynamics(frames, 2, protected=[6])


def test_what_is_refused():
    frames = tumbling(molecule([(i, i + 1) for i in range(5)]))
    with pytest.raises(ValueError, match="expected 1 to 6 beads"):
        essential_dynamics(frames, 7)
    with pytest.raises(ValueError, match="share"):
        essential_dynamics(frames, 2, share=0.0)
    with pytest.raises(ValueError, match="among 0 to 5, found .-1, 9."):
        essential_dynamics(frames, 2, protected=[-1, 0, 9])
    with pytest.raises(ValueError, match="expected one molecule, found 2"):
        essential_dynamics(tumbling(molecule([(0, 1), (2, 3)])), 2)
