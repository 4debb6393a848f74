"""`CompiledBonded`: all bonded priors of a potential in one pass of bonded_kernel.cpp.

In a chain of a few beads autograd through springs, walls and dihedrals costs as much as the compiled
network; here they cost a hundredth of it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from ..native import NoKernel, native_library
from ..system import System
from ..threads import kernel_threads
from .backends import faster, merges
from .base import Potential, PotentialState, SumPotential
from .bonded import BondedPotential
from .dihedral_series import DihedralSeries
from .graph import SiteGraph
from .polynomials import atan_table
from .priors.angles import LinePrior
from .priors.dihedral import BENT, DihedralPrior
from .priors.flat_bottom import FlatBottomPrior
from .priors.harmonic import BranchPrior, HarmonicPrior
from .site_pair_splines import SitePairSplines
from .traced import traced

#: Numbers of the kinds of terms, as in bonded_kernel.cpp.
_LENGTH_SPRINGS, _ANGLE_SPRINGS, _VOLUME_SPRINGS = 0, 1, 2
_LENGTH_WALLS, _COSINE_WALLS, _LINES, _DIHEDRALS = 3, 4, 5, 6
_LENGTH_SPLINES, _SERIES, _JOINT_SERIES = 7, 8, 9
#: Highest order of a series that the kernel computes.
HIGHEST = 8

#: The kind of the terms of a potential, and (n_terms, n) numbers of each.
Terms = tuple[int, Tensor]


class CompiledBonded(Potential):
    """The sum of bonded priors by bonded_kernel.cpp: in double precision, one frame the same bits
    in any company and on any number of threads.

    Args:
        parts: priors of one System that the kernel knows (`is_known`), on a CPU.

    Raises:
        NoKernel: nothing here can compile the kernel.
    """

    own_forces = threaded = True
    parts: Sequence[BondedPotential]  # a ModuleList

    def __init__(self, parts: Sequence[BondedPotential]) -> None:
        super().__init__(types=parts[0].types, cutoff=max(p.cutoff for p in parts))
        self.add_module("parts", nn.ModuleList(parts))
        self.at_state_of(*parts)
        self.library = library()
        self._packed: tuple[object, _Packed] | None = None

    def check(self, system: System) -> None:
        for part in self.parts:
            part.check(system)

    def energy(self, graph: SiteGraph) -> Tensor:
        return torch.stack([part.energy(graph) for part in self.parts]).sum(0)

    def forward(self, graph: SiteGraph, differentiable: bool = False) -> tuple[Tensor, Tensor]:
        if differentiable:
            return super().forward(graph, differentiable)
        positions = self.parts[0].positions(graph)
        return self.packed().evaluate(self.library, positions.detach())

    def packed(self) -> _Packed:
        """The terms as the kernel wants them, made anew when somebody has changed them."""
        version = tuple((b.data_ptr(), b._version) for p in self.parts for b in p.buffers())
        if self._packed is None or self._packed[0] != version:
            self._packed = (version, _Packed(self.parts))
        return self._packed[1]

    def to_state(self) -> PotentialState:
        if len(self.parts) == 1:
            return self.parts[0].to_state()
        return SumPotential(self.parts).to_state()


# --- what the kernel knows --------------------------------------------------------------------------


def _springs(prior: HarmonicPrior | BranchPrior) -> Terms:
    kinds = {2: _LENGTH_SPRINGS, 3: _ANGLE_SPRINGS, 4: _VOLUME_SPRINGS}
    numbers = torch.stack([prior.centre, prior.stiffness], 1)
    return kinds[prior.sites.shape[1]], numbers


def _lines(prior: LinePrior) -> Terms:
    return _LINES, prior.stiffness[:, None]


def _walls(prior: FlatBottomPrior) -> Terms:
    kinds = {2: _LENGTH_WALLS, 3: _COSINE_WALLS}
    numbers = torch.stack([prior.lower, prior.upper, prior.below, prior.above], 1)
    return kinds[prior.sites.shape[1]], numbers


def _dihedrals(prior: DihedralPrior) -> Terms:
    return _DIHEDRALS, torch.cat([prior.cosine, prior.sine], 1)


def _splines(splines: SitePairSplines) -> Terms:
    knots = splines.splines.spline.knots.expand(len(splines.sites), -1)
    return _LENGTH_SPLINES, torch.cat([knots, splines.polynomials.flatten(1)], 1)


def _series(series: DihedralSeries) -> Terms:
    """All of it is one term, of one dihedral or two."""
    modes = torch.cat([series.orders, series.cosine[:, None], series.sine[:, None]], 1)
    return (_SERIES, _JOINT_SERIES)[len(series.sites) - 1], modes.reshape(1, -1)


_TERMS: dict[type, Callable[..., Terms]] = {
    HarmonicPrior: _springs,
    BranchPrior: _springs,
    LinePrior: _lines,
    FlatBottomPrior: _walls,
    DihedralPrior: _dihedrals,
    SitePairSplines: _splines,
    DihedralSeries: _series,
}


def terms_of(prior: Potential) -> Terms:
    """The kind of its terms by the kernel's numbers, and what the kernel knows of each, in nm and
    kJ/mol; KeyError where it is not known.
    """
    return _TERMS[type(prior)](prior)


def constants() -> str:
    """C++ of the constants that bonded_shapes.h needs."""
    return f"{atan_table()}\nconstexpr double BENT = {BENT!r};\n"


def is_known(potential: Potential) -> bool:
    """Whether the kernel computes it: a class that inherits from a prior may have another energy."""
    if isinstance(potential, DihedralSeries):
        small = len(potential.sites) <= 2 and float(potential.orders.abs().max()) <= HIGHEST
        return type(potential) is DihedralSeries and small
    return type(potential) in _TERMS


# --- arguments of the kernel ------------------------------------------------------------------------


class _Group(ctypes.Structure):  # as in bonded_kernel.cpp
    _fields_ = [
        *((n, ctypes.c_int64) for n in ("kind", "n_terms", "n_numbers")),
        *((n, ctypes.c_void_p) for n in ("sites", "numbers")),
    ]


class _Problem(ctypes.Structure):  # as in bonded_kernel.cpp
    _fields_ = [
        *((n, ctypes.c_int64) for n in ("n_frames", "n_copies", "n_sites", "n_groups", "threads")),
        *((n, ctypes.c_void_p) for n in ("groups", "positions", "energies", "forces")),
    ]


class _Packed:
    """The arguments of the kernel; it holds on to everything they point to."""

    def __init__(self, parts: Sequence[BondedPotential]) -> None:
        self.held: list[Tensor] = []
        groups = [self._group(part) for part in parts]
        self.groups = (_Group * len(groups))(*groups)
        self.problem = _Problem(
            n_sites=parts[0].n_sites,
            n_groups=len(groups),
            groups=ctypes.addressof(self.groups),
        )

    def _group(self, part: BondedPotential) -> _Group:
        kind, numbers = terms_of(part)
        return _Group(
            kind=kind,
            n_terms=len(numbers),
            n_numbers=numbers.shape[1],
            sites=self._keep(_within(part)),
            numbers=self._keep(numbers.double()),
        )

    def _keep(self, tensor: Tensor) -> int:
        self.held.append(tensor.contiguous())
        return self.held[-1].data_ptr()

    def evaluate(self, library: ctypes.CDLL, positions: Tensor) -> tuple[Tensor, Tensor]:
        """(n_frames,) kJ/mol and (n_frames * n_sites, 3) kJ/mol/nm of positions (n_frames,
        n_copies, n_sites, 3).
        """
        positions = positions.double().contiguous()
        energies = torch.empty(len(positions), dtype=torch.float64)
        forces = torch.empty_like(positions).view(-1, 3)
        problem = self.problem
        problem.n_frames, problem.n_copies = positions.shape[:2]
        problem.threads = kernel_threads()
        problem.positions = positions.data_ptr()
        problem.energies, problem.forces = energies.data_ptr(), forces.data_ptr()
        library.bonded(ctypes.byref(problem))
        return energies, forces


def _within(part: BondedPotential) -> Tensor:
    """Its site numbers, all of them there: those of a file may come from anybody.

    Raises:
        ValueError: one is not.
    """
    wrong = part.sites[(part.sites < 0) | (part.sites >= part.n_sites)]
    if len(wrong):
        raise ValueError(
            f"{type(part).__name__}: expected site numbers 0 to {part.n_sites - 1}, found "
            f"{int(wrong[0])}: make it anew from its System"
        )
    return part.sites


@lru_cache
def library() -> ctypes.CDLL:
    """bonded_kernel.cpp. Raises NoKernel where nothing here can compile it."""
    return native_library(Path(__file__).with_name("bonded_kernel.cpp"), header=constants())


@faster(BondedPotential)
def compiled_bonded(potential: BondedPotential) -> Potential:
    """One prior on the kernel; itself where that cannot be, traced on a GPU."""
    (found,) = merged_bonded([potential])
    return traced(potential) if found is potential else found


@merges
def merged_bonded(parts: Sequence[Potential]) -> list[Potential]:
    """The parts of a sum with the bonded priors of each System as one, where the first of them
    stood; as they are without a compiler: whoever needs speed has been told by the network.
    """
    found: list[Potential] = []
    systems: dict[int, list[BondedPotential]] = {}
    for part in parts:
        if not is_known(part) or part.device.type != "cpu":
            found.append(part)
            continue
        prior = cast(BondedPotential, part)
        if prior.n_sites not in systems:
            systems[prior.n_sites] = []
            found.append(prior)
        systems[prior.n_sites].append(prior)
    try:
        made = {id(priors[0]): CompiledBonded(priors) for priors in systems.values()}
    except NoKernel:
        return list(parts)
    return [made.get(id(part), part) for part in found]
