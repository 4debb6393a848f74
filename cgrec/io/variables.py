"""Variables that mdtraj computes: deviation from a structure, and share of a protein that is helix.

Each is a `cgrec.roles.Variable`: histograms, free energies and distances of ensembles take it where
they take a distance or a dihedral (`cgrec.observables.compare_distributions`). torch does not
differentiate them, so they cannot be biased.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frames import Frames
from ..system import System
from .objects import to_mdtraj

#: Atoms of a residue from which DSSP tells hydrogen bonds of the backbone.
_BACKBONE = frozenset({"N", "CA", "C", "O"})


@dataclass(frozen=True, kw_only=True, eq=False)
class Deviation:
    """Root mean square deviation from a structure after superposition, nm (mdtraj.rmsd; D. L.
    Theobald, Acta Cryst. A 61, 478 (2005)). All sites weigh the same.

    Attributes:
        sites: labels of the sites that are superposed and compared.
        structure: its first frame is compared with.
        name: what plots and tables call it.
    """

    sites: tuple[str, ...]
    structure: Frames
    name: str = "RMSD"

    def __post_init__(self) -> None:
        object.__setattr__(self, "sites", tuple(self.sites))
        if len(self.sites) < 3:
            raise ValueError(f"Deviation: expected three sites or more, found {len(self.sites)}")
        _indices(self.structure.system, self.sites)

    @property
    def periodic(self) -> bool:
        """No."""
        return False

    @property
    def unit(self) -> str:
        """nm."""
        return "nm"

    def defined_on(self, system: System) -> bool:
        """Whether all its sites are there."""
        return _are_there(system, self.sites)

    def of(self, frames: Frames) -> NDArray[np.float64]:
        """(n_frames,) nm. Molecules must be whole."""
        import mdtraj

        def some(ensemble: Frames) -> mdtraj.Trajectory:
            picked = _indices(ensemble.system, self.sites)
            return to_mdtraj(ensemble).atom_slice(picked)

        return np.asarray(mdtraj.rmsd(some(frames), some(self.structure[:1])), float)


@dataclass(frozen=True, kw_only=True)
class Helix:
    """Share of the residues that DSSP finds in an alpha helix (W. Kabsch, C. Sander, Biopolymers
    22, 2577 (1983); mdtraj.compute_dssp).

    Attributes:
        name: what plots and tables call it.
    """

    name: str = "helix"

    @property
    def sites(self) -> tuple[str, ...]:
        """None by name: all that is a backbone counts."""
        return ()

    @property
    def periodic(self) -> bool:
        """No."""
        return False

    @property
    def unit(self) -> str:
        """A share of one."""
        return "1"

    def defined_on(self, system: System) -> bool:
        """Whether a residue has N, CA, C and O."""
        names: dict[int, set[str]] = {}
        for residue, name in zip(system.residues.tolist(), system.names):
            names.setdefault(residue, set()).add(name)
        return any(found >= _BACKBONE for found in names.values())

    def of(self, frames: Frames) -> NDArray[np.float64]:
        """(n_frames,) 0 to 1.

        Raises:
            ValueError: no residue has the atoms of a backbone.
        """
        import mdtraj

        if not self.defined_on(frames.system):
            raise ValueError(
                "Helix: expected residues with N, CA, C and O, found none; take a level that has "
                "them, e.g. level 0"
            )
        found = mdtraj.compute_dssp(to_mdtraj(frames), simplified=False)
        known = found != "NA"
        return np.asarray((found == "H").sum(1) / known.sum(1), float)


def _indices(system: System, sites: tuple[str, ...]) -> NDArray[np.int64]:
    return np.array([system.site(label) for label in sites], np.int64)


def _are_there(system: System, sites: tuple[str, ...]) -> bool:
    try:
        _indices(system, sites)
    except KeyError:
        return False
    return True
