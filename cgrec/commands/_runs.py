"""The run and the level that a command line names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from ..chain.chain import Chain
from ..level import Level
from ..level.unfinished import way_to
from ..options import Help
from ..package import open_package
from ..run import layout

RunFolder = Annotated[str, Help(says="folder of a run")]
RunOrPackage = Annotated[str, Help(says="folder of a run, or a package (x.cgrec)")]
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


def level_of(command: str, run: str, level: int, *, packed: bool = False) -> Level:
    """A level of a run.

    Args:
        command: for messages.
        run: its folder.
        level: number.
        packed: `run` may be a package as well: the command changes nothing in it.

    Raises:
        ValueError: no such run, or no such level in it; or a package, where that will not do.
    """
    levels = _chain(command, run, packed).levels
    found = {layout.level_number(one.folder): one for one in levels}
    if level not in found:
        known = ", ".join(map(str, found))
        later = way_to(layout.level_folder(Path(run).expanduser(), level)) if level > 0 else ""
        raise ValueError(
            f"{command}: expected level= one of {known} in {run}, found {level}"
            + (f": {later}" if later else "")
        )
    return found[level]


def _chain(command: str, run: str, packed: bool) -> Chain:
    path = Path(run).expanduser()
    if not path.is_file():
        return Chain(run_folder(command, run))
    if not packed:
        raise ValueError(
            f"{command}: expected run= the folder of a run, which it writes to, found the file "
            f"{run}; packages can be exported and run"
        )
    return open_package(path)
