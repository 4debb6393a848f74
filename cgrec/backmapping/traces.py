"""`chains_of_trace`: the chains that C-alpha atoms of a file belong to, checked before work."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from collections.abc import Mapping as Table
from dataclasses import dataclass, replace
from string import ascii_lowercase, ascii_uppercase, digits

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
#: nm, of most neighbours; {what was mistaken: how much larger distances look for it}, and how far
#: the logarithm of that may be off.
_STEP = 0.38
_UNITS = (
    ("numbers in angstrom were read as nm (length_unit=angstrom)", 10.0),
    ("numbers in nm were read as angstrom (length_unit=nm)", 0.1),
    ("numbers in bohr were read as nm (length_unit=bohr)", 18.9),
)
_ALIKE_UNITS = 0.25
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
#: What a PDB has room for.
_LETTERS = ascii_uppercase + ascii_lowercase + digits


@dataclass(frozen=True)
class TraceChain:
    """Residues of one chain, and the site of each in the Frames they come from."""

    residues: list[SequenceResidue]
    sites: list[int]

    @property
    def letter(self) -> str:
        """Of all its residues; empty where it has none."""
        return self.residues[0].chain


def chains_of_trace(
    frames: Frames,
    gaps: bool = False,
    rename: Table[str, str] | None = None,
    ends: Collection[int] = (),
) -> list[TraceChain]:
    """Residues in the order of the file: a chain ends where its name changes, where numbers go
    back, after the sites `ends`, and, with `gaps`, where two residues are too far apart to be
    bonded. Where there are several, each has a letter of its own: programs that read a PDB tell
    chains apart by it, and join all that share one.

    Args:
        frames: with a site on each C-alpha atom and no other.
        gaps: let a chain that lacks residues become two.
        rename: {name in the file: name it is restored as}.
        ends: sites that are the last of their chain.

    Raises:
        ValueError: other sites; unknown residues; C-alpha atoms too near or too far; fewer than
            three residues in a chain.
    """
    _check_sites(frames.system)
    residues = _residues(frames.system, dict(rename or {}))
    chains = [TraceChain([residues[0]], [0])]
    near, far = _steps(frames)
    _check_unit(near)
    for k in range(1, len(residues)):
        here, before = residues[k], residues[k - 1]
        over = here.chain != before.chain or here.number < before.number or k - 1 in ends
        if not over:
            _check_step(before, here, near[k - 1], far[k - 1], gaps)
            over = far[k - 1] > FARTHEST
        if over:
            chains.append(TraceChain([], []))
        chains[-1].residues.append(here)
        chains[-1].sites.append(k)
    _check_lengths(chains)
    return _lettered(chains)


def _lettered(chains: Sequence[TraceChain]) -> list[TraceChain]:
    """The same chains, each with its own letter where there are several: the first with a letter
    keeps it.
    """
    if len(chains) < 2:
        return list(chains)
    taken = {chain.letter for chain in chains if chain.letter}
    # two letters where one is not enough: their PDB still has a TER after each
    more = iter([a for a in _LETTERS] + [a + b for a in _LETTERS for b in _LETTERS])
    kept: set[str] = set()
    found = []
    for chain in chains:
        letter = chain.letter
        if not letter or letter in kept:
            letter = next(a for a in more if a not in taken)
        kept.add(letter)
        found.append(replace(chain, residues=[replace(r, chain=letter) for r in chain.residues]))
    return found


def _check_sites(system: System) -> None:
    wrong = [k for k in range(system.n_sites) if not is_alpha_carbon(system, k)]
    labels = system.full_labels
    if wrong:
        some = ", ".join(labels[k] for k in wrong[:_NAMED])
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        held = len(wrong) < system.n_sites
        # calcium ions are called so too
        others = sorted({system.residue_names[k] for k in wrong if system.names[k] == "CA"})
        without = f" and not resname {' '.join(others)}" if others else ""
        raise ValueError(
            f"expected a site called CA on the C-alpha atom of each residue, found {some}{more} "
            "beside: "
            + (
                f"read the file with selection='name CA{without}', which takes the C-alpha atoms "
                "alone"
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


def _check_unit(near: NDArray[np.float64]) -> None:
    """ValueError where most neighbours are apart as if the unit of length were another."""
    typical = float(np.median(near)) / _STEP if len(near) else 1.0
    for unit, factor in _UNITS:
        if abs(np.log(typical / factor)) < _ALIKE_UNITS:
            raise ValueError(
                f"expected C-alpha atoms of neighbours {_STEP} nm apart, found "
                f"{typical * _STEP:.3g} nm for most: look at the unit of length; {unit}"
            )


def _check_step(
    before: SequenceResidue, here: SequenceResidue, near: float, far: float, gaps: bool
) -> None:
    pair = f"{before.label} and {here.label}"
    if near < NEAREST:
        raise ValueError(
            f"expected C-alpha atoms of neighbours 0.38 nm apart (0.29 nm across a cis peptide "
            f"bond), found {near:.3g} nm between {pair}: look for an atom or a residue that is "
            "there twice, and for two at one place"
        )
    if far > FARTHEST and not gaps:
        missing = here.number - before.number - 1
        why = (
            f"{missing} residues are missing between them"
            if missing > 0
            else f"the chain is broken there, or another begins (ends={before.label} says so)"
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
