"""The prior of dihedrals: a Fourier series in which what was never seen is a barrier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls
from torch import Tensor

from ... import geometry
from ...frames import Frames
from ...ranges import expect
from ...remarks import remark
from ...units import thermal_energy
from ..bond_graph import BondGraph, BondGraphConfig
from ..bonded import BondedPotential
from ..graph import SiteGraph
from .terms import Alike, portions

_PATH = ((0, 1), (1, 2), (2, 3))
#: Jeffreys' pseudo-count of a bin (H. Jeffreys, Proc. R. Soc. A 186, 453 (1946)): what an empty bin
#: is taken to hold.
PSEUDO_COUNT = 0.5
#: A bin with so many counts is known to a third of its density; with fewer it cannot be told from
#: an empty one.
COUNTED = 10
#: Share of its density with which an empty bin takes part in the fit: that it is a barrier is
#: known, its height is not.
EMPTY = 0.1
#: Highest barrier, in free energy differences that were measured.
HIGHEST = 2.0
#: Sine of an angle below which a dihedral fades: 17 degrees from a line. Its force, which grows as
#: one over the sine, is then at most 3.6 times that of a right angle.
BENT = 0.3
#: Sine of an angle below which three sites count as a line, to choose which dihedrals get a prior:
#: the switch has taken four fifths of the energy away there.
LINE = 0.1
#: nm: a bond that is shorter is no single bond of carbon: amides (0.134), esters (0.135), double
#: bonds and rings (0.140); C-O of an alcohol is 0.143, C-N of an amine 0.147.
DOUBLE = 0.141
#: Length of the mean of exp(i x) from which a dihedral counts as held: 20 degrees about its mean.
HELD = 0.94
#: A dihedral is left out where one of its angles is a line in more than this share of the frames. A
#: freely jointed chain is there in 0.25 %.
OFTEN = 0.01


class DihedralPrior(BondedPotential):
    """U = sum over dihedrals of s(y) s(z) sum_n a_n cos(n x) + b_n sin(n x), n = 1..order.

    The sine terms make it chiral: a mirror image has another energy.

    y and z are the squares of the sines of the two angles that a dihedral has, and s is a switch:
    s(y) = 1 - (1 - y / `BENT`^2)^2 below `BENT`^2, 1 above. Without it the force grows as one over
    the sine where three sites come to stand on a line, and is not defined there: one such frame can
    throw a replica out. With it energy and force are continuous everywhere, and at a line they
    vanish as the square of the sine and as the sine: there every dihedral is as near as any other,
    and a series without a constant has the mean zero. (For the same end M. Bulacu et al., J. Chem.
    Theory Comput. 9, 3282 (2013), multiply by the cubes of the sines. A switch leaves alone what
    was sampled.)

    Args:
        cosine, sine: (order, n_dihedrals) kJ/mol, a_n and b_n.
    """

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
        bond_graph: BondGraphConfig | None = None,
        cutoff: float = 0.0,
    ) -> None:
        super().__init__(
            types=types,
            n_sites=n_sites,
            sites=sites,
            bond_graph=bond_graph,
            cutoff=cutoff,
            paths=_PATH,
            cosine=cosine,
            sine=sine,
        )

    def energy(self, graph: SiteGraph) -> Tensor:
        x, *squares = geometry.dihedral_and_sines(self.positions(graph), self.sites)
        left = [(1 - square / BENT**2).clamp(min=0) for square in squares]
        switch = (1 - left[0] ** 2) * (1 - left[1] ** 2)
        x = x[..., None]
        n = torch.arange(1, self.cosine.shape[1] + 1, device=x.device)
        series = self.cosine * torch.cos(n * x) + self.sine * torch.sin(n * x)
        return (switch * series.sum(-1)).sum((-1, -2))

    @classmethod
    def fit(
        cls, frames: Frames, types: Sequence[str], order: int = 3, bins: int = 72
    ) -> DihedralPrior | None:
        """Boltzmann inversion of every proper dihedral by `barrier_series`, or by `held` about a bond
        that is no single one; None without dihedrals.

        Dihedrals that are not defined because three of their sites stand on a line are left out,
        with a remark.
        """
        paths = _defined(frames, frames.system.bonded_paths(4))
        if not paths:
            return None
        alike = Alike(frames.system, paths)
        bins = int(np.clip(len(frames) // COUNTED, min(18, bins), bins))
        counts = alike.sum(_histograms(frames, np.array(paths), bins).T)
        # The sample counts as many independent frames as its weights leave; terms that are alike
        # are one sample.
        counts *= len(frames) * frames.weight_efficiency()
        kT = thermal_energy(frames.temperature)
        series = np.zeros((len(counts), 2 * order))
        for row, count, spring in zip(series, counts, held(frames, np.array(paths), alike)):
            if spring:
                row[0], row[order] = -spring.real, -spring.imag
            else:
                row[:] = barrier_series(count, order)
        series = kT * series[alike.kinds]
        return cls(
            types=types,
            n_sites=frames.n_sites,
            sites=[list(p) for p in paths],
            cosine=series[:, :order].tolist(),
            sine=series[:, order:].tolist(),
            bond_graph=BondGraph.of(frames.system).config,
        ).made_at(frames.temperature)


@dataclass(frozen=True, kw_only=True)
class Dihedrals:
    """The prior of all proper dihedrals: a `DihedralPrior`.

    Args:
        order: of the Fourier series.
        bins: of the histogram, at most; fewer where there are few frames.
    """

    order: int = 3
    bins: int = 72

    def __post_init__(self) -> None:
        expect("Dihedrals", at_least=1, order=self.order)
        expect("Dihedrals", at_least=2, bins=self.bins)

    def __call__(self, frames: Frames, types: Sequence[str], /) -> DihedralPrior | None:
        """Fitted to `frames`; None without dihedrals."""
        return DihedralPrior.fit(frames, types, self.order, self.bins)


def held(frames: Frames, paths: NDArray[np.int64], alike: Alike) -> NDArray[np.complex128]:
    """(n_kinds,) k exp(i x0) of U = -k cos(x - x0), in kT, of dihedrals about a bond that is no
    single one (`DOUBLE`) and that nobody has seen turn; 0 of others.

    Amides and double bonds turn over 30 kT and more, of which a sample shows nothing, and a free
    energy of counts reaches ten: a chain of N, CA, C, O and CB then had 8 % cis bonds where its
    parent had none. What is known is the width: k = 1 / (2 (1 - R)), R the length of the mean of
    exp(i x), as of a narrow von Mises distribution (K. Mardia, P. Jupp, Directional Statistics,
    2000, ch. 5), with one frame more whose 1 - R is that of `HELD`. Dihedrals about one bond turn
    together and share it.
    """
    length, mean = np.zeros(len(paths)), np.zeros(len(paths), complex)
    for weights, x in portions(frames, geometry.distance, paths[:, 1:3]):
        length += weights @ x
    for weights, x in portions(frames, geometry.dihedral, paths):
        mean += weights @ np.exp(1j * x)
    mean = (alike.sum(mean.real) + 1j * alike.sum(mean.imag)) / alike.number
    narrow = (abs(mean) > HELD) & (alike.sum(length) / alike.number < DOUBLE)
    for _, x in portions(frames, geometry.dihedral, paths):
        turned = (np.cos(x - np.angle(mean)[alike.kinds]) < 0).any(0)
        narrow &= alike.sum(turned.astype(float)) == 0
    n = len(frames) * frames.weight_efficiency() * alike.number
    k = (n + 1) / (2 * (n * (1 - abs(mean)) + 1 - HELD))
    _, bond, shared = np.unique(
        np.sort(paths[:, 1:3]), axis=0, return_inverse=True, return_counts=True
    )
    k /= alike.sum(shared[bond.ravel()].astype(float)) / alike.number
    return np.where(narrow, k * np.exp(1j * np.angle(mean)), 0)


def barrier_series(counts: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """(2 order,) cosine then sine coefficients, in kT, of a dihedral counted in equal bins over
    (-pi, pi].

    The free energy of a bin is -ln of its density with Jeffreys' pseudo-count of one half, so that
    an empty bin has one too. The series is the density-weighted least-squares fit to it (the
    Boltzmann inversion of a sample) under conditions without which a series of low order digs holes
    where it is not weighted:

    - an empty bin lies nowhere below a counted one, nor a bin of few counts below the half of the
      sample that is densest: what was not seen is a barrier;
    - the series stays between the lowest free energy and `HIGHEST` times the range above it, so
      that by Bernstein's inequality (|U'| <= order x half the range) its force is bounded whatever
      the sample.

    Where a sample fills its bins these conditions hold by themselves. A constant always obeys them,
    so there is a solution: least squares under linear inequalities (C. Lawson, R. Hanson, Solving
    Least Squares Problems, 1974, ch. 23).
    """
    bins, total = len(counts), counts.sum()
    density = (counts + PSEUDO_COUNT) / (total + PSEUDO_COUNT * bins)
    free_energy = -np.log(density)
    empty = counts < 1e-9
    weight = np.sqrt(np.where(empty, EMPTY * density, density))
    n_coefficients = 2 * order + 1
    centres = (np.arange(bins) + 0.5) * (2 * np.pi / bins) - np.pi
    # Two more unknowns, the levels that part empty from counted bins and few counts from many;
    # hardly weighted themselves.
    design = np.zeros((bins + 2, n_coefficients + 2))
    design[:bins, :n_coefficients] = weight[:, None] * _fourier(centres, order)
    design[bins, n_coefficients] = design[bins + 1, n_coefficients + 1] = 1e-3
    aims = np.concatenate(
        [weight * free_energy, 1e-3 * np.array([free_energy.max(), free_energy.min()])]
    )
    solution = _least_squares(design, aims, *_conditions(counts, free_energy, order))
    return solution[1:n_coefficients]


def _conditions(
    counts: NDArray[np.float64], free_energy: NDArray[np.float64], order: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows and bounds of `rows @ unknowns >= bounds`, on points twice as dense as the usual bins."""
    bins = len(counts)
    points = np.linspace(-np.pi, np.pi, 144, endpoint=False) + np.pi / 144
    where = np.minimum(((points + np.pi) * (bins / (2 * np.pi))).astype(int), bins - 1)
    fourier = _fourier(points, order)
    falling = np.argsort(-counts, kind="stable")
    half = np.searchsorted(np.cumsum(counts[falling]), 0.5 * counts.sum()) + 1
    densest = np.isin(np.arange(bins), falling[:half])
    counted = (counts >= COUNTED) | densest

    def rows(chosen: NDArray[np.bool_], sign: float, level: int | None) -> NDArray[np.float64]:
        block = np.zeros((int(chosen[where].sum()), fourier.shape[1] + 2))
        block[:, : fourier.shape[1]] = sign * fourier[chosen[where]]
        if level is not None:
            block[:, fourier.shape[1] + level] = -sign
        return block

    every = np.ones(bins, bool)
    lowest, height = free_energy.min(), np.ptp(free_energy)
    blocks = [
        (rows(every, 1, None), lowest),
        (rows(every, -1, None), -(lowest + HIGHEST * height)),
        (rows(counts < 1e-9, 1, 0), 0.0),
        (rows(counted, -1, 0), 0.0),
        (rows(~counted, 1, 1), 0.0),
        (rows(densest, -1, 1), 0.0),
    ]
    bounds = np.concatenate([np.full(len(block), bound) for block, bound in blocks])
    return np.vstack([block for block, _ in blocks]), bounds


