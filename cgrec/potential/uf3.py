"""`UF3Potential`: two- and three-body energies as cubic B-splines, for speed (S. R. Xie, M. Rupp,
R. G. Hennig, npj Comput. Mater. 9, 162 (2023)).

U = 1/2 sum_{i != j} V2(r_ij) + sum_i sum_{j < k} V3(r_ij, r_ik, r_jk), with one V2 for every pair
of types and one V3 for every type of the middle site and pair of types of the other two. V2 is a
sum of B-splines, V3 a sum of products of three. Every evaluation costs four numbers a pair and 64 a
triple, however many knots there are, and the energy is linear in its coefficients, so a fit is one
linear solve (`cgrec.distillation`). It is symmetric in a mirror: two enantiomers have one energy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.interpolate import BSpline, PPoly
from torch import Tensor, nn

from ..frames import Frames
from .base import Potential
from .graph import SiteGraph

_DEGREE = 3
#: Site, and slots of its two neighbours, of each triple.
Triples = tuple[Tensor, Tensor, Tensor]


class UF3Potential(Potential):
    """Cubic B-splines over distances (two-body) and over the three sides of a triangle
    (three-body).

    Knots are where the polynomial pieces join: from 0 to the cutoff, uniform unless given. The last
    three coefficients are zero, so energies reach the cutoff with two continuous derivatives. The
    side r_jk between the outer sites reaches to 2 * three_cutoff.

    Args:
        types: site types.
        cutoff: nm, of the two-body term.
        spacing: nm, at most, between its knots.
        three_cutoff: nm, of r_ij and r_ik in the three-body term; 0 leaves that term out.
        three_spacing: nm, at most, between knots of r_ij and r_ik.
        across_spacing: nm, at most, between knots of r_jk; default: three_spacing.
        knots, three_knots, across_knots: (n,) nm ascending from 0, instead of uniform ones.
        energy_scale: kJ/mol that a coefficient of one stands for.

    Attributes:
        coefficients: (n_columns,) all free coefficients, in units of energy_scale.
        pair_columns: (n_types, n_types, n) which of them each spline of a pair of types takes;
            n_columns stands for zero.
        triple_columns: (n_types, n_types, n_types, n, n, n_across) the same for types (i, j, k) and
            splines of (r_ij, r_ik, r_jk); exchanging j with k gives the same coefficient.

    Raises:
        ValueError: a cutoff or spacing that makes no sense; the message says which.
    """

    pair_columns: Tensor
    triple_columns: Tensor

    def __init__(
        self,
        *,
        types: Sequence[str],
        cutoff: float,
        spacing: float = 0.025,
        three_cutoff: float = 0.0,
        three_spacing: float = 0.05,
        across_spacing: float | None = None,
        knots: Sequence[float] | None = None,
        three_knots: Sequence[float] | None = None,
        across_knots: Sequence[float] | None = None,
        energy_scale: float = 1.0,
    ) -> None:
        knots, three_knots, across_knots = (_plain(k) for k in (knots, three_knots, across_knots))
        super().__init__(
            types=types,
            cutoff=cutoff,
            spacing=spacing,
            three_cutoff=three_cutoff,
            three_spacing=three_spacing,
            across_spacing=across_spacing,
            knots=knots,
            three_knots=three_knots,
            across_knots=across_knots,
            energy_scale=energy_scale,
        )
        if not (cutoff > 0 and 0 <= three_cutoff <= cutoff):
            raise ValueError(
                "UF3Potential: expected 0 < cutoff and 0 <= three_cutoff <= cutoff in nm, "
                f"found cutoff={cutoff}, three_cutoff={three_cutoff}"
            )
        self.three_cutoff = float(three_cutoff)
        self.energy_scale = float(energy_scale)
        self.pair_spline = CubicSpline(_knots("knots", knots, cutoff, spacing))
        self.register_buffer(
            "pair_columns", _pair_columns(len(self.types), len(self.pair_spline)), False
        )
        n = int(self.pair_columns[self.pair_columns >= 0].max()) + 1
        if three_cutoff > 0:
            across = across_spacing or three_spacing
            self.side_spline = CubicSpline(
                _knots("three_knots", three_knots, three_cutoff, three_spacing)
            )
            self.across_spline = CubicSpline(
                _knots("across_knots", across_knots, 2 * three_cutoff, across)
            )
            table = _triple_columns(
                len(self.types), len(self.side_spline), len(self.across_spline), n
            )
            n = int(table.max()) + 1
            self.register_buffer("triple_columns", torch.where(table < 0, n, table), False)
        self.pair_columns[self.pair_columns < 0] = n
        self.coefficients = nn.Parameter(torch.zeros(n, dtype=torch.float64))

    @classmethod
    def for_frames(
        cls,
        frames: Frames,
        seed: int = 0,
        *,
        cutoff: float,
        spacing: float = 0.025,
        three_cutoff: float = 0.0,
        three_spacing: float = 0.05,
        across_spacing: float | None = None,
    ) -> UF3Potential:
        """Untrained (all zero, whatever the seed) for the types of `frames`, scaled to the size of
        their forces over a knot.
        """
        scale = float(np.sqrt(np.mean(np.asarray(frames.need_forces(), float) ** 2))) * spacing
        return cls(
            types=sorted(set(frames.system.types)),
            cutoff=cutoff,
            spacing=spacing,
            three_cutoff=three_cutoff,
            three_spacing=three_spacing,
            across_spacing=across_spacing,
            energy_scale=scale,
        )

    def energy(self, graph: SiteGraph) -> Tensor:
        vectors = graph.neighbour_vectors().to(self.coefficients.dtype)
        r = vectors.norm(dim=-1)
        own = 0.5 * self._pair_energy(graph, r)
        if self.three_cutoff > 0:
            own = own + self._triple_energy(graph, vectors, r)
        return graph.per_frame(own).sum(1)

    def compiled(self) -> Potential:
        from .pairs import CompiledPairs, library

        if self.device.type != "cpu":
            return super().compiled()
        if self.three_cutoff > 0 or library() is None:
            return self
        spline, table = self.pair_spline, self.pair_table().detach().double()
        window = table.unfold(
            -1, 4, 1
        )  # (n_types, n_types, n_pieces, 4) the coefficients alive in each piece
        pieces = torch.einsum("kpb,ijkb->ijkp", spline.pieces.double(), window).contiguous()
        return CompiledPairs(
            self, "splines", pieces.shape[2], spline.knots.double().contiguous(), pieces
        )

    def energy_design(self, graph: SiteGraph) -> Tensor:
        """(n_frames, n_coefficients) kJ/mol: the two-body energy is this times `coefficients`."""
        with torch.no_grad():
            r = graph.neighbour_vectors().to(self.coefficients.dtype).norm(dim=-1)
            site, slot = (r < self.cutoff).nonzero(as_tuple=True)
            place, basis = self.pair_spline(r[site, slot])
            other = graph.neighbour_index[site, slot]
            table = self.pair_columns[graph.species[site], graph.species[other]]
            columns = table.gather(1, place[:, None] + _four(place))
            width = len(self.coefficients) + 1
            design = r.new_zeros(graph.n_frames * width)
            frame = site // graph.sites_per_frame
            design.index_add_(0, (frame[:, None] * width + columns).flatten(), basis.flatten())
        return 0.5 * self.energy_scale * design.view(graph.n_frames, width)[:, :-1]

    def pair_table(self) -> Tensor:
        """(n_types, n_types, n) kJ/mol, coefficients of V2 with the zeros at the cutoff."""
        return self._with_zero()[self.pair_columns]

    def triple_table(self) -> Tensor:
        """(n_types, n_types, n_types, n, n, n_across) kJ/mol, coefficients of V3 with the zeros at
        the cutoffs.
        """
        return self._with_zero()[self.triple_columns]

    def touched(self, graph: SiteGraph) -> Tensor:
        """Which coefficients the energy of `graph` depends on, ascending."""
        with torch.no_grad():
            vectors = graph.neighbour_vectors().to(self.coefficients.dtype)
            r = vectors.norm(dim=-1)
            parts = [self._pair_basis(graph, vectors, r)[1].flatten()]
            if self.three_cutoff > 0:
                triples = near_triples(r, self.three_cutoff)
                places = [
                    s(x)[0]
                    for s, x in zip(self._triple_splines(), self._sides(vectors, triples)[1])
                ]
                parts.append(
                    self.triple_columns.flatten()[self._cube(graph, triples, places)].flatten()
                )
            found = torch.cat(parts).unique()
        return found[found < len(self.coefficients)]

    def force_design(self, graph: SiteGraph, place: Tensor, width: int) -> Tensor:
        """Forces are linear in `coefficients`; this is the matrix, (3 * n_sites of all frames,
        width) kJ/mol/nm.

        Args:
            graph: frames of the sites.
            place: (n_columns + 1,) column of the result each coefficient goes to; the last is for
                those that are zero.
            width: number of columns.
        """
        with torch.no_grad():
            vectors = graph.neighbour_vectors().to(self.coefficients.dtype)
            r = vectors.norm(dim=-1)
            design = vectors.new_zeros(3 * len(r) * width)
            site, columns, values = self._pair_basis(graph, vectors, r)
            entry = 3 * width * site[:, None] + place[columns]
            for axis in range(3):
                design.index_add_(0, (entry + axis * width).flatten(), values[:, axis].flatten())
            if self.three_cutoff > 0:
                self._add_triples(
                    design, graph, vectors, near_triples(r, self.three_cutoff), place, width
                )
        return design.view(-1, width) * self.energy_scale

    def _with_zero(self) -> Tensor:
        return torch.cat([self.coefficients * self.energy_scale, self.coefficients.new_zeros(1)])

    def _pair_energy(self, graph: SiteGraph, r: Tensor) -> Tensor:
        site, slot = (r < self.cutoff).nonzero(as_tuple=True)
        other = graph.neighbour_index[site, slot]
        place, basis = self.pair_spline(r[site, slot])
        table = self.pair_table()[graph.species[site], graph.species[other]]
        value = (table.gather(1, place[:, None] + _four(place)) * basis).sum(1)
        return r.new_zeros(len(r)).index_add(0, site, value)

    def _triple_energy(self, graph: SiteGraph, vectors: Tensor, r: Tensor) -> Tensor:
        triples = near_triples(r, self.three_cutoff)
        lengths = self._sides(vectors, triples)[1]
        found = [spline(length) for spline, length in zip(self._triple_splines(), lengths)]
        (first, second, third) = (values for _, values in found)
        cube = self.triple_table().flatten()[
            self._cube(graph, triples, [place for place, _ in found])
        ]
        value = (cube @ third[:, None, :, None])[..., 0]
        value = ((value @ second[..., None])[..., 0] * first).sum(1)
        return r.new_zeros(len(r)).index_add(0, triples[0], value)

    def _triple_splines(self) -> list[CubicSpline]:
        return [self.side_spline, self.side_spline, self.across_spline]

    def _sides(self, vectors: Tensor, triples: Triples) -> tuple[list[Tensor], list[Tensor]]:
        """Sides i-j, i-k, k-j of each triple, (n_triples, 3) nm each, and their lengths."""
        site, j, k = triples
        sides = [vectors[site, j], vectors[site, k], vectors[site, j] - vectors[site, k]]
        return sides, [side.norm(dim=-1) for side in sides]

    def _cube(self, graph: SiteGraph, triples: Triples, places: list[Tensor]) -> Tensor:
        """(n_triples, 4, 4, 4) places in the flattened triple table of the coefficients each triple
        takes.
        """
        site, j, k = triples
        strides, four, species = self.triple_columns.stride(), _four(site), graph.species
        others = (species[graph.neighbour_index[site, slot]] for slot in (j, k))
        start = sum(x * stride for x, stride in zip([species[site], *others, *places], strides))
        corner = four[:, None, None] * strides[3] + four[:, None] * strides[4] + four
        return start[:, None, None, None] + corner  # type: ignore[index]

    def _pair_basis(
        self, graph: SiteGraph, vectors: Tensor, r: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Of each pair: its site, (n, 4) columns, and (n, 3, 4) force on the site of a coefficient
        of one.
        """
        site, slot = (r < self.cutoff).nonzero(as_tuple=True)
        other = graph.neighbour_index[site, slot]
        place, slope = self.pair_spline.derivative(r[site, slot])
        table = self.pair_columns[graph.species[site], graph.species[other]]
        columns = table.gather(1, place[:, None] + _four(place))
        return (
            site,
            columns,
            (vectors[site, slot] / r[site, slot, None])[:, :, None] * slope[:, None],
        )

    def _add_triples(
        self,
        design: Tensor,
        graph: SiteGraph,
        vectors: Tensor,
        triples: Triples,
        place: Tensor,
        width: int,
    ) -> None:
        sides, lengths = self._sides(vectors, triples)
        splines = self._triple_splines()
        found = [spline(length) for spline, length in zip(splines, lengths)]
        slopes = [spline.derivative(length)[1] for spline, length in zip(splines, lengths)]
        columns = place[
            self.triple_columns.flatten()[self._cube(graph, triples, [p for p, _ in found])]
        ]
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


