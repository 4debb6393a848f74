"""Files from the page: streamed to the disk, no larger than allowed, under names that cannot lead
elsewhere.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from ..setup.molecules import COORDINATES

#: Bytes of a file: a trajectory of a hundred thousand atoms and a thousand frames with forces.
MOST = 4 * 2**30
#: Bytes that stay free on the disk.
SPARE = 2**30
#: Endings of files that commands write beside those that were sent.
OWN = (".yaml", ".yml", ".txt", ".png", ".partial", COORDINATES)
#: Names of files and of runs.
_FILE = re.compile(r"[A-Za-z0-9][\w.+-]{0,99}", re.ASCII)
_RUN = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


class TooLarge(ValueError):
    """A file is larger than allowed, or than there is room for."""


def run_name(name: str) -> str:
    """The name of a new run, as it was given.

    Raises:
        ValueError: one that is no plain word.
    """
    if not _RUN.fullmatch(name):
        raise ValueError(
            f"name: expected up to 40 of a-z, 0-9, _ and -, found {name!r}; such as my_peptide"
        )
    return name


def file_name(name: str) -> str:
    """The name of a file, as it was given.

    Raises:
        ValueError: one that holds a path or a sign with a meaning elsewhere.
    """
    if not _FILE.fullmatch(name) or name.endswith(OWN):
        raise ValueError(
            f"file: expected a name of letters, digits, '.', '_', '+' and '-', without the ending "
            f"{', '.join(OWN)}, found {name!r}; rename it"
        )
    return name


def room_in(folder: Path) -> int:
    """Bytes that a file may have there."""
    place = next(p for p in (folder, *folder.parents) if p.exists())
    return max(0, min(MOST, shutil.disk_usage(place).free - SPARE))


async def keep(path: Path, announced: int | None, pieces: AsyncIterator[bytes]) -> int:
    """Write what arrives to a new file; gives its bytes. What was refused or cut leaves nothing.

    Args:
        path: to become.
        announced: bytes that the request says it has; None where it does not.
        pieces: of the file.

    Raises:
        FileExistsError: there is such a file. TooLarge: at the first byte beyond what is allowed.
    """
    if path.exists():
        raise FileExistsError(f"{path.name}: there is such a file already; take another name")
    most = room_in(path.parent)
    _need_room(path.name, announced or 0, most)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, size = path.with_name(f"{path.name}.partial"), 0
    try:
        with partial.open("wb") as file:
            async for piece in pieces:
                size += len(piece)
                _need_room(path.name, size, most)
                file.write(piece)
        os.link(partial, path)  # unlike a rename it never overwrites
    finally:
        partial.unlink(missing_ok=True)
    return size


def _need_room(name: str, size: int, most: int) -> None:
    if size > most:
        raise TooLarge(
            f"{name}: expected at most {most / 2**30:.2g} GiB, found more; give cgrec init the path "
            "of the file on the command line instead"
        )
