"""the friction with which a level diffuses as its parent does"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from ..level.products import fit_level_friction
from ..options import Keywords
from ._runs import LevelNumber, RunFolder, level_of


@dataclass(frozen=True, kw_only=True)
class Friction:
    """Fit the friction of a level's site types to the diffusion of its parent.

    Leaves friction/ and friction.json in the level's folder.

    Example:
        cgrec friction run=runs/water level=1 interval=0.1
    """

    run: RunFolder
    level: LevelNumber
    options: Annotated[Mapping[str, Any], Keywords(fit_level_friction)] = field(
        default_factory=dict
    )

    def __call__(self) -> str:
        level = level_of("cgrec friction", self.run, self.level)
        wanted, rounds = fit_level_friction(level, **self.options)
        lines = []
        for kind, d in wanted.items():
            value, error = rounds[-1].diffusion[kind]
            lines.append(
                f"{kind}: parent D = {1e3 * d.value:.3f} +- {1e3 * d.error:.3f}, level "
                f"{1e3 * value:.3f} +- {1e3 * error:.3f} 1e-9 m^2/s "
                f"at friction {rounds[-1].friction[kind]:.3g}/ps"
            )
        return "\n".join(lines)
