"""Periodic boxes against brute force over lattice vectors."""

import itertools

import numpy as np
import pytest

from cgrec.bonds import neighbours
from cgrec.cell import lattice_steps, make_whole, minimum_image, widths

CUBE = np.diag([2.0, 3.0, 4.0])
TILTED = np.array([[3.0, 0.0, 0.0], [1.0, 2.8, 0.0], [-0.8, 0.9, 2.5]])


def test_widths_of_a_box_with_right_angles_are_its_edges():
    assert np.allclose(widths(CUBE), [2, 3, 4])


@pytest.mark.parametrize("box", [CUBE, TILTED], ids=["cube", "tilted"])
def test_widths_are_volume_over_face(box):
    faces = [np.linalg.norm(np.cross(box[k - 2], box[k - 1])) for k in range(3)]
    assert np.allclose(widths(box), np.linalg.det(box) / faces)
    assert np.allclose(widths(np.stack([box, 2 * box])), [widths(box), 2 * widths(box)])


@pytest.mark.parametrize("box", [CUBE, TILTED], ids=["cube", "tilted"])
def test_short_vectors_come_back_from_any_image(box):
    rng = np.random.default_rng(1)
    short = rng.normal(size=(200, 3))
    short *= (
        0.49 * widths(box).min() * rng.random((200, 1)) / np.linalg.norm(short, axis=1)[:, None]
    )
    steps = rng.integers(-3, 4, (200, 3))
    assert np.allclose(minimum_image(short + steps @ box, box), short)
    assert (lattice_steps(short + steps @ box, box) == steps).all()
    images = [np.array(s) @ box for s in itertools.product((-1, 0, 1), repeat=3)]
    lengths = np.linalg.norm(short[:, None] + images, axis=-1)
    assert np.allclose(lengths.min(1), np.linalg.norm(short, axis=1))


def test_without_a_box_nothing_moves():
    vectors = np.array([[9.0, 9.0, 9.0]])
    assert minimum_image(vectors, None) is vectors


@pytest.mark.parametrize("several", [False, True], ids=["one box", "a box for each frame"])
def test_a_wrapped_ring_is_whole_again(several):
    """Every bond as long as it was, and the first site where it lay."""
    rng = np.random.default_rng(2)
    angle = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    ring = 0.5 * np.stack([np.cos(angle), np.sin(angle), 0 * angle], -1)
    frames = ring + rng.random((4, 1, 3)) * 3
    box = np.stack([TILTED * s for s in (1.0, 1.05, 1.1, 1.2)]) if several else TILTED
    wrapped = frames - np.floor(frames @ np.linalg.inv(box)) @ box
    pairs = [(k, (k + 1) % 6) for k in range(6)]
    whole = make_whole(wrapped, neighbours(6, pairs), np.array([0]), box)
    assert np.allclose(whole[:, 0], wrapped[:, 0])
    assert np.allclose(whole - whole[:, :1], frames - frames[:, :1])
    assert not np.allclose(wrapped - wrapped[:, :1], frames - frames[:, :1])
