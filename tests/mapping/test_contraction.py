"""The contraction of the bond graph and groups of heavy atoms, against brute force on small
molecules.
"""

import os
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from counted import calls
from samples import ALANINE_BONDS, ALANINE_DIPEPTIDE, MASS

from cgrec import System
from cgrec.io import read
from cgrec.mapping import HeavyAtomGroups, Mapping, contract, from_partition, heavy_atom_groups
from cgrec.mapping.graph import COSTS, local_variation, normalised_cut

SHARED = Path(os.environ.get("CGREC_DATA", Path(__file__).parents[3] / "shared" / "data"))
PROTEIN = SHARED / "protein_structures" / "experimental" / "1uao.pdb"


def molecule(elements: str, bonds, copies: int = 1, masses=None) -> System:
    n = len(elements)
    return System(
        names=tuple(f"{e}{i}" for i, e in enumerate(elements)) * copies,
        masses=[MASS[e] for e in elements] * copies if masses is None else masses,
        elements=tuple(elements) * copies,
        bonds=[(i + k * n, j + k * n) for k in range(copies) for i, j in bonds],
    )


def alanine_dipeptide() -> System:
    residues, names = zip(*(label.split(":") for label in ALANINE_DIPEPTIDE))
    elements = tuple(name[0] for name in names)
    return System(
        names=names,
        masses=[MASS[e] for e in elements],
        elements=elements,
        bonds=ALANINE_BONDS,
        residues=[("ACE", "ALA", "NME").index(r) for r in residues],
        residue_names=residues,
    )


def random_molecule(rng, n: int, kinds="CNO", rings: int = 1, hydrogens: bool = False) -> System:
    """A random tree of heavy atoms with up to `rings` more bonds, valences filled with hydrogens if
    wanted.
    """
    elements = "".join(rng.choice(list(kinds), n))
    bonds = {(int(rng.integers(max(0, i - 3), i)), i) for i in range(1, n)}
    for _ in range(rings if n > 2 else 0):
        i, j = sorted(rng.choice(n, 2, replace=False).tolist())
        bonds.add((i, j))
    if hydrogens:
        degree = np.bincount(np.array(sorted(bonds)).ravel(), minlength=n)
        for i in range(n):
            for _ in range(max(0, {"C": 4, "N": 3, "O": 2}[elements[i]] - int(degree[i]))):
                bonds.add((i, len(elements)))
                elements += "H"
    return molecule(elements, sorted(bonds))


def connected(system: System, atoms) -> bool:
    reached, near = {atoms[0]}, system.neighbours()
    while grown := {j for i in reached for j in near[i] if j in atoms} - reached:
        reached |= grown
    return reached == set(atoms)


def as_sets(partition) -> set[frozenset[int]]:
    return {frozenset(bead) for bead in partition}


def is_nested(fine, coarse) -> bool:
    return all(any(small <= large for large in as_sets(coarse)) for small in as_sets(fine))


def connected_partitions(system: System, n: int):
    """All divisions of the atoms into n connected beads."""

    def grow(i, beads):
        if i == system.n_sites:
            if len(beads) == n and all(connected(system, bead) for bead in beads):
                yield [list(bead) for bead in beads]
            return
        for k in range(len(beads)):
            yield from grow(i + 1, [*beads[:k], [*beads[k], i], *beads[k + 1 :]])
        if len(beads) < n:
            yield from grow(i + 1, [*beads, [i]])

    return grow(0, [])


def labels_of(system: System, partition) -> np.ndarray:
    labels = np.empty(system.n_sites, np.int64)
    for k, bead in enumerate(partition):
        labels[bead] = k
    return labels


# --- costs ----------------------------------------------------------------------------------------


