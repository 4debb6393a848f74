"""Local order of a periodic liquid beyond g(r): angles in the first shell, tetrahedrality,
triangles of neighbours.

Public: `first_shell_angles`, `tetrahedral_order`, `three_body` -> `LocalOrder`;
`mean_absolute_difference` of two radial distributions -> `Difference`; `compare_liquids` ->
`LiquidDifference`, what the ledger says of a liquid, each `Liquid` counted once. Triclinic boxes
are right: neighbours are those of the infinite periodic system.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..cell import minimum_image
from ..files import Json
from ..frames import Frames
from ..statistics.errors import jackknife_rows
from .pair_counts import half_width, pair_tables
from .structure import RadialDistribution, distribution

Array = NDArray[np.float64]


class NoShell(ValueError):
    """So dilute that no site has two neighbours in its first shell."""


@dataclass(frozen=True)
class LocalOrder:
    """Distribution of a quantity of local order, pooled over all centres, with jackknife errors
    over blocks.

    Attributes:
        x: (bins,) bin centres in `unit`.
        density: (bins,) per `unit`; its integral is one.
        error: (bins,) standard error of `density`.
        mean, mean_error: of the quantity itself, not of the bins.
        unit: rad, nm, or 1 for a pure number.
        ideal: (bins,) `density` of an ideal gas, exact in every bin; None where no formula is
            known.
    """

    x: Array
    density: Array
    error: Array
    mean: float
    mean_error: float
    unit: str
    ideal: Array | None = None

    @property
    def relative(self) -> Array:
        """(bins,) density / ideal: one without correlation. nan where an ideal gas has nothing.

        Raises:
            ValueError: no formula for the ideal gas.
        """
        if self.ideal is None:
            raise ValueError(
                "LocalOrder.relative: no formula for the ideal gas here; compare two densities"
            )
        return np.divide(
            self.density, self.ideal, out=np.full_like(self.ideal, np.nan), where=self.ideal > 0
        )


def first_shell_angles(
    frames: Frames,
    type_a: str,
    *,
    r_shell: float | None = None,
    n_neighbours: int | None = None,
    bins: int = 90,
    n_blocks: int | None = None,
) -> LocalOrder:
    """Distribution P(theta) of the angle neighbour-centre-neighbour in the first shell; O-O-O in
    water.

    Per rad, integral over 0..pi one, not divided by sin(theta): the convention of published O-O-O
    distributions. An ideal gas has P = sin(theta) / 2.

    Args:
        frames: with a box; any weights.
        type_a: of centre and neighbours.
        r_shell: nm; neighbours are all sites closer than this. Or:
        n_neighbours: neighbours are so many nearest sites.
        bins: of equal width in theta.
        n_blocks: for errors; default `statistics.default_blocks`.

    Raises:
        ValueError: not exactly one of r_shell and n_neighbours, no box, no site of this type, or no
            angle.
    """
    if (r_shell is None) == (n_neighbours is None):
        raise ValueError(
            "first_shell_angles: expected either r_shell or n_neighbours, found "
            f"r_shell={r_shell} and "
            f"n_neighbours={n_neighbours}"
        )
    edges = np.linspace(0.0, np.pi, bins + 1)

    def angles(vectors: Array) -> Array:
        return np.arccos(np.clip(_cosines(vectors), -1.0, 1.0)).ravel()

    ideal = -np.diff(np.cos(edges)) / 2 / np.diff(edges)
    shells = _shells(frames, type_a, r_shell, n_neighbours)
    return _distribution(frames, shells, angles, edges, "rad", n_blocks, ideal)


def tetrahedral_order(
    frames: Frames, type_a: str, bins: int = 200, n_blocks: int | None = None
) -> LocalOrder:
    """Distribution and mean of q = 1 - 3/8 sum_{j<k} (cos psi_jk + 1/3)^2 over the four nearest
    neighbours.

    Errington & Debenedetti, Nature 409, 318 (2001): 1 in a perfect tetrahedral network, 0 on
    average in an ideal gas, -3 at the least.

    Args:
        frames: with a box; any weights.
        type_a: of centre and neighbours.
        bins: over -3..1.
        n_blocks: for errors; default `statistics.default_blocks`.

    Raises:
        ValueError: no box or no site of this type.
    """

    def order(vectors: Array) -> Array:
        return 1 - 3 / 8 * ((_cosines(vectors) + 1 / 3) ** 2).sum(-1)

    edges = np.linspace(-3.0, 1.0, bins + 1)
    return _distribution(
        frames, _shells(frames, type_a, None, 4), order, edges, "1", n_blocks, None
    )


def three_body(
    frames: Frames, type_a: str, r_shell: float, bins: int = 100, n_blocks: int | None = None
) -> LocalOrder:
    """Three-body correlation: distribution of the distance s between two first-shell neighbours of
    one site.

    P(s) of the third side of all triangles with two sides shorter than R = r_shell, per nm,
    integral over 0..2R one. It is the triplet function g3(r, r', s) averaged over both short sides.
    `relative` divides it by that of an ideal gas, two random points in a ball: 3 s^2/R^3 - 9 s^3/(4
    R^4) + 3 s^5/(16 R^6) (Hammersley, Ann. Math. Stat. 21, 447 (1950)); the number of triangles is
    normalised away, so it says nothing that g(r) says.

    Args:
        frames: with a box; any weights.
        type_a: of all three sites.
        r_shell: nm, where the first shell ends.
        bins: over 0..2 r_shell.
        n_blocks: for errors; default `statistics.default_blocks`.

    Raises:
        ValueError: no box, no site of this type, or no triangle.
    """

    def sides(vectors: Array) -> Array:
        first, second = _pairs_of(vectors)
        return np.linalg.norm(first - second, axis=-1).ravel()

    edges = np.linspace(0.0, 2 * r_shell, bins + 1)
    x = edges / r_shell
    ideal = np.diff(x**3 - 9 / 16 * x**4 + x**6 / 32) / np.diff(edges)
    return _distribution(
        frames, _shells(frames, type_a, r_shell, None), sides, edges, "nm", n_blocks, ideal
    )


@dataclass(frozen=True)
class Difference:
    """Mean absolute difference of two radial distribution functions.

    Attributes:
        value: mean of |g_a - g_b| over the range.
        error: its standard error from both block errors, bins taken as independent.
        floor: what two samples of one liquid with these block errors show by chance.
    """

    value: float
    error: float
    floor: float


def mean_absolute_difference(
    a: RadialDistribution, b: RadialDistribution, low: float, high: float
) -> Difference:
    """Mean of |g_a - g_b| for low <= r <= high (nm), on the bins of the coarser one; its floor is
    the mean of sqrt(2/pi) (e_a^2 + e_b^2)^(1/2), the mean of |x| of a normal x.

    An experimental g(r) without error is a `RadialDistribution` with error zero.

    Raises:
        ValueError: the range is empty, or one of the two does not cover it.
    """
    coarse, fine = sorted((a, b), key=lambda g: len(g.r) / (g.r[-1] - g.r[0]))
    half = (coarse.r[1] - coarse.r[0]) / 2 + 1e-9  # known as far as the edges of the outer bins
    first, last = max(g.r[0] for g in (a, b)), min(g.r[-1] for g in (a, b))
    use = (coarse.r >= max(low, first)) & (coarse.r <= min(high, last))
    r = coarse.r[use]
    if not len(r) or low < first - half or high > last + half:
        raise ValueError(
            f"mean_absolute_difference: expected a range with bins in {first:.4f}..{last:.4f} nm, "
            f"where both are known, found {low}..{high}"
        )
    difference = coarse.g[use] - np.interp(r, fine.r, fine.g)
    noise = np.hypot(coarse.error[use], np.interp(r, fine.r, fine.error))
    return Difference(
        float(np.abs(difference).mean()),
        float(np.sqrt((noise**2).sum()) / len(r)),
        float(np.sqrt(2 / np.pi) * noise.mean()),
    )


@dataclass(frozen=True)
class LiquidDifference:
    """One distribution of a liquid in two ensembles.

    Attributes:
        what: "g(r)" of two types, or "angles" (`first_shell_angles`), "tetrahedrality", "triangles"
            of one.
        types: of the sites.
        value: mean of |model - reference| over the range.
        error: standard error of `value`, from blocks of both.
        floor: what two samples of one liquid would show by chance.
        rms, largest: root mean square and largest difference.
        peak: height of the model's highest peak over the reference's.
        low, high: the range, nm or rad.
    """

    what: str
    types: tuple[str, ...]
    value: float
    error: float
    floor: float
    rms: float
    largest: float
    peak: float
    low: float
    high: float


#: Pairs of neighbours looked at at a time: some 50 MB of vectors.
_PORTION = 2**20
#: nm per bin of g(r): a third of the width of the sharpest first peaks.
_BIN = 0.01
#: nm up to which g(r) is shown and compared: beyond, a liquid has forgotten a site, and time grows
#: with the cube.
FURTHEST = 1.5


def radial_distributions(
    frames: Frames, r_max: float | None = None, n_blocks: int | None = None
) -> list[RadialDistribution]:
    """g(r) of every two types with a pair between molecules, of like types from three sites on.

    Args:
        frames: with a box; any weights.
        r_max: nm, at most half the box; default: half the box or 1.5 nm, whichever is less.
        n_blocks: for errors; default `statistics.default_blocks`.

    Raises:
        ValueError: no box.
    """
    reach = min(r_max or FURTHEST, half_width(frames)[0])
    owners: dict[str, list[int]] = {}
    for kind, owner in zip(frames.system.types, frames.system.molecules.tolist()):
        owners.setdefault(kind, []).append(owner)
    types = sorted(owners)
    pairs = [
        (a, b) for k, a in enumerate(types) for b in types[k:] if len({*owners[a], *owners[b]}) > 1
    ]
    pairs = [(a, b) for a, b in pairs if a != b or len(owners[a]) > 2]
    bins = int(reach / _BIN)
    edges = np.linspace(0.0, bins * _BIN, bins + 1)
    tables = (
        pair_tables(frames, [((a,), (b,)) for a, b in pairs], edges, intermolecular=True)
        if pairs
        else []
    )
    return [
        distribution(frames, pair, edges, table.rows, n_blocks)
        for pair, table in zip(pairs, tables)
    ]


def first_minimum(g: RadialDistribution) -> float | None:
    """nm at which the first shell ends: the lowest g(r) up to 1.7 times the highest peak; None for
    a peak below 1.5.
    """
    peak = int(np.argmax(g.g))
    if g.g[peak] < 1.5:
        return None
    behind = np.where((g.r > g.r[peak]) & (g.r < 1.7 * g.r[peak]), g.g, np.inf)
    return float(g.r[int(np.argmin(behind))])


def compared_range(*ensembles: Frames) -> float:
    """nm up to which g(r) of these is compared: half the smallest box, at most `FURTHEST`.
    ValueError: no box.
    """
    return min(FURTHEST, *(half_width(frames)[0] for frames in ensembles))


class Liquid:
    """A periodic ensemble and what has been counted in it: each distribution once, however often it
    is compared.

    Args:
        frames: with a box; not changed from then on.
    """

    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self._radial: dict[int, list[RadialDistribution]] = {}
        self._order: dict[tuple[str, float], dict[str, LocalOrder]] = {}

    def radial(self, reach: float) -> list[RadialDistribution]:
        """`radial_distributions` to `reach` nm."""
        bins = int(reach / _BIN)
        if bins not in self._radial:
            self._radial[bins] = radial_distributions(self.frames, reach)
        return self._radial[bins]

    def order(self, kind: str, shell: float) -> dict[str, LocalOrder]:
        """Angles, tetrahedrality and triangles of the sites of a type whose first shell ends at
        `shell` nm.

        Empty where the liquid is so dilute that no site has two neighbours.
        """
        if (kind, shell) not in self._order:
            try:
                self._order[kind, shell] = {
                    "angles": first_shell_angles(self.frames, kind, r_shell=shell),
                    "tetrahedrality": tetrahedral_order(self.frames, kind),
                    "triangles": three_body(self.frames, kind, shell),
                }
            except NoShell:
                self._order[kind, shell] = {}
        return self._order[kind, shell]


def compare_liquids(model: Frames | Liquid, reference: Frames | Liquid) -> list[LiquidDifference]:
    """Radial distributions of all pairs of types from 0.2 nm on, and the local order of types that
    have a first shell.

    Args:
        model, reference: as `Liquid` where they are compared more than once.

    Raises:
        ValueError: the Systems have other numbers of sites of some type.
    """
    model, reference = (x if isinstance(x, Liquid) else Liquid(x) for x in (model, reference))
    found_types = [dict(sorted(Counter(x.frames.system.types).items())) for x in (model, reference)]
    if found_types[0] != found_types[1]:
        raise ValueError(
            f"compare_liquids: expected sites of the same types, found {found_types[0]} and "
            f"{found_types[1]}"
        )
    reach = compared_range(model.frames, reference.frames)
    found = []
    for a, b in zip(model.radial(reach), reference.radial(reach)):
        high = float(b.r[-1])
        found.append(
            _difference(
                "g(r)", a.types, (a.r, a.g, a.error), (b.g, b.error), min(0.2, high / 2), high
            )
        )
        shell = first_minimum(b) if a.types[0] == a.types[1] else None
        if shell is not None and len(model.frames) > 1:
            found += _order_differences(model, reference, a.types[0], shell)
    return found


def _order_differences(
    model: Liquid, reference: Liquid, kind: str, shell: float
) -> list[LiquidDifference]:
    found, expected = model.order(kind, shell), reference.order(kind, shell)
    return [
        _difference(
            what,
            (kind,),
            (found[what].x, found[what].density, found[what].error),
            (expected[what].density, expected[what].error),
            float(found[what].x[0]),
            float(found[what].x[-1]),
        )
        for what in found
        if what in expected
    ]


def _difference(
    what: str,
    types: tuple[str, ...],
    model: tuple[Array, Array, Array],
    reference: tuple[Array, Array],
    low: float,
    high: float,
) -> LiquidDifference:
    x, values, error = model
    use = (x >= low) & (x <= high)
    difference, noise = (values - reference[0])[use], np.hypot(error, reference[1])[use]
    return LiquidDifference(
        what,
        types,
        float(np.abs(difference).mean()),
        float(np.sqrt((noise**2).sum()) / use.sum()),
        float(np.sqrt(2 / np.pi) * noise.mean()),
        float(np.sqrt((difference**2).mean())),
        float(np.abs(difference).max()),
        float(values[use].max() / reference[0][use].max()),
        low,
        high,
    )


def liquid_table(rows: Sequence[Json]) -> str:
    """Aligned plain text of `LiquidDifference`s, each with the "level" it is of and what it is
    "against".
    """
    head = (
        "level",
        "against",
        "distribution",
        "mean |difference|",
        "floor",
        "rms",
        "largest",
        "peak ratio",
    )
    cells = [head] + [
        (
            row["level"],
            row["against"],
            f"{row['what']} {'-'.join(row['types'])}",
            f"{row['value']:.4f} +- {row['error']:.4f}",
            f"{row['floor']:.4f}",
            f"{row['rms']:.4f}",
            f"{row['largest']:.3f}",
            f"{row['peak']:.3f}",
        )
        for row in rows
    ]
    widths = [max(len(line[k]) for line in cells) for k in range(len(head))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in cells
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _distribution(
    frames: Frames,
    shells: Iterator[Array],
    values_of: Callable[[Array], Array],
    edges: Array,
    unit: str,
    n_blocks: int | None,
    ideal: Array | None,
) -> LocalOrder:
    """Histogram of `values_of` every frame's neighbour vectors. A row: counts, number and sum of
    the values.
    """
    bins, width = len(edges) - 1, np.diff(edges)
    rows = np.zeros((len(frames), bins + 2))
    for row, vectors in zip(rows, shells):
        step = max(1, _PORTION // max(1, vectors.shape[1] ** 2))
        for start in range(0, len(vectors), step):
            values = values_of(vectors[start : start + step])
            values = values[~np.isnan(values)]  # free places of the neighbour table
            # rounding: q of a perfect crystal is 1 + 1e-16
            inside = np.clip(values, edges[0], edges[-1])
            row[:bins] += np.histogram(inside, edges)[0]
            row[bins:] += len(values), values.sum()
    if not rows[:, bins].any():
        raise NoShell(
            "no site has two neighbours in its first shell: expected some; enlarge r_shell"
        )

    def normalised(total: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return np.append(total[:bins] / width, total[-1]) / total[bins]

    value, error = jackknife_rows(frames, rows, normalised, n_blocks)
    centres = (edges[1:] + edges[:-1]) / 2
    return LocalOrder(
        centres, value[:-1], error[:-1], float(value[-1]), float(error[-1]), unit, ideal
    )


def _pairs_of(vectors: Array) -> tuple[Array, Array]:
    """Both (n_centres, n_pairs, 3) members of all pairs of a centre's neighbours."""
    first, second = np.triu_indices(vectors.shape[1], 1)
    return vectors[:, first], vectors[:, second]


def _cosines(vectors: Array) -> Array:
    """(n_centres, n_pairs) cosine of the angle between two neighbours at the centre."""
    first, second = np.triu_indices(vectors.shape[1], 1)
    unit = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (unit @ unit.swapaxes(1, 2))[:, first, second]


def _shells(
    frames: Frames, type_a: str, r_shell: float | None, nearest: int | None
) -> Iterator[Array]:
    """For every frame (n_centres, n_places, 3) nm from each centre to its neighbours, by distance;
    nan is a free place.

    Neighbours are all closer than `r_shell`, or the `nearest` ones.
    """
    sites = np.flatnonzero(np.array(frames.system.types) == type_a)
    _, boxes = half_width(frames)
    if not len(sites):
        raise ValueError(
            f"no site of type {type_a!r}: expected one of {sorted(set(frames.system.types))}"
        )
    # a ball that holds three times as many as wanted at the mean density is nearly always enough
    ball = 3 * (nearest or 0) * abs(np.linalg.det(boxes[0])) / len(sites)
    reach = (3 * ball / (4 * np.pi)) ** (1 / 3) if r_shell is None else r_shell
    for x, box in zip(frames.positions, boxes):
        place = np.asarray(x[sites], float)
        table = _table(place, box, reach)
        yield table if nearest is None else _nearest(table, place, box, nearest)


def _nearest(table: Array, x: Array, box: Array, nearest: int) -> Array:
    """The first `nearest` places of a table; of a site that lies apart from all others, as water in
    a membrane, all distances are looked at.
    """
    found = np.full((len(x), nearest, 3), np.nan)
    found[:, : table.shape[1]] = table[:, :nearest]
    for site in np.flatnonzero(np.isnan(found[:, -1, 0])):
        vectors = minimum_image(np.delete(x, site, 0) - x[site], box)
        order = np.argsort(np.linalg.norm(vectors, axis=-1))[:nearest]
        found[site, : len(order)] = vectors[order]
    return found


def _table(x: Array, box: Array, reach: float) -> Array:
    from vesin import NeighborList

    # a cell of its list has the size of the cutoff: of a short one there would be a million
    apart = (abs(np.linalg.det(box)) / len(x)) ** (1 / 3)
    i, d, vectors = NeighborList(cutoff=max(reach, apart), full_list=True).compute(
        points=x, box=box, periodic=True, quantities="idD"
    )
    near = d < reach
    i, d, vectors = i[near].astype(np.int64), d[near], vectors[near]
    order = np.lexsort((d, i))
    counts = np.bincount(i, minlength=len(x))
    place = np.arange(len(i)) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((len(x), counts.max(initial=0), 3), np.nan)
    table[i[order], place] = vectors[order]
    return table
