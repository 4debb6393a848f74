"""Whether a value of a YAML can be what the hint of an argument wants, and what that is in words."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

#: Types that a YAML writes as one word.
PLAIN = (bool, int, float, str, type(None))
_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    type(None): "null",
}


def fits(value: object, hint: object) -> bool:
    """Whether `value` can be what `hint` means; an object that was made already always can."""
    parts = _parts(hint)
    if len(parts) > 1:
        return any(fits(value, part) for part in parts)
    hint = parts[0]
    if not isinstance(value, (*PLAIN, list, tuple, dict)):
        return True
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return any(value == one and type(value) is type(one) for one in inner)
    if hint in PLAIN:
        return type(value) is hint or (hint is float and type(value) is int)
    if _is_object(hint):
        return isinstance(value, list | tuple | dict)
    if hint is Path:
        return isinstance(value, str)
    if _is_a(origin or hint, Mapping):
        return isinstance(value, dict) and _all_fit(value.values(), inner[1:])
    if _is_a(origin or hint, Sequence):
        return isinstance(value, list | tuple) and _all_fit(value, inner[:1])
    return True


def _all_fit(values: Iterable[object], hint: tuple[object, ...]) -> bool:
    return all(fits(value, hint[0]) for value in values) if hint else True


def _parts(hint: object) -> tuple[object, ...]:
    """What a union is made of; the hint itself where it is none."""
    if typing.get_origin(hint) is typing.Annotated:
        return _parts(typing.get_args(hint)[0])
    union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
    return typing.get_args(hint) if union else (hint,)


def _is_a(hint: object, kind: type) -> bool:
    return inspect.isclass(hint) and issubclass(hint, kind) and hint is not str


def _is_object(hint: object) -> bool:
    """Whether a hint means an object that a table with `_target_` makes: a class of cgrec, or
    something to be called.
    """
    called = hint is Callable or typing.get_origin(hint) is Callable
    return called or (inspect.isclass(hint) and hint.__module__.startswith("cgrec."))


def choices(hint: object) -> tuple[str, ...]:
    """The only words that fit, where a hint lists them."""
    found = [
        str(word)
        for part in _parts(hint)
        if typing.get_origin(part) is typing.Literal
        for word in typing.get_args(part)
    ]
    return tuple(found)


def in_words(hint: object) -> str:
    """What is expected, such as "a number or null"."""
    parts = _parts(hint)
    said = [_in_words(part) for part in parts if part is not type(None)]
    if type(None) in parts:
        said.append("null")
    return " or ".join(dict.fromkeys(said))


def _in_words(hint: object) -> str:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, inner))}" if len(inner) > 1 else str(inner[0])
    if hint in _WORDS:
        return _WORDS[hint]
    if _is_object(hint):
        return "a table that says what it is (_target_: ...)"
    if _is_a(origin or hint, Mapping):
        return f"a table {{name: {_in_words(inner[1])}}}" if inner[1:] else "a table"
    if _is_a(origin or hint, Sequence):
        inside = {float: "numbers", int: "whole numbers", str: "texts"}
        return f"a list of {inside.get(inner[0], 'values')}" if inner else "a list"
    return "a value"
