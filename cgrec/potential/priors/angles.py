"""The prior of angles: springs where they are bent, k (1 + cos x) where three sites stand on a
line, walls where their samples end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ... import geometry
from ...frames import Frames
from ...units import thermal_energy
from ..base import Potential
from ..bond_graph import BondGraph, BondGraphConfig
from ..bonded import BondedPotential
from ..graph import SiteGraph
from .flat_bottom import FlatBottomPrior
from .harmonic import HarmonicPrior
from .terms import STRAIGHT, Alike, moments, portions, reaches_line

#: 1 + cos x no line is taken to be straighter than: 2.6 degrees of bend on average (acetylene at
#: 300 K: 8).
STRAIGHTEST = 1e-3


class LinePrior(BondedPotential):
    """U = sum k (1 + cos x) over angles x that are straight on average: smooth where three sites
    stand on a line.

    An angle has no derivative there, its cosine has. Close to the line it is a spring k (pi - x)^2
    / 2 in the two directions in which an angle can be opened.

    Args:
        types: site types, for `Potential`.
        n_sites: of the System the indices belong to.
        sites: (n_terms, 3) site indices.
        stiffness: (n_terms,) kJ/mol.
        bond_graph: of the System, as in `BondedPotential`.
    """

    stiffness: Tensor

    def __init__(
        self,
        *,
        types: Sequence[str],
        n_sites: int,
        sites: Sequence[Sequence[int]],
        stiffness: Sequence[float],
        bond_graph: BondGraphConfig | None = None,
        cutoff: float = 0.0,
    ) -> None:
        super().__init__(
            types=types,
            n_sites=n_sites,
            sites=sites,
            bond_graph=bond_graph,
            cutoff=cutoff,
            paths=HarmonicPrior.PATHS[3],
            stiffness=stiffness,
        )

    def energy(self, graph: SiteGraph) -> Tensor:
        x = geometry.cosine(self.positions(graph), self.sites)
        return (self.stiffness * (1 + x)).sum((-1, -2))

    @classmethod
    def fit(cls, frames: Frames, types: Sequence[str]) -> LinePrior | None:
        """Boltzmann inversion: two harmonic directions have <k (1 + cos x)> = kT. None where no
        angle is straight.
        """
        paths = frames.system.bonded_paths(3)
        if not paths:
            return None
        mean, _ = moments(frames, paths)
        paths = [path for path, angle in zip(paths, mean) if angle > STRAIGHT]
        if not paths:
            return None
        bend = np.zeros(len(paths))
        for weights, x in portions(frames, geometry.cosine, np.array(paths)):
            bend += weights @ (1 + x)
        bend = Alike(frames.system, paths).mean(bend)
        return cls(
            types=types,
            n_sites=frames.n_sites,
            sites=[list(p) for p in paths],
            stiffness=(thermal_energy(frames.temperature) / np.maximum(bend, STRAIGHTEST)).tolist(),
            bond_graph=BondGraph.of(frames.system).config,
        ).made_at(frames.temperature)


def cosine_springs(frames: Frames, types: Sequence[str]) -> FlatBottomPrior | None:
    """kT (cos x - <cos x>)^2 / (2 var cos x) for angles x that come to stand on a line now and then:
    smooth there, as a function of the surroundings is. None where no angle does.

    A spring in such an angle pulls with its full force up to the line and with the opposite one
    beyond it: of beads of two residues it left 50 kJ/mol/nm that no network could take back.
    """
    paths = frames.system.bonded_paths(3)
    if not paths:
        return None
    found = reaches_line(frames, paths)
    if not found.any():
        return None
    alike = Alike(frames.system, paths)
    mean, square = np.zeros((2, len(paths)))
    for weights, x in portions(frames, geometry.cosine, np.array(paths)):
        mean += weights @ x
        square += weights @ x**2
    mean, square = alike.mean(mean), alike.mean(square)
    centre = mean[found].tolist()
    stiffness = (thermal_energy(frames.temperature) / (square - mean**2)[found]).tolist()
    return FlatBottomPrior(
        types=types,
        n_sites=frames.n_sites,
        sites=[list(path) for path, keep in zip(paths, found) if keep],
        lower=centre,
        upper=centre,
        below=stiffness,
        above=stiffness,
        bond_graph=BondGraph.of(frames.system).config,
    ).made_at(frames.temperature)


@dataclass(frozen=True)
class Angles:
    """The prior of all angles: a `HarmonicPrior` of those that are bent, `cosine_springs` of those
    that come to stand on a line, a `LinePrior` of those that are straight, a `FlatBottomPrior` where
    their samples end early.
    """

    def __call__(self, frames: Frames, types: Sequence[str], /) -> list[Potential]:
        """Fitted to `frames`; empty without angles."""
        fits = (
            HarmonicPrior.fit(frames, types, 3),
            cosine_springs(frames, types),
            LinePrior.fit(frames, types),
            FlatBottomPrior.fit(frames, types, 3),
        )
        return [prior for prior in fits if prior is not None]
