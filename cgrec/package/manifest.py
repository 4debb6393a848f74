"""package.json: what a package says of itself, and the sha256 of every file in it."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import PurePosixPath
from typing import NotRequired, TypedDict

from ..files import Json

#: Of the form of packages; a later one is refused by this version.
FORMAT = 1
#: The ending of a package.
ENDING = ".cgrec"
#: Files of a package beside its levels.
MANIFEST, CARD, PAGE = "package.json", "card.md", "card.html"
UNITS = "nm, ps, K, kJ/mol, kJ/mol/nm, amu, e"

#: An absolute path in a sentence, but for its last part.
_FOLDERS = re.compile(r"(?<![\w.:/])(?:~|[A-Za-z]:)?[\\/](?:[^\s\\/:,;'\"()]+[\\/])+(?=[^\s\\/])")


class FileEntry(TypedDict):
    """One file of a package."""

    sha256: str
    bytes: int


class LevelEntry(TypedDict):
    """One level of a package: density in sites per nm^3 (lowest, highest), None of an open one."""

    number: int
    name: str
    n_sites: int
    types: list[str]
    temperature: float
    density: NotRequired[list[float] | None]
    potential: list[str]
    verdict: Json
    mapping_from: int | None
    holds: list[str]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What package.json holds.

    Attributes:
        name: of the model.
        license: under which it may be used, in the words of who packed it.
        levels: in their order.
        provenance: version, commit, seed and seconds of the run it was packed from.
        files: {path inside: its sha256 and size}.
        format: of packages.
        units: of everything inside.
    """

    name: str
    license: str
    levels: list[LevelEntry]
    provenance: Json
    files: dict[str, FileEntry] = field(default_factory=dict)
    format: int = FORMAT
    units: str = UNITS

    def to_json(self) -> Json:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, where: str, data: object) -> Manifest:
        """What `to_json` gave, checked.

        Raises:
            ValueError: it is no such thing, of a later format, or names files that no package has.
        """
        names = {f.name for f in fields(cls)}
        if not isinstance(data, dict) or not names <= set(data):
            raise ValueError(f"{where}: expected {MANIFEST} with {', '.join(sorted(names))}")
        if not isinstance(data["format"], int) or data["format"] > FORMAT:
            raise ValueError(
                f"{where}: expected a package of format {FORMAT} or before, found "
                f"{data['format']!r}: install a later cgrec"
            )
        if not isinstance(data["files"], dict) or not all(map(_is_entry, data["files"].values())):
            raise ValueError(f"{where}: expected sha256 and size of every file in {MANIFEST}")
        for name in data["files"]:
            check_name(where, name)
        return cls(**{name: data[name] for name in names})


def _is_entry(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("sha256"), str)
        and isinstance(entry.get("bytes"), int)
    )


def check_name(where: str, name: str) -> None:
    """ValueError where the name of a file would lead out of its package."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or not path.parts:
        raise ValueError(
            f"{where}: expected files that stay inside the package, found {name!r}: it was not "
            "made by cgrec package; do not use it"
        )


def portable(value: object) -> object:
    """`value` of plain json without absolute paths: of each the last part stays."""
    if isinstance(value, dict):
        return {key: portable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [portable(one) for one in value]
    return _FOLDERS.sub("", value) if isinstance(value, str) else value
