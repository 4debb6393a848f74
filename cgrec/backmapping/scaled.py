"""`Scaled`: free coordinates made alike, so that a standard normal or a uniform circle is their
simplest model.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .coordinates import (
    FREE,
    LINE,
    Coordinates,
    FrameCoordinates,
    State,
    coordinates_from,
    coordinates_of,
    spread,
)
from .split import Unit

#: Circular standard deviation, rad, from which a dihedral is a circle rather than a line.
_WIDE = 0.5


class Scaled:
    """y of a unit: z less its mean in standard deviations where z is a line, s phi where it is a
    circle; free directions are drawn evenly.

    Args:
        coordinates: z.
        kinds: (n,) as `Coordinates.kinds`, with what turned out to be wide as circles.
        mean, std: (n,).

    Attributes:
        circles: (n_y,) whether each y is an angle.
    """

    def __init__(
        self, coordinates: Coordinates, kinds: list[int], mean: Tensor, std: Tensor
    ) -> None:
        self.coordinates = coordinates
        self.mean = mean
        self.std = std
        self._kinds = torch.tensor(kinds, dtype=torch.long)
        self._kept = self._kinds != FREE
        self.circles = self._kinds[self._kept] > 0
        self._dihedral = torch.arange(len(kinds)) % 3 == 2
        if isinstance(coordinates, FrameCoordinates):
            self._dihedral[:] = False
        # free directions: sin^2(theta) / 2 for ln tan(theta / 2) comes from the volume; here what
        # is constant
        free_angles = int((~self._kept & self._dihedral).sum())
        self._bent = (~self._kept & ~self._dihedral).nonzero()[:, 0]
        lines = self._kinds == LINE
        self._volume = free_angles * math.log(2 * math.pi) + len(self._bent) * math.log(2)
        self._volume += float(std[lines].log().sum())

    @classmethod
    def fit(cls, unit: Unit, sites: Tensor, atoms: Tensor) -> Scaled:
        """Scales of `unit` from its configurations, sites (n, n_sites, 3) and atoms (n, n_atoms, 3)
        nm.
        """
        some = slice(None, None, max(1, len(sites) // 1000))
        coordinates = coordinates_of(unit, sites[some], atoms[some])
        z, _ = coordinates.internal(sites, atoms)
        kinds = list(coordinates.kinds)
        mean, std = z.mean(0), spread(z)
        if not isinstance(coordinates, FrameCoordinates):
            for k in range(2, coordinates.n, 3):
                s = max(kinds[k], 1)
                vector = torch.exp(1j * s * z[:, k]).mean()
                deviation = math.sqrt(max(1e-12, -2 * math.log(max(float(vector.abs()), 1e-12))))
                mean[k], std[k] = vector.angle() / s, deviation
                if kinds[k] == LINE and deviation > _WIDE:
                    kinds[k] = 1
        return cls(coordinates, kinds, mean, std)

    def state(self) -> State:
        """For `from_state`."""
        return {
            "coordinates": self.coordinates.state(),
            "kinds": self._kinds.tolist(),
            "mean": self.mean,
            "std": self.std,
        }

    @classmethod
    def from_state(cls, state: State) -> Scaled:
        """Inverse of `state`."""
        return cls(**{**state, "coordinates": coordinates_from(state["coordinates"])})

    def internal(self, sites: Tensor, atoms: Tensor) -> tuple[Tensor, Tensor]:
        """y (n, n_y), and ln |du/dy| (n,), by which densities differ."""
        z, volume = self.coordinates.internal(sites, atoms)
        from_mean = z - self.mean
        from_mean[:, self._dihedral] = wrapped(from_mean[:, self._dihedral])
        y = torch.where(self._kinds == LINE, from_mean / self.std, wrapped(self._kinds * z))
        return y[:, self._kept], self._total(z, volume)

    def cartesian(
        self, sites: Tensor, y: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Atoms (n, n_atoms, 3) nm with free directions and equal places on circles drawn, and ln
        |du/dy| (n,).
        """
        z = y.new_empty(len(y), len(self._kinds))
        uniform = torch.rand(z.shape, generator=generator, dtype=z.dtype)
        z[:, self._kept] = y
        place = torch.floor(uniform * self._kinds)
        circle = (z + 2 * math.pi * place) / self._kinds.clamp(min=1)
        free = torch.where(
            self._dihedral,
            2 * math.pi * uniform,
            torch.atanh((2 * uniform - 1).clamp(-1 + 1e-12, 1 - 1e-12)),
        )
        z = torch.where(
            self._kinds == LINE, z * self.std + self.mean, torch.where(self._kept, circle, free)
        )
        atoms, volume = self.coordinates.cartesian(sites, z)
        return atoms, self._total(z, volume)

    def _total(self, z: Tensor, volume: Tensor) -> Tensor:
        """ln |du/dy| with directions per their even density; s places of density 1 / s each and d(s
        phi) = s d(phi) cancel.
        """
        return volume + self._volume + 2 * torch.cosh(z[:, self._bent]).log().sum(-1)


def wrapped(angle: Tensor) -> Tensor:
    """The same angle in (-pi, pi]."""
    return angle - 2 * math.pi * torch.round(angle / (2 * math.pi))
