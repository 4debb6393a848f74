"""Commands of installed packages, by the entry-point group `cgrec.commands`. A name of cgrec's own
stays cgrec's.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection

from ..plugins import COMMANDS, EXPORTERS, loaded, offered, package_of, summary_of


def names(own: Collection[str]) -> list[str]:
    """Commands that packages bring beside `own`."""
    return [name for name in offered(COMMANDS) if name not in own]


def has(name: str, own: Collection[str]) -> bool:
    """Whether a package brings a command of this name."""
    return name in names(own)


def command(name: str, asks: bool = False) -> Callable[[list[str]], None]:
    """The command of this name; with `asks` one that prints its docstring.

    Raises:
        ValueError: two packages offer it, or its package cannot be imported.
    """
    function = loaded(COMMANDS, name)
    return (lambda _: print(inspect.getdoc(function) or f"{name}: no help")) if asks else function


def usage(own: Collection[str]) -> str:
    """Lines of help on the commands and exporters that packages bring, without importing them;
    empty where there are none.
    """
    lines = []
    for group, before, taken in (
        (COMMANDS, "cgrec", own),
        (EXPORTERS, "cgrec export", ("lammps",)),
    ):
        for name, points in offered(group).items():
            packages = " and ".join(package_of(point) for point in points)
            said = f"{summary_of(points[0])} (package {packages})".strip()
            note = "; not in use: cgrec has one of this name" if name in taken else ""
            lines.append(f"  {before + ' ' + name:38} {said}{note}\n")
    return "\nOf installed packages:\n\n" + "".join(lines) if lines else ""
