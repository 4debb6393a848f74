"""What would be better data: more frames, a longer run, a wider box."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..cell import minimum_image
from ..frames import Frames
from ..io.hypervirial import Molecules
from ..statistics import statistical_inefficiency
from ..trace import longest_chain
from .ladder import Rung, Situation
from .sizes import half_box

#: Frames that a level is fitted to, and independent ones among them, below which more are asked for.
FEW_FRAMES, FEW_INDEPENDENT = 1000, 100


def better(frames: Frames, situation: Situation, rungs: Sequence[Rung]) -> list[str]:
    """In sentences; none of a structure that has not been run.

    Args:
        frames: without the solvent that is left out.
        situation: of them.
        rungs: of the ladder, with their settings.
    """
    if frames.forces is None:
        return []
    said = []
    if len(frames) < FEW_FRAMES:
        said.append(f"{FEW_FRAMES} frames or more; noise of forces falls with their number")
    independent = _independent(frames, situation)
    if independent is not None and independent < FEW_INDEPENDENT:
        said.append(
            f"a longer run: in the distance of the ends of its chain these frames are worth "
            f"{independent:.0f} independent ones, {FEW_INDEPENDENT} are asked for"
        )
    if situation.dense and frames.box is not None:
        moved, apart = _way_of_a_molecule(frames)
        if moved < apart:
            said.append(
                f"a longer run: from its first frame to its last a molecule moved {moved:.2g} nm, "
                f"and has a neighbour every {apart:.2g} nm: it has seen one surrounding only"
            )
    if frames.box is not None and rungs[0].settings["potential"]["cutoff"] > half_box(frames) - 0.1:
        said.append("a wider box: the reach of the network ends at half of this one")
    return said


def _independent(frames: Frames, situation: Situation) -> float | None:
    """Independent frames in the distances of the ends of the largest molecules; None for small
    ones.
    """
    if situation.largest.n_heavy < 4:
        return None
    system = frames.system
    chain = longest_chain(system)
    if len(chain) < 4:
        return None
    x = np.asarray(frames.positions[:, [chain[0], chain[-1]]], float)
    ends = np.linalg.norm(x[:, 0] - x[:, 1], axis=-1)
    inefficiency = statistical_inefficiency(ends, frames.replicas)
    return len(frames) / inefficiency * (situation.largest.count if situation.dense else 1)


def _way_of_a_molecule(frames: Frames) -> tuple[float, float]:
    """nm that the centre of a molecule moved from the first frame of a run to its last, root of the
    mean square, each by its nearest image; and the edge of the cube that it has to itself. Of
    images half a box at most is seen, so that edge is no more than 0.4 of it.
    """
    boxes = np.asarray(frames.boxes(), float)
    molecules = Molecules(frames.system)
    edge = float(np.abs(np.linalg.det(boxes)).mean()) ** (1 / 3)
    apart = min(edge / len(molecules.species) ** (1 / 3), 0.4 * edge)
    squares = []
    n_replicas = 1 if frames.replicas is None else len(np.unique(frames.replicas))
    for run in frames.block_indices(n_replicas):
        first, last = molecules.centres(frames.positions[[run[0], run[-1]]])
        way = minimum_image(last - first, boxes[run[-1]])
        way -= way.mean(0)  # the box as a whole may drift
        squares.append((way**2).sum(-1).mean())
    return float(np.sqrt(np.mean(squares))), apart
