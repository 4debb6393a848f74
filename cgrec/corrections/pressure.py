"""`PressureMatching`: let the parent say what the volume costs, which no force of one volume shows.

A level of fewer sites has the forces of its parent and not its pressure: what was averaged over
presses as well. So a term of the volume alone is added (A. Das, H. C. Andersen, J. Chem. Phys. 132,
164106 (2010)). A parent at constant pressure says it by the volumes it has: at each of them the mean
pressure is P + kT d ln p(V)/dV, and the term is the difference from what the level has there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..frames import Frames
from ..potential import Potential, VolumeTerm
from ..ranges import expect
from ..roles import Corrected, Reruns
from ..statistics.errors import statistical_inefficiency
from ..units import PRESSURE, thermal_energy

#: Relative spread of the volumes of a parent below which its box did not change.
STILL = 1e-4
#: Independent volumes of the parent below which their spread, and with it the compressibility, is
#: known to no better than a third.
FEW = 20


@dataclass(frozen=True, kw_only=True)
class PressureMatching:
    """Adds the `VolumeTerm` with which a level at constant pressure has the volumes of its parent.

    The distribution of the parent's volumes is taken to be normal: the term is quadratic. Volumes,
    compressibility and pressure, with their errors, stand in simulation.json.

    Attributes:
        pressure: bar, at which the parent was run.
        most: frames whose virial is computed, of the level's run and of the parent each.
    """

    pressure: float
    most: int = 400

    def __post_init__(self) -> None:
        expect("PressureMatching", at_least=-10_000, at_most=1_000_000, pressure=self.pressure)
        expect("PressureMatching", at_least=10, most=self.most)

    def __call__(
        self, potential: Potential, run: Frames, targets: Frames, again: Reruns
    ) -> Corrected:
        """The potential with the term; the ensemble at the volumes of `run` stays what it is.

        Raises:
            ValueError: the parent has no box, or one that does not change.
        """
        kT = thermal_energy(targets.temperature)
        volumes = _volumes(targets)
        independent = len(volumes) / statistical_inefficiency(volumes, targets.replicas)
        mean, variance = float(volumes.mean()), float(volumes.var())
        if math.sqrt(variance) < STILL * mean:
            raise ValueError(
                "PressureMatching: expected a parent at constant pressure, whose box changes, found "
                f"one of {mean:.4g} nm^3; run it with a barostat, or leave this correction out"
            )
        # structure at many volumes from the parent, its offset from the level's own ensemble
        of_parent, parent = _pressures(potential, self._some(targets))
        slope = float(np.polyfit(of_parent - mean, parent, 1)[0])
        looked_at = self._some(run)
        of_run, own = _pressures(potential, looked_at)
        offsets = own - slope * (of_run - mean)
        pressure = float(offsets.mean())
        known = len(offsets) / statistical_inefficiency(offsets, looked_at.replicas)
        error = float(offsets.std() / math.sqrt(known))
        bar = PRESSURE["bar"]
        first = pressure - self.pressure * bar
        second = slope + kT / variance
        n = targets.n_sites
        term = VolumeTerm(
            types=potential.types,
            volume=mean / n,
            coefficients=[first * mean / n, second * mean**2 / (2 * n)],
        ).made_at(targets.temperature)
        about = {
            "pressure": {
                "at": self.pressure,
                "without_term": pressure / bar,
                "error": error / bar,
                "volume": mean,
                "volume_error": math.sqrt(variance / independent + (error * variance / kT) ** 2),
                "compressibility": variance / (mean * kT) * bar,
                "compressibility_error": variance / (mean * kT) * bar * math.sqrt(2 / independent),
                "independent_volumes": independent,
            }
        }
        print(
            f"volume: without a term the level presses with {pressure / bar:.0f} +- {error / bar:.0f} "
            f"bar where its parent has {self.pressure:g}"
            + ("" if independent > FEW else f"; {independent:.0f} independent volumes are few")
        )
        return Corrected(potential + term, frames=run, about=about)

    def _some(self, frames: Frames) -> Frames:
        """At most `most` of them, spread over all."""
        return frames[np.linspace(0, len(frames) - 1, min(self.most, len(frames))).astype(int)]


def _pressures(
    potential: Potential, frames: Frames
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """nm^3 and kJ/mol/nm^3: volume and pressure of each frame, of molecules that move as wholes."""
    _, forces, virials = potential.energy_forces_virial(frames)
    x = np.asarray(frames.positions, float)
    within = np.zeros(len(frames))
    molecules = frames.system.molecule_sites()
    for sites in molecules:
        if len(sites) > 1:
            arms = x[:, sites] - x[:, sites].mean(1, keepdims=True)
            within += (arms * forces[:, sites]).sum((1, 2))
    volumes = _volumes(frames)
    between = np.trace(virials, axis1=1, axis2=2) - within
    thermal = len(molecules) * thermal_energy(frames.temperature)
    return volumes, (thermal + between / 3) / volumes


def _volumes(frames: Frames) -> NDArray[np.float64]:
    """(n_frames,) nm^3. Raises ValueError without a box."""
    boxes = frames.boxes()
    if boxes is None:
        raise ValueError(
            "PressureMatching: expected a system in a box, found an open one; leave it out"
        )
    return np.abs(np.linalg.det(np.asarray(boxes, float)))
