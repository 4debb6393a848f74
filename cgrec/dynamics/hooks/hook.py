"""`Hook`: the moments of a run at which something else can be done."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ...frames import Frames
from ...potential.base import Potential
from ...roles import Replicas


class Hook:
    """Does nothing at every moment: inherit it and write the moments that you need.

    A hook holds settings, and one object serves many runs: each run takes a copy, to which `begin`
    gives all that changes.

    Attributes:
        warm_up: ps that it needs before the equilibration.
        pushes: whether `push` is called at each step. Frames then have weights, which take out what
            was pushed.
    """

    warm_up: float = 0.0
    pushes: bool = False

    def begin(self, replicas: Replicas, potential: Potential, start: Frames) -> None:
        """Before the first step, and before `restore`."""

    def push(self, replicas: Replicas) -> tuple[Tensor, Tensor]:
        """(n_replicas,) energies in kJ/mol and forces in kJ/mol/nm that are added at these
        positions. They move the sites, and stay out of the labels of frames.
        """
        raise NotImplementedError(f"{type(self).__name__}.pushes is set, so it needs push()")

    def after_step(self, replicas: Replicas) -> None:
        """After every step."""

    def at_frame(self, replicas: Replicas) -> None:
        """After every stretch, before what lives is kept as frames: the moment to `lose` some."""

    def about_lost(self, replicas: Replicas, replica: int) -> Mapping[str, float]:
        """What the report should say of where a replica was lost."""
        return {}

    def state(self) -> object:
        """What `restore` needs, of plain values and tensors."""
        return None

    def restore(self, state: object, replicas: Replicas) -> None:
        """Go on from a `state`."""

    def about(self) -> Mapping[str, object]:
        """What simulation.json should say, as json."""
        return {}

    def finish(self, folder: Path) -> None:
        """At the end: leave in `folder` what belongs beside the frames."""
