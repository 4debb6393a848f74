"""`Mender`: restored atoms compared with the covalent geometry that was seen, and mended where they
are broken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..frames import Frames
from ..remarks import remark
from .minimise import minimise
from .reference import ReferenceField, ReferenceGeometry
from .split import Split

#: Frames compared at a time.
_BATCH = 4096
#: Force calls between two looks at what is broken, and looks: FIRE takes some 200 calls from a bond
#: of twice its length.
_MENDING, _LOOKS = 100, 5


class Mender:
    """Finds broken frames, `mender.broken(frames)`, and mends them, `mender(frames)`.

    Args:
        split: of the mapping whose sites stay.
        references: the covalent geometry of each kind of unit, and (n_copies, n_atoms) where its
            copies are; none for files of older versions.
        name: of the backmapper, for messages.
    """

    def __init__(
        self,
        split: Split,
        references: Sequence[tuple[ReferenceGeometry, NDArray[np.int64]]],
        name: str,
    ) -> None:
        self.split = split
        self.references = list(references)
        self.name = name

    def broken(self, fine: Frames) -> NDArray[np.bool_]:
        """(n_frames,) whether a bond, angle, stiff dihedral or hand is far outside all that
        was seen in the fit.
        """
        x = torch.tensor(np.asarray(fine.positions, float))
        found = torch.zeros(len(x), dtype=torch.bool)
        for reference, atoms in self.references:
            for some in range(0, len(x), _BATCH):
                found[some : some + _BATCH] |= reference.broken(x[some : some + _BATCH, atoms]).any(
                    -1
                )
        return found.numpy()

    def __call__(self, fine: Frames) -> Frames:
        """`mended`; a remark counts frames that stay broken.

        Raises:
            ValueError: most frames stay broken.
        """
        fine, left = self.mended(fine)
        if len(left):
            self._report_broken(fine, left)
        return fine

    def mended(self, fine: Frames) -> tuple[Frames, NDArray[np.int64]]:
        """`fine` with broken frames minimised in what the sites leave free, and which of them stay
        broken.
        """
        left = np.flatnonzero(self.broken(fine))
        positions = np.array(fine.positions)
        for _ in range(_LOOKS):
            if not len(left):
                break
            better = minimise(fine[left], self.split, ReferenceField(self.references), _MENDING)
            positions[left] = better.positions
            fine = replace(fine, positions=positions)
            left = left[self.broken(better)]
        return fine, left

    def _report_broken(self, fine: Frames, left: NDArray[np.int64]) -> None:
        """A remark on the frames `left` that are broken; ValueError where they are most."""
        words = (
            f"{len(left)} of {len(fine)} restored frames are broken, the first by its "
            f"{self.worst(fine, int(left[0]))}"
        )
        if len(left) > 0.5 * len(fine):
            raise ValueError(
                f"{self.name}: expected sites that whole molecules fit, found that "
                f"{words}: use sites like those of the "
                "frames it was fitted to, or fit it to frames like these"
            )
        remark(f"{self.name}: {words}; leave out those that `backmapper.broken(frames)` names")

    def worst(self, fine: Frames, frame: int) -> str:
        """The most strained term of a frame in words."""
        x = torch.tensor(np.asarray(fine.positions[frame], float))
        labels = self.split.mapping.fine.full_labels
        found = [
            g.worst(x[copy], [labels[i] for i in copy])
            for g, atoms in self.references
            for copy in atoms
        ]
        return max(found)[1]
