"""Mixed resolution: some sites stay as they are inside a system that any rule makes coarser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..system import System
from .linear import Mapping
from .sites import Bead, Sites, build, connected_pieces, find_sites


@dataclass(frozen=True)
class Protected:
    """A rule for all but some sites, which stay sites of their own with name and type.

    A bead of the rule loses its protected atoms; the others keep their weights relative to each
    other and are one bead, or several where no bond among them connects them any more. Such beads
    are new types: the old one, then the names of the lost atoms, then the number of the piece.
    Sites are in order of their first atoms.

    Attributes:
        rule: for the rest.
        sites: labels or a selection.
    """

    rule: Callable[[System], Mapping]
    sites: Sites

    def __call__(self, system: System) -> Mapping:
        """The Mapping; KeyError: an unknown label, and what `rule` raises."""
        kept = find_sites(system, self.sites, "Protected")
        protected = {*kept}
        mapping = self.rule(system)
        rows = mapping.sparse_position_weights
        spans = list(zip(rows.indptr[:-1], rows.indptr[1:]))
        groups = [rows.indices[first:last].tolist() for first, last in spans]
        free = set(range(system.n_sites)) - {i for atoms in groups for i in atoms} - protected
        near, carried = system.neighbours(), dict[int, list[int]]()
        for atoms, mass in zip(groups, mapping.coarse.masses):
            # as Pick, which lends hydrogens
            if len(atoms) == 1 and mass > system.masses[atoms[0]] + 1e-9:
                carried[atoms[0]] = [
                    h for h in near[atoms[0]] if h in free and system.elements[h] == "H"
                ]
        beads = [
            Bead(
                system.names[i],
                {i: 1.0},
                (i, *carried.get(i, [])),
                "" if carried.get(i) else system.types[i],
            )
            for i in kept
        ]
        for k, atoms in enumerate(groups):
            lost = [system.names[i] for i in atoms if i in protected]
            rest = [i for i in atoms if i not in protected]
            pieces = connected_pieces(system, [rest])[0] if lost else [rest]
            own = dict(zip(atoms, rows.data[slice(*spans[k])]))
            for n, piece in enumerate(pieces, 1):
                weights = np.array([own[i] for i in piece])
                type = "-".join([mapping.coarse.types[k], *lost]) + (
                    f".{n}" if len(pieces) > 1 else ""
                )
                members = (*piece, *(carried.get(piece[0], []) if len(atoms) == 1 else []))
                beads.append(
                    Bead(
                        mapping.coarse.names[k],
                        dict(zip(piece, weights / weights.sum())),
                        members,
                        type,
                    )
                )
        return build(system, sorted(beads, key=lambda bead: min(bead.weights)))
