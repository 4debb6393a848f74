"""Numbers of a level that models of larger scales need, and those that it cannot have.

The flux of charge of ions that move on their own gives the Nernst-Einstein conductivity; that of all
ions together (Einstein, the collective displacement of charge) has their correlations. Both are those
of the level: without solvent there is no flow that one ion makes for another.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..files import Json, read_json
from ..frames import Frames
from ..level import Level
from ..observables import activity_derivative, diffusion
from ..potential import Coulomb
from ..run import layout
from ..run.digests import checked_json
from ..statistics.errors import jackknife_rows
from ..system import System
from ..units import DIFFUSION

#: m^2/s of one nm^2/ps.
SQUARE = 1e-9 / DIFFUSION["1e-9 m^2/s"]
#: C, J/K and 1/mol, exact (SI, 2019); m^3 of one nm^3.
CHARGE, KELVIN, AVOGADRO, CUBE = 1.602176634e-19, 1.380649e-23, 6.02214076e23, 1e-27
#: Share by which boxes differ that do not change.
FIXED = 1e-9
#: Standard errors by which a level's diffusion may be off its parent's before that is said.
SIGMA = 2.0

_ALONE = "ions taken to move on their own: their correlations mostly make it smaller"
_NO_FLOW = "a thermostat takes up momentum: no flow of the solvent"


@dataclass(frozen=True, kw_only=True)
class Property:
    """A number with its standard error.

    Attributes:
        name: what it is.
        of: type of site; "" of the whole.
        value, standard_error: in `unit`; the error is None where `method` says why.
        unit: SI; "1" of a pure number.
        method: how it was found.
        remark: what limits it; "" where nothing does.
    """

    name: str
    of: str = ""
    value: float
    standard_error: float | None
    unit: str
    method: str
    remark: str = ""


@dataclass
class Sheet:
    """Numbers of a level, and {name: why it is not known} of the others."""

    found: list[Property] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, value: float, error: float | None, unit: str, **more: str) -> None:
        """One more number."""
        self.found.append(Property(name=name, value=value, standard_error=error, unit=unit, **more))

    def get(self, name: str, of: str = "") -> Property | None:
        """The number of this name; None where it is not known."""
        return next((p for p in self.found if (p.name, p.of) == (name, of)), None)


def properties_of(level: Level) -> Sheet:
    """What is known of a level: diffusion coefficients by the fitted friction; of ions in a periodic
    box also concentration, permittivity, conductivity, transference numbers, thermodynamic factor.
    """
    sheet, frames = Sheet(), level.frames
    _motion(level, sheet)
    charges = charges_of(level, frames.system)
    if frames.box is None or not charges.any():
        why = f"{level.name} has no charged sites in a periodic box"
        names = ("concentration", "conductivity", "transference number", "thermodynamic factor")
        sheet.unknown |= dict.fromkeys(names, why)
    else:
        _permittivity(level, sheet)
        volume = _concentration(frames, charges, sheet)
        _conductivity(level, frames, charges, volume, sheet)
        _activity(frames, charges, sheet)
    _never(level, sheet)
    return sheet


def charges_of(level: Level, system: System) -> np.ndarray:
    """(n_sites,) e, those of its Coulomb term, else of the System; zeros where nobody says."""
    potential = level.potential if (level.folder / layout.POTENTIAL).exists() else None
    for part in getattr(potential, "parts", None) or ([potential] if potential else []):
        if "charges" in part.config:
            table = dict(zip(part.types, map(float, part.config["charges"])))
            return np.array([table[kind] for kind in system.types])
    return np.asarray(system.charges, float)


def _motion(level: Level, sheet: Sheet) -> None:
    """Diffusion coefficients at the last round of the fit of friction."""
    number = layout.level_number(level.folder)
    about = checked_json(level.folder / layout.ABOUT_FRICTION)
    if not about:
        sheet.unknown["diffusion coefficient"] = (
            f"a coarse level moves too fast: {level.name} has no friction that makes it diffuse as "
            f"its parent does; fit it by cgrec friction run={level.folder.parent} level={number} "
            "interval=PS, PS the time between the parent's frames"
            if number
            else "level 0 is a sample, not a run in time: measure it where it was made"
        )
        return
    parent, last = about["parent"], about["rounds"][-1]
    for kind, (value, error) in last["diffusion"].items():
        wanted, its_error = parent[kind]
        apart = abs(value - wanted) > SIGMA * float(np.hypot(error, its_error))
        said = f"the parent has {SQUARE * wanted:.4g} +- {SQUARE * its_error:.1g} m^2/s"
        sheet.add(
            "diffusion coefficient",
            SQUARE * value,
            SQUARE * error,
            "m^2/s",
            of=kind,
            method="mean squared displacement, at the friction fitted to the parent",
            remark=said if apart else "",
        )


def _permittivity(level: Level, sheet: Sheet) -> None:
    record = level.measured.get(Coulomb.record, {})
    if not record:
        sheet.unknown["permittivity"] = "its potential has no Coulomb term that says one"
        return
    error = record.get("error")
    sheet.add(
        "permittivity",
        float(record["permittivity"]),
        None if error is None else float(error),
        "1",
        method=f"of the solvent that was left out, by {record['from']}"
        + ("" if error is not None else ": stated, so it has no error"),
        remark="of the solvent's model, not of the liquid in experiment",
    )


def _concentration(frames: Frames, charges: np.ndarray, sheet: Sheet) -> float:
    """Of each type of ion; returns the mean volume in m^3."""
    volumes = np.abs(np.linalg.det(np.asarray(frames.boxes(), float))) * CUBE
    volume = float(frames.normalised_weights() @ volumes)
    method, spread = "counted in its box", 0.0
    if np.ptp(volumes) < FIXED * volume:
        method += ", which does not change: exact"
    else:
        spread = float(jackknife_rows(frames, volumes[:, None]).error[0]) / volume
    kinds = np.array(frames.system.types)
    for kind in dict.fromkeys(kinds[charges != 0].tolist()):
        value = int((kinds == kind).sum()) / (AVOGADRO * volume)
        sheet.add("concentration", value, spread * value, "mol/m^3", of=kind, method=method)
    return volume


def _conductivity(
    level: Level, frames: Frames, charges: np.ndarray, volume: float, sheet: Sheet
) -> None:
    """Of ions on their own, and of all together; the share that each type carries."""
    kinds = np.array(frames.system.types)
    ions = [sheet.get("diffusion coefficient", kind) for kind in dict.fromkeys(kinds.tolist())]
    carried = [p for p in ions if p is not None and charges[kinds == p.of].any()]
    if not carried:
        why = sheet.unknown["diffusion coefficient"]
        sheet.unknown |= dict.fromkeys(("conductivity", "transference number"), why)
        return
    unit = CHARGE**2 / (volume * KELVIN * frames.temperature)
    squares = np.array([(charges[kinds == p.of] ** 2).sum() for p in carried])
    parts = unit * squares * [p.value for p in carried]
    errors = unit * squares * [p.standard_error or 0.0 for p in carried]
    total = float(parts.sum())
    sheet.add(
        "conductivity",
        total,
        float(np.linalg.norm(errors)),
        "S/m",
        of="Nernst-Einstein",
        method="from the diffusion coefficients",
        remark=_ALONE,
    )
    for k, one in enumerate(carried):
        share = parts[k] / total
        slopes = np.where(np.arange(len(parts)) == k, 1 - share, -share) / total
        sheet.add(
            "transference number",
            float(share),
            float(np.linalg.norm(slopes * errors)),
            "1",
            of=one.of,
            method="its share of the Nernst-Einstein conductivity",
            remark=_ALONE,
        )
    _together(level, charges, unit, sheet)


def _together(level: Level, charges: np.ndarray, unit: float, sheet: Sheet) -> None:
    """By the displacement of charge in the last run of the fit of friction, where it is kept."""
    rounds = sorted((level.folder / layout.FRICTION).glob("round_*"), key=lambda p: int(p.name[6:]))
    about = rounds[-1] / layout.SIMULATION if rounds else None
    interval = read_json(about).get("interval") if about is not None and about.exists() else None
    if not interval:
        sheet.unknown["conductivity with correlations"] = "the run at this friction is not there"
        return
    run = Frames.load(rounds[-1])
    moment = np.einsum("fix,i->fx", np.asarray(run.positions, float), charges)[:, None]
    one = System(names=("charge",), masses=np.ones(1))
    moved = Frames(one, moment, run.temperature, replicas=run.replicas)
    found = diffusion(moved, "charge", float(interval))
    sheet.add(
        "conductivity",
        unit * SQUARE * found.value,
        unit * SQUARE * found.error,
        "S/m",
        of="Einstein",
        method="displacement of all charge, mean squared",
        remark=_NO_FLOW,
    )


def _activity(frames: Frames, charges: np.ndarray, sheet: Sheet) -> None:
    """d ln a / d ln rho of a 1:1 salt."""
    kinds = np.array(frames.system.types)
    cations = sorted(set(kinds[charges > 0].tolist()))
    anions = sorted(set(kinds[charges < 0].tolist()))
    if len(cations) != 1 or len(anions) != 1 or not np.allclose(np.abs(charges[charges != 0]), 1):
        sheet.unknown["thermodynamic factor"] = "the theory used here is of one 1:1 salt"
        return
    found = activity_derivative(frames, cations[0], anions[0])
    sheet.add(
        "thermodynamic factor",
        found.value,
        found.error,
        "1",
        of=f"{cations[0]} {anions[0]}",
        method="d ln a / d ln rho by Kirkwood-Buff integrals, at constant "
        "chemical potential of the solvent",
        remark="of this concentration alone",
    )


def _never(level: Level, sheet: Sheet) -> None:
    """What no level of this kind knows."""
    sheet.unknown |= {
        "viscosity": "a Langevin thermostat does not conserve momentum, so no momentum flows",
        "osmotic coefficient": "the pressure of a level lacks -<dW/dV>, which forces at one volume "
        "do not show; integrate the thermodynamic factor over several concentrations",
        "activity coefficient": "one concentration gives its slope alone; give others=RUNS at "
        "several concentrations, and to=phreeqc integrates from infinite dilution",
    }


def as_json(one: Property, verdict: str) -> Json:
    """A number as files hold it."""
    known = {key: value for key, value in vars(one).items() if value not in ("", None)}
    return {**known, "standard_error": one.standard_error, "verdict": verdict}
