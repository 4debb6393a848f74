"""What ensembles say and how far two are apart: every distance with its error and its sampling floor."""

from .backmapping import BackmappingReport, compare_backmapping, weight_efficiency, worst_frames
from .conformation import compare_conformations, own_conformation
from .dielectric import dielectric_constant, dipole_moments
from .divergence import jensen_shannon
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
from .ledger import LedgerRow, check_triangle, ledger_row, table
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
from .mapping_scores import (
    ForceNoise,
    HiddenFluctuation,
    KineticShare,
    MappingEntropy,
    gaussian_mapping_entropy,
    grid_mapping_entropy,
    hidden_fluctuation,
    kinetic_share,
    noise_removed,
)
from .solution import (
    ActivityDerivative,
    KirkwoodBuff,
    Pressure,
    activity_derivative,
    kirkwood_buff,
    osmotic_coefficient,
    pressure,
)
from .statistics import block_average, effective_sample_size, jackknife, statistical_inefficiency
from .structure import (
    chirality_flips,
    circular_wasserstein,
    compare_structure,
    flips_by_centre,
    rdf,
    stereocentres,
    wasserstein,
)
from .transport import Diffusion, diffusion, friction_for_diffusion, yeh_hummer

__all__ = [
    "ActivityDerivative", "BASINS_ALANINE", "BackmappingReport", "Basin", "Comparison", "Difference", "Diffusion",
    "ForceNoise", "FreeEnergy", "FreeEnergyDifference", "Grid", "HiddenFluctuation", "KineticShare", "KirkwoodBuff", "LedgerRow", "Liquid", "LiquidDifference", "LocalOrder", "MappingEntropy", "Pressure",
    "activity_derivative", "basin_definitions", "basins", "block_average", "check_triangle", "chirality_flips",
    "circular_wasserstein", "compare_backmapping", "compare_conformations", "compare_distributions", "compare_liquids", "compare_structure", "dielectric_constant", "diffusion", "dipole_moments",
    "effective_sample_size", "first_shell_angles", "flips_by_centre", "free_energy", "free_energy_difference",
    "friction_for_diffusion", "gaussian_mapping_entropy", "grid_mapping_entropy", "hidden_fluctuation", "histogram", "jackknife", "jensen_shannon", "kinetic_share", "kirkwood_buff", "ledger_row",
    "liquid_table", "mean_absolute_difference", "noise_removed", "osmotic_coefficient", "own_conformation", "pressure", "radial_distributions", "rdf", "statistical_inefficiency",
    "stereocentres", "table", "tetrahedral_order", "three_body", "wasserstein", "weight_efficiency", "worst_frames", "yeh_hummer",
]  # fmt: skip
