"""Backbones of peptides found from names, elements and the bond graph, at any level whose sites
allow.

Public: `Torsion`, `peptide_bonds`, `backbone_torsions`, `cis_rows`. A peptide bond is known by its
    dihedral omega where the four
atoms are sites, and by the distance of two neighbouring alpha carbons where only those are: about
    0.38 nm for trans, 0.29 nm for cis (Ramachandran & Mitra, J. Mol. Biol. 107, 85 (1976)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from ..frames import Frames
from ..system import System

#: nm between neighbouring alpha carbons below which the peptide bond is cis: half way from 0.29
#: (cis) to 0.38 (trans).
CIS_DISTANCE = 0.335
#: Names by which a site that carries no element is taken for a backbone atom, not for a bead.
BACKBONE_NAMES = ("N", "CA", "C", "O", "CB", "CH3")
#: rad of |omega| below which a peptide bond is cis: half way from 0 to pi.
CIS_OMEGA = np.pi / 2


@dataclass(frozen=True)
class Torsion:
    """A backbone dihedral, or the step from one alpha carbon to the next.

    Attributes:
        kind: "phi", "psi", "omega", or "step" of two alpha carbons.
        name: for tables, e.g. "omega ASN2:N".
        sites: four site indices; two of a step.
        imino: the nitrogen carries two carbons, as in proline: cis is common there.
    """

    kind: str
    name: str
    sites: tuple[int, ...]
    imino: bool = False


@dataclass(frozen=True)
class _Amide:
    """Sites before C, C, N, after N of one peptide bond; None for what is no site of the level."""

    before: int | None
    carbon: int
    nitrogen: int
    after: int | None
    imino: bool


def peptide_bonds(system: System) -> list[Torsion]:
    """Every peptide bond whose cis or trans state the sites tell: omegas, and steps of alpha
    carbons where no omega is.
    """
    labels, found = system.unique_labels, []
    for a in _amides(system):
        if a.before is not None and a.after is not None:
            sites = (a.before, a.carbon, a.nitrogen, a.after)
            found.append(Torsion("omega", f"omega {labels[a.nitrogen]}", sites, a.imino))
    known = {frozenset((omega.sites[0], omega.sites[3])) for omega in found}
    return found + [step for step in _steps(system) if frozenset(step.sites) not in known]


def backbone_torsions(system: System) -> list[Torsion]:
    """Every phi (C-N-CA-C) and psi (N-CA-C-N) whose four atoms are sites, residue by residue."""
    amides, near, labels = _amides(system), system.neighbours(), system.unique_labels
    carbons, nitrogens = {a.carbon for a in amides}, {a.nitrogen for a in amides}
    found = []
    for a in amides:
        if a.after is not None:
            ends = [c for c in near[a.after] if c in carbons or system.names[c] == "C"]
            name = f"phi {labels[a.after]}"
            found += [Torsion("phi", name, (a.carbon, a.nitrogen, a.after, c)) for c in ends]
        if a.before is not None:
            starts = [n for n in near[a.before] if n in nitrogens or system.names[n] == "N"]
            name = f"psi {labels[a.before]}"
            found += [Torsion("psi", name, (n, a.before, a.carbon, a.nitrogen)) for n in starts]
    return sorted(found, key=lambda torsion: torsion.sites[1:3])


def cis_rows(frames: Frames, bonds: list[Torsion]) -> NDArray[np.float64]:
    """(n_frames, n_bonds) 1 where a peptide bond is cis, else 0."""
    x = np.asarray(frames.positions, float)
    rows = np.empty((len(frames), len(bonds)))
    for k, bond in enumerate(bonds):
        sites = np.array([bond.sites])
        if bond.kind == "step":
            rows[:, k] = geometry.distance(x, sites)[:, 0] < CIS_DISTANCE
        else:
            rows[:, k] = np.abs(geometry.dihedral(x, sites)[:, 0]) < CIS_OMEGA
    return rows


def _amides(system: System) -> list[_Amide]:
    """Peptide bonds C-N, with the carbon on either side where it is a site. A primary amide, as in
    ASN, has none behind its N.
    """
    near, found = system.neighbours(), []
    for i, j in system.bonds.tolist():
        for carbon, nitrogen in ((i, j), (j, i)):
            if _joins(system, near, carbon, nitrogen):
                before = [k for k in near[carbon] if k != nitrogen and _is(system, k, "C")]
                after = [k for k in near[nitrogen] if k != carbon and _is(system, k, "C")]
                # of the two carbons of proline, CA: by its name, else by the carbonyl beside it
                after.sort(
                    key=lambda k: (
                        system.names[k] != "CA",
                        not _carbonyl_beside(system, near, k),
                        k,
                    )
                )
                first, last = (ends[0] if ends else None for ends in (before, after))
                imino = len(after) > 1 or _proline(system, nitrogen)
                found.append(_Amide(first, carbon, nitrogen, last, imino))
    return found


def _joins(system: System, near: list[list[int]], carbon: int, nitrogen: int) -> bool:
    """Whether this bond joins two residues, C to N, or is an amide by its oxygen where the residues
    are not told.
    """
    if not (_is(system, carbon, "C") and _is(system, nitrogen, "N")):
        return False
    if any(_is(system, k, "O") and len(near[k]) == 1 for k in near[carbon]):
        return True
    other = system.residues[carbon] != system.residues[nitrogen]
    return bool(other) and system.names[carbon] == "C" and system.names[nitrogen] == "N"


def _is(system: System, site: int, element: str) -> bool:
    """An atom of `element`; a site without an element may go by the name of a backbone atom."""
    known, name = system.elements[site], system.names[site]
    return known == element if known != "X" else name[:1] == element and name in BACKBONE_NAMES


def _carbonyl_beside(system: System, near: list[list[int]], site: int) -> bool:
    return any(
        _is(system, k, "C") and any(_is(system, o, "O") for o in near[k]) for k in near[site]
    )


def _proline(system: System, site: int) -> bool:
    return system.residue_names[site] in ("PRO", "HYP", "DPR")


def _steps(system: System) -> list[Torsion]:
    """Bonded alpha carbons of two residues; what is bonded there is a step of the chain, through a
    peptide bond.
    """
    steps = []
    for i, j in np.sort(system.bonds, axis=1).tolist():
        both = (
            system.names[i] == system.names[j] == "CA"
            and _is(system, i, "C")
            and _is(system, j, "C")
        )
        if both and system.residues[i] != system.residues[j]:
            last = max((i, j), key=lambda k: (system.residues[k], k))
            steps.append(
                Torsion(
                    "step", f"step to {system.unique_labels[last]}", (i, j), _proline(system, last)
                )
            )
    return steps