def test_local_variation_is_that_of_the_paper():
    """Dense matrices, set by set: B = P U, A = B (B^T L B)^(-1/2), Pi_C and L_C of Loukas 2019,
    Sec. 4.
    """
    rng = np.random.default_rng(1)
    for k in range(20):
        system = random_molecule(rng, 8, rings=k % 3)
        weights = np.zeros((8, 8))
        for i, j in system.bonds:
            weights[i, j] = weights[j, i] = 1
        values, vectors = np.linalg.eigh(np.diag(weights.sum(0)) - weights)
        now = next(p for p in connected_partitions(system, 5) if connected(system, p[0] + p[1]))
        after = [now[0] + now[1], *now[2:]]
        member = np.stack([np.isin(np.arange(8), bead) for bead in now]).astype(float)
        coarse = member @ weights @ member.T * (1 - np.eye(5))
        for modes in (1, 3, 7):
            kept = int((values[1:] <= values[modes] + 1e-8).sum())  # all of a degenerate set
            b = (
                member
                / member.sum(1, keepdims=True)
                @ vectors[:, 1 : kept + 1]
                / np.sqrt(values[1 : kept + 1])
            )
            inner, axes = np.linalg.eigh(b.T @ (np.diag(coarse.sum(0)) - coarse) @ b)
            scale = np.array([v**-0.5 if v > 1e-10 else 0.0 for v in inner])
            a = b @ axes @ np.diag(scale) @ axes.T
            sizes = member.sum(1)[:2]
            lost = (np.eye(2) - np.outer(np.ones(2), sizes / sizes.sum())) @ a[:2]
            w, out = coarse[0, 1], coarse[:2, 2:].sum(1)
            local = np.array([[w + 2 * out[0], -w], [-w, w + 2 * out[1]]])
            found = local_variation(system, modes)(labels_of(system, now))(labels_of(system, after))
            assert found == pytest.approx(np.trace(lost.T @ local @ lost) / kept, abs=1e-12)


@pytest.mark.parametrize("cost, ends", [("local_variation", (0, 1)), ("normalised_cut", (0, -1))])
def test_costs_run_from_atoms_to_molecule(cost, ends):
    system = molecule("CCOCNC", [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0)])
    rise = COSTS[cost](system)(np.arange(6))
    assert rise(np.arange(6)) == pytest.approx(ends[0], abs=1e-12)
    assert rise(np.zeros(6, int)) == pytest.approx(ends[1])


def test_normalised_cut_of_a_chain_by_hand():
    system = molecule("CCCC", [(0, 1), (1, 2), (2, 3)], masses=[1.0, 2.0, 4.0, 8.0])
    single = 1 / 1 + 2 / 2 + 2 / 4 + 1 / 8
    found = normalised_cut(system)(np.arange(4))(np.array([0, 0, 2, 2]))
    assert found == pytest.approx((1 / 3 + 1 / 12) / single - 1)


@pytest.mark.parametrize("cost", COSTS)
def test_greedy_never_beats_brute_force_and_comes_close(cost):
    """Merging all at once from atoms to n beads: the best of all divisions, and that of the
    contraction.
    """
    rng, ratios = np.random.default_rng(3), []
    for k in range(12):
        system = random_molecule(rng, 6 + k % 3, rings=k % 2)
        rise, heaviest = COSTS[cost](system)(np.arange(system.n_sites)), system.masses.sum()

        def total(partition, system=system, rise=rise, heaviest=heaviest):
            balance = sum((system.masses[bead].sum() / heaviest) ** 2 for bead in partition)
            # 1: the cut of atoms
            return 1 + rise(labels_of(system, partition)) + len(partition) * balance

        found = contract(system, cost)
        for n in (2, 3, 4):
            if n in found.sizes:
                best = min(total(p) for p in connected_partitions(system, n))
                ratios.append(total(found.beads(n)) / best)
    mean, most = {"local_variation": (1.02, 1.1), "normalised_cut": (1.1, 1.35)}[cost]
    assert min(ratios) > 1 - 1e-12
    assert np.mean(ratios) < mean and max(ratios) < most


# --- the dendrogram -------------------------------------------------------------------------------


