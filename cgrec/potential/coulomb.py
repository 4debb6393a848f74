"""`ScreenedCoulomb`: charges in a dielectric, summed over all images of a periodic box, as a prior
for levels of ions.

What such ions feel of each other at long range is known, and lies outside the reach of a network:
it is subtracted from the labels and added back in simulation. One sum over the same waves in two
ways: torch-pme, differentiable and on any device, and coulomb.cpp for many force calls on a CPU.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import erfcx
from torch import Tensor
from torch.nn.functional import pad

from ..index_select import own_index_select
from ..native import NoKernel, native_library
from ..remarks import remark
from ..threads import kernel_threads
from ..units import COULOMB
from .base import Potential
from .graph import SiteGraph, box_widths

with own_index_select():
    from torchpme import CoulombPotential, EwaldCalculator, P3MCalculator

#: Sites from which a potential with a cutoff of its own sums waves on a mesh.
MESH_SITES = 1000
#: Mesh of P3M: nodes an axis over which a charge is spread, and spacing in 1 / alpha where
#: `accuracy` is one; finer by its root of that order, the mesh added less than a third to the error
#: of forces from 1e-4 to 1e-7.
MESH_NODES, MESH_SPACING = 5, 4.0
#: Numbers (waves times sites) in one tensor of the plain sum.
_MOST = 4_000_000
#: What coulomb.cpp takes levels and rows in, and the degree of its polynomial.
_LANES, _ROWS, _DEGREE = 8, 2, 18


class ScreenedCoulomb(Potential):
    """U = 1/2 sum_ij q_i q_j / (4 pi epsilon_0 epsilon_r r_ij) over all images, by Ewald summation
    with a conducting boundary.

    With alpha = s / cutoff, the pairs closer than `cutoff` and the waves shorter than 2 alpha s
    leave an error of exp(-s^2) = `accuracy` (J. Kolafa and J. W. Perram, Mol. Simul. 9, 351
    (1992)). Open systems: all pairs.

    Args:
        types: site types.
        charges: e, {type: charge} or a list in the order of `types`.
        permittivity: epsilon_r of what is between the sites.
        cutoff: nm of the sum over pairs. 0 is best for up to a thousand sites: half the narrowest
            width of each box, and the pairs are found here, so that the graph need not reach so
            far. Otherwise they come from the graph, and beyond `MESH_SITES` sites the waves are
            summed on a mesh (P3M, to about `accuracy`).
        accuracy: of forces, relative to those of typical neighbours.

    Raises:
        ValueError: a charge is missing, too much or no number; `permittivity` or `accuracy` out of
            range. On evaluation: a periodic box that is not neutral.
    """

    own_forces = True
    charges: Tensor

    def __init__(
        self,
        *,
        types: Sequence[str],
        charges: Mapping[str, float] | Sequence[float],
        permittivity: float,
        cutoff: float = 0.0,
        accuracy: float = 1e-6,
    ) -> None:
        listed = _by_type(types, charges)
        super().__init__(
            types=types, cutoff=cutoff, charges=listed, permittivity=permittivity, accuracy=accuracy
        )
        if not permittivity > 0 or not 1e-14 <= accuracy < 0.1:
            raise ValueError(
                "ScreenedCoulomb: expected permittivity > 0 and accuracy from 1e-14 to 0.1, "
                f"found {permittivity} and {accuracy}"
            )
        self.sharpness = math.sqrt(-math.log(accuracy))
        self.strength = COULOMB / permittivity
        self.register_buffer("charges", torch.tensor(listed, dtype=torch.float64), persistent=False)

    def energy(self, graph: SiteGraph) -> Tensor:
        positions = graph.per_frame(graph.positions)
        return torch.cat(
            [self._energy(graph, positions[some], some) for some in self._portions(graph)]
        )

    def forward(self, graph: SiteGraph, differentiable: bool = False) -> tuple[Tensor, Tensor]:
        """Without parameters nothing has to stay differentiable: a few frames at a time, to save
        memory.
        """
        positions, energies, forces = graph.per_frame(graph.positions.detach()), [], []
        for some in self._portions(graph):
            x = positions[some].clone().requires_grad_()
            with torch.enable_grad():
                energy = self._energy(graph, x, some)
                (gradient,) = torch.autograd.grad(energy.sum(), x)
            energies.append(energy.detach())
            forces.append(-gradient.reshape(-1, 3))
        return torch.cat(energies), torch.cat(forces)

    def compiled(self) -> Potential:
        """On a CPU the kernel; elsewhere this, whose waves depend on the box and cannot be traced."""
        if self.device.type != "cpu":
            return self
        try:
            return CompiledCoulomb(self)
        except NoKernel as reason:
            remark(f"{reason}; the Coulomb sum runs uncompiled, many times slower")
            return self

    def on_mesh(self, graph: SiteGraph) -> bool:
        """Whether waves are summed on a mesh."""
        return graph.box is not None and self.cutoff > 0 and graph.sites_per_frame > MESH_SITES

    def site_charges(self, graph: SiteGraph) -> Tensor:
        """(n_sites,) e. Raises ValueError where a periodic box is not neutral."""
        charges = self.charges.double()[graph.species[: graph.sites_per_frame]]
        total = float(charges.sum())
        if graph.box is not None and abs(total) > 1e-6:
            table = dict(zip(self.types, self.charges.tolist()))
            raise ValueError(
                f"ScreenedCoulomb: expected a neutral periodic box, found {total:+.6g} e in "
                f"all with charges {table}: "
                "correct the charges, add the missing counter-ions, or use an open system (no box)"
            )
        return charges

    def reaches(self, box: Tensor) -> Tensor:
        """(n_frames,) nm of the sum over pairs."""
        widths = box_widths(box).amin(-1)
        return torch.full_like(widths, self.cutoff) if self.cutoff > 0 else widths / 2

    def _portions(self, graph: SiteGraph) -> list[slice]:
        sites, waves = graph.sites_per_frame, 1.0
        if graph.box is not None and not self.on_mesh(graph):
            box = graph.box.double()
            longest = 2 * self.sharpness**2 / self.reaches(box)
            waves = float((torch.linalg.det(box).abs() * longest**3).max() / (6 * math.pi**2))
        step = max(1, int(_MOST / (sites * max(waves, sites))))
        return [slice(k, min(k + step, graph.n_frames)) for k in range(0, graph.n_frames, step)]

    def _energy(self, graph: SiteGraph, positions: Tensor, some: slice) -> Tensor:
        """(n_some,) of frames `some` at `positions` (n_some, n_sites, 3)."""
        x, charges = positions.double(), self.site_charges(graph)
        if graph.box is None:
            i, j = torch.triu_indices(x.shape[1], x.shape[1], 1, device=x.device)
            return self.strength * (charges[i] * charges[j] / (x[:, j] - x[:, i]).norm(dim=-1)).sum(
                -1
            )
        box = graph.box[some].double()
        # In units of 1 / alpha all boxes have the same smearing and cutoff.
        alpha = (self.sharpness / self.reaches(box))[:, None]
        pairs, distances = self._pairs(graph, x, box, some)
        arguments = alpha[..., None] * box, alpha[..., None] * x, pairs, alpha * distances
        sum_up = self._on_mesh if self.on_mesh(graph) else self._by_waves
        potential = sum_up(charges[:, None].expand(len(x), -1, 1), *arguments)
        return self.strength * alpha[:, 0] * (potential[..., 0] @ charges)

    def _pairs(
        self, graph: SiteGraph, x: Tensor, box: Tensor, some: slice
    ) -> tuple[Tensor, Tensor]:
        """(n_some, n_pairs, 2) sites, and (n_some, n_pairs) nm between them or their nearest
        images.
        """
        n = x.shape[1]
        if self.cutoff > 0:
            first = n * torch.arange(graph.n_frames, device=x.device)[some, None, None]
            other = graph.per_frame(graph.neighbour_index)[some] - first
            own = torch.arange(n, device=x.device)[None, :, None].expand_as(other)
            pairs = torch.stack([own, other], -1).flatten(1, 2)
            shift = graph.per_frame(graph.neighbour_shift)[some].double().flatten(1, 2)
        else:
            pairs = torch.triu_indices(n, n, 1, device=x.device).T.expand(len(x), -1, -1)
            shift = torch.zeros(1, dtype=x.dtype, device=x.device)
        frame = torch.arange(len(x), device=x.device)[:, None]
        vectors = x[frame, pairs[..., 1]] - x[frame, pairs[..., 0]] + shift
        if self.cutoff == 0:
            vectors = vectors - (vectors.detach() @ torch.linalg.inv(box)).round() @ box
        return pairs, vectors.norm(dim=-1)

    def _by_waves(
        self, charges: Tensor, box: Tensor, x: Tensor, pairs: Tensor, distances: Tensor
    ) -> Tensor:
        # not used: waves are given
        calculator = self._calculator(EwaldCalculator, x, lr_wavelength=1.0)
        near, waves = distances < self.sharpness, _waves(box, 2 * self.sharpness)

        def one(
            q: Tensor, box: Tensor, x: Tensor, pairs: Tensor, r: Tensor, near: Tensor, k: Tensor
        ) -> Tensor:
            return calculator(q, box, x, pairs, r, pair_mask=near, kvectors=k)

        return torch.vmap(one)(charges, box, x, pairs, distances, near, waves)

    def _on_mesh(
        self, charges: Tensor, box: Tensor, x: Tensor, pairs: Tensor, distances: Tensor
    ) -> Tensor:
        spacing = MESH_SPACING * self.config["accuracy"] ** (1 / MESH_NODES)
        calculator = self._calculator(
            P3MCalculator, x, mesh_spacing=spacing, interpolation_nodes=MESH_NODES
        )
        found = []
        for q, cell, points, of, r in zip(charges, box, x, pairs, distances):
            near = r < self.sharpness
            found.append(calculator(q, cell, points, of[near], r[near]))
        return torch.stack(found)

    def _calculator(self, kind: Any, like: Tensor, **options: Any) -> Any:
        potential = CoulombPotential(smearing=2**-0.5)
        return kind(potential, full_neighbor_list=self.cutoff > 0, **options).to(
            like.device, like.dtype
        )


class CompiledCoulomb(Potential):
    """A `ScreenedCoulomb` evaluated by coulomb.cpp: the same answers but for rounding.

    Raises:
        NoKernel: nothing here can compile it.
    """

    own_forces = threaded = True

    def __init__(self, plain: ScreenedCoulomb) -> None:
        super().__init__(types=plain.types, cutoff=plain.cutoff)
        self.plain = plain
        self.library = _library()
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

    def to_state(self) -> dict[str, Any]:
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

    def __init__(self, plain: ScreenedCoulomb, graph: SiteGraph) -> None:
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


def _tops(box: Tensor, longest: Tensor) -> list[int]:
    """Largest index along each reciprocal vector of waves up to `longest` (n_frames,): |n| <= k |a|
    / 2 pi.
    """
    return [int(n) for n in (longest[:, None] * box.norm(dim=-1) / (2 * math.pi)).amax(0)]


def _vectors(box: Tensor, n: Tensor) -> Tensor:
    """(n_frames, ..., 3) wave vectors of integers n (..., 3)."""
    return 2 * math.pi * torch.einsum("...a,fka->f...k", n.double(), torch.linalg.inv(box))


def _waves(box: Tensor, longest: float) -> Tensor:
    """(n_frames, n_waves, 3) of all waves up to `longest`; those that are so in other frames only
    are zero.
    """
    axes = [
        torch.arange(-n, n + 1, device=box.device)
        for n in _tops(box, box.new_full((len(box),), longest))
    ]
    k = _vectors(box, torch.cartesian_prod(*axes))
    within = k.norm(dim=-1) <= longest
    return torch.where(within[..., None], k, 0.0)[:, within.any(0)]


def _rows(box: Tensor, alphas: Tensor, sharpness: float) -> tuple[Tensor, Tensor, list[int]]:
    """Half of all waves, as the kernel wants them.

    Returns:
        (n_rows, 3) x, y and the largest z of each row. (n_frames, n_rows, 2 * levels + 1) 4 pi
        exp(-k^2 / 4 alpha^2) / (k^2 V) for z = 1, 2 ..., for -1, -2 ... and for 0. Largest x, y and
        z.
    """
    longest = 2 * alphas * sharpness
    top = _tops(box, longest)
    x, y, z = (torch.arange(-n, n + 1) for n in top)
    n = torch.stack(torch.meshgrid(x[top[0] :], y, z, indexing="ij"), -1).flatten(0, 1)
    n = n[(n[:, 0, 0] > 0) | (n[:, 0, 1] >= 0)]
    square = _vectors(box, n).square().sum(-1)
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
def _library() -> ctypes.CDLL:
    return native_library(Path(__file__).with_name("coulomb.cpp"), (f"-DN_ERFCX={_DEGREE + 1}",))


def _by_type(types: Sequence[str], charges: Mapping[str, float] | Sequence[float]) -> list[float]:
    """Charges in the order of `types`, as plain numbers."""
    if isinstance(charges, Mapping):
        if set(charges) != set(types):
            raise ValueError(
                f"ScreenedCoulomb: expected a charge for each of the types {sorted(types)}, "
                f"found {dict(charges)}"
            )
        charges = [charges[t] for t in types]
    if len(charges) != len(types) or not np.isfinite(charges).all():
        raise ValueError(
            f"ScreenedCoulomb: expected {len(types)} charges, one for each of {list(types)}, "
            f"found {list(charges)}"
        )
    return [float(q) for q in charges]
