"""What happens in a run, as it happens: lines of events.jsonl as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

from ..run import layout
from ..run.events import Event

#: s between looks at the file; and after which a line is sent that says nothing, so that a closed
#: page is noticed.
LOOK, QUIET = 0.5, 15.0
#: Bytes read at once.
PIECE = 2**18


async def stream(folder: Path, begin: int) -> AsyncIterator[str]:
    """Events from byte `begin` on, one message for the whole lines that are there; its id is where
    the next one begins, for a page that asks again.
    """
    place, quiet = begin, 0.0
    yield "retry: 1000\n\n"
    while True:
        events, place, more = new_events(folder, place)
        if events:
            yield f"id: {place}\ndata: {json.dumps(events, ensure_ascii=False)}\n\n"
            quiet = 0.0
        elif quiet >= QUIET:
            yield ": nothing new\n\n"
            quiet = 0.0
        if not more:
            await asyncio.sleep(LOOK)
            quiet += LOOK


def new_events(folder: Path, begin: int) -> tuple[list[Event], int, bool]:
    """Events of the whole lines from a byte on, the byte behind them, and whether there are more. A
    line that was cut is left out; a file that is shorter now is read from its beginning.
    """
    path = folder / layout.EVENTS
    if not path.is_file():
        return [], 0, False
    with path.open("rb") as file:
        file.seek(begin if begin <= path.stat().st_size else 0)
        start = file.tell()
        data = file.read(PIECE)
    whole = data[: data.rfind(b"\n") + 1]
    found = [event for line in whole.splitlines() if (event := _event(line)) is not None]
    return found, start + len(whole), len(data) == PIECE and bool(whole)


def _event(line: bytes) -> Event | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "event" in found else None
