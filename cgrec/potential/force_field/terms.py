"""Energies of a molecular force field, in double precision and differentiable.

Units are nm, kJ/mol, e and radians. Positions `x` are (n_frames, n_sites, 3) nm, and every function
gives (n_frames,) kJ/mol.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor

from ... import geometry
from ...units import COULOMB

#: Highest multiplicity of a torsion.
ORDERS = 6
#: nm^-1 and nm^-6 factors of the neck of J. Mongan et al., J. Chem. Theory Comput. 3, 156 (2007).
NECK_SQUARE, NECK_SIXTH = 100.0, 0.3e6


class BornConfig(TypedDict):
    """Numbers of a generalised Born model.

    Keys:
        strength: kJ/mol nm e^-2, Coulomb constant times (1 / solute - 1 / solvent permittivity).
        surface: kJ/mol/nm^2 of the surface term.
        probe: nm, radius of the solvent in it.
        neck_scale: of the neck integral; 0 for models without.
        neck_cut: nm between the surfaces of two spheres beyond which there is no neck.
    """

    strength: float
    surface: float
    probe: float
    neck_scale: float
    neck_cut: float


@dataclass(frozen=True)
class Born:
    """A generalised Born model of some sites.

    Attributes:
        numbers: see `BornConfig`.
        offset_radius, scaled_radius, radius: (n_sites,) nm, of a site's own integral, of what it
            takes from others, and of its sphere.
        coefficients: (n_sites, 3) alpha, beta, gamma of its Born radius.
        charges: (n_sites,) e.
        kinds: (n_sites,) row of each site in the tables of necks.
        heights, distances: (n_kinds, n_kinds) nm^-1 and nm of the neck of row by column.
    """

    numbers: BornConfig
    offset_radius: Tensor
    scaled_radius: Tensor
    radius: Tensor
    coefficients: Tensor
    charges: Tensor
    kinds: Tensor
    heights: Tensor
    distances: Tensor


def bonds(x: Tensor, sites: Tensor, terms: Tensor) -> Tensor:
    """k (r - r0)^2 / 2. `sites` (n, 2); `terms` (n, 2): r0 nm, k kJ/mol/nm^2."""
    r = geometry.distance(x, sites)
    return (0.5 * terms[:, 1] * (r - terms[:, 0]).square()).sum(-1)


def angles(x: Tensor, sites: Tensor, terms: Tensor) -> Tensor:
    """k (theta - theta0)^2 / 2. `sites` (n, 3); `terms` (n, 2): theta0, k kJ/mol/rad^2."""
    theta = geometry.angle(x, sites)
    return (0.5 * terms[:, 1] * (theta - terms[:, 0]).square()).sum(-1)


def torsions(x: Tensor, sites: Tensor, series: Tensor) -> Tensor:
    """sum_m a_m cos(m phi) + b_m sin(m phi), phi by the IUPAC convention.

    Args:
        x: positions.
        sites: (n, 4).
        series: (n, 1 + 2 ORDERS) kJ/mol: a_0, then a_1 ..., then b_1 ...
    """
    phi = geometry.dihedral(x, sites)
    turns = phi[..., None] * torch.arange(1, ORDERS + 1, device=x.device)
    cosines, sines = series[:, 1 : 1 + ORDERS], series[:, 1 + ORDERS :]
    return (series[:, 0] + (cosines * turns.cos() + sines * turns.sin()).sum(-1)).sum(-1)


def maps(x: Tensor, sites: Tensor, kinds: Tensor, tables: Tensor) -> Tensor:
    """Corrections of two dihedrals by tables, bicubic between their points (A. D. MacKerell,
    M. Feig, C. L. Brooks, J. Comput. Chem. 25, 1400 (2004)).

    Args:
        x: positions.
        sites: (n, 8) of the first and of the second dihedral.
        kinds: (n,) table of each.
        tables: (n_tables, points, points, 4) kJ/mol by first and second dihedral, from 0 in equal
            steps: value, slope along the first, along the second, and along both, per step.
    """
    points = tables.shape[1]
    places = [
        geometry.dihedral(x, sites[:, part]) % (2 * math.pi) for part in (slice(4), slice(4, 8))
    ]
    places = [angle * (points / (2 * math.pi)) for angle in places]
    cells = [place.detach().floor().long() for place in places]
    weights = [_hermite(place - cell) for place, cell in zip(places, cells)]
    energy = x.new_zeros(x.shape[0], len(sites))
    for a, (value, slope) in enumerate(weights[0]):
        for b, (other, other_slope) in enumerate(weights[1]):
            at = tables[kinds, (cells[0] + a) % points, (cells[1] + b) % points]
            factors = (value * other, slope * other, value * other_slope, slope * other_slope)
            energy = energy + (at * torch.stack(factors, -1)).sum(-1)
    return energy.sum(-1)


def _hermite(t: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Weights of value and slope at 0, then at 1, for a cubic between them."""
    far = t * t * (3 - 2 * t)
    return (1 - far, t * (1 - t).square()), (far, -t * t * (1 - t))


