"""Frames outside cgrec: files of other programs, objects of other packages.

Room `io` owns those packages, and stands on `frames`; nobody who reads frames.py needs it. So these
methods only name what they call, and it is found at the call, as `cgrec/__init__.py` finds the names
of the package: the way out costs `import cgrec` nothing, and no file stands on it.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .cards import card, drawing

if TYPE_CHECKING:
    import mdtraj
    from ase import Atoms
    from MDAnalysis import Universe

    from .frames import Frames


class Outward:
    """What `Frames` become outside cgrec, and what a notebook shows of them. Molecules are made
    whole on the way.
    """

    def write(
        self, path: str | Path, *, topology: bool = True, interval: float = 1.0
    ) -> list[Path]:
        """Write a file for another program, in the units that are usual there.

        | ending | holds beside positions and box | |---|---| | .pdb, .gro | names, residues; .pdb
        bonds, too | | .xtc, .dcd | nothing | | .trr, .h5md | forces | | .extxyz | forces, energies
        (eV, eV/angstrom), names | | .psf | names, charges, masses, bonds; no positions | | .npz
        | everything |

        VMD draws beads with their bonds from `vmd x.pdb x.xtc`; above 99,999 sites, where a PDB has
        no room for bonds, from `vmd x.psf x.xtc`.

        Args:
            path: of the new file.
            topology: beside a trajectory that does not say what its sites are (.xtc, .trr, .dcd,
                .h5md) write a .pdb of the same name, with the first frame.
            interval: ps between frames, where the format keeps a time: Frames do not know it, and
                replicas stand one after the other.

        Returns:
            The files that were written, `path` first.

        Raises:
            FileExistsError: one of the files exists; nothing is overwritten.
            ValueError: unknown ending.
        """
        written: list[Path] = import_module("cgrec.io").write_with_topology(
            self, path, interval, topology
        )
        return written

    def to_mdanalysis(self) -> Universe:
        """An MDAnalysis Universe in memory: positions, forces and box in its units (angstrom,
        kJ/mol/angstrom).
        """
        return import_module("cgrec.io").to_mdanalysis(self)

    def to_mdtraj(self) -> mdtraj.Trajectory:
        """An mdtraj Trajectory: positions in nm, and the box. mdtraj has no place for forces."""
        return import_module("cgrec.io").to_mdtraj(self)

    def to_ase(self) -> list[Atoms]:
        """ASE Atoms, one of each frame, with forces and energies as their calculator's results, in
        angstrom, eV and eV/angstrom. A bead is an X, and has its name in `arrays["names"]`.
        """
        images: list[Atoms] = import_module("cgrec.io").to_ase(self)
        return images

    def _repr_html_(self: Frames) -> str:  # type: ignore[misc]  # Frames is the one that inherits
        system, box = self.system, self.box
        edges = "" if box is None else " x ".join(f"{e:.4g}" for e in _lengths(box)) + " nm"
        arrays = ("forces", "energies", "weights")
        rows = [
            ("frames", str(len(self))),
            ("sites", f"{self.n_sites} in {int(system.molecules.max()) + 1} molecules"),
            ("temperature", f"{self.temperature:g} K"),
            ("box", edges or "open"),
            ("with", ", ".join(a for a in arrays if getattr(self, a) is not None)),
            ("replicas", "" if self.replicas is None else str(len(np.unique(self.replicas)))),
        ]
        picture = drawing(self.positions[0], system.bonds, system.elements, system.types)
        return card("Frames", rows, picture=picture)


def _lengths(box: NDArray[np.floating]) -> list[float]:
    """Lengths of the box vectors of the first frame, nm."""
    return [float(np.linalg.norm(row)) for row in np.asarray(box, float).reshape(-1, 3, 3)[0]]
