"""A rule: which sites the next level keeps."""

from __future__ import annotations

from dataclasses import dataclass

from cgrec import Mapping, System
from cgrec.mapping import Pick


@dataclass(frozen=True)
class EveryOther:
    """Every `step`-th site is kept, from the first."""

    step: int = 2

    def __call__(self, system: System) -> Mapping:
        if not 0 < self.step <= system.n_sites:
            raise ValueError(
                f"EveryOther: expected a step of 1 to {system.n_sites}, found {self.step}"
            )
        return Pick([f"#{k}" for k in range(0, system.n_sites, self.step)])(system)
