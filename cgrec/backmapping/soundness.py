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
from .contacts import Clash, contacts, worst_clashes
from .rings import pierced_rings

#: Sign of the volume of the named neighbours at centres of L amino acids: the centre, and its
#: neighbours in this order. L-Thr is (2S,3R), L-Ile (2S,3S): IUPAC-IUB, Eur. J. Biochem. 138, 9
#: (1984).
_HANDS = {
    "CA": (("N", "C", "CB"), 1),
    "THR:CB": (("CA", "OG1", "CG2"), 1),
    "ILE:CB": (("CA", "CG1", "CG2"), 1),
}

#: nm between hydrogen and what it is bonded to (F. Allen and I. Bruno, Acta Cryst. B66, 380 (2010);
#: S-H of methanethiol), and how far from it is too far: 2.5 % is thermal motion, this some five
#: times that.
_HYDROGEN = {"C": 0.109, "N": 0.101, "O": 0.097, "S": 0.134}
_HYDROGEN_MARGIN = 0.013


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
        hydrogens: {hydrogen: frames} of those too near to, or too far from, what they are bonded to.
        pierced: {"bond through ring", by its first atoms: frames}.
        worst_clashes: the atoms that overlap most.
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
    hydrogens: dict[str, int]
    pierced: dict[str, int]
    worst_clashes: list[Clash]

    def to_json(self) -> dict[str, object]:
        """Plain numbers."""
        return asdict(self)

    def sentence(self) -> str:
        """In one line."""
        n = self.frames
        return (
            f"{sum(self.cis.values())} cis peptide bonds that are not before proline, "
            f"{sum(self.wrong_hands.values())} wrong hands, {self.clashes:.2g} clashes a frame, "
            f"{self.broken} of {n} frames with broken geometry, "
            f"{len(self.hydrogens)} bonds to hydrogen out of range, "
            f"{len(self.pierced)} rings pierced, C-alpha atoms moved by {self.moved:.1g} nm"
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
        hydrogens=_hydrogens(system, x),
        pierced=_pierced(system, x),
        worst_clashes=worst_clashes(fine),
    )


def unsound(fine: Frames) -> NDArray[np.int64]:
    """(n_frames,) pierced rings and bonds to hydrogen out of range."""
    system, x = fine.system, np.asarray(fine.positions, float)
    _, off = _far_hydrogens(system, x)
    return off.sum(1) + [len(pierced_rings(system, x[t : t + 1])) for t in range(len(x))]


def _far_hydrogens(system: System, x: NDArray[np.float64]) -> tuple[list[int], NDArray[np.bool_]]:
    """Hydrogens, and (n_frames, n) whether their bond is out of range."""
    elements = system.elements
    pairs = [
        (i, j) if elements[i] == "H" else (j, i)
        for i, j in system.bonds.tolist()
        if "H" in (elements[i], elements[j])
    ]
    pairs = [(h, heavy) for h, heavy in pairs if elements[heavy] in _HYDROGEN]
    if not pairs:
        return [], np.zeros((len(x), 0), bool)
    length = np.asarray(geometry.distance(x, np.array(pairs)))
    wanted = np.array([_HYDROGEN[elements[heavy]] for _, heavy in pairs])
    return [h for h, _ in pairs], np.abs(length - wanted) > _HYDROGEN_MARGIN


def _hydrogens(system: System, x: NDArray[np.float64]) -> dict[str, int]:
    return _counted(system, *_far_hydrogens(system, x))


def _pierced(system: System, x: NDArray[np.float64]) -> dict[str, int]:
    labels = system.unique_labels
    found = pierced_rings(system, x)
    return {
        f"bond of {labels[bond]} through the ring of {labels[ring]}": n
        for (ring, bond), n in found.items()
    }


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
