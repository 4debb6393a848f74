"""Groups of conformations: their shares in a level and its parent, and what is drawn."""

from pathlib import Path

import numpy as np
import pytest

from cgrec import Frames, System
from cgrec.report.conformations import GROUPS, conformations, groups_of
from cgrec.report.read import LevelFiles

CHAIN = System(
    names=["CA"] * 6,
    masses=[100.0] * 6,
    elements=["C"] * 6,
    residues=range(6),
    residue_names=["ALA"] * 6,
    bonds=[(k, k + 1) for k in range(5)],
)
#: Turns of the chain at each site, four shapes that nobody takes for each other.
SHAPES = np.radians([[0, 0, 0, 0], [90, 90, 90, 90], [90, -90, 90, -90], [0, 150, 0, 0]])


def traces(shapes, seed):
    """Frames of the chain in a plane, with a little noise, turned anyhow."""
    rng = np.random.default_rng(seed)
    turn = SHAPES[shapes] + 0.15 * rng.normal(size=(len(shapes), 4))
    direction = np.cumsum(np.concatenate([np.zeros((len(shapes), 1)), turn], 1), 1)
    step = 0.38 * np.stack([np.cos(direction), np.sin(direction), np.zeros_like(direction)], -1)
    x = np.concatenate([np.zeros((len(shapes), 1, 3)), np.cumsum(step, 1)], 1)
    angle = rng.uniform(0, 2 * np.pi, len(shapes))
    turn = np.zeros((len(shapes), 3, 3))
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(angle)
    turn[:, 0, 1], turn[:, 1, 0], turn[:, 2, 2] = -np.sin(angle), np.sin(angle), 1
    return x @ turn


def ensemble(shares, seed, weights=None):
    rng = np.random.default_rng(seed)
    shapes = rng.permutation(np.repeat(np.arange(4), shares))
    given = None if weights is None else np.array(weights)[shapes]
    return Frames(CHAIN, traces(shapes, seed), 300.0, weights=given), shapes


def level(own, parent):
    return LevelFiles(number=1, folder=Path("level1"), frames=own, targets=parent)


def test_each_group_has_its_share_in_the_level_and_in_its_parent():
    own, _ = ensemble([600, 300, 100, 0], 1)
    parent, _ = ensemble([250, 250, 250, 250], 2, weights=[2.0, 1.0, 0.6, 0.4])
    found = groups_of(level(own, parent))
    assert [g.parent[0] for g in found] == pytest.approx([0.5, 0.25, 0.15, 0.1], abs=0.01)
    assert [g.own[0] for g in found] == pytest.approx([0.6, 0.3, 0.1, 0.0], abs=0.01)
    assert 0.005 < found[0].own[1] < 0.03  # sqrt(0.6 * 0.4 / 1000) = 0.015
    ends = [np.linalg.norm(g.trace[0] - g.trace[-1]) for g in found]
    assert ends[0] == pytest.approx(5 * 0.38, abs=0.1)  # the straight one


def test_a_page_has_them_and_a_level_without_frames_or_chain_has_none():
    own, _ = ensemble([600, 300, 100, 0], 1)
    figure = conformations([level(own, own), level(None, own)])
    assert len(figure.axes) == GROUPS
    assert "± " in figure.axes[0].get_title() and "parent 60" in figure.axes[0].get_title()
    assert conformations([level(None, own), level(own, None)]) is None
    three = Frames(CHAIN.select([0, 1, 2]), own.positions[:, :3], 300.0)
    assert groups_of(level(three, three)) == []
