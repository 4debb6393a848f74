"""What can be made of a finished level: a backmapper, a fast potential, the friction of its sites.

`Level` has the same as methods.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..backmapping import BACKMAPPERS, Backmapper
from ..corrections import FrictionRound, fit_friction
from ..corrections.distillation import DistillationReport, distil
from ..devices import resolved
from ..dynamics import Langevin
from ..files import Json
from ..frames import Frames
from ..observables.transport import Diffusion, diffusion
from ..options import keywords_of
from ..run import layout
from ..run.digests import keep, keep_json, open_record
from ..run.lock import only_here
from ..training import split
from .folder import LevelFolder
from .maker import training_frames

#: Share of the finer level's frames that no backmapper is fitted to, so that it can be judged by
#: them.
HELD_OUT = 0.15


def fit_backmapper(
    level: LevelFolder, below: LevelFolder, method: str = "flow", **options: object
) -> Backmapper:
    """Make backmapper.pt, which undoes the mapping from the level below.

    Args:
        level: whose mapping is undone.
        below: whose frames it is fitted to, but for a share of their blocks by which it can be
            judged (`HELD_OUT`). Weights that are a function of this level's sites say nothing
            about atoms given sites, and are left out.
        method: "flow", "library" or "template".
        options: of `FlowBackmapper.fit` or `LibraryBackmapper.fit`, which `help` shows; a
            template has none.

    Raises:
        FileExistsError: it is there already. ValueError: an unknown method.
    """
    if method not in BACKMAPPERS:
        raise ValueError(
            f"fit_backmapper: expected method {', '.join(BACKMAPPERS)}, found {method!r}"
        )
    path = level.folder / layout.BACKMAPPER
    if path.exists():
        raise FileExistsError(f"{path} exists already: remove it yourself to fit another")
    with only_here(level.folder):
        return _fit_backmapper(level, below, method, path, options)


def _fit_backmapper(
    level: LevelFolder, below: LevelFolder, method: str, path: Path, options: Json
) -> Backmapper:
    begin = time.time()
    shown: Json = (
        {"name": f"{level.name}: backmapper", "folder": level.folder} if method == "flow" else {}
    )
    fitted = BACKMAPPERS[method].fit(
        backmapping_frames(level, below)[0], level.mapping, **shown, **options
    )
    about = {"method": method, "options": options, "seconds": time.time() - begin}
    keep_json(level.folder / layout.ABOUT_BACKMAPPER, about)
    keep(path, fitted.save)
    for checkpoint in level.folder.glob("flow_*.checkpoint.pt"):
        checkpoint.unlink()
    return fitted


def backmapping_frames(level: LevelFolder, below: LevelFolder) -> tuple[Frames, Frames]:
    """Frames of the level below a backmapper is fitted to, and those it is judged by."""
    fine = below.frames
    bias = below.bias_variables()
    same = training_frames(fine, level.mapping(replace(fine, forces=None)), bias).weights is None
    training, held = split(fine, HELD_OUT)
    fitted_to = fine[training]
    return replace(fitted_to, weights=None if same else fitted_to.weights), fine[
        np.concatenate(held)
    ]


@keywords_of(distil)
def distil_level(level: LevelFolder, **options: Any) -> DistillationReport:
    """Make distilled.pt, a fast potential, of its PMF, and distilled.json, what was lost.

    Args:
        level: with a potential and frames.
        options: of `cgrec.corrections.distillation.distil`.

    Raises:
        FileExistsError: it is there already.
        FileNotFoundError: the level has no potential, or no frames yet.
    """
    path = level.folder / layout.DISTILLED
    if path.exists():
        raise FileExistsError(f"{path} exists already: remove it yourself to distil again")
    with only_here(level.folder):
        distilled, report = distil(level.potential.to(resolved()), level.frames, **options)
        keep_json(level.folder / layout.ABOUT_DISTILLED, {**asdict(report), "options": options})
        keep(path, distilled.save)
    return report


def fit_level_friction(
    level: LevelFolder,
    *,
    interval: float,
    length: float = 100.0,
    timestep: float = 0.01,
    replicas: int = 8,
    rounds: int = 4,
    friction: float = 5.0,
    seed: int = 0,
) -> tuple[dict[str, Diffusion], list[FrictionRound]]:
    """Find the friction of each site type with which this level diffuses as its parent does;
    leaves friction/ and friction.json.

    Args:
        level: of a liquid.
        interval: ps between the parent's frames, which must be unwrapped and unbiased.
        length: ps, of each run.
        timestep: ps.
        replicas: of each run.
        rounds: runs at most.
        friction: 1/ps to begin with.
        seed: of the runs.

    Returns:
        The parent's diffusion by type, and the rounds (see `cgrec.corrections.fit_friction`).
    """
    targets = level.targets
    wanted = {t: diffusion(targets, t, interval) for t in sorted(set(targets.system.types))}
    _need_motion(wanted)
    dynamics = Langevin(
        n_replicas=replicas,
        length=length,
        timestep=timestep,
        save_every=max(interval, timestep),
        equilibration=0.1 * length,
        friction=friction,
    )
    aims = {t: float(d.value) for t, d in wanted.items()}
    with only_here(level.folder):
        open_record(level.folder / layout.FRICTION)
        found = fit_friction(
            level.potential.to(resolved()),
            level.frames,
            aims,
            dynamics,
            level.folder / layout.FRICTION,
            rounds=rounds,
            seed=seed,
        )
        parent = {t: [float(d.value), float(d.error)] for t, d in wanted.items()}
        about = {"parent": parent, "rounds": [asdict(r) for r in found]}
        keep_json(level.folder / layout.ABOUT_FRICTION, about)
    return wanted, found


def _need_motion(wanted: Mapping[str, Diffusion]) -> None:
    """Refuse a parent in which a type does not diffuse: no friction does as much."""
    for kind, found in wanted.items():
        if not found.value > 0:
            raise ValueError(
                f"friction: expected frames of the parent in which {kind} diffuses, found D = "
                f"{1e3 * found.value:.3f} +- {1e3 * found.error:.3f} 1e-9 m^2/s. Give a longer "
                "parent whose sites are not put back into the box, or measure another one"
            )
