"""The closest two sites of every frame, against all distances to all images."""

import itertools

import numpy as np
import pytest

from cgrec.frames import Frames
from cgrec.io import nearest, plausibility
from cgrec.io.nearest import NearestSites
from cgrec.native import NoKernel
from cgrec.remarks import Remark
from cgrec.system import System

SKEW = np.array([[2.0, 0, 0], [0.9, 1.8, 0], [-0.7, 0.6, 2.2]])
#: sites, box, width of space they fill (nm), covalent radius
CASES = {
    "liquid": (300, np.eye(3) * 2.5, 2.5, 0.03),
    "wrapped far away": (200, np.eye(3) * 2.5, 400.0, 0.03),
    "skew": (200, SKEW, 3.0, 0.03),
    "narrow": (12, np.eye(3) * 0.8, 0.8, 0.05),
    "beads": (60, np.eye(3) * 4.0, 4.0, 0.0),
    "open": (250, None, 2.0, 0.03),
    "open, few": (20, None, 30.0, 0.03),
    "open, wide": (250, None, 1e6, 0.03),
    "large ions": (40, np.eye(3) * 4.0, 4.0, 0.24),
}


def all_distances(x, box):
    """(n_sites, n_sites) nm of one frame, the nearest image."""
    vectors = x[:, None].astype(float) - x
    if box is not None:
        vectors -= np.rint(vectors @ np.linalg.inv(box)) @ box
    images = (
        [np.zeros(3)]
        if box is None
        else [np.array(k) @ box for k in itertools.product((-1, 0, 1), repeat=3)]
    )
    r = np.min([np.linalg.norm(vectors + shift, axis=-1) for shift in images], axis=0)
    np.fill_diagonal(r, np.inf)
    return r


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_every_frame_against_all_distances(name, compiled, monkeypatch):
    n, box, width, radius = CASES[name]
    if compiled and nearest._library() is None:
        pytest.skip("no compiler here")
    rng = np.random.default_rng(1)
    x = (width * rng.random((12, n, 3))).astype(np.float32 if n % 3 else float)
    boxes = None if box is None else box * (1 + 0.05 * rng.random((12, 1, 1)))
    radii = np.where(rng.random(n) < 0.7, radius, 0.0)
    found = NearestSites(radii, 0.6, 10**9 if compiled else 0)(x, boxes)
    both = (radii[:, None] > 0) & (radii > 0)
    with np.errstate(divide="ignore"):
        total = np.where(both, radii[:, None] + radii, 0.0)
    seen = 0
    for t in range(12):
        r = all_distances(x[t], None if boxes is None else boxes[t])
        limit = np.inf if box is None and n <= 40 else 0.5
        expected = r.min() if r.min() < limit else np.inf
        assert found.distances[t] == pytest.approx(expected, rel=1e-4 * max(1, width / 100))
        if np.isfinite(expected):
            assert r[tuple(found.pairs[t])] == pytest.approx(
                expected, rel=1e-4 * max(1, width / 100)
            )
        ratio = np.where(both, r / np.maximum(total, 1e-12), np.inf).min()
        assert (found.ratios[t] < 0.6) == (ratio < 0.6)
        if ratio < 0.6:
            seen += 1
            assert found.ratios[t] == pytest.approx(ratio, rel=1e-4 * max(1, width / 100))
            assert both[tuple(found.tight[t])]
    assert seen or name in ("beads", "open, few", "open, wide")


def beads(n_frames: int) -> Frames:
    """200 beads that keep 0.3 nm apart, in a box."""
    rng = np.random.default_rng(3)
    side = np.stack(np.meshgrid(*[np.arange(6)] * 3, indexing="ij"), -1).reshape(-1, 3)[:200] * 0.5
    x = side + 0.1 * rng.random((n_frames, 200, 3)) - 0.05
    system = System(names=("B",) * 200, masses=np.full(200, 72.0))
    return Frames(system, x.astype(np.float32), 300.0, box=np.eye(3) * 3.0)


def test_one_frame_in_thousands_is_found():
    frames = beads(4000)
    frames.positions[3777, 17] = frames.positions[3777, 90] + 0.02
    if nearest._library() is None:
        pytest.skip("no compiler here")
    assert [b.number for b in plausibility.bad_frames(frames)] == [3777]


def test_without_a_compiler_a_share_is_searched_and_said(monkeypatch):
    def none(source):
        raise NoKernel("no C++ compiler found")

    monkeypatch.setattr("cgrec.native.native_library", none)
    monkeypatch.setattr(plausibility, "SLOW_BUDGET", 10_000)
    monkeypatch.setattr(nearest, "SLOW_BUDGET", 10_000)
    nearest._library.cache_clear()
    frames = beads(200)
    frames.positions[120, 17] = frames.positions[120, 90] + 0.02
    try:
        with pytest.warns(Remark) as said:
            found = plausibility.bad_frames(frames)
    finally:
        nearest._library.cache_clear()
    assert [b.number for b in found] == [120]
    assert any("40 of 200 frames" in str(w.message) for w in said)
