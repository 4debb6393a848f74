"""Priors by name, as a table of a level's recipe chooses them, and the fit of them all.

A prior of somebody else needs no name here: it stands in the recipe's list, or in its table under a
name of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from typing import Annotated, Required, TypedDict, Unpack

from ...frames import Frames
from ...options import Keywords
from ...ranges import expect_reach
from ..base import Potential
from .angles import Angles
from .bonds import Bonds
from .coulomb import Coulomb
from .dihedral import Dihedrals
from .excluded_volume import Repulsion
from .harmonic import Branches

#: What fits itself to frames, for a table of site types (`cgrec.roles.Prior`).
PriorFit = Callable[[Frames, Sequence[str]], Potential | Sequence[Potential] | None]


class ByName(TypedDict, total=False):
    """Keywords that choose priors of cgrec.

    Attributes:
        cutoff: nm, reach of the excluded volume.
        bonds, angles, branches, dihedrals, excluded_volume: which priors to fit.
        coulomb: keyword arguments of `Coulomb`, or None.
    """

    cutoff: Required[float]
    bonds: bool
    angles: bool
    branches: bool
    dihedrals: bool
    excluded_volume: bool
    coulomb: Mapping[str, object] | None


def fit_priors(
    frames: Frames, *, types: Sequence[str], **chosen: Unpack[ByName]
) -> list[Potential]:
    """The asked priors fitted to `frames` (with their weights); terms the System does not have are
    left out.

    Args:
        frames: targets of the level, already mapped.
        types: the table of site types the network will use.
        chosen: arguments of `priors_by_name`.

    Raises:
        ValueError: the System gives sites of one type different charges, or none to a type in
            `types`.
    """
    return fitted(priors_by_name(**chosen), frames, types)


def fitted(priors: Iterable[PriorFit], frames: Frames, types: Sequence[str]) -> list[Potential]:
    """What each of `priors` came to, in their order, without those that have no terms here."""
    found: list[Potential] = []
    for prior in priors:
        made = prior(frames, types)
        if made is not None:
            found += [made] if isinstance(made, Potential) else made
    return found


def priors_by_name(
    *,
    cutoff: float,
    bonds: bool = True,
    angles: bool = True,
    branches: bool = False,
    dihedrals: bool = False,
    excluded_volume: bool = True,
    coulomb: Annotated[Mapping[str, object] | None, Keywords(Coulomb)] = None,
    **own: PriorFit | None,
) -> list[PriorFit]:
    """The priors that a table chooses, in the order in which they are summed.

    Args:
        cutoff: nm, reach of the excluded volume.
        bonds, angles, branches, dihedrals, excluded_volume: which priors to fit.
        coulomb: keyword arguments of `Coulomb`, or None.
        own: priors under names of their own; None for none.

    Raises:
        ValueError: an unknown name, a switch that is neither true nor false, a cutoff that is none.
    """
    _check_own(own)
    switches = {
        "bonds": bonds,
        "angles": angles,
        "branches": branches,
        "dihedrals": dihedrals,
        "excluded_volume": excluded_volume,
    }
    _check_switches(switches)
    expect_reach("priors", cutoff=cutoff)
    wanted: list[tuple[object, PriorFit]] = [
        (bonds, Bonds()),
        (angles, Angles()),
        (branches, Branches()),
        (dihedrals, Dihedrals()),
        (excluded_volume, Repulsion(cutoff=cutoff)),
    ]
    priors = [prior for asked, prior in wanted if asked]
    if coulomb is not None:
        priors.append(_coulomb(coulomb))
    return priors + [prior for prior in own.values() if prior is not None]


def _check_switches(switches: Mapping[str, object]) -> None:
    """ValueError where one is not true or false: any other word would count as true."""
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise ValueError(f"priors.{name}: expected true or false, found {value!r}")


def _coulomb(options: Mapping[str, object]) -> Coulomb:
    known = [field.name for field in fields(Coulomb)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"priors.coulomb: expected some of {', '.join(known)}, found {unknown[0]}")
    return Coulomb(**options)  # type: ignore[arg-type]  # from a YAML: Coulomb checks the values


def _check_own(own: Mapping[str, object]) -> None:
    for name, prior in own.items():
        if prior is not None and not callable(prior):
            known = [key for key in ByName.__annotations__]
            near = get_close_matches(name, known, 1)
            raise ValueError(
                f"priors.{name}: expected one of {', '.join(known)}, or under a name of your own "
                f"a prior (_target_: ...), found {prior!r}"
                + (f"; did you mean {near[0]}?" if near else "")
            )
