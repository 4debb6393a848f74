"""Variables of several numbers taken apart, for histograms that have an axis for each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frames import Frames
from ..roles import HasColumns, Variable
from ..system import System

#: Variables that one histogram is made over: three axes of 64 bins have more bins than frames.
MOST_TOGETHER = 2
#: Columns that are compared one by one: of more, a mean over all says more (see
#: `cgrec.observables.pair_distance_divergence`).
MOST_COLUMNS = 4


@dataclass(frozen=True)
class Column:
    """One number of a variable that is several.

    Attributes:
        whole: the variable.
        number: of the column, from zero.
        name: of it.
    """

    whole: Variable
    number: int
    name: str

    @property
    def sites(self) -> tuple[str, ...]:
        """Of the whole."""
        return self.whole.sites

    @property
    def periodic(self) -> bool:
        """Of the whole."""
        return self.whole.periodic

    @property
    def unit(self) -> str:
        """Of the whole."""
        return self.whole.unit

    def defined_on(self, system: System) -> bool:
        """Whether the whole is."""
        return self.whole.defined_on(system)

    def of(self, frames: Frames) -> NDArray[np.float64]:
        """(n_frames,)."""
        return self.whole.of(frames)[:, self.number]

    def __call__(self, frames: Frames) -> NDArray[np.float64]:
        """The same as `of`."""
        return self.of(frames)


def single_numbers(variable: Variable, system: System) -> tuple[Variable, ...]:
    """The variable itself, or its columns; none of one that has too many to look at each."""
    if not isinstance(variable, HasColumns):
        return (variable,)
    names = variable.columns(system)
    if len(names) > MOST_COLUMNS:
        return ()
    return tuple(Column(variable, k, name) for k, name in enumerate(names))


def compared_together(variables: Iterable[Variable], system: System) -> list[tuple[Variable, ...]]:
    """The sets of variables that histograms are made over: one or two together, more one by one;
    the columns of a variable are a set of their own.
    """
    plain = [v for v in variables if not isinstance(v, HasColumns)]
    several = [single_numbers(v, system) for v in variables if isinstance(v, HasColumns)]
    sets: list[tuple[Variable, ...]] = []
    for members in (tuple(plain), *several):
        if len(members) > MOST_TOGETHER:
            sets += [(member,) for member in members]
        elif members:
            sets.append(members)
    return sets
