"""What defines a result, and the refusal of another one. One mechanism for level 0, for the levels
above and for descents.

A recipe is compared by what it means: objects by their class and arguments, defaults filled in,
files by their content. How a thing is computed (device, threads, checkpoints) is not part of it.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ..files import Json
from . import layout
from .digests import digest, keep_sealed, kept_by_digest, read_sealed

#: How a thing is computed, not what: a run may go on with other values, and on another machine.
MEANS = frozenset(
    {
        "compile",
        "device",
        "processes",
        "threads",
        "checkpoint_every",
        "use_lost",
        "platform",
        "python",
    }
)
#: Arguments that name a file, of which the content counts and not the name.
FILES = ("path", "file", "structure", "topology", "weights")
#: Of a folder: {stage: recipe}.
RECIPE = layout.RECIPE
#: A dotted name of cgrec's own, also of something inside a function of it.
_OURS = re.compile(r"cgrec(\.([A-Za-z_]\w*|<\w+>))+")
#: Arrays of more numbers are known by their digest.
_MOST_NUMBERS = 1000


class OtherRecipe(ValueError):
    """A folder was made with another recipe."""


def described(value: object, name: str = "") -> Any:
    """`value` as json knows it: settings as {"class": ..., argument: value}, files by their sha256,
    means left out.
    """
    if isinstance(value, str | Path) and name.endswith(FILES) and Path(value).is_file():
        return f"sha256:{digest(Path(value))}"
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(k): described(v, str(k)) for k, v in value.items() if k not in MEANS}
    if hasattr(value, "tobytes") and getattr(value, "size", 0) > _MOST_NUMBERS:
        return f"sha256:{hashlib.sha256(value.tobytes()).hexdigest()}"
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, list | tuple | set | frozenset | range):
        return [described(v) for v in value]
    return _object(value)


def _object(value: object) -> object:
    if isinstance(value, partial):
        given = inspect.signature(value.func).parameters
        defaults = {k: p.default for k, p in given.items() if p.default is not p.empty}
        return {"class": _name(value.func), **described({**defaults, **value.keywords})}
    if isinstance(value, type) or inspect.isroutine(value) or type(value).__module__ == "torch":
        return _name(value)
    known = [p for p in inspect.signature(type(value)).parameters if hasattr(value, p)]
    settings = {p: getattr(value, p) for p in known} if known else _public(value)
    return {"class": _name(type(value)), **described(settings)}


def _public(value: object) -> dict[str, object]:
    return {k: v for k, v in getattr(value, "__dict__", {}).items() if not k.startswith("_")}


def _name(value: object) -> str:
    return (
        f"{value.__module__}.{value.__qualname__}" if hasattr(value, "__qualname__") else str(value)
    )


def flatten(config: object, prefix: str = "") -> dict[str, object]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    if not isinstance(config, dict):
        return {prefix: config}
    flat: dict[str, object] = {}
    for key, value in config.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def differences(before: object, now: object) -> list[tuple[str, object, object]]:
    """(key, value before, value now) of every key in which two recipes differ; a key that is absent
    counts as None, and a class of cgrec is the same one in whichever of its modules it stands.
    """
    old, new = (flatten(json.loads(json.dumps(r))) for r in (before, now))
    return [
        (k, old.get(k), new.get(k))
        for k in dict.fromkeys([*new, *old])
        if _settled(old.get(k)) != _settled(new.get(k))
    ]


def _settled(value: object) -> object:
    """`value` with every dotted name of cgrec's own without its modules, which may move, and without
    what is None: an option that a class has got since.
    """
    if isinstance(value, list):
        return [_settled(one) for one in value]
    if isinstance(value, dict):
        return {key: _settled(one) for key, one in value.items() if one is not None}
    if not isinstance(value, str) or not _OURS.fullmatch(value):
        return value
    words = value.split(".")
    first = next((k for k, word in enumerate(words) if word[0].isupper()), len(words) - 1)
    return ".".join(("cgrec", *words[first:]))


def refuse(
    folder: Path, found: list[tuple[str, object, object]], way: str, prefix: str = ""
) -> None:
    """OtherRecipe naming the first key that differs, both values and the ways out; nothing where
    none differs.
    """
    if found:
        key, old, new = found[0]
        raise OtherRecipe(
            f"{folder} was made with {as_given(key, prefix)}={old} and now it is {new}: {way}, "
            "or go back to the first value"
        )


def as_given(key: str, prefix: str = "") -> str:
    """What a key of a recipe is called where a user gives it: a class is chosen by source=NAME or
    by its _target_.
    """
    if prefix == "source." and key in ("source", "files"):
        return "source" if key == "source" else "content of source.path"
    parent, dot, name = key.rpartition(".")
    return f"{prefix}{parent}{dot}{'_target_' if name == 'class' else name}"


def same_recipe(folder: Path, before: object, now: object, way: str) -> None:
    """`refuse` where two recipes differ."""
    refuse(folder, differences(before, now), way)


def stored(folder: Path) -> Json:
    """{stage: recipe} a folder was made with so far."""
    path = folder / RECIPE
    return read_sealed(path) if path.exists() else {}


def store(folder: Path, stages: dict[str, object]) -> None:
    """Remember the recipes of the stages of a folder."""
    plain = json.loads(json.dumps(stages))
    if plain != stored(folder) or not kept_by_digest(folder / RECIPE):
        keep_sealed(folder / RECIPE, plain)
