"""`FitOptions`: the settings of a fit, checked before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..ranges import expect
from ..roles import Objective


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """Settings of a fit; `ForceMatching` says what each means."""

    steps: int = 3000
    batch_size: int = 64
    learning_rate: float = 5e-3
    weight_decay: float = 1e-6
    average: float = 0.995
    energy_weight: float = 0.0
    torque_weight: float = 1.0
    validation_fraction: float = 0.15
    validate_every: int = 250
    patience: int = 6
    most_validation_frames: int = 2000
    precision: str = "float32"
    device: str = "cpu"
    compile: str | bool = "auto"
    processes: int = 1
    objectives: Sequence[Objective] | None = None
    weighted: bool | None = None

    def __post_init__(self) -> None:
        expect("ForceMatching", at_least=0, learning_rate=self.learning_rate)
        expect(
            "ForceMatching",
            at_least=1,
            steps=self.steps,
            batch_size=self.batch_size,
            processes=self.processes,
            validate_every=self.validate_every,
            most_validation_frames=self.most_validation_frames,
        )
        expect(
            "ForceMatching",
            at_least=0,
            patience=self.patience,
            weight_decay=self.weight_decay,
            energy_weight=self.energy_weight,
            torque_weight=self.torque_weight,
        )
        for name in ("average", "validation_fraction"):
            share = getattr(self, name)
            if not 0 <= share < 1:
                raise ValueError(
                    f"ForceMatching.{name}: expected 0 or more and less than 1, found {share}"
                )
        if self.batch_size % self.processes:
            raise ValueError(
                f"ForceMatching: expected a batch_size that {self.processes} processes can share "
                f"evenly, found {self.batch_size}"
            )
        if self.precision not in ("float32", "float64"):
            raise ValueError(
                f"ForceMatching: expected precision float32 or float64, found {self.precision!r}"
            )
        if torch.device(self.device).type == "cuda" and not torch.cuda.is_available():
            raise ValueError(
                f"ForceMatching: expected a device of this machine, found {self.device!r} and no "
                "CUDA: take device=cpu"
            )
        self._check_objectives()

    def _check_objectives(self) -> None:
        if self.objectives is None:
            return
        if not isinstance(self.objectives, Sequence) or isinstance(self.objectives, str):
            raise ValueError(
                "ForceMatching.objectives: expected a list of objectives, found "
                f"{self.objectives!r}"
            )
        for one in self.objectives:
            if not isinstance(one, Objective):
                raise ValueError(
                    "ForceMatching.objectives: expected objectives, each a table that says what it "
                    f"is (_target_: ...), found {one!r}"
                )
        if self.energy_weight > 0:
            raise ValueError(
                "ForceMatching: expected the weight of energies in objectives, found energy_weight="
                f"{self.energy_weight} beside them; add MatchEnergies(weight={self.energy_weight})"
            )

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return torch.float64 if self.precision == "float64" else torch.float32
