"""Which sites of a chain are near each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from ..frames import Frames
from ..ranges import expect, expect_in_nm
from ..statistics.errors import Estimate, jackknife_rows
from ..system import System
from .evaluate import in_portions
from .pairs import OFFSET, PairVariable

#: nm between alpha carbons whose side chains may touch.
CUTOFF = 0.8


@dataclass(frozen=True, kw_only=True)
class ContactMap(PairVariable):
    """Whether two sites along a chain are within a distance: 1 or 0, one column a pair.

    Attributes:
        sites: labels in the order of the chain; by default the alpha carbons of the largest
            molecule, else its longest way along bonds.
        cutoff: nm.
        offset: least number of places between the two sites of a pair.
        name: what plots and tables call it.
    """

    sites: tuple[str, ...] = ()
    cutoff: float = CUTOFF
    offset: int = OFFSET
    name: str = "contacts"

    def __post_init__(self) -> None:
        super().__post_init__()
        expect(self.name, above=0, cutoff=self.cutoff)
        expect_in_nm(self.name, cutoff=self.cutoff)

    @property
    def unit(self) -> str:
        """Yes or no: 1."""
        return "1"

    def of(self, frames: Frames) -> NDArray[np.float64]:
        """(n_frames, n_pairs) 1 where they are in contact, else 0. Molecules must be whole."""
        pairs = self.pairs(frames.system)

        def near(positions: NDArray[np.float64], _: System) -> NDArray[np.float64]:
            return (geometry.distance(positions, pairs) < self.cutoff).astype(float)

        return in_portions(near, frames, len(pairs))

    def mean(self, frames: Frames, n_blocks: int | None = None) -> Estimate[NDArray[np.float64]]:
        """The mean map (n, n), symmetric, and its standard error from blocks; nan for pairs nearer
        along the chain than `offset`.

        Args:
            frames: the ensemble, with its weights.
            n_blocks: for the error; default `statistics.default_blocks`.
        """
        found = jackknife_rows(frames, self.of(frames), n_blocks=n_blocks)
        n = len(self._chosen.chain(frames.system))
        return Estimate(self._square(found.value, n), self._square(found.error, n))

    def _square(self, columns: NDArray[np.float64], n: int) -> NDArray[np.float64]:
        square = np.full((n, n), np.nan)
        i, j = np.triu_indices(n, self.offset)
        square[i, j] = square[j, i] = columns
        return square
