"""What a level knows that models of larger scales need, in SI units and with errors.

properties   numbers of a level, and why others are not known
pitzer       parameters of an electrolyte from activity derivatives at several concentrations
writing      them as YAML, for PyBaMM, for PHREEQC, for a Poisson-Nernst-Planck equation
"""

from .pitzer import Pitzer, at_constant_pressure, fit_pitzer
from .properties import Property, Sheet, properties_of
from .writing import WRITERS, provenance

__all__ = [
    "WRITERS",
    "Pitzer",
    "Property",
    "Sheet",
    "at_constant_pressure",
    "fit_pitzer",
    "properties_of",
    "provenance",
]
