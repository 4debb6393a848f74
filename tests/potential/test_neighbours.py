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
    # far outside the box, too
    positions = torch.from_numpy(rng.uniform(-2, 3, size=(2, n, 3))) @ box[0]
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


def crowd(n, frames=3):
    """Sites in a ball and some far away, where two of them meet; one that is no number."""
    x = np.random.default_rng(n).normal(scale=0.15 * n ** (1 / 3), size=(frames, n, 3))
    x[:, -1] = x[:, n // 2] + 500.0
    x[:, 1] = x[:, -1] + 0.1
    x[1, n // 3] = [np.nan, np.inf, 1e300]
    return torch.from_numpy(x)


def all_distances(positions, reach):
    """Neighbours of each site of each frame in the order of their numbers."""
    x = positions.numpy()
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.linalg.norm(x[:, :, None] - x[:, None], axis=-1) < reach
    near[:, np.arange(x.shape[1]), np.arange(x.shape[1])] = False
    return [np.flatnonzero(row) + f * x.shape[1] for f, frame in enumerate(near) for row in frame]


@pytest.mark.parametrize("way", ["one cell", "cells", "all distances", "vesin"])
@pytest.mark.parametrize("n", [40, 166, 700])
def test_open_systems_have_the_pairs_of_all_distances_in_order(n, way, monkeypatch):
    compiled = way in ("one cell", "cells")
    if compiled and neighbours._library() is None:
        pytest.skip("no C++ compiler")
    monkeypatch.setattr(neighbours, "FEW", 1 if way == "cells" else 10**6)
    monkeypatch.setattr(graph, "DENSE_SITES", 1 if way == "vesin" else 10**6)
    monkeypatch.setattr(graph, "DENSE_DISTANCES", 2 * n**2)  # two portions
    if not compiled:
        monkeypatch.setattr(graph, "open_table", lambda *_: None)
    positions = crowd(n)
    wanted = all_distances(positions, 0.5)
    made = site_graph(positions, torch.zeros(n, dtype=torch.long), 0.5)
    slots = max(map(len, wanted))
    assert made.neighbour_index.shape[1] == slots and sum(map(len, wanted)) > 5 * n
    for site, (index, shift, near) in enumerate(
        zip(made.neighbour_index, made.neighbour_shift, wanted)
    ):
        np.testing.assert_array_equal(index[: len(near)], near)
        assert bool((index[len(near) :] == site).all()) and not shift[: len(near)].any()
        assert bool((shift[len(near) :] == torch.tensor([OUT_OF_REACH, 0, 0])).all())


def test_an_open_table_is_written_over_while_it_is_wide_enough():
    if neighbours._library() is None:
        pytest.skip("no C++ compiler")
    species, x = torch.zeros(200, dtype=torch.long), crowd(200)
    made = site_graph(x, species, 0.5)
    table = made.neighbour_index
    wanted = site_graph(1.2 * x, species, 0.5)
    wider = site_graph(1.2 * x, species, 0.5, None, made)
    assert wider.neighbour_index is table
    np.testing.assert_array_equal(
        wider.neighbour_index[:, : wanted.neighbour_index.shape[1]], wanted.neighbour_index
    )
    denser = site_graph(0.8 * x, species, 0.5, None, wider)
    assert denser.neighbour_index.shape[1] > table.shape[1]
    np.testing.assert_array_equal(
        denser.neighbour_index, site_graph(0.8 * x, species, 0.5).neighbour_index
    )


@pytest.mark.parametrize(
    "positions", [np.zeros((2, 50, 3)), np.full((2, 50, 3), np.nan), 1e9 * np.eye(50)[None, :, :3]]
)
def test_open_systems_at_one_place_at_none_and_everywhere(positions, monkeypatch):
    if neighbours._library() is None:
        pytest.skip("no C++ compiler")
    monkeypatch.setattr(neighbours, "FEW", 1)
    made = site_graph(torch.from_numpy(positions), torch.zeros(50, dtype=torch.long), 0.5)
    wanted = [len(near) for near in all_distances(torch.from_numpy(positions), 0.5)]
    assert (made.neighbour_shift[..., 0] == 0).sum(1).tolist() == wanted
