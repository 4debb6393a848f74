"""Remarks: sentences a user must see about a result. They are shown once, and kept beside the
result for its report.

Code that finds something worth saying calls `remark`; whoever makes a product on disk wraps the
making in `kept`, so that no warning is only on the screen.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from .files import read_json, write_json

#: How a list of sentences is brought to a path.
Write = Callable[[Path, object], None]
_OPEN: ContextVar[tuple[tuple[Path, Write], ...]] = ContextVar(
    "remarks that are being kept", default=()
)


#: What else hears a sentence.
_LISTENER: ContextVar[Callable[[str], None] | None] = ContextVar(
    "what hears every remark", default=None
)


class Remark(UserWarning):
    """Something a user should know; not an error."""


def remark(sentence: str) -> None:
    """Show `sentence` as a warning and keep it in every file that is open for remarks."""
    warnings.warn(sentence, Remark, stacklevel=2)
    listener = _LISTENER.get()
    if listener is not None:
        listener(sentence)
    for path, write in _OPEN.get():
        known = remarks_in(path)
        if sentence not in known:
            write(path, [*known, sentence])


@contextmanager
def kept(path: str | Path, write: Write = write_json) -> Iterator[None]:
    """Keep every remark made inside the block in the json list `path`, beside those of earlier
    sessions.

    Args:
        path: of the list.
        write: (path, list); whole or not at all (see `cgrec.run.digests.keep_remarks`, which keeps a
            digest of it too).
    """
    token = _OPEN.set((*_OPEN.get(), (Path(path), write)))
    try:
        yield
    finally:
        _OPEN.reset(token)


@contextmanager
def listened(listener: Callable[[str], None]) -> Iterator[None]:
    """Let `listener` hear every remark made inside the block."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def remarks_in(path: str | Path) -> list[str]:
    """The sentences kept in `path`; none where it does not exist."""
    return read_json(path) if Path(path).exists() else []
