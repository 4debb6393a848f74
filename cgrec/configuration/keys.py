"""Every key that a YAML can have, with its value, default, range and meaning.

All of it is read from the classes that the tables of a configuration name: signatures, the ranges of
their constructors, and what their docstrings say of each argument, which begins with its unit.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from ..options import Help
from .declared import NEEDED, Argument, Declared, Unread, declared, names_in, ours
from .first_look import SIGNS, tables_of
from .kinds import choices, fits, in_words
from .rehearsal import ranges_of
from .targets import MAKERS, ROOMS, is_ours

#: What the top of a configuration makes, and what its keys are there.
CHAIN = "cgrec.chain.chain.Chain"
_TOP = {"run": "folder"}
SUBMIT = Argument(
    "submit",
    Literal["slurm", "local"] | None,
    None,
    "a job for each level: slurm, on a cluster; local, processes of this machine; null: no jobs",
)
#: Those that make no part of it.
_OWN = {
    "name": Argument("name", str, NEEDED, "of the experiment: its run is runs/NAME"),
    "submit": SUBMIT,
    "slurm": Argument("slurm", dict, NEEDED, "what each job asks the cluster for"),
}
#: Arguments of makers that the level gives, and no YAML.
_GIVEN = ("frames", "system", "seed")


@dataclass(frozen=True)
class Key:
    """One key.

    Attributes:
        key: dotted.
        argument: of which class's call it is.
        value: in the configuration; `NEEDED` where it does not stand there.
        within: its range in words; empty: any.
    """

    key: str
    argument: Argument
    value: object
    within: str

    @property
    def kind(self) -> str:
        """What is expected, with its range."""
        kind = in_words(self.argument.hint)
        if choices(self.argument.hint) or not self.within:
            return kind
        return f"{kind}, {self.within}"

    @property
    def choices(self) -> tuple[str, ...]:
        """Words that fit, where there are only a few."""
        flags = ("true", "false") if fits(True, self.argument.hint) else ()
        return (*choices(self.argument.hint), *flags)

    @property
    def default(self) -> str:
        """As a YAML writes it."""
        if self.argument.needed:
            return "needed"
        return _written(self.argument.default)

    @property
    def now(self) -> str:
        """The value where the configuration has another than the default; else empty."""
        same = self.value is NEEDED or self.value == self.argument.default
        return "" if same or isinstance(self.value, dict | list) else _written(self.value)


def _written(value: object) -> str:
    if isinstance(value, Unread):
        return value.source
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(list(value)) if isinstance(value, tuple) else str(value)


def keys_of(config: Mapping[str, object]) -> Iterator[Key]:
    """Keys of a configuration of plain values, those at the top first."""
    chain = ours(CHAIN)
    ranges = ranges_of(chain)
    for name, value in config.items():
        argument = chain.arguments.get(_TOP.get(name, name)) or _OWN.get(name, _OWN["name"])
        yield Key(str(name), argument, value, ranges.get(name, ""))
    for name, value in config.items():
        yield from _inside(value, str(name))


def _inside(node: object, key: str) -> Iterator[Key]:
    if isinstance(node, list):
        for k, value in enumerate(node):
            yield from _inside(value, f"{key}.{k}")
    if not isinstance(node, dict):
        return
    target = node.get("_target_")
    found = declared(target) if isinstance(target, str) else None
    if found is not None:
        yield from _of_class(found, node, key)
        return
    for name, value in node.items():
        yield from _inside(value, f"{key}.{name}")


def _of_class(found: Declared, given: Mapping[str, object], key: str) -> Iterator[Key]:
    ranges = ranges_of(found)
    tables = dict(tables_of(found))
    called = found.name.rpartition(".")[2] in MAKERS
    for name, argument in found.arguments.items():
        if name in _GIVEN and (called or not isinstance(found.node, ast.ClassDef)):
            continue
        value = given.get(name, NEEDED)
        own = f"{key}.{name}" if key else name
        yield Key(own, argument, value, ranges.get(name, ""))
        if name in tables and not (isinstance(value, dict) and "_target_" in value):
            inner = value if isinstance(value, dict) else {}
            yield from _of_class(tables[name], inner, own)
            continue
        yield from _inside(value, own)
    for name, value in given.items():
        if name not in found.arguments and name not in SIGNS:
            yield from _inside(value, f"{key}.{name}")


def keys_of_class(name: str) -> list[Key]:
    """Arguments of a class by its name, such as Exchange, or dotted.

    Raises:
        ValueError: no YAML may name such a class; with names near it.
    """
    known = class_names()
    target = known.get(name, name)
    found = declared(target) if is_ours(target) else None
    if found is None:
        near = get_close_matches(name.rpartition(".")[2], known, 3)
        way = f"did you mean {' or '.join(near)}?" if near else "cgrec keys lists the keys of all"
        raise ValueError(f"{name}: expected a key or a class, found none of that name; {way}")
    return list(_of_class(found, {}, ""))


def class_names() -> dict[str, str]:
    """{name: dotted name} of every class of cgrec that a YAML can name."""
    found: dict[str, str] = {}
    for room in sorted(ROOMS):
        whole = _public(f"cgrec.{room}")
        found |= {name: target for name, target in whole.items() if name not in found}
    return found


def _public(room: str) -> dict[str, str]:
    named = {name: f"{room}.{name}" for name in names_in(room) if name[:1].isupper()}
    return {name: target for name, target in named.items() if is_ours(target)}


def chosen(keys: Sequence[Key], key: str) -> list[Key]:
    """The key itself, and those inside it.

    Raises:
        ValueError: there is none, with names near it.
    """
    found = [k for k in keys if k.key == key or k.key.startswith(f"{key}.")]
    if found:
        return found
    tables = [k.key.rpartition(".")[0] for k in keys]
    near = get_close_matches(key, dict.fromkeys([*(k.key for k in keys), *tables]), 3, 0.7)
    way = f"did you mean {' or '.join(near)}?" if near else "cgrec keys lists all"
    raise ValueError(f"{key}: expected a key of the configuration, found none; {way}")


def options_of_command(name: str) -> list[str]:
    """Keys of the options of a command of cgrec's own, read from its file."""
    plain = name.replace("-", "_")
    found = declared(f"cgrec.commands.{plain}.{plain.title().replace('_', '')}")
    if found is None:
        return []
    tables = dict(tables_of(found))
    words: list[str] = []
    for argument in found.arguments.values():
        if argument.name in tables:
            given = tables[argument.name].arguments.values()
            words += [each.name for each in given if each.keyword_only]
            continue
        notes = getattr(argument.hint, "__metadata__", ())
        word = next((n.word for n in notes if isinstance(n, Help) and n.word), argument.name)
        words.append(word)
    return words