def _least_squares(
    design: NDArray[np.float64],
    aims: NDArray[np.float64],
    rows: NDArray[np.float64],
    bounds: NDArray[np.float64],
) -> NDArray[np.float64]:
    """argmin |design x - aims| under rows x >= bounds: least distance programming by non-negative
    least squares.
    """
    q, r = np.linalg.qr(design)
    centre = q.T @ aims
    turned = np.linalg.solve(r.T, rows.T).T
    distance = bounds - turned @ centre
    # A common factor of the distances scales the step and nothing else; without it the last row
    # would drown the others.
    scale = max(1.0, float(np.abs(distance).max()))
    stacked = np.vstack([turned.T, distance / scale])
    unit = np.zeros(len(stacked))
    unit[-1] = 1.0
    multipliers, _ = nnls(stacked, unit, maxiter=100 * len(rows))
    residual = stacked @ multipliers - unit
    step = -residual[:-1] / residual[-1] * scale
    return np.linalg.solve(r, centre + step)


def _fourier(x: NDArray[np.floating], order: int) -> NDArray[np.float64]:
    """(n, 1 + 2 order) of one, cosines and sines."""
    angles = np.outer(x, np.arange(1, order + 1))
    return np.hstack([np.ones((len(x), 1)), np.cos(angles), np.sin(angles)])


