"""What ensembles say and how far two are apart: every distance with its error and its sampling floor."""

from .divergence import jensen_shannon
from .free_energy import (
    BASINS_ALANINE,
    Basin,
    Comparison,
    FreeEnergy,
    FreeEnergyDifference,
    Grid,
    basins,
    compare_distributions,
    free_energy,
    free_energy_difference,
    histogram,
)
from .ledger import LedgerRow, check_triangle, ledger_row, table
from .statistics import block_average, effective_sample_size, jackknife, statistical_inefficiency
from .structure import (
    chirality_flips,
    circular_wasserstein,
    compare_structure,
    rdf,
    stereocentres,
    wasserstein,
)

__all__ = [
    "BASINS_ALANINE", "Basin", "Comparison", "FreeEnergy", "FreeEnergyDifference", "Grid", "LedgerRow",
    "basins", "block_average", "check_triangle", "chirality_flips", "circular_wasserstein",
    "compare_distributions", "compare_structure", "effective_sample_size", "free_energy",
    "free_energy_difference", "histogram", "jackknife", "jensen_shannon", "ledger_row", "rdf",
    "statistical_inefficiency", "stereocentres", "table", "wasserstein",
]  # fmt: skip
