"""Priors: simple energies with the right behaviour where there are no data, fitted by Boltzmann
inversion.

They are subtracted from the force labels before training and added back in simulation (a sum of
Potentials), so the network learns the rest and a model that leaves its data meets a wall instead of
a hole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import geometry
from ..frames import Frames
from ..remarks import remark
from ..system import System
from ..units import thermal_energy
from .base import Potential
from .bond_graph import BondGraph
from .bonded import BondedPotential
from .coulomb import ScreenedCoulomb
from .dihedral import DihedralPrior
from .excluded_volume import ExcludedVolume
from .graph import SiteGraph
from .terms import Alike, portions

_TERMS = {2: geometry.distance, 3: geometry.angle, 4: geometry.signed_volume}
#: rad: an angle whose mean is beyond it counts as a line.
STRAIGHT = np.radians(165.0)
#: 1 + cos x no line is taken to be straighter than: 2.6 degrees of bend on average (acetylene at
#: 300 K: 8).
STRAIGHTEST = 1e-3
#: Standard deviation (nm, rad, 1) no term is taken to be narrower than: a bond held rigid in the
#: data has none, and its spring would ask for a time step of zero. The stiffest bonds of chemistry
#: (CO, 300 K) have 0.0014 nm.
NARROWEST = {2: 1e-3, 3: 1e-2, 4: 1e-2}


class HarmonicPrior(BondedPotential):
    """U = 1/2 sum k (x - x0)^2 over bonds (2 sites) or angles (3 sites) of one System.

    Args:
        types: site types, for `Potential`.
        n_sites: of the System the indices belong to.
        sites: (n_terms, 2 or 3) site indices; 4 in a `BranchPrior`.
        centre: (n_terms,) nm or rad.
        stiffness: (n_terms,) kJ/mol/nm^2 or kJ/mol/rad^2.
        bond_graph: of the System, as in `BondedPotential`.
    """

    PATHS: ClassVar[dict[int, tuple[tuple[int, int], ...]]] = {2: ((0, 1),), 3: ((0, 1), (1, 2))}

    centre: Tensor
    stiffness: Tensor

    def __init__(
        self,
        *,
        types: Sequence[str],
        n_sites: int,
        sites: Sequence[Sequence[int]],
        centre: Sequence[float],
        stiffness: Sequence[float],
        bond_graph: dict[str, Any] | None = None,
        cutoff: float = 0.0,
    ) -> None:
        super().__init__(
            types=types,
            n_sites=n_sites,
            sites=sites,
            bond_graph=bond_graph,
            cutoff=cutoff,
            paths=self.PATHS[len(sites[0])],
            centre=centre,
            stiffness=stiffness,
        )
        self.register_buffer("centre", torch.tensor(centre, dtype=torch.float64), persistent=False)
        self.register_buffer(
            "stiffness", torch.tensor(stiffness, dtype=torch.float64), persistent=False
        )

    def energy(self, graph: SiteGraph) -> Tensor:
        x = _TERMS[self.sites.shape[1]](self.positions(graph), self.sites)
        return 0.5 * (self.stiffness * (x - self.centre) ** 2).sum((-1, -2))

    @classmethod
    def fit(cls, frames: Frames, types: Sequence[str], n: int) -> HarmonicPrior | None:
        """Boltzmann inversion of every bond (n = 2) or angle (n = 3): U = kT (x - x0)^2 / (2 var
        x); None without terms.

        Angles that are straight on average are left out, with a remark: at pi an angle has no
        direction in which it could be opened, and neither its mean nor its variance says how stiff
        the line is.
        """
        paths = frames.system.bonded_paths(n)
        if not paths:
            return None
        mean, variance = _moments(frames, paths, n)
        if n == 3:
            keep = mean <= STRAIGHT
            _name_straight(frames.system, paths, ~keep)
            paths, mean, variance = (
                [p for p, k in zip(paths, keep) if k],
                mean[keep],
                variance[keep],
            )
        return cls._of(frames, types, paths, mean, variance) if paths else None

    @classmethod
    def _of(
        cls,
        frames: Frames,
        types: Sequence[str],
        paths: list[tuple[int, ...]],
        mean: NDArray[Any],
        variance: NDArray[Any],
    ) -> Self:
        stiffness = thermal_energy(frames.temperature) / np.maximum(
            variance, NARROWEST[len(paths[0])] ** 2
        )
        return cls(
            types=types,
            n_sites=frames.n_sites,
            sites=[list(p) for p in paths],
            centre=mean.tolist(),
            stiffness=stiffness.tolist(),
            bond_graph=BondGraph.of(frames.system).config,
        ).made_at(frames.temperature)


class BranchPrior(HarmonicPrior):
    """U = 1/2 sum k (x - x0)^2 over the handedness x of each site with three bonded neighbours
    (`geometry.signed_volume`).

    Without the hydrogen that fills its fourth place a stereocentre can turn inside out, and no data
    say what that costs.
    """

    PATHS = {4: ((0, 1), (0, 2), (0, 3))}

    @classmethod
    def fit(cls, frames: Frames, types: Sequence[str], n: int = 4) -> BranchPrior | None:
        """Boltzmann inversion, each branch for itself: equal ones may be counted in opposite
        directions. None without branches.
        """
        near = frames.system.neighbours()
        paths = [(site, *others) for site, others in enumerate(near) if len(others) == n - 1]
        if not paths:
            return None
        return cls._of(frames, types, paths, *_moments(frames, paths, n, alike=False))


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
        bond_graph: dict[str, Any] | None = None,
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
        self.register_buffer(
            "stiffness", torch.tensor(stiffness, dtype=torch.float64), persistent=False
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
        mean, _ = _moments(frames, paths, 3)
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


def fit_priors(
    frames: Frames,
    *,
    types: Sequence[str],
    cutoff: float,
    bonds: bool = True,
    angles: bool = True,
    branches: bool = False,
    dihedrals: bool = False,
    excluded_volume: bool = True,
    coulomb: Mapping[str, Any] | None = None,
) -> list[Potential]:
    """The asked priors fitted to `frames` (with their weights); terms the System does not have are
    left out.

    Args:
        frames: targets of the level, already mapped.
        types: the table of site types the network will use.
        cutoff: nm, reach of the excluded volume.
        bonds, angles, branches, dihedrals, excluded_volume: which priors to fit.
        coulomb: keyword arguments of a `ScreenedCoulomb` other than types, or None; charges are by
            default those of the System.

    Raises:
        ValueError: the System gives sites of one type different charges, or none to a type in
            `types`.
    """
    fitted: list[Potential | None] = [
        HarmonicPrior.fit(frames, types, 2) if bonds else None,
        HarmonicPrior.fit(frames, types, 3) if angles else None,
        LinePrior.fit(frames, types) if angles else None,
        BranchPrior.fit(frames, types) if branches else None,
        DihedralPrior.fit(frames, types) if dihedrals else None,
        ExcludedVolume.fit(frames, types, cutoff) if excluded_volume else None,
        None if coulomb is None else _coulomb(frames.system, types, coulomb),
    ]
    return [prior for prior in fitted if prior is not None]


def _coulomb(system: System, types: Sequence[str], options: Mapping[str, Any]) -> ScreenedCoulomb:
    charges = options.get("charges")
    if charges is None:
        found = {t: system.charges[np.array(system.types) == t] for t in sorted(set(system.types))}
        unlike = {t: np.unique(q).tolist() for t, q in found.items() if np.ptp(q) > 1e-6}
        if unlike:
            raise ValueError(
                f"coulomb: expected equal System.charges within a type, found {unlike} e; give "
                "`charges` by type, or the "
                "sites different types"
            )
        charges = {t: float(q[0]) for t, q in found.items()}
    return ScreenedCoulomb(types=types, **{**options, "charges": charges})


def _moments(
    frames: Frames, paths: list[tuple[int, ...]], n: int, alike: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(n_terms,) mean and variance of each term, shared by those that are `alike`."""
    sites = np.array(paths)
    share = Alike(frames.system, paths).mean if alike else lambda values: values
    mean = np.zeros(len(paths))
    for weights, x in portions(frames, _TERMS[n], sites):
        mean += weights @ x
    mean = share(mean)
    variance = np.zeros(len(paths))
    for weights, x in portions(frames, _TERMS[n], sites):
        variance += weights @ (x - mean) ** 2
    return mean, share(variance)


def _name_straight(
    system: System, paths: list[tuple[int, ...]], straight: NDArray[np.bool_]
) -> None:
    if straight.any():
        first = paths[int(np.argmax(straight))]
        remark(
            f"no harmonic angle prior for {int(straight.sum())} of {len(paths)} angles: their "
            f"mean is over {np.degrees(STRAIGHT):.0f} "
            "degrees, a line, where k (1 + cos x) holds them instead; first: "
            f"{', '.join(f'{system.labels[s]} (site {s})' for s in first)}"
        )
