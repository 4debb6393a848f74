"""One climb of a composed configuration, here or in a job."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..configuration import Composed, build, checked

if TYPE_CHECKING:
    from ..chain import Chain

#: s, from page to page: a page takes seconds, as long as a small level.
BETWEEN_PAGES = 60.0


def climb_one(
    config: Composed, trust: bool, given: frozenset[str], up_to: int | None = None
) -> None:
    """Climb, and write the report.

    Args:
        config, trust, given: of the words of the command.
        up_to: number of the last level to make; None: all.
    """
    from ..run.events import waiting

    with waiting(str(config.get("run") or "")):
        chain = looked_at(config, trust, given)
        try:
            chain.climb(_PageNowAndThen(), up_to)
        except Exception:
            _report_what_is_there(chain.folder, said=True)
            raise
    from ..report import write_report  # it takes seconds to import, and a wrong word none

    print(f"report: {write_report(chain.folder)}")


def looked_at(config: Composed, trust: bool, given: frozenset[str]) -> Chain:
    """The chain, all that can be refused before its work looked at.

    Raises:
        ValueError, ImportError: what cannot work.
    """
    checked(config, trust, given)
    _say_at_once(str(config.get("run") or ""), len(config.get("levels") or ()))
    chain = build(config, trust, given)
    from ..chain.forecast import forecast

    list(forecast(chain))
    return chain


def _say_at_once(folder: str, levels: int) -> None:
    """A first line, before what takes seconds to import."""
    from ..run.events import counted

    said = f"{folder}, {counted(levels, 'level')} above level 0; torch is loaded ..."
    sys.stderr.write(f"cgrec climb: {said}\n")
    sys.stderr.flush()


class _PageNowAndThen:
    """Writes the report of the levels that are finished: of the first, and then at most every
    `BETWEEN_PAGES`.
    """

    def __init__(self) -> None:
        self.last = -math.inf

    def __call__(self, chain: Chain) -> None:
        if time.monotonic() - self.last < BETWEEN_PAGES:
            return
        _report_what_is_there(chain.folder)
        self.last = time.monotonic()


def _report_what_is_there(folder: Path, said: bool = False) -> None:
    """The report of the levels that are finished, while a climb goes on and when it ended early.

    Args:
        said: print where it is.
    """
    from ..report import write_report
    from ..run import layout

    if not (layout.level_folder(folder, 0) / layout.REPORT).exists():
        return
    try:
        path = write_report(folder)
        if said:
            print(f"report: {path}")
    except Exception as error:  # no page is worth a climb
        print(f"report: none could be written ({error})")
