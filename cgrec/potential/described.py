"""What is seen of a Potential at a first look: one line, and a card for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..cards import card, some

if TYPE_CHECKING:
    from .base import Potential


class Described:
    """Its parts, what sites it is for, its reach, its size and its state point."""

    def __repr__(self: Potential) -> str:  # type: ignore[misc]  # Potential is what inherits
        return f"{_names(self)}({', '.join(_facts(self).values())})"

    def _repr_html_(self: Potential) -> str:  # type: ignore[misc]
        return card(_names(self), list(_facts(self).items()))


def _names(potential: Potential) -> str:
    """Classes of its parts."""
    parts = getattr(potential, "parts", [potential])
    return " + ".join(type(part).__name__ for part in parts)


def _facts(potential: Potential) -> dict[str, str]:
    """What is said of it in one line."""
    kelvin, n = potential.temperature, sum(p.numel() for p in potential.parameters())
    return {
        "types": some(potential.types),
        "reach": f"cutoff {potential.cutoff:g} nm" if potential.cutoff else "no cutoff",
        "parameters": f"{n} parameters",
        "state": "an energy" if kelvin is None else f"a PMF at {kelvin:g} K",
    }
