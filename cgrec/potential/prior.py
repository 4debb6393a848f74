"""Priors: simple energies with the right behaviour where there are no data, fitted by Boltzmann inversion.

They are subtracted from the force labels before training and added back in simulation (a sum of Potentials), so the
network learns the rest and a model that leaves its data meets a wall instead of a hole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .. import geometry
from ..frames import Frames
from ..system import System
from ..units import thermal_energy
from .base import Potential
from .coulomb import ScreenedCoulomb
from .excluded_volume import ExcludedVolume
from .graph import SiteGraph

_TERMS = {2: geometry.distance, 3: geometry.angle, 4: geometry.signed_volume}


class HarmonicPrior(Potential):
    """U = 1/2 sum k (x - x0)^2 over bonds (2 sites) or angles (3 sites) of one System.

    Args:
        types: site types, for `Potential`.
        n_sites: of the System the indices belong to.
        sites: (n_terms, 2 or 3) site indices; 4 in a `BranchPrior`.
        centre: (n_terms,) nm or rad.
        stiffness: (n_terms,) kJ/mol/nm^2 or kJ/mol/rad^2.
    """

    sites: Tensor
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
        cutoff: float = 0.0,
    ) -> None:
        super().__init__(
            types=types, cutoff=cutoff, n_sites=n_sites, sites=sites, centre=centre, stiffness=stiffness
        )
        self.n_sites = n_sites
        self.register_buffer("sites", torch.tensor(sites), persistent=False)
        self.register_buffer("centre", torch.tensor(centre, dtype=torch.float64), persistent=False)
        self.register_buffer("stiffness", torch.tensor(stiffness, dtype=torch.float64), persistent=False)

    def energy(self, graph: SiteGraph) -> Tensor:
        x = _TERMS[self.sites.shape[1]](_positions(self, graph), self.sites)
        return 0.5 * (self.stiffness * (x - self.centre) ** 2).sum((-1, -2))

    @classmethod
    def fit(cls, frames: Frames, types: Sequence[str], n: int) -> HarmonicPrior | None:
        """Boltzmann inversion of every bond (n = 2) or angle (n = 3): U = kT (x - x0)^2 / (2 var x); None without terms."""
        paths = frames.system.bonded_paths(n)
        if not paths:
            return None
        x = _TERMS[n](np.asarray(frames.positions, float), np.array(paths))
        weights, alike = frames.normalised_weights(), _alike(frames.system, paths)
        mean = alike @ (weights @ x)
        variance = alike @ (weights @ (x - mean) ** 2)
        stiffness = thermal_energy(frames.temperature) / np.maximum(variance, 1e-12)
        return cls(
            types=types,
            n_sites=frames.n_sites,
            sites=[list(p) for p in paths],
            centre=mean.tolist(),
            stiffness=stiffness.tolist(),
        )


class BranchPrior(HarmonicPrior):
    """U = 1/2 sum k (x - x0)^2 over the handedness x of each site with three bonded neighbours (`geometry.signed_volume`).

    Without the hydrogen that fills its fourth place a stereocentre can turn inside out, and no data say what that costs.
    """

    @classmethod
    def fit(cls, frames: Frames, types: Sequence[str], n: int = 4) -> BranchPrior | None:
        """Boltzmann inversion, each branch for itself: equal ones may be counted in opposite directions. None without branches."""
        near = frames.system.neighbours()
        sites = [[site, *others] for site, others in enumerate(near) if len(others) == n - 1]
        if not sites:
            return None
        x = _TERMS[n](np.asarray(frames.positions, float), np.array(sites))
        weights = frames.normalised_weights()
        mean = weights @ x
        stiffness = thermal_energy(frames.temperature) / np.maximum(weights @ (x - mean) ** 2, 1e-12)
        return cls(
            types=types,
            n_sites=frames.n_sites,
            sites=sites,
            centre=mean.tolist(),
            stiffness=stiffness.tolist(),
        )


class DihedralPrior(Potential):
    """U = sum over dihedrals of a Fourier series sum_n a_n cos(n x) + b_n sin(n x), n = 1..order.

    The sine terms make it chiral: a mirror image has another energy.
    """

    sites: Tensor
    cosine: Tensor
    sine: Tensor

    def __init__(
        self,
        *,
        types: Sequence[str],
        n_sites: int,
        sites: Sequence[Sequence[int]],
        cosine: Sequence[Sequence[float]],
        sine: Sequence[Sequence[float]],
        cutoff: float = 0.0,
    ) -> None:
        super().__init__(types=types, cutoff=cutoff, n_sites=n_sites, sites=sites, cosine=cosine, sine=sine)
        self.n_sites = n_sites
        self.register_buffer("sites", torch.tensor(sites), persistent=False)
        self.register_buffer("cosine", torch.tensor(cosine, dtype=torch.float64), persistent=False)
        self.register_buffer("sine", torch.tensor(sine, dtype=torch.float64), persistent=False)

    def energy(self, graph: SiteGraph) -> Tensor:
        x = geometry.dihedral(_positions(self, graph), self.sites)[..., None]
        n = torch.arange(1, self.cosine.shape[1] + 1, device=x.device)
        return (self.cosine * torch.cos(n * x) + self.sine * torch.sin(n * x)).sum((-1, -2, -3))

    @classmethod
    def fit(
        cls, frames: Frames, types: Sequence[str], order: int = 3, bins: int = 72
    ) -> DihedralPrior | None:
        """Boltzmann inversion -kT ln p(x) of every proper dihedral, projected on the series by p-weighted least squares."""
        paths = frames.system.bonded_paths(4)
        if not paths:
            return None
        x = geometry.dihedral(np.asarray(frames.positions, float), np.array(paths))
        edges = np.linspace(-np.pi, np.pi, bins + 1)
        centres = 0.5 * (edges[1:] + edges[:-1])
        n = np.arange(1, order + 1)
        design = np.hstack([np.ones((bins, 1)), np.cos(np.outer(centres, n)), np.sin(np.outer(centres, n))])
        series = []
        counts = [np.histogram(column, edges, weights=frames.normalised_weights())[0] for column in x.T]
        for p in _alike(frames.system, paths) @ np.array(counts):
            seen = p > 0
            root = np.sqrt(p[seen])[:, None]
            free_energy = -thermal_energy(frames.temperature) * np.log(p[seen])
            series.append(np.linalg.lstsq(root * design[seen], root[:, 0] * free_energy, rcond=1e-6)[0])
        coefficients = np.array(series)
        return cls(
            types=types,
            n_sites=frames.n_sites,
            sites=[list(p) for p in paths],
            cosine=coefficients[:, 1 : order + 1].tolist(),
            sine=coefficients[:, order + 1 :].tolist(),
        )


class DihedralSeries(Potential):
    """U = sum_k a_k cos(n_k . s) + b_k sin(n_k . s) of several dihedrals s together: what `refine` corrects a PMF with.

    Args:
        types: site types, for `Potential`.
        n_sites: of the System the indices belong to.
        sites: (n_dihedrals, 4) site indices.
        orders: (n_terms, n_dihedrals) integers n_k.
        cosine, sine: (n_terms,) kJ/mol.
    """

    sites: Tensor
    orders: Tensor
    cosine: Tensor
    sine: Tensor

    def __init__(
        self, *, types: Sequence[str], n_sites: int, sites: Sequence[Sequence[int]], orders: Sequence[Sequence[int]],
        cosine: Sequence[float], sine: Sequence[float], cutoff: float = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(
            types=types, cutoff=cutoff, n_sites=n_sites, sites=sites, orders=orders, cosine=cosine, sine=sine
        )
        self.n_sites = n_sites
        self.register_buffer("sites", torch.tensor(sites), persistent=False)
        self.register_buffer("orders", torch.tensor(orders, dtype=torch.float64), persistent=False)
        self.register_buffer("cosine", torch.tensor(cosine, dtype=torch.float64), persistent=False)
        self.register_buffer("sine", torch.tensor(sine, dtype=torch.float64), persistent=False)

    def energy(self, graph: SiteGraph) -> Tensor:
        x = geometry.dihedral(_positions(self, graph), self.sites).double() @ self.orders.T
        return (torch.cos(x) @ self.cosine + torch.sin(x) @ self.sine).sum(-1)


def half_space(order: int, n: int) -> np.ndarray:
    """(n_terms, n) integer vectors with entries up to `order`, one of each pair n, -n, without zero."""
    axes = np.meshgrid(*[np.arange(-order, order + 1)] * n, indexing="ij")
    vectors = np.stack(axes, -1).reshape(-1, n)
    return vectors[len(vectors) // 2 + 1 :]


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
    """The asked priors fitted to `frames` (with their weights); terms the System does not have are left out.

    Args:
        frames: targets of the level, already mapped.
        types: the table of site types the network will use.
        cutoff: nm, reach of the excluded volume.
        bonds, angles, branches, dihedrals, excluded_volume: which priors to fit.
        coulomb: keyword arguments of a `ScreenedCoulomb` other than types, or None; charges are by default those of the
            System.

    Raises:
        ValueError: the System gives sites of one type different charges, or none to a type in `types`.
    """
    fitted: list[Potential | None] = [
        HarmonicPrior.fit(frames, types, 2) if bonds else None,
        HarmonicPrior.fit(frames, types, 3) if angles else None,
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
                f"coulomb: expected equal System.charges within a type, found {unlike} e; give `charges` by type, or the "
                "sites different types"
            )
        charges = {t: float(q[0]) for t, q in found.items()}
    return ScreenedCoulomb(types=types, **{**options, "charges": charges})


def _alike(system: System, paths: list[tuple[int, ...]]) -> np.ndarray:
    """(n_terms, n_terms) matrix that replaces each term's value by the mean over all terms equivalent to it.

    Terms a permutation of equal sites turns into each other must share their parameters: a network sees such sites as
    one, so it could never undo a difference that only sampling has made between them.
    """
    numbers = system.equivalent_sites()
    walks = [tuple(numbers[s] for s in path) for path in paths]
    kinds = np.unique([min(w, w[::-1]) for w in walks], axis=0, return_inverse=True)[1].ravel()
    same = (kinds[:, None] == kinds).astype(float)
    return same / same.sum(1, keepdims=True)


def _positions(potential: Any, graph: SiteGraph) -> Tensor:
    """(n_frames, n_copies, n_sites, 3) nm. A System of copies of the one it was fitted to, one after the other, is served too."""
    positions = graph.per_frame(graph.positions)
    if positions.shape[1] % potential.n_sites:
        raise ValueError(
            f"{type(potential).__name__} was fitted to a System of {potential.n_sites} sites, these frames have {positions.shape[1]}: fit it to this System"
        )
    return positions.unflatten(1, (-1, potential.n_sites))
