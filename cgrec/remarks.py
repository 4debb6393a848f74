"""Remarks: sentences a user must see about a result. They are shown once, and kept beside the result for its report.

Code that finds something worth saying calls `remark`; whoever makes a product on disk wraps the making in `kept`, so
that no warning is only on the screen.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from .files import read_json, write_json

_OPEN: ContextVar[tuple[Path, ...]] = ContextVar("remarks that are being kept", default=())


class Remark(UserWarning):
    """Something a user should know; not an error."""


def remark(sentence: str) -> None:
    """Show `sentence` as a warning and keep it in every file that is open for remarks."""
    warnings.warn(sentence, Remark, stacklevel=2)
    for path in _OPEN.get():
        known = remarks_in(path)
        if sentence not in known:
            write_json(path, [*known, sentence])


@contextmanager
def kept(path: str | Path) -> Iterator[None]:
    """Keep every remark made inside the block in the json list `path`, beside those of earlier sessions."""
    token = _OPEN.set((*_OPEN.get(), Path(path)))
    try:
        yield
    finally:
        _OPEN.reset(token)


def remarks_in(path: str | Path) -> list[str]:
    """The sentences kept in `path`; none where it does not exist."""
    return read_json(path) if Path(path).exists() else []
