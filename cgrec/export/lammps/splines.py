"""`UF3Potential` as a potential file of LAMMPS' `pair_style uf3`."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from ...potential import UF3Potential
from .names import names_of, row
from .terms import ANGSTROM, KCAL

#: Where LAMMPS stops, relative to the last knot: just short of it, or rounding could make it look
#: one knot too far.
_SHORT = 1 - 1e-10


def uf3_file(potential: UF3Potential) -> str:
    """The splines as a UF3 potential file of LAMMPS, in `real` units."""
    names, spacing = names_of(potential.types), "uk" if _uniform(potential) else "nk"
    blocks, pairs = [], potential.pair_table().detach().numpy() * KCAL
    n = range(len(potential.types))
    for i, j in combinations_with_replacement(n, 2):
        # LAMMPS sums over ordered pairs without a half.
        head = f"2B {names[potential.types[i]]} {names[potential.types[j]]} 0 3 {spacing}"
        knots = _clamped(potential.pair_spline.knots.numpy())
        cutoff = potential.cutoff * ANGSTROM * _SHORT
        blocks.append(
            [
                head,
                f"{cutoff!r} {len(knots)}",
                row(knots),
                str(pairs.shape[2]),
                row(pairs[i, j] / 2),
            ]
        )
    if potential.three_cutoff > 0:
        triples = potential.triple_table().detach().numpy() * KCAL
        blocks += [
            _triple_block(
                potential, triples[i, j, k], [names[potential.types[t]] for t in (i, j, k)], spacing
            )
            for i in n
            for j, k in combinations_with_replacement(n, 2)
        ]
    header = "#UF3 POT UNITS: real DATE: - AUTHOR: cgrec CITATION: 10.1038/s41524-023-01092-7"
    return "".join("\n".join([header, *block, "#"]) + "\n" for block in blocks)


def _triple_block(
    potential: UF3Potential, cube: NDArray[np.floating], names: list[str], spacing: str
) -> list[str]:
    side, across = (
        _clamped(s.knots.numpy()) for s in (potential.side_spline, potential.across_spline)
    )
    cutoff = potential.three_cutoff * ANGSTROM * _SHORT
    return [
        f"3B {' '.join(names)} 0 3 {spacing}",
        f"{2 * cutoff!r} {cutoff!r} {cutoff!r} {len(across)} {len(side)} {len(side)}",
        row(across),
        row(side),
        row(side),
        " ".join(map(str, cube.shape)),
        *(row(line) for line in cube.reshape(-1, cube.shape[2])),
    ]


def _uniform(potential: UF3Potential) -> bool:
    splines = [potential.pair_spline]
    splines += (
        [potential.side_spline, potential.across_spline] if potential.three_cutoff > 0 else []
    )
    return all(np.ptp(np.diff(s.knots.numpy())) < 1e-9 * float(s.knots[-1]) for s in splines)


def _clamped(knots: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.concatenate([[knots[0]] * 3, knots, [knots[-1]] * 3]) * ANGSTROM
