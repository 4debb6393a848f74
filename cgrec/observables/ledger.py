"""The error ledger of a chain: how far each level is from its parent, from level 0 and from the
direct model.

Public: `LedgerRow`, `ledger_row`, `table`, `check_triangle` -> `Triangle`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TypedDict

import numpy as np

from ..files import Json
from ..frames import Frames
from ..remarks import remark
from ..statistics.divergence import Divergence
from ..units import shown
from .free_energy import Comparison, Range, Variables, basins, compare_distributions
from .pair_distances import PairDistanceDivergence
from .structure import StructureComparison, compare_structure

#: What a level can be compared with.
AGAINST = ("parent", "level 0", "direct model")
#: What stands under variables in a row of `pair_row`: distances of each level's own sites.
PAIR_DISTANCES = "pair distances"


class WorstTerm(TypedDict):
    """The term of a kind whose Wasserstein distance is furthest above its floor."""

    term: str
    wasserstein: float
    floor: float
    unit: str


@dataclass(frozen=True)
class LedgerRow:
    """One line of the ledger: the ensemble of a level against another one, over one set of
    variables.

    Attributes:
        level: name of the level.
        against: "parent" (its parent mapped up), "level 0" (mapped all the way) or "direct model".
        variables: names of the variables.
        bins: per variable.
        js, floor, excess, error: nats; excess = js - floor, error of both.
        sqrt_js: the metric, sampling noise included.
        sqrt_excess, sqrt_excess_error: root of the excess (zero where negative) and its error.
        n_eff_model, n_eff_reference: from autocorrelation and weights.
        occupied: bins occupied in either.
        worst: {"bond" | "angle" | "dihedral": {"term", "wasserstein", "floor", "unit"}} with the
            largest W1.
        floors: the other estimates of the floor: {"formula", "bootstrap", "halves"}, and its
            "spread".
        basins: {basin: [difference of the free energies, its error]} in kT, relative to the
            reference's largest.
    """

    level: str
    against: str
    variables: tuple[str, ...]
    bins: tuple[int, ...]
    js: float
    floor: float
    excess: float
    error: float
    sqrt_js: float
    sqrt_excess: float
    sqrt_excess_error: float
    n_eff_model: float
    n_eff_reference: float
    occupied: int
    worst: dict[str, WorstTerm] = field(default_factory=dict)
    basins: dict[str, list[float]] = field(default_factory=dict)
    floors: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.against not in AGAINST:
            raise ValueError(
                f"LedgerRow.against: expected one of {AGAINST}, found {self.against!r}"
            )
        object.__setattr__(self, "variables", tuple(self.variables))
        object.__setattr__(self, "bins", tuple(self.bins))

    def to_json(self) -> Json:
        """Plain numbers, strings and lists, for json; what is not finite becomes None (json has no
        inf).
        """
        return plain(asdict(self))

    @classmethod
    def from_json(cls, data: Json) -> LedgerRow:
        """The row `to_json` wrote. Raises ValueError on a key that is missing or unknown."""
        known = {f.name for f in fields(cls)}
        required = known - {"worst", "basins", "floors"}
        if not required <= set(data) <= known:
            raise ValueError(
                f"ledger row: missing {sorted(required - set(data))}, unknown "
                f"{sorted(set(data) - known)}"
            )
        return cls(**data)


def ledger_row(
    level: str,
    against: str,
    model: Frames,
    reference: Frames,
    variables: Variables,
    bins: int = 64,
    definitions: Mapping[str, Mapping[str, Range]] | None = None,
    ranges: Mapping[str, Range] | None = None,
    seed: int = 0,
) -> LedgerRow:
    """Compare the ensemble `model` of `level` with `reference`: distributions, bonded structure,
    basins.

    Args:
        level: name of the level.
        against: what `reference` is, one of `AGAINST`.
        model, reference: two ensembles of one System (map the finer one up first).
        variables: one to three; the same, with the same `ranges`, at all levels if the triangle is
            to hold exactly.
        bins: per variable.
        definitions: basins as `free_energy.basins` takes them, e.g. BASINS_ALANINE.
        ranges: {variable: (low, high)} for those not periodic.
        seed: of the floor.

    Raises:
        ValueError: the Systems differ, or there is too little to compare.
    """
    comparison = compare_distributions(model, reference, variables, bins, ranges, seed=seed)
    return LedgerRow(
        level,
        against,
        comparison.variables,
        comparison.bins,
        **_numbers(comparison),
        worst=worst_terms(compare_structure(model, reference)),
        basins=basin_differences(model, reference, variables, definitions) if definitions else {},
        floors=_floors(comparison.divergence),
    )


def pair_row(level: str, against: str, found: PairDistanceDivergence) -> LedgerRow:
    """The row of a mean divergence of pair distances; what `ledger_row` says of it."""
    js, excess, error = found.js, found.excess, found.error
    root = float(np.sqrt(max(excess, 0.0)))
    return LedgerRow(
        level,
        against,
        (PAIR_DISTANCES,),
        (found.n_bins,),
        js=js,
        floor=found.floor,
        excess=excess,
        error=error,
        sqrt_js=float(np.sqrt(js)),
        sqrt_excess=root,
        sqrt_excess_error=float(np.sqrt(root**2 + error)) - root,
        n_eff_model=found.n_eff_model,
        n_eff_reference=found.n_eff_reference,
        occupied=found.divergence.occupied,
        floors=_floors(found.divergence),
    )


def _numbers(comparison: Comparison) -> Json:
    names = (
        "js floor excess error sqrt_js sqrt_excess sqrt_excess_error n_eff_model n_eff_reference "
        "occupied"
    )
    return {name: getattr(comparison, name) for name in names.split()}


def _floors(d: Divergence) -> dict[str, float]:
    named = {"formula": d.floor_formula, "bootstrap": d.floor_bootstrap, "halves": d.floor_halves}
    return {**named, "spread": d.floor_spread}


def worst_terms(structure: StructureComparison) -> dict[str, WorstTerm]:
    """The worst bond, angle and dihedral, as `LedgerRow.worst` holds them."""
    found = {kind: structure.worst(kind) for kind in ("bond", "angle", "dihedral")}
    return {
        kind: {
            "term": t.label,
            "wasserstein": t.wasserstein,
            "floor": t.wasserstein_floor,
            "unit": t.unit,
        }
        for kind, t in found.items()
        if t is not None
    }


def basin_differences(
    model: Frames,
    reference: Frames,
    variables: Variables,
    definitions: Mapping[str, Mapping[str, Range]],
) -> dict[str, list[float]]:
    """{basin: [F_model - F_reference, error]} in kT, both relative to the basin largest in the
    reference.

    The basin both are relative to reads 0; a basin only one of them visited reads inf or -inf.
    """
    try:
        right = basins(reference, variables, definitions)
    except ValueError:
        remark(
            f"no frame of the reference lies in any of the basins {', '.join(definitions)}: their "
            "free energies are not compared; choose basins that it visits, or sample longer"
        )
        return {name: [float("nan"), float("nan")] for name in definitions}
    zero = max(right, key=lambda name: right[name].population)
    try:
        left = basins(model, variables, definitions, relative_to=zero)
    # the model never visited the reference's largest basin: nothing to be relative to
    except ValueError:
        return {name: [float("nan"), float("nan")] for name in right}
    return {
        name: [
            left[name].free_energy - right[name].free_energy,
            float(np.hypot(left[name].free_energy_error, right[name].free_energy_error)),
        ]
        for name in right
    }


_COLUMNS = (
    "level",
    "against",
    "variables",
    "sqrt(JS)",
    "excess JS",
    "floor",
    "sqrt(excess)",
    "N_eff",
    "worst W1",
)


def table(rows: Sequence[LedgerRow]) -> str:
    """The ledger as aligned plain text, divergences in nats."""
    cells = [list(_COLUMNS)] + [_cells(row) for row in rows]
    widths = [max(len(line[k]) for line in cells) for k in range(len(_COLUMNS))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip() for line in cells
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _cells(row: LedgerRow) -> list[str]:
    bins = "x".join(map(str, row.bins))
    return [
        row.level,
        row.against,
        f"{' '.join(row.variables)} {bins}",
        f"{row.sqrt_js:.4f}",
        f"{row.excess:.5f} +- {row.error:.5f}",
        f"{row.floor:.5f}",
        f"{row.sqrt_excess:.4f} + {row.sqrt_excess_error:.4f}",
        f"{row.n_eff_model:.0f} / {row.n_eff_reference:.0f}",
        ", ".join(f"{shown(w['wasserstein'])} {w['unit']}" for w in row.worst.values()) or "-",
    ]


@dataclass(frozen=True)
class Triangle:
    """d(level, level 0) against the sum of the steps below it, d = sqrt(JS).

    Attributes:
        level: name.
        variables: names.
        total: distance from level 0.
        steps: sum of the distances of each level from its parent, up to this one.
        tolerance: two standard errors of the total and the steps together.
    """

    level: str
    variables: tuple[str, ...]
    total: float
    steps: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether total <= steps within the tolerance."""
        return self.total <= self.steps + self.tolerance + 1e-12


