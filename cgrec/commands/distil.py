"""a fast potential of two- and three-body splines in place of a level's network"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from ..corrections.distillation import distil
from ..options import Keywords
from ._runs import LevelNumber, RunFolder, level_of


@dataclass(frozen=True, kw_only=True)
class Distil:
    """Distil the potential of a level, and say what was lost.

    Leaves distilled.pt and distilled.json in the level's folder.

    Example:
        cgrec distil run=runs/water level=1
        cgrec distil run=runs/water level=1 three_cutoff=0.45 three_spacing=0.06
    """

    run: RunFolder
    level: LevelNumber
    options: Annotated[Mapping[str, object], Keywords(distil)] = field(default_factory=dict)

    def __call__(self) -> str:
        level = level_of("cgrec distil", self.run, self.level)
        report = level.distil(**self.options)
        triples = "none"
        if report.three_cutoff:
            triples = f"to {report.three_cutoff} nm, knots {report.three_spacing} nm apart"
        explained = (100 * report.explained_fraction, 100 * report.explained_fraction_of_all)
        return (
            f"{level.folder / 'distilled.pt'}: {', '.join(report.replaced)} -> UF3Potential "
            f"(three-body term: {triples}) and "
            f"{report.n_torsion_terms} torsion terms; kept: {', '.join(report.kept) or 'nothing'}\n"
            f"on {report.n_held_out} held-out frames: force error {report.force_rmse:.3g} "
            f"kJ/mol/nm, {explained[0]:.2f}% of what was "
            f"replaced and {explained[1]:.2f}% of all explained; energy "
            f"error {report.energy_error:.3g} of {report.energy_spread:.3g} kJ/mol"
        )
