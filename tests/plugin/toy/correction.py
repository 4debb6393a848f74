"""A correction: the size of the molecule is brought to the parent's by one more spring."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from cgrec import Frames, Potential
from cgrec.potential import PairStiffness
from cgrec.roles import Corrected, Reruns
from cgrec.units import thermal_energy


@dataclass(frozen=True)
class SameSize:
    """A spring between the first and the middle site, with which their mean square distance is the
    parent's.

    Attributes:
        strongest: kJ/mol/nm^2, of a spring that may be added.
    """

    strongest: float = 200.0

    def __call__(
        self, potential: Potential, run: Frames, targets: Frames, again: Reruns
    ) -> Corrected:
        n = run.n_sites
        if n < 2:
            raise ValueError(f"SameSize: expected two sites or more, found {n}")
        square = self._square(run)
        aim = float(targets.normalised_weights() @ self._square(targets))
        kT = thermal_energy(run.temperature)

        def weights(spring: float) -> NDArray[np.float64]:
            given = run.normalised_weights() * np.exp(-spring * (square - square.min()) / (2 * kT))
            return given / given.mean()

        def excess(spring: float) -> float:
            return float(np.average(square, weights=weights(spring))) - aim

        spring = self._between(excess)
        term = PairStiffness(types=potential.types, n_sites=n).double()
        pair = [k for k, (i, j) in enumerate(zip(*np.triu_indices(n, 1))) if (i, j) == (0, n // 2)]
        term.stiffness.data.zero_()
        term.stiffness.data[pair] = spring
        energy, forces = term.energy_and_forces(run)
        frames = replace(
            run,
            weights=weights(spring),
            forces=np.asarray(run.need_forces()) + forces,
            energies=None if run.energies is None else np.asarray(run.energies) + energy,
        )
        return Corrected(potential + term, frames, {"spring": spring})

    def _between(self, excess) -> float:
        """The spring whose excess is zero, or the strongest one towards it."""
        for end in (-self.strongest, self.strongest):
            if excess(end) * end > 0:
                return end
        return float(brentq(excess, -self.strongest, self.strongest))

    @staticmethod
    def _square(frames: Frames) -> NDArray[np.float64]:
        """(n_frames,) nm^2."""
        x = np.asarray(frames.positions, float)
        return ((x[:, 0] - x[:, frames.n_sites // 2]) ** 2).sum(-1)
