"""Contact maps and g(r), and the frames behind a point of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..files import Json
from ..frames import Frames
from ..observables import radial_distributions
from ..observables.liquid import compared_range
from ..observables.pair_counts import pair_rows
from ..report.contacts import maps_of
from ..report.read import LevelFiles, RunFiles, thin
from ..trace import longest_chain
from ..variables import ContactMap
from .landscapes import heaviest_first

#: Frames that g(r) is drawn from, and that are searched for pairs in a shell.
MOST_FRAMES = 400
#: Frames that a contact map is counted from: shares are sure to some percent.
MOST_MAPPED = 2000
#: Share of the frames that count as those with most pairs in a shell.
FULLEST = 0.05


def contacts(run: RunFiles, number: int) -> Json:
    """Share of frames in which each two sites of the chain touch, of a level and of its parent;
    null where two are too near along the chain to say anything. `sites` are their indices.

    Raises:
        ValueError: no such level, or it has no chain of that length.
    """
    level = _level(run, number)
    found = maps_of(replace(level, frames=_few(level.frames), targets=_few(level.targets)))
    if found is None or level.frames is None:
        raise ValueError(
            f"{level.name}: expected a chain of some sites, found none: no contact map"
        )
    system = level.frames.system
    chain = longest_chain(system)
    return {
        "labels": [system.full_labels[site] for site in chain],
        "cutoff": ContactMap().cutoff,
        "own": _or_null(found.own),
        "parent": None if found.parent is None else _or_null(found.parent),
    }


def near_pairs(frames: Frames, first: int, second: int) -> NDArray[np.int64]:
    """Frames in which two sites of the chain touch, the heaviest first.

    Raises:
        ValueError: no such sites.
    """
    chain = longest_chain(frames.system)
    if not (0 <= first < len(chain) and 0 <= second < len(chain)):
        raise ValueError(f"sites: expected 0 to {len(chain) - 1}, found {first} and {second}")
    ends = frames.positions[:, [chain[first], chain[second]]]
    far = np.linalg.norm(np.asarray(ends[:, 0] - ends[:, 1], float), axis=1)
    return heaviest_first(frames, far < ContactMap().cutoff)


def shells(run: RunFiles, number: int) -> Json:
    """g(r) of every two types between molecules, of a level and of its targets; r in nm.

    Raises:
        ValueError: no such level, or one without a box.
    """
    level = _level(run, number)
    own, targets = level.frames, level.targets
    if own is None or own.box is None:
        raise ValueError(f"{level.name}: expected frames in a box, found none: no g(r)")
    both = {"own": own} | ({"parent": targets} if targets is not None and number else {})
    drawn = {name: radial_distributions(thin(frames, MOST_FRAMES)) for name, frames in both.items()}
    return {
        "curves": [
            {
                "types": list(g.types),
                "r": g.r.round(4).tolist(),
                **{
                    name: next(o for o in found if o.types == g.types).g.round(4).tolist()
                    for name, found in drawn.items()
                },
            }
            for g in drawn["own"]
        ]
    }


def with_pairs_in(
    frames: Frames, types: tuple[str, str], low: float, high: float
) -> NDArray[np.int64]:
    """The frames, of some hundred, with most pairs of two types between molecules in a shell, the
    fullest first.

    Args:
        frames: in a box.
        types: of the two sites.
        low, high: nm.

    Raises:
        ValueError: no box, no such types, or a shell that is none or reaches beyond half the box.
    """
    unknown = [kind for kind in types if kind not in frames.system.types]
    if unknown:
        raise ValueError(f"types: expected those of sites of this level, found {unknown[0]!r}")
    reach = compared_range(frames)
    if not 0 <= low < high <= reach:
        raise ValueError(
            f"shell: expected 0 <= low < high <= {reach:.3g} nm, found {low} to {high}"
        )
    looked = np.linspace(0, len(frames) - 1, min(MOST_FRAMES, len(frames))).astype(int)
    rows, _ = pair_rows(frames[looked], types[:1], types[1:], np.array([low, high]), True)
    fullest = np.argsort(-rows.sum(1), kind="stable")
    return looked[fullest[: max(1, round(FULLEST * len(looked)))]]


def _level(run: RunFiles, number: int) -> LevelFiles:
    for level in run.levels:
        if level.number == number:
            return level
    raise ValueError(f"level: expected 0 to {len(run.levels) - 1}, found {number}")


def _few(frames: Frames | None) -> Frames | None:
    return None if frames is None else thin(frames, MOST_MAPPED)


def _or_null(values: NDArray[np.float64]) -> list[list[float | None]]:
    return [[round(x, 4) if np.isfinite(x) else None for x in row] for row in values.tolist()]