def test_alanine_dipeptide():
    system = alanine_dipeptide()
    found = contract(system)
    assert {22, 10, 5, 2, 1} <= set(found.sizes)
    heavy = [i for i in range(22) if system.elements[i] != "H"]
    assert [[i for i in bead if i in heavy] for bead in found.beads(10)] == [[i] for i in heavy]
    called = lambda bead: " ".join(system.labels[i] for i in bead if i in heavy)  # noqa: E731
    assert [called(bead) for bead in found.beads(5)] == [
        "ACE:CH3",
        "ACE:C ACE:O",
        "ALA:N ALA:CA ALA:CB",
        "ALA:C ALA:O",
        "NME:N NME:CH3",
    ]


@pytest.mark.parametrize("cost", COSTS)
def test_random_molecules(cost):
    """Connected, nested, hydrogens with their carriers, stereocentres whole, the number asked for."""
    rng, seen = np.random.default_rng(5), 0
    for _ in range(25):
        system = random_molecule(
            rng, int(rng.integers(2, 11)), rings=int(rng.integers(3)), hydrogens=True
        )
        alike, near = system.equivalent_sites(), system.neighbours()
        chiral = [i for i, a in enumerate(near) if len(a) == 4 and len({alike[j] for j in a}) == 4]
        found = contract(system, cost)
        finer, n_heavy = found.beads(system.n_sites), sum(e != "H" for e in system.elements)
        assert found.sizes[0] == system.n_sites and found.sizes[-1] == 1
        for n in found.sizes:
            beads = found.beads(n)
            assert len(beads) == n and sorted(i for bead in beads for i in bead) == list(
                range(system.n_sites)
            )
            assert beads == sorted(sorted(bead) for bead in beads)
            assert is_nested(finer, beads) and all(connected(system, bead) for bead in beads)
            bead_of = labels_of(system, beads)
            if n <= n_heavy:
                assert all(
                    bead_of[h] == bead_of[near[h][0]]
                    for h in range(system.n_sites)
                    if system.elements[h] == "H"
                )
            for i in chiral:
                five = [bead_of[j] for j in (i, *near[i])]
                assert len(set(five)) >= 4 or five.count(five[0]) >= 4
                seen += 1
            finer = beads
    assert seen > 100


def test_symmetric_cuts_are_those_that_automorphisms_keep():
    rng, symmetric = np.random.default_rng(7), 0
    for k in range(20):
        system = random_molecule(rng, 6, kinds="C" if k % 2 else "CCN", rings=k % 3)
        bonds = as_sets(system.bonds.tolist())
        same = [
            p
            for p in permutations(range(6))
            if as_sets([[p[i], p[j]] for i, j in system.bonds.tolist()]) == bonds
            and all(system.elements[i] == system.elements[p[i]] for i in range(6))
        ]
        found = contract(system)
        symmetric += len(same) > 1
        for n in found.sizes:
            beads = found.beads(n)
            assert all(
                as_sets([[p[i] for i in bead] for bead in beads]) == as_sets(beads) for p in same
            )
    assert symmetric > 6


def test_ring_is_merged_at_once_or_in_pairs_if_allowed():
    benzene = molecule(
        "CCCCCCHHHHHH", [(k, (k + 1) % 6) for k in range(6)] + [(k, k + 6) for k in range(6)]
    )
    found = contract(benzene)
    assert found.sizes == [12, 6, 1]
    with pytest.raises(
        ValueError, match=r"found 3: .*C0 \(#0\).*equivalent.*take 6 or 1, or symmetric=False"
    ):
        found.beads(3)
    pairs = found.beads(3, symmetric=False)
    assert [len(bead) for bead in pairs] == [4, 4, 4] and all(
        connected(benzene, bead) for bead in pairs
    )


