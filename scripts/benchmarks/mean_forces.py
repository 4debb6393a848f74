"""How much noise of force labels a short run with the sites held takes away, and what that costs:

    python scripts/benchmarks/mean_forces.py RUN --level 1

RUN is a finished climb whose level below can be run (`source=force_field`, or level 2 and above). Of
some frames of the level below it prints, for each time of averaging, the variance of the mean of the
mapped forces that is no signal, (kJ/mol/nm)^2, and the signal: the covariance of the means over the
two halves. What is slower than a half counts as signal here, and is noise for a fit.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import cgrec
from cgrec.corrections.mean_force import holding
from cgrec.dynamics import Langevin


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--level", type=int, default=1, help="whose sites are held")
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--length", type=float, default=4.0, help="ps")
    parser.add_argument("--friction", type=float, default=5.0, help="1/ps")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    forces, seconds = held_forces(arguments)
    half = forces.shape[1] // 2
    first, second = (
        part - part.mean(0) for part in (forces[:, :half].mean(1), forces[:, half:].mean(1))
    )
    signal = float((first * second).mean())
    print(f"{len(forces)} frames, {arguments.length:g} ps each in {seconds:.0f} s on one thread")
    print(f"signal {signal:,.0f}")
    n = 1
    while n <= forces.shape[1]:
        noise = float(forces[:, :n].mean(1).var(0).mean()) - signal
        print(f"{n * SAVE_EVERY:6.2f} ps: noise {noise:10,.0f}")
        n *= 2


#: ps between forces that are averaged.
SAVE_EVERY = 0.02


def held_forces(arguments: argparse.Namespace) -> tuple[np.ndarray, float]:
    """(n_frames, n_times, n_sites, 3) kJ/mol/nm, and seconds."""
    levels = cgrec.load(arguments.run).levels
    above, below = levels[arguments.level], levels[arguments.level - 1]
    held, centres = holding(above.mapping)
    frames = below.frames
    chosen = np.linspace(0, len(frames) - 1, arguments.frames).round().astype(int)
    engine = Langevin(
        n_replicas=arguments.frames,
        length=arguments.length,
        save_every=SAVE_EVERY,
        equilibration=0.2,
        timestep=0.004,
        friction=arguments.friction,
        minimum_mass=12.0,
        held=held,
        held_centres=centres or None,
    )
    start = replace(frames[chosen], weights=None, replicas=None)
    with tempfile.TemporaryDirectory() as place:
        begin = time.time()
        run, _ = engine(below.potential, start, Path(place) / "run", seed=1)
        seconds = time.time() - begin
        mapped = above.mapping(run)
    replicas = np.asarray(mapped.replicas)
    of_each = [np.asarray(mapped.forces)[replicas == r] for r in np.unique(replicas)]
    longest = max(len(one) for one in of_each)
    return np.stack([one for one in of_each if len(one) == longest]), seconds


if __name__ == "__main__":
    main()
