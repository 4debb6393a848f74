"""`PressureMatching`: let the parent say what the volume costs, which no force of one volume shows.

A level of fewer sites has the forces of its parent and not its pressure: what was averaged over
presses as well. So a term of the volume alone is added (A. Das, H. C. Andersen, J. Chem. Phys. 132,
164106 (2010)). A parent at constant pressure says it by the volumes it has: at each of them the mean
pressure is P + kT d ln p(V)/dV, and the term is the difference from what the level has there. One
that was run at several densities says it by the pressures it had.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..files import Json
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
#: Share by which a density that is given may differ from that of frames.
SAME = 2e-3
#: Coefficients of the term at most, by parents of several densities.
MOST_POWERS = 3


@dataclass(frozen=True, kw_only=True)
class PressureMatching:
    """Adds the `VolumeTerm` with which a level at constant pressure has the volumes of its parent.

    By a parent at constant pressure: the distribution of its volumes is taken to be normal, and the
    term is quadratic. By a parent of several densities: the term has as many coefficients as there
    are densities, three at most. What was found, with errors, stands in simulation.json.

    Attributes:
        pressure: bar, at which the parent was run.
        pressures: in place of it, of each density of the parent: sites per nm^3, bar, and the
            error in bar where it is known.
        most: frames whose virial is computed, of the level's run and of the parent each.
    """

    pressure: float | None = None
    pressures: Sequence[Sequence[float]] = ()
    most: int = 400

    def __post_init__(self) -> None:
        expect("PressureMatching", at_least=10, most=self.most)
        if (self.pressure is None) == (not self.pressures):
            raise ValueError(
                "PressureMatching: expected the pressure of a parent at constant pressure, or the "
                "pressures of one at several densities, found "
                + ("neither" if self.pressure is None else "both")
            )
        if self.pressure is not None:
            expect("PressureMatching", at_least=-10_000, at_most=1_000_000, pressure=self.pressure)
            return
        if len(self.pressures) < 2 or not all(len(row) in (2, 3) for row in self.pressures):
            raise ValueError(
                "PressureMatching.pressures: expected [sites per nm^3, bar] or [sites per nm^3, bar, "
                f"error] of two densities at least, found {[list(row) for row in self.pressures]}"
            )

    def __call__(
        self, potential: Potential, run: Frames, targets: Frames, again: Reruns
    ) -> Corrected:
        """The potential with the term; the ensemble at the volumes of `run` stays what it is.

        Raises:
            ValueError: the parent has no box, one that does not change, or other densities than
                those whose pressures are given.
        """
        volume = float(_volumes(targets).mean()) / targets.n_sites
        known = potential, run, targets, self.most
        if self.pressure is None:
            coefficients, about = _by_densities(self.pressures, *known)
        else:
            coefficients, about = _by_volumes(self.pressure, *known)
        term = VolumeTerm(types=potential.types, volume=volume, coefficients=coefficients)
        term.made_at(targets.temperature)
        return Corrected(potential + term, frames=run, about={"pressure": about})


def _by_volumes(
    at: float, potential: Potential, run: Frames, targets: Frames, most: int
) -> tuple[list[float], Json]:
    """Coefficients of the term by the volumes of a parent at constant pressure, and what is
    said of them.
    """
    kT = thermal_energy(targets.temperature)
    volumes = _volumes(targets)
    independent = len(volumes) / statistical_inefficiency(volumes, targets.replicas)
    mean, variance = float(volumes.mean()), float(volumes.var())
    if math.sqrt(variance) < STILL * mean:
        raise ValueError(
            "PressureMatching: expected a parent at constant pressure, whose box changes, found "
            f"one of {mean:.4g} nm^3; run it with a barostat, give the pressures of parents at "
            "several densities, or leave this correction out"
        )
    # structure at many volumes from the parent, its offset from the level's own ensemble
    of_parent, parent = _pressures(potential, _some(targets, most))
    slope = float(np.polyfit(of_parent - mean, parent, 1)[0])
    looked_at = _some(run, most)
    of_run, own = _pressures(potential, looked_at)
    pressure, error = _mean(own - slope * (of_run - mean), looked_at)
    bar = PRESSURE["bar"]
    first = pressure - at * bar
    second = slope + kT / variance
    n = targets.n_sites
    about = {
        "at": at,
        "without_term": pressure / bar,
        "error": error / bar,
        "volume": mean,
        "volume_error": math.sqrt(variance / independent + (error * variance / kT) ** 2),
        "compressibility": variance / (mean * kT) * bar,
        "compressibility_error": variance / (mean * kT) * bar * math.sqrt(2 / independent),
        "independent_volumes": independent,
    }
    print(
        f"volume: without a term the level presses with {pressure / bar:.0f} +- {error / bar:.0f} "
        f"bar where its parent has {at:g}"
        + ("" if independent > FEW else f"; {independent:.0f} independent volumes are few")
    )
    return [first * mean / n, second * mean**2 / (2 * n)], about


def _by_densities(
    pressures: Sequence[Sequence[float]],
    potential: Potential,
    run: Frames,
    targets: Frames,
    most: int,
) -> tuple[list[float], Json]:
    """Coefficients of the term by the pressures of parents at several densities, and what is
    said of them.
    """
    bar, volume = PRESSURE["bar"], float(_volumes(targets).mean()) / targets.n_sites
    given = np.array([[*row, 0.0][:3] for row in pressures])
    given = given[given[:, 0].argsort()]
    _check_densities(given[:, 0], targets, run)
    own = np.array([_at(potential, run, density, most) for density in given[:, 0]]) / bar
    strain = 1 / (given[:, 0] * volume) - 1
    error = np.hypot(own[:, 1], given[:, 2])
    powers = np.arange(1, min(len(given), MOST_POWERS) + 1)
    design = -powers * strain[:, None] ** (powers - 1) / (volume * bar)
    weights = 1 / np.maximum(error, 1e-3)  # frames that are all alike have no error
    missing = given[:, 1] - own[:, 0]
    coefficients = np.linalg.lstsq(design * weights[:, None], missing * weights, rcond=None)[0]
    with_term = own[:, 0] + design @ coefficients
    print("pressure, bar, of the parent; of the level without a term, with it:")
    for (density, pressure, _), (without, _), its, found in zip(given, own, error, with_term):
        print(
            f"    {density:.4g} sites per nm^3: {pressure:.0f}; {without:.0f}, {found:.0f} "
            f"+- {its:.0f}"
        )
    return coefficients.tolist(), {
        "densities": given[:, 0].tolist(),
        "parent": given[:, 1].tolist(),
        "without_term": own[:, 0].tolist(),
        "with_term": with_term.tolist(),
        "error": error.tolist(),
    }


def _at(potential: Potential, run: Frames, density: float, most: int) -> tuple[float, float]:
    """kJ/mol/nm^3: mean pressure of the level at one of its densities, and its error."""
    looked_at = _some(run[_near(run, density)], most)
    return _mean(_pressures(potential, looked_at)[1], looked_at)


def _some(frames: Frames, most: int) -> Frames:
    """At most `most` of them, spread over all."""
    return frames[np.linspace(0, len(frames) - 1, min(most, len(frames))).astype(int)]


def _near(frames: Frames, density: float) -> NDArray[np.intp]:
    """Frames of a density, sites per nm^3."""
    own = frames.n_sites / _volumes(frames)
    return np.flatnonzero(np.abs(own / density - 1) < SAME)


def _check_densities(given: NDArray[np.float64], targets: Frames, run: Frames) -> None:
    """ValueError where a density of the parent has no pressure, or the level has no frames at one."""
    known = sum(len(_near(targets, density)) for density in given)
    if known != len(targets):
        found = np.unique(np.round(targets.n_sites / _volumes(targets), 3))
        raise ValueError(
            "PressureMatching.pressures: expected a pressure for each density of the parent, "
            f"{found[:6].tolist()} sites per nm^3{' and others' if len(found) > 6 else ''}, "
            f"found them for {given.tolist()}"
        )
    for density in given:
        if not len(_near(run, density)):
            raise ValueError(
                "PressureMatching: expected replicas of the level at each density of its parent, found "
                f"none at {density:g} sites per nm^3: give more dynamics.n_replicas, which start "
                "from frames spread over all of the parent's"
            )


def _mean(values: NDArray[np.float64], frames: Frames) -> tuple[float, float]:
    """Weighted mean of a value of each frame, and its standard error."""
    weights = np.ones(len(values)) if frames.weights is None else frames.weights
    mean = float(np.average(values, weights=weights))
    variance = float(np.average((values - mean) ** 2, weights=weights))
    counted = len(values) * frames.weight_efficiency()
    return mean, math.sqrt(variance * statistical_inefficiency(values, frames.replicas) / counted)


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
