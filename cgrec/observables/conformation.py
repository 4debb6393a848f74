"""What a chemist looks at first: peptide bonds, backbone dihedrals, bonds and angles of an ensemble
beside its reference.

Public: `compare_conformations`, `own_conformation`, which give plain numbers for json.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from ..files import Json
from ..frames import Frames
from ..statistics.divergence import Tally, divergence
from ..statistics.errors import block_labels, effective_sample_size, jackknife_rows
from .backbone import Torsion, backbone_torsions, cis_rows, peptide_bonds
from .ledger import plain
from .structure import compare_structure

#: Bins of one dihedral: ten degrees, narrower than any basin.
BINS = 36
#: Values (frames x sites) that are looked at: seconds and a few hundred MB, whatever the size of
#: the system.
MOST = 2e7


@dataclass(frozen=True)
class CisFraction:
    """Share of frames in which one peptide bond is cis, in two ensembles, each with its standard
    error.
    """

    bond: str
    imino: bool
    model: tuple[float, float]
    reference: tuple[float, float]


@dataclass(frozen=True)
class TorsionDifference:
    """One backbone dihedral in two ensembles: Jensen-Shannon divergence above its floor, nats, and
    the reference's N_eff.
    """

    torsion: str
    excess: float
    error: float
    floor: float
    n_eff_reference: float


def compare_conformations(model: Frames, reference: Frames) -> Json:
    """{"cis": [...], "torsions": [...], "bonded": [...]} of two ensembles of one System, as plain
    numbers.

    Lists are empty where the sites do not tell.

    Raises:
        ValueError: the Systems have other sites or bonds.
    """
    model, reference = _some(model), _some(reference)
    torsions = backbone_torsions(model.system)
    bonded = (
        compare_structure(model, reference).terms if min(len(model), len(reference)) > 1 else ()
    )
    found = {
        "cis": [asdict(c) for c in cis_fractions(model, reference)],
        "torsions": [asdict(t) for t in torsion_differences(model, reference, torsions)],
        "bonded": [asdict(t) for t in bonded],
    }
    return plain(found)


def own_conformation(frames: Frames) -> Json:
    """The same of an ensemble that has no reference, level 0: its cis bonds, which chemistry can
    judge.
    """
    frames = _some(frames)
    return plain({"cis": [asdict(c) for c in cis_fractions(frames, frames)]})


def cis_fractions(model: Frames, reference: Frames) -> list[CisFraction]:
    """Of every peptide bond the sites tell."""
    bonds = peptide_bonds(model.system)
    if not bonds:
        return []
    found = [jackknife_rows(frames, cis_rows(frames, bonds)) for frames in (model, reference)]
    return [
        CisFraction(bond.name, bond.imino, *((float(e.value[k]), float(e.error[k])) for e in found))
        for k, bond in enumerate(bonds)
    ]


def torsion_differences(
    model: Frames, reference: Frames, torsions: list[Torsion]
) -> list[TorsionDifference]:
    """Of every dihedral given."""
    if min(len(model), len(reference)) < 2:
        return []
    return [_torsion(t, model, reference) for t in torsions]


def _torsion(torsion: Torsion, model: Frames, reference: Frames) -> TorsionDifference:
    sites = np.array([torsion.sites])
    values = [
        geometry.dihedral(np.asarray(f.positions, float), sites)[:, 0] for f in (model, reference)
    ]
    js = divergence(_tally(values[0], model), _tally(values[1], reference))
    n_eff = effective_sample_size(reference, values[1], periodic=True)
    return TorsionDifference(torsion.name, js.js - js.floor, js.error, js.floor, n_eff)


def _tally(angles: NDArray[np.float64], frames: Frames) -> Tally:
    cells = np.clip(((angles + np.pi) / (2 * np.pi) * BINS).astype(np.int64), 0, BINS - 1)
    return Tally.count(cells, frames.normalised_weights(), block_labels(frames), BINS)


def _some(frames: Frames) -> Frames:
    """Frames at equal distances, so few that the work stays small."""
    most = max(50, int(MOST / frames.n_sites))
    return (
        frames if len(frames) <= most else frames[np.linspace(0, len(frames) - 1, most).astype(int)]
    )
