"""What was found out about a sample while it was read, for whoever keeps the sample.

Readers and checks `record` a finding; a source that wants to keep them wraps the reading in
`recorded`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_OPEN: ContextVar[tuple[dict[str, list[object]], ...]] = ContextVar(
    "findings that are being kept", default=()
)


def record(name: str, finding: object) -> None:
    """Keep `finding`, plain values as json knows them, under `name` wherever findings are being
    recorded.
    """
    for kept in _OPEN.get():
        kept.setdefault(name, []).append(finding)


@contextmanager
def recorded() -> Iterator[dict[str, list[object]]]:
    """The findings made inside the block: name -> one entry for every time it was recorded, such as
    once a file.
    """
    kept: dict[str, list[object]] = {}
    token = _OPEN.set((*_OPEN.get(), kept))
    try:
        yield kept
    finally:
        _OPEN.reset(token)
