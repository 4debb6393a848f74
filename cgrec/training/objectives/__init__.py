"""What a fit minimises, one file each (role `cgrec.roles.Objective`)."""

from .energies import MatchEnergies
from .forces import MatchForces
from .torques import MatchTorques, Torques
from .total import Total

__all__ = ["MatchEnergies", "MatchForces", "MatchTorques", "Torques", "Total"]
