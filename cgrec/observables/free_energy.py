"""Histograms over collective variables: distances of ensembles, free-energy surfaces, basin
populations.

Public: `Grid`, `histogram`, `compare_distributions` -> `Comparison`, `free_energy` -> `FreeEnergy`,
`free_energy_difference` -> `FreeEnergyDifference`, `basins` -> {name: `Basin`}, `BASINS_ALANINE`,
`basin_definitions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frames import Frames
from ..roles import Variable
from ..statistics.divergence import ByDivergence, Divergence, Tally, divergence
from ..statistics.errors import block_labels, effective_sample_size, jackknife_error
from ..units import thermal_energy

Variables = Sequence[Variable]
Range = tuple[float, float]


@dataclass(frozen=True)
class Grid:
    """Equal bins over one to three collective variables.

    Attributes:
        variables: the axes.
        bins: number of bins of each axis.
        ranges: (low, high) of each axis in its unit (nm or rad); -pi..pi for dihedrals.

    Raises:
        ValueError: not one to three variables, fewer than one bin, an empty range, or lengths that
            disagree.
    """

    variables: tuple[Variable, ...]
    bins: tuple[int, ...]
    ranges: tuple[Range, ...]

    def __post_init__(self) -> None:
        n = len(self.variables)
        if not 1 <= n <= 3:
            raise ValueError(f"a histogram needs one to three collective variables, found {n}")
        if len(self.bins) != n or len(self.ranges) != n:
            raise ValueError(
                f"expected bins and a range for each of {n} variables, found {self.bins} and "
                f"{self.ranges}"
            )
        for variable, bins, (low, high) in zip(self.variables, self.bins, self.ranges):
            if bins < 1 or not low < high:
                raise ValueError(
                    f"{variable.name}: expected bins >= 1 and low < high, found {bins} and "
                    f"({low}, {high})"
                )

    @classmethod
    def over(
        cls,
        variables: Variables,
        *frames: Frames,
        bins: int | Sequence[int] = 64,
        ranges: Mapping[str, Range] | None = None,
    ) -> Grid:
        """The grid that holds all `frames`: dihedrals -pi..pi, others the common extremes, or
        `ranges` by name.
        """
        counts = (bins,) * len(variables) if isinstance(bins, int) else tuple(bins)
        return cls(
            tuple(variables), counts, tuple(_range(v, frames, ranges or {}) for v in variables)
        )

    @property
    def edges(self) -> tuple[NDArray[np.float64], ...]:
        """(bins + 1,) edges of each axis."""
        return tuple(np.linspace(*r, n + 1) for r, n in zip(self.ranges, self.bins))

    @property
    def centres(self) -> tuple[NDArray[np.float64], ...]:
        """(bins,) centres of each axis."""
        return tuple((e[1:] + e[:-1]) / 2 for e in self.edges)

    def cells(self, frames: Frames) -> NDArray[np.int64]:
        """(n_frames,) flat index of the bin of each frame; what lies beyond a stated range counts
        in the last bin there.
        """
        index = []
        for variable, n, (low, high) in zip(self.variables, self.bins, self.ranges):
            place = np.floor((variable.of(frames) - low) / (high - low) * n).astype(np.int64)
            index.append(np.clip(place, 0, n - 1))
        return np.ravel_multi_index(tuple(index), self.bins)


def _range(variable: Variable, frames: Sequence[Frames], ranges: Mapping[str, Range]) -> Range:
    if variable.name in ranges:
        return ranges[variable.name]
    if variable.periodic:
        return -np.pi, np.pi
    if not frames:
        raise ValueError(
            f"{variable.name} is not periodic: give its range or the frames to take it from"
        )
    values = [variable.of(f) for f in frames]
    low, high = min(v.min() for v in values), max(v.max() for v in values)
    pad = 1e-9 * max(1.0, abs(high)) + (0.5 if low == high else 0.0)
    return float(low - pad), float(high + pad)


def histogram(frames: Frames, grid: Grid) -> NDArray[np.float64]:
    """Weighted histogram of shape `grid.bins` that sums to one."""
    flat = np.bincount(grid.cells(frames), frames.normalised_weights(), int(np.prod(grid.bins)))
    return flat.astype(float).reshape(grid.bins)


@dataclass(frozen=True)
class Comparison(ByDivergence):
    """How far a model's ensemble is from a reference: JS divergence in nats beside its sampling
    floor.

    Attributes:
        grid: variables, bins and ranges.
        divergence: js, its error and all floors, occupied cells K, the histograms' own effective
            sizes.
        n_eff_model, n_eff_reference: from autocorrelation and weights, the smallest over the
            variables. The floor uses `divergence.n_model` instead: bins decorrelate faster than the
            slowest variable. Under ~100 here no floor is good.
    """

    grid: Grid
    divergence: Divergence
    n_eff_model: float
    n_eff_reference: float

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the axes."""
        return tuple(v.name for v in self.grid.variables)

    @property
    def bins(self) -> tuple[int, ...]:
        """Bins of each axis."""
        return self.grid.bins

    @property
    def occupied(self) -> int:
        """Bins occupied in either ensemble."""
        return self.divergence.occupied

    @property
    def sqrt_js(self) -> float:
        """Root of `js`: the metric, sampling noise included."""
        return float(np.sqrt(self.js))

    @property
    def sqrt_excess(self) -> float:
        """Root of the excess, zero where that is negative."""
        return float(np.sqrt(max(self.excess, 0.0)))

    @property
    def sqrt_excess_error(self) -> float:
        """How far `sqrt_excess` rises when the excess does by one error (finite at zero, where
        error propagation is not).
        """
        return float(np.sqrt(max(self.excess, 0.0) + self.error) - self.sqrt_excess)


