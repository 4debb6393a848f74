"""`TrainingReport`: what a fit came to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..statistics.errors import Estimate

#: Blocks of frames from whose scatter the error of an explained fraction comes: ten give it to a
#: quarter of itself.
ERROR_BLOCKS = 10


@dataclass
class TrainingReport:
    """What a fit came to. Losses are mean squared force errors per component, (kJ/mol/nm)^2, of the
    full labels.

    Attributes:
        steps: optimiser steps made.
        seconds: wall time of all sessions together.
        validation_loss: of the returned potential.
        reference_loss: L0, the mean square of the validation labels themselves.
        explained_fraction: 1 - validation_loss / L0.
        explained_fraction_error: its standard error over validation blocks, label and error of a
            frame taken together.
        training_explained_fraction, training_explained_fraction_error: the same of training frames,
            some of which it has learned by heart.
        noise_estimate: mean of training and validation loss: overfitting cancels to first order
            (Akaike's final prediction error), what is left is label noise plus what the model class
            cannot express.
        n_training, n_validation: frames.
        stopped_early: whether patience ran out before the last step.
        device: where it was trained, in its last session.
        objectives: {column: mean over the validation frames} of objectives that have a column.
    """

    steps: int = 0
    seconds: float = 0.0
    validation_loss: float = float("nan")
    reference_loss: float = float("nan")
    explained_fraction: float = float("nan")
    explained_fraction_error: float = float("nan")
    training_explained_fraction: float = float("nan")
    training_explained_fraction_error: float = float("nan")
    noise_estimate: float = float("nan")
    n_training: int = 0
    n_validation: int = 0
    stopped_early: bool = False
    device: str = ""
    objectives: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Its fields by name; `objectives` where there are some."""
        return {k: v for k, v in vars(self).items() if k != "objectives" or v}

    def frames_needed(self, share: float = 0.1) -> Estimate[float]:
        """Training frames with which what is lost to their finite number would be `share` of what
        is explained.

        p effective parameters fitted to N labels of noise sigma^2 lose p sigma^2 / N on new labels
        and gain as much on their own (H. Akaike, IEEE Trans. Autom. Control 19, 716 (1974)), so the
        loss is half of the gap between the two explained fractions. Its error is large where nearly
        all is noise: believe the order of magnitude.
        """
        lost = (self.training_explained_fraction - self.explained_fraction) / 2
        error = (
            math.hypot(self.training_explained_fraction_error, self.explained_fraction_error) / 2
        )
        frames = self.n_training / (share * self.explained_fraction)
        return Estimate(frames * lost, frames * error)

    @classmethod
    def from_state(cls, state: Mapping[str, object]) -> TrainingReport:
        """Inverse of `vars`, of this version or an earlier one."""
        report = cls()
        vars(report).update(state)
        return report


def explained(loss: float, reference: float) -> float:
    """1 - loss / reference; 0 where the labels are all zero, as those of a molecule in vacuum that
    is one site.
    """
    return 1 - loss / reference if reference > 0 else 0.0


def explained_error(
    losses: NDArray[np.float64], reference: NDArray[np.float64], fraction: float
) -> float:
    """Standard error of 1 - <losses> / <reference> from blocks of frames. A frame of large labels
    makes both large.

    nan of a single frame, which tells nothing of the scatter.
    """
    if not reference.any():
        return 0.0
    if len(losses) < 2:
        return float("nan")
    residual = losses - (1 - fraction) * reference
    parts = np.array_split(residual, max(2, min(ERROR_BLOCKS, len(residual))))
    return float(np.std([p.mean() for p in parts], ddof=1) / np.sqrt(len(parts)) / reference.mean())
