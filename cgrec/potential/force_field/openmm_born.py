"""OpenMM's generalised Born solvents: GBSAOBCForce, and the CustomGBForce of openmm.app, which is
known by its formulas.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...units import COULOMB
from .terms import BornConfig

if TYPE_CHECKING:
    import openmm

#: nm by which OpenMM's GBSAOBCForce makes radii smaller, and the radius of its solvent.
OFFSET, PROBE = 0.009, 0.14
#: alpha, beta, gamma of the same model.
OBC2 = (1.0, 0.8, 4.85)

_SHELL = "select(step(r+sr2-or1),0.5*(1/L-1/U+0.25*(r-sr2^2/r)*(1/(U^2)-1/(L^2))+0.5*log(L/U)/r),0)"
_SPHERES = {"U": "r+sr2", "L": "max(or1,D)", "D": "abs(r-sr2)"}
_DISTANCE = "getd0(radindex1,radindex2)"
_NECK = {
    "Ivdw": _SHELL,
    "Ineck": (
        "step(radius1+radius2+neckCut-r)*getm0(radindex1,radindex2)/"
        f"(1+100*(r-{_DISTANCE})^2+0.3*1000000*(r-{_DISTANCE})^6)"
    ),
    "radius1": "or1+offset",
    "radius2": "or2+offset",
}
_SCREENING = "(1/soluteDielectric-1/solventDielectric)"
#: Formulas of every model: main expression and definitions, without numbers.
_INTEGRALS = {
    "shell": (_SHELL, _SPHERES),
    "neck": ("Ivdw+neckScale*Ineck", {**_SPHERES, **_NECK}),
}
#: tanh of what, and its coefficients; None: they are parameters of each particle.
_BENT = {
    "psi-0.8*psi^2+4.85*psi^3": OBC2,
    "0.8*psi+2.909125*psi^3": (0.8, 0.0, 2.909125),
    "1.09511284*psi-1.907992938*psi^2+2.50798245*psi^3": (1.09511284, 1.907992938, 2.50798245),
    "alpha*psi-beta*psi^2+gamma*psi^3": None,
}
_NUMBER = r"([0-9.]+(?:[eE][-+]?[0-9]+)?)"
_OWN = re.compile(rf"-0\.5\*{_NUMBER}\*{re.escape(_SCREENING)}\*charge\^2/B")
_AMONG = re.compile(rf"-{_NUMBER}\*{re.escape(_SCREENING)}\*charge1\*charge2/f")
_STILL = {"f": "sqrt(r^2+B1*B2*exp(-r^2/(4*B1*B2)))"}
_SURFACE = re.compile(rf"{_NUMBER}\*\(radius\+{_NUMBER}\)\^2\*\(radius/B\)\^6")


@dataclass(frozen=True)
class BornTerms:
    """A generalised Born model as arrays: see `terms.Born`.

    Attributes:
        numbers: see `BornConfig`.
        radii: (n_sites, 3) nm: offset, scaled and whole.
        coefficients: (n_sites, 3).
        charges: (n_sites,) e.
        kinds: (n_sites,) rows of the tables.
        heights, distances: (n_kinds, n_kinds); (0, 0) without necks.
    """

    numbers: BornConfig
    radii: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    charges: NDArray[np.float64]
    kinds: NDArray[np.int64]
    heights: NDArray[np.float64]
    distances: NDArray[np.float64]

    def tensors(self) -> dict[str, Tensor]:
        """By the names of `ForceField`."""
        arrays = {
            "born_radii": self.radii,
            "born_coefficients": self.coefficients,
            "born_charges": self.charges,
            "neck_kinds": self.kinds,
            "neck_heights": self.heights,
            "neck_distances": self.distances,
        }
        return {name: torch.from_numpy(a.copy()) for name, a in arrays.items()}


def native_born(force: openmm.GBSAOBCForce) -> BornTerms:
    """Of OpenMM's own OBC2 model. Two atoms nearer than 0.06 nm, one sphere inside the other, are
    taken as CustomGBForce takes them.
    """
    found = [force.getParticleParameters(k) for k in range(force.getNumParticles())]
    charges, radii, scales = np.array(
        [[float(getattr(v, "_value", v)) for v in p] for p in found]
    ).T
    inner, n = radii - OFFSET, len(found)
    return BornTerms(
        {
            "strength": COULOMB
            * (1 / force.getSoluteDielectric() - 1 / force.getSolventDielectric()),
            "surface": 4 * np.pi * float(force.getSurfaceAreaEnergy()._value),
            "probe": PROBE,
            "neck_scale": 0.0,
            "neck_cut": 0.0,
        },
        np.stack([inner, scales * inner, radii], 1),
        np.tile(OBC2, (n, 1)),
        charges,
        *_no_necks(n),
    )


def custom_born(force: openmm.CustomGBForce) -> BornTerms:
    """Of a model that openmm.app writes: OBC1, OBC2, GBn or GBn2, with or without surface term.

    Raises:
        ValueError: its formulas are of none of them.
    """
    if force.getNumGlobalParameters() or force.getNumExclusions():
        raise _unknown("global parameters or exclusions")
    constants, necked = _integral(force)
    bent, offset = _radius(force)
    strength, surface, probe = _energies(force)
    per_site = _particles(force)
    n = force.getNumParticles()
    offset_radius = per_site["or"]
    if bent is None:
        coefficients = np.stack([per_site[name] for name in ("alpha", "beta", "gamma")], 1)
    else:
        coefficients = np.tile(bent, (n, 1))
    necks = _no_necks(n)
    if necked:
        necks = (
            per_site["radindex"].astype(np.int64),
            _tabulated(force, "getm0"),
            _tabulated(force, "getd0"),
        )
    return BornTerms(
        {
            "strength": strength,
            "surface": surface,
            "probe": probe,
            "neck_scale": constants.get("neckScale", 0.0),
            "neck_cut": constants.get("neckCut", 0.0),
        },
        np.stack([offset_radius, per_site["sr"], offset_radius + offset], 1),
        coefficients,
        per_site["charge"],
        *necks,
    )


def _unknown(what: str) -> ValueError:
    return ValueError(
        "ForceField: expected the CustomGBForce that implicit/obc1.xml, obc2.xml, gbn.xml or "
        f"gbn2.xml of openmm.app make, without salt (kappa 0), found {what}: take one of these, or "
        "run it by cgrec.sources.OpenMMSource"
    )


def _no_necks(n: int) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    return np.zeros(n, np.int64), np.zeros((0, 0)), np.zeros((0, 0))


def _read(expression: str) -> tuple[str, dict[str, str], dict[str, float]]:
    """Main expression, definitions that are formulas and those that are numbers."""
    main, *rest = [part for part in re.sub(r"\s", "", expression).split(";") if part]
    formulas: dict[str, str] = {}
    numbers: dict[str, float] = {}
    for part in rest:
        name, _, value = part.partition("=")
        if re.fullmatch(_NUMBER, value):
            numbers[name] = float(value)
        else:
            formulas[name] = value
    return main, formulas, numbers


def _integral(force: openmm.CustomGBForce) -> tuple[dict[str, float], bool]:
    """Constants of the integral, and whether it has necks."""
    if force.getNumComputedValues() != 2:
        raise _unknown(f"{force.getNumComputedValues()} computed values")
    name, expression, kind = force.getComputedValueParameters(0)
    main, formulas, numbers = _read(expression)
    if name == "I" and kind == force.ParticlePairNoExclusions:
        for model, wanted in _INTEGRALS.items():
            if (main, formulas) == wanted:
                return numbers, model == "neck"
    raise _unknown(f"{name} = {expression}")


def _radius(force: openmm.CustomGBForce) -> tuple[tuple[float, float, float] | None, float]:
    """Coefficients of the Born radius, None where each particle has its own; and the offset, nm."""
    name, expression, kind = force.getComputedValueParameters(1)
    main, formulas, numbers = _read(expression)
    inner = re.fullmatch(r"1/\(1/or-tanh\((.*)\)/radius\)", main)
    known = formulas == {"psi": "I*or", "radius": "or+offset"} and "offset" in numbers
    if name == "B" and kind == force.SingleParticle and known and inner and inner[1] in _BENT:
        return _BENT[inner[1]], numbers["offset"]
    raise _unknown(f"{name} = {expression}")


def _energies(force: openmm.CustomGBForce) -> tuple[float, float, float]:
    """Strength, surface and probe of `BornConfig`."""
    own = among = None
    surface, probe = 0.0, PROBE
    for k in range(force.getNumEnergyTerms()):
        expression, kind = force.getEnergyTermParameters(k)
        main, formulas, numbers = _read(expression)
        alone = kind == force.SingleParticle
        if alone and not formulas and (found := _OWN.fullmatch(main)):
            own = float(found[1]) * _screening(numbers)
        elif alone and formulas == {"radius": "or+offset"} and (found := _SURFACE.fullmatch(main)):
            surface, probe = float(found[1]), float(found[2])
        elif (
            kind == force.ParticlePairNoExclusions
            and formulas == _STILL
            and (found := _AMONG.fullmatch(main))
        ):
            among = float(found[1]) * _screening(numbers)
        else:
            raise _unknown(f"the energy {expression}")
    if own is None or own != among:
        raise _unknown(f"polarisation of strength {own} alone and {among} in pairs")
    return own, surface, probe


def _screening(numbers: dict[str, float]) -> float:
    return 1 / numbers["soluteDielectric"] - 1 / numbers["solventDielectric"]


def _particles(force: openmm.CustomGBForce) -> dict[str, NDArray[np.float64]]:
    """{name of a parameter: (n_sites,)}."""
    count = force.getNumPerParticleParameters()
    names = [force.getPerParticleParameterName(k) for k in range(count)]
    rows = [force.getParticleParameters(k) for k in range(force.getNumParticles())]
    return dict(zip(names, np.array(rows, dtype=float).reshape(-1, count).T))


def _tabulated(force: openmm.CustomGBForce, name: str) -> NDArray[np.float64]:
    """(n_kinds, n_kinds) a table by its first and second argument."""
    for k in range(force.getNumTabulatedFunctions()):
        if force.getTabulatedFunctionName(k) == name:
            nx, ny, values = force.getTabulatedFunction(k).getFunctionParameters()
            return np.array(values, dtype=float).reshape(ny, nx).T
    raise _unknown(f"no table {name}")
