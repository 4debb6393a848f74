"""Sources of a level 0: files, an OpenMM force field, any ASE calculator, quantum chemistry."""

from .base import SamplingStopped, Source
from .calculator import CalculatorSource
from .file import FileSource
from .openmm import OpenMMSource

__all__ = ["CalculatorSource", "FileSource", "OpenMMSource", "SamplingStopped", "Source"]
