"""What sources that learn an all-atom network share: members of a committee that are trained once,
the force error, and the division of the work into learning and running.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ...frames import Frames
from ...potential import Potential
from ...run.digests import keep, keep_json, made
from ...training import CHECKPOINT, TrainingReport
from ...units import force_factor
from ..base import Stages
from .labelling import Labeller

#: 1 eV/Angstrom in kJ/mol/nm.
EV_PER_ANGSTROM = force_factor("eV/angstrom")


def trained_once(
    place: Path,
    k: int,
    device: torch.device,
    fit: Callable[[Path], tuple[Potential, TrainingReport]],
) -> Potential:
    """Member `k` of a committee: loaded from `place`/member_`k`.pt where it is there, else trained.

    Args:
        place: folder of the committee.
        k: number of the member.
        device: where it is wanted.
        fit: trains it, given the folder for its checkpoints.
    """
    path, own = place / f"member_{k}.pt", place / f"member_{k}"
    if not made(path):
        own.mkdir(exist_ok=True)
        fitted, report = fit(own)
        keep_json(place / f"member_{k}.json", report.to_json())
        keep(path, fitted.save)
    (own / CHECKPOINT).unlink(missing_ok=True)
    return Potential.load(path, device)


def force_rmse(potential: Potential, labelled: Frames) -> float:
    """Root mean square force error per component, kJ/mol/nm."""
    return float(np.sqrt(_square_errors(potential, labelled).mean()))


def _square_errors(potential: Potential, labelled: Frames) -> NDArray[np.float64]:
    """(n_frames,) mean square force error per component, (kJ/mol/nm)^2."""
    off = potential.energy_and_forces(labelled)[1] - labelled.need_forces()
    return np.asarray((off**2).mean((1, 2)), float)


def error_on_own_run(
    labeller: Labeller, potential: Potential, frames: Frames, most: int, seed: int
) -> dict[str, float]:
    """Force error of a network on fresh labels of frames of its own run, which no training has
    seen.

    Args:
        labeller: the quantum chemistry.
        potential: the network.
        frames: of its run.
        most: frames to label.
        seed: of the choice.
    """
    which = np.random.default_rng((seed, 9)).choice(
        len(frames), min(most, len(frames)), replace=False
    )
    labelled, failed = labeller.label(
        frames.system, np.asarray(frames.positions[np.sort(which)], float), frames.temperature
    )
    each = _square_errors(potential, labelled)
    rmse = float(np.sqrt(each.mean()))
    error = float(each.std() / np.sqrt(len(each)) / (2 * rmse)) if rmse else 0.0
    print(
        f"all-atom NNP against the quantum chemistry on {len(labelled)} frames of its own run: force "
        f"RMSE {rmse:.1f} +- {error:.1f} kJ/mol/nm = {rmse / EV_PER_ANGSTROM * 1e3:.1f} +- "
        f"{error / EV_PER_ANGSTROM * 1e3:.1f} meV/A",
        flush=True,
    )
    return {
        "force_rmse": rmse,
        "force_rmse_error": error,
        "force_rmse_frames": len(labelled),
        "not_converged": failed,
    }


def run_apart(recipe: dict[str, object], *also: str) -> Stages:
    """{"learn": ..., "run": ...} of the recipe of a source that learns a network and runs it."""
    run = {k: recipe[k] for k in ("dynamics", "seed", *also)}
    return {"learn": {k: v for k, v in recipe.items() if k not in ("dynamics", *also)}, "run": run}
