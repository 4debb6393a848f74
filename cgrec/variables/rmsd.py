"""Root mean square deviation from a structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .. import geometry
from ..frames import Frames
from ..geometry import X
from ..roles import Mapped
from ..system import System
from ..trace import is_alpha_carbon, largest_molecule
from .base import FrameVariable
from .evaluate import in_portions, like
from .structure import Sites, on_level, paired, structure_of

#: Two sites can always be superposed in their direction, three have a shape.
_LEAST = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class RMSD(FrameVariable):
    """Root mean square deviation from a structure after superposition, nm. All sites weigh the same.

    The best rotation is that of W. Kabsch, Acta Cryst. A32, 922 (1976). At the minimum its own
    change does not count, so that forces follow with the rotation held.

    Attributes:
        structure: Frames, of which the first is taken, or the path of a PDB file.
        sites: labels of the sites that are superposed and compared; by default the alpha carbons
            of the largest molecule, and where it has fewer than three, all its sites but hydrogens.
        name: what plots and tables call it.

    Raises:
        ValueError: no such file, a site that the structure does not have, or one or two sites.
    """

    structure: Frames | str | Path
    sites: tuple[str, ...] = ()
    name: str = "RMSD"
    _native: Frames = field(init=False, repr=False)
    _known: dict[str, tuple[Sites, Sites]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sites", tuple(self.sites))
        object.__setattr__(self, "_native", structure_of(self.structure, "RMSD"))
        object.__setattr__(self, "_known", {})
        self._pairs(self._native.system)

    @property
    def unit(self) -> str:
        """nm."""
        return "nm"

    def missing_on(self, system: System) -> str | None:
        """Why it cannot be computed there, in words; None where it can."""
        try:
            self._pairs(system)
        except (KeyError, ValueError) as error:
            return str(error)
        return None

    def through(self, mapping: Mapped) -> RMSD:
        """The deviation from the structure as a level sees it: mapped as its frames are.

        Raises:
            ValueError: sites are given by label, or the structure lacks an atom of the mapping.
        """
        if self.sites:
            raise ValueError(f"{self.name}: its sites {', '.join(self.sites)} are not mapped")
        return replace(self, structure=on_level(self._native, mapping))

    def values(self, positions: X, system: System) -> X:
        """(...,) nm for positions (..., n_sites, 3) nm, a numpy array or a torch tensor. First
        derivatives are exact, second ones lack the turning of the frame.
        """
        own, theirs = self._pairs(system)
        target = np.asarray(self._native.positions[0], float)[theirs]
        target = target - target.mean(0)
        x = positions[..., own, :]
        x = x - x.mean(-2)[..., None, :]
        off: X = x @ like(x, geometry.rotation(_plain(x), target)) - like(x, target)
        size: X = geometry.norm(off.reshape((*off.shape[:-2], -1)))
        return size / len(own) ** 0.5

    def of(self, frames: Frames) -> NDArray[np.float64]:
        """(n_frames,) nm. Molecules must be whole."""
        return in_portions(self.values, frames)

    def reference(self, system: System, sites: Sequence[int]) -> NDArray[np.float64]:
        """(n_sites, 3) nm, where the structure has these `sites` of a level.

        Raises:
            ValueError: it does not have them.
        """
        _, theirs = paired(system, sites, self._native)
        return np.asarray(self._native.positions[0], float)[theirs]

    def _pairs(self, system: System) -> tuple[Sites, Sites]:
        """Sites of `system` that are compared, and the same sites of the structure."""
        key = system.fingerprint()
        if key not in self._known:
            sites = [system.site(label) for label in self.sites] or compared_sites(system)
            if len(sites) < _LEAST:
                raise ValueError(f"RMSD: expected three sites or more, found {len(sites)}")
            self._known[key] = paired(system, sites, self._native)
        return self._known[key]


def compared_sites(system: System) -> list[int]:
    """Alpha carbons of the largest molecule; where it has fewer than three, all its sites but
    hydrogens.
    """
    largest = largest_molecule(system)
    alphas = [i for i in largest if is_alpha_carbon(system, i)]
    return alphas if len(alphas) >= _LEAST else [i for i in largest if system.elements[i] != "H"]


def _plain(x: NDArray[np.float64] | Tensor) -> NDArray[np.float64]:
    return np.asarray(x.detach().cpu() if isinstance(x, Tensor) else x, float)
