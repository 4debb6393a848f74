"""The prior of bonds: springs, and walls where their samples end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...frames import Frames
from ..base import Potential
from .flat_bottom import FlatBottomPrior
from .harmonic import HarmonicPrior


@dataclass(frozen=True)
class Bonds:
    """The prior of all bonds: a `HarmonicPrior`, a `FlatBottomPrior` where their samples end early."""

    def __call__(self, frames: Frames, types: Sequence[str], /) -> list[Potential]:
        """Fitted to `frames`; empty without bonds."""
        fits = HarmonicPrior.fit(frames, types, 2), FlatBottomPrior.fit(frames, types, 2)
        return [prior for prior in fits if prior is not None]
