"""The start of a run as a data file of LAMMPS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ...frames import Frames
from .names import row
from .terms import ANGSTROM, BondedTerms


def data_file(
    frames: Frames,
    kinds: list[tuple[str, float]],
    site_kinds: NDArray[np.int64],
    terms: BondedTerms,
    reach: float,
    charges: Mapping[str, float],
) -> str:
    """Atoms with molecules and types (`site_kinds` from 1), with charges in e by type where there
    are any, and LAMMPS' own bonded terms; `reach` is the room in Angstrom around an open system.
    """
    positions = np.asarray(frames.positions[-1], float) * ANGSTROM
    counts = [f"{frames.n_sites} atoms", f"{len(kinds)} atom types"]
    sections = ["Masses\n", *(f"{k} {m!r}  # {t}" for k, (t, m) in enumerate(kinds, 1))]
    sections += [f"\nAtoms  # {'full' if charges else 'molecular'}\n"]
    carried = [f" {charges[t]!r}" if charges else "" for t in frames.system.types]
    sections += [
        f"{s} {molecule + 1} {kind}{charge} {row(x)}"
        for s, (molecule, kind, charge, x) in enumerate(
            zip(frames.system.molecules, site_kinds, carried, positions), 1
        )
    ]
    for kind, sites in terms.sites.items():
        if not sites:
            continue
        types = terms.types(kind)
        counts += [f"{len(sites)} {kind}s", f"{len(types)} {kind} types"]
        sections += [f"\n{kind.capitalize()}s\n"]
        sections += [
            f"{n} {types.index(line) + 1} {' '.join(str(s + 1) for s in term)}"
            for n, (term, line) in enumerate(zip(sites, terms.lines[kind]), 1)
        ]
    return "\n".join(
        [
            "cgrec: units real, lengths in Angstrom\n",
            *counts,
            "",
            *_bounds(frames, positions, reach),
            "",
            *sections,
            "",
        ]
    )


def _bounds(frames: Frames, positions: NDArray[np.floating], reach: float) -> list[str]:
    boxes = frames.boxes()
    if boxes is None:
        # Room on all sides: LAMMPS grows an open box, and cannot bin one that is small beside the
        # cutoff.
        low, high = positions.min(0) - reach, positions.max(0) + reach
        return [
            f"{a!r} {b!r} {axis}lo {axis}hi"
            for a, b, axis in zip(low.tolist(), high.tolist(), "xyz")
        ]
    box = np.asarray(boxes[-1], float) * ANGSTROM
    if np.abs(np.triu(box, 1)).max() > 1e-9 or np.diag(box).min() <= 0:
        raise ValueError(
            "LAMMPS export: expected a box with its first vector along x and its second in "
            f"the xy plane, found {(box / ANGSTROM).tolist()} nm; "
            "rotate the frames"
        )
    lines = [
        f"0 {length!r} {axis}lo {axis}hi" for length, axis in zip(np.diag(box).tolist(), "xyz")
    ]
    tilt = row(np.array([box[1, 0], box[2, 0], box[2, 1]]))
    return lines if np.abs(np.tril(box, -1)).max() < 1e-9 else [*lines, f"{tilt} xy xz yz"]


def extent_of(frames: Frames, terms: Iterable[Sequence[Sequence[int]]]) -> float:
    """Longest distance in nm between two sites of one bonded term."""
    x = np.asarray(frames.positions[-1], float)
    groups = [x[np.array(term)] for sites in terms for term in sites]
    return max((float(np.linalg.norm(g[:, None] - g, axis=-1).max()) for g in groups), default=0.0)
