"""A short run of the priors alone, before anything is trained: what they cannot bear, no network
mends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..dynamics import AllLost, Langevin
from ..frames import Frames
from ..potential import HarmonicPrior, Potential, SumPotential
from ..remarks import remark
from ..roles import Engine
from ..stopping import Stopped

#: Replicas and steps: of an unstable time step, each factor of two in energy takes a few steps.
REPLICAS, STEPS = 16, 300
#: Share of the replicas that may be lost: some starts lie where priors are steep.
LOST = 0.25
#: Options of the level's own engine that the trial has, too, beside its time step.
_SAME = (
    "friction",
    "minimum_mass",
    "held",
    "held_centres",
    "skin",
    "other_temperature",
    "other_density",
    "compile",
)


def try_priors(name: str, priors: Sequence[Potential], frames: Frames, engine: Engine) -> None:
    """Run `priors` from `frames` with the time step of `engine`; nothing for engines of others.

    Args:
        name: of the level.
        priors: fitted to `frames`.
        frames: of the level below, mapped.
        engine: of the level.

    Raises:
        ValueError: more than a quarter of the replicas are lost, or more than with half of the time
            step; it names the time step and the period of the stiffest bond.
    """
    if not priors or not isinstance(engine, Langevin):
        return
    lost = _lost(name, priors, frames, engine, engine.timestep)
    if not lost:
        return
    length = STEPS * engine.timestep
    said = (
        f"levels.{name}.dynamics.timestep={engine.timestep:g}: of {REPLICAS} replicas under the priors "
        f"alone {lost} are lost within {length:g} ps, before anything is trained"
    )
    # of starts that lie where priors are steep, as many are lost with a shorter step
    if lost > LOST * REPLICAS or lost > _lost(name, priors, frames, engine, engine.timestep / 2):
        raise ValueError(f"{said}; expected all to live. {_way_out(priors, frames, engine)}")
    remark(f"{said}, and as many with half of this step. {_way_out(priors, frames, engine)}")


def _lost(
    name: str,
    priors: Sequence[Potential],
    frames: Frames,
    engine: Langevin,
    timestep: float,
) -> int:
    """Replicas that are lost within `STEPS` steps of the engine, run with another time step."""
    length = STEPS * engine.timestep
    options = Langevin(
        n_replicas=REPLICAS,
        timestep=timestep,
        length=length,
        save_every=length / 3,
        equilibration=0,
        use_lost=True,
        **same_engine(engine),
    )
    with TemporaryDirectory() as place:
        try:
            run = options(
                SumPotential(list(priors)),
                frames,
                Path(place) / "run",
                name=f"{name}: priors alone",
            )
        except AllLost:
            return REPLICAS
        except Stopped as stop:  # its checkpoint goes with the folder
            raise Stopped(stop.number, "the trial of the priors begins anew") from None
    return len(run[1].lost)


def same_engine(engine: Langevin) -> dict[str, Any]:
    """What a trial run has of the engine of a level, beside its replicas and times."""
    return {f.name: getattr(engine, f.name) for f in fields(Langevin) if f.name in _SAME}


def _way_out(priors: Sequence[Potential], frames: Frames, engine: Langevin) -> str:
    """What to do, with the period of the stiffest bond where there are bonds."""
    periods = [
        _shortest_period(prior, np.maximum(frames.system.masses, engine.minimum_mass))
        for prior in priors
        if isinstance(prior, HarmonicPrior) and prior.sites.shape[1] == 2
    ]
    if not periods:
        return "Shorten the time step"
    return (
        f"The stiffest bond has a period of {min(periods):.2g} ps: a time step of a tenth of that, "
        f"{min(periods) / 10:.2g} ps, is safe, or give light sites more mass (minimum_mass)"
    )


def _shortest_period(bonds: HarmonicPrior, masses: np.ndarray) -> float:
    """ps, 2 pi sqrt(reduced mass / stiffness) of the bond where it is shortest."""
    i, j = bonds.sites.cpu().numpy().T
    reduced = masses[i] * masses[j] / (masses[i] + masses[j])
    return float((2 * np.pi * np.sqrt(reduced / bonds.stiffness.cpu().numpy())).min())
