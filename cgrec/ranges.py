"""Numbers that must lie in a range, refused with their names before any work.

A range is stated once, in the constructor whose argument it is of, by a call of `expect` or of one of
the others here. `cgrec check` runs those calls, and `cgrec keys` puts them into words, without making
the object (see `cgrec.configuration.rehearsal`): give each argument under its own name.
"""

from __future__ import annotations

import math
from collections.abc import Callable


def expect(
    where: str,
    *,
    above: float = -math.inf,
    at_least: float = -math.inf,
    below: float = math.inf,
    at_most: float = math.inf,
    **values: float,
) -> None:
    """Check that each value is a finite number in the range.

    Args:
        where: class or function, for the message.
        above, at_least: lower bounds, excluded and included.
        below, at_most: upper bounds, excluded and included.
        values: by name.

    Raises:
        ValueError: the name, the range and the value.
    """
    wanted = in_words(above=above, at_least=at_least, below=below, at_most=at_most)
    for name, value in values.items():
        inside = above < value < below and at_least <= value <= at_most
        if not (inside and math.isfinite(value)):  # false for NaN, too
            raise ValueError(f"{where}.{name}: expected {wanted}, found {value}")


def in_words(
    *,
    above: float | str = -math.inf,
    at_least: float | str = -math.inf,
    below: float | str = math.inf,
    at_most: float | str = math.inf,
) -> str:
    """A range in words. A bound that is text is the name of another argument."""
    low = [
        f"{_number(at_least)} or more" if at_least != -math.inf else "",
        f"more than {_number(above)}" if above != -math.inf else "",
    ]
    high = [
        f"less than {_number(below)}" if below != math.inf else "",
        f"at most {_number(at_most)}" if at_most != math.inf else "",
    ]
    return " and ".join(part for part in (*low, *high) if part) or "a finite number"


def _number(bound: float | str) -> str:
    return bound if isinstance(bound, str) else f"{bound:g}"


#: nm: no coarse potential reaches so far; in angstroms those of molecules do.
FARTHEST_REACH = 5.0


def expect_reach(where: str, **cutoffs: float) -> None:
    """Refuse cutoffs of potentials that are none, or in angstroms; `where` and ValueError as in
    `expect`. Zero is the cutoff of a potential without neighbours.
    """
    expect(where, at_least=0, **cutoffs)
    expect_unit(where, "nm", below=FARTHEST_REACH, mistaken="angstroms", factor=0.1, **cutoffs)


#: nm: no two sites that far apart are in contact; in angstroms every cutoff of a contact is larger.
FARTHEST_CONTACT = 2.5


def expect_in_nm(where: str, **cutoffs: float) -> None:
    """Refuse cutoffs of contacts in angstroms; `where` and ValueError as in `expect`."""
    expect_unit(where, "nm", below=FARTHEST_CONTACT, mistaken="angstroms", factor=0.1, **cutoffs)


def expect_unit(
    where: str, unit: str, *, below: float, mistaken: str, factor: float, **values: float
) -> None:
    """Refuse numbers that are too large to be meant in `unit`: they were given in another one.

    Args:
        where: class or function, for the message.
        unit: that is expected.
        below: in `unit`, what nobody means.
        mistaken: the unit that was most likely meant.
        factor: `unit` of one `mistaken`.
        values: by name.

    Raises:
        ValueError: the name, the unit, the value, and the value turned into `unit`.
    """
    for name, value in values.items():
        if value >= below:
            raise ValueError(
                f"{where}.{name}: expected {unit}, below {below:g}, found {value:g}; if these are "
                f"{mistaken}, give {value * factor:.4g}"
            )


#: What a call of each states, in words.
WORDS: dict[str, Callable[..., str]] = {
    "expect": in_words,
    "expect_reach": lambda: in_words(at_least=0, below=FARTHEST_REACH),
    "expect_in_nm": lambda: in_words(below=FARTHEST_CONTACT),
    "expect_unit": lambda *, below, **_: in_words(below=below),
}
#: Keywords of those calls that are no arguments of a constructor.
BOUNDS = ("above", "at_least", "below", "at_most", "mistaken", "factor")
