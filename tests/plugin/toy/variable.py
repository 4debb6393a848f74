"""A variable: what levels are compared in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cgrec import Frames, System


@dataclass(frozen=True)
class Spread:
    """Largest distance of a site from the first one, nm."""

    name: str = "spread"

    @property
    def sites(self) -> tuple[str, ...]:
        return ()

    @property
    def periodic(self) -> bool:
        return False

    @property
    def unit(self) -> str:
        return "nm"

    def defined_on(self, system: System) -> bool:
        return system.n_sites > 1

    def of(self, frames: Frames) -> NDArray[np.float64]:
        x = np.asarray(frames.positions, float)
        return np.asarray(np.linalg.norm(x - x[:, :1], axis=-1).max(1), float)

    def __call__(self, frames: Frames) -> NDArray[np.float64]:
        return self.of(frames)
