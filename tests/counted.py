"""Work that is counted, for tests that ask whether something is quick: no clock, which knows what else a
machine does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def calls(work: Callable[[], Any]) -> tuple[Any, int]:
    """What `work` returns, and how many functions were called for it, those of C among them."""
    count = 0
    before = sys.getprofile()

    def counted(frame: object, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(counted)
    try:
        return work(), count
    finally:
        sys.setprofile(before)
