"""How sure a number is: errors and effective sample sizes, distances between distributions with
their sampling floors, samples drawn by weight, repeated frames.
"""

from .divergence import (
    Divergence,
    Tally,
    divergence,
    jensen_shannon,
    jensen_shannon_rows,
    split_floor,
)
from .drift import Drift, drift
from .errors import (
    Estimate,
    autocovariance,
    block_average,
    block_labels,
    default_blocks,
    effective_sample_size,
    effective_share,
    jackknife,
    jackknife_error,
    jackknife_rows,
    statistical_inefficiency,
)
from .resampling import draw, resampled

__all__ = [
    "Divergence",
    "Drift",
    "Estimate",
    "Tally",
    "autocovariance",
    "block_average",
    "block_labels",
    "default_blocks",
    "divergence",
    "draw",
    "drift",
    "effective_sample_size",
    "effective_share",
    "jackknife",
    "jackknife_error",
    "jackknife_rows",
    "jensen_shannon",
    "jensen_shannon_rows",
    "resampled",
    "split_floor",
    "statistical_inefficiency",
]