class CubicSpline(nn.Module):
    """Cubic B-splines on clamped knots: at any r, four of them are not zero.

    Args:
        knots: (n,) nm, ascending; there are n + 2 splines.
    """

    knots: Tensor
    pieces: Tensor

    def __init__(self, knots: Sequence[float]) -> None:
        super().__init__()
        full = np.concatenate([[knots[0]] * _DEGREE, knots, [knots[-1]] * _DEGREE])
        n = len(knots) + _DEGREE - 1
        powers = np.stack(
            [PPoly.from_spline(BSpline(full, one, _DEGREE)).c for one in np.eye(n)], -1
        )
        # pieces[i, p, b]: factor of (r - knots[i])^p in the b-th of the four splines alive between
        # knots i and i + 1
        pieces = np.stack([powers[::-1, _DEGREE + i, i : i + 4] for i in range(len(knots) - 1)])
        self.register_buffer("knots", torch.tensor(np.asarray(knots, float)), False)
        self.register_buffer("pieces", torch.tensor(pieces), False)

    def __len__(self) -> int:
        return len(self.knots) + _DEGREE - 1

    def forward(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """(n,) first of the four splines alive at r (n,) nm, and (n, 4) their values."""
        place, t = self._place(r)
        one = torch.ones_like(t)
        return place, (torch.stack([one, t, t**2, t**3], 1)[:, None] @ self.pieces[place])[:, 0]

    def derivative(self, r: Tensor) -> tuple[Tensor, Tensor]:
        """The same with (n, 4) slopes in 1/nm."""
        place, t = self._place(r)
        one = torch.ones_like(t)
        return place, (
            torch.stack([0 * one, one, 2 * t, 3 * t**2], 1)[:, None] @ self.pieces[place]
        )[:, 0]

    def _place(self, r: Tensor) -> tuple[Tensor, Tensor]:
        place = torch.bucketize(r.detach(), self.knots[1:-1], right=True)
        return place, r - self.knots[place]


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


def _four(like: Tensor) -> Tensor:
    return torch.arange(4, device=like.device)


def _plain(knots: Sequence[float] | None) -> list[float] | None:
    return None if knots is None else [float(x) for x in knots]


def _knots(name: str, given: Sequence[float] | None, cutoff: float, spacing: float) -> list[float]:
    if given is not None:
        if (
            len(given) < 5
            or given[0] != 0
            or not np.isclose(given[-1], cutoff)
            or np.min(np.diff(given)) <= 0
        ):
            raise ValueError(
                f"UF3Potential: expected {name} ascending from 0 to the cutoff {cutoff} nm, at "
                f"least five, found {given}"
            )
        return [*given[:-1], float(cutoff)]
    if not 0 < spacing <= cutoff / 4:
        raise ValueError(
            "UF3Potential: expected a knot spacing between 0 and a quarter of the cutoff "
            f"{cutoff} nm, found {spacing}"
        )
    return np.linspace(0, cutoff, int(np.ceil(cutoff / spacing - 1e-9)) + 1).tolist()


def _pair_columns(n_types: int, n: int) -> Tensor:
    """(n_types, n_types, n), -1 where the coefficient is zero."""
    pairs = _pairs(n_types)[..., None]
    k = torch.arange(n)
    return torch.where(k < n - _DEGREE, pairs * (n - _DEGREE) + k, -1)


def _triple_columns(n_types: int, n: int, n_across: int, first: int) -> Tensor:
    """(n_types, n_types, n_types, n, n, n_across), -1 where the coefficient is zero; exchange (j,
    l) with (k, m): the same.

    The joint symmetry of types and splines makes an unordered pair of (type, spline) the thing that
    is numbered.
    """
    free, free_across = n - _DEGREE, n_across - _DEGREE
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
