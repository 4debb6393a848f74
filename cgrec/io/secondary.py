"""Secondary structure, by mdtraj."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..frames import Frames
from .objects import to_mdtraj


def secondary_structure(frames: Frames) -> NDArray[np.str_]:
    """(n_frames, n_residues) letter of DSSP, "H" for an alpha helix, " " for a loop, "NA" for a
    residue without the atoms of a backbone (W. Kabsch, C. Sander, Biopolymers 22, 2577 (1983);
    mdtraj.compute_dssp).
    """
    import mdtraj

    found: NDArray[np.str_] = mdtraj.compute_dssp(to_mdtraj(frames), simplified=False)
    return found
