"""`FitFolder`: the files a fit leaves, training.csv and the checkpoint it goes on from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import cast

import numpy as np
import torch

from ..files import write_text
from ..frames import Frames
from ..run import layout
from ..run.checkpoints import load_state, save_state
from ..run.recipes import described
from .history import History, HistoryState
from .learner import LearnerState
from .options import FitOptions

#: Of a fit that is under way.
CHECKPOINT = layout.FIT_CHECKPOINT


class FitState(LearnerState, HistoryState):
    """What a checkpoint holds."""

    step: int
    recent: list[float]
    fingerprint: str


class FitFolder:
    """The files of a fit.

    Args:
        folder: where they lie; None: nowhere, and nothing is kept.
        fingerprint: of the fit.
        writes: whether this process writes them.
    """

    def __init__(self, folder: Path | None, fingerprint: str, writes: bool) -> None:
        self.checkpoint = None if folder is None else folder / CHECKPOINT
        self.table = None if folder is None else folder / layout.LOSSES
        self.fingerprint = fingerprint
        self.writes = writes

    def write_rows(self, history: History) -> None:
        """training.csv, whole each time: what is there is never repeated or cut."""
        if self.table is not None and self.writes:
            write_text(self.table, history.text())

    def save(self, state: FitState) -> None:
        """The checkpoint."""
        if self.checkpoint is not None and self.writes:
            save_state(self.checkpoint, dict(state))

    def load(self, device: torch.device) -> FitState | None:
        """What the checkpoint holds; None where there is none.

        Raises:
            ValueError: it is of another fit. Changed: it was changed or damaged.
        """
        path = self.checkpoint
        if path is None or not path.exists():
            return None
        state = cast(FitState, load_state(path, device))
        if state["fingerprint"] != self.fingerprint:
            raise ValueError(
                f"{path} is the checkpoint of another fit (other frames, settings or seed): "
                "expected that of this one; remove it to begin "
                "anew, or give another folder"
            )
        return state

    def kept(self, done: str) -> str:
        """What there is of a fit that was stopped; `done` is how far it came."""
        if self.checkpoint is None:
            return f"{done}, of which nothing is kept, for the fit has no folder"
        return f"a checkpoint after {done} is in {self.checkpoint}"


def fingerprint(options: FitOptions, frames: Frames, seed: int) -> str:
    """Digest of what a fit is of: its settings, the forces of its frames, its seed.

    A setting that is None says nothing, so that one that is added later changes no digest.
    """
    settings: dict[str, object] = {k: v for k, v in described(options).items() if v is not None}
    settings["class"] = f"cgrec.training.{type(options).__qualname__}"
    about = json.dumps([settings, seed, len(frames), frames.temperature])
    forces = np.ascontiguousarray(frames.need_forces())
    return hashlib.sha256(about.encode() + hashlib.sha256(forces.data).digest()).hexdigest()
