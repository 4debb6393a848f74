"""Neighbour tables straight from C++ hold what vesin finds."""

import numpy as np
import pytest
import torch

from cgrec.potential import graph, neighbours
from cgrec.potential.graph import OUT_OF_REACH, site_graph

BOXES = {
    "small": np.diag([1.25, 1.3, 1.4]),
    "three cells": np.diag([1.9, 2.0, 2.7]),
    "slab": np.diag([1.3, 4.0, 2.5]),
    "triclinic": np.array([[2.6, 0, 0], [0.9, 2.4, 0], [-0.7, 0.8, 2.9]]),
    "turned": np.array([[2.6, 0, 0], [0.9, 2.4, 0], [-0.7, 0.8, 2.9]])
    @ np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0.0]]),
}


def pairs(positions, reach, box):
    """{(site, other): vectors} of a graph, without the free places."""
    made = site_graph(positions, torch.zeros(positions.shape[1], dtype=torch.long), reach, box)
    vectors = made.neighbour_vectors()
    near = vectors.norm(dim=-1) < reach
    site, slot = near.nonzero(as_tuple=True)
    other, vector = made.neighbour_index[site, slot], vectors[site, slot]
    order = np.lexsort([*vector.round(decimals=6).T.numpy(), other.numpy(), site.numpy()])
    assert bool((vectors[~near].norm(dim=-1) > 0.5 * OUT_OF_REACH).all())
    return site.numpy()[order], other.numpy()[order], vector.numpy()[order]


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
@pytest.mark.parametrize("n", [1, 7, 400])
def test_same_pairs_as_vesin(box, n, monkeypatch):
    if neighbours._library() is None:
        pytest.skip("no C++ compiler")
    rng, box = np.random.default_rng(n), torch.from_numpy(box).repeat(2, 1, 1)
    positions = torch.from_numpy(rng.uniform(-2, 3, size=(2, n, 3))) @ box[0]  # far outside the box, too
    found = pairs(positions, 0.6, box)
    monkeypatch.setattr(graph, "periodic_table", lambda *_: None)
    wanted = pairs(positions, 0.6, box)
    for a, b in zip(found, wanted):
        np.testing.assert_allclose(a, b, atol=1e-9)
    assert n < 400 or len(found[0]) > 1000


def test_a_crowd_gets_the_columns_it_needs():
    box = torch.eye(3, dtype=torch.float64)[None] * 5
    positions = torch.from_numpy(np.random.default_rng(0).normal(scale=0.1, size=(1, 80, 3)))
    assert len(pairs(positions, 0.9, box)[0]) == 80 * 79


def test_a_box_narrower_than_twice_the_reach_is_left_to_vesin():
    box = torch.eye(3, dtype=torch.float64)[None]
    positions = torch.zeros(1, 2, 3, dtype=torch.float64)
    assert neighbours.periodic_table(positions, 0.6, box, OUT_OF_REACH) is None


def test_positions_that_are_no_numbers_do_no_harm():
    box = torch.eye(3, dtype=torch.float64)[None] * 3
    positions = torch.from_numpy(np.random.default_rng(0).uniform(size=(1, 50, 3)))
    positions[0, ::7] = torch.tensor([torch.nan, torch.inf, 1e300])
    made = site_graph(positions, torch.zeros(50, dtype=torch.long), 0.5, box)
    assert made.neighbour_index.min() >= 0 and made.neighbour_index.max() < 50
