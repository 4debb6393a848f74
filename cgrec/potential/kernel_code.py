"""The part of density_kernel.cpp that depends on the degrees of a network, written out as straight
code.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from e3nn import o3

from .couplings import triples

Polynomial = dict[tuple[int, ...], float]  # {(powers of x, y, z): coefficient}


def generated(l_max: int) -> str:
    """C++ of spherical harmonics, their gradients and the three-fold couplings, with e3nn's
    conventions.
    """
    polynomials = [p for degree in range(l_max + 1) for p in _harmonic_polynomials(degree)]
    return "\n".join([*_harmonics(polynomials), *_gradients(polynomials), *_couplings(l_max)])


def _harmonic_polynomials(degree: int) -> list[Polynomial]:
    """{(powers of x, y, z): coefficient} of each harmonic of this degree, found by fitting e3nn's
    values.
    """
    powers = [p for p in itertools.product(range(degree + 1), repeat=3) if sum(p) == degree]
    points = np.random.default_rng(0).normal(size=(4 * len(powers), 3))
    values = o3.spherical_harmonics(
        degree, torch.from_numpy(points), normalize=False, normalization="component"
    ).numpy()
    monomials = np.stack([np.prod(points ** np.array(p), axis=1) for p in powers], 1)
    coefficients = np.linalg.lstsq(monomials, values, rcond=None)[0].T
    return [{p: float(c) for p, c in zip(powers, row) if abs(c) > 1e-9} for row in coefficients]


def _code(polynomial: Polynomial) -> str:
    return " + ".join(
        f"real({c!r})" + "".join(f" * {name}" for name, n in zip("xyz", p) for _ in range(n))
        for p, c in polynomial.items()
    )


def _derivative(polynomial: Polynomial, axis: int) -> Polynomial:
    lower = lambda p: tuple(n - (k == axis) for k, n in enumerate(p))  # noqa: E731
    return {lower(p): c * p[axis] for p, c in polynomial.items() if p[axis]}


def _harmonics(polynomials: list[Polynomial]) -> Iterator[str]:
    yield "template <class V> inline void harmonics(V x, V y, V z, V* out) {"
    yield "    out[0] = V{};"
    yield "    if constexpr (std::is_same_v<V, vec>) out[0] += real(1); else out[0].v += real(1);"
    yield from (f"    out[{i}] = {_code(p)};" for i, p in enumerate(polynomials) if i)
    yield "}"


def _gradients(polynomials: list[Polynomial]) -> Iterator[str]:
    """Non-zero derivatives of the homogeneous polynomials, and their contraction with what pulls at
    each harmonic.
    """
    terms = [
        (i, axis, d)
        for i, p in enumerate(polynomials)
        for axis in range(3)
        if (d := _derivative(p, axis))
    ]
    yield f"constexpr int N_GRADIENTS = {len(terms)};"
    yield "inline void harmonic_gradients(vec x, vec y, vec z, vec* out) {"
    yield from (f"    out[{k}] = vec{{}} + ({_code(d)});" for k, (_, _, d) in enumerate(terms))
    yield "}"
    yield "inline void turning(const vec* gradients, const vec* pulls, vec* out) {"
    for axis in range(3):
        mine = [(k, i) for k, (i, a, _) in enumerate(terms) if a == axis]
        yield f"    out[{axis}] = {' + '.join(f'gradients[{k}] * pulls[{i}]' for k, i in mine)};"
    yield "}"


def _couplings(l_max: int) -> Iterator[str]:
    """Products a b c of three mixtures in rows of (a, b, c), and what they pass back."""
    tables = [_table(*t) for t in triples(l_max)]
    yield "template <class V> inline void couple(const V* m, V* f) {"
    for t, table in enumerate(tables):
        yield "    { V total{};"
        for a, row in table.items():
            inner = " + ".join(f"m[{b} * MV + CV] * ({_last(last)})" for b, last in row.items())
            yield f"      total += m[{a} * MV] * ({inner});"
        yield f"      f[{t} * CV] = total; }}"
    yield "}"
    yield "template <class V> inline void couple_back(const V* m, const V* gf, V* gm) {"
    for t, table in enumerate(tables):
        yield f"    {{ const V g = gf[{t} * CV];"
        for a, row in table.items():
            yield f"      {{ const V ga = g * m[{a} * MV]; V inner{{}};"
            for b, last in row.items():
                yield (
                    f"        {{ const V s = {_last(last)}, b = m[{b} * MV + CV], gab = ga * b; "
                    f"inner += b * s; gm[{b} * MV + CV] += ga * s;"
                )
                yield (
                    "          "
                    + " ".join(
                        f"gm[{c} * MV + 2 * CV] += real({w!r}) * gab;" for c, w in last.items()
                    )
                    + " }"
                )
            yield f"        gm[{a} * MV] += g * inner; }}"
        yield "    }"
    yield "}"


def _last(last: dict[int, float]) -> str:
    return " + ".join(f"real({w!r}) * m[{c} * MV + 2 * CV]" for c, w in last.items())


def _table(i: int, j: int, k: int) -> dict[int, dict[int, dict[int, float]]]:
    """{row of a: {row of b: {row of c: Wigner 3j}}}, non-zero ones."""
    values = o3.wigner_3j(i, j, k, dtype=torch.float64).numpy()
    table: dict[int, dict[int, dict[int, float]]] = {}
    for a, b, c in zip(*np.nonzero(np.abs(values) > 1e-9)):
        table.setdefault(i * i + int(a), {}).setdefault(j * j + int(b), {})[k * k + int(c)] = float(
            values[a, b, c]
        )
    return table
