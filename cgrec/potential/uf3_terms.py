"""Sums of cubic B-splines over the pairs and over the triples of a graph of sites: what
`UF3Potential` is made of.

Both are linear in their coefficients, which are handed in as one vector of all coefficients of the
potential with a zero at its end.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .cubic_spline import DEGREE, CubicSpline, four
from .graph import SiteGraph

#: Site, and slots of its two neighbours, of each triple.
Triples = tuple[Tensor, Tensor, Tensor]


class PairSplines(nn.Module):
    """Two-body terms: a spline of r_ij for every pair of types.

    Args:
        n_types: types of sites.
        knots: (n,) nm from 0 to the cutoff.

    Attributes:
        columns: (n_types, n_types, n) place of each coefficient in the vector of all, -1 for those
            that are zero until `put_zeros` says where the zero is.
    """

    columns: Tensor

    def __init__(self, n_types: int, knots: Sequence[float]) -> None:
        super().__init__()
        self.cutoff = float(knots[-1])
        self.spline = CubicSpline(knots)
        self.register_buffer("columns", _pair_columns(n_types, len(self.spline)), False)
        self.end = int(self.columns.max()) + 1

    def put_zeros(self, zero: int) -> None:
        """Coefficients that are zero are at `zero` in the vector of all."""
        self.columns[self.columns < 0] = zero

    def energy(self, graph: SiteGraph, r: Tensor, values: Tensor) -> Tensor:
        """(n_sites,) kJ/mol of all pairs of each site.

        Args:
            graph: of the sites.
            r: (n_sites, n_slots) nm, distances of neighbours.
            values: (n_columns + 1,) kJ/mol, all coefficients and a zero.
        """
        if r.device.type != "cpu":
            return self._energy_of_slots(graph, r, values)
        site, slot = (r < self.cutoff).nonzero(as_tuple=True)
        other = graph.neighbour_index[site, slot]
        place, basis = self.spline(r[site, slot])
        table = values[self.columns][graph.species[site], graph.species[other]]
        value = (table.gather(1, place[:, None] + four(place)) * basis).sum(1)
        return r.new_zeros(len(r)).index_add(0, site, value)

    def _energy_of_slots(self, graph: SiteGraph, r: Tensor, values: Tensor) -> Tensor:
        """As `energy`, free slots and far pairs included: on a GPU to count the others is to wait,
        and what is traced must not depend on their number.
        """
        place, basis = self.spline(r.clamp(max=self.cutoff).flatten())
        table = values[self.columns]
        kinds = graph.species[:, None], graph.species[graph.neighbour_index]
        pieces = table[kinds].flatten(0, 1).gather(1, place[:, None] + four(place))
        value = (pieces * basis).sum(1).view_as(r)
        return torch.where(r < self.cutoff, value, 0.0).sum(1)

    def energy_design(self, graph: SiteGraph, r: Tensor, width: int) -> Tensor:
        """(n_frames, width) twice the energy per coefficient."""
        site, slot = (r < self.cutoff).nonzero(as_tuple=True)
        place, basis = self.spline(r[site, slot])
        columns = self._columns_of(graph, site, slot, place)
        design = r.new_zeros(graph.n_frames * width)
        frame = site // graph.sites_per_frame
        design.index_add_(0, (frame[:, None] * width + columns).flatten(), basis.flatten())
        return design.view(graph.n_frames, width)

    def touched(self, graph: SiteGraph, r: Tensor) -> Tensor:
        """Columns of the coefficients alive at the pairs, with repeats."""
        site, slot = (r < self.cutoff).nonzero(as_tuple=True)
        return self._columns_of(graph, site, slot, self.spline(r[site, slot])[0]).flatten()

    def add_forces(
        self,
        design: Tensor,
        graph: SiteGraph,
        vectors: Tensor,
        r: Tensor,
        place: Tensor,
        width: int,
    ) -> None:
        """Add the forces of coefficients of one to a design matrix, see
        `UF3Potential.force_design`.
        """
        site, slot = (r < self.cutoff).nonzero(as_tuple=True)
        first, slope = self.spline.derivative(r[site, slot])
        columns = self._columns_of(graph, site, slot, first)
        direction = vectors[site, slot] / r[site, slot, None]
        force = direction[:, :, None] * slope[:, None]
        entry = 3 * width * site[:, None] + place[columns]
        for axis in range(3):
            design.index_add_(0, (entry + axis * width).flatten(), force[:, axis].flatten())

    def _columns_of(self, graph: SiteGraph, site: Tensor, slot: Tensor, place: Tensor) -> Tensor:
        """(n_pairs, 4) columns of the splines alive at each pair."""
        other = graph.neighbour_index[site, slot]
        table = self.columns[graph.species[site], graph.species[other]]
        return table.gather(1, place[:, None] + four(place))


class TripleSplines(nn.Module):
    """Three-body terms: products of splines of the three sides of a triangle, for every type of the
    middle site and pair of types of the other two.

    Args:
        n_types: types of sites.
        side_knots: (n,) nm from 0 to the cutoff, of r_ij and r_ik.
        across_knots: (m,) nm from 0 to twice the cutoff, of r_jk.
        first: place of its first coefficient in the vector of all.

    Attributes:
        columns: (n_types, n_types, n_types, n, n, n_across) place in the vector of all of the
            coefficient of types (i, j, k) and splines of (r_ij, r_ik, r_jk), `end` where it is
            zero; exchanging j with k gives the same one.
    """

    columns: Tensor

    def __init__(
        self,
        n_types: int,
        side_knots: Sequence[float],
        across_knots: Sequence[float],
        first: int,
    ) -> None:
        super().__init__()
        self.cutoff = float(side_knots[-1])
        self.side = CubicSpline(side_knots)
        self.across = CubicSpline(across_knots)
        table = _triple_columns(n_types, len(self.side), len(self.across), first)
        self.end = int(table.max()) + 1
        self.register_buffer("columns", torch.where(table < 0, self.end, table), False)

    @property
    def splines(self) -> list[CubicSpline]:
        """Of r_ij, r_ik and r_jk."""
        return [self.side, self.side, self.across]

    def energy(self, graph: SiteGraph, vectors: Tensor, r: Tensor, values: Tensor) -> Tensor:
        """(n_sites,) kJ/mol of all triples whose middle is the site.

        Args:
            graph: of the sites.
            vectors, r: (n_sites, n_slots, 3) nm to the neighbours, and their lengths.
            values: (n_columns + 1,) kJ/mol, all coefficients and a zero.
        """
        triples = near_triples(r, self.cutoff)
        lengths = _sides(vectors, triples)[1]
        found = [spline(length) for spline, length in zip(self.splines, lengths)]
        (first, second, third) = (values_of for _, values_of in found)
        places = [place for place, _ in found]
        cube = values[self.columns].flatten()[self._cube(graph, triples, places)]
        value = (cube @ third[:, None, :, None])[..., 0]
        value = ((value @ second[..., None])[..., 0] * first).sum(1)
        return r.new_zeros(len(r)).index_add(0, triples[0], value)

    def touched(self, graph: SiteGraph, vectors: Tensor, r: Tensor) -> Tensor:
        """Columns of the coefficients alive at the triples, with repeats."""
        triples = near_triples(r, self.cutoff)
        sides = _sides(vectors, triples)[1]
        places = [spline(side)[0] for spline, side in zip(self.splines, sides)]
        return self.columns.flatten()[self._cube(graph, triples, places)].flatten()

    def add_forces(
        self,
        design: Tensor,
        graph: SiteGraph,
        vectors: Tensor,
        r: Tensor,
        place: Tensor,
        width: int,
    ) -> None:
        """Add the forces of coefficients of one to a design matrix, see
        `UF3Potential.force_design`.
        """
        triples = near_triples(r, self.cutoff)
        sides, lengths = _sides(vectors, triples)
        splines = self.splines
        found = [spline(length) for spline, length in zip(splines, lengths)]
        slopes = [spline.derivative(length)[1] for spline, length in zip(splines, lengths)]
        cube = self._cube(graph, triples, [p for p, _ in found])
        columns = place[self.columns.flatten()[cube]]
        site, j, k = triples
        corners = [site, graph.neighbour_index[site, j], graph.neighbour_index[site, k]]
        entries = [
            (3 * width * corner[:, None] + columns.flatten(1)).flatten() for corner in corners
        ]
        # Derivative of the 64 products by each side in turn; the side pulls at the corners at its
        # ends.
        for n, (start, end) in enumerate(((0, 1), (0, 2), (2, 1))):
            a, b, c = (slopes[m] if m == n else found[m][1] for m in range(3))
            product = (a[:, :, None, None] * b[:, None, :, None] * c[:, None, None, :]).flatten(1)
            for axis in range(3):
                pull = (product * (sides[n][:, axis] / lengths[n])[:, None]).flatten()
                design.index_add_(0, entries[start] + axis * width, pull)
                design.index_add_(0, entries[end] + axis * width, pull, alpha=-1)

    def _cube(self, graph: SiteGraph, triples: Triples, places: list[Tensor]) -> Tensor:
        """(n_triples, 4, 4, 4) places in the flattened triple table of the coefficients each triple
        takes.
        """
        site, j, k = triples
        strides, alive, species = self.columns.stride(), four(site), graph.species
        others = (species[graph.neighbour_index[site, slot]] for slot in (j, k))
        start = sum(x * stride for x, stride in zip([species[site], *others, *places], strides))
        corner = alive[:, None, None] * strides[3] + alive[:, None] * strides[4] + alive
        return start[:, None, None, None] + corner  # type: ignore[index]


def _sides(vectors: Tensor, triples: Triples) -> tuple[list[Tensor], list[Tensor]]:
    """Sides i-j, i-k, k-j of each triple, (n_triples, 3) nm each, and their lengths."""
    site, j, k = triples
    sides = [vectors[site, j], vectors[site, k], vectors[site, j] - vectors[site, k]]
    return sides, [side.norm(dim=-1) for side in sides]


def near_triples(r: Tensor, cutoff: float) -> Triples:
    """Every site with every two different neighbours closer than `cutoff`, once.

    Args:
        r: (n_sites, n_slots) nm, distances in the neighbour table; its free places lie beyond any
            cutoff.

    Returns:
        (n_triples,) site, and slots of its two neighbours.
    """
    near = r.detach() < cutoff
    most = int(near.sum(1).max()) if near.numel() else 0
    # Near slots first, so that the pairs to look through are those of the richest site, not of all
    # slots.
    slots = near.byte().argsort(dim=1, descending=True, stable=True)[:, :most]
    there = near.gather(1, slots)
    a, b = torch.triu_indices(most, most, 1, device=r.device)
    site, pair = (there[:, a] & there[:, b]).nonzero(as_tuple=True)
    return site, slots[site, a[pair]], slots[site, b[pair]]


def _pair_columns(n_types: int, n: int) -> Tensor:
    """(n_types, n_types, n), -1 where the coefficient is zero."""
    pairs = _pairs(n_types)[..., None]
    k = torch.arange(n)
    return torch.where(k < n - DEGREE, pairs * (n - DEGREE) + k, -1)


def _triple_columns(n_types: int, n: int, n_across: int, first: int) -> Tensor:
    """(n_types, n_types, n_types, n, n, n_across), -1 where the coefficient is zero; exchange (j,
    l) with (k, m): the same.

    The joint symmetry of types and splines makes an unordered pair of (type, spline) the thing that
    is numbered.
    """
    free, free_across = n - DEGREE, n_across - DEGREE
    ends = torch.arange(n_types)[:, None] * free + torch.arange(n)
    ends = torch.where(torch.arange(n) < free, ends, 0)
    outer = _pairs(n_types * free)[ends[:, None, :, None], ends[None, :, None, :]]
    n_outer = n_types * free * (n_types * free + 1) // 2
    middle = torch.arange(n_types)[:, None, None, None, None]
    column = (middle * n_outer + outer)[..., None] * free_across + torch.arange(n_across)
    place = torch.arange(n)
    alive = (
        (place < free)[:, None, None]
        & (place < free)[:, None]
        & (torch.arange(n_across) < free_across)
    )
    return torch.where(alive, column + first, -1)


def _pairs(n: int) -> Tensor:
    """(n, n) symmetric: a number for each unordered pair."""
    i, j = torch.arange(n)[:, None], torch.arange(n)
    low, high = torch.minimum(i, j), torch.maximum(i, j)
    return high * (high + 1) // 2 + low
