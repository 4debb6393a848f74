"""Files that are whole or not there: written under a temporary name, forced to the disk, then
renamed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.lib.npyio import NpzFile

#: What to do about a file of a run that was cut or changed: a way that is always open.
WAY_BACK = (
    "bring it back from a copy; or move the folder of its level and those of the levels above "
    "away, and give the command of "
    "the run again, which makes them anew"
)


def package_path(name: str | Path) -> Path:
    """Path of "package:name", data that ships with cgrec; any other name is a path already.

    Raises:
        FileNotFoundError: cgrec ships nothing of that name; it says what there is.
    """
    if not str(name).startswith("package:"):
        return Path(name)
    home = Path(__file__).parent / "data"
    path = home / str(name).removeprefix("package:")
    if not path.exists():
        shipped = sorted(p.name for p in (path.parent if path.parent.exists() else home).iterdir())
        raise FileNotFoundError(f"cgrec ships no {name!r}: expected one of {', '.join(shipped)}")
    return path


def missing(what: str, path: str | Path) -> FileNotFoundError:
    """The error for a file that is not there, with a name near it where its folder has one.

    Args:
        what: the argument that names it, e.g. "path".
        path: as it was given.
    """
    path = Path(path)
    if path.is_dir():
        return FileNotFoundError(
            f"{what}: expected a file, found a folder with nothing of the kind in it at {path}"
        )
    there = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, there, 1)
    way = (
        f"did you mean {path.parent / near[0]}?"
        if near
        else f"a relative path counts from {Path.cwd()}"
    )
    return FileNotFoundError(f"{what}: expected a file, found none at {path}; {way}")


def write_whole(path: str | Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file, force it to the disk and rename it to `path`.

    Whatever moment the process or the machine dies at, `path` holds the old content or the new one,
    never a part of it.
    """
    path = Path(path)
    write_whole_as(path.with_name(f"{path.name}.partial"), write)
    path.with_name(f"{path.name}.partial").replace(path)
    sync(path.parent)


def write_whole_as(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill `path` and force it to the disk; what it leaves when it fails is removed.

    Raises:
        OSError: the disk is full, in words.
    """
    try:
        with room_for(path):
            write(path)
            sync(path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@contextmanager
def room_for(path: str | Path) -> Iterator[None]:
    """Say in words that the disk is full, whatever the library that wrote to `path` calls it.

    torch raises a RuntimeError of its archive writer, numpy an OSError without a number.

    Raises:
        OSError: ENOSPC, with the file, the room there is and the way on.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        if not _means_full(error):
            raise
        free = shutil.disk_usage(Path(path).parent).free
        raise OSError(
            errno.ENOSPC,
            f"the disk is full or a quota is used up ({free / 1e6:.1f} MB free): make room and "
            "run the same "
            "command again, it goes on from what is there",
            str(path),
        ) from error


def _means_full(error: OSError | RuntimeError) -> bool:
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return True
    return any(
        words in str(error)
        for words in ("inline_container", "PytorchStreamWriter", " requested and ")
    )


def sync(path: Path) -> None:
    """Force a file, or the entries of a folder, to the disk: a rename alone may survive a power cut
    that its content does not.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` by `write_whole`."""
    write_whole(path, lambda partial: partial.write_text(text))


def write_json(path: str | Path, value: object) -> None:
    """Write `value` to `path` by `write_whole`, as `json_text`."""
    write_text(path, json_text(value))


def json_text(value: object, indent: int | None = 1) -> str:
    """`value` as json, null in place of what is not finite: json has no nan, and other readers refuse
    it. `indent` None: all in one line.
    """
    return json.dumps(_without_nan(value), indent=indent, allow_nan=False)


def _without_nan(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def with_nan(value: object) -> Any:
    """Numbers read from json: nan in place of null, which `json_text` wrote for it."""
    if isinstance(value, dict):
        return {key: with_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [with_nan(one) for one in value]
    return math.nan if value is None else value


#: An object of json, read or to be written: whoever reads one from a file says its shape.
Json = dict[str, Any]


def read_json(path: str | Path) -> Any:
    """What `write_json` wrote.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no json; the message names the file.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text())
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        raise ValueError(
            f"{path}: expected json, found a file of {path.stat().st_size} bytes that is none "
            f"({error}); it was cut or changed"
        ) from error


@contextmanager
def open_npz(path: str | Path) -> Iterator[NpzFile]:
    """The arrays of an .npz. numpy alone leaves a file open that it cannot read."""
    import numpy as np  # a quarter of the time of `cgrec --help`

    with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        yield arrays


def sha256(path: str | Path) -> str:
    """Hex digest of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
