"""What may follow the run of a level: its ensemble corrected by what is known of the parent's, its
friction, and, for a better fit, mean forces as labels.

A correction is a file here or in somebody else's package (see `cgrec.roles.Correction`). Friction
and mean forces change no ensemble: friction is a function to call, `MeanForces` an option of a level.
"""

from ..roles import Corrected
from .chain import ChainRefinement
from .friction import FrictionRound, fit_friction
from .mean_force import MeanForces, mean_force_labels
from .pairs import PairRefinement, correct_pairs
from .populations import Populations, refine
from .pressure import PressureMatching

__all__ = [
    "ChainRefinement",
    "Corrected",
    "FrictionRound",
    "MeanForces",
    "PairRefinement",
    "Populations",
    "PressureMatching",
    "correct_pairs",
    "fit_friction",
    "mean_force_labels",
    "refine",
]