@pytest.mark.parametrize("cost", COSTS)
def test_beads_of_a_chain_are_symmetric_and_of_like_size(cost):
    found = contract(molecule("C" * 16, [(k, k + 1) for k in range(15)]), cost)
    for n in (n for n in found.sizes if n < 6):
        sizes = [len(bead) for bead in found.beads(n)]
        assert sizes == sizes[::-1] and max(sizes) <= 4 * min(sizes)


def test_alike_molecules_are_contracted_alike():
    rng = np.random.default_rng(2)
    one = random_molecule(rng, 6, hydrogens=True)
    n = one.n_sites
    many = molecule("".join(one.elements), one.bonds.tolist(), copies=3)
    alone, together = contract(one), contract(many)
    assert together.sizes == [3 * k for k in alone.sizes]
    for k in alone.sizes:
        copies = sorted([i + c * n for i in bead] for c in range(3) for bead in alone.beads(k))
        assert together.beads(3 * k) == copies
    with pytest.raises(ValueError, match=r"from 3 to .*found 2: every molecule"):
        together.beads(2)


def test_alike_molecules_in_another_order_of_atoms():
    system = System(
        names=("C", "O", "N", "N", "O", "C"),
        elements=("C", "O", "N", "N", "O", "C"),
        masses=[12.0, 16, 14, 14, 16, 12],
        bonds=[(0, 1), (1, 2), (3, 4), (4, 5)],
    )
    found = contract(system)
    assert found.sizes == [6, 4, 2]
    assert as_sets(found.beads(4)) in (
        {frozenset(s) for s in ({0, 1}, {2}, {3}, {4, 5})},
        {frozenset(s) for s in ({0}, {1, 2}, {3, 4}, {5})},
    )


def test_a_liquid_takes_few_calls():
    water = molecule("OHH", [(0, 1), (0, 2)], copies=1000)
    found, count = calls(lambda: contract(water))
    assert found.beads(1000) == [[3 * k, 3 * k + 1, 3 * k + 2] for k in range(1000)]
    assert count < 60 * 1000


def test_protected_sites_stay():
    system = alanine_dipeptide()
    found = contract(system, protected=["ALA:CB"])
    protected = [[10], [11], [12], [13]]  # CB and the hydrogens that have no other neighbour
    assert found.sizes[-1] == 5
    for n in found.sizes:
        assert all(bead in found.beads(n) for bead in protected)
    assert contract(system, protected=lambda s: range(22)).sizes == [22]


# --- nested levels --------------------------------------------------------------------------------


def regrouped(fine, coarse):
    """The coarse partition in terms of the beads of the fine one."""
    return [[k for k, small in enumerate(fine) if set(small) <= set(large)] for large in coarse]


def assert_semigroup(system: System, partitions) -> None:
    first = from_partition(system, partitions[0])
    composed = first
    for fine, coarse in zip(partitions, partitions[1:]):
        composed = from_partition(composed.coarse, regrouped(fine, coarse)) @ composed
    direct = from_partition(system, partitions[-1])
    for name in ("position_weights", "force_weights"):
        assert np.abs(getattr(composed, name) - getattr(direct, name)).max() < 1e-12
    assert (
        np.abs(
            composed.force_weights @ composed.position_weights.T - np.eye(len(partitions[-1]))
        ).max()
        < 1e-12
    )
    np.testing.assert_allclose(composed.coarse.masses, direct.coarse.masses, rtol=1e-12)
    assert composed.coarse.bonds.tolist() == direct.coarse.bonds.tolist()


def test_levels_compose_to_the_direct_map():
    found = contract(alanine_dipeptide())
    assert_semigroup(found.system, [found.beads(n) for n in (10, 5, 2)])
    rng = np.random.default_rng(11)
    for _ in range(20):
        found = contract(random_molecule(rng, 9, rings=2, hydrogens=True))
        sizes = sorted(rng.choice(found.sizes, 3, replace=False).tolist(), reverse=True)
        assert_semigroup(found.system, [found.beads(n) for n in sizes])


