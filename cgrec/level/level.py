"""`Level`: one rung of the ladder, a folder on disk, made from the rung below by four steps: map,
fit, run, keep.
"""

from __future__ import annotations

import numpy as np

from ..devices import resolved
from ..potential import Potential
from .at_work import run_level
from .folder import LevelFolder
from .maker import claim_level, make_level
from .products import distil_level, fit_backmapper, fit_level_friction
from .seen import html, line


class Level(LevelFolder):
    """A level that can be made, and from which a backmapper or a fast potential can be made.

    `LevelFolder` says what can be read of it.
    """

    claim = claim_level
    make = make_level
    fit_backmapper = fit_backmapper
    distil = distil_level
    fit_friction = fit_level_friction
    run = run_level
    __repr__ = line
    _repr_html_ = html


def potential_of(level: Level) -> Potential | None:
    """Its potential, ready for many calls; None for level 0 from a file."""
    try:
        return level.potential.to(resolved()).compiled()
    except FileNotFoundError:
        return None


def seed_of(*stream: int) -> int:
    """A seed for one (run seed, level, step) stream."""
    return int(np.random.SeedSequence(stream).generate_state(1)[0]) % (2**31)