def check_triangle(
    rows: Sequence[LedgerRow], order: Sequence[str], excess: bool = False
) -> list[Triangle]:
    """Check that errors add at most linearly over the levels.

    sqrt(JS) is a metric (Endres & Schindelin, IEEE Trans. Inf. Theory 49, 1858 (2003)) and shrinks
    under mapping, so d(k, 0) <= sum of d(i, i - 1), i <= k. With one sample per level, histogrammed
    alike everywhere, it holds for the raw sqrt(JS) to rounding: a violation is a mistake in the
    bookkeeping, not bad luck. For the excess it holds within errors. Pair distances are left out:
    each level has sites of its own.

    Args:
        rows: any ledger rows.
        order: names of the levels above 0, from the finest.
        excess: compare the roots of the excess instead of the raw ones, with two errors of
            tolerance.

    Returns:
        One entry for each level and set of variables whose total and steps are all there.
    """
    at = {(row.level, row.against, row.variables): row for row in rows}
    found = []
    for variables in dict.fromkeys(r.variables for r in rows if r.variables != (PAIR_DISTANCES,)):
        for k, level in enumerate(order):
            total = at.get((level, "level 0", variables))
            steps = [at.get((name, "parent", variables)) for name in order[: k + 1]]
            known = [s for s in steps if s is not None]
            if total is not None and len(known) == len(steps):
                found.append(_triangle(total, known, excess))
    return found


def _triangle(total: LedgerRow, steps: list[LedgerRow], excess: bool) -> Triangle:
    sizes = [(row.sqrt_excess if excess else row.sqrt_js) for row in (total, *steps)]
    errors = [row.sqrt_excess_error for row in (total, *steps)]
    tolerance = 2 * float(np.linalg.norm(errors)) if excess else 0.0
    return Triangle(total.level, total.variables, sizes[0], sum(sizes[1:]), tolerance)


def plain(table: Mapping[str, object]) -> Json:
    """`table` for json: tuples as lists, numpy numbers as Python's, None for what is not finite."""
    return {key: _plain(value) for key, value in table.items()}


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return plain(value)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
