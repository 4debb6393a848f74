"""`chains_of_trace`: the chains that C-alpha atoms of a file belong to, checked before work."""

from __future__ import annotations

from collections.abc import Mapping as Table
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..cell import minimum_image
from ..frames import Frames
from ..system import System
from ..trace import is_alpha_carbon
from .sequence import SequenceResidue, known_residues

#: nm between two bonded residues: 0.38 trans and 0.29 cis, and what motion adds. Over a residue
#: that is missing it is 0.5 to 0.73 nm.
FARTHEST, NEAREST = 0.5, 0.24
#: Residues that are not restored, and what is nearest to each.
_ALIKE = {
    "MSE": "MET",
    "NLE": "MET",
    "SEC": "CYS",
    "CSO": "CYS",
    "CME": "CYS",
    "HYP": "PRO",
    "SEP": "SER",
    "TPO": "THR",
    "PTR": "TYR",
    "MLY": "LYS",
    "M3L": "LYS",
    "PCA": "GLU",
    "CGU": "GLU",
}
#: Sites and residues named in a message.
_NAMED = 4


@dataclass(frozen=True)
class TraceChain:
    """Residues of one chain, and the site of each in the Frames they come from."""

    residues: list[SequenceResidue]
    sites: list[int]


def chains_of_trace(
    frames: Frames, gaps: bool = False, rename: Table[str, str] | None = None
) -> list[TraceChain]:
    """Residues in the order of the file: a chain ends where its name changes, where numbers go
    back, and, with `gaps`, where two residues are too far apart to be bonded.

    Args:
        frames: with a site on each C-alpha atom and no other.
        gaps: let a chain that lacks residues become two.
        rename: {name in the file: name it is restored as}.

    Raises:
        ValueError: other sites; unknown residues; C-alpha atoms too near or too far; fewer than
            three residues in a chain.
    """
    _check_sites(frames.system)
    residues = _residues(frames.system, dict(rename or {}))
    chains = [TraceChain([residues[0]], [0])]
    near, far = _steps(frames)
    for k in range(1, len(residues)):
        here, before = residues[k], residues[k - 1]
        ends = here.chain != before.chain or here.number < before.number
        if not ends:
            _check_step(before, here, near[k - 1], far[k - 1], gaps)
            ends = far[k - 1] > FARTHEST
        if ends:
            chains.append(TraceChain([], []))
        chains[-1].residues.append(here)
        chains[-1].sites.append(k)
    _check_lengths(chains)
    return chains


def _check_sites(system: System) -> None:
    wrong = [k for k in range(system.n_sites) if not is_alpha_carbon(system, k)]
    labels = system.full_labels
    if wrong:
        some = ", ".join(labels[k] for k in wrong[:_NAMED])
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        held = len(wrong) < system.n_sites
        raise ValueError(
            f"expected a site called CA on the C-alpha atom of each residue, found {some}{more} "
            "beside: "
            + (
                "selection='name CA' takes the C-alpha atoms alone"
                if held
                else "the residue library restores from C-alpha atoms; if these beads lie on "
                "them, call them CA in the file"
            )
        )
    residues, counts = np.unique(system.residues, return_counts=True)
    if counts.max() > 1:
        k = int(np.flatnonzero(system.residues == residues[counts.argmax()])[0])
        raise ValueError(
            f"expected one C-alpha atom a residue, found {int(counts.max())} in {labels[k]}: "
            "keep one of alternate places (selection='name CA and (altloc A or not altloc ?)')"
        )


def _residues(system: System, rename: dict[str, str]) -> list[SequenceResidue]:
    names = [rename.get(name, name) for name in system.residue_names]
    numbers = system.residue_numbers
    chains, codes = (
        v or ("",) * system.n_sites for v in (system.chain_ids, system.insertion_codes)
    )
    # counted from 1 where nobody states numbers
    stated = np.arange(1, len(names) + 1) if numbers is None else numbers
    known = set(known_residues())
    unknown = [k for k, name in enumerate(names) if name not in known]
    if unknown:
        raise ValueError(_unknown(system, names, unknown))
    idle = sorted(set(rename) - set(system.residue_names))
    if idle:
        raise ValueError(
            f"rename: expected residues of the file, {', '.join(sorted(set(system.residue_names)))}"
            f", found {', '.join(idle)}"
        )
    return [
        SequenceResidue(name, int(number), chain, code)
        for name, number, chain, code in zip(names, stated, chains, codes)
    ]


def _unknown(system: System, names: Sequence[str], unknown: Sequence[int]) -> str:
    kinds = sorted({names[k] for k in unknown})
    alike = [f"{name}:{_ALIKE[name]}" for name in kinds if name in _ALIKE]
    way = (
        f"rename={','.join(alike)} restores what is nearest"
        if len(alike) == len(kinds)
        else "leave them out (selection='name CA and not resname "
        f"{' '.join(kinds)}'), or give the amino acid to restore in their place, such as "
        f"rename={kinds[0]}:ALA"
    )
    return (
        f"expected residues among {', '.join(known_residues())}, found {', '.join(kinds)} "
        f"({system.full_labels[unknown[0]]}): {way}"
    )


def _steps(frames: Frames) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nearest and farthest (n - 1,) nm of all frames from each site to the one after it."""
    steps = np.diff(np.asarray(frames.positions, float), axis=1)
    boxes = frames.boxes()
    if boxes is not None:
        steps = np.stack([minimum_image(s, b) for s, b in zip(steps, np.asarray(boxes, float))])
    lengths = np.linalg.norm(steps, axis=-1)
    return lengths.min(0), lengths.max(0)


def _check_step(
    before: SequenceResidue, here: SequenceResidue, near: float, far: float, gaps: bool
) -> None:
    pair = f"{before.label} and {here.label}"
    if near < NEAREST:
        raise ValueError(
            f"expected C-alpha atoms of neighbours 0.38 nm apart (0.29 nm across a cis peptide "
            f"bond), found {near:.3g} nm between {pair}: look at the unit of length, and for "
            "residues that are there twice"
        )
    if far > FARTHEST and not gaps:
        missing = here.number - before.number - 1
        why = (
            f"{missing} residues are missing between them"
            if missing > 0
            else "the chain is broken there, or the unit of length is another"
        )
        raise ValueError(
            f"expected C-alpha atoms of neighbours at most {FARTHEST} nm apart, found {far:.3g} nm "
            f"between {pair}: {why}; gaps=true restores the parts one by one, each with charged "
            "ends"
        )


def _check_lengths(chains: Sequence[TraceChain]) -> None:
    for chain in chains:
        if len(chain.residues) < 3:
            raise ValueError(
                "expected three residues or more in a chain, found "
                f"{' '.join(r.label for r in chain.residues)} alone: a shorter trace does not say "
                "how its peptide groups are turned; leave it out of the file"
            )
