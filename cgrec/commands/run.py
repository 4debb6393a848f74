"""the potential of a finished level at work: longer, in another box, from other starts"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from ..chain.at_work import compared, lines, variables_of
from ..level.at_work import run_level
from ..options import Help, Keywords
from ..run.digests import keep_remarks
from ..run.lock import only_here
from ._runs import LevelNumber, RunOrPackage, level_of


@dataclass(frozen=True, kw_only=True)
class Run:
    """Run a finished level again; what is not given is as in the run of the level. The guard watches
    it. The same command goes on after a kill, and with a larger length makes the run longer.

    Leaves frames/, report.json (distributions, basins, g(r) beside those of the level's own run, with
    errors) and run.png in the folder to=, by default beside the run.

    Example:
        cgrec run run=runs/alanine_dipeptide level=2 length=100
        cgrec run run=water.cgrec level=1 box=3.7 n_replicas=4 to=larger
        cgrec run run=runs/water level=1 start=mine.gro temperature=310
    """

    run: RunOrPackage
    level: LevelNumber
    to: Annotated[
        str, Help(says="folder of the run; empty: NAME_levelN_run beside the run or package NAME")
    ] = ""
    options: Annotated[Mapping[str, Any], Keywords(run_level)] = field(default_factory=dict)

    def __call__(self) -> str:
        """Run, compare, draw; returns what is printed."""
        level = level_of("cgrec run", self.run, self.level, packed=True)
        folder = Path(self.to) if self.to else self._beside()
        frames = run_level(level, folder, **self.options)
        with only_here(folder), keep_remarks(folder):
            report = compared(level, frames, folder)
        from ..report.at_work import draw_run

        picture = draw_run(folder / "run.png", frames, level.frames, variables_of(level))
        said = lines(report)
        made = f"{folder}: frames/, report.json" + (", run.png" if picture else "")
        return "\n".join([*said, made])

    def _beside(self) -> Path:
        own = Path(self.run).expanduser().absolute()
        return own.with_name(f"{own.name.removesuffix('.cgrec')}_level{self.level}_run")
