"""A folder that is there whole, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..files import sync

#: How a guard is written to a file; an exporter does not know guards.
KeepGuard = Callable[[Path], None]


def refuse_existing(folder: str | Path) -> Path:
    """The path of a folder to be made. Raises FileExistsError where there is one."""
    path = Path(folder)
    if path.exists():
        raise FileExistsError(f"{path} exists already: choose another folder or remove it yourself")
    return path


@contextmanager
def filled(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` to write to, which gets its name at the end."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    partial.rename(folder)
    sync(folder.parent)
