"""What the variables of this room have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from ..frames import Frames
from ..system import System


class FrameVariable(ABC):
    """Interface of variables that say themselves why a level cannot express them. One on a line,
    not on a circle, has no more to say of `periodic`.
    """

    @property
    def periodic(self) -> bool:
        """No."""
        return False

    @abstractmethod
    def missing_on(self, system: System) -> str | None:
        """Why it cannot be computed there, in words; None where it can."""

    @abstractmethod
    def of(self, frames: Frames) -> NDArray[np.float64]:
        """(n_frames,) or (n_frames, n_columns)."""

    def defined_on(self, system: System) -> bool:
        """Whether nothing is missing there."""
        return self.missing_on(system) is None

    def __call__(self, frames: Frames) -> NDArray[np.float64]:
        """The same as `of`."""
        return self.of(frames)
