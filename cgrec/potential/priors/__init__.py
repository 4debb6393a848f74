"""Priors: simple energies with the right behaviour where there are no data, fitted to frames.

They are subtracted from the force labels before training and added back in simulation (a sum of
Potentials), so the network learns the rest and a model that leaves its data meets a wall instead of
a hole.

One file each: an energy (`HarmonicPrior`), and what fits it to frames and is chosen by a recipe
(`Bonds`): role `cgrec.roles.Prior`.
"""

from .angles import Angles, LinePrior
from .bonds import Bonds
from .chain_walls import ChainWalls
from .chosen import PriorFit, fit_priors, fitted, priors_by_name
from .coulomb import Coulomb, ScreenedCoulomb
from .dihedral import DihedralPrior, Dihedrals
from .excluded_volume import ExcludedVolume, Repulsion
from .flat_bottom import FlatBottomPrior
from .harmonic import Branches, BranchPrior, HarmonicPrior

__all__ = [
    "Angles",
    "Bonds",
    "BranchPrior",
    "Branches",
    "ChainWalls",
    "Coulomb",
    "DihedralPrior",
    "Dihedrals",
    "ExcludedVolume",
    "FlatBottomPrior",
    "HarmonicPrior",
    "LinePrior",
    "PriorFit",
    "Repulsion",
    "ScreenedCoulomb",
    "fit_priors",
    "fitted",
    "priors_by_name",
]
