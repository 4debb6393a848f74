"""The density network against tensor messages on four problems, at equal time and at equal data.

    python scripts/benchmarks/accuracy.py water_aimd.npz --problem atoms --minutes 2
    python scripts/benchmarks/accuracy.py ala2_coordinates.npy ala2_forces.npy --problem beads
    python scripts/benchmarks/accuracy.py water_onesite.npz --problem water
    python scripts/benchmarks/accuracy.py --problem carbons

The problems: atoms, all-atom water by ab initio forces (of their last 15 %, no noise); beads, five of a
peptide in explicit water; water, one site a molecule; carbons, CLN025's alpha carbons with the mean
forces that ship. Both networks see the same frames with the usual priors and are judged by the last 15 %
(or replicas that are held out). Equal time: so many minutes of one thread each. Equal data: the density
network after as many steps as the tensor messages made. Force errors are root mean squares of a component.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import one_site_water
import torch

import cgrec
from cgrec import Frames, Potential
from cgrec.mapping import Pick
from cgrec.potential import DensityNetwork, TensorNetwork
from cgrec.potential.priors import fitted, priors_by_name
from cgrec.sources.network import without_net_force
from cgrec.training import ForceMatching

#: Share of the frames that is held out: the last ones, or whole replicas.
HELD_OUT = 0.15
#: Steps by which the time of a step is measured.
TRIAL = 12
#: cutoff in nm, frames a step, sizes of the density network, whether it has priors.
PROBLEMS: dict[str, dict[str, Any]] = {
    "atoms": {"cutoff": 0.5, "batch": 2, "layers": 2, "priors": False},
    "beads": {"cutoff": 1.0, "batch": 128, "layers": 1, "priors": True},
    "water": {"cutoff": 0.6, "batch": 4, "layers": 1, "priors": False},
    "carbons": {"cutoff": 1.0, "batch": 64, "layers": 1, "priors": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="*", help="files of the problem")
    parser.add_argument("--problem", choices=PROBLEMS, required=True)
    parser.add_argument("--minutes", type=float, default=2.0, help="of one thread, for each fit")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--channels", type=int, default=16, help="of the tensor messages")
    parser.add_argument("--json", type=Path, help="write the numbers here, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    problem = PROBLEMS[options.problem]
    training, held_out = parts(frames_of(options.problem, options.data))
    density = partial(
        DensityNetwork.for_frames, cutoff=problem["cutoff"], n_layers=problem["layers"]
    )
    tensors = partial(TensorNetwork.for_frames, cutoff=problem["cutoff"], channels=options.channels)
    rows = []
    for seed in range(options.seeds):
        judge = partial(judged, training=training, held_out=held_out, problem=problem, seed=seed)
        many = steps_in(options.minutes, density, training, problem)
        few = steps_in(options.minutes, tensors, training, problem)
        found = {
            "tensor messages": judge(tensors, few),
            "density, equal time": judge(density, many),
            "density, equal data": judge(density, few),
        }
        rows += [{"network": name, "seed": seed, **row} for name, row in found.items()]
        for row in rows[-3:]:
            print(*(f"{k} {v:.5g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
    for name in found:
        errors = [row["error"] for row in rows if row["network"] == name]
        spread = np.std(errors, ddof=1) if len(errors) > 1 else np.nan
        print(f"{name}: {np.mean(errors):.5g} +- {spread:.2g} kJ/mol/nm over {len(errors)} seeds")
    one_site_water.keep(
        options.json, {"problem": options.problem, "minutes": options.minutes, "rows": rows}
    )


def frames_of(problem: str, files: list[Path]) -> Frames:
    """All frames of a problem."""
    if problem == "atoms":
        units = {"length_unit": "angstrom", "energy_unit": "eV", "force_unit": "eV/angstrom"}
        return without_net_force(cgrec.read(files[0], temperature=330.0, **units))
    if problem == "water":
        return one_site_water.read(files[0])
    if problem == "carbons":
        package = Path(cgrec.__file__).parent / "data" / "peptides" / "cln025_alpha_carbons"
        return Frames.load(package)
    sites = ["C1", "N2", "CA", "C4", "N5"]
    frames = cgrec.read(
        files[0],
        forces_path=files[1],
        temperature=300.0,
        species=sites,
        length_unit="angstrom",
        force_unit="kcal/mol/angstrom",
    )
    return Pick(sites)(frames.system)(frames)


def parts(frames: Frames) -> tuple[Frames, Frames]:
    """For training, and held out: the last frames, or the last replicas where there are some."""
    if frames.replicas is None or len(np.unique(frames.replicas)) < 8:
        last = round((1 - HELD_OUT) * len(frames))
        return frames[:last], frames[last:]
    labels = np.unique(frames.replicas)
    own = frames.replicas < labels[round((1 - HELD_OUT) * len(labels))]
    return frames[own], frames[~own]


def steps_in(
    minutes: float, make: Callable[..., Potential], training: Frames, problem: dict[str, Any]
) -> int:
    """Optimiser steps that fit into so much processor time."""
    fit(make, training, problem, 2, 0)  # compiles
    begin = time.process_time()
    fit(make, training, problem, TRIAL, 0)
    ready = time.process_time()
    fit(make, training, problem, 2 * TRIAL, 0)
    of_one = (time.process_time() - ready - (ready - begin)) / TRIAL
    return max(TRIAL, round(60 * minutes / of_one))


def judged(
    make: Callable[..., Potential],
    steps: int,
    *,
    training: Frames,
    held_out: Frames,
    problem: dict[str, Any],
    seed: int,
) -> dict[str, Any]:
    """Root mean square of the force errors, kJ/mol/nm, and the explained fraction."""
    begin = time.process_time()
    found = fit(make, training, problem, steps, seed)
    minutes = (time.process_time() - begin) / 60
    wanted = np.asarray(held_out.need_forces(), float)
    error = found.energy_and_forces(held_out, batch_size=64)[1] - wanted
    return {
        "steps": steps,
        "minutes": minutes,
        "error": float(np.sqrt((error**2).mean())),
        "explained": float(1 - (error**2).sum() / (wanted**2).sum()),
    }


def fit(
    make: Callable[..., Potential],
    training: Frames,
    problem: dict[str, Any],
    steps: int,
    seed: int,
) -> Potential:
    """Priors and network after so many steps."""
    untrained = make(training, seed)
    priors = []
    if problem["priors"]:
        wanted = priors_by_name(cutoff=problem["cutoff"], dihedrals=True)
        priors = fitted(wanted, training, untrained.types)
    trainer = ForceMatching(
        steps=steps,
        batch_size=problem["batch"],
        learning_rate=0.005,
        validate_every=max(1, steps // 3),
        patience=0,
        most_validation_frames=64,
        weighted=False,
    )
    return trainer(untrained, training, priors=priors, seed=seed)[0]


if __name__ == "__main__":
    main()
