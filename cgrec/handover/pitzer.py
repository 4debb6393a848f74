"""Pitzer's equations of a 1:1 salt: parameters from activity derivatives at several concentrations.

K. S. Pitzer, J. Phys. Chem. 77, 268 (1973), with b = 1.2 and alpha = 2 (kg/mol)^(1/2):

    ln gamma = f + m B + m^2 C,   f = -A [s / (1 + b s) + (2 / b) ln(1 + b s)],  s = m^(1/2)
    B = 2 beta0 + (2 beta1 / (alpha^2 m)) [1 - (1 + alpha s - alpha^2 m / 2) exp(-alpha s)]
    C = 3/2 C_phi
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

#: (kg/mol)^(1/2), A_phi of water at 25 C and 1 atm, as PHREEQC has it to 0.1 %.
A_PHI = 0.3915
_B, _ALPHA = 1.2, 2.0
#: kg/l, of water at 25 C.
WATER = 0.99705
#: Parameters in their order, and from how many concentrations each is fitted.
NAMES = ("beta0", "beta1", "C_phi")
LEAST, ALL = 2, 4


@dataclass(frozen=True, eq=False)
class Pitzer:
    """Parameters of a 1:1 salt.

    Attributes:
        values, errors: {name: number}: beta0, beta1 (kg/mol), C_phi (kg^2/mol^2).
        covariance: of the values, in their order.
        molalities: (lowest, highest) mol/kg that they were fitted to.
        chi: root mean square of deviations over errors.
    """

    values: dict[str, float]
    errors: dict[str, float]
    covariance: Floats
    molalities: tuple[float, float]
    chi: float

    def ln_gamma(self, molality: ArrayLike) -> Floats:
        """ln gamma at molalities, mol/kg."""
        m = np.asarray(molality, float)
        terms = np.array([self.values.get(name, 0.0) for name in NAMES])
        return np.asarray(_debye_hueckel(m) + np.einsum("k,k...->...", terms, _terms(m)))

    def ln_gamma_error(self, molality: ArrayLike) -> Floats:
        """Standard error of `ln_gamma`, of the parameters alone."""
        terms = _terms(np.asarray(molality, float))[: len(self.values)]
        return np.sqrt(np.einsum("j...,jk,k...->...", terms, self.covariance, terms))


def at_constant_pressure(factor: float, concentration: float, molality: float) -> float:
    """d ln a / d ln m in water at constant pressure, of d ln a / d ln rho at constant chemical
    potential of the water: times (c / (m rho_w))^2.

    A litre holds c moles of salt and w of water, of which w v_w is the volume. On the bench Gibbs and
    Duhem give w d mu_w = -2 c RT d ln a, and v_w dPi = -d mu_w; where the water's potential is held,
    dPi = 2 c RT d ln a. By ln c the two slopes differ by w v_w = c / (m rho_w), and so do ln c and
    ln m, where partial molar volumes do not change. Of NaCl all of it holds to 1 % up to 4.5 mol/kg.

    Args:
        factor: d ln a / d ln rho.
        concentration: of the salt, mol/l.
        molality: of the salt, mol/kg.
    """
    return factor * (concentration / (molality * WATER)) ** 2


def fit_pitzer(molality: Sequence[float], slope: Sequence[float], error: Sequence[float]) -> Pitzer:
    """Parameters by weighted least squares, in which d ln a / d ln m is linear.

    The Debye-Hueckel limit fixes ln gamma at infinite dilution; between the concentrations it is
    Pitzer's form that is assumed. C_phi is fitted from four concentrations on, else 0.

    Args:
        molality: mol/kg, different ones.
        slope: d ln a / d ln m.
        error: of `slope`.

    Raises:
        ValueError: fewer than two concentrations: one gives a slope, and no activity; one that is
            not positive.
    """
    m, y, e = (np.asarray(x, float) for x in (molality, slope, error))
    if not (m > 0).all():
        raise ValueError(f"molality: expected more than 0 mol/kg, found {list(molality)}")
    if len(set(m.tolist())) < LEAST:
        raise ValueError(
            f"phreeqc: expected levels at {LEAST} concentrations or more, found "
            f"{len(set(m.tolist()))}: one gives the slope of the activity there, and not the "
            "activity; climb at others and give others=RUN,RUN"
        )
    names = NAMES[: 3 if len(m) >= ALL else 2]
    columns = _slope(m, _terms)[: len(names)].T
    rest = y - 1 - _slope(m, _debye_hueckel)
    covariance = np.linalg.inv((columns / e[:, None]).T @ (columns / e[:, None]))
    found = covariance @ (columns.T @ (rest / e**2))
    deviation = (rest - columns @ found) / e
    return Pitzer(
        dict(zip(names, found.tolist())),
        dict(zip(names, np.sqrt(np.diag(covariance)).tolist())),
        covariance,
        (float(m.min()), float(m.max())),
        float(np.sqrt(np.mean(deviation**2))),
    )


def _debye_hueckel(m: Floats) -> Floats:
    s = np.sqrt(m)
    return -A_PHI * (s / (1 + _B * s) + 2 / _B * np.log1p(_B * s))


def _terms(m: Floats) -> Floats:
    """(3, ...) what beta0, beta1 and C_phi add to ln gamma, each as one."""
    s = _ALPHA * np.sqrt(m)
    near = 1 - (1 + s - s**2 / 2) * np.exp(-s)
    return np.array([2 * m, 2 * near / _ALPHA**2, 1.5 * m**2])


def _slope(m: Floats, function: Callable[[Floats], Floats]) -> Floats:
    """d f / d ln m, by central differences of fourth order: exact to 1e-10."""
    step = 1e-3
    f = [function(m * np.exp(k * step)) for k in (-2, -1, 1, 2)]
    return np.asarray((f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * step))
