"""An exporter: `cgrec export table run=... level=1 to=DIR [digits=3]`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cgrec import Frames, Potential


def write_table(potential: Potential, frames: Frames, folder: Path, *, digits: int = 6) -> Path:
    """Energies of the frames, one a line, in `folder`/energies.txt."""
    folder = Path(folder)
    if folder.exists():
        raise FileExistsError(
            f"{folder} exists already: choose another folder or remove it yourself"
        )
    energies = potential.energy_and_forces(frames)[0]
    folder.mkdir(parents=True)
    np.savetxt(
        folder / "energies.txt", energies, fmt=f"%.{digits}f", header=type(potential).__name__
    )
    return folder
