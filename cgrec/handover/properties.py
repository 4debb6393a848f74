"""Numbers of a level that models of larger scales need, and those that it cannot have."""

from __future__ import annotations

from dataclasses import dataclass

from ..level import Level
from ..run import layout
from ..run.digests import checked_json
from ..units import DIFFUSION

#: m^2/s of one nm^2/ps.
_SI = 1e-9 / DIFFUSION["1e-9 m^2/s"]
#: Errors by which a level's diffusion may be off its parent's before that is said.
SIGMA = 2.0


@dataclass(frozen=True, kw_only=True)
class Property:
    """A number with its standard error, in SI units.

    Attributes:
        name: what it is, and of which type of site.
        value, standard_error: in `unit`.
        unit: SI.
        method: how it was found.
        remark: what limits it; "" where nothing does.
    """

    name: str
    value: float
    standard_error: float
    unit: str
    method: str
    remark: str = ""


def properties_of(level: Level) -> tuple[list[Property], dict[str, str]]:
    """Numbers of a level, and {name: why it is not known} of the others."""
    found, unknown = [], {}
    number = layout.level_number(level.folder)
    about = checked_json(level.folder / layout.ABOUT_FRICTION)
    if about:
        found += _diffusion(about)
    elif number:
        run = level.folder.parent
        unknown["diffusion coefficient"] = (
            f"a coarse level moves too fast: {level.name} has no friction that makes it diffuse as "
            f"its parent does; fit it by cgrec friction run={run} level={number} interval=PS, PS the "
            "time between the parent's frames"
        )
    return found, unknown


def _diffusion(about: dict[str, object]) -> list[Property]:
    """By the last round of the fit of friction."""
    parent, last = about["parent"], about["rounds"][-1]  # type: ignore[index]
    found = []
    for kind, (value, error) in last["diffusion"].items():
        wanted, its_error = parent[kind]  # type: ignore[index]
        apart = abs(value - wanted) > SIGMA * (error**2 + its_error**2) ** 0.5
        said = f"the parent has {_SI * wanted:.3g} +- {_SI * its_error:.1g} m^2/s"
        found.append(
            Property(
                name=f"diffusion coefficient of {kind}",
                value=_SI * value,
                standard_error=_SI * error,
                unit="m^2/s",
                method="mean squared displacement at the friction fitted to its parent",
                remark=said if apart else "",
            )
        )
    return found
