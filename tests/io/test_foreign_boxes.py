"""Single frames with the box of another: cgrec/io/foreign_boxes.py."""

from dataclasses import replace

import numpy as np
import pytest

from cgrec.frames import Frames
from cgrec.io import read
from cgrec.io.findings import recorded
from cgrec.io.foreign_boxes import foreign_boxes
from cgrec.remarks import Remark
from cgrec.system import System

EDGE = 2.0


def boxes(edge: np.ndarray) -> Frames:
    """One bead in cubes of these edges, (n_frames,) nm."""
    system = System(names=("W",), masses=[18.0])
    return Frames(system, np.zeros((len(edge), 1, 3)), 300.0, box=edge[:, None, None] * np.eye(3))


@pytest.mark.parametrize("share", ["one", "every tenth"])
@pytest.mark.parametrize("fluctuation", [0.0, 0.004])
def test_boxes_of_other_frames_are_counted_and_named(share, fluctuation):
    rng = np.random.default_rng(0)
    edge = EDGE * (1 + fluctuation * rng.normal(size=200))
    frames = boxes(edge)
    assert foreign_boxes(frames) == ""
    foreign = [77] if share == "one" else list(range(3, 200, 10))
    edge[foreign] *= 1.05
    said = foreign_boxes(boxes(edge))
    assert f"{len(foreign)} of 200 frames have a box" in said and f"frame {foreign[0]}:" in said


def test_a_foreign_box_stands_out_where_boxes_move_slowly():
    noise = np.random.default_rng(0).normal(size=300)
    edge = EDGE + 0.002 * np.cumsum(noise)
    assert foreign_boxes(boxes(edge)) == ""
    edge[150] *= 1.02
    assert (
        "1 of 300 frames have a box that is not that of the others, the first is frame 150"
        in foreign_boxes(boxes(edge))
    )


def moves(n: int, accepted: float, seed: int) -> np.ndarray:
    """Edges of a barostat whose moves are accepted now and then."""
    rng = np.random.default_rng(seed)
    edge = np.full(n, EDGE)
    for k in range(1, n):
        edge[k] = EDGE * (1 + 0.01 * rng.normal()) if rng.random() < accepted else edge[k - 1]
    return edge


VALID = {
    "of many states": lambda n, rng: rng.choice([2.0, 2.1, 2.3, 2.7], n),
    "of two states": lambda n, rng: rng.choice([2.0, 2.1], n),
    "growing": lambda n, rng: np.linspace(2.0, 2.5, n),
    "swinging": lambda n, rng: EDGE * (1 + 0.01 * np.sin(0.7 * np.arange(n))),
    "independent": lambda n, rng: EDGE * (1 + 0.01 * rng.normal(size=n)),
    "moved now and then": lambda n, rng: moves(n, 0.2, int(rng.integers(1000))),
    "moved often": lambda n, rng: moves(n, 0.6, int(rng.integers(1000))),
    "two runs": lambda n, rng: np.repeat([2.0, 2.1], [n // 2, n - n // 2]),
    "last tenth another": lambda n, rng: np.repeat([2.0, 2.1], [n - n // 10, n // 10]),
}


@pytest.mark.parametrize("name", VALID)
@pytest.mark.parametrize("n", [50, 300, 3000])
def test_boxes_that_change_on_purpose_are_let_through(name, n):
    rng = np.random.default_rng(n)
    for _ in range(20):
        assert foreign_boxes(boxes(VALID[name](n, rng))) == ""


def test_an_open_system_and_one_box_say_nothing():
    frames = boxes(np.full(50, EDGE))
    assert (
        foreign_boxes(replace(frames, box=None)) == ""
        and foreign_boxes(replace(frames, box=np.eye(3))) == ""
    )


def test_read_says_it_and_keeps_it(tmp_path):
    edge = np.full(60, EDGE)
    edge[7] *= 1.02
    path = tmp_path / "a.npz"
    x = np.random.default_rng(0).random((60, 4, 3))
    box = edge[:, None, None] * np.eye(3)
    np.savez(path, positions=x, species=np.array(["W"] * 4), box=box)
    with (
        recorded() as found,
        pytest.warns(Remark, match="the first is frame 7: 2.04 x 2.04 x 2.04 nm"),
    ):
        read(path, temperature=300, length_unit="nm", masses={"W": 18.0})
    assert found["box"][0]["file"] == "a.npz" and "1 of 60 frames" in found["box"][0]["finding"]
