"""`fit_friction`: the Langevin friction of each site type with which a coarse model diffuses as its
parent does.

A coarse model has lost the solvent's and the atoms' friction with their coordinates, and how fast
it moves is not in its PMF. The thermostat's friction gives one number back per site type, its
long-time diffusion; nothing says that other time scales come right with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..dynamics.langevin import Langevin
from ..frames import Frames
from ..observables.transport import diffusion, friction_for_diffusion
from ..potential.base import Potential
from ..run.digests import keep_json

#: Relative deviation of a diffusion coefficient that is good enough: a choice.
TOLERANCE = 0.05


@dataclass(frozen=True)
class FrictionRound:
    """One run of the fit.

    Attributes:
        friction: 1/ps by type, as run.
        diffusion: {type: [D, standard error]}, nm^2/ps.
    """

    friction: dict[str, float]
    diffusion: dict[str, list[float]]


def fit_friction(
    potential: Potential,
    start: Frames,
    targets: Mapping[str, float],
    dynamics: Langevin,
    folder: str | Path,
    *,
    rounds: int = 4,
    tolerance: float = TOLERANCE,
    seed: int = 0,
) -> list[FrictionRound]:
    """Run, measure, correct, until every diffusion coefficient is within `tolerance` of its target.

    Args:
        potential: the PMF.
        start: frames to start from.
        targets: {site type: D of the parent}, nm^2/ps. Types that are missing keep their friction.
        dynamics: length and time step of each run, and the friction to begin with.
        folder: of the runs and rounds.json; a fit that was interrupted goes on.
        rounds: runs at most.
        tolerance: relative.
        seed: of the runs.

    Returns:
        All rounds; the last is the closest to the end, its friction the result.

    Raises:
        ValueError: a target for a type that is not there.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    types = sorted(set(start.system.types))
    if unknown := sorted(set(targets) - set(types)):
        raise ValueError(
            f"fit_friction: expected targets for some of the types {types}, found {unknown}"
        )
    given = dynamics.friction
    friction = dict(given) if isinstance(given, Mapping) else {t: float(given) for t in types}
    done: list[FrictionRound] = []
    for k in range(rounds):
        frames = _run(potential, start, dynamics, friction, folder / f"round_{k}", seed + k)
        interval = dynamics.stride * dynamics.timestep
        measured = {t: diffusion(frames, t, interval) for t in types}
        done.append(
            FrictionRound(
                dict(friction), {t: [float(d.value), float(d.error)] for t, d in measured.items()}
            )
        )
        keep_json(folder / "rounds.json", [asdict(r) for r in done])
        print(_line(done[-1], targets), flush=True)
        if all(abs(measured[t].value / d - 1) < tolerance for t, d in targets.items()):
            break
        for t, target in targets.items():
            before = None if k == 0 else (done[-2].friction[t], done[-2].diffusion[t][0])
            friction[t] = friction_for_diffusion(friction[t], measured[t].value, target, before)
    return done


def _run(
    potential: Potential,
    start: Frames,
    dynamics: Langevin,
    friction: dict[str, float],
    place: Path,
    seed: int,
) -> Frames:
    if place.exists():
        return Frames.load(place)
    run = replace(dynamics, friction=dict(friction))
    return run(potential, start, place, seed=seed, name=place.name)[0]


def _line(found: FrictionRound, targets: Mapping[str, float]) -> str:
    parts = [
        f"{t}: friction {found.friction[t]:.3g}/ps, D {1e3 * d:.3f} +- {1e3 * e:.3f}"
        + (f" of {1e3 * targets[t]:.3f}" if t in targets else "")
        for t, (d, e) in found.diffusion.items()
    ]
    return "; ".join(parts) + " 1e-9 m^2/s"
