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