def compare_distributions(
    model: Frames,
    reference: Frames,
    variables: Variables,
    bins: int | Sequence[int] = 64,
    ranges: Mapping[str, Range] | None = None,
    n_blocks: int | None = None,
    seed: int = 0,
) -> Comparison:
    """Compare the joint distribution of `variables` in two ensembles; the two Systems may differ.

    Args:
        model, reference: ensembles in whose Systems all the variables' sites exist.
        variables: one to three.
        bins: per axis, one number or one for each.
        ranges: {variable name: (low, high)} where the defaults of `Grid.over` will not do.
        n_blocks: blocks for errors and floor; default `statistics.default_blocks`, for each
            ensemble its own.
        seed: of the floor's random numbers.

    Raises:
        KeyError: a site of a variable is missing in one of the Systems.
        ValueError: not one to three variables, or a single frame.
    """
    grid = Grid.over(variables, model, reference, bins=bins, ranges=ranges)
    pair = [grid.cells(model), grid.cells(reference)]
    # Only occupied cells are kept: three axes of 64 bins would be 262 144 cells for each block.
    compact = np.unique(np.concatenate(pair), return_inverse=True)[1]
    n_cells = int(compact.max()) + 1
    first, second = (
        Tally.count(c, f.normalised_weights(), block_labels(f, n_blocks), n_cells)
        for c, f in zip(np.split(compact, [len(model)]), (model, reference))
    )
    n_eff = [
        min(effective_sample_size(f, v.of(f), v.periodic) for v in variables)
        for f in (model, reference)
    ]
    return Comparison(grid, divergence(first, second, seed), *n_eff)


@dataclass(frozen=True)
class FreeEnergy:
    """F/kT = -ln p of each bin, lowest bin zero; infinite where nothing was seen. No Jacobian is
    taken out.

    Attributes:
        grid: the axes.
        values: F/kT, shape grid.bins.
        errors: standard error of ln p from block scatter, var(p)^1/2 / p; nan where nothing was
            seen.
        temperature: K.
    """

    grid: Grid
    values: NDArray[np.float64]
    errors: NDArray[np.float64]
    temperature: float

    @property
    def kilojoules(self) -> NDArray[np.float64]:
        """F in kJ/mol."""
        return self.values * thermal_energy(self.temperature)


def free_energy(frames: Frames, grid: Grid, n_blocks: int | None = None) -> FreeEnergy:
    """Free energy over `grid` with block errors."""
    n_cells = int(np.prod(grid.bins))
    tally = Tally.count(
        grid.cells(frames), frames.normalised_weights(), block_labels(frames, n_blocks), n_cells
    )
    p, seen = tally.probability, tally.probability > 0
    values, errors = np.full(n_cells, np.inf), np.full(n_cells, np.nan)
    values[seen] = -np.log(p[seen] / p.max())
    errors[seen] = np.sqrt(tally.variance[seen]) / p[seen]
    return FreeEnergy(
        grid, values.reshape(grid.bins), errors.reshape(grid.bins), frames.temperature
    )


@dataclass(frozen=True)
class FreeEnergyDifference:
    """Root-mean-square difference of two free-energy surfaces, kT.

    Attributes:
        rms: over the bins used, after the best constant is taken out.
        floor: what the block errors of both alone would give.
        below: only bins where the reference lies under this many kT count.
        n_bins: bins used; occupied in both.
        n_missing: bins under `below` in the reference that the model never visited (not in `rms`).
    """

    rms: float
    floor: float
    below: float
    n_bins: int
    n_missing: int


def free_energy_difference(
    model: FreeEnergy, reference: FreeEnergy, below: float = 5.0
) -> FreeEnergyDifference:
    """Compare two surfaces over one grid where the reference lies under `below` kT.

    Raises:
        ValueError: the grids differ, or no bin is left to compare.
    """
    if model.grid != reference.grid:
        raise ValueError(
            "free_energy_difference: the two surfaces have different grids; make both with one "
            "Grid.over(...)"
        )
    wanted = reference.values < below
    use = wanted & np.isfinite(model.values)
    if not use.any():
        raise ValueError(
            f"free_energy_difference: no bin under {below} kT is occupied in both; raise it or "
            "use fewer bins"
        )
    difference = model.values[use] - reference.values[use]
    noise = model.errors[use] ** 2 + reference.errors[use] ** 2
    return FreeEnergyDifference(
        float(difference.std()),
        float(np.sqrt(noise.mean())),
        below,
        int(use.sum()),
        int((wanted & ~use).sum()),
    )


