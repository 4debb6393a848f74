"""Values of a variable in many frames, a few at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, as_tensor

from ..frames import Frames, release
from ..geometry import X
from ..system import System

Values = NDArray[np.float64]
#: Numbers that a portion of the work holds at once: about 80 MB.
_AT_ONCE = 10_000_000


def in_portions(
    values: Callable[[Values, System], Values], frames: Frames, terms: int = 0
) -> Values:
    """`values` of all frames, of as many at a time as fit into memory.

    Args:
        values: (positions (n, n_sites, 3) nm, System) -> (n, ...).
        frames: all of them.
        terms: numbers that it needs for each frame beside the positions.
    """
    step = max(1, _AT_ONCE // max(3 * frames.n_sites, 3 * terms, 1))
    found = []
    for start in range(0, len(frames), step):
        part = np.asarray(frames.positions[start : start + step], float)
        found.append(np.asarray(values(part, frames.system), float))
        release(frames.positions)
    return np.concatenate(found)


def like(x: X, values: Values) -> X:
    """`values` as what `x` is: an array, or a tensor of its type on its device."""
    return as_tensor(values, dtype=x.dtype, device=x.device) if isinstance(x, Tensor) else values
