"""One process per folder of work: a lock file with host and process number, which dies with its
owner.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

#: Name of the lock inside a folder.
LOCK = ".lock"

_HELD: dict[str, int] = {}


class Busy(OSError):
    """Another process works in the folder."""


@contextmanager
def only_here(folder: str | Path, beside: bool = False) -> Iterator[None]:
    """Let no other process work in `folder` meanwhile.

    Args:
        folder: to keep to this process.
        beside: put the lock beside the folder, which is itself renamed or not there yet, as folder
            + ".lock".

    The system's lock (flock) ends with the process, however that ends. Where a file system has
    none, the process number in the file decides on this host; an owner on another host counts as
    alive.

    Raises:
        Busy: another process is at work; it names process and host.
    """
    folder = Path(folder)
    path = folder.with_name(folder.name + LOCK) if beside else folder / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    key = str(path.absolute())
    if _HELD.get(key) == os.getpid():  # an outer block of this process has it
        yield
        return
    file = _take(path)
    _HELD[key] = os.getpid()
    try:
        if not beside:
            _sweep(folder)
        yield
    finally:
        del _HELD[key]
        path.unlink(missing_ok=True)
        os.close(file)


def _sweep(folder: Path) -> None:
    """Remove the locks that killed processes left beside the folders they made in `folder`."""
    for path in folder.glob(f"?*{LOCK}"):
        with suppress(Busy), only_here(str(path).removesuffix(LOCK), beside=True):
            pass  # whoever lets go of a lock removes its file


def _take(path: Path) -> int:
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not _flocked(file):
                raise _busy(path, _owner(path))
        except OSError:
            os.close(file)
            raise
        try:
            same = os.stat(path).st_ino == os.fstat(file).st_ino
        except FileNotFoundError:
            same = False
        if same:  # else its owner has just removed it
            break
        os.close(file)
    about = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps(about).encode(), 0)
    return file


def _flocked(file: int) -> bool:
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (
            errno.ENOSYS,
            errno.ENOLCK,
            errno.EOPNOTSUPP,
            errno.EINVAL,
        ):
            raise
        return not _alive(_read(os.pread(file, 4096, 0)))
    return True


@dataclass(frozen=True)
class Owner:
    """The process that holds a lock.

    Attributes:
        pid, host: of it.
        since: when it took the lock.
    """

    pid: int
    host: str
    since: str


def holder(folder: Path) -> Owner | None:
    """The process that works in `folder`, this one too, as far as its lock file says; None where
    none does. Nothing is locked or waited for.
    """
    path = folder / LOCK
    owner = _owner(path)
    own = _HELD.get(str(path.absolute())) == os.getpid()
    if not own and not _alive(owner):
        return None
    pid, host, since = (owner.get(key, "unknown") for key in ("pid", "host", "since"))
    return Owner(int(pid) if str(pid).isdigit() else 0, str(host), str(since))


def busy(folder: Path) -> bool:
    """Whether another process works in `folder`, as far as its lock file says; nothing is locked or
    waited for.
    """
    return _alive(_owner(folder / LOCK))


def _owner(path: Path) -> dict[str, int | str]:
    try:
        return _read(path.read_bytes())
    except OSError:
        return {}


def _read(content: bytes) -> dict[str, int | str]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _alive(owner: dict[str, int | str]) -> bool:
    if not owner or owner.get("host") != socket.gethostname():
        return bool(owner)
    try:
        os.kill(int(owner["pid"]), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError, KeyError):
        return True
    return int(owner["pid"]) != os.getpid()


def _busy(path: Path, owner: dict[str, int | str]) -> Busy:
    who = (
        f"process {owner.get('pid', 'unknown')} on host {owner.get('host', 'unknown')}, since "
        f"{owner.get('since', 'unknown')}"
    )
    return Busy(
        f"another process works in {str(path).removesuffix(LOCK).rstrip('/')} ({who}): wait "
        f"for it or stop it; if it is gone for certain, remove {path}"
    )
