"""Potentials: networks, priors, biases, committees and sums of them."""

from . import bonded_kernel, kernel, traced  # noqa: F401  they bring faster forms (`backends`)
from .base import Potential, SumPotential, summands
from .bias import MetadynamicsBias
from .bond_graph import BondGraph
from .committee import Committee
from .dihedral_series import DihedralSeries, half_space
from .energy_entropy import EnergyEntropy, at_temperature, thermal_part
from .force_field import ForceField
from .harmonic import PairStiffness
from .network import DensityNetwork, network_maker
from .priors import (
    Angles,
    Bonds,
    Branches,
    BranchPrior,
    Coulomb,
    DihedralPrior,
    Dihedrals,
    ExcludedVolume,
    FlatBottomPrior,
    HarmonicPrior,
    LinePrior,
    Repulsion,
    ScreenedCoulomb,
    fit_priors,
)
from .site_pair_splines import SitePairSplines
from .tensor_network import TensorNetwork
from .uf3 import UF3Potential
from .variable_splines import VariableSplines
from .volume_term import VolumeTerm

__all__ = [
    "Angles",
    "BondGraph",
    "Bonds",
    "BranchPrior",
    "Branches",
    "Committee",
    "Coulomb",
    "DensityNetwork",
    "DihedralPrior",
    "DihedralSeries",
    "Dihedrals",
    "EnergyEntropy",
    "ExcludedVolume",
    "FlatBottomPrior",
    "ForceField",
    "HarmonicPrior",
    "LinePrior",
    "MetadynamicsBias",
    "PairStiffness",
    "Potential",
    "Repulsion",
    "ScreenedCoulomb",
    "SitePairSplines",
    "SumPotential",
    "TensorNetwork",
    "UF3Potential",
    "VariableSplines",
    "VolumeTerm",
    "at_temperature",
    "fit_priors",
    "half_space",
    "network_maker",
    "summands",
    "thermal_part",
]
