"""`CompiledForceField`: a `ForceField` by force_field.cpp, whose vector lanes are frames."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...native import NoKernel, native_library
from ...remarks import remark
from ...system import System
from ...threads import kernel_threads
from ..backends import faster
from ..base import Potential, PotentialState
from ..graph import SiteGraph
from ..polynomials import atan_table, cpp_table, fitted
from .force_field import ForceField
from .terms import ORDERS, Born, pair_sites

#: Distance in radii of a sphere from which its Born integral is computed as a series.
FAR = 3.0
#: Terms of that series: the first left out is 1e-7 of it at `FAR`.
FAR_TERMS = 7
_SITES = ("bond_sites", "angle_sites", "torsion_sites", "map_sites")
#: Degrees of the polynomials: errors below the rounding of single precision.
_EXP2_DEGREE, _LOG_DEGREE = 6, 9


class CompiledForceField(Potential):
    """A `ForceField` evaluated by force_field.cpp: forces within 3e-5 of it, relative to their root
    mean square, and one frame the same bits in any company.

    Raises:
        NoKernel: it is not on a CPU, or nothing here can compile the kernel.
    """

    own_forces = threaded = True

    def __init__(self, plain: ForceField) -> None:
        super().__init__(types=plain.types, cutoff=plain.cutoff)
        if plain.device.type != "cpu":
            raise NoKernel(f"the force field is on {plain.device} and its kernel runs on a CPU")
        self.plain = plain
        self.library = kernel_library()
        self.at_state_of(plain)
        self._packed: tuple[object, _Packed] | None = None

    def check(self, system: System) -> None:
        self.plain.check(system)

    def energy(self, graph: SiteGraph) -> Tensor:
        return self.plain.energy(graph)

    def forward(self, graph: SiteGraph, differentiable: bool = False) -> tuple[Tensor, Tensor]:
        if differentiable:
            return self.plain(graph, differentiable)
        return self.packed().evaluate(self.library, graph.positions, graph.n_frames)

    def packed(self) -> _Packed:
        """The terms as the kernel wants them, made anew when somebody has changed them."""
        version = tuple((b.data_ptr(), b._version) for b in self.plain.buffers())
        if self._packed is None or self._packed[0] != version:
            self._packed = (version, _Packed(self.plain))
        return self._packed[1]

    def to_state(self) -> PotentialState:
        return self.plain.to_state()


class _Problem(ctypes.Structure):  # as in force_field.cpp
    POINTERS = (
        "bond_sites",
        "angle_sites",
        "torsion_sites",
        "torsion_orders",
        "bond_terms",
        "angle_terms",
        "torsion_series",
        "map_sites",
        "map_kinds",
        "map_tables",
        "pairs",
        "born_sites",
        "born_pairs",
        "neck_pairs",
    )
    NUMBERS = ("strength", "surface", "probe")
    COUNTS = (
        "n_frames",
        "n_sites",
        "threads",
        "n_bonds",
        "n_angles",
        "n_torsions",
        "n_maps",
        "points",
        "born",
        "neck",
    )
    _fields_ = [
        *((n, ctypes.c_int64) for n in COUNTS),
        ("positions", ctypes.c_void_p),
        *((n, ctypes.c_void_p) for n in POINTERS),
        *((n, ctypes.c_double) for n in NUMBERS),
        ("energies", ctypes.c_void_p),
        ("forces", ctypes.c_void_p),
    ]


class _Packed:
    """The arguments of the kernel; it holds on to everything they point to."""

    def __init__(self, plain: ForceField) -> None:
        born = plain.born
        # of a file that may come from anybody: what the kernel takes on trust is made certain here
        sites = {n: _within(getattr(plain, n), len(plain.charges), n) for n in _SITES}
        given = {
            **sites,
            "bond_terms": plain.bond_terms.double(),
            "angle_terms": plain.angle_terms.double(),
            "torsion_series": plain.torsion_series.double(),
            "torsion_orders": _orders(plain.torsion_series),
            "map_kinds": _within(plain.map_kinds, len(plain.map_tables), "map_kinds"),
            "map_tables": plain.map_tables.double(),
            "pairs": plain.pair_table().float(),
            **({} if born is None else _born_tables(born)),
        }
        self.held = {name: tensor.contiguous() for name, tensor in given.items()}
        numbers = dict(born.numbers) if born is not None else {}
        self.problem = _Problem(
            n_sites=len(plain.charges),
            n_bonds=len(plain.bond_sites),
            n_angles=len(plain.angle_sites),
            n_torsions=len(plain.torsion_sites),
            n_maps=len(plain.map_sites),
            points=plain.map_tables.shape[1],
            born=int(born is not None),
            neck=int("neck_pairs" in self.held),
            **{name: numbers.get(name, 0.0) for name in _Problem.NUMBERS},
            **{name: tensor.data_ptr() for name, tensor in self.held.items()},
        )

    def evaluate(
        self, library: ctypes.CDLL, positions: Tensor, n_frames: int
    ) -> tuple[Tensor, Tensor]:
        """(n_frames,) kJ/mol and (n_frames * n_sites, 3) kJ/mol/nm."""
        positions = positions.detach().double().contiguous()
        energies = torch.empty(n_frames, dtype=torch.float64)
        forces = torch.empty_like(positions)
        self.problem.n_frames, self.problem.threads = n_frames, kernel_threads()
        self.problem.positions = positions.data_ptr()
        self.problem.energies, self.problem.forces = energies.data_ptr(), forces.data_ptr()
        library.force_field(ctypes.byref(self.problem))
        return energies, forces


def _within(numbers: Tensor, n: int, name: str) -> Tensor:
    """Numbers of sites or tables, all of them there.

    Raises:
        ValueError: one is not.
    """
    numbers = numbers.long()
    wrong = numbers[(numbers < 0) | (numbers >= n)]
    if len(wrong):
        raise ValueError(
            f"ForceField.{name}: expected 0 to {n - 1}, found {int(wrong[0])}: the "
            "file was changed; make the potential anew from its OpenMM System"
        )
    return numbers


def _orders(series: Tensor) -> Tensor:
    """(n_torsions,) highest multiplicity that is there."""
    there = (series[:, 1 : 1 + ORDERS] != 0) | (series[:, 1 + ORDERS :] != 0)
    return (there * torch.arange(1, ORDERS + 1)).amax(1)


def _born_tables(born: Born) -> dict[str, Tensor]:
    sites = torch.cat(
        [
            torch.stack([born.offset_radius, born.scaled_radius, born.radius], 1),
            born.coefficients,
            born.charges[:, None],
        ],
        1,
    )
    i, j = pair_sites(len(sites), sites.device)
    s, o = born.scaled_radius.abs(), born.offset_radius
    far = torch.maximum(FAR * torch.maximum(s[i], s[j]), torch.maximum(o[i] + s[j], o[j] + s[i]))
    tables = {"born_sites": sites.float(), "born_pairs": far.square().float()}
    if born.numbers["neck_scale"]:
        a, b, scale = born.kinds[i], born.kinds[j], born.numbers["neck_scale"]
        necks = [
            born.radius[i] + born.radius[j] + born.numbers["neck_cut"],
            scale * born.heights[a, b],
            scale * born.heights[b, a],
            born.distances[a, b],
            born.distances[b, a],
        ]
        tables["neck_pairs"] = torch.stack(necks, 1).float()
    return tables


@lru_cache
def kernel_library() -> ctypes.CDLL:
    return native_library(Path(__file__).with_name("force_field.cpp"), header=_polynomials())


def _polynomials() -> str:
    """C++ of the polynomials that force_field.cpp computes with."""
    half, root = np.sqrt(0.5), np.sqrt(2.0)
    k = np.arange(FAR_TERMS)[::-1]
    far = (k + 1) / (2 * k + 3)
    tables = {
        "EXP2": fitted(np.exp2, _EXP2_DEGREE, -0.5, 0.5),
        "LOG": fitted(lambda m: np.log1p(m) / m, _LOG_DEGREE, half - 1, root - 1),
        "FAR": far,
        "FAR_SLOPE": -(2 * k + 4) * far,
    }
    single = [cpp_table(name, "float", values) for name, values in tables.items()]
    return "\n".join([*single, atan_table()])


@faster(ForceField)
def compiled_force_field(plain: ForceField) -> Potential:
    """The force field on its kernel, or itself where that cannot be, with one warning on a CPU."""
    if plain.device.type != "cpu":
        return plain
    try:
        return CompiledForceField(plain)
    except NoKernel as reason:
        remark(f"{reason}; the force field runs uncompiled, a hundred times slower")
        return plain
