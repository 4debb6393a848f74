"""Residues of a chain, the pieces each is put together from, and what was seen of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..frames import Frames
from ..io.amino_acids import canonical
from ..mapping import alpha_carbons
from .base import Model
from .coordinates import axes_of
from .split import Unit, units_of

#: C-alpha atoms a residue sees: from two before it to three after it.
_TRACE = {"-2CA": -2, "-CA": -1, "CA": 0, "+CA": 1, "+2CA": 2, "+3CA": 3}
_BACKBONE = ("N", "CA", "C", "O")
#: Names of the PDB, CHARMM and GROMACS for atoms of the backbone and its ends, as Amber calls them.
_ATOMS = {
    "HN": "H",
    "H1": "H",
    "HT1": "H",
    "HT2": "H2",
    "HT3": "H3",
    "OT1": "O",
    "OC1": "O",
    "O1": "O",
    "OT2": "OXT",
    "OC2": "OXT",
    "O2": "OXT",
}


class Residue(NamedTuple):
    """One site of a unit: name, its atoms {name: index in the unit}, and the sites before and after
    it in the chain (-1: none).
    """

    name: str
    atoms: dict[str, int]
    before: int
    after: int


class Piece(NamedTuple):
    """Atoms placed together: names, three points of their frame, points they are chosen by, and
    whether only the same residue will do.
    """

    atoms: tuple[str, ...]
    frame: tuple[str, str, str]
    around: tuple[str, ...]
    own: bool = False


def residue_points(proteins: Sequence[Frames], most: int = 2000) -> dict[str, Model]:
    """{residue name: {names, points (n, n_names, 3) nm from CA, NaN where a point is not there}} of
    all residues of `proteins`.

    Args:
        proteins: frames, molecules whole.
        most: seen residues of a kind to keep.
    """
    seen: dict[str, list[dict[str, Tensor]]] = {}
    for frames in proteins:
        x = torch.tensor(np.asarray(frames.positions[:: max(1, -(-len(frames) // most))], float))
        for unit in units_of(alpha_carbons(frames.system)):
            chain, atoms = residues_of(unit), x[:, unit.atoms].flatten(0, 1)
            for k, residue in enumerate(chain):
                seen.setdefault(residue.name, []).append(points_of(chain, k, atoms))
    return {name: _gathered(some, most) for name, some in seen.items()}


def residues_of(unit: Unit) -> list[Residue]:
    """One Residue for each site of `unit`.

    Raises:
        ValueError: a site that is not on the CA atom of one residue with N, C and O, or a chain of
            fewer than three.
    """
    found = []
    inside = [np.flatnonzero(unit.owner == k).tolist() for k in range(unit.coarse.n_sites)]
    table = [
        {_ATOMS.get(unit.fine.names[i], unit.fine.names[i]): i for i in atoms} for atoms in inside
    ]
    bonds = {*map(tuple, unit.fine.bonds.tolist()), *map(tuple, unit.fine.bonds[:, ::-1].tolist())}
    starts = {atoms.get("N", -1): k for k, atoms in enumerate(table)}
    ends = {atoms.get("C", -1): k for k, atoms in enumerate(table)}
    after = {
        ends[i]: starts[j] for i, j in bonds if i in ends and j in starts and ends[i] != starts[j]
    }
    before = {j: i for i, j in after.items()}
    for k, (atoms, names) in enumerate(zip(inside, table)):
        one = len({int(unit.fine.residues[i]) for i in atoms}) == 1 and len(names) == len(atoms)
        on = np.flatnonzero(unit.weights[k]).tolist()
        name = unit.fine.residue_names[on[0]]
        if not one or on != [names.get("CA")] or not {*_BACKBONE} <= {*names}:
            raise ValueError(
                f"site {k} ({unit.coarse.labels[k]}): expected the CA atom of one residue with "
                "N, CA, C and O, found weights on "
                f"{', '.join(unit.fine.labels[i] for i in on)} and atoms {', '.join(names)}: "
                "use alpha_carbons and PDB names"
            )
        found.append(Residue(canonical(name), names, before.get(k, -1), after.get(k, -1)))
    for k, r in enumerate(found):
        alone = r.before < 0 and (r.after < 0 or found[r.after].after < 0)
        if alone or (r.after < 0 and found[r.before].before < 0):
            raise ValueError(
                f"residue {k} ({r.name}): expected a chain of three residues at least, found "
                "fewer: a shorter trace does not "
                "say how its peptide groups are turned"
            )
    return found


def pieces_of(chain: list[Residue], k: int) -> list[Piece]:
    """What residue k is put together from, in an order in which frames come first."""
    r, names, known = chain[k], set(chain[k].atoms), _trace(chain, k)
    trace = tuple(_TRACE)
    pieces = []
    if r.before < 0:
        pieces.append(Piece(("C", "O", "+N"), ("CA", "+CA", "+2CA"), trace))
        pieces.append(Piece(("N",), ("CA", "C", "+CA"), ("O", *trace)))
    elif r.after < 0:
        pieces.append(Piece(("C", "O"), ("CA", "N", "-CA"), ("-C", *trace)))
    else:
        pieces.append(
            Piece(
                ("C", "O", "+N"),
                ("CA", "+CA", "across" if "+2CA" in known else "-CA"),
                ("N", *trace),
            )
        )
    hydrogens = tuple(sorted(n for n in names if n in ("H", "H1", "H2", "H3")))
    if hydrogens:
        third = "C" if r.before < 0 else "-C"
        pieces.append(
            Piece(hydrogens, ("N", "CA", third), (), own="CD" in names and r.name == "PRO")
        )
    if "OXT" in names:
        pieces.append(Piece(("OXT",), ("C", "CA", "O"), ()))
    rest = tuple(sorted(names - {*_BACKBONE, *hydrogens, "OXT"}))
    if rest:
        pieces.append(Piece(rest, ("CA", "N", "C"), ("O", "-C", *trace), own=True))
    return pieces


def neighbours_of(chain: list[Residue], k: int) -> dict[str, int]:
    """Indices of C of the residue before and of N of the one after, where there are such."""
    r = chain[k]
    found = {"-C": chain[r.before].atoms["C"]} if r.before >= 0 else {}
    return found | ({"+N": chain[r.after].atoms["N"]} if r.after >= 0 else {})


def _trace(chain: list[Residue], k: int) -> dict[str, int]:
    """{name: site} of the C-alpha atoms around residue k that are there."""
    found = {0: k}
    for offset in (-1, -2):
        found[offset] = chain[found[offset + 1]].before if found[offset + 1] >= 0 else -1
    for offset in (1, 2, 3):
        found[offset] = chain[found[offset - 1]].after if found[offset - 1] >= 0 else -1
    return {name: found[offset] for name, offset in _TRACE.items() if found[offset] >= 0}


def points_of(chain: list[Residue], k: int, atoms: Tensor) -> dict[str, Tensor]:
    """{name: (n, 3) nm} of all that residue k can refer to; "across" lies from CA as +2CA does from
    -CA.
    """
    trace = {name: chain[site].atoms["CA"] for name, site in _trace(chain, k).items()}
    index = {**chain[k].atoms, **neighbours_of(chain, k), **trace}
    points = {name: atoms[:, i] for name, i in index.items()}
    if {"-CA", "+2CA"} <= {*points}:
        points["across"] = points["CA"] + points["+2CA"] - points["-CA"]
    return points


def _gathered(some: list[dict[str, Tensor]], most: int) -> Model:
    """{names, points (n, n_names, 3) nm from CA, NaN where a point is not there} of residues of one
    kind.
    """
    names = sorted(set().union(*some))
    filled = [
        torch.stack([s.get(n, torch.full_like(s["CA"], torch.nan)) - s["CA"] for n in names], 1)
        for s in some
    ]
    points = torch.cat(filled)
    return {"names": names, "points": points[:: max(1, -(-len(points) // most))].clone()}


def cut_out(model: Model, piece: Piece) -> tuple[Tensor, Tensor]:
    points = dict(zip(model["names"], model["points"].unbind(1)))
    whole = ~torch.stack([points[n] for n in (*piece.atoms, *piece.frame)], 1).isnan().any(-1).any(
        -1
    )
    points = {name: p[whole] for name, p in points.items()}
    axes = axes_at(points, piece.frame)
    missing = torch.full_like(points["CA"], torch.nan)
    around = local_points(
        points | {n: missing for n in piece.around if n not in points},
        piece.frame,
        axes,
        piece.around,
    )
    return local_points(points, piece.frame, axes, piece.atoms), around.nan_to_num(0.0)


def axes_at(points: dict[str, Tensor], frame: Sequence[str]) -> Tensor:
    """(n, 3, 3), axes in columns."""
    return torch.stack(axes_of(*(points[name] for name in frame)), -1)


def local_points(
    points: dict[str, Tensor], frame: Sequence[str], axes: Tensor, names: Sequence[str]
) -> Tensor:
    """(n, n_names, 3) nm of points in a frame."""
    if not names:
        return axes.new_zeros(len(axes), 0, 3)
    return (torch.stack([points[n] for n in names], 1) - points[frame[0]][:, None]) @ axes
