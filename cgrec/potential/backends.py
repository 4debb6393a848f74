"""Faster forms of a potential for many calls, found by its class.

A file that can compute a class faster says so with `faster`, one that computes several parts of a sum
as one with `merges`; a class need not know of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Form = TypeVar("Form")
_FASTER: dict[type, Callable[..., object]] = {}
_MERGES: list[Callable[..., object]] = []


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


def merges(
    function: Callable[[Sequence[Form]], list[Form]],
) -> Callable[[Sequence[Form]], list[Form]]:
    """Decorator of a function parts of a sum -> parts of the same sum, fewer and faster."""
    _MERGES.append(function)
    return function


def merged(parts: Sequence[Form]) -> list[Form]:
    """The parts of a sum, those that can be computed as one as one."""
    for function in _MERGES:
        parts = function(parts)  # type: ignore[assignment]
    return list(parts)
