"""One process per folder of work: a lock file with host and process number, which dies with its
owner.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

#: Name of the lock inside a folder.
LOCK = ".lock"
#: Times that a lock is tried, and s between: whoever only looks whether it is held (`holder`) has it
#: for a moment.
_TRIES, _PAUSE = 5, 0.02

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
    for attempt in range(_TRIES):
        got = _flock(file, "LOCK_EX")
        if got is None:
            return not _alive(_read(os.pread(file, 4096, 0)))
        if got:
            return True
        if attempt < _TRIES - 1:
            time.sleep(_PAUSE)
    return False


def _flock(file: int, kind: str) -> bool | None:
    """Whether the system's lock of this kind was had at once; None where there is none."""
    try:
        import fcntl

        fcntl.flock(file, getattr(fcntl, kind) | fcntl.LOCK_NB)
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
        return None
    return True


def _held(path: Path) -> bool | None:
    """Whether any process holds the system's lock on a file; None where the system cannot tell."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        free = _flock(file, "LOCK_SH")
    except OSError:
        return None
    finally:
        os.close(file)  # lets go of it
    return None if free is None else not free


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
    """The process that works in `folder`, this one too; None where none does.

    On this host the system must say that the lock is held, too: a file that a killed process left,
    or that came with a copy of the folder, may name any process. Nothing is waited for.
    """
    path = folder / LOCK
    owner = _owner(path)
    own = _HELD.get(str(path.absolute())) == os.getpid()
    if not own and not _works(path, owner):
        return None
    pid, host, since = (owner.get(key, "unknown") for key in ("pid", "host", "since"))
    return Owner(int(pid) if str(pid).isdigit() else 0, str(host), str(since))


def ask_to_stop(folder: Path) -> Owner:
    """Send SIGTERM to the process that works in `folder`, whoever began it: it leaves a checkpoint
    and ends. Returns which.

    Raises:
        ValueError: none does; it is on another host; it is this one; or the system cannot tell that
            it is the one, and it does not look like cgrec.
    """
    owner = holder(folder)
    if owner is None:
        raise ValueError(f"{folder}: expected a process that works in it, found none")
    if owner.host != socket.gethostname():
        raise ValueError(
            f"{folder}: expected its process on this host, found process {owner.pid} on "
            f"{owner.host}; stop it there"
        )
    if owner.pid in (0, os.getpid()):
        raise ValueError(
            f"{folder}: expected another process at work, found this one ({owner.pid}); wait for it"
        )
    if not _held(folder / LOCK) and not _is_cgrec(owner.pid):
        raise ValueError(
            f"{folder}: expected process {owner.pid} of its lock to be a cgrec, found another; "
            "stop it by hand"
        )
    os.kill(owner.pid, signal.SIGTERM)
    return owner


def _is_cgrec(pid: int) -> bool:
    """Whether a process is a cgrec, where its lock cannot tell."""
    try:
        return b"cgrec" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def busy(folder: Path) -> bool:
    """Whether another process works in `folder`, as `holder` tells."""
    path = folder / LOCK
    return _works(path, _owner(path))


def _works(path: Path, owner: dict[str, int | str]) -> bool:
    """Whether the process that a lock file names is another one, alive, and holds it."""
    here = owner.get("host") == socket.gethostname()
    return _alive(owner) and not (here and _held(path) is False)


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
