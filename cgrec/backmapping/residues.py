"""A protein from its C-alpha trace: pieces of residues seen in other proteins, put where the trace looks alike.

What is learned belongs to a kind of residue, not to a molecule, so one library serves any sequence. A residue is put
together from pieces, each rigid and cut from one seen residue, so bonds, angles and handedness within a piece are right
from the start: the peptide group between two C-alpha (one piece, so that it is planar and its bond is whole), the side
chain, and what the ends have of their own. A piece is chosen by where the points around it lie in its own frame of
three points: scalars with a sign, which turn with the molecule and tell left from right. Angles between pieces are
right on average only; minimise in u of `Split` where energies are wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..frames import Frames
from ..mapping import Mapping, alpha_carbons
from .base import Backmapper
from .coordinates import axes_of
from .scaled import Scaled
from .split import Unit, units_of

#: C-alpha atoms a residue sees: from two before it to three after it.
_TRACE = {"-2CA": -2, "-CA": -1, "CA": 0, "+CA": 1, "+2CA": 2, "+3CA": 3}
_BACKBONE = ("N", "CA", "C", "O")
#: How much a point counts when surroundings are compared, where that is not 1: what is far matters less, what the piece is bonded to more.
_WEIGHTS = {"-2CA": 0.3, "+3CA": 0.3, "N": 2.0}


class Residue(NamedTuple):
    """One site of a unit: name, its atoms {name: index in the unit}, and the sites before and after it in the chain (-1: none)."""

    name: str
    atoms: dict[str, int]
    before: int
    after: int


class Piece(NamedTuple):
    """Atoms placed together: names, three points of their frame, points they are chosen by, and whether only the same residue will do."""

    atoms: tuple[str, ...]
    frame: tuple[str, str, str]
    around: tuple[str, ...]
    own: bool = False


class ResidueLibrary(Backmapper):
    """Each piece from one of the `nearest` seen ones, more likely the more its surroundings are alike.

    With the distance d of the points around it (root of the weighted sum of squares, nm) its weight is exp(-d^2 / 2 width^2).
    Choosing a peptide group by the C-alpha atoms around it goes back to M. Milik, A. Kolinski, J. Skolnick, J. Comput.
    Chem. 18, 80 (1997). Residue and atom names are those of the PDB, and what was seen has to have them all.

    Options of `fit`:
        nearest: how many to draw from.
        width: nm.
        most: seen residues of a kind to keep.

    Raises:
        ValueError: a residue, or a terminal form of it, that was never seen; sites other than the C-alpha atoms.
    """

    # Pieces take the place of free coordinates, so `fit` and `_some` are replaced and these two are never asked.
    @classmethod
    def _learn(cls, unit: Unit, scaled: Scaled, sites: Tensor, y: Tensor, options: Any) -> dict[str, Any]:
        raise NotImplementedError

    def _draw(self, unit: Unit, scaled: Scaled, sites: Tensor, generator: torch.Generator, density: bool) -> tuple[Tensor, None]:  # fmt: skip
        raise NotImplementedError

    @classmethod
    def fit(
        cls, fine: Frames | Sequence[Frames], mapping: Mapping, nearest: int = 10, width: float = 0.07, most: int = 2000, **options: Any
    ) -> Any:  # fmt: skip
        """Learn from proteins how a trace is filled in.

        Args:
            fine: frames of one protein or of several, molecules whole.
            mapping: of the protein to restore, which may be another; `alpha_carbons` makes it.
            nearest, width, most: see the class.

        Raises:
            ValueError: proteins that cannot be divided into residues; see the class.
        """
        if options:
            raise ValueError(f"{cls.__name__}: expected the options nearest, width and most, found {sorted(options)}")  # fmt: skip
        seen: dict[str, list[dict[str, Tensor]]] = {}
        for frames in [fine] if isinstance(fine, Frames) else fine:
            x = torch.tensor(np.asarray(frames.positions[:: max(1, -(-len(frames) // most))], float))
            for unit in units_of(alpha_carbons(frames.system)):
                chain, atoms = residues_of(unit), x[:, unit.atoms].flatten(0, 1)
                for k, residue in enumerate(chain):
                    seen.setdefault(residue.name, []).append(_points(chain, k, atoms))
        options = {"nearest": nearest, "width": width}
        return cls(mapping, {name: _gathered(some, most) | options for name, some in seen.items()})

    def _need_known(self) -> None:
        for unit in self.split.units:
            chain = residues_of(unit)
            for k, residue in enumerate(chain):
                if residue.name not in self.models:
                    raise ValueError(
                        f"{type(self).__name__}: expected residues among {', '.join(sorted(self.models))}, found {residue.name} "
                        f"(residue {k}): fit it to proteins that hold one"
                    )
                for piece in _pieces(chain, k):
                    if not len(self._pool(residue.name, piece)[0]):
                        raise ValueError(
                            f"{type(self).__name__}: expected {residue.name} with atoms {', '.join(piece.atoms)} among what it was "
                            f"fitted to, found none for residue {k}: fit it to proteins that hold one, with the same names of atoms"
                        )

    def _some(
        self, unit: Unit, sites: Tensor, generator: torch.Generator, density: bool
    ) -> tuple[Tensor, None]:
        chain = residues_of(unit)
        atoms = sites.new_full((len(sites), len(unit.owner), 3), torch.nan)
        atoms[:, [r.atoms["CA"] for r in chain]] = sites
        steps = [(k, piece) for k in range(len(chain)) for piece in _pieces(chain, k)]
        for k, piece in sorted(steps, key=lambda s: s[1].frame[0] != "CA" or s[1].own):  # backbone first
            self._place(chain, k, piece, atoms, generator)
        return atoms, None

    def redraw(self, fine: Frames, which: np.ndarray, generator: torch.Generator | None = None) -> Frames:
        """`fine` with other side chains on the same backbone.

        Args:
            fine: frames of `mapping.fine`, whole.
            which: (n_frames, n_sites) bool, the residues to draw again.
            generator: by default one seeded with 0.
        """
        generator = generator or torch.Generator().manual_seed(0)
        x, again = torch.tensor(np.asarray(fine.positions, float)), torch.as_tensor(which)
        for unit in self.split.units:
            chain, atoms = residues_of(unit), x[:, unit.atoms].flatten(0, 1)
            for k in range(len(chain)):
                rows = again[:, unit.sites[:, k]].flatten().nonzero()[:, 0]
                for piece in (p for p in _pieces(chain, k) if p.own and len(rows)):
                    some = atoms[rows]
                    self._place(chain, k, piece, some, generator)
                    atoms[rows] = some
            x[:, unit.atoms] = atoms.unflatten(0, (len(x), -1))
        return replace(fine, positions=x.numpy())

    def _place(self, chain: list[Residue], k: int, piece: Piece, atoms: Tensor, generator: torch.Generator) -> None:  # fmt: skip
        """Write the atoms of `piece` at residue k into atoms (n, n_atoms, 3)."""
        parts, around = self._pool(chain[k].name, piece)
        points = _points(chain, k, atoms)
        axes = _axes(points, piece.frame)
        known = [
            i for i, name in enumerate(piece.around) if name in points and not points[name].isnan().any()
        ]
        here = _local(points, piece.frame, axes, [piece.around[i] for i in known])
        weights = torch.tensor([_WEIGHTS.get(piece.around[i], 1.0) for i in known])[:, None].double()
        squares = torch.cdist((weights * here).flatten(1), (weights * around[:, known]).flatten(1)).square()
        model = self.models[chain[k].name]
        squares, near = squares.topk(min(model["nearest"], len(parts)), largest=False)
        likely = torch.softmax(-squares / (2 * model["width"] ** 2), 1)
        chosen = parts[near.gather(1, self._choice(parts[near], likely, generator)[:, None])[:, 0]]
        places = points[piece.frame[0]][:, None] + chosen @ axes.transpose(1, 2)
        index = {**chain[k].atoms, **_neighbours(chain, k)}
        atoms[:, [index[name] for name in piece.atoms]] = places

    def _choice(self, parts: Tensor, likely: Tensor, generator: torch.Generator) -> Tensor:
        """(n,) which of parts (n, nearest, n_atoms, 3) to take, given their weights (n, nearest)."""
        return torch.multinomial(likely, 1, generator=generator)[:, 0]

    @cached_property
    def _pools(self) -> dict[Any, tuple[Tensor, Tensor]]:
        return {}

    def _pool(self, name: str, piece: Piece) -> tuple[Tensor, Tensor]:
        """Seen atoms (n, n_atoms, 3) and points around them (n, n_around, 3) in the frame of `piece`; 0 for points not there."""
        key = (name if piece.own else "", piece)
        if key not in self._pools:
            found = [
                _cut(model, piece)
                for kind, model in self.models.items()
                if (kind == name or not piece.own) and {*piece.atoms, *piece.frame} <= {*model["names"]}
            ]
            empty = (
                torch.zeros(0, len(piece.atoms), 3).double(),
                torch.zeros(0, len(piece.around), 3).double(),
            )
            self._pools[key] = tuple(torch.cat(parts) for parts in zip(empty, *found))  # type: ignore[assignment]
        return self._pools[key]


class ResidueTemplate(ResidueLibrary):
    """Each piece as the seen one that is closest to the weighted mean of the `nearest`: no draws, and whole where a mean would shrink."""

    def _choice(self, parts: Tensor, likely: Tensor, generator: torch.Generator) -> Tensor:
        mean = (likely[:, :, None, None] * parts).sum(1, keepdim=True)
        return (parts - mean).square().sum((2, 3)).argmin(1)


def residues_of(unit: Unit) -> list[Residue]:
    """One Residue for each site of `unit`.

    Raises:
        ValueError: a site that is not on the CA atom of one residue with N, C and O, or a chain of fewer than three.
    """
    found = []
    inside = [np.flatnonzero(unit.owner == k).tolist() for k in range(unit.coarse.n_sites)]
    table = [{unit.fine.names[i]: i for i in atoms} for atoms in inside]
    bonds = {*map(tuple, unit.fine.bonds.tolist()), *map(tuple, unit.fine.bonds[:, ::-1].tolist())}
    starts = {atoms.get("N", -1): k for k, atoms in enumerate(table)}
    ends = {atoms.get("C", -1): k for k, atoms in enumerate(table)}
    after = {ends[i]: starts[j] for i, j in bonds if i in ends and j in starts and ends[i] != starts[j]}
    before = {j: i for i, j in after.items()}
    for k, (atoms, names) in enumerate(zip(inside, table)):
        one = len({int(unit.fine.residues[i]) for i in atoms}) == 1 and len(names) == len(atoms)
        on = np.flatnonzero(unit.weights[k]).tolist()
        name = unit.fine.residue_names[on[0]]
        if not one or on != [names.get("CA")] or not {*_BACKBONE} <= {*names}:
            raise ValueError(
                f"site {k} ({unit.coarse.labels[k]}): expected the CA atom of one residue with N, CA, C and O, found weights on "
                f"{', '.join(unit.fine.labels[i] for i in on)} and atoms {', '.join(names)}: use alpha_carbons and PDB names"
            )
        found.append(Residue(name, names, before.get(k, -1), after.get(k, -1)))
    for k, r in enumerate(found):
        alone = r.before < 0 and (r.after < 0 or found[r.after].after < 0)
        if alone or (r.after < 0 and found[r.before].before < 0):
            raise ValueError(
                f"residue {k} ({r.name}): expected a chain of three residues at least, found fewer: a shorter trace does not "
                "say how its peptide groups are turned"
            )
    return found


def _pieces(chain: list[Residue], k: int) -> list[Piece]:
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
            Piece(("C", "O", "+N"), ("CA", "+CA", "across" if "+2CA" in known else "-CA"), ("N", *trace))
        )
    hydrogens = tuple(sorted(n for n in names if n in ("H", "H1", "H2", "H3")))
    if hydrogens:
        third = "C" if r.before < 0 else "-C"
        pieces.append(Piece(hydrogens, ("N", "CA", third), ()))
    if "OXT" in names:
        pieces.append(Piece(("OXT",), ("C", "CA", "O"), ()))
    rest = tuple(sorted(names - {*_BACKBONE, *hydrogens, "OXT"}))
    if rest:
        pieces.append(Piece(rest, ("CA", "N", "C"), ("O", "-C", *trace), own=True))
    return pieces


def _neighbours(chain: list[Residue], k: int) -> dict[str, int]:
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


def _points(chain: list[Residue], k: int, atoms: Tensor) -> dict[str, Tensor]:
    """{name: (n, 3) nm} of all that residue k can refer to; "across" lies from CA as +2CA does from -CA."""
    trace = {name: chain[site].atoms["CA"] for name, site in _trace(chain, k).items()}
    index = {**chain[k].atoms, **_neighbours(chain, k), **trace}
    points = {name: atoms[:, i] for name, i in index.items()}
    if {"-CA", "+2CA"} <= {*points}:
        points["across"] = points["CA"] + points["+2CA"] - points["-CA"]
    return points


def _gathered(some: list[dict[str, Tensor]], most: int) -> dict[str, Any]:
    """{names, points (n, n_names, 3) nm from CA, NaN where a point is not there} of residues of one kind."""
    names = sorted(set().union(*some))
    filled = [
        torch.stack([s.get(n, torch.full_like(s["CA"], torch.nan)) - s["CA"] for n in names], 1) for s in some
    ]
    points = torch.cat(filled)
    return {"names": names, "points": points[:: max(1, -(-len(points) // most))].clone()}


def _cut(model: dict[str, Any], piece: Piece) -> tuple[Tensor, Tensor]:
    points = dict(zip(model["names"], model["points"].unbind(1)))
    whole = ~torch.stack([points[n] for n in (*piece.atoms, *piece.frame)], 1).isnan().any(-1).any(-1)
    points = {name: p[whole] for name, p in points.items()}
    axes = _axes(points, piece.frame)
    missing = torch.full_like(points["CA"], torch.nan)
    around = _local(points | {n: missing for n in piece.around if n not in points}, piece.frame, axes, piece.around)  # fmt: skip
    return _local(points, piece.frame, axes, piece.atoms), around.nan_to_num(0.0)


def _axes(points: dict[str, Tensor], frame: Sequence[str]) -> Tensor:
    """(n, 3, 3), axes in columns."""
    return torch.stack(axes_of(*(points[name] for name in frame)), -1)


def _local(points: dict[str, Tensor], frame: Sequence[str], axes: Tensor, names: Sequence[str]) -> Tensor:
    """(n, n_names, 3) nm of points in a frame."""
    if not names:
        return axes.new_zeros(len(axes), 0, 3)
    return (torch.stack([points[n] for n in names], 1) - points[frame[0]][:, None]) @ axes
