"""The run and the level that a command line names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ..chain.chain import Chain
from ..level import Level
from ..options import Help
from ..run import layout

RunFolder = Annotated[str, Help(says="folder of a run")]
LevelNumber = Annotated[
    int, Help(says="number of a level: 1, l1 and level1 are the same", level=True)
]


def run_folder(command: str, folder: str) -> Path:
    """The folder of a run.

    Raises:
        ValueError: there is none, or nothing of a climb in it.
    """
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise ValueError(
            f"{command}: expected run= the folder of a run, found no such run: {folder}"
        )
    if not layout.level_folder(path, 0).is_dir():
        raise ValueError(
            f"{command}: expected run= a folder that cgrec climb made, found no level0 in "
            f"{folder}; climb first, or choose another run"
        )
    return path


def level_of(command: str, run: str, level: int) -> Level:
    """A level of a run.

    Raises:
        ValueError: no such run, or no such level in it.
    """
    levels = Chain(run_folder(command, run)).levels
    if not 0 <= level < len(levels):
        known = ", ".join(map(str, range(len(levels))))
        raise ValueError(f"{command}: expected level= one of {known} in {run}, found {level}")
    return levels[level]
