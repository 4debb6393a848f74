"""`Restored`: what `backmap` gives, and what of it is kept beside the atoms."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from ..frames import Frames
from ..system import System
from .soundness import Soundness


@dataclass(frozen=True)
class ChainPart:
    """One chain of the result.

    Attributes:
        letter: its chain; empty for a lone chain without one.
        begin, end: its first and last residue, as the file of the trace calls them.
    """

    letter: str
    begin: str
    end: str


@dataclass(frozen=True)
class Restored:
    """What `backmap` gives.

    Attributes:
        frames: all atoms, the copies of the first frame first.
        sound: what is wrong with them.
        before: the same before the force field; None without one.
        energies: (n_frames,) kJ/mol of the force field, or None.
        chains: one by one, in order.
        source: (n_frames,) the frame of the trace that each frame was restored from.
    """

    frames: Frames
    sound: Soundness
    before: Soundness | None
    energies: NDArray[np.float64] | None
    chains: tuple[ChainPart, ...]
    source: NDArray[np.int64]

    def to_json(self) -> dict[str, object]:
        """Plain numbers and labels."""
        return {
            "atoms": self.frames.n_sites,
            "residues": len(np.unique(self.frames.system.residues)),
            "chains": [asdict(chain) for chain in self.chains],
            "bridges": bridges_of(self.frames.system),
            "source_frames": self.source.tolist(),
            "sound": self.sound.to_json(),
            "before_force_field": None if self.before is None else self.before.to_json(),
            "energies": None if self.energies is None else self.energies.tolist(),
        }


def bridges_of(system: System) -> list[str]:
    """Disulphide bonds, as the labels of their sulphurs: "A:CYS3:SG-A:CYS40:SG"."""
    labels = system.full_labels
    return [
        f"{labels[i]}-{labels[j]}"
        for i, j in system.bonds.tolist()
        if system.elements[i] == system.elements[j] == "S"
    ]
