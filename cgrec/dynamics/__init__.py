"""Running a Potential: Langevin dynamics of many replicas, replica exchange, biases and the
extrapolation guard.
"""

from .exchange import Exchange
from .friction import FrictionRound, fit_friction
from .guard import CommitteeGuard, FeatureGuard, Guard, feature_guard
from .langevin import BiasPlan, Langevin
from .mean_force import mean_force_labels
from .run import SIMULATION, AllLost, SimulationReport

__all__ = [
    "SIMULATION",
    "AllLost",
    "BiasPlan",
    "CommitteeGuard",
    "Exchange",
    "FeatureGuard",
    "FrictionRound",
    "Guard",
    "Langevin",
    "SimulationReport",
    "feature_guard",
    "fit_friction",
    "mean_force_labels",
]
