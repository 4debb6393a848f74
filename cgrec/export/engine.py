"""A Potential of one System as the force routine of somebody else's engine."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ..potential.base import Potential
from ..potential.graph import SiteGraph, VerletList, check_box
from ..potential.virial import energy_forces_virial
from ..remarks import remark
from ..roles import Guard
from ..system import System


class Engine:
    """Energy and forces of one configuration after the other, neighbours kept while nothing moves
    far.

    Args:
        potential: evaluated through `Potential.compiled()`.
        system: the sites.
        skin: nm added to the cutoff.
        guard: of the potential.

    Raises:
        ValueError: a site type the potential does not know.
    """

    def __init__(
        self,
        potential: Potential,
        system: System,
        skin: float = 0.1,
        guard: Guard | None = None,
    ) -> None:
        self.potential = potential.compiled()
        self.system = system
        self.device = potential.device
        self.neighbours = VerletList(
            potential.species(system).to(self.device), potential.reach(skin), skin
        )
        self.guard = guard
        self._last: SiteGraph | None = None
        self._said = False

    def __call__(
        self, positions: NDArray[np.floating], box: NDArray[np.floating] | None = None
    ) -> tuple[float, NDArray[np.float64]]:
        """kJ/mol and (n_sites, 3) kJ/mol/nm at `positions` (n_sites, 3) nm in `box` (3, 3) nm or
        None.

        Raises:
            ValueError: another number of sites; a box narrower than twice the cutoff.
        """
        if np.shape(positions) != (self.system.n_sites, 3):
            raise ValueError(
                f"expected positions ({self.system.n_sites}, 3) of the System the engine was "
                f"made for, found {np.shape(positions)}"
            )
        check_box(box, self.potential.cutoff)
        cell = None if box is None else self._tensor(box)
        self._last = self.neighbours(self._tensor(positions), cell)
        energy, forces = self.potential(self._last)
        return float(energy), forces.double().cpu().numpy()

    def virial(self) -> NDArray[np.float64]:
        """(3, 3) kJ/mol, of the last configuration (`cgrec.potential.virial`)."""
        assert self._last is not None  # whoever asks has asked for the energy
        virial = energy_forces_virial(self.potential.energy, self._last)[2]
        return virial[0].double().cpu().numpy()

    def extrapolation(self) -> float | None:
        """How far out the last configuration is by the guard: above 1 it lies outside of what the
        potential was trained on, which the first time is remarked. None without a guard.
        """
        if self.guard is None or self._last is None:
            return None
        score = float(self.guard.score(self._last))
        if score > 1 and not self._said:
            self._said = True
            remark(
                "a configuration lies outside of what the potential was trained on (extrapolation "
                f"{score:.3g}, 1 is the bound): its energy and forces are a guess. This is said "
                "once; look at the number of every configuration"
            )
        return score

    def _tensor(self, array: NDArray[np.floating]) -> torch.Tensor:
        return torch.as_tensor(np.array(array, dtype=float)[None], device=self.device)
