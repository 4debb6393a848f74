"""Polynomials that stand for elementary functions in C++ kernels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

#: Of the angle that `ATAN` gives: an error of 1e-12 rad.
_ATAN_DEGREE = 17


def atan_table() -> str:
    """C++ of ATAN, which bonded_terms.h computes angles with: 2 atan(z) / z by the square of z, for
    |z| <= 1.
    """
    return cpp_table("ATAN", "double", fitted(_twice_atan, _ATAN_DEGREE, 0.0, 1.0))


def cpp_table(name: str, kind: str, values: NDArray[np.float64]) -> str:
    """C++ of a constant array."""
    numbers = ", ".join(repr(float(c)) for c in values)
    return f"constexpr {kind} {name}[] = {{{numbers}}};"


def fitted(
    function: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    degree: int,
    low: float,
    high: float,
) -> NDArray[np.float64]:
    """(degree + 1,) coefficients of the polynomial through the Chebyshev points of [low, high],
    highest power first.
    """
    near = np.polynomial.Chebyshev.interpolate(function, degree, domain=[low, high])
    series = near.convert(kind=np.polynomial.Polynomial, domain=[-1, 1], window=[-1, 1])
    return np.asarray(series.coef[::-1])


def _twice_atan(square: NDArray[np.float64]) -> NDArray[np.float64]:
    z = np.sqrt(square)
    return 2 * np.arctan(z) / z
