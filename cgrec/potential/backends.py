"""Faster forms of a potential for many calls, found by its class.

A file that can compute a class faster says so with `faster`; a class need not know of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Form = TypeVar("Form")
_FASTER: dict[type, Callable[..., object]] = {}


def faster(kind: type) -> Callable[[Callable[..., Form]], Callable[..., Form]]:
    """Decorator of a function potential -> potential, for `kind` and what inherits from it."""

    def put(function: Callable[..., Form]) -> Callable[..., Form]:
        _FASTER[kind] = function
        return function

    return put


def compiled(potential: Form) -> Form:
    """The fastest form known of the nearest class of `potential`; itself where there is none."""
    for kind in type(potential).__mro__:
        if kind in _FASTER:
            return _FASTER[kind](potential)  # type: ignore[return-value]
    return potential
