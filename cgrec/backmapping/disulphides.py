"""`disulphides`: which cysteines of a C-alpha trace are bonded, as the user and the file say."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from ..cell import minimum_image
from ..frames import Frames
from ..remarks import remark
from ..system import System
from .sequence import SequenceResidue

#: Names of a cysteine in a bridge, as Amber, GROMOS and GROMACS give them.
BRIDGED = ("CYX", "CYS2", "CYSS")
#: Those that can be in one. CYM is a thiolate; a bridge of it has to be asked for.
_CYSTEINES = ("CYS", "CYM", *BRIDGED)
#: nm between the C-alpha atoms of a bridge: 0.44 to 0.68 in known ones (M. Petersen, P. Jonson, S.
#: Petersen, Protein Eng. 12, 535 (1999)).
NEAREST, FARTHEST = 0.40, 0.70
#: Residues named in a message.
_NAMED = 6


def disulphides(
    frames: Frames, residues: Sequence[SequenceResidue], named: Sequence[tuple[str, str]] = ()
) -> list[tuple[int, int]]:
    """Pairs of sites. Those of `named`, and cysteines whose name says that they are in a bridge
    (CYX), where the trace leaves no doubt which belong together.

    A remark tells pairs that were found so, and cysteines near enough for a bridge that nothing
    speaks of.

    Args:
        frames: of C-alpha atoms.
        residues: of the sites, in their order, by the names they are restored as.
        named: pairs of labels, see `residue_site`.

    Raises:
        ValueError: a pair of `named` that is none of cysteines, or a cysteine in two; a cysteine
            that is in a bridge by its name, and no other or several to bond it to.
    """
    pairs = _named(frames.system, residues, named)
    labels = residue_labels(frames.system)
    told = {k for pair in pairs for k in pair}
    close = _close(frames, [k for k, r in enumerate(residues) if r.name in _CYSTEINES])
    bare = [k for k, r in enumerate(residues) if r.name in BRIDGED and k not in told]
    found, left = _forced(bare, close)
    if left:
        raise ValueError(_no_partner(residues, labels, left, close, told))
    if found:
        remark(
            f"backmap: disulphide bonds {_listed(found, labels)}: the names of these cysteines say "
            "that they are in a bridge, and their C-alpha atoms which belong together"
        )
    told |= set(bare)
    free = [k for k, r in enumerate(residues) if r.name == "CYS" and k not in told]
    idle = _nearest_first(frames, free, close)
    if idle:
        remark(
            "backmap: cysteines near enough for a disulphide bond are restored without it: "
            f"bridges={_listed(idle, labels)} makes it"
        )
    return sorted(pairs + found)


def residue_site(system: System, label: str) -> int:
    """The C-alpha atom of the residue called `label`: CYS3, A:CYS3, or #2, its index.

    Raises:
        SiteError: (a KeyError) none or several are called so.
    """
    return system.site(label if label.startswith("#") else f"{label}:CA")


def residue_labels(system: System) -> list[str]:
    """What `residue_site` takes for each site."""
    full = [label.removesuffix(":CA") for label in system.full_labels]
    return [name if full.count(name) == 1 else f"#{k}" for k, name in enumerate(full)]


def _named(
    system: System, residues: Sequence[SequenceResidue], named: Sequence[tuple[str, str]]
) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for pair in named:
        sites = [residue_site(system, label) for label in pair]
        wrong = [label for label, k in zip(pair, sites) if residues[k].name not in _CYSTEINES]
        if wrong:
            raise ValueError(f"backmap: expected bridges= between cysteines, found {wrong[0]}")
        found.append((min(sites), max(sites)))
    ends = [k for pair in found for k in pair]
    twice = [k for k in ends if ends.count(k) > 1]
    if twice:
        raise ValueError(
            "backmap: expected bridges= with each cysteine once, found "
            f"{residue_labels(system)[twice[0]]} twice"
        )
    return found


def _close(frames: Frames, some: Sequence[int]) -> NDArray[np.bool_]:
    """(n_sites, n_sites) whether two of `some` are as far apart as in a bridge, in every frame."""
    close = np.zeros((frames.n_sites, frames.n_sites), bool)
    block, boxes = np.ones((len(some), len(some)), bool), frames.boxes()
    for t in range(len(frames)):
        x = np.asarray(frames.positions[t], float)[list(some)]
        apart = (x[:, None] - x).reshape(-1, 3)
        if boxes is not None:
            apart = minimum_image(apart, np.asarray(boxes[t], float))
        d = np.linalg.norm(apart, axis=-1).reshape(block.shape)
        block &= (d > NEAREST) & (d < FARTHEST)
    close[np.ix_(some, some)] = block
    return close


def _forced(
    bare: Sequence[int], close: NDArray[np.bool_]
) -> tuple[list[tuple[int, int]], list[int]]:
    """Pairs of those that have one possible partner, which may leave others with one; and who is
    left.
    """
    found: list[tuple[int, int]] = []
    left = list(bare)
    while True:
        near = {k: [j for j in left if close[k, j]] for k in left}
        sure = next((k for k in left if len(near[k]) == 1), None)
        if sure is None:
            return found, left
        pair = (sure, near[sure][0])
        found.append((min(pair), max(pair)))
        left = [k for k in left if k not in pair]


def _no_partner(
    residues: Sequence[SequenceResidue],
    labels: Sequence[str],
    left: Sequence[int],
    close: NDArray[np.bool_],
    told: Collection[int],
) -> str:
    """Why the sites `left` cannot be paired."""
    k = left[0]
    near = [j for j in np.flatnonzero(close[k]).tolist() if j not in told]
    others = ", ".join(labels[j] for j in near[:_NAMED])
    why = (
        f"{labels[k]} has several others at the distance of a bridge ({others})"
        if len(near) > 1
        else f"{labels[k]} has {others or 'no cysteine'} at the distance of a bridge, and that "
        "is not in one by its name"
        if near
        else f"{labels[k]} has no cysteine at the distance of a bridge"
    )
    partner = near[0] if near else next((j for j in left if j != k), None)
    example = f"{labels[k]}-{labels[partner] if partner is not None else 'CYS40'}"
    kinds = ",".join(sorted({f"{residues[j].name}:CYS" for j in left}))
    return (
        f"backmap: expected a disulphide bond of {', '.join(labels[j] for j in left[:_NAMED])}, "
        f"whose names say so (C-alpha atoms {NEAREST:.2f} to {FARTHEST:.2f} nm apart in every "
        f"frame); {why}: name the pairs (bridges={example}), or restore them with hydrogen in "
        f"place of the bond (rename={kinds})"
    )


def _nearest_first(
    frames: Frames, free: Sequence[int], close: NDArray[np.bool_]
) -> list[tuple[int, int]]:
    """Pairs of `free` sites that are close, nearest first, each site once."""
    x = np.asarray(frames.positions[0], float)
    pairs = [(i, j) for i in free for j in free if i < j and close[i, j]]
    found: list[tuple[int, int]] = []
    for pair in sorted(pairs, key=lambda p: float(np.linalg.norm(x[p[0]] - x[p[1]]))):
        if not {k for other in found for k in other} & set(pair):
            found.append(pair)
    return sorted(found)


def _listed(pairs: Sequence[tuple[int, int]], labels: Sequence[str]) -> str:
    return ",".join(f"{labels[i]}-{labels[j]}" for i, j in pairs)
