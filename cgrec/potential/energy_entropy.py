"""`EnergyEntropy`: a PMF of several temperatures, W(R; T) = E(R) - T S(R)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor, nn

from ..frames import SAME_TEMPERATURE, Frames
from ..system import System
from .base import Potential, PotentialState, SumPotential, joint_state, summands
from .graph import SiteGraph
from .network import DensityNetwork

#: Share by which a temperature may lie outside the range of the frames.
BEYOND = 0.02
#: What to do where there is one temperature only.
SEVERAL = (
    "EnergyEntropy: expected frames of several temperatures, found {found}; sample them by exchange "
    "(source.dynamics.exchange={{_target_: cgrec.dynamics.Exchange, highest: 1.3, rungs: 6, keep: "
    "all}}), or take a PMF of one temperature (DensityNetwork)"
)


class EnergyEntropy(Potential):
    """A PMF split into energy and entropy, from frames of several temperatures.

    The mean force at each temperature is -grad E + T grad S, so frames of all temperatures train
    both parts. What is stored are two networks: the PMF at one temperature T0, W0 = E - T0 S, and
    its slope V = T0 dW/dT = -T0 S. So W(T) = W0 + (T / T0 - 1) V, and a run at T0 costs no more than
    one network. E and S are taken as independent of temperature, which is good for some tens of
    kelvin: the rest is a heat capacity.

    Args:
        parts: W0 and V, over one table of types.
        reference: K, T0.
        temperatures: (lowest, highest) K of the frames it was made from.
        states: the parts as `to_state` wrote them, when loaded from disk.

    Attributes:
        temperature: K it is evaluated at. A batch for training has a temperature for each frame.
    """

    own_forces = True
    parts: Sequence[Potential]  # a ModuleList
    temperatures: tuple[float, float]

    def __init__(
        self,
        parts: Sequence[Potential] | None = None,
        *,
        reference: float,
        temperatures: Sequence[float],
        states: Sequence[PotentialState] = (),
    ) -> None:
        parts = list(parts or [Potential.from_state(state) for state in states])
        super().__init__(types=parts[0].types, cutoff=max(part.cutoff for part in parts))
        self.add_module("parts", nn.ModuleList(parts))
        self.reference = reference
        self.temperatures = (temperatures[0], temperatures[1])
        self.at_state_of(*parts)

    @classmethod
    def for_frames(
        cls,
        frames: Frames,
        seed: int = 0,
        *,
        cutoff: float,
        network: Callable[..., Potential] = DensityNetwork.for_frames,
    ) -> EnergyEntropy:
        """Untrained, for frames that know their `temperatures`.

        Args:
            frames: it is to be trained on; T0 is their temperature.
            seed: of the initial weights.
            cutoff: nm.
            network: (frames, seed, cutoff=nm) -> untrained Potential, which makes W0 and V.

        Raises:
            ValueError: the frames are of one temperature.
        """
        known = frames.temperatures
        if known is None or np.ptp(known) < SAME_TEMPERATURE:
            raise ValueError(SEVERAL.format(found=f"{frames.temperature:g} K alone"))
        return cls(
            [network(frames, seed + k, cutoff=cutoff) for k in range(2)],
            reference=float(frames.temperature),
            temperatures=[float(known.min()), float(known.max())],
        )

    @property
    def free(self) -> Potential:
        """W0."""
        return self.parts[0]

    @property
    def slope(self) -> Potential:
        """V."""
        return self.parts[1]

    def check(self, system: System) -> None:
        self.free.check(system)

    def energy(self, graph: SiteGraph) -> Tensor:
        rise = self._rise(graph)
        free = self.free.energy(graph)
        return free if rise is None else free + rise * self.slope.energy(graph)

    def forward(self, graph: SiteGraph, differentiable: bool = False) -> tuple[Tensor, Tensor]:
        rise = self._rise(graph)
        energy, force = self.free(graph, differentiable)
        if rise is None:
            return energy, force
        more, pull = self.slope(graph, differentiable)
        pull = graph.per_frame(pull) * rise[:, None, None]
        return energy + rise * more, force + pull.reshape(force.shape)

    def entropy(self, graph: SiteGraph) -> Tensor:
        """(n_frames,) kJ/mol/K, S up to a constant."""
        return -self.slope.energy(graph) / self.reference

    def at(self, temperature: float) -> Potential:
        """What it is at another temperature in K: W0 itself at T0.

        Raises:
            ValueError: beyond the temperatures of its frames.
        """
        low, high = self.temperatures
        if not low * (1 - BEYOND) <= temperature <= high * (1 + BEYOND):
            raise ValueError(
                f"temperature: expected {low:g} to {high:g} K, of which there were frames to learn "
                f"from, found {temperature:g} K; sample the level below there, too, and fit again"
            )
        if abs(temperature - self.reference) < SAME_TEMPERATURE:
            self.free.density = self.density
            return self.free
        other = copy.copy(self)
        other.temperature = temperature
        return other

    def compiled(self) -> EnergyEntropy:
        parts = [part.compiled() for part in self.parts]
        found = EnergyEntropy(parts, reference=self.reference, temperatures=self.temperatures)
        found.temperature = self.temperature
        return found

    def to_state(self) -> PotentialState:
        state = joint_state(self, "parts", self.parts)
        of_both = {"reference": self.reference, "temperatures": list(self.temperatures)}
        return {**state, "config": {**state["config"], **of_both}}

    def _rise(self, graph: SiteGraph) -> Tensor | None:
        """(n_frames,) T / T0 - 1; None where it is zero for all."""
        sampled = graph.frame_temperatures
        if sampled is not None:
            return sampled / self.reference - 1
        now = self.temperature
        if now is None or abs(now - self.reference) < SAME_TEMPERATURE:
            return None
        return graph.positions.new_full((graph.n_frames,), now / self.reference - 1)


def thermal_part(potential: Potential) -> EnergyEntropy | None:
    """The part of a potential that knows several temperatures; None where there is none."""
    return next((p for p in summands(potential) if isinstance(p, EnergyEntropy)), None)


def at_temperature(potential: Potential, temperature: float) -> Potential:
    """A potential whose `thermal_part` is that of `temperature` in K; without one it is returned as
    it is. Its other parts, priors and corrections, are taken as energies.

    Raises:
        ValueError: beyond the temperatures that it was made from.
    """
    if isinstance(potential, EnergyEntropy):
        return potential.at(temperature)
    if not isinstance(potential, SumPotential) or thermal_part(potential) is None:
        return potential
    found = SumPotential(
        [
            part.at(temperature)
            if isinstance(part, EnergyEntropy)
            else copy.deepcopy(part).made_at(temperature)
            for part in potential.parts
        ]
    )
    found.density = potential.density
    return found
