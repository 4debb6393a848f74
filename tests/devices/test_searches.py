"""Neighbours found by a GPU are those that the CPU finds."""

import numpy as np
import pytest
import torch

from cgrec.potential import device_neighbours
from cgrec.potential.graph import VerletList, site_graph

BOXES = {
    "cube": 2.4 * np.eye(3),
    "bricks": np.diag([2.2, 3.0, 2.6]),
    "triclinic": np.array([[2.6, 0, 0], [0.9, 2.5, 0], [-0.7, 1.0, 2.4]]),
    "dodecahedron": 2.8 * np.array([[1, 0, 0], [0, 1, 0], [0.5, 0.5, 2**-0.5]]),
}


def scattered(box, n_sites=160, n_frames=3, seed=0):
    """Sites anywhere in and around boxes that differ a little from frame to frame."""
    rng = np.random.default_rng(seed)
    boxes = np.asarray(box) * (1 + 0.03 * np.arange(n_frames))[:, None, None]
    fractions = rng.uniform(-1.0, 2.0, size=(n_frames, n_sites, 3))
    return torch.tensor(fractions @ boxes), torch.tensor(boxes)


def pairs(graph, positions):
    """{(site, neighbour, lattice vector in pm)} of pairs closer than 0.5 nm."""
    index, shift = graph.neighbour_index.cpu().numpy(), graph.neighbour_shift.cpu().numpy()
    x = positions.reshape(-1, 3).numpy()
    near = np.linalg.norm(x[index] - x[:, None] + shift, axis=-1) < 0.5
    site, slot = np.nonzero(near)
    vectors = np.round(1000 * shift[site, slot]).astype(int)
    return set(map(tuple, np.column_stack([site, index[site, slot], vectors]).tolist()))


@pytest.mark.parametrize("reach", [0.5, 0.62])
@pytest.mark.parametrize("few", [0, 1000], ids=["cells", "all pairs"])
@pytest.mark.parametrize("name", BOXES)
def test_a_box(name, few, reach, monkeypatch, device):
    monkeypatch.setattr(device_neighbours, "FEW", few)
    monkeypatch.setattr(device_neighbours, "AT_ONCE", 20_000)  # several portions
    positions, boxes = scattered(BOXES[name])
    species = torch.zeros(positions.shape[1], dtype=torch.long)
    here = site_graph(positions, species, reach, boxes)
    there = site_graph(positions.to(device), species.to(device), reach, boxes.to(device))
    assert there.neighbour_index.device == there.neighbour_shift.device == device
    wanted = pairs(here, positions)
    assert len(wanted) > 1000
    assert pairs(there, positions) == wanted


@pytest.mark.parametrize("n_sites", [20, 50])
def test_an_open_system(n_sites, device):
    positions, _ = scattered(np.eye(3), n_sites)
    species = torch.zeros(n_sites, dtype=torch.long)
    here = site_graph(positions, species, 0.5)
    there = site_graph(positions.to(device), species.to(device), 0.5)
    wanted = pairs(here, positions)
    assert pairs(there, positions) == wanted


@pytest.mark.parametrize("few", [0, 1000], ids=["cells", "all pairs"])
def test_a_site_that_is_nowhere_has_no_neighbours(few, monkeypatch, device):
    monkeypatch.setattr(device_neighbours, "FEW", few)
    positions, boxes = (v.to(device) for v in scattered(BOXES["cube"]))
    positions[1, 7] = float("nan")
    receiver, sender, _ = device_neighbours.periodic_pairs(positions, 0.5, boxes)
    lost = positions.shape[1] + 7
    assert lost not in receiver.tolist() and lost not in sender.tolist() and len(sender) > 1000


def test_neighbours_are_found_again_after_half_a_skin(traffic, device):
    positions, boxes = (v.to(device) for v in scattered(BOXES["cube"]))
    species = torch.zeros(positions.shape[1], dtype=torch.long, device=device)
    neighbours = VerletList(species, 0.6, 0.1)
    first = neighbours(positions, boxes).neighbour_index
    traffic.clear()
    near = positions.clone()
    near[0, 0, 0] += 0.049
    assert neighbours(near, boxes).neighbour_index is first
    assert traffic.stops == 1, "the one answer whether a site has moved far enough"
    near[0, 0, 0] += 0.002
    assert neighbours(near, boxes).neighbour_index is not first


def test_a_search_stays_on_the_device_and_takes_all_frames_at_once(traffic, device):
    waits = []
    for n_frames in (1, 4):
        scene = scattered(BOXES["cube"], n_frames=n_frames)
        positions, boxes = (v.to(device) for v in scene)
        species = torch.zeros(positions.shape[1], dtype=torch.long, device=device)
        traffic.clear()
        site_graph(positions, species, 0.5, boxes)
        assert traffic.to_device.total() == 0, traffic
        waits.append(traffic.stops)
    assert waits[0] == waits[1], "whatever the number of frames"
