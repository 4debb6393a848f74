"""What is seen of a chain at a first look: one line, and cards for notebooks."""

from __future__ import annotations

from pathlib import Path

from ..cards import card
from ..level import Level
from ..level.seen import html, report_of, word_of
from ..run import layout


class Seen:
    """Whatever has levels in a folder. Nothing here raises: it shows what can be read.

    Attributes:
        folder: of the run.
    """

    folder: Path

    def __repr__(self) -> str:
        levels = "; ".join(map(_few_words, self._there())) or "nothing made yet"
        return f"{type(self).__name__}({self.folder}: {levels})"

    def _repr_html_(self) -> str:
        levels = self._there()
        title = f"{type(self).__name__} {self.folder}"
        return card(title, [("levels", str(len(levels)))]) + "".join(
            f"<div>{html(level)}</div>" for level in levels
        )

    def _there(self) -> list[Level]:
        """Levels of which there is a folder, as they are."""
        paths = layout.level_folders(self.folder) if self.folder.is_dir() else []
        return [Level(path, str(report_of(Level(path)).get("name", path.name))) for path in paths]


def _few_words(level: Level) -> str:
    report = report_of(level)
    sites = f"{report['n_sites']} sites" if "n_sites" in report else ""
    about = ", ".join(word for word in (sites, word_of(level)) if word) or "unfinished"
    return f"{level.name}: {about}"
