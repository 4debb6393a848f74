"""`CompiledCoulomb`: the sum of a `ScreenedCoulomb` by coulomb.cpp, for many force calls on a CPU."""

from __future__ import annotations

import ctypes
import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from scipy.special import erfcx
from torch import Tensor
from torch.nn.functional import pad

from ....native import native_library
from ....threads import kernel_threads
from ...base import Potential, PotentialState
from ...graph import SiteGraph
from .charged import ChargedSites
from .waves import tops, vectors

#: Levels that coulomb.cpp takes at a time: eight doubles fill a register of 512 bits.
_LANES = 8
#: Rows that coulomb.cpp takes at a time.
_ROWS = 2
#: Degree of its polynomial for exp(u^2) erfc(u).
_DEGREE = 18


class CompiledCoulomb(Potential):
    """A `ScreenedCoulomb` evaluated by coulomb.cpp: the same answers but for rounding.

    Raises:
        NoKernel: nothing here can compile it.
    """

    own_forces = threaded = True

    def __init__(self, plain: ChargedSites) -> None:
        super().__init__(types=plain.types, cutoff=plain.cutoff)
        self.plain = plain
        self.library = kernel_library()
        self.at_state_of(plain)
        self._call: _Call | None = None

    def energy(self, graph: SiteGraph) -> Tensor:
        return self.plain.energy(graph)

    def forward(self, graph: SiteGraph, differentiable: bool = False) -> tuple[Tensor, Tensor]:
        if self.plain.on_mesh(graph):
            return self.plain(graph)
        if self._call is None or not self._call.serves(graph):
            self._call = _Call(self.plain, graph)
        return self._call.evaluate(self.library, graph.positions)

    def to_state(self) -> PotentialState:
        return self.plain.to_state()


class _Problem(ctypes.Structure):  # as in coulomb.cpp
    _fields_ = [
        *(
            (n, ctypes.c_int64)
            for n in (
                "n_frames",
                "n_sites",
                "slots",
                "threads",
                "n_rows",
                "top_x",
                "top_y",
                "top_z",
                "levels",
                "box_stride",
                "weight_stride",
            )
        ),
        *(
            (n, ctypes.c_void_p)
            for n in (
                "rows",
                "neighbours",
                "charges",
                "positions",
                "shifts",
                "boxes",
                "inverses",
                "alphas",
                "reaches",
                "weights",
                "erfcx",
                "energies",
                "forces",
            )
        ),
    ]


class _Call:
    """The arguments of the kernel for one box and set of neighbours; it holds on to everything it
    points to.
    """

    def __init__(self, plain: ChargedSites, graph: SiteGraph) -> None:
        self.known = _fixed(graph)
        self.version = _version(graph)
        self.n_frames = graph.n_frames
        self.sites = len(graph.species)
        if graph.box is None:
            reaches = torch.full((self.n_frames,), 1e100, dtype=torch.float64)
            box = torch.eye(3, dtype=torch.float64)[None]
            rows, weights, top = torch.zeros(0, 3), torch.zeros(1, 0, 1), [0, 0, 0]
            alphas = torch.zeros_like(reaches)
        else:
            box, reaches = graph.box.double(), plain.reaches(graph.box.double())
            alphas = plain.sharpness / reaches
            box = box[:1] if bool((box == box[0]).all()) else box
            rows, weights, top = _rows(box, alphas[: len(box)], plain.sharpness)
        given = {
            "charges": plain.site_charges(graph) * math.sqrt(plain.strength),
            "boxes": box,
            "inverses": torch.linalg.inv(box),
            "alphas": alphas,
            "reaches": reaches,
            "rows": rows,
            "weights": weights,
            "erfcx": _erfcx(),
        }
        slots = graph.neighbour_index.shape[1] if graph.box is not None and plain.cutoff > 0 else 0
        if slots:
            given |= {"neighbours": graph.neighbour_index, "shifts": graph.neighbour_shift.double()}
        self.held = {name: tensor.contiguous() for name, tensor in given.items()}
        several = int(len(box) > 1)
        self.problem = _Problem(
            n_frames=self.n_frames,
            n_sites=graph.sites_per_frame,
            slots=slots,
            threads=kernel_threads(),
            n_rows=len(rows),
            top_x=top[0],
            top_y=top[1],
            top_z=top[2],
            levels=weights.shape[2] // 2,
            box_stride=9 * several,
            weight_stride=weights[0].numel() * several,
            **{name: tensor.data_ptr() for name, tensor in self.held.items()},
        )

    def serves(self, graph: SiteGraph) -> bool:
        """Whether only positions can have changed."""
        return self.version == _version(graph) and all(
            a is b for a, b in zip(self.known, _fixed(graph))
        )

    def evaluate(self, library: ctypes.CDLL, positions: Tensor) -> tuple[Tensor, Tensor]:
        energies = torch.empty(self.n_frames, dtype=torch.float64)
        forces = torch.empty(self.sites, 3, dtype=torch.float64)
        positions = positions.detach().double().contiguous()
        self.problem.positions = positions.data_ptr()
        self.problem.energies, self.problem.forces = energies.data_ptr(), forces.data_ptr()
        library.coulomb(ctypes.byref(self.problem))
        return energies, forces


