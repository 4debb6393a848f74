"""`Committee`: several networks trained alike from different seeds; their spread tells where they
have not seen enough.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..system import System
from .base import Potential, PotentialState, joint_state
from .graph import SiteGraph


class Committee(Potential):
    """Mean of its members.

    Args:
        members: potentials over one table of types.
        states: the members as `to_state` wrote them, when loaded from disk.
    """

    members: Sequence[Potential]  # a ModuleList

    def __init__(
        self,
        members: Sequence[Potential] | None = None,
        *,
        states: Sequence[PotentialState] = (),
    ) -> None:
        members = list(members or [Potential.from_state(s) for s in states])
        super().__init__(types=members[0].types, cutoff=max(m.cutoff for m in members))
        self.add_module("members", nn.ModuleList(members))
        self.at_state_of(*members)

    def check(self, system: System) -> None:
        for member in self.members:
            member.check(system)

    def energy(self, graph: SiteGraph) -> Tensor:
        return torch.stack([m.energy(graph) for m in self.members]).mean(0)

    def compiled(self) -> Committee:
        return Committee([m.compiled() for m in self.members])

    def force_spread(self, graph: SiteGraph) -> Tensor:
        """(n_frames,) largest standard deviation of a site's force over the members, kJ/mol/nm."""
        forces = torch.stack([m(graph)[1] for m in self.members])
        return graph.per_frame(forces.var(0).sum(-1).sqrt()).amax(1)

    def to_state(self) -> PotentialState:
        return joint_state(self, "members", self.members)
