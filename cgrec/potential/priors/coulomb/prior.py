"""`Coulomb`: the prior of charged sites, which finds its permittivity itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ....frames import Frames
from ....observables import dielectric_constant
from ....ranges import expect, expect_reach
from ....system import System
from .screened import ScreenedCoulomb

#: e: charges of one type that differ by more are not equal.
SAME_CHARGE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Coulomb:
    """The prior of charged sites: a `ScreenedCoulomb`.

    Args:
        charges: e, {type: charge} or a list in the order of the types; None: those of the System.
        permittivity: epsilon_r of what is between the sites; None: measured from the dipoles of the
            level below, or the one that was measured there for the level below.
        cutoff: nm, of the part that is summed in real space (see `ScreenedCoulomb`).
        accuracy: of forces, relative to those of typical neighbours.
    """

    charges: Mapping[str, float] | Sequence[float] | None = None
    permittivity: float | None = None
    cutoff: float = 0.0
    accuracy: float = 1e-6

    def __post_init__(self) -> None:
        if self.permittivity is not None:
            expect("Coulomb", at_least=1, permittivity=self.permittivity)
        expect_reach("Coulomb", cutoff=self.cutoff)
        expect("Coulomb", above=0, below=1, accuracy=self.accuracy)

    #: Where a level keeps what `measure` gave.
    record: ClassVar[str] = "coulomb.json"

    def measure(
        self, parent: Frames, below: Mapping[str, object] | None, name: str
    ) -> dict[str, object]:
        """{"permittivity", "from"}: who says it, and its "error" where it was measured.

        Args:
            parent: frames of the level below.
            below: what was measured for the level below; None where nothing was.
            name: of the level, for what is said.

        Raises:
            ValueError: neither recipe nor level below say it, and `parent` has no neutral molecules
                with charges, or no box.
        """
        if self.permittivity is not None:
            return {"permittivity": self.permittivity, "from": "recipe"}
        if below is not None:
            return {"permittivity": below["permittivity"], "from": "level below"}
        found = dielectric_constant(parent)
        print(
            f"{name}: relative permittivity {found.value:.1f} +- {found.error:.1f} "
            "from the parent's dipoles",
            flush=True,
        )
        return {
            "permittivity": float(found.value),
            "error": float(found.error),
            "from": "dipoles of the parent",
        }

    def given(self, record: Mapping[str, object]) -> Coulomb:
        """Itself with what `measure` gave."""
        found = record["permittivity"]
        if not isinstance(found, int | float):
            raise ValueError(f"{self.record}: expected a number as permittivity, found {found!r}")
        return replace(self, permittivity=found)

    def __call__(self, frames: Frames, types: Sequence[str], /) -> ScreenedCoulomb:
        """Fitted to `frames`, whose dipoles give the permittivity where nobody else did.

        Raises:
            ValueError: the System gives sites of one type different charges, or none to a type in
                `types`.
        """
        permittivity = self.permittivity
        if permittivity is None:
            permittivity = float(dielectric_constant(frames).value)
        return ScreenedCoulomb(
            types=types,
            charges=charges_by_type(frames.system) if self.charges is None else self.charges,
            permittivity=permittivity,
            cutoff=self.cutoff,
            accuracy=self.accuracy,
        )


def charges_by_type(system: System) -> dict[str, float]:
    """{type: charge in e}. Raises ValueError where sites of one type have different charges."""
    types = np.array(system.types)
    found = {t: system.charges[types == t] for t in sorted(set(system.types))}
    unlike = {t: np.unique(q).tolist() for t, q in found.items() if np.ptp(q) > SAME_CHARGE}
    if unlike:
        raise ValueError(
            f"coulomb: expected equal System.charges within a type, found {unlike} e; give "
            "`charges` by type, or the sites different types"
        )
    return {t: float(q[0]) for t, q in found.items()}
