"""Mapping: the two matrices (linear), the choice of B (forces), and rules that choose sites: by
hand (sites), by residues, in mixed resolution (mixed), from the bond graph (graph), from data
(essential), as people draw them (learned).
"""

from .choose.essential import EssentialDynamics, essential_dynamics
from .choose.learned import Learned, learned_beads
from .forces import FORCE_MAPS, basic, constraint_aware, force_noise, least_noise
from .graph import Contracted, Contraction, HeavyAtomGroups, contract, heavy_atom_groups
from .linear import Mapping, basic_force_weights
from .mixed import Protected
from .residues import (
    Backbone,
    BackboneAndSideChain,
    ResidueCentres,
    ResidueTable,
    alpha_carbons,
)
from .sites import (
    CentresOfMass,
    Drop,
    HeavyAtoms,
    MoleculeCentres,
    Parts,
    Pick,
    Weighted,
    find_sites,
    from_partition,
)

__all__ = [
    "FORCE_MAPS",
    "Backbone",
    "BackboneAndSideChain",
    "CentresOfMass",
    "Contracted",
    "Contraction",
    "Drop",
    "EssentialDynamics",
    "HeavyAtomGroups",
    "HeavyAtoms",
    "Learned",
    "Mapping",
    "MoleculeCentres",
    "Parts",
    "Pick",
    "Protected",
    "ResidueCentres",
    "ResidueTable",
    "Weighted",
    "alpha_carbons",
    "basic",
    "basic_force_weights",
    "constraint_aware",
    "contract",
    "essential_dynamics",
    "find_sites",
    "force_noise",
    "from_partition",
    "heavy_atom_groups",
    "learned_beads",
    "least_noise",
]
