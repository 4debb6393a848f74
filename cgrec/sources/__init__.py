"""Sources of a level 0: files, an OpenMM force field, any ASE calculator, quantum chemistry, an NNP
trained on labels.
"""

from .base import SamplingStopped, Source
from .calculator import CalculatorSource
from .file import FileSource
from .force_field import ForceFieldSource
from .gaussian_chain import GaussianChainSource
from .molecule import molecule
from .network import NetworkSource
from .nnp.labelling import Labeller
from .nnp.quantum import QuantumSource
from .openmm import OpenMMSource

__all__ = [
    "CalculatorSource",
    "FileSource",
    "ForceFieldSource",
    "GaussianChainSource",
    "Labeller",
    "NetworkSource",
    "OpenMMSource",
    "QuantumSource",
    "SamplingStopped",
    "Source",
    "molecule",
]
