"""`Level`: one rung of the ladder, a folder on disk, made from the rung below by four steps: map,
fit, run, keep.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingType
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..backmapping import Backmapper
from ..corrections import FrictionRound
from ..corrections.distillation import DistillationReport
from ..frames import Frames
from ..observables.transport import Diffusion
from ..potential import Potential
from ..variables import CollectiveVariable
from .folder import LevelFolder
from .maker import claim_level, make_level
from .products import distil_level, fit_backmapper, fit_level_friction
from .recipe import LevelRecipe


class Level(LevelFolder):
    """A level that can be made, and from which a backmapper or a fast potential can be made.

    `LevelFolder` says what can be read of it.
    """

    def claim(
        self,
        recipe: LevelRecipe,
        seed: int,
        parent: str | None = None,
        above: Sequence[Path] = (),
        dry: bool = False,
    ) -> None:
        """See `cgrec.level.maker.claim_level`."""
        claim_level(self, recipe, seed, parent, above, dry)

    def make(
        self,
        parent: Frames,
        recipe: LevelRecipe,
        seed: int,
        bias: tuple[CollectiveVariable, ...] = (),
        below: MappingType[str, object] | None = None,
        identity: str | None = None,
        above: Sequence[Path] = (),
    ) -> Frames:
        """Map, fit, run, keep (`cgrec.level.maker.make_level`)."""
        return make_level(self, parent, recipe, seed, bias, below, identity, above)

    def fit_backmapper(self, below: Level, method: str = "flow", **options: object) -> Backmapper:
        """Make what brings frames of the level below back (`cgrec.level.products.fit_backmapper`)."""
        return fit_backmapper(self, below, method, **options)

    def distil(self, **options: object) -> DistillationReport:
        """Make a fast potential of its PMF (`cgrec.level.products.distil_level`)."""
        return distil_level(self, **options)

    def fit_friction(self, **options: object) -> tuple[dict[str, Diffusion], list[FrictionRound]]:
        """Find the friction with which it diffuses as its parent does
        (`cgrec.level.products.fit_level_friction`).
        """
        return fit_level_friction(self, **options)


def potential_of(level: Level) -> Potential | None:
    """Its potential, ready for many calls; None for level 0 from a file."""
    try:
        return level.potential.compiled()
    except FileNotFoundError:
        return None


def seed_of(*stream: int) -> int:
    """A seed for one (run seed, level, step) stream."""
    return int(np.random.SeedSequence(stream).generate_state(1)[0]) % (2**31)
