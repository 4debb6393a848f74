"""Mapping: two matrices (linear), rules that choose sites (sites), sites from data (essential), the choice of B (forces)."""

from .essential import essential_dynamics
from .forces import FORCE_MAPS, basic, constraint_aware, force_noise, least_noise
from .linear import Mapping, basic_force_weights
from .sites import CentresOfMass, Drop, HeavyAtoms, MoleculeCentres, Pick, Weighted

__all__ = [
    "FORCE_MAPS", "CentresOfMass", "Drop", "HeavyAtoms", "Mapping", "MoleculeCentres", "Pick", "Weighted",
    "basic", "basic_force_weights", "constraint_aware", "essential_dynamics", "force_noise", "least_noise",
]  # fmt: skip
