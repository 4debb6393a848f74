"""A prior: its energy, and what fits it to frames. `priors: [{_target_: toy.Size}]`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from cgrec import Frames, Potential, System
from cgrec.potential.graph import SiteGraph
from cgrec.units import thermal_energy


class SizePrior(Potential):
    """U = k (s - s0)^2 / 2 of the mean square distance s of all sites from their centre.

    Args:
        types: site types.
        n_sites: of the System it was fitted to.
        centre: s0, nm^2.
        stiffness: k, kJ/mol/nm^4.
    """

    def __init__(
        self,
        *,
        types: Sequence[str],
        n_sites: int,
        centre: float,
        stiffness: float,
        cutoff: float = 0.0,
    ) -> None:
        super().__init__(
            types=types, cutoff=cutoff, n_sites=n_sites, centre=centre, stiffness=stiffness
        )
        self.n_sites = n_sites
        self.centre = centre
        self.stiffness = stiffness

    def check(self, system: System) -> None:
        if system.n_sites != self.n_sites:
            raise ValueError(
                f"SizePrior was fitted to {self.n_sites} sites, this System has "
                f"{system.n_sites}: fit it to this one"
            )

    def energy(self, graph: SiteGraph) -> Tensor:
        x = graph.per_frame(graph.positions)
        size = (x - x.mean(1, keepdim=True)).square().sum(-1).mean(1)
        return 0.5 * self.stiffness * (size - self.centre) ** 2


@dataclass(frozen=True, kw_only=True)
class Size:
    """Fits a `SizePrior`.

    Args:
        share: of the stiffness that the fluctuations say; the network finds the rest.
    """

    share: float = 1.0

    def __call__(self, frames: Frames, types: Sequence[str], /) -> SizePrior:
        """Boltzmann inversion of the size of open frames."""
        if frames.box is not None:
            raise ValueError("Size: expected frames without a box, for a molecule may be cut by it")
        x = np.asarray(frames.positions, float)
        size = ((x - x.mean(1, keepdims=True)) ** 2).sum(-1).mean(1)
        weights = frames.normalised_weights()
        centre = float(weights @ size)
        variance = float(weights @ (size - centre) ** 2)
        prior = SizePrior(
            types=types,
            n_sites=frames.n_sites,
            centre=centre,
            stiffness=self.share * thermal_energy(frames.temperature) / variance,
        )
        return prior.made_at(frames.temperature)
