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

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, cached_property
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..files import package_path
from ..frames import Frames
from ..mapping import Mapping
from .base import Backmapper, Model
from .piece_library import PieceLibrary
from .reference import ReferenceGeometry
from .residue_geometry import bridged, bridges, geometry_of
from .residue_pieces import (
    Piece,
    Residue,
    neighbours_of,
    pieces_of,
    residue_points,
    residues_of,
)
from .split import Unit

#: File name of the library that ships, in cgrec/data.
LIBRARY = "residue_library.pt"
#: Side chains of each of two bonded cysteines to choose from: 10^4 pairs.
BRIDGING = 100


@cache
def shipped_residues() -> dict[str, Model]:
    """What comes with cgrec, see `residue_points`: read once, not to be changed."""
    known = torch.load(package_path(f"package:{LIBRARY}"), weights_only=True)
    return {
        name: {"names": some["names"], "points": some["points"].double()}
        for name, some in known.items()
    }


class ResidueBackmapper(Backmapper, interface=True):
    """Interface of what puts residues together from seen pieces; a subclass chooses the piece.

    With the distance d of the points around a seen piece from those here (root of the weighted sum
    of squares, nm) its weight is exp(-d^2 / 2 width^2). Choosing a peptide group by the C-alpha
    atoms around it goes back to M. Milik, A. Kolinski, J. Skolnick, J. Comput. Chem. 18, 80 (1997).
    Residue and atom names are those of the PDB, and what was seen has to have them all.

    Options of `fit`:
        nearest: how many to draw from.
        width: nm.
        most: seen residues of a kind to keep.

    Raises:
        ValueError: a residue, or a terminal form of it, that was never seen; sites other than the
            C-alpha atoms.
    """

    @abstractmethod
    def _choice(self, parts: Tensor, likely: Tensor, generator: torch.Generator) -> Tensor:
        """(n,) which of parts (n, nearest, n_atoms, 3) to take, given their weights (n, nearest)."""

    @cached_property
    def _library(self) -> PieceLibrary:
        return PieceLibrary(self.models, type(self).__name__)

    @classmethod
    def fit(
        cls,
        fine: Frames | Sequence[Frames],
        mapping: Mapping,
        nearest: int = 10,
        width: float = 0.07,
        most: int = 2000,
        **options: object,
    ) -> Self:
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
    def shipped(cls, mapping: Mapping, nearest: int = 10, width: float = 0.07) -> Self:
        """The library that comes with cgrec: the twenty amino acids, their usual protonation
        states, disulphides, cis peptide bonds and both ends, from simulations of short peptides
        (`scripts/references/residue_library.py`).

        Args:
            mapping: of the protein to restore; `alpha_carbons` makes it.
            nearest, width: see the class.
        """
        models = {
            name: some | {"nearest": nearest, "width": width}
            for name, some in shipped_residues().items()
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
                for piece in pieces_of(chain, k):
                    if not len(self._library.pool(residue.name, piece)[0]):
                        raise ValueError(
                            f"{type(self).__name__}: expected {residue.name} with atoms "
                            f"{', '.join(piece.atoms)} among what it was "
                            f"fitted to, found none for residue {k}: fit it to proteins that "
                            "hold one, with the same names of atoms"
                        )

    def _draw_atoms(
        self, unit: Unit, sites: Tensor, generator: torch.Generator, density: bool
    ) -> tuple[Tensor, None]:
        chain = residues_of(unit)
        atoms = sites.new_full((len(sites), len(unit.owner), 3), torch.nan)
        atoms[:, [r.atoms["CA"] for r in chain]] = sites
        steps = [(k, piece) for k in range(len(chain)) for piece in pieces_of(chain, k)]
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
            pieces = [next(p for p in pieces_of(chain, k) if p.own) for k in pair]
            found = [
                self._library.candidates(chain, k, piece, atoms, BRIDGING)
                for k, piece in zip(pair, pieces)
            ]
            for k, piece, places in zip(
                pair, pieces, bridged(found, [p.atoms.index("SG") for p in pieces], generator)
            ):
                atoms[:, [chain[k].atoms[name] for name in piece.atoms]] = places

    def _references(self) -> list[tuple[ReferenceGeometry, NDArray[np.int64]]]:
        found = []
        for unit in self.split.units:
            chain = residues_of(unit)
            names = [{**r.atoms, **neighbours_of(chain, k)} for k, r in enumerate(chain)]
            for r, known in zip(chain, names):
                known |= {"+CA": chain[r.after].atoms["CA"]} if r.after >= 0 else {}
            found.append(
                (geometry_of(unit.fine, names, [r.name for r in chain], self.models), unit.atoms)
            )
        return found

    def redraw(
        self, fine: Frames, which: NDArray[np.bool_], generator: torch.Generator | None = None
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
                for piece in (p for p in pieces_of(chain, k) if p.own and len(rows)):
                    some = atoms[rows]
                    self._place(chain, k, piece, some, generator)
                    atoms[rows] = some
            x[:, unit.atoms] = atoms.unflatten(0, (len(x), -1))
        return replace(fine, positions=x.numpy())

    def _place(
        self, chain: list[Residue], k: int, piece: Piece, atoms: Tensor, generator: torch.Generator
    ) -> None:
        """Write the atoms of `piece` at residue k into atoms (n, n_atoms, 3)."""
        parts, likely, put = self._library.candidates(
            chain, k, piece, atoms, self.models[chain[k].name]["nearest"]
        )
        chosen = parts.gather(
            1,
            self._choice(parts, likely, generator)[:, None, None, None].expand(
                -1, 1, *parts.shape[2:]
            ),
        )
        index = {**chain[k].atoms, **neighbours_of(chain, k)}
        atoms[:, [index[name] for name in piece.atoms]] = put(chosen)[:, 0]


class ResidueLibrary(ResidueBackmapper):
    """Each piece from one of the `nearest` seen ones, more likely the more its surroundings are
    alike.
    """

    def _choice(self, parts: Tensor, likely: Tensor, generator: torch.Generator) -> Tensor:
        return torch.multinomial(likely, 1, generator=generator)[:, 0]


class ResidueTemplate(ResidueBackmapper):
    """Each piece as the seen one that is closest to the weighted mean of the `nearest`: no draws,
    and whole where a mean would shrink.
    """

    def _choice(self, parts: Tensor, likely: Tensor, generator: torch.Generator) -> Tensor:
        mean = (likely[:, :, None, None] * parts).sum(1, keepdim=True)
        return (parts - mean).square().sum((2, 3)).argmin(1)