def _fixed(graph: SiteGraph) -> tuple[Tensor | None, ...]:
    return graph.box, graph.species, graph.neighbour_index, graph.neighbour_shift


def _version(graph: SiteGraph) -> tuple[int, ...]:
    """A box that was changed in place has other waves."""
    return graph.n_frames, kernel_threads(), -1 if graph.box is None else graph.box._version


def _rows(box: Tensor, alphas: Tensor, sharpness: float) -> tuple[Tensor, Tensor, list[int]]:
    """Half of all waves, as the kernel wants them.

    Returns:
        (n_rows, 3) x, y and the largest z of each row. (n_frames, n_rows, 2 * levels + 1) 4 pi
        exp(-k^2 / 4 alpha^2) / (k^2 V) for z = 1, 2 ..., for -1, -2 ... and for 0. Largest x, y and
        z.
    """
    longest = 2 * alphas * sharpness
    top = tops(box, longest)
    x, y, z = (torch.arange(-n, n + 1) for n in top)
    n = torch.stack(torch.meshgrid(x[top[0] :], y, z, indexing="ij"), -1).flatten(0, 1)
    n = n[(n[:, 0, 0] > 0) | (n[:, 0, 1] >= 0)]
    square = vectors(box, n).square().sum(-1)
    within = (square <= longest[:, None, None] ** 2) & (square > 0)
    square = torch.where(within, square, 1.0)
    decay = (
        torch.exp(-square / (4 * alphas[:, None, None] ** 2))
        / torch.linalg.det(box).abs()[:, None, None]
    )
    weights = torch.where(within, 4 * math.pi * decay / square, 0.0)
    weights[:, (n[:, 0, :2] == 0).all(-1)] *= 0.5  # this row holds every wave and its opposite
    depth = torch.where(within.any(0), n[..., 2].abs(), 0).amax(-1)
    order = depth.argsort()  # rows that go together should be of one depth
    rows = torch.cat([n[:, 0, :2], depth[:, None]], 1)[order]
    free = -top[2] % _LANES
    plus, minus, zero = (
        weights[..., top[2] + 1 :],
        weights[..., : top[2]].flip(-1),
        weights[..., top[2], None],
    )
    packed = torch.cat([pad(plus, (0, free)), pad(minus, (0, free)), zero], -1)[:, order]
    odd = len(rows) % _ROWS
    return pad(rows, (0, 0, 0, odd)), pad(packed, (0, 0, 0, odd)), top


@lru_cache
def _erfcx() -> Tensor:
    """Coefficients of exp(u^2) erfc(u), highest power first, in t = (3 - u) / (3 + u) for u from 0
    to 6: exact to 2e-14.
    """
    near = np.polynomial.Chebyshev.interpolate(
        lambda t: erfcx(3 * (1 - t) / (1 + t)), _DEGREE, domain=[-1 / 3, 1]
    )
    series = near.convert(kind=np.polynomial.Polynomial, domain=[-1, 1], window=[-1, 1])
    return torch.from_numpy(series.coef[::-1].copy())


@lru_cache
def kernel_library() -> ctypes.CDLL:
    return native_library(Path(__file__).with_name("coulomb.cpp"), (f"-DN_ERFCX={_DEGREE + 1}",))
