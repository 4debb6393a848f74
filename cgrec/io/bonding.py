"""Bonds that a sample of frames shows, whatever single frames do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..cell import minimum_image
from ..system import System
from .periodic import close_pairs
from .topology import _UNBONDED, CLOSEST_ATOMS, covalent_radii
from .universe import open_universe

#: Two atoms are bonded where they are closer than this times the sum of their covalent radii.
_REACH = 1.25
#: A bond shown elsewhere that is longer than this here, in most frames, is none.
_LONGEST = 1.5
#: A ratio that no two atoms have; the share of sites that have a bond in a sample of atoms (ions
#: have none).
_NEAREST, _BONDED = 0.6, 0.9
#: Frames and sites looked at; the majority of a few frames tells a bond as well as that of many.
_FRAMES, _SITES = 25, 3_000_000


def add_sampled_bonds(
    system: System, positions: NDArray[np.floating], box: NDArray[np.floating] | None
) -> System:
    """`system` with the bonds that most of the frames show and its list lacks.

    Two atoms are bonded when their median distance is less than 1.25 times the sum of their
    covalent radii (Cordero et al., Dalton Trans. 2008, 2832): one frame in which a bond is
    stretched or two molecules touch changes nothing. A hydrogen keeps its nearest partner only;
    metals, noble gases and beads get no bonds.

    Args:
        positions: (n_frames, n_sites, 3) nm, a sample over the whole trajectory.
        box: (3, 3) or (n_frames, 3, 3) nm, or None.
    """
    able = np.flatnonzero([e not in _UNBONDED for e in system.elements])
    if len(able) < 2:
        return system
    n = min(_FRAMES, len(positions), max(3, _SITES // len(able)))
    chosen = np.unique(np.linspace(0, len(positions) - 1, n).astype(int))
    seen: Counter[tuple[int, int]] = Counter()
    total: dict[tuple[int, int], float] = {}
    n_used = 0
    for t in chosen:
        found = _pairs_of_frame(
            system, able, positions[t], box[t] if box is not None and box.ndim == 3 else box
        )
        if found is None:
            continue
        n_used += 1
        for i, j, length in zip(*found):
            seen[i, j] += 1
            total[i, j] = total.get((i, j), 0.0) + length
    if n_used <= len(chosen) // 2:
        return system  # atoms this close are a wrong unit of length, which `read` reports
    lengths = {pair: total[pair] / k for pair, k in seen.items() if 2 * k > n_used}
    return _with_bonds(system, lengths)


def at_bonds_of_atoms(
    elements: Sequence[str], positions: NDArray[np.floating], box: NDArray[np.floating] | None
) -> bool:
    """Whether sites that may be these elements have neighbours at the distances of covalent bonds.

    Bonds of atoms are 0.07 to 0.25 nm long, beads lie 0.3 to 0.5 nm apart. Nine in ten sites must
    have a partner between 0.6 and 1.25 times the sum of covalent radii, and none may have a nearer
    one.

    Args:
        elements: symbols, none "X".
        positions, box: as in `add_sampled_bonds`.
    """
    radii = covalent_radii(elements)
    shares = []
    for t in np.unique(
        np.linspace(0, len(positions) - 1, min(_FRAMES, len(positions))).astype(int)
    ):
        own = box[t] if box is not None and box.ndim == 3 else box
        pairs, vectors = close_pairs(positions[t], _REACH * 2 * radii.max(), own)
        ratio = np.linalg.norm(vectors, axis=-1) / radii[pairs].sum(1)
        bonded = np.zeros(len(elements), bool)
        bonded[pairs[ratio < _REACH]] = True
        shares.append(0.0 if (ratio < _NEAREST).any() else bonded.mean())
    return float(np.median(shares)) >= _BONDED


def _pairs_of_frame(
    system: System,
    able: NDArray[np.int64],
    positions: NDArray[np.floating],
    box: NDArray[np.floating] | None,
) -> tuple[list[int], list[int], list[float]] | None:
    """Pairs within reach of a bond and their lengths; None for a frame in which atoms coincide."""
    radii = covalent_radii(system.elements)
    if not np.isfinite(positions).all():
        return None
    pairs, vectors = close_pairs(positions[able], _REACH * 2 * radii[able].max(), box)
    pairs, lengths = np.sort(able[pairs], axis=1), np.linalg.norm(vectors, axis=-1)
    if (lengths < CLOSEST_ATOMS).any():
        return None
    near = lengths < _REACH * radii[pairs].sum(1)
    return pairs[near, 0].tolist(), pairs[near, 1].tolist(), lengths[near].tolist()


def _with_bonds(system: System, lengths: dict[tuple[int, int], float]) -> System:
    """Bonds of the nearest pairs first, so that every hydrogen has one."""
    known = {(min(b), max(b)) for b in system.bonds.tolist()}
    taken = {i for b in known for i in b if system.elements[i] == "H"}
    new = set()
    for pair in sorted(lengths, key=lambda p: lengths[p]):
        hydrogens = {k for k in pair if system.elements[k] == "H"}
        if pair not in known and not hydrogens & taken:
            taken |= hydrogens
            new.add(pair)
    if not new:
        return system
    return replace(system, bonds=np.array(sorted(known | new), np.int64).reshape(-1, 2))


def check_order(
    system: System,
    topology: Path,
    positions: NDArray[np.floating],
    box: NDArray[np.floating] | None,
    where: str,
) -> None:
    """ValueError where a structure file shows bonds that the frames do not: its atoms stand in
    another order.

    Args:
        system: of the file, with the bonds it lists.
        topology: a file with coordinates of its own, such as PDB or GRO; others tell nothing here.
        positions, box: as in `add_sampled_bonds`.
    """
    structure = _structure(topology, system.n_sites)
    if structure is None:
        return
    shown = add_sampled_bonds(system, *structure).bonds
    if not len(shown):
        return
    radii = covalent_radii(system.elements)
    vectors = positions[:, shown[:, 1]].astype(float) - positions[:, shown[:, 0]]
    lengths = np.linalg.norm(
        minimum_image(vectors, None if box is None else np.asarray(box, float)), axis=-1
    )
    wrong = lengths > _LONGEST * radii[shown].sum(1)
    impossible = np.flatnonzero(wrong.mean(0) > 0.5)
    if not len(impossible):
        return
    worst = int(impossible[np.argmax(np.median(lengths[:, impossible], axis=0))])
    frame = int(np.flatnonzero(wrong[:, worst])[0])
    i, j = shown[worst].tolist()
    raise ValueError(
        f"{where}: {len(impossible)} of {len(shown)} bonds that {topology} shows cannot be "
        "here, such as "
        f"{system.labels[i]} (site {i}) - {system.labels[j]} (site {j}), "
        f"{lengths[frame, worst]:.3g} nm long "
        f"in {'the first frame' if frame == 0 else 'a later frame'}: atoms of trajectory and "
        "topology are in "
        "another order; give the topology this trajectory was written with"
    )


def _structure(
    topology: Path, n_sites: int
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None] | None:
    """Coordinates (1, n_sites, 3) nm of a structure file, and its box (3, 3); None where it has
    none.
    """
    from MDAnalysis.lib.mdamath import triclinic_vectors

    if topology.suffix.lower() not in (".pdb", ".gro"):
        return None
    atoms = open_universe(topology).atoms
    if len(atoms) != n_sites:
        return None
    sides = atoms.dimensions
    # 1 x 1 x 1 means none in a PDB
    sized = sides is not None and bool(np.all(np.asarray(sides)[:3] > 1.5))
    box = np.array(triclinic_vectors(sides), float) / 10 if sized else None
    return np.asarray(atoms.positions, float)[None] / 10, box