def test_beads_that_symmetry_relates_have_one_type():
    butane = molecule("CCCC", [(0, 1), (1, 2), (2, 3)])
    assert len(set(from_partition(butane, [[0, 1], [2, 3]]).coarse.types)) == 1
    assert len(set(from_partition(butane, [[0], [1, 2, 3]]).coarse.types)) == 2


@pytest.mark.skipif(not PROTEIN.exists(), reason="no protein data")
@pytest.mark.parametrize("cost", COSTS)
def test_a_protein_takes_few_calls(cost):
    system = read(PROTEIN, temperature=300.0).system
    found, count = calls(lambda: contract(system, cost))
    assert count < 50 * system.n_sites**2
    sizes = [min(found.sizes, key=lambda n, near=near: abs(n - near)) for near in (77, 30, 10)]
    assert_semigroup(system, [found.beads(n) for n in sizes])
    masses = [system.masses[bead].sum() for bead in found.beads(sizes[-1])]
    assert max(masses) < 0.25 * system.masses.sum()


# --- groups of heavy atoms ------------------------------------------------------------------------


def test_groups_of_a_chain_are_consecutive():
    chain = molecule("C" * 8, [(k, k + 1) for k in range(7)])
    assert heavy_atom_groups(chain, 3) == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_groups_are_the_fewest_on_trees():
    rng = np.random.default_rng(4)
    for k in range(20):
        system, size = random_molecule(rng, 7, rings=0), 2 + k % 3
        groups = heavy_atom_groups(system, size)
        assert max(map(len, groups)) <= size and all(connected(system, g) for g in groups)
        fewer = len(groups) - 1
        assert not any(max(map(len, p)) <= size for p in connected_partitions(system, fewer))


def test_groups_take_their_hydrogens():
    rng = np.random.default_rng(6)
    for _ in range(20):
        system = random_molecule(rng, 9, rings=2, hydrogens=True)
        near = system.neighbours()
        mapping = HeavyAtomGroups(3)(system)
        assert isinstance(mapping, Mapping) and mapping.coarse.masses.sum() == pytest.approx(
            system.masses.sum()
        )
        for bead in heavy_atom_groups(system, 3):
            assert connected(system, bead) and sum(system.elements[i] != "H" for i in bead) <= 3
            assert all(near[i][0] in bead for i in bead if system.elements[i] == "H")


# --- what bad input gets --------------------------------------------------------------------------


def test_ions_and_hydrogen_molecules():
    assert contract(molecule("CN", [])).sizes == [2]
    assert contract(molecule("HH", [(0, 1)])).sizes == [2, 1]


def test_refusals():
    system = alanine_dipeptide()
    with pytest.raises(ValueError, match="from 1 to 22, found 23: the atoms ACE:HH31"):
        contract(system).beads(23)
    with pytest.raises(ValueError, match="protected: expected every site once, found ALA:CA"):
        contract(system, protected=lambda s: [8, 8])
    with pytest.raises(KeyError, match="ALA:XX"):
        contract(system, protected=["ALA:XX"])
    with pytest.raises(ValueError, match="local_variation, normalised_cut, found 'fast'"):
        contract(system, "fast")
    with pytest.raises(ValueError, match=r"hydrogen MOL:H2 \(#2\).*found none.*bonds"):
        contract(molecule("OHH", [(0, 1)]))
    with pytest.raises(ValueError, match="HeavyAtomGroups.size: expected 1 or more, found 0"):
        HeavyAtomGroups(0)(system)
    with pytest.raises(ValueError, match=r"2 pieces: MOL:C0 \(#0\); MOL:O2 \(#2\)"):
        from_partition(molecule("CCO", [(0, 1), (1, 2)]), [[0, 2], [1]])
    with pytest.raises(ValueError, match=r"MOL:C1 \(#1\) more than once"):
        from_partition(molecule("CCO", [(0, 1), (1, 2)]), [[0, 1], [1, 2]])
