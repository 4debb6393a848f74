"""What the module of the entry point holds can be named by `_target_` and by a .pt."""

from .network import SoftPairs
from .rule import EveryOther
from .source import SpringRing

__all__ = ["EveryOther", "SoftPairs", "SpringRing"]
