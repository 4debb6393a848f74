"""`UF3Potential`: two- and three-body energies as cubic B-splines, for speed (S. R. Xie, M. Rupp,
R. G. Hennig, npj Comput. Mater. 9, 162 (2023)).

U = 1/2 sum_{i != j} V2(r_ij) + sum_i sum_{j < k} V3(r_ij, r_ik, r_jk), with one V2 for every pair
of types and one V3 for every type of the middle site and pair of types of the other two. V2 is a
sum of B-splines, V3 a sum of products of three. Every evaluation costs four numbers a pair and 64 a
triple, however many knots there are, and the energy is linear in its coefficients, so a fit is one
linear solve (`cgrec.corrections.distillation`). It is symmetric in a mirror: two enantiomers have one energy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..frames import Frames
from ..ranges import expect
from .backends import faster
from .base import Potential
from .cubic_spline import CubicSpline as CubicSpline
from .graph import SiteGraph
from .network import force_scale
from .pairs import CompiledPairs, library
from .traced import traced
from .uf3_terms import PairSplines, TripleSplines
from .uf3_terms import near_triples as near_triples


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
        pairs, triples: the two terms; triples is None without a three-body term.

    Raises:
        ValueError: a cutoff or spacing that makes no sense; the message says which.
    """

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
        expect("UF3Potential", above=0, cutoff=cutoff, spacing=spacing, three_spacing=three_spacing)
        expect("UF3Potential", at_least=0, at_most=cutoff, three_cutoff=three_cutoff)
        self.three_cutoff = float(three_cutoff)
        self.energy_scale = float(energy_scale)
        n_types = len(self.types)
        self.pairs = PairSplines(n_types, _knots("knots", knots, cutoff, spacing))
        self.triples: TripleSplines | None = None
        n = self.pairs.end
        self.traceable = three_cutoff <= 0  # how many triples there are, varies
        if three_cutoff > 0:
            side = _knots("three_knots", three_knots, three_cutoff, three_spacing)
            spacing = across_spacing or three_spacing
            across = _knots("across_knots", across_knots, 2 * three_cutoff, spacing)
            self.triples = TripleSplines(n_types, side, across, first=n)
            n = self.triples.end
        self.pairs.put_zeros(n)
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
        scale = force_scale(np.asarray(frames.need_forces(), float), spacing)
        return cls(
            types=sorted(set(frames.system.types)),
            cutoff=cutoff,
            spacing=spacing,
            three_cutoff=three_cutoff,
            three_spacing=three_spacing,
            across_spacing=across_spacing,
            energy_scale=scale,
        )

    @property
    def pair_spline(self) -> CubicSpline:
        """Splines of the two-body term."""
        return self.pairs.spline

    @property
    def pair_columns(self) -> Tensor:
        """(n_types, n_types, n) which coefficient each spline of a pair takes; n_columns: zero."""
        return self.pairs.columns

    @property
    def side_spline(self) -> CubicSpline:
        """Splines of r_ij and r_ik in the three-body term."""
        return _made(self.triples).side

    @property
    def across_spline(self) -> CubicSpline:
        """Splines of r_jk in the three-body term."""
        return _made(self.triples).across

    @property
    def triple_columns(self) -> Tensor:
        """(n_types, n_types, n_types, n, n, n_across) the same of triples, see `TripleSplines`."""
        return _made(self.triples).columns

    def energy(self, graph: SiteGraph) -> Tensor:
        vectors, r = self._distances(graph)
        values = self._with_zero()
        own = 0.5 * self.pairs.energy(graph, r, values)
        if self.triples is not None:
            own = own + self.triples.energy(graph, vectors, r, values)
        return graph.per_frame(own).sum(1)

    def energy_design(self, graph: SiteGraph) -> Tensor:
        """(n_frames, n_coefficients) kJ/mol: the two-body energy is this times `coefficients`."""
        with torch.no_grad():
            width = len(self.coefficients) + 1
            design = self.pairs.energy_design(graph, self._distances(graph)[1], width)
        return 0.5 * self.energy_scale * design[:, :-1]

    def pair_table(self) -> Tensor:
        """(n_types, n_types, n) kJ/mol, coefficients of V2 with the zeros at the cutoff."""
        return self._with_zero()[self.pair_columns]

    def triple_table(self) -> Tensor:
        """(n_types, n_types, n_types, n, n, n_across) kJ/mol, the same of V3."""
        return self._with_zero()[self.triple_columns]

    def touched(self, graph: SiteGraph) -> Tensor:
        """Which coefficients the energy of `graph` depends on, ascending."""
        with torch.no_grad():
            vectors, r = self._distances(graph)
            parts = [self.pairs.touched(graph, r)]
            if self.triples is not None:
                parts.append(self.triples.touched(graph, vectors, r))
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
            vectors, r = self._distances(graph)
            design = vectors.new_zeros(3 * len(r) * width)
            self.pairs.add_forces(design, graph, vectors, r, place, width)
            if self.triples is not None:
                self.triples.add_forces(design, graph, vectors, r, place, width)
        return design.view(-1, width) * self.energy_scale

    def _distances(self, graph: SiteGraph) -> tuple[Tensor, Tensor]:
        """(n_sites, n_slots, 3) nm from each site to its neighbours, and (n_sites, n_slots) nm."""
        vectors = graph.neighbour_vectors().to(self.coefficients.dtype)
        return vectors, vectors.norm(dim=-1)

    def _with_zero(self) -> Tensor:
        return torch.cat([self.coefficients * self.energy_scale, self.coefficients.new_zeros(1)])


def _made(triples: TripleSplines | None) -> TripleSplines:
    """The three-body term. ValueError where there is none."""
    if triples is None:
        raise ValueError(
            "UF3Potential: expected a three-body term, found three_cutoff=0; make it with a "
            "three_cutoff in nm"
        )
    return triples


@faster(UF3Potential)
def _compiled(plain: UF3Potential) -> Potential:
    """Pairs alone as C++ on a CPU; triples stay as they are there."""
    if plain.device.type != "cpu":
        return traced(plain)
    if plain.three_cutoff > 0 or library() is None:
        return plain
    spline, table = plain.pair_spline, plain.pair_table().detach().double()
    # (n_types, n_types, n_pieces, 4) the coefficients alive in each piece
    window = table.unfold(-1, 4, 1)
    pieces = torch.einsum("kpb,ijkb->ijkp", spline.pieces.double(), window).contiguous()
    knots = spline.knots.double().contiguous()
    return CompiledPairs(plain, "splines", pieces.shape[2], knots, pieces)


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
