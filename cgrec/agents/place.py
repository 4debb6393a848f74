"""The folder that tools may read and write, and nothing outside of it."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

#: Names of data that ship with cgrec.
_SHIPPED = "package:"


@dataclass(frozen=True)
class Place:
    """A root folder.

    Attributes:
        root: absolute, links followed. Relative paths count from it.
    """

    root: Path

    def path(self, argument: str, given: str) -> Path:
        """The path that an argument names.

        Raises:
            ValueError: it is empty, or lies outside of the root, also by a link.
        """
        if not given:
            raise ValueError(f"{argument}: expected a path below {self.root}, found none")
        if not self._has(given) or not all(map(self._has, glob.glob(str(self.root / given)))):
            raise ValueError(
                f"{argument}: expected a path below {self.root}, found {given}, which is outside; "
                "copy it there, or start cgrec mcp with another root="
            )
        return self.root / given

    def check(self, argument: str, value: object) -> None:
        """Refuse a value in which any text is a path outside of the root.

        Raises:
            ValueError: as `path`, with the key.
        """
        if isinstance(value, Mapping):
            for key, one in value.items():
                self.check(f"{argument}.{key}", one)
        elif isinstance(value, list | tuple):
            for one in value:
                self.check(argument, one)
        elif isinstance(value, str) and value and not self._ships(value):
            self.path(argument, value)

    def _has(self, given: str) -> bool:
        try:
            whole = (self.root / Path(given).expanduser()).resolve()
        except (OSError, RuntimeError, ValueError):  # no such user, a name no system takes
            return False
        return whole.is_relative_to(self.root)

    @staticmethod
    def _ships(value: str) -> bool:
        return value.startswith(_SHIPPED) and ".." not in Path(value).parts
