"""open the documentation, without a network"""

from __future__ import annotations

import sys
import webbrowser
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated

from ..native import cache_folder
from ..options import Help


@dataclass(frozen=True, kw_only=True)
class Docs:
    """Open a page of the documentation in the browser; no network is needed.

    Where there is no terminal or no browser, only the path of the page is printed.

    Example:
        cgrec docs
        cgrec docs own_system
    """

    page: Annotated[
        str, Help(says="such as own_system or glossary; the key may be left out", bare=True)
    ] = "home"

    def __call__(self) -> str:
        """The path of the page.

        Raises:
            ValueError: there is no such page.
        """
        from ._pages import rendered, titles

        name = self.page.removesuffix(".md")
        known = list(titles())
        if name not in known:
            near = get_close_matches(name, known, 1)
            raise ValueError(
                f"page: expected one of {', '.join(known)}, found {self.page}; "
                + (f"did you mean {near[0]}?" if near else "cgrec docs opens the first")
            )
        folder = _place()
        rendered(folder)
        path = folder / f"{name}.html"
        if sys.stdout.isatty():
            webbrowser.open(path.as_uri())
        return str(path)


def _place() -> Path:
    """Where HTML is kept: the user's cache, or a temporary folder."""
    try:
        return cache_folder() / f"docs-{version('cgrec')}"
    except OSError:
        return Path(mkdtemp(prefix="cgrec-docs-"))
