"""The bond graph against graphs whose answers are known by eye, and against networkx."""

import networkx as nx
import numpy as np
import pytest

from cgrec.bonds import (
    as_pairs,
    beyond,
    close_pairs,
    connected_components,
    distances,
    four_different,
    generations,
    members_of,
    neighbours,
    paths,
    ranks,
    refined,
    shortest_paths,
)

#: Butane with its hydrogens left out, and a ring of six with a tail.
BUTANE = [(0, 1), (1, 2), (2, 3)]
RING = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0), (5, 6), (6, 7)]


def random_graph(seed, n=24):
    graph = nx.gnm_random_graph(n, n + 4, seed=seed)
    return graph, np.array(graph.edges, np.int64)


@pytest.mark.parametrize("seed", range(5))
def test_components_and_distances_are_those_of_networkx(seed):
    graph, pairs = random_graph(seed)
    labels = connected_components(len(graph), pairs)
    wanted = sorted(sorted(c) for c in nx.connected_components(graph))
    assert sorted(m.tolist() for m in members_of(labels)[0].values()) == wanted
    near = neighbours(len(graph), pairs.tolist())
    for start in range(0, len(graph), 5):
        lengths = nx.single_source_shortest_path_length(graph, start)
        assert distances(near, start, len(graph)) == dict(lengths)
        found = shortest_paths(near, start, range(len(graph)))
        assert {site: len(path) - 1 for site, path in found.items()} == dict(lengths)
        for path in found.values():
            assert all(graph.has_edge(i, j) for i, j in zip(path, path[1:]))


@pytest.mark.parametrize("bonds", [1, 2, 3])
def test_close_pairs_are_those_so_many_bonds_apart(bonds):
    graph, pairs = random_graph(7)
    lengths = dict(nx.all_pairs_shortest_path_length(graph, cutoff=bonds))
    wanted = sorted((i, j) for i in lengths for j in lengths[i] if i != j)
    assert close_pairs(len(graph), pairs, bonds).tolist() == [list(p) for p in wanted]


def test_paths_count_each_once():
    near = neighbours(4, BUTANE)
    assert paths(near, 2) == BUTANE
    assert paths(near, 3) == [(0, 1, 2), (1, 2, 3)]
    assert paths(near, 4) == [(0, 1, 2, 3)]


def test_a_forest_reaches_every_site_once_by_its_bonds():
    near = neighbours(8, RING)
    grown = generations(near, [0])
    assert sorted(site for one in grown for site in one) == list(range(1, 8))
    assert all(parent in near[site] for one in grown for site, parent in one.items())
    reached = {0}
    for one in grown:
        assert set(one.values()) <= reached
        reached |= set(one)


def test_what_turns_about_a_bond():
    near = neighbours(8, RING)
    assert beyond(near, 5, 6) == [6, 7]
    assert beyond(near, 0, 1) is None  # in a ring nothing turns
    assert beyond(neighbours(4, BUTANE), 1, 2) == [2, 3]


def test_without_a_bond_the_way_round_is_taken():
    near = neighbours(8, RING)
    assert distances(near, 0, 8)[1] == 1
    assert distances(near, 0, 8, without=(0, 1))[1] == 5


def test_sites_alike_by_symmetry_have_one_number():
    numbers = refined(ranks(["C"] * 4), neighbours(4, BUTANE))
    assert numbers[0] == numbers[3] and numbers[1] == numbers[2] and numbers[0] != numbers[1]
    ring = refined(ranks(["C"] * 8), neighbours(8, RING))
    assert ring[0] == ring[4] and ring[1] == ring[3] and len(set(ring)) == 6


def test_a_stereocentre_has_four_different_neighbours():
    pairs = [(0, 1), (0, 2), (0, 3), (0, 4)]
    near = neighbours(5, pairs)
    assert four_different(near, refined(ranks(["C", "F", "Cl", "Br", "H"]), near)) == [
        (0, 1, 2, 3, 4)
    ]
    assert four_different(near, refined(ranks(["C", "F", "Cl", "H", "H"]), near)) == []


def test_no_bonds_at_all():
    assert as_pairs(None).shape == as_pairs([]).shape == (0, 2)
    assert connected_components(3, []).tolist() == [0, 1, 2]
    assert neighbours(2, []) == [[], []]
