"""`Soundness`: what is wrong with restored atoms of a protein, and where, without any reference."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from ..frames import Frames
from ..observables.backbone import backbone_torsions, cis_rows, peptide_bonds
from ..observables.structure import stereocentre_sites
from ..system import System
from .contacts import contacts

#: Sign of the volume of the named neighbours at centres of L amino acids: the centre, and its
#: neighbours in this order. L-Thr is (2S,3R), L-Ile (2S,3S): IUPAC-IUB, Eur. J. Biochem. 138, 9
#: (1984).
_HANDS = {
    "CA": (("N", "C", "CB"), 1),
    "THR:CB": (("CA", "OG1", "CG2"), 1),
    "ILE:CB": (("CA", "CG1", "CG2"), 1),
}


@dataclass(frozen=True)
class Soundness:
    """Faults of restored frames.

    Attributes:
        frames: that were looked at.
        cis: {peptide bond, by the residue after it: frames} of those not before proline.
        cis_proline: the same before proline, where cis is common.
        wrong_hands: {centre: frames} in which it is of a D amino acid, or not of L-Thr or L-Ile.
        clashes: mean number a frame, see `contacts`.
        missing, spurious: bonds a frame that distances do not show, and that they show beside.
        broken: frames with a bond, angle, plane or hand far outside of what was seen in the fit.
        left_handed: share of residues, but glycine, with phi above zero; a few percent in proteins.
        moved: nm, the farthest a C-alpha atom is from where the trace has it.
    """

    frames: int
    cis: dict[str, int]
    cis_proline: dict[str, int]
    wrong_hands: dict[str, int]
    clashes: float
    missing: float
    spurious: float
    broken: int
    left_handed: float
    moved: float

    def to_json(self) -> dict[str, object]:
        """Plain numbers."""
        return asdict(self)

    def sentence(self) -> str:
        """In one line."""
        n = self.frames
        return (
            f"{sum(self.cis.values())} cis peptide bonds that are not before proline, "
            f"{sum(self.wrong_hands.values())} wrong hands, {self.clashes:.2g} clashes a frame, "
            f"{self.broken} of {n} frames with broken geometry, C-alpha atoms moved by "
            f"{self.moved:.1g} nm"
        )


def soundness(fine: Frames, broken: NDArray[np.bool_], moved: float) -> Soundness:
    """Look at every frame of `fine`.

    Args:
        fine: all atoms of proteins, with names of the PDB.
        broken: (n_frames,) as `Backmapper.broken` gives it.
        moved: nm, see `Soundness`.
    """
    system, x = fine.system, np.asarray(fine.positions, float)
    bonds = peptide_bonds(system)
    cis = cis_rows(fine, bonds) > 0
    after = [bond.sites[-1] for bond in bonds]
    proline = np.array([bond.imino for bond in bonds], bool)
    found = contacts(fine)
    return Soundness(
        frames=len(fine),
        cis=_counted(system, after, cis & ~proline),
        cis_proline=_counted(system, after, cis & proline),
        wrong_hands=_wrong_hands(system, x),
        clashes=float(found.clashes.mean()),
        missing=float(found.missing.mean()),
        spurious=float(found.spurious.mean()),
        broken=int(broken.sum()),
        left_handed=_left_handed(system, x),
        moved=moved,
    )


def _left_handed(system: System, x: NDArray[np.float64]) -> float:
    rows = [
        torsion.sites
        for torsion in backbone_torsions(system)
        if torsion.kind == "phi" and system.residue_names[torsion.sites[2]] != "GLY"
    ]
    if not rows:
        return 0.0
    return float((np.asarray(geometry.dihedral(x, np.array(rows))) > 0).mean())


def _wrong_hands(system: System, x: NDArray[np.float64]) -> dict[str, int]:
    at = {(int(r), n): k for k, (r, n) in enumerate(zip(system.residues, system.names))}
    centres, signs = [], []
    for centre, *_ in stereocentre_sites(system):
        rule = _HANDS.get(system.labels[centre]) or _HANDS.get(system.names[centre])
        if rule is not None:
            residue = int(system.residues[centre])
            centres.append([centre, *(at[residue, name] for name in rule[0])])
            signs.append(rule[1])
    if not centres:
        return {}
    volume = geometry.signed_volume(x, np.array(centres))
    return _counted(system, [c[0] for c in centres], np.asarray(volume) * np.array(signs) <= 0)


def _counted(system: System, atoms: list[int], which: NDArray[np.bool_]) -> dict[str, int]:
    """{label: frames} of the atoms that are marked in any frame, (n_frames, n_atoms)."""
    labels = system.unique_labels
    counts = np.asarray(which).sum(0)
    return {labels[k]: int(n) for k, n in zip(atoms, counts) if n}