def _histograms(frames: Frames, paths: NDArray[np.int64], bins: int) -> NDArray[np.float64]:
    """(bins, n_paths) weight of each bin."""
    found = np.zeros((bins, len(paths)))
    for weights, x in portions(frames, geometry.dihedral, paths):
        place = np.clip(((x + np.pi) * (bins / (2 * np.pi))).astype(int), 0, bins - 1)
        np.add.at(found, (place, np.arange(len(paths))), np.broadcast_to(weights[:, None], x.shape))
    return found


def _defined(frames: Frames, paths: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The paths of which no three sites stand on a line; a remark names the others."""
    if not paths:
        return paths
    sites = np.array(paths)
    straight = np.zeros(len(paths))
    for three in (sites[:, :3], sites[:, 1:]):
        near = np.zeros(len(paths))
        for weights, x in portions(frames, geometry.angle, three):
            near += weights @ (np.sin(x) < LINE)
        straight = np.maximum(straight, near)
    left_out = straight > OFTEN
    if left_out.any():
        labels = frames.system.labels
        first = int(np.argmax(left_out))
        remark(
            f"no dihedral prior for {int(left_out.sum())} of {len(paths)} dihedrals: three of "
            "their sites stand on a line in more "
            f"than {OFTEN:.0%} of the frames, where a dihedral is not defined; first: "
            f"{', '.join(f'{labels[s]} (site {s})' for s in paths[first])}"
        )
    return [path for path, out in zip(paths, left_out) if not out]
