"""What the module of the entry point holds can be named by `_target_` and by a .pt."""

from .correction import SameSize
from .engine import MetropolisWalk
from .hook import Tether
from .network import SoftPairs
from .objective import NoisedForces
from .prior import Size, SizePrior
from .rule import EveryOther
from .source import SpringRing
from .variable import Spread

__all__ = [
    "EveryOther",
    "MetropolisWalk",
    "NoisedForces",
    "SameSize",
    "Size",
    "SizePrior",
    "SoftPairs",
    "Spread",
    "SpringRing",
    "Tether",
]
