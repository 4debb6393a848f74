"""The share of a chain that is an alpha helix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from ..frames import Frames
from ..system import System
from ..trace import is_alpha_carbon, longest_chain
from .base import FrameVariable
from .evaluate import in_portions

#: Atoms of a residue from which DSSP tells hydrogen bonds of the backbone.
_BACKBONE = frozenset({"N", "CA", "C", "O"})
#: Angle of three alpha carbons of an alpha helix and dihedral of four, rad, and how far either may
#: be off: G. Labesse, N. Colloc'h, J. Pothier, J.-P. Mornon, CABIOS 13, 291 (1997), P-SEA.
ANGLE, ANGLE_WIDTH = np.radians(89.0), np.radians(12.0)
DIHEDRAL, DIHEDRAL_WIDTH = np.radians(50.0), np.radians(20.0)


@dataclass(frozen=True, kw_only=True)
class Helix(FrameVariable):
    """Share of a chain that is in an alpha helix.

    Where a residue has N, CA, C and O it is the share of residues that DSSP finds in one (W.
    Kabsch, C. Sander, Biopolymers 22, 2577 (1983); mdtraj.compute_dssp). Of alpha carbons alone it
    is the share of four consecutive ones whose dihedral is 50 +- 20 degrees and whose two angles
    are 89 +- 12 degrees (G. Labesse et al., CABIOS 13, 291 (1997)). The two are not the same
    number: levels are compared mapped to one set of sites, where they are.

    Attributes:
        name: what plots and tables call it.
    """

    name: str = "helix"

    @property
    def sites(self) -> tuple[str, ...]:
        """None by name: all that is a backbone counts."""
        return ()

    @property
    def unit(self) -> str:
        """A share of one."""
        return "1"

    def missing_on(self, system: System) -> str | None:
        """Why it cannot be computed there, in words; None where it can."""
        if _has_backbone(system) or len(alpha_carbons_of(system)) > 3:
            return None
        return (
            f"{self.name}: expected residues with N, CA, C and O, or four sites called CA along a "
            "chain, found neither"
        )

    def of(self, frames: Frames) -> NDArray[np.float64]:
        """(n_frames,) 0 to 1.

        Raises:
            ValueError: neither backbones nor alpha carbons.
        """
        missing = self.missing_on(frames.system)
        if missing is not None:
            raise ValueError(f"{missing}; take a level that has them, e.g. level 0")
        if not _has_backbone(frames.system):
            right, _ = helical_turns(frames)
            return right.mean(1)
        from ..io import secondary_structure  # mdtraj takes a second to import

        found = secondary_structure(frames)
        known = found != "NA"
        return np.asarray((found == "H").sum(1) / known.sum(1), float)


def helical_turns(frames: Frames) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(n_frames, n - 3) whether each four consecutive alpha carbons are a turn of a right-handed
    helix; and of its mirror image, whose dihedral has the other sign.

    Raises:
        ValueError: fewer than four alpha carbons along a chain.
    """
    alphas = alpha_carbons_of(frames.system)
    if len(alphas) < 4:
        raise ValueError(f"expected four alpha carbons along a chain, found {len(alphas)}")
    four = np.array([alphas[k : k + 4] for k in range(len(alphas) - 3)])

    def turns(positions: NDArray[np.float64], _: System) -> NDArray[np.float64]:
        straight = [geometry.angle(positions, four[:, k : k + 3]) for k in (0, 1)]
        bent = np.all(np.abs(np.stack(straight) - ANGLE) < ANGLE_WIDTH, axis=0)
        dihedral = geometry.dihedral(positions, four)
        near = np.abs(np.abs(dihedral) - DIHEDRAL) < DIHEDRAL_WIDTH
        return np.where(bent & near, np.sign(dihedral), 0.0)

    sense = in_portions(turns, frames, len(four))
    return sense > 0, sense < 0


def alpha_carbons_of(system: System) -> list[int]:
    """Alpha carbons of the largest molecule, in order; none where it has fewer than two."""
    return [site for site in longest_chain(system) if is_alpha_carbon(system, site)]


def _has_backbone(system: System) -> bool:
    names: dict[int, set[str]] = {}
    for residue, name in zip(system.residues.tolist(), system.names):
        names.setdefault(residue, set()).add(name)
    return any(found >= _BACKBONE for found in names.values())
