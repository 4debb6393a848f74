"""a level, or all levels up to it, as one file to keep and to give to others"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from ..options import Help, Keywords
from ..package import open_package, pack
from ..verdict import word_in
from ._runs import RunFolder, run_folder


@dataclass(frozen=True, kw_only=True)
class Package:
    """Pack the levels of a run into one file, a zip without pickle: potential, guard, mapping,
    backmapper, some frames, verdict, ledger, recipe, and a model card (card.html inside).

    cgrec.load reads it in Python; cgrec export and cgrec run take it as run=.

    Example:
        cgrec package run=runs/alanine_dipeptide to=ala2.cgrec
        cgrec package run=runs/water level=1 alone=true license=MIT to=water.cgrec
    """

    run: RunFolder
    to: Annotated[str, Help(says="the new file, x.cgrec")]
    level: Annotated[
        int | None, Help(says="number of the highest level; null: the last one", level=True)
    ] = None
    options: Annotated[Mapping[str, Any], Keywords(pack)] = field(default_factory=dict)

    def __call__(self) -> str:
        folder = run_folder("cgrec package", self.run)
        path = pack(folder, self.to, self.level, **self.options)
        size = path.stat().st_size / 1e6
        verdicts = ", ".join(
            f"level {entry['number']} {word_in(entry) or 'without a verdict'}"
            for entry in open_package(path).about.levels
        )
        return f"{path}: {size:.2f} MB; {verdicts}"
