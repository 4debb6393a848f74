"""A bead-spring chain in the ideal limit: every PMF of it is known in closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..frames import Frames
from ..ranges import expect
from ..system import System
from ..units import thermal_energy
from .base import Source


class GaussianChainSource(Source):
    """Independent exact samples of a Gaussian chain, with forces.

    Args:
        n_sites: beads.
        n_frames: samples.
        bond: nm, root mean square bond length.
        temperature: K.
    """

    independent = True

    def __init__(
        self,
        *,
        n_sites: int = 16,
        n_frames: int = 20000,
        bond: float = 0.38,
        temperature: float = 300,
    ) -> None:
        expect("GaussianChainSource", at_least=2, n_sites=n_sites)
        expect("GaussianChainSource", at_least=1, n_frames=n_frames)
        expect("GaussianChainSource", above=0, bond=bond, temperature=temperature)
        self.n_sites = n_sites
        self.n_frames = n_frames
        self.bond = bond
        self.temperature = temperature

    def recipe(self) -> dict[str, object]:
        return dict(vars(self))

    @property
    def stiffness(self) -> float:
        """Spring constant 3 kT / bond^2, kJ/mol/nm^2."""
        return 3 * thermal_energy(self.temperature) / self.bond**2

    def system(self) -> System:
        return System(
            names=tuple(f"B{i}" for i in range(self.n_sites)),
            types=("B",) * self.n_sites,
            masses=np.full(self.n_sites, 12.0),
            bonds=np.array([(i, i + 1) for i in range(self.n_sites - 1)]),
        )

    def sample(self, folder: Path, seed: int) -> Frames:
        rng = np.random.default_rng((seed, 3))
        bonds = rng.normal(scale=self.bond / np.sqrt(3), size=(self.n_frames, self.n_sites - 1, 3))
        positions = np.concatenate(
            [np.zeros((self.n_frames, 1, 3)), np.cumsum(bonds, axis=1)], axis=1
        )
        forces = -np.einsum(
            "ij,fjx->fix", self.stiffness * chain_laplacian(self.n_sites), positions
        )
        return Frames(self.system(), positions, self.temperature, forces=forces)


def chain_laplacian(n: int) -> NDArray[np.float64]:
    """(n, n) graph Laplacian of a linear chain: its stiffness matrix for unit springs."""
    laplacian = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    laplacian[0, 0] = laplacian[-1, -1] = 1
    return laplacian
