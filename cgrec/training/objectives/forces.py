"""Force matching: the mean squared error of forces (W. G. Noid et al., J. Chem. Phys. 128, 244114
(2008)).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...ranges import expect
from ...roles import Batch, LabelledFrames, Loss


@dataclass(frozen=True, kw_only=True)
class MatchForces:
    """Mean squared force error per component, in units of the mean square of the labels.

    Args:
        weight: in the sum of objectives.
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        expect("MatchForces", at_least=0, weight=self.weight)

    def loss_of(self, data: LabelledFrames, /) -> Loss:
        """The loss of each frame of a batch."""
        return _force_losses


def _force_losses(batch: Batch, /) -> Tensor:
    return batch.force_losses
