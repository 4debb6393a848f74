"""`VariableSplines`: a spline of each of some Variables, such as the fraction of native contacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..frames import Frames
from ..roles import Differentiable, HasColumns, Variable
from ..system import System
from ..variables import from_plain, to_plain
from .base import Potential
from .bond_graph import BondGraph
from .cubic_spline import FlatEnds
from .graph import SiteGraph

#: What a file keeps of a Variable, as `cgrec.variables.to_plain` writes it.
Plain = Mapping[str, object] | Sequence[str]


class VariableSplines(Potential):
    """U = sum over Variables of a cubic B-spline of each, a constant below its range and above it.

    Forces come by autograd, of all replicas together: a Variable of few distances costs little
    beside a network. `of` makes one from Variables; a file keeps them as plain values.

    Args:
        types: site types, for `Potential`.
        system: `System.to_dict` of the System they are numbers of; copies of it are served too.
        variables: {name: `cgrec.variables.to_plain`} of each.
        ranges: (n_variables, 2) least and largest value, in the unit of each, with a force between
            them.
        coefficients: (n_variables, n) kJ/mol; knots are spaced evenly over the range.

    Raises:
        ValueError: a Variable that cannot take forces (`why_not`), a range without width, or
            coefficients of another number of Variables.
    """

    ranges: Tensor
    coefficients: Tensor
    polynomials: Tensor

    def __init__(
        self,
        *,
        types: Sequence[str],
        system: Mapping[str, Sequence[object]],
        variables: Mapping[str, Plain],
        ranges: Sequence[Sequence[float]],
        coefficients: Sequence[Sequence[float]],
        cutoff: float = 0.0,
    ) -> None:
        super().__init__(
            types=types,
            cutoff=cutoff,
            system=dict(system),
            variables=dict(variables),
            ranges=ranges,
            coefficients=coefficients,
        )
        self.system = System(**system)  # type: ignore[arg-type]
        self.bond_graph = BondGraph.of(self.system)
        self.variables = tuple(_made(name, plain) for name, plain in variables.items())
        for variable in self.variables:
            why = why_not(variable, self.system)
            if why is not None:
                raise ValueError(f"VariableSplines: {why}")
        low_high = np.asarray(ranges, float).reshape(-1, 2)
        heights = np.asarray(coefficients, float)
        n = len(self.variables)
        if len(low_high) != n or heights.ndim != 2 or len(heights) != n:
            raise ValueError(
                f"VariableSplines: expected a range and a row of coefficients for each of {n} "
                f"variables, found {len(low_high)} and {heights.shape}"
            )
        if not (low_high[:, 1] > low_high[:, 0]).all():
            raise ValueError(
                f"VariableSplines.ranges: expected rising pairs, found {low_high.tolist()}"
            )
        self.splines = FlatEnds(np.linspace(0, 1, heights.shape[1] + 2).tolist())
        self.register_buffer("ranges", torch.tensor(low_high), persistent=False)
        self.register_buffer("coefficients", torch.tensor(heights), persistent=False)
        self.register_buffer(
            "polynomials", self.splines.polynomials(self.coefficients), persistent=False
        )

    @classmethod
    def of(
        cls,
        types: Sequence[str],
        system: System,
        variables: Sequence[Variable],
        ranges: NDArray[np.float64],
        coefficients: NDArray[np.float64],
    ) -> VariableSplines:
        """The same from a System and its Variables."""
        return cls(
            types=types,
            system=system.to_dict(),
            variables={variable.name: to_plain(variable) for variable in variables},
            ranges=ranges.tolist(),
            coefficients=coefficients.tolist(),
        )

    def check(self, system: System) -> None:
        self.bond_graph.check(system, type(self).__name__)

    def energy(self, graph: SiteGraph) -> Tensor:
        return self.splines.total(self._places(graph.per_frame(graph.positions)), self.polynomials)

    def design(self, frames: Frames) -> NDArray[np.float64]:
        """(n_frames, n_variables * n) the energy per coefficient."""
        positions = torch.as_tensor(np.asarray(frames.positions, float))
        return self.splines.design(self._places(positions)).numpy()

    def _places(self, positions: Tensor) -> Tensor:
        """(n_frames, n_copies, n_variables) where each is in its range: 0 at its beginning, 1 at
        its end.
        """
        copies = positions.unflatten(1, (-1, self.system.n_sites))
        found = [v.values(copies, self.system) for v in self.variables]  # type: ignore[attr-defined]
        low, high = self.ranges.unbind(1)
        return (torch.stack(found, -1).double() - low) / (high - low)


def why_not(variable: Variable, system: System) -> str | None:
    """Why a spline of `variable` can pull at no site of `system`, in words; None where it can."""
    name = variable.name
    if isinstance(variable, HasColumns):
        return f"{name}: expected one number of a frame, found {type(variable).__name__}, several"
    if not isinstance(variable, Differentiable):
        return (
            f"{name}: expected a variable with `values`, which forces come from (a distance, an "
            "angle, NativeContacts, RadiusOfGyration, RMSD), found "
            f"{type(variable).__name__}; leave it out"
        )
    if variable.periodic:
        return (
            f"{name}: expected a number on a line, found a dihedral, which goes round; leave it "
            "out: dihedrals have series of their own"
        )
    if from_plain(name, to_plain(variable)) is None:
        return (
            f"{name}: expected a variable of cgrec, which a file of a potential can hold, found "
            f"{type(variable).__name__}; leave it out"
        )
    if variable.defined_on(system):
        return None
    missing = getattr(variable, "missing_on", lambda _: "a site of it is missing")(system)
    return f"{name} cannot be computed at this level: {missing}; leave it out there"


def _made(name: str, plain: object) -> Variable:
    found = from_plain(name, plain)
    if found is None:
        raise ValueError(
            f"VariableSplines: {name}: expected a variable of cgrec, which a file can hold, found "
            f"{plain}"
        )
    return found
