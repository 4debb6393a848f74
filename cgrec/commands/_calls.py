"""Commands in Python: `cgrec.climb("mine.yaml", seed=2)` does what `cgrec climb mine.yaml seed=2` does.

Names and defaults are those of the command line; a word that Python cannot say has the name of its
field (`begin` for `from`). A room of cgrec keeps its name: what `cgrec run`, `cgrec export`, `cgrec
package` and `cgrec report` do is `Level.run`, `Frames.write` and `cgrec.export.EXPORTERS`,
`cgrec.pack`, and `cgrec.report.write_report`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path

from ..chain.chain import Chain
from ..options import options_of
from . import find, own
from ._words import read
from .climb import climb as climb_by_words

#: Text that a word of the configuration may hold as it stands.
_PLAIN = re.compile(r"[\w./+@:-]+")


def climb(*words: str | Path, **values: object) -> Chain:
    """Make every level of an experiment, the ledger and the report; the same call resumes.

    Args:
        words: as on the command line: the path of a YAML, "key=value".
        values: keys with their values: experiment="helix", seed=2; tables go as deep as they are:
            levels={"l1": {"dynamics": {"length": 20}}}.

    Returns:
        The chain, finished.

    Raises:
        ValueError: a key or value is refused. What a climb raises: see `Chain.climb`.
    """
    given = as_words(words, values)
    climb_by_words(list(given))
    return Chain(read("cgrec climb", given).configuration().run)


def as_words(words: tuple[str | Path, ...], values: Mapping[str, object]) -> list[str]:
    """What the command line would be given."""
    return [str(word) for word in words] + [
        f"{key}={text(value)}" for key, value in _flat("", values)
    ]


def _flat(prefix: str, values: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(f"{prefix}{key}.", value)
        else:
            yield f"{prefix}{key}", value


def text(value: object) -> str:
    """A value as the configuration reads it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(map(text, value))}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{k}:{text(v)}' for k, v in value.items())}}}"
    plain = str(value)
    if not isinstance(value, str) or _PLAIN.fullmatch(plain):
        return plain
    return "'" + plain.replace("\\", "\\\\").replace("'", "\\'") + "'"


def __getattr__(name: str) -> Callable[..., object]:
    """The call of any other command that is a name in Python."""
    command = name.replace("_", "-")
    if name.startswith("_") or command not in own():
        raise AttributeError(f"no command {command!r}: expected one of {', '.join(own())}")
    return called(command)


def called(command: str) -> Callable[..., object]:
    """A function of keywords that does what a command does, and gives what it prints."""
    target = find(command)

    def call(*words: str | Path, **values: object) -> object:
        if not is_dataclass(target):
            return target(as_words(words, values))
        if words:
            raise ValueError(f"cgrec.{command}: expected keywords alone, found {words[0]!r}")
        return target(**_placed(target, values))()  # type: ignore[operator]  # options can be called

    call.__name__ = command.replace("-", "_")
    call.__doc__ = inspect.getdoc(target)
    return call


def _placed(target: Callable[..., object], values: Mapping[str, object]) -> dict[str, object]:
    """Keywords where the dataclass of a command has them: some inside a table of options."""
    inside = {option.name: option.inside for option in options_of(target) if option.inside}
    found: dict[str, object] = {k: v for k, v in values.items() if k not in inside}
    for home in set(inside.values()):
        some = {k: v for k, v in values.items() if inside.get(k) == home}
        if some:
            found[home] = some
    return found
