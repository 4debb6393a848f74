"""Another box of a liquid at the same density."""

import numpy as np
import pytest
from samples import water_box

from cgrec import Frames, System
from cgrec.level.larger import filled, repeated
from cgrec.remarks import Remark


def argon(n=4, frames=3, edge=2.0):
    """A disturbed lattice of lone sites."""
    rng = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), -1).reshape(-1, 3) + 0.5
    x = grid * edge / n + 0.02 * rng.normal(size=(frames, n**3, 3))
    system = System(names=("AR",) * n**3, masses=np.full(n**3, 40.0))
    return Frames(system, x, 120.0, box=edge * np.eye(3))


def nearest(x, edge):
    """nm between two sites, images counted."""
    step = x[:, None] - x
    step -= edge * np.rint(step / edge)
    distance = np.linalg.norm(step, axis=-1)
    return distance[np.triu_indices(len(x), 1)].min()


def test_whole_numbers_of_boxes_repeat_every_frame():
    small = argon()
    large = filled(small, [4.0])
    assert large.n_sites == 8 * small.n_sites and len(large) == len(small)
    np.testing.assert_allclose(large.box, 4.0 * np.eye(3))
    for k in range(3):
        for i in range(8):
            shift = large.positions[k, 64 * i : 64 * (i + 1)] - small.positions[k]
            np.testing.assert_allclose(shift, shift[:1] * np.ones((64, 1)), atol=1e-12)
        assert nearest(large.positions[k], 4.0) == pytest.approx(nearest(small.positions[k], 2.0))


def test_boxes_that_vary_are_repeated_each_with_its_own():
    small = argon()
    boxes = np.array([1.0, 1.01, 1.02])[:, None, None] * small.box
    varied = Frames(small.system, small.positions, 120.0, box=boxes)
    large = repeated(varied, (2, 1, 1))
    np.testing.assert_allclose(large.box[:, 0, 0], 2 * boxes[:, 0, 0])
    np.testing.assert_allclose(
        large.positions[:, 64:, 0] - large.positions[:, :64, 0],
        np.broadcast_to(boxes[:, :1, 0], (3, 64)),
    )


@pytest.mark.parametrize(
    ("edges", "shorter"), [([3.1], 0.08), ([1.3, 2.7, 3.3], 0.15), ([1.5], 0.15)]
)
def test_any_box_has_the_old_density_and_no_new_contact(edges, shorter):
    small = argon()
    with pytest.warns(Remark, match="molecules fit, and at their density the edges are"):
        cut = filled(small, edges)
    volume = float(np.linalg.det(cut.box))
    assert cut.n_sites / volume == pytest.approx(64 / 8.0, rel=1e-9)
    wanted = np.broadcast_to(edges, 3)
    assert np.abs(np.diag(cut.box) / wanted - 1).max() < shorter
    edge = np.diag(cut.box)
    shrunk = (edge / wanted).min()  # sites move with the box
    assert nearest(cut.positions[0], edge) > shrunk * nearest(small.positions[0], 2.0) - 1e-9


def test_molecules_stay_whole_and_rigid():
    small = water_box(n_frames=2, wrapped=True)
    cut = filled(small, [1.4])
    assert cut.n_sites % 3 == 0 and len(cut.system.bonds) == 2 * cut.n_sites // 3
    bonds = cut.system.bonds
    length = np.linalg.norm(cut.positions[0, bonds[:, 0]] - cut.positions[0, bonds[:, 1]], axis=-1)
    np.testing.assert_allclose(length, 0.0957, atol=2e-4)
    n, volume = cut.n_sites / 3, float(np.linalg.det(cut.box))
    assert n / volume == pytest.approx(27 / 0.93**3, rel=1e-9)


@pytest.mark.parametrize(
    ("frames", "edges", "message"),
    [
        (argon(), [0.0], "box.*above 0|box"),
        (argon(), [1.0, 2.0], r"expected one edge in nm, or three, found \[1.0, 2.0\]"),
        (argon(), [0.05], "expected edges that hold a molecule"),
        (Frames(argon().system, argon().positions, 120.0), [3.0], "found no box"),
    ],
)
def test_what_makes_no_box_is_refused(frames, edges, message):
    with pytest.raises(ValueError, match=message):
        filled(frames, edges)


def test_a_slanted_box_is_refused():
    slanted = 2.0 * np.eye(3)
    slanted[1, 0] = 0.3
    with pytest.raises(ValueError, match="found a slanted one"):
        filled(Frames(argon().system, argon().positions, 120.0, box=slanted), [3.0])
