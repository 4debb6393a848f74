"""What ensembles say and how far two are apart: every distance with its error and its sampling
floor.
"""

from ..statistics.divergence import jensen_shannon
from ..statistics.errors import (
    block_average,
    effective_sample_size,
    jackknife,
    statistical_inefficiency,
)
from .conformation import compare_conformations, own_conformation
from .dielectric import dielectric_constant, dipole_moments
from .free_energy import (
    BASINS_ALANINE,
    Basin,
    Comparison,
    FreeEnergy,
    FreeEnergyDifference,
    Grid,
    basin_definitions,
    basins,
    compare_distributions,
    free_energy,
    free_energy_difference,
    histogram,
)
from .hand import HelixHand, helix_hand, mirror_images
from .ledger import LedgerRow, check_triangle, ledger_row, pair_row, table
from .liquid import (
    Difference,
    Liquid,
    LiquidDifference,
    LocalOrder,
    compare_liquids,
    first_shell_angles,
    liquid_table,
    mean_absolute_difference,
    radial_distributions,
    tetrahedral_order,
    three_body,
)
from .pair_distances import PairDistanceDivergence, pair_distance_divergence
from .renewal import Surroundings, surroundings
from .solution import (
    ActivityDerivative,
    KirkwoodBuff,
    Pressure,
    activity_derivative,
    kirkwood_buff,
    osmotic_coefficient,
    pressure,
)
from .structure import (
    chirality_flips,
    circular_wasserstein,
    compare_structure,
    flips_by_centre,
    rdf,
    stereocentres,
    wasserstein,
)
from .transitions import Transitions, transitions
from .transport import Diffusion, diffusion, friction_for_diffusion, yeh_hummer

__all__ = [
    "ActivityDerivative",
    "BASINS_ALANINE",
    "Basin",
    "Comparison",
    "Difference",
    "Diffusion",
    "FreeEnergy",
    "FreeEnergyDifference",
    "Grid",
    "HelixHand",
    "KirkwoodBuff",
    "LedgerRow",
    "Liquid",
    "LiquidDifference",
    "LocalOrder",
    "PairDistanceDivergence",
    "Pressure",
    "Surroundings",
    "Transitions",
    "activity_derivative",
    "basin_definitions",
    "basins",
    "block_average",
    "check_triangle",
    "chirality_flips",
    "circular_wasserstein",
    "compare_conformations",
    "compare_distributions",
    "compare_liquids",
    "compare_structure",
    "dielectric_constant",
    "diffusion",
    "dipole_moments",
    "effective_sample_size",
    "first_shell_angles",
    "flips_by_centre",
    "free_energy",
    "free_energy_difference",
    "friction_for_diffusion",
    "helix_hand",
    "histogram",
    "jackknife",
    "jensen_shannon",
    "kirkwood_buff",
    "ledger_row",
    "liquid_table",
    "mean_absolute_difference",
    "mirror_images",
    "osmotic_coefficient",
    "own_conformation",
    "pair_distance_divergence",
    "pair_row",
    "pressure",
    "radial_distributions",
    "rdf",
    "statistical_inefficiency",
    "stereocentres",
    "surroundings",
    "table",
    "tetrahedral_order",
    "three_body",
    "transitions",
    "wasserstein",
    "yeh_hummer",
]
