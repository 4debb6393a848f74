"""What scripts of an exported folder read: potential.pt, start/ and guard.npz; and check.json."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..frames import Frames
from ..potential import Potential
from .new_folder import KeepGuard


def write_model(
    folder: Path, potential: Potential, frames: Frames, keep_guard: KeepGuard | None
) -> Frames:
    """The potential, its guard where it has one, and the last of `frames`, which is given back."""
    last = replace(frames[-1:], forces=None, energies=None, weights=None, replicas=None)
    potential.save(folder / "potential.pt")
    last.save(folder / "start")
    if keep_guard is not None:
        keep_guard(folder / "guard.npz")
    return last


def check_of(potential: Potential, frames: Frames) -> str:
    """Content of check.json: energy and forces of the last frame by cgrec, which another program is
    compared with.
    """
    energy, forces = potential.energy_and_forces(frames[-1:])
    return json.dumps(
        {
            "energy": float(energy[0]),
            "energy_unit": "kJ/mol",
            "forces": np.asarray(forces[0]).tolist(),
            "force_unit": "kJ/mol/nm",
        }
    )
