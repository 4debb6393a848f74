"""Charges that act on each other through a dielectric, over all images of a periodic box."""

from .prior import Coulomb
from .screened import ScreenedCoulomb

__all__ = ["Coulomb", "ScreenedCoulomb"]
