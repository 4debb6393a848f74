"""The state a PMF belongs to: one temperature, one density (S8). Terms of a sum share it, and a run
must be at it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np

from ..frames import SAME_TEMPERATURE, Frames

#: Share by which a density may lie outside the range a PMF was made from.
SAME_DENSITY = 0.015


class HasState(Protocol):
    """Anything with a state point."""

    temperature: float | None
    density: tuple[float, float] | None


def density_range(frames: Frames) -> tuple[float, float] | None:
    """(lowest, highest) number of sites per nm^3 over the frames; None for an open system."""
    if frames.box is None:
        return None
    volumes = np.abs(np.linalg.det(np.asarray(frames.box, float).reshape(-1, 3, 3)))
    return frames.n_sites / float(volumes.max()), frames.n_sites / float(volumes.min())


def common_state(terms: Iterable[HasState]) -> tuple[float | None, tuple[float, float] | None]:
    """Temperature and density of all terms that have one.

    Raises:
        ValueError: two of them differ.
    """
    temperature: float | None = None
    density: tuple[float, float] | None = None
    for term in terms:
        if temperature is None:
            temperature = term.temperature
        elif (
            term.temperature is not None and abs(term.temperature - temperature) > SAME_TEMPERATURE
        ):
            raise ValueError(
                "potentials can be added where they belong to one state, found PMFs of "
                f"{temperature} K and {term.temperature} K "
                "(a prior inverted from a sample counts as one): make both at one temperature "
                "(one that is an energy, not a PMF, "
                "has temperature None)"
            )
        if density is None:
            density = term.density
        elif term.density is not None:
            density = _overlap(density, term.density)
    return temperature, density


def _overlap(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    low, high = max(one[0], other[0]), min(one[1], other[1])
    if low > high * (1 + SAME_DENSITY):
        raise ValueError(
            "potentials can be added where they belong to one state, found PMFs of "
            f"{one[0]:.4g} to {one[1]:.4g} and of "
            f"{other[0]:.4g} to {other[1]:.4g} sites per nm^3: make both at one density"
        )
    return min(low, high), max(low, high)


def other_density(made_at: tuple[float, float] | None, frames: Frames) -> str | None:
    """How the density of `frames` differs from the one a PMF was made at; None where it does not,
    or where nobody knows.

    The frames a PMF was made of may come from a run at constant pressure: their whole range of
    densities is its own.
    """
    if made_at is None:
        return None
    found = density_range(frames)
    made = (
        f"{made_at[0]:.4g}"
        if made_at[1] < 1.001 * made_at[0]
        else f"{made_at[0]:.4g} to {made_at[1]:.4g}"
    )
    if found is None:
        return f"made at {made} sites per nm^3 and the run has no box"
    if found[0] < made_at[0] * (1 - SAME_DENSITY) or found[1] > made_at[1] * (1 + SAME_DENSITY):
        return f"made at {made} sites per nm^3 and the run is at {found[0]:.4g} to {found[1]:.4g}"
    return None
