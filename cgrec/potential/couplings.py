"""Which features of a site couple to an invariant."""

from __future__ import annotations


def triples(l_max: int) -> list[tuple[int, int, int]]:
    """Degrees of three densities that couple to a scalar; a factor with l = 0 adds nothing the MLP
    cannot make.
    """
    degrees = range(1, l_max + 1)
    return [(a, b, c) for a in degrees for b in degrees for c in degrees if a <= b <= c <= a + b]
