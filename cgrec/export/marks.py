"""What an exporter wants of `cgrec export`, said beside its definition."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

F = TypeVar("F", bound=Callable[..., object])


class Wishes(NamedTuple):
    """What an exporter is given, and what it makes.

    Attributes:
        distilled: it writes the distilled potential, not the level's own; None: the user says which.
        then: what to do with what was made, for the user; {0} stands for its name without ending.
        potential: it needs a potential at all; else a level without one will do.
        ending: of the file that it makes; empty: it makes a folder.
        guard: it takes a fourth argument, which writes the guard of the level to a path, or None.
        timed: it takes `interval`, ps between frames of the level, and is given it where the user
            says none and it is known.
    """

    distilled: bool | None = False
    then: str = ""
    potential: bool = True
    ending: str = ""
    guard: bool = False
    timed: bool = False


def exports(
    *,
    distilled: bool | None = False,
    then: str = "",
    potential: bool = True,
    ending: str = "",
    guard: bool = False,
    timed: bool = False,
) -> Callable[[F], F]:
    """Mark an exporter with its wishes; one without a mark is given the level's own potential."""

    def marked(function: F) -> F:
        wishes = Wishes(distilled, then, potential, ending, guard, timed)
        setattr(function, "wishes", wishes)  # noqa: B010 (functions have no such attribute for checkers)
        return function

    return marked


def wishes_of(function: object) -> Wishes:
    """What `exports` marked it with."""
    return getattr(function, "wishes", Wishes())