def pair_sites(n_sites: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Both sites of every pair, (n_pairs,) each, in the order of its first."""
    first, second = torch.triu_indices(n_sites, n_sites, 1, device=device)
    return first, second


def pair_table(
    charges: Tensor, sizes: Tensor, exception_sites: Tensor, exception_terms: Tensor
) -> Tensor:
    """(n_pairs, 3) of every pair: charge product in kJ/mol nm, C6 and C12.

    Args:
        charges: (n_sites,) e.
        sizes: (n_sites, 2) sigma nm and epsilon kJ/mol, combined by the rules of Lorentz and
            Berthelot.
        exception_sites: (n, 2) pairs with numbers of their own.
        exception_terms: (n, 3) e^2, sigma, epsilon of these.
    """
    n = len(charges)
    i, j = pair_sites(n, charges.device)
    products = charges[i] * charges[j]
    sigma = 0.5 * (sizes[i, 0] + sizes[j, 0])
    epsilon = (sizes[i, 1] * sizes[j, 1]).sqrt()
    low, high = exception_sites.amin(1), exception_sites.amax(1)
    number = low * (2 * n - low - 1) // 2 + high - low - 1
    products = products.index_copy(0, number, exception_terms[:, 0])
    sigma = sigma.index_copy(0, number, exception_terms[:, 1])
    epsilon = epsilon.index_copy(0, number, exception_terms[:, 2])
    sixth = sigma**6
    return torch.stack([COULOMB * products, 4 * epsilon * sixth, 4 * epsilon * sixth**2], 1)


def distances(x: Tensor) -> Tensor:
    """(n_frames, n_pairs) nm."""
    return geometry.distance(x, torch.stack(pair_sites(x.shape[1], x.device), 1))


def pairs(r: Tensor, table: Tensor) -> Tensor:
    """Coulomb and Lennard-Jones energy from `distances` and `pair_table`."""
    sixth = r**-6
    return (table[:, 0] / r - table[:, 1] * sixth + table[:, 2] * sixth**2).sum(-1)


def born_energy(r: Tensor, born: Born) -> Tensor:
    """Polarisation (W. C. Still et al., J. Am. Chem. Soc. 112, 6127 (1990)) and the surface term of
    M. Schaefer, C. Bartels, M. Karplus, J. Mol. Biol. 284, 835 (1998), from `distances`.
    """
    n = len(born.charges)
    i, j = pair_sites(n, r.device)
    b = born_radii(r, born)
    strength, q = born.numbers["strength"], born.charges
    product = b[:, i] * b[:, j]
    f = (r.square() + product * torch.exp(-r.square() / (4 * product))).sqrt()
    among = (q[i] * q[j] / f).sum(-1)
    own = 0.5 * (q.square() / b).sum(-1)
    reach = (born.radius + born.numbers["probe"]).square()
    surface = born.numbers["surface"] * (reach * (born.radius / b) ** 6).sum(-1)
    return surface - strength * (among + own)


def born_radii(r: Tensor, born: Born) -> Tensor:
    """(n_frames, n_sites) nm from `distances`: A. Onufriev, D. Bashford, D. A. Case, Proteins 55,
    383 (2004); with necks H. Nguyen, D. R. Roe, C. Simmerling, J. Chem. Theory Comput. 9, 2020
    (2013).
    """
    n = len(born.charges)
    i, j = pair_sites(n, r.device)
    integral = r.new_zeros(len(r), n)
    for site, other in ((i, j), (j, i)):
        integral = integral.index_add(1, site, _taken(r, born, site, other))
    psi = integral * born.offset_radius
    alpha, beta, gamma = born.coefficients.unbind(1)
    bent = torch.tanh(psi * (alpha - beta * psi + gamma * psi.square()))
    return 1 / (1 / born.offset_radius - bent / born.radius)


def _taken(r: Tensor, born: Born, site: Tensor, other: Tensor) -> Tensor:
    """(n_frames, n_pairs) 1/nm that the sphere of `other` takes from the integral of `site`."""
    own, s = born.offset_radius[site], born.scaled_radius[other]
    upper = r + s
    inside = upper > own
    upper = torch.where(inside, upper, own + r)  # any number that keeps the logarithm finite
    lower = torch.maximum(own, (r - s).abs())
    shell = 0.5 * (
        1 / lower
        - 1 / upper
        + 0.25 * (r - s.square() / r) * (1 / upper.square() - 1 / lower.square())
        + 0.5 * torch.log(lower / upper) / r
    )
    taken = torch.where(inside, shell, torch.zeros_like(shell))
    scale = born.numbers["neck_scale"]
    if not scale:
        return taken
    off = r - born.distances[born.kinds[site], born.kinds[other]]
    shape = 1 + NECK_SQUARE * off.square() + NECK_SIXTH * off**6
    neck = scale * born.heights[born.kinds[site], born.kinds[other]] / shape
    reach = born.radius[site] + born.radius[other] + born.numbers["neck_cut"]
    return taken + torch.where(r < reach, neck, torch.zeros_like(neck))