#: Alanine dipeptide, variables named phi and psi, rad. The three tile the torus, so populations sum
#: to one. The borders run along the barriers: phi = 0 and 120 degrees (the slow process), psi = 50
#: and -120 degrees. `beta/PII` holds C5, PII and C7eq; `alpha_L` is the whole right half (alpha_L
#: and C7ax), since psi is fast there.
BASINS_ALANINE: dict[str, dict[str, Range]] = {
    "alpha_R": {"phi": (np.radians(120), np.radians(0)), "psi": (np.radians(-120), np.radians(50))},
    "beta/PII": {
        "phi": (np.radians(120), np.radians(0)),
        "psi": (np.radians(50), np.radians(-120)),
    },
    "alpha_L": {"phi": (np.radians(0), np.radians(120))},
}


def basin_definitions(
    given: Mapping[str, Mapping[str, Sequence[float]]], variables: Variables
) -> dict[str, dict[str, Range]]:
    """Basins to judge an ensemble by, in the units of its variables.

    Args:
        given: {basin: {variable name: (low, high)}}, degrees for angles and dihedrals, nm for
            distances.
        variables: the ensemble's; a basin that needs another one is left out.

    Raises:
        ValueError: a basin is not given by two numbers for each variable.
    """
    units = {v.name: np.pi / 180 if v.unit == "rad" else 1.0 for v in variables}
    found: dict[str, dict[str, Range]] = {}
    for name, box in given.items():
        for variable, borders in box.items():
            if len(borders) != 2:
                raise ValueError(
                    f"basin {name!r}, {variable}: expected two numbers, low and high, found "
                    f"{borders}"
                )
        if set(box) <= set(units):
            found[name] = {
                v: (units[v] * float(low), units[v] * float(high)) for v, (low, high) in box.items()
            }
    return found


@dataclass(frozen=True)
class Basin:
    """Population of a basin (sums to at most one over all) and its free energy in kT relative to a
    basin; block errors.

    A basin never visited has free energy inf and error nan.
    """

    population: float
    population_error: float
    free_energy: float
    free_energy_error: float


def basins(
    frames: Frames,
    variables: Variables,
    definitions: Mapping[str, Mapping[str, Range]],
    relative_to: str | None = None,
    n_blocks: int | None = None,
) -> dict[str, Basin]:
    """Basin populations and free-energy differences, F_i - F_0 = -kT ln(p_i / p_0).

    Args:
        frames: the ensemble.
        variables: those the definitions name.
        definitions: {basin: {variable name: (low, high)}}, low <= x < high in the variable's unit.
            For a dihedral, low > high means the arc from low through pi to high. A variable left
            out does not restrict.
        relative_to: basin whose free energy is zero; default the most populated. Name it to compare
            two ensembles.
        n_blocks: for the jackknife; default `statistics.default_blocks`.

    Raises:
        KeyError: a definition names a variable that is not given, or `relative_to` is no basin.
        ValueError: no frame lies in the basin all is relative to.
    """
    inside = np.array([_inside(frames, variables, name, box) for name, box in definitions.items()])
    labels, w = block_labels(frames, n_blocks), frames.normalised_weights()
    sums = np.array([np.bincount(labels, w * hit) for hit in inside]).T  # (n_blocks, n_basins)
    totals = np.bincount(labels, w)
    population = sums.sum(0)
    names = list(definitions)
    zero = int(population.argmax()) if relative_to is None else _position(names, relative_to)
    if population[zero] == 0:
        raise ValueError(
            f"basin {names[zero]!r} holds no frame: choose another one to be relative to, or "
            "sample longer"
        )
    left = (sums.sum(0) - sums) / np.maximum(totals.sum() - totals, 1e-300)[:, None]
    energy, error = _log_ratio(population, zero), jackknife_error(_log_ratio(left, zero))
    columns = zip(population, jackknife_error(left), energy, error)
    return {name: Basin(*(float(x) for x in column)) for name, column in zip(names, columns)}


def _log_ratio(populations: NDArray[np.float64], zero: int) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(populations[..., zero : zero + 1]) - np.log(populations)


def _position(names: list[str], name: str) -> int:
    if name not in names:
        raise KeyError(f"no basin {name!r}: expected one of {', '.join(names)}")
    return names.index(name)


def _inside(
    frames: Frames, variables: Variables, basin: str, box: Mapping[str, Range]
) -> NDArray[np.bool_]:
    by_name = {v.name: v for v in variables}
    inside = np.ones(len(frames), bool)
    for name, (low, high) in box.items():
        if name not in by_name:
            raise KeyError(
                f"basin {basin!r} needs the variable {name!r}: expected among {', '.join(by_name)}"
            )
        x = by_name[name].of(frames)
        if by_name[name].periodic:
            # +1e-12: an arc that is a whole turn must not become an empty one
            inside &= (x - low) % (2 * np.pi) < (high - low - 1e-12) % (2 * np.pi) + 1e-12
        else:
            inside &= (x >= low) & (x < high)
    return inside
