"""`FitOptions`: the settings of a fit, checked before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from ..devices import resolved
from ..needs import need
from ..ranges import expect
from ..roles import Objective

#: Of the weights of a potential that is trained.
Precision = Literal["float32", "float64"]


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
    precision: Precision = "float32"
    device: str = "auto"
    compile: Literal["auto"] | bool = "auto"
    processes: int = 1
    objectives: Sequence[Objective] | None = None
    weighted: bool | None = None

    def __post_init__(self) -> None:
        # 0.005 suits networks; springs in kJ/mol/nm^2 take steps of tens
        expect("ForceMatching", at_least=0, at_most=100, learning_rate=self.learning_rate)
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
        expect(
            "ForceMatching",
            at_least=0,
            below=1,
            average=self.average,
            validation_fraction=self.validation_fraction,
        )
        if self.batch_size % self.processes:
            raise ValueError(
                f"ForceMatching.batch_size: expected a number that {self.processes} processes can "
                f"share evenly, found {self.batch_size}; give processes=1, or a multiple of "
                f"{self.processes}"
            )
        if self.precision not in get_args(Precision):
            raise ValueError(
                "ForceMatching.precision: expected float32 or float64, found "
                f"{self.precision!r}; the default is float32"
            )
        if self.processes > 1:
            need("ForceMatching.processes", "lightning_fabric", "distributed")
        resolved(self.device, "ForceMatching.device")
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
    def torch_device(self) -> torch.device:
        """Where it trains. Raises ValueError where that is no device of this machine."""
        return resolved(self.device, "ForceMatching.device")

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return torch.float64 if self.precision == "float64" else torch.float32
