"""`PieceLibrary`: seen pieces of residues, found by what surrounds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..remarks import remark
from .base import Model
from .residue_pieces import Piece, Residue, axes_at, cut_out, local_points, points_of

#: nm, half way between the distances of the C-alpha atoms of a cis and of a trans peptide bond.
CIS = 0.335
#: nm^2 added to the distance of a peptide group of the other kind: far beyond any weight.
_NEVER = 1e3
#: How much a point counts when surroundings are compared, where that is not 1: what is far matters
#: less, what the piece is bonded to more.
_WEIGHTS = {"-2CA": 0.3, "+3CA": 0.3, "N": 2.0}


@dataclass
class PieceLibrary:
    """What was seen of residues, asked for pieces.

    Attributes:
        models: {residue name: names, points, nearest, width}, see `residue_points`.
        name: of the backmapper, for messages.
    """

    models: dict[str, Model]
    name: str
    _pools: dict[tuple[str, Piece], tuple[Tensor, Tensor]] = field(default_factory=dict, init=False)

    def candidates(
        self, chain: list[Residue], k: int, piece: Piece, atoms: Tensor, nearest: int
    ) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
        """The `nearest` seen pieces (n, nearest, n_atoms, 3) in their frame, their weights (n,
        nearest), and what puts them in place.
        """
        parts, around = self.pool(chain[k].name, piece)
        points = points_of(chain, k, atoms)
        axes = axes_at(points, piece.frame)
        known = [
            i
            for i, name in enumerate(piece.around)
            if name in points and not points[name].isnan().any()
        ]
        here = local_points(points, piece.frame, axes, [piece.around[i] for i in known])
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
                f"{self.name}: the trace has {kind} peptide bonds (C-alpha atoms "
                f"{'less' if kind == 'cis' else 'more'} than "
                f"{CIS} nm apart) after {residue.name}, {int(lacking.sum())} of {len(lacking)} "
                "frames, and it was fitted to none: they "
                f"are drawn as {other} and mended from there; fit it to proteins that hold one, or use "
                "ResidueLibrary.shipped"
            )

    def pool(self, name: str, piece: Piece) -> tuple[Tensor, Tensor]:
        """Seen atoms (n, n_atoms, 3) and points around them (n, n_around, 3) in the frame of
        `piece`; 0 for points not there.
        """
        key = (name if piece.own else "", piece)
        if key not in self._pools:
            found = [
                cut_out(model, piece)
                for kind, model in self.models.items()
                if (kind == name or not piece.own)
                and {*piece.atoms, *piece.frame} <= {*model["names"]}
            ]
            parts = torch.cat(
                [torch.zeros(0, len(piece.atoms), 3).double(), *(p for p, _ in found)]
            )
            around = torch.cat(
                [torch.zeros(0, len(piece.around), 3).double(), *(a for _, a in found)]
            )
            self._pools[key] = (parts, around)
        return self._pools[key]
