"""What is said of a product that a level does not have yet: how far its climb is, and the way on."""

from __future__ import annotations

from pathlib import Path

from ..run import layout
from ..run.digests import LEAVES
from ..run.status import RunStatus, progress_words, status_of


class Unfinished(FileNotFoundError):
    """A level is asked for what its climb has not made yet."""


def not_made(path: Path, what: str, way: str) -> FileNotFoundError:
    """What is raised of a product that is not there: Unfinished of one that its climb makes.

    Args:
        path: of the product, in the folder of its level.
        what: it is.
        way: to it, where no climb is on that way.
    """
    later = "" if path.name in LEAVES else way_to(path.parent)
    kind: type[FileNotFoundError] = Unfinished if later else FileNotFoundError
    return kind(f"{path.parent} holds no {what} ({path.name} is missing): {later or way}")


def way_to(folder: Path) -> str:
    """How far the climb of an unfinished level is, and what to do; "" where nothing says that it is
    a level of a run, or where it is finished.

    Args:
        folder: of the level.
    """
    if not folder.name.removeprefix("level").isdigit():
        return ""
    try:
        status = status_of(folder.parent)
    except (OSError, ValueError):
        return ""
    number = layout.level_number(folder)
    if number >= len(status.levels) or not status.levels[number].missing:
        return ""
    return f"{_step(status, number)}; {_way(status)}"


def _step(status: RunStatus, number: int) -> str:
    level = status.levels[number]
    missing = ", ".join(level.missing)
    said = f"{level.name} is not finished, {missing} to be done"
    if status.state != "running":
        return f"{said}, and nothing works on it (the climb is {status.state})"
    now = progress_words(status.now)[0] if status.now and "total" in status.now else status.running
    return f"{said}; the climb is at work{f' ({now})' if now else ''}"


def _way(status: RunStatus) -> str:
    how_far = f"ask status (cgrec status run={status.run})"
    if status.state == "running":
        return f"wait, and {how_far}"
    return f"go on with: {status.command}" if status.command else how_far
