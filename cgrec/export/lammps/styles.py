"""Potentials of pairs and of surroundings as pair styles of LAMMPS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import singledispatch

from ...potential import DensityNetwork, ExcludedVolume, Potential, ScreenedCoulomb, UF3Potential
from .network import network_file, wall_file
from .splines import uf3_file
from .terms import ANGSTROM

#: nm of the pairs that a Coulomb sum without a cutoff of its own sums directly.
NEAR = 1.0
#: Accuracy of forces that LAMMPS is asked for, relative to those of two charges of e one Angstrom
#: apart: forces between ions in water are ten thousand times as small.
WAVES = 1e-9


@dataclass(frozen=True)
class PairStyle:
    """What LAMMPS is told of one part of a potential.

    Attributes:
        name: of the style, with its arguments.
        file: that its coefficients are in, with its text; "" for none.
        text: of the file.
        reach: nm.
        compiled: it belongs to the plugin that comes along.
        commands: further ones.
        charges: e, of each type; empty where it has none.
    """

    name: str
    reach: float
    file: str = ""
    text: str = ""
    compiled: bool = False
    commands: tuple[str, ...] = ()
    charges: dict[str, float] = field(default_factory=dict)


@singledispatch
def pair_style_of(part: Potential, periodic: bool, /) -> PairStyle:
    """What `part` is in LAMMPS, of a system in a box or without one.

    Potentials of somebody else are known from `pair_style_of.register`, next to their class.

    Raises:
        NotImplementedError: nobody has said what it is. ValueError: LAMMPS has no such sum.
    """
    raise NotImplementedError(type(part).__name__)


def knows(function: Callable[..., object], part: Potential) -> bool:
    """Whether somebody has registered `part` with this dispatch."""
    dispatch = function.dispatch  # type: ignore[attr-defined]  # of functools.singledispatch
    return dispatch(type(part)) is not dispatch(object)


@pair_style_of.register
def _splines(part: UF3Potential, periodic: bool, /) -> PairStyle:
    order = 3 if part.three_cutoff > 0 else 2
    return PairStyle(f"uf3 {order}", part.cutoff, "potential.uf3", uf3_file(part))


@pair_style_of.register
def _network(part: DensityNetwork, periodic: bool, /) -> PairStyle:
    return PairStyle("cgrec", part.cutoff, "network.txt", network_file(part), compiled=True)


@pair_style_of.register
def _wall(part: ExcludedVolume, periodic: bool, /) -> PairStyle:
    return PairStyle("cgrec/wall", part.cutoff, "wall.txt", wall_file(part), compiled=True)


@pair_style_of.register
def _coulomb(part: ScreenedCoulomb, periodic: bool, /) -> PairStyle:
    if not periodic:
        raise ValueError(
            "LAMMPS export: expected a periodic box of a level with charges (coul/long), found an "
            "open system; run it with cgrec run, or put it in a wide box"
        )
    reach = part.cutoff or NEAR
    permittivity = float(part.config["permittivity"])
    return PairStyle(
        f"coul/long {reach * ANGSTROM!r}",
        reach,
        commands=(f"dielectric {permittivity!r}", f"kspace_style ewald {WAVES!r}"),
        charges=dict(zip(part.types, part.charges.tolist())),
    )
