"""Tools that look at samples: of a level, of a run, of a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..chain.level_ledger import usual_variables
from ..frames import Frames
from ..level import Level
from ..observables import Liquid, compare_liquids, ledger_row
from ..roles import Variable
from ..run import layout
from ..statistics import jackknife_rows
from ..variables import named_variables
from ..verdict import shape
from .answers import (
    NOT_JUDGED,
    Judged,
    Ledger,
    Measured,
    Quantity,
    quantity,
)
from .judged import (
    ESTIMATED,
    by_excess,
    by_samples,
    independent,
    of_sample,
    row_of,
    row_of_liquid,
)
from .place import Place

#: Labels that are listed.
_MOST = 40
#: Why a score is not judged.
_RANKS = Judged(NOT_JUDGED, "scores rank proposals, they accept none")


@dataclass(frozen=True)
class OnSamples:
    """Tools that look at samples.

    Attributes:
        place: what they may read.
    """

    place: Place

    def measure(self, sample: str, variables: dict[str, list[str]]) -> Measured:
        """Mean and standard deviation of distances (nm), angles and dihedrals (rad) over a sample,
        weights honoured.

        Args:
            sample: a folder of a level (runs/x/level1), a folder of frames, or a file.
            variables: {name: labels of 2 to 4 sites}.
        """
        frames, judged, _ = of_sample(sample, self.place.path("sample", sample))
        chosen = named_variables(variables)
        if not chosen:
            raise ValueError("variables: expected one at least, such as {ends: [A, B]}, found none")
        means, spreads, counts = {}, {}, {}
        for one in chosen:
            n = independent(frames, one)
            own = by_samples(n, judged)
            means[one.name], spreads[one.name] = _moments(frames, one, own)
            counts[one.name] = quantity(n, None, "frames", own, ESTIMATED)
        return Measured(
            n_frames=len(frames), means=means, deviations=spreads, independent_frames=counts
        )

    def compare(
        self, sample: str, against: str, variables: dict[str, list[str]] | None = None
    ) -> Ledger:
        """How far two samples of the same sites are apart: distributions of variables, of bonds,
        angles and dihedrals, and g(r) of a liquid, each above what chance gives.

        A level below in the same run is mapped up first.

        Args:
            sample: a folder of a level (runs/x/level2), a folder of frames, or a file.
            against: the same; of the sites of `sample`, or a level below it.
            variables: {name: labels of 2 to 4 sites}; by default those of the backbone.
        """
        frames, _, level = of_sample(sample, self.place.path("sample", sample))
        other, _, below = of_sample(against, self.place.path("against", against))
        if level is not None and below is not None:
            other = _mapped(other, below, level)
        rows = []
        for one in named_variables(variables) or usual_variables(frames):
            found = ledger_row(sample, "parent", frames, other, [one])
            judged = by_excess(found.excess, found.error, shape.JS_LOOK, shape.JS_MOST)
            rows.append(replace(row_of(found, judged), against=against))
        if frames.box is not None and other.box is not None:
            for pair in compare_liquids(Liquid(frames), Liquid(other)):
                excess = pair.value - pair.floor
                judged = by_excess(excess, pair.error, shape.RADIAL_LOOK, shape.RADIAL_MOST)
                rows.append(row_of_liquid(sample, against, pair, judged))
        return Ledger(rows=rows)


def _moments(frames: Frames, variable: Variable, judged: Judged) -> tuple[Quantity, Quantity]:
    """Mean and standard deviation with jackknife errors; of a dihedral those of its direction."""
    x = np.asarray(variable.of(frames), float)
    unit = getattr(variable, "unit", "1")
    if variable.periodic:
        rows = np.stack([np.cos(x), np.sin(x)], 1)

        def moments(mean: Any) -> Any:
            length = np.hypot(*mean)
            return np.array([np.arctan2(mean[1], mean[0]), np.sqrt(-2 * np.log(length))])
    else:
        rows = np.stack([x, x * x], 1)

        def moments(mean: Any) -> Any:
            return np.array([mean[0], np.sqrt(max(mean[1] - mean[0] ** 2, 0.0))])

    value, error = jackknife_rows(frames, rows, moments)
    both = [quantity(float(v), float(e), unit, judged) for v, e in zip(value, error)]
    return both[0], both[1]


def _mapped(frames: Frames, below: Level, level: Level) -> Frames:
    """Frames of a level below, mapped to the sites of `level`, where both are of one run."""
    first, last = (layout.level_number(one.folder) for one in (below, level))
    if below.folder.parent != level.folder.parent or first >= last:
        return frames
    mapped = replace(frames, forces=None, energies=None)
    for k in range(first + 1, last + 1):
        mapped = Level(layout.level_folder(level.folder.parent, k)).mapping(mapped)
    return mapped
