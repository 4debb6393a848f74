"""Numbers that must lie in a range, refused with their names before any work."""

from __future__ import annotations

import math


def expect(
    where: str, *, above: float = -math.inf, at_least: float = -math.inf, **values: float
) -> None:
    """Check that each value is a finite number in the range.

    Args:
        where: class or function, for the message.
        above, at_least: lower bounds, excluded and included.
        values: by name.

    Raises:
        ValueError: the name, the range and the value.
    """
    wanted = f"more than {above:g}" if above > -math.inf else f"{at_least:g} or more"
    for name, value in values.items():
        if not (math.isfinite(value) and value > above and value >= at_least):  # false for NaN, too
            raise ValueError(f"{where}.{name}: expected {wanted}, found {value}")


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
