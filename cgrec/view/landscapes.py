"""What of an ensemble can be clicked: free energies over variables, contacts, shells of g(r). Each
gives every frame a number, so that a part of a picture is a set of frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..files import Json
from ..frames import Frames
from ..observables.free_energy import Grid, free_energy, histogram
from ..report.read import Ensembles, RunFiles
from ..roles import Variable
from ..variables import compared_together

#: Bins of an axis of a surface and of a profile: those of the report.
SURFACE, PROFILE = 48, 50
#: Bins of an axis at least, however few frames there are.
FEWEST = 16
#: Frames of an answer that are listed; the count and the weight are of all.
MOST_LISTED = 2000
#: A row of a picture: bins of one axis that were chosen, from and to, both included.
Span = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Landscape:
    """F/kT of one or two variables, at every level that defines them.

    Attributes:
        name: in addresses of the page.
        variables: the axes.
        ensembles: levels with their frames, mapped up to where the variables are defined.
    """

    name: str
    variables: tuple[Variable, ...]
    ensembles: Ensembles

    def about(self) -> Json:
        """Name and axes."""
        return {
            "name": self.name,
            "variables": [
                {"name": v.name, "unit": v.unit, "periodic": v.periodic} for v in self.variables
            ],
            "levels": [level.number for level, _ in self.ensembles],
        }

    @cached_property
    def grid(self) -> Grid:
        """One for all levels."""
        bins = PROFILE
        if len(self.variables) > 1:  # a bin a frame would show nothing
            fewest = min(len(frames) for _, frames in self.ensembles)
            bins = int(np.clip(np.sqrt(fewest), FEWEST, SURFACE))
        return Grid.over(self.variables, *(frames for _, frames in self.ensembles), bins=bins)

    @cached_property
    def surfaces(self) -> list[Json]:
        """Of every level: F/kT, rows along the first variable; null where nothing was seen."""
        found = []
        for level, frames in self.ensembles:
            p = histogram(frames, self.grid)
            with np.errstate(divide="ignore"):
                values = _or_null(-np.log(p / p.max()))
            found.append({"level": level.number, "title": level.name, "values": values})
        return found

    @cached_property
    def errors(self) -> list[Json]:
        """Of every level: standard errors of `surfaces`, from blocks; null where nothing was seen,
        or a single frame tells none. Apart, for they take seconds: blocks look for frames that
        repeat others.
        """
        return [
            {
                "level": level.number,
                "values": _or_null(
                    free_energy(frames, self.grid).errors
                    if len(frames) > 1
                    else np.full(self.grid.bins, np.nan)
                ),
            }
            for level, frames in self.ensembles
        ]

    def as_json(self) -> Json:
        """Axes and surfaces."""
        return {
            **self.about(),
            "ranges": [list(r) for r in self.grid.ranges],
            "surfaces": self.surfaces,
        }

    def cells(self, number: int) -> NDArray[np.int64]:
        """(n_frames, n_variables) bin of each frame of a level.

        Raises:
            ValueError: no such level here.
        """
        flat = self.grid.cells(self.frames(number))
        return np.stack(np.unravel_index(flat, self.grid.bins), 1)

    def frames(self, number: int) -> Frames:
        """Of a level, where the variables are defined.

        Raises:
            ValueError: no such level here.
        """
        for level, frames in self.ensembles:
            if level.number == number:
                return frames
        known = ", ".join(str(level.number) for level, _ in self.ensembles)
        raise ValueError(f"level: expected one of {known}, found {number}")

    def inside(self, number: int, spans: Sequence[Span]) -> NDArray[np.int64]:
        """Frames of a level in a rectangle of bins, the heaviest first.

        Args:
            number: of the level.
            spans: of every axis.

        Raises:
            ValueError: no such level, or as many spans as there are variables.
        """
        if len(spans) != len(self.variables):
            raise ValueError(f"bins: expected {len(self.variables)} spans, found {len(spans)}")
        cells = self.cells(number)
        low, high = np.array(spans).T
        return heaviest_first(self.frames(number), np.all((cells >= low) & (cells <= high), axis=1))

    def values(self, number: int, index: NDArray[np.int64]) -> NDArray[np.float64]:
        """(n, n_variables) values of some frames of a level, in the units of the variables."""
        if not len(index):
            return np.empty((0, len(self.variables)))
        some = self.frames(number)[index]
        return np.stack([v.of(some) for v in self.variables], 1)


def heaviest_first(frames: Frames, which: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Indices of chosen frames by their weights; in their order where all weigh the same."""
    index = np.flatnonzero(which)
    return index[np.argsort(-frames.normalised_weights()[index], kind="stable")]


def landscapes_of(run: RunFiles) -> dict[str, Landscape]:
    """Those of the report, by their names."""
    return {found.name: found for found in _all(run)}


def _all(run: RunFiles) -> Iterator[Landscape]:
    for k, (variables, ensembles) in enumerate(run.comparisons):
        if not ensembles:
            continue
        sets = compared_together(variables, ensembles[0][1].system)
        pairs = [members for members in sets if len(members) == 2]
        single = [(v,) for members in sets if len(members) != 2 for v in members]
        for j, members in enumerate([*pairs, *single]):
            yield Landscape(f"{k}-{j}", tuple(members), ensembles)


def _or_null(values: NDArray[np.float64]) -> list[object]:
    rounded = np.where(np.isfinite(values), np.round(values, 3), np.nan).astype(object)
    rounded[~np.isfinite(values)] = None
    listed: list[object] = rounded.tolist()
    return listed
