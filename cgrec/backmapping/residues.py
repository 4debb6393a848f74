"""A protein from its C-alpha trace: pieces of residues seen in other proteins, put where the trace
looks alike.

What is learned belongs to a kind of residue, not to a molecule, so one library serves any sequence.
A residue is put together from pieces, each rigid and cut from one seen residue, so bonds, angles
and handedness within a piece are right from the start: the peptide group between two C-alpha (one
piece, so that it is planar and its bond is whole), the side chain, and what the ends have of their
own. A piece is chosen by where the points around it lie in its own frame of three points: scalars
with a sign, which turn with the molecule and tell left from right. Angles between pieces are right
on average only until a draw is mended (see `Backmapper`); minimise in u of `Split` where energies
are wanted.

Whether a peptide bond is cis is told by the trace: its two C-alpha atoms are 0.29 nm apart then and
0.38 nm when it is trans (D. Stewart, A. Sarkar, J. Wampler, J. Mol. Biol. 214, 253 (1990)), so only
pieces of the same kind are chosen from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..frames import Frames
from ..mapping import Mapping, alpha_carbons
from ..remarks import remark
from .base import Backmapper
from .coordinates import axes_of
from .reference import ReferenceGeometry
from .residue_geometry import bridged, bridges, geometry_of
from .scaled import Scaled
from .split import Unit, units_of

#: File name of the library that ships, in cgrec/data.
LIBRARY = "residue_library.pt"
#: C-alpha atoms a residue sees: from two before it to three after it.
_TRACE = {"-2CA": -2, "-CA": -1, "CA": 0, "+CA": 1, "+2CA": 2, "+3CA": 3}
_BACKBONE = ("N", "CA", "C", "O")
#: nm, half way between the distances of the C-alpha atoms of a cis and of a trans peptide bond.
CIS = 0.335
#: Side chains of each of two bonded cysteines to choose from: 10^4 pairs.
BRIDGING = 100
#: nm^2 added to the distance of a peptide group of the other kind: far beyond any weight.
_NEVER = 1e3
#: How much a point counts when surroundings are compared, where that is not 1: what is far matters
#: less, what the piece is bonded to more.
_WEIGHTS = {"-2CA": 0.3, "+3CA": 0.3, "N": 2.0}


#: Names that Amber, CHARMM and GROMACS give to protonation states and bridges of one amino acid;
#: which hydrogens are there says the rest.
_STATES = {
    "HIS": "HID HIE HIP HSD HSE HSP HISD HISE HISH",
    "CYS": "CYX CYM CYS2 CYSS",
    "ASP": "ASH ASPH ASPP",
    "GLU": "GLH GLUH GLUP",
    "LYS": "LYN LYSN LYSH LSN",
}
_CANONICAL = {state: name for name, states in _STATES.items() for state in states.split()}
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


def canonical(residue: str) -> str:
    """Name in the PDB of an amino acid that a force field calls by its state: "HIE" is "HIS",
    Amber's "NALA" and "CALA" are "ALA".
    """
    end = residue[1:] if len(residue) == 4 and residue[0] in "NC" else residue
    return _CANONICAL.get(residue, _CANONICAL.get(end, end))


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


class ResidueLibrary(Backmapper):
    """Each piece from one of the `nearest` seen ones, more likely the more its surroundings are
    alike.

    With the distance d of the points around it (root of the weighted sum of squares, nm) its weight
    is exp(-d^2 / 2 width^2). Choosing a peptide group by the C-alpha atoms around it goes back to
    M. Milik, A. Kolinski, J. Skolnick, J. Comput. Chem. 18, 80 (1997). Residue and atom names are
    those of the PDB, and what was seen has to have them all.

    Options of `fit`:
        nearest: how many to draw from.
        width: nm.
        most: seen residues of a kind to keep.

    Raises:
        ValueError: a residue, or a terminal form of it, that was never seen; sites other than the
            C-alpha atoms.
    """

    # Pieces take the place of free coordinates, so `fit` and `_some` are replaced and these two are
    # never asked.
    @classmethod
    def _learn(
        cls, unit: Unit, scaled: Scaled, sites: Tensor, y: Tensor, options: Any
    ) -> dict[str, Any]:
        raise NotImplementedError

    def _draw(
        self, unit: Unit, scaled: Scaled, sites: Tensor, generator: torch.Generator, density: bool
    ) -> tuple[Tensor, None]:
        raise NotImplementedError

    @classmethod
    def fit(
        cls,
        fine: Frames | Sequence[Frames],
        mapping: Mapping,
        nearest: int = 10,
        width: float = 0.07,
        most: int = 2000,
        **options: Any,
    ) -> Any:
        """Learn from proteins how a trace is filled in.

        Args:
            fine: frames of one protein or of several, molecules whole.
            mapping: of the protein to restore, which may be another; `alpha_carbons` makes it.
            nearest, width, most: see the class.

        Raises:
            ValueError: proteins that cannot be divided into residues; see the class.
        """
        if options:
            raise ValueError(
                f"{cls.__name__}: expected the options nearest, width and most, found "
                f"{sorted(options)}"
            )
        seen = residue_points([fine] if isinstance(fine, Frames) else fine, most)
        return cls(
            mapping,
            {name: some | {"nearest": nearest, "width": width} for name, some in seen.items()},
        )

    @classmethod
    def shipped(cls, mapping: Mapping, nearest: int = 10, width: float = 0.07) -> Any:
        """The library that comes with cgrec: the twenty amino acids, their usual protonation
        states, disulphides, cis peptide bonds and both ends, from simulations of short peptides
        (`scripts/references/residue_library.py`).

        Args:
            mapping: of the protein to restore; `alpha_carbons` makes it.
            nearest, width: see the class.
        """
        known = torch.load(Path(str(files("cgrec"))) / "data" / LIBRARY, weights_only=True)
        models = {
            name: {"names": some["names"], "points": some["points"].double()}
            | {"nearest": nearest, "width": width}
            for name, some in known.items()
        }
        return cls(mapping, models)

    def _need_known(self) -> None:
        for unit in self.split.units:
            chain = residues_of(unit)
            for k, residue in enumerate(chain):
                if residue.name not in self.models:
                    raise ValueError(
                        f"{type(self).__name__}: expected residues among "
                        f"{', '.join(sorted(self.models))}, found {residue.name} "
                        f"(residue {k}): fit it to proteins that hold one"
                    )
                for piece in _pieces(chain, k):
                    if not len(self._pool(residue.name, piece)[0]):
                        raise ValueError(
                            f"{type(self).__name__}: expected {residue.name} with atoms "
                            f"{', '.join(piece.atoms)} among what it was "
                            f"fitted to, found none for residue {k}: fit it to proteins that "
                            "hold one, with the same names of atoms"
                        )

    def _some(
        self, unit: Unit, sites: Tensor, generator: torch.Generator, density: bool
    ) -> tuple[Tensor, None]:
        chain = residues_of(unit)
        atoms = sites.new_full((len(sites), len(unit.owner), 3), torch.nan)
        atoms[:, [r.atoms["CA"] for r in chain]] = sites
        steps = [(k, piece) for k in range(len(chain)) for piece in _pieces(chain, k)]
        # backbone first
        for k, piece in sorted(steps, key=lambda s: s[1].frame[0] != "CA" or s[1].own):
            self._place(chain, k, piece, atoms, generator)
        self._bridge(unit, chain, atoms, generator)
        return atoms, None

    def _bridge(
        self, unit: Unit, chain: list[Residue], atoms: Tensor, generator: torch.Generator
    ) -> None:
        """Side chains of cysteines with a disulphide bond chosen again, two by two."""
        for pair in bridges(unit.fine, [r.atoms for r in chain]):
            pieces = [next(p for p in _pieces(chain, k) if p.own) for k in pair]
            found = [
                self._candidates(chain, k, piece, atoms, BRIDGING) for k, piece in zip(pair, pieces)
            ]
            for k, piece, places in zip(
                pair, pieces, bridged(found, [p.atoms.index("SG") for p in pieces], generator)
            ):
                atoms[:, [chain[k].atoms[name] for name in piece.atoms]] = places

    @cached_property
    def _references(self) -> list[tuple[ReferenceGeometry, np.ndarray]]:
        found = []
        for unit in self.split.units:
            chain = residues_of(unit)
            names = [{**r.atoms, **_neighbours(chain, k)} for k, r in enumerate(chain)]
            for r, known in zip(chain, names):
                known |= {"+CA": chain[r.after].atoms["CA"]} if r.after >= 0 else {}
            found.append(
                (geometry_of(unit.fine, names, [r.name for r in chain], self.models), unit.atoms)
            )
        return found

    def redraw(
        self, fine: Frames, which: np.ndarray, generator: torch.Generator | None = None
    ) -> Frames:
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

    def _place(
        self, chain: list[Residue], k: int, piece: Piece, atoms: Tensor, generator: torch.Generator
    ) -> None:
        """Write the atoms of `piece` at residue k into atoms (n, n_atoms, 3)."""
        parts, likely, put = self._candidates(
            chain, k, piece, atoms, self.models[chain[k].name]["nearest"]
        )
        chosen = parts.gather(
            1,
            self._choice(parts, likely, generator)[:, None, None, None].expand(
                -1, 1, *parts.shape[2:]
            ),
        )
        index = {**chain[k].atoms, **_neighbours(chain, k)}
        atoms[:, [index[name] for name in piece.atoms]] = put(chosen)[:, 0]

    def _candidates(
        self, chain: list[Residue], k: int, piece: Piece, atoms: Tensor, nearest: int
    ) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
        """The `nearest` seen pieces (n, nearest, n_atoms, 3) in their frame, their weights (n,
        nearest), and what puts them in place.
        """
        parts, around = self._pool(chain[k].name, piece)
        points = _points(chain, k, atoms)
        axes = _axes(points, piece.frame)
        known = [
            i
            for i, name in enumerate(piece.around)
            if name in points and not points[name].isnan().any()
        ]
        here = _local(points, piece.frame, axes, [piece.around[i] for i in known])
        weights = torch.tensor([_WEIGHTS.get(piece.around[i], 1.0) for i in known])[
            :, None
        ].double()
        squares = torch.cdist(
            (weights * here).flatten(1), (weights * around[:, known]).flatten(1)
        ).square()
        if "+N" in piece.atoms:  # the peptide group: its frame begins at CA and points to +CA
            there = piece.around.index("+CA")
            cis = (points["+CA"] - points["CA"]).norm(dim=-1) < CIS
            other = cis[:, None] != (around[:, there].norm(dim=-1) < CIS)
            squares = squares + torch.where(other, _NEVER, 0.0)
            self._say_unseen(chain[k], cis, other.all(1))
        squares, near = squares.topk(min(nearest, len(parts)), largest=False)
        likely = torch.softmax(-squares / (2 * self.models[chain[k].name]["width"] ** 2), 1)
        origin, turn = points[piece.frame[0]], axes.transpose(1, 2)
        return parts[near], likely, lambda some: origin[:, None, None] + some @ turn[:, None]

    def _say_unseen(self, residue: Residue, cis: Tensor, lacking: Tensor) -> None:
        """A remark where the trace asks for a cis or a trans peptide bond and none was seen."""
        if lacking.any():
            kind, other = ("cis", "trans") if bool(cis[lacking][0]) else ("trans", "cis")
            remark(
                f"{type(self).__name__}: the trace has {kind} peptide bonds (C-alpha atoms "
                f"{'less' if kind == 'cis' else 'more'} than "
                f"{CIS} nm apart) after {residue.name}, {int(lacking.sum())} of {len(lacking)} "
                "frames, and it was fitted to none: they "
                f"are restored as {other}; fit it to proteins that hold one, or use "
                "ResidueLibrary.shipped"
            )

    def _choice(self, parts: Tensor, likely: Tensor, generator: torch.Generator) -> Tensor:
        """(n,) which of parts (n, nearest, n_atoms, 3) to take, given their weights (n, nearest)."""
        return torch.multinomial(likely, 1, generator=generator)[:, 0]

    @cached_property
    def _pools(self) -> dict[Any, tuple[Tensor, Tensor]]:
        return {}

    def _pool(self, name: str, piece: Piece) -> tuple[Tensor, Tensor]:
        """Seen atoms (n, n_atoms, 3) and points around them (n, n_around, 3) in the frame of
        `piece`; 0 for points not there.
        """
        key = (name if piece.own else "", piece)
        if key not in self._pools:
            found = [
                _cut(model, piece)
                for kind, model in self.models.items()
                if (kind == name or not piece.own)
                and {*piece.atoms, *piece.frame} <= {*model["names"]}
            ]
            empty = (
                torch.zeros(0, len(piece.atoms), 3).double(),
                torch.zeros(0, len(piece.around), 3).double(),
            )
            self._pools[key] = tuple(torch.cat(parts) for parts in zip(empty, *found))  # type: ignore[assignment]
        return self._pools[key]


class ResidueTemplate(ResidueLibrary):
    """Each piece as the seen one that is closest to the weighted mean of the `nearest`: no draws,
    and whole where a mean would shrink.
    """

    def _choice(self, parts: Tensor, likely: Tensor, generator: torch.Generator) -> Tensor:
        mean = (likely[:, :, None, None] * parts).sum(1, keepdim=True)
        return (parts - mean).square().sum((2, 3)).argmin(1)


def residue_points(proteins: Sequence[Frames], most: int = 2000) -> dict[str, dict[str, Any]]:
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
                seen.setdefault(residue.name, []).append(_points(chain, k, atoms))
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
    """{name: (n, 3) nm} of all that residue k can refer to; "across" lies from CA as +2CA does from
    -CA.
    """
    trace = {name: chain[site].atoms["CA"] for name, site in _trace(chain, k).items()}
    index = {**chain[k].atoms, **_neighbours(chain, k), **trace}
    points = {name: atoms[:, i] for name, i in index.items()}
    if {"-CA", "+2CA"} <= {*points}:
        points["across"] = points["CA"] + points["+2CA"] - points["-CA"]
    return points


def _gathered(some: list[dict[str, Tensor]], most: int) -> dict[str, Any]:
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


def _cut(model: dict[str, Any], piece: Piece) -> tuple[Tensor, Tensor]:
    points = dict(zip(model["names"], model["points"].unbind(1)))
    whole = ~torch.stack([points[n] for n in (*piece.atoms, *piece.frame)], 1).isnan().any(-1).any(
        -1
    )
    points = {name: p[whole] for name, p in points.items()}
    axes = _axes(points, piece.frame)
    missing = torch.full_like(points["CA"], torch.nan)
    around = _local(
        points | {n: missing for n in piece.around if n not in points},
        piece.frame,
        axes,
        piece.around,
    )
    return _local(points, piece.frame, axes, piece.atoms), around.nan_to_num(0.0)


def _axes(points: dict[str, Tensor], frame: Sequence[str]) -> Tensor:
    """(n, 3, 3), axes in columns."""
    return torch.stack(axes_of(*(points[name] for name in frame)), -1)


def _local(
    points: dict[str, Tensor], frame: Sequence[str], axes: Tensor, names: Sequence[str]
) -> Tensor:
    """(n, n_names, 3) nm of points in a frame."""
    if not names:
        return axes.new_zeros(len(axes), 0, 3)
    return (torch.stack([points[n] for n in names], 1) - points[frame[0]][:, None]) @ axes
