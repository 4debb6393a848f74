"""What `ChainRefinement` corrects: families of functions of a chain, each with a coefficient.

A family says what its functions are in each frame, what is expected of its coefficients before any
frame is seen, and which potential they make.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from ..frames import Frames
from ..potential import BondGraph, DihedralPrior, Potential
from ..potential.site_pair_splines import SitePairSplines
from ..potential.variable_splines import VariableSplines
from ..remarks import remark
from ..roles import Variable
from ..system import System

Values = NDArray[np.float64]
#: kT by which neighbouring coefficients of a spline differ, before any frame has been seen: a mean
#: force is that far off at most where a fit is believed at all. Where frames say nothing the
#: coefficient is that of its neighbour, which is no force. Without this, what only the tail of a
#: spline knows made coefficients of a hundred kT at the edge of the sample, and wells beyond it.
SLOPE = 1.0
#: Coefficients of the spline of a Variable: as fine as a two-state surface is, with its barrier.
PIECES = 8
#: Share of the weight beyond either end of the range of a Variable: what less knows is an accident.
BEYOND = 0.01


class Family(ABC):
    """Interface of some functions of a chain whose averages are corrected together."""

    system: System

    @property
    @abstractmethod
    def n(self) -> int:
        """Number of functions."""

    @property
    @abstractmethod
    def prior(self) -> Values:
        """(n, n) inverse covariance of the coefficients in kT, before any frame is seen."""

    @abstractmethod
    def of(self, frames: Frames) -> Values:
        """(n_frames, n) the functions."""

    @abstractmethod
    def potential(self, types: Sequence[str], coefficients: Values) -> Potential:
        """The sum of the functions with these coefficients (n,) kJ/mol."""

    @abstractmethod
    def coefficients(self, potential: Potential) -> Values:
        """(n,) kJ/mol, of what `potential` made."""


@dataclass(frozen=True)
class Distances(Family):
    """Splines of the distances of pairs of sites.

    Attributes:
        system: whose sites.
        pairs: (n_pairs, 2).
        knots: nm.
    """

    system: System
    pairs: NDArray[np.int64]
    knots: Values

    @property
    def n(self) -> int:
        return len(self.pairs) * self._each

    @property
    def _each(self) -> int:
        return len(self.knots) - 2

    @property
    def prior(self) -> Values:
        return smooth(len(self.pairs), self._each)

    def of(self, frames: Frames) -> Values:
        types = tuple(dict.fromkeys(self.system.types))
        return self.potential(types, np.zeros(self.n)).design(frames)

    def potential(self, types: Sequence[str], coefficients: Values) -> SitePairSplines:
        return SitePairSplines(
            types=types,
            n_sites=self.system.n_sites,
            sites=self.pairs.tolist(),
            knots=self.knots.tolist(),
            coefficients=coefficients.reshape(len(self.pairs), self._each).tolist(),
            bond_graph=BondGraph.of(self.system).config,
        )

    def coefficients(self, potential: Potential) -> Values:
        assert isinstance(potential, SitePairSplines)
        return np.asarray(potential.coefficients.cpu().numpy().ravel())


@dataclass(frozen=True)
class Turns(Family):
    """Fourier modes of dihedrals, of each its cosines, then its sines.

    Attributes:
        system: whose sites.
        dihedrals: (n_dihedrals, 4).
        order: the highest.
    """

    system: System
    dihedrals: NDArray[np.int64]
    order: int

    @property
    def n(self) -> int:
        return len(self.dihedrals) * 2 * self.order

    @property
    def prior(self) -> Values:
        return np.zeros((self.n, self.n))

    def of(self, frames: Frames) -> Values:
        x = geometry.dihedral(np.asarray(frames.positions, float), self.dihedrals)[..., None]
        orders = np.arange(1, self.order + 1)
        modes = np.concatenate([np.cos(orders * x), np.sin(orders * x)], -1)
        return np.asarray(modes.reshape(len(frames), -1))

    def potential(self, types: Sequence[str], coefficients: Values) -> DihedralPrior:
        modes = coefficients.reshape(len(self.dihedrals), 2 * self.order)
        return DihedralPrior(
            types=types,
            n_sites=self.system.n_sites,
            sites=self.dihedrals.tolist(),
            cosine=modes[:, : self.order].tolist(),
            sine=modes[:, self.order :].tolist(),
            bond_graph=BondGraph.of(self.system).config,
        )

    def coefficients(self, potential: Potential) -> Values:
        assert isinstance(potential, DihedralPrior)
        modes = np.hstack([potential.cosine.cpu().numpy(), potential.sine.cpu().numpy()])
        return np.asarray(modes.ravel())


@dataclass(frozen=True)
class Along(Family):
    """Splines of a Variable between the ends of what two samples know of it.

    Attributes:
        system: whose sites.
        variable: of one number.
        range: its least and largest value with a force.
    """

    system: System
    variable: Variable
    range: tuple[float, float]

    @classmethod
    def between(cls, variable: Variable, model: Frames, target: Frames) -> Along | None:
        """Over the values that both samples have; None, with a remark, where there are none."""
        ends = [known(frames, variable.of(frames)) for frames in (model, target)]
        low, high = max(e[0] for e in ends), min(e[1] for e in ends)
        if high > low:
            return cls(model.system, variable, (low, high))
        remark(
            f"ChainRefinement: {variable.name} is left out: the run has values from "
            f"{ends[0][0]:.3g} to {ends[0][1]:.3g}, the parent from {ends[1][0]:.3g} to "
            f"{ends[1][1]:.3g}, and none in common"
        )
        return None

    @property
    def n(self) -> int:
        return PIECES

    @property
    def prior(self) -> Values:
        return smooth(1, PIECES)

    def of(self, frames: Frames) -> Values:
        types = tuple(dict.fromkeys(self.system.types))
        return self.potential(types, np.zeros(PIECES)).design(frames)

    def potential(self, types: Sequence[str], coefficients: Values) -> VariableSplines:
        ends = np.array([self.range])
        return VariableSplines.of(
            types, self.system, [self.variable], ends, coefficients.reshape(1, PIECES)
        )

    def coefficients(self, potential: Potential) -> Values:
        assert isinstance(potential, VariableSplines)
        return np.asarray(potential.coefficients.cpu().numpy().ravel())


def smooth(functions: int, pieces: int) -> Values:
    """Inverse covariance of the coefficients of so many splines of so many pieces, in kT: `SLOPE`
    between neighbours.
    """
    steps = np.diff(np.eye(pieces), axis=0) / SLOPE
    return np.asarray(np.kron(np.eye(functions), steps.T @ steps), float)


def known(frames: Frames, values: Values) -> tuple[float, float]:
    """Between which values all weight of `frames` is, but for `BEYOND` at either end."""
    order = np.argsort(values)
    below = np.cumsum(frames.normalised_weights()[order])
    places = np.searchsorted(below, [BEYOND, 1 - BEYOND])
    low, high = values[order[np.minimum(places, len(order) - 1)]].tolist()
    return low, high
