"""Whose fault it is when hydra cannot read or merge the files of a configuration: the file, the
key, and what is expected there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

#: What must be a table wherever it stands; * is any name.
_TABLES = (
    ("source",),
    ("levels",),
    ("levels", "*"),
    *(
        ("levels", "*", part)
        for part in ("mapping", "potential", "training", "dynamics", "refine_pairs")
    ),
    *(("levels", "*", part) for part in ("variables", "refine")),
    ("variables",),
    ("basins",),
    ("basins", "*"),
)
#: What must be a list: labels of sites, and the intervals of a basin.
_LISTS = (
    ("defaults",),
    ("variables", "*"),
    ("levels", "*", "variables", "*"),
    ("levels", "*", "refine", "*"),
    ("levels", "*", "corrections"),
    ("basins", "*", "*"),
)
_WAYS = {
    ("defaults",): "put each choice on a line of its own, such as '- /source: file'",
    ("variables", "*"): "name the sites, such as [A, B], or say what it is by _target_",
    ("levels", "*", "corrections"): "put it in brackets, such as [{_target_: ...}]",
    ("basins", "*", "*"): "give the bounds, such as [-100, -40]",
    ("levels", "*", "mapping"): "take a rule by its name, such as "
    "+mapping@levels.l1.mapping=heavy_atoms, or say what it is by _target_",
}


def undecodable(folders: list[Path], chosen: list[str]) -> str | None:
    """What there is to say of a YAML in `folders` that is not UTF-8, first of those that `chosen`
    overrides name; None: all are.
    """
    names = {override.partition("=")[2] for override in chosen}
    files = [path for folder in folders for path in sorted(folder.rglob("*.yaml"))]
    for path in sorted(files, key=lambda p: p.stem not in names):
        try:
            path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            line = path.read_bytes()[: error.start].count(b"\n") + 1
            return (
                f"{path}, line {line}: expected text in UTF-8, found the byte "
                f"{path.read_bytes()[error.start]:#04x}, which is of "
                "another encoding; save the file as UTF-8"
            )
    return None


def misshapen(said: str, folders: list[Path]) -> str | None:
    """hydra's refusal to merge a file ("In 'experiment/x': ..."), by file and key; None where no
    file is named.

    Args:
        said: what hydra says.
        folders: of configurations, those looked at first come first.
    """
    named = re.search(r"In '([^']+)': ConfigTypeError|Invalid defaults list in '([^']+)'", said)
    choice = "" if named is None else named[1] or named[2]
    path = next((p for f in folders if (p := f / f"{choice}.yaml").exists()), None)
    if path is None:
        return None
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if content is not None and not isinstance(content, dict):
        return (
            f"{path}: expected a table (key: value), found {_short(content)}; write key: value "
            "on each line"
        )
    for key, value, expected, way in _wrong(content or {}, ()):
        return f"{path}: {key}: expected {expected}, found {_short(value)}" + (
            f"; {way}" if way else ""
        )
    reason = " ".join(
        re.sub(r"full_key:.*|object_type=.*", "", said.partition(": ")[2], flags=re.DOTALL).split()
    )
    return (
        f"{path}: expected tables and lists where the configuration it changes has them, found "
        "one in the place of the other "
        f"({reason}); look at the keys that cgrec climb --cfg job shows without it"
    )


def wrong_shape(config: Mapping[str, object]) -> str | None:
    """What there is to say of the first key of a composed configuration that is a table, or a list,
    in the wrong place.
    """
    for key, value, expected, way in _wrong(config, ()):
        return f"{key}: expected {expected}, found {_short(value)}" + (f"; {way}" if way else "")
    return None


def _wrong(
    node: Mapping[str, object], above: tuple[str, ...]
) -> Iterator[tuple[str, object, str, str]]:
    """(key, value, what was expected, what to do) of each value of the wrong shape."""
    for name, value in node.items():
        key = (*above, str(name))
        if value is None or value == "???" or (isinstance(value, str) and value.startswith("${")):
            continue
        if _like(key, _TABLES) is not None and not isinstance(value, dict):
            way = _WAYS.get(_like(key, _TABLES) or (), "give its keys one by one, or {key: value}")
            yield ".".join(key), value, "a table", way
        pattern = _like(key, _LISTS)
        made = "variables" in key[-2:-1] and isinstance(value, dict) and "_target_" in value
        if pattern is not None and not isinstance(value, list) and not made:
            yield ".".join(key), value, "a list", _WAYS.get(pattern, _WAYS["variables", "*"])
        if isinstance(value, dict) and ("_target_" not in value or _like(key, (("levels", "*"),))):
            yield from _wrong(value, key)


def _like(key: tuple[str, ...], patterns: tuple[tuple[str, ...], ...]) -> tuple[str, ...] | None:
    for pattern in patterns:
        if len(pattern) == len(key) and all(p in ("*", k) for p, k in zip(pattern, key)):
            return pattern
    return None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
