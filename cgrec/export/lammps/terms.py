"""Bonded potentials as LAMMPS' bonded styles.

Walls are expressions for the Lepton library, several styles of one kind a hybrid one. A
`DihedralPrior` fades where three sites come to stand on a line, and LAMMPS' dihedrals do not:
there, below a sine of 0.3, the two differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from ...potential import (
    DihedralPrior,
    DihedralSeries,
    FlatBottomPrior,
    HarmonicPrior,
    LinePrior,
    Potential,
)
from ...units import energy_factor, length_factor

#: Internal units in those of LAMMPS' `real`.
ANGSTROM, KCAL = 1 / length_factor("angstrom"), 1 / energy_factor("kcal/mol")


class BondedTerms:
    """Bonded terms: sites of each, and its LAMMPS style with coefficients as one line."""

    #: The style of terms that do not say theirs.
    USUAL: ClassVar[dict[str, str]] = {
        "bond": "harmonic",
        "angle": "harmonic",
        "dihedral": "fourier",
    }

    def __init__(self) -> None:
        self.sites: dict[str, list[list[int]]] = {"bond": [], "angle": [], "dihedral": []}
        self.lines: dict[str, list[tuple[str, str]]] = {"bond": [], "angle": [], "dihedral": []}
        self.series: list[DihedralSeries] = []

    def add(self, kind: str, sites: object, lines: Sequence[str], style: str | None = None) -> None:
        """Terms of a kind, bond, angle or dihedral: their sites (n_terms, k), and the coefficients
        of each in a LAMMPS style; None: in the `USUAL` one.
        """
        self.sites[kind] += np.asarray(sites).tolist()
        self.lines[kind] += [(style or self.USUAL[kind], line) for line in lines]

    def types(self, kind: str) -> list[tuple[str, str]]:
        """Different styles with coefficients, in the order they first come."""
        return list(dict.fromkeys(self.lines[kind]))

    def commands(self, kind: str) -> list[str]:
        """What LAMMPS is told about this kind: several styles as a hybrid one."""
        styles = list(dict.fromkeys(style for style, _ in self.lines[kind]))
        if not styles:
            return []
        several = len(styles) > 1
        coefficients = [f"{style} {line}" if several else line for style, line in self.types(kind)]
        return [
            f"{kind}_style {'hybrid ' if several else ''}{' '.join(styles)}",
            *(f"{kind}_coeff {n} {line}" for n, line in enumerate(coefficients, 1)),
        ]


@singledispatch
def add_terms(part: Potential, terms: BondedTerms, /) -> None:
    """Add what `part` is in LAMMPS to `terms`.

    Potentials of somebody else are known from `add_terms.register`, next to their class.

    Raises:
        NotImplementedError: nobody has said what it is.
    """
    raise NotImplementedError(type(part).__name__)


@add_terms.register
def _harmonic(prior: HarmonicPrior, terms: BondedTerms, /) -> None:
    # LAMMPS writes K (x - x0)^2: no half.
    stiffness, centre = 0.5 * prior.stiffness.numpy() * KCAL, prior.centre.numpy()
    if prior.sites.shape[1] == 2:
        kind, stiffness, centre = "bond", stiffness / ANGSTROM**2, centre * ANGSTROM
    else:
        kind, centre = "angle", np.degrees(centre)
    terms.add(
        kind, prior.sites, [f"{k!r} {x!r}" for k, x in zip(stiffness.tolist(), centre.tolist())]
    )


@add_terms.register
def _lines(prior: LinePrior, terms: BondedTerms, /) -> None:
    lines = [repr(k) for k in (prior.stiffness * KCAL).tolist()]
    terms.add("angle", prior.sites, lines, "cosine")


@add_terms.register
def _walls(prior: FlatBottomPrior, terms: BondedTerms, /) -> None:
    numbers = torch.stack([prior.lower, prior.upper, prior.below, prior.above], 1).tolist()
    if prior.sites.shape[1] == 2:
        terms.add("bond", prior.sites, [_bond_wall(*row) for row in numbers], "lepton")
    else:
        terms.add("angle", prior.sites, [_angle_wall(*row) for row in numbers], "lepton")


def _bond_wall(lower: float, upper: float, below: float, above: float) -> str:
    """Where the wall is flat, in Angstrom, and the energy as a function of the distance from there:
    LAMMPS takes what it is there as zero.
    """
    flat = _between(lower, upper, below, above)
    scale = KCAL / ANGSTROM**2
    ends = (lower - flat) * ANGSTROM, (upper - flat) * ANGSTROM
    return f"{flat * ANGSTROM!r} {_parabolas('r', *ends, below * scale, above * scale)}"


def _angle_wall(lower: float, upper: float, below: float, above: float) -> str:
    """As `_bond_wall`, in degrees and with the angle from there in rad; walls are of the cosine."""
    flat = float(np.arccos(np.clip(_between(lower, upper, below, above), -1, 1)))
    walls = _parabolas(f"cos(theta+{flat!r})", lower, upper, below * KCAL, above * KCAL)
    return f"{np.degrees(flat).item()!r} {walls}"


def _between(lower: float, upper: float, below: float, above: float) -> float:
    """A place between the walls, of which one may be nowhere."""
    if below and above:
        return 0.5 * (lower + upper)
    return lower if below else upper


def _parabolas(x: str, lower: float, upper: float, below: float, above: float) -> str:
    """The two half parabolas of a wall, for the Lepton library."""
    sides = [(below, "min", lower), (above, "max", upper)]
    terms = [f"{0.5 * k!r}*{end}({x}-({place!r}),0)^2" for k, end, place in sides if k]
    return "+".join(terms) or "0"


@add_terms.register
def _dihedral(prior: DihedralPrior, terms: BondedTerms, /) -> None:
    orders = np.arange(1, prior.cosine.shape[1] + 1)
    lines = [_fourier(orders, c, s) for c, s in zip(prior.cosine.numpy(), prior.sine.numpy())]
    terms.add("dihedral", prior.sites, lines)


@add_terms.register
def _dihedral_series(series: DihedralSeries, terms: BondedTerms, /) -> None:
    if len(series.sites) > 1:
        terms.series.append(series)
        return
    orders = series.orders[:, 0].numpy().astype(int)
    # cos(-n x) = cos(n x), sin(-n x) = -sin(n x): LAMMPS wants orders that are not negative.
    line = _fourier(abs(orders), series.cosine.numpy(), np.sign(orders) * series.sine.numpy())
    terms.add("dihedral", series.sites, [line])


def _fourier(
    orders: NDArray[np.int64], cosine: NDArray[np.floating], sine: NDArray[np.floating]
) -> str:
    """sum a cos(n x) + b sin(n x) as sum K (1 + cos(n x - d)); a term of order zero takes the ones
    away.
    """
    size, shift = np.hypot(cosine, sine) * KCAL, np.degrees(np.arctan2(sine, cosine))
    terms = [
        *zip(size.tolist(), orders.tolist(), shift.tolist()),
        (-0.5 * float(size.sum()), 0, 0.0),
    ]
    return f"{len(terms)} " + " ".join(f"{k!r} {n} {d!r}" for k, n, d in terms)


def colvar(number: int, series: DihedralSeries) -> str:
    """Colvars input of one series: its energy as a custom function of dihedrals in degrees, times a
    linear restraint.
    """
    phase = [
        "(" + "+".join(f"({n * np.pi / 180!r})*s{d}" for d, n in enumerate(orders, 1) if n) + ")"
        for orders in series.orders.numpy().astype(int).tolist()
    ]
    terms = [
        f"({a * KCAL!r})*cos{x}+({b * KCAL!r})*sin{x}"
        for a, b, x in zip(series.cosine.tolist(), series.sine.tolist(), phase)
    ]
    groups = [
        f"  dihedral {{\n    name s{d}\n"
        + "".join(f"    group{g} {{ atomNumbers {s + 1} }}\n" for g, s in enumerate(sites, 1))
        + "  }\n"
        for d, sites in enumerate(series.sites.tolist(), 1)
    ]
    head = f"colvar {{\n  name series{number}\n  customFunction {'+'.join(terms)}\n"
    return (
        f"{head}{''.join(groups)}}}\nlinear {{\n  colvars series{number}\n  centers 0.0\n  "
        f"forceConstant 1.0\n}}\n"
    )
