"""A level: its recipe, its folder, its making and its run.

Read `level` first; `folder` is what can be read of a level, `maker` its four steps, `trial` and
`strays` what is tried before and after a fit, `run` the run and the corrections, `products` what is
made of it later.
"""

from .folder import LevelFolder
from .level import Level, potential_of, seed_of
from .maker import mapping_of, training_frames
from .products import HELD_OUT, backmapping_frames
from .recipe import LevelRecipe
from .strays import Strays

__all__ = [
    "HELD_OUT",
    "Level",
    "LevelFolder",
    "LevelRecipe",
    "Strays",
    "backmapping_frames",
    "mapping_of",
    "potential_of",
    "seed_of",
    "training_frames",
]
