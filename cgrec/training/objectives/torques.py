"""Torques about rotatable bonds: what decides dihedrals, and a fit of forces alone learns last."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...potential.base import portion
from ...ranges import expect
from ...roles import Batch, LabelledFrames, Loss
from ...system import System
from ..data import thinned

#: Frames at most that typical torques are measured in: they are known to 2 % then.
MEASURED_IN = 2000
#: nm: typical torque over typical force below which a bond has no torque but what rounding leaves,
#: as in an ideal chain, whose springs turn nothing. It must not be divided by.
LEAST = 1e-6
#: Tensors of `Torques` with a row for each bond.
_BY_BOND = ("first", "second", "moved", "size")


@dataclass(frozen=True, kw_only=True)
class MatchTorques:
    """Mean squared error of the torques about rotatable bonds, each in units of its typical size.

    Args:
        weight: in the sum of objectives.
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        expect("MatchTorques", at_least=0, weight=self.weight)

    def loss_of(self, data: LabelledFrames, /) -> Loss | None:
        """(n_frames,) loss of a batch; None in a box, and where the labels turn no bond."""
        if data.frames.box is not None:
            return None
        torques = Torques.scaled(data)
        return None if torques is None else torques.of_batch


class Torques:
    """Torques of forces about the rotatable bonds of one open System.

    Stiff bonds and angles carry nearly all of a force, dihedrals decide where a molecule is: a fit
    of forces alone reaches the dihedrals last (a heavy-atom alanine dipeptide still had 1 kT/rad of
    systematic error along psi when the noise left was a third of that). A torque is a linear
    function of the forces, its expectation that of the same mean force; so adding its squared error
    changes what is learned first and leaves the minimum, the PMF, where it was.

    Args:
        system: whose bonds with something to turn on both sides are used, but for those in rings.

    Attributes:
        size: (n_bonds,) typical torques, kJ/mol/rad; ones until `scaled` has measured them.
    """

    def __init__(self, system: System) -> None:
        central = sorted({(min(p[1:3]), max(p[1:3])) for p in system.bonded_paths(4)})
        turning = [(b, c, moved) for b, c in central if (moved := system.beyond(b, c)) is not None]
        self.first = torch.tensor([b for b, _, _ in turning], dtype=torch.long)
        self.second = torch.tensor([c for _, c, _ in turning], dtype=torch.long)
        self.moved = torch.zeros(len(turning), system.n_sites, dtype=torch.float64)
        for row, (_, _, moved) in zip(self.moved, turning):
            row[moved] = 1.0
        self.size = torch.ones(len(turning), dtype=torch.float64)

    @classmethod
    def scaled(cls, data: LabelledFrames, most: int = MEASURED_IN) -> Torques | None:
        """With the root mean square torques of the labels as sizes, without bonds that the labels
        do not turn; None where none is left.
        """
        torques = cls(data.frames.system)
        if not len(torques.size):
            return None
        some = thinned(np.arange(len(data.frames)), most)
        step = portion(data.frames.n_sites, most)
        found = []
        for start in range(0, len(some), step):
            part = some[start : start + step]
            positions = torch.from_numpy(np.array(data.frames.positions[part], float))
            found.append(torques(positions, data.forces[part]))
        torques.size = torch.cat(found).square().mean(0).sqrt()
        turned = torques.size > LEAST * data.scale
        if not turned.any():
            return None
        torques._keep(turned)
        return torques.to(data.potential.device)

    def _keep(self, bonds: Tensor) -> None:
        """Only those where (n_bonds,) `bonds` is set."""
        for name in _BY_BOND:
            setattr(self, name, getattr(self, name)[bonds])

    def to(self, device: torch.device) -> Torques:
        """Move to `device`."""
        for name in _BY_BOND:
            setattr(self, name, getattr(self, name).to(device))
        return self

    def __call__(self, positions: Tensor, forces: Tensor) -> Tensor:
        """(n_frames, n_bonds) kJ/mol/rad of forces (n_frames, n_sites, 3) on the sites that turn."""
        pivot = positions[:, self.second]
        axis = pivot - positions[:, self.first]
        about_origin = torch.einsum(
            "di,nik->ndk", self.moved, torch.linalg.cross(positions, forces)
        )
        net = torch.einsum("di,nik->ndk", self.moved, forces)
        torque = about_origin - torch.linalg.cross(pivot, net)
        return (torque * axis).sum(-1) / axis.norm(dim=-1)

    def of_batch(self, batch: Batch, /) -> Tensor:
        """(n_frames,) `loss` of the force errors of a batch."""
        return self.loss(batch.positions, batch.force_errors)

    def loss(self, positions: Tensor, errors: Tensor) -> Tensor:
        """(n_frames,) mean squared torque of force errors, in units of `size`."""
        return (self(positions.double(), errors.double()) / self.size).square().mean(1)
