"""Potentials: networks, priors, biases, committees and sums of them."""

from .base import Potential, SumPotential
from .bias import MetadynamicsBias
from .bond_graph import BondGraph
from .committee import Committee
from .coulomb import ScreenedCoulomb
from .dihedral import DihedralPrior, DihedralSeries, half_space
from .excluded_volume import ExcludedVolume
from .harmonic import PairStiffness
from .network import DensityNetwork, network_maker
from .prior import (
    BranchPrior,
    HarmonicPrior,
    LinePrior,
    fit_priors,
)
from .uf3 import UF3Potential

__all__ = [
    "BondGraph",
    "BranchPrior",
    "Committee",
    "DensityNetwork",
    "DihedralPrior",
    "DihedralSeries",
    "ExcludedVolume",
    "HarmonicPrior",
    "LinePrior",
    "MetadynamicsBias",
    "PairStiffness",
    "Potential",
    "ScreenedCoulomb",
    "SumPotential",
    "UF3Potential",
    "fit_priors",
    "network_maker",
    "half_space",
]
