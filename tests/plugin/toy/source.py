"""A source: where the frames of level 0 come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cgrec import Frames, System
from cgrec.sources import Source
from cgrec.units import thermal_energy


class SpringRing(Source):
    """Independent samples of a ring of beads and springs about its centre.

    Args:
        n_sites: beads.
        n_frames: samples.
        spring: kJ/mol/nm^2.
        temperature: K.
    """

    independent = True

    def __init__(
        self,
        *,
        n_sites: int = 8,
        n_frames: int = 400,
        spring: float = 50.0,
        temperature: float = 300.0,
    ) -> None:
        self.n_sites = n_sites
        self.n_frames = n_frames
        self.spring = spring
        self.temperature = temperature

    def recipe(self) -> dict[str, Any]:
        return dict(vars(self))

    def sample(self, folder: Path, seed: int) -> Frames:
        n = self.n_sites
        stiffness = self.spring * (
            2 * np.eye(n) - np.roll(np.eye(n), 1, 0) - np.roll(np.eye(n), -1, 0)
        )
        values, vectors = np.linalg.eigh(stiffness)
        modes = np.random.default_rng(seed).normal(
            size=(self.n_frames, n - 1, 3)
        )  # the ring as a whole stays
        modes *= np.sqrt(thermal_energy(self.temperature) / values[1:])[:, None]
        positions = np.einsum("ik,fkx->fix", vectors[:, 1:], modes)
        bonds = [(i, i + 1) for i in range(n - 1)] + [(0, n - 1)]
        system = System(
            names=tuple(f"R{i}" for i in range(n)),
            types=("R",) * n,
            masses=np.full(n, 12.0),
            bonds=bonds,
        )
        forces = -np.einsum("ij,fjx->fix", stiffness, positions)
        return Frames(system, positions, self.temperature, forces=forces)
