"""`Total`: the weighted sum of objectives, ready for the batches of one fit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...roles import Batch, FitsEnergies, HasColumn, LabelledFrames, Objective


class Total:
    """The weighted sum of objectives.

    Args:
        objectives: what to sum.
        data: the training frames, in which they measure what they need to know.

    Attributes:
        columns: of training.csv, of those objectives that have one.
        energies: the objective whose labels are energies, if there is one.

    Raises:
        ValueError: none of them applies to these frames.
    """

    def __init__(self, objectives: Sequence[Objective], data: LabelledFrames) -> None:
        found = [(objective, objective.loss_of(data)) for objective in objectives]
        self.losses = [(one, loss) for one, loss in found if loss is not None]
        if not self.losses:
            raise ValueError(
                "ForceMatching: expected an objective that applies to these frames, found "
                f"{', '.join(type(o).__name__ for o in objectives) or 'none'}"
            )
        self.columns = [one.column for one, _ in self.losses if isinstance(one, HasColumn)]
        own = [loss for _, loss in self.losses if isinstance(loss, FitsEnergies)]
        self.energies: FitsEnergies | None = own[0] if own else None

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """(2 + n_columns, n_frames) what is minimised, the mean squared force error per component
        in units of scale^2, and losses that have a column; and () what is minimised of the batch as
        a whole, or None.
        """
        by_frame: Tensor | None = None
        of_batch: Tensor | None = None
        columns = []
        for objective, loss in self.losses:
            value = loss(batch)
            if isinstance(objective, HasColumn):
                columns.append(value.detach().expand_as(batch.force_losses))
            part = value if objective.weight == 1 else objective.weight * value
            if value.ndim:
                by_frame = part if by_frame is None else by_frame + part
            else:
                of_batch = part if of_batch is None else of_batch + part
        if by_frame is None:
            raise ValueError(
                "ForceMatching: expected an objective with a loss of each frame, by which "
                "potentials are compared in validation, found none; add MatchForces"
            )
        return torch.stack([by_frame, batch.force_losses, *columns]), of_batch
