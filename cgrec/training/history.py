"""`History`: what the validations of a fit came to, and training.csv."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .report import TrainingReport, explained, explained_error

COLUMNS = (
    "step",
    "epoch",
    "learning_rate",
    "training_loss",
    "validation_loss",
    "explained_fraction",
    "noise_estimate",
    "seconds",
)


class BestState(TypedDict):
    """A `Best` in a checkpoint."""

    best: Tensor | None
    best_state: dict[str, Tensor]
    stale: int
    training_loss: float
    best_training_loss: float


class HistoryState(TypedDict):
    """A `History` in a checkpoint."""

    report: dict[str, object]
    rows: list[list[float]]
    history: BestState


@dataclass
class Best:
    """The best validation so far.

    Attributes:
        best: (2 + n_columns, n_frames) what was minimised, force losses and losses with a column of
            each validation frame, so that candidates are compared in pairs.
        best_state: tensors of the weights.
        stale: validations since the last one that was better by more than its own error.
        training_loss: force loss of training batches since the validation before the last.
        best_training_loss: the same at the best validation.
    """

    best: NDArray[np.float64] | None = None
    best_state: dict[str, Tensor] = field(default_factory=dict)
    stale: int = 0
    training_loss: float = float("nan")
    best_training_loss: float = float("nan")

    def meet(
        self,
        losses: NDArray[np.float64],
        weights: NDArray[np.float64],
        averaged: torch.nn.Module,
    ) -> None:
        """Compare a candidate with the best one so far, frame by frame."""
        gain = None if self.best is None else self.best[0] - losses[0]
        improvement = None if gain is None else np.average(gain, weights=weights)
        if improvement is not None and not improvement > 0:
            self.stale += 1
            return
        spread = 0.0 if gain is None else np.std(gain) / np.sqrt(len(gain))
        # A gain smaller than its own error keeps the new weights but does not reset the patience.
        clear = improvement is None or improvement > spread
        self.stale = 0 if clear else self.stale + 1
        self.best = losses
        self.best_state = {k: v.clone() for k, v in averaged.state_dict().items()}
        self.best_training_loss = self.training_loss

    def to_state(self) -> BestState:
        """For a checkpoint."""
        return {
            "best": None if self.best is None else torch.from_numpy(self.best),
            "best_state": self.best_state,
            "stale": self.stale,
            "training_loss": self.training_loss,
            "best_training_loss": self.best_training_loss,
        }

    @classmethod
    def from_state(cls, state: BestState) -> Best:
        """Inverse of `to_state`."""
        best = state["best"]
        return cls(
            best=None if best is None else best.cpu().numpy(),
            best_state=state["best_state"],
            stale=state["stale"],
            training_loss=state["training_loss"],
            best_training_loss=state["best_training_loss"],
        )


class History:
    """Rows of training.csv, and the report so far.

    Args:
        weights: (n_validation,) of the validation frames.
        squares: (n_validation,) mean squares of their labels.
        n_training: training frames.
        columns: of objectives that have one.

    Raises:
        ValueError: two columns of one name.
    """

    def __init__(
        self,
        weights: NDArray[np.float64],
        squares: NDArray[np.float64],
        n_training: int,
        columns: Sequence[str],
    ) -> None:
        self.weights = weights
        self.squares = squares
        self.columns = list(columns)
        heads = [*COLUMNS, *columns]
        twice = sorted({head for head in heads if heads.count(head) > 1})
        if twice:
            raise ValueError(
                f"ForceMatching: expected columns of objectives that training.csv does not have, "
                f"found {', '.join(twice)} twice; give one of the objectives another column"
            )
        self.best = Best()
        self.rows: list[list[float]] = []
        self.report = TrainingReport(n_training=n_training, n_validation=len(weights))
        self.report.reference_loss = float(squares.mean())

    def judge(
        self,
        losses: NDArray[np.float64],
        averaged: torch.nn.Module,
        at: tuple[int, float, float],
        patience: int,
    ) -> None:
        """Take in a validation.

        Args:
            losses: (2 + n_columns, n_validation) as `Best.best`.
            averaged: the potential that has them.
            at: step, epoch and learning rate.
            patience: validations without improvement before the fit stops; 0 for ever.
        """
        report, best = self.report, self.best
        best.meet(losses, self.weights, averaged)
        assert best.best is not None  # the first candidate is the best one so far
        now = float(np.average(losses[1], weights=self.weights))
        report.steps = at[0]
        report.validation_loss = float(np.average(best.best[1], weights=self.weights))
        report.explained_fraction = explained(report.validation_loss, report.reference_loss)
        report.explained_fraction_error = explained_error(
            best.best[1], self.squares, report.explained_fraction
        )
        report.noise_estimate = 0.5 * (report.validation_loss + best.best_training_loss)
        report.objectives = {
            name: float(np.average(row, weights=self.weights))
            for name, row in zip(self.columns, best.best[2:], strict=True)
        }
        self.rows.append(
            [
                *at,
                best.training_loss,
                now,
                explained(now, report.reference_loss),
                report.noise_estimate,
                report.seconds,
                *(float(np.average(row, weights=self.weights)) for row in losses[2:]),
            ]
        )
        report.stopped_early = 0 < patience <= best.stale

    def judge_training(self, losses: NDArray[np.float64], squares: NDArray[np.float64]) -> None:
        """Take in what the returned potential explains of training frames: (n,) their force losses
        and the mean squares of their labels.
        """
        fraction = explained(float(losses.mean()), float(squares.mean()))
        self.report.training_explained_fraction = fraction
        self.report.training_explained_fraction_error = explained_error(losses, squares, fraction)

    def text(self) -> str:
        """What training.csv holds."""
        lines = [",".join([*COLUMNS, *self.columns])]
        lines += [",".join(f"{x:.8g}" for x in row) for row in self.rows]
        return "\n".join(lines) + "\n"

    def to_state(self) -> HistoryState:
        """For a checkpoint."""
        return {"report": vars(self.report), "rows": self.rows, "history": self.best.to_state()}

    def load_state(self, state: HistoryState) -> None:
        """Inverse of `to_state`."""
        self.report = TrainingReport.from_state(state["report"])
        self.rows = state["rows"]
        self.best = Best.from_state(state["history"])
