"""Whether a parent by temperature exchange is sampled, for a protein that folds:

    python scripts/benchmarks/folding_parent.py RUN/level0/frames --native cgrec/data/peptides/cln025.pdb

Foldings and unfoldings of the replicas as they walk along the ladder (RMSD of alpha carbons below
--low, above --high), their round trips in temperature, what is folded in each fifth of the run, free
energy of folding at the lowest temperature (RMSD below --folded), and how far its two halves lie
apart, in time and by replicas: Jensen-Shannon divergence of pair distances, less the floor of what
halves of that many independent frames show.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from folding import described

from cgrec.dynamics.walks import round_trips
from cgrec.frames import Frames
from cgrec.mapping import alpha_carbons
from cgrec.observables import pair_distance_divergence, transitions
from cgrec.statistics.drift import drift, progress
from cgrec.variables import RMSD


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("frames", type=Path)
    parser.add_argument("--native", type=Path, required=True, help="PDB file")
    parser.add_argument("--folded", type=float, default=0.2, help="nm")
    parser.add_argument("--low", type=float, default=0.15, help="nm")
    parser.add_argument("--high", type=float, default=0.4, help="nm")
    parser.add_argument("--from", dest="first", type=float, default=0.2, help="share left out")
    arguments = parser.parse_args()
    frames = Frames.load(arguments.frames)
    frames = alpha_carbons(frames.system)(frames)
    rmsd = RMSD(structure=arguments.native)
    values = rmsd.of(frames)
    counted = transitions(values, arguments.low, arguments.high, frames.replicas)
    print(f"replicas: {counted.down} foldings, {counted.up} unfoldings (+- {counted.error:.1f})")
    walks = np.load(arguments.frames / "walks.npy")
    print(f"round trips in temperature: {round_trips(walks, walks.max()).sum()}")
    _, time = progress(frames)
    fifths = [values[(time >= k / 5) & (time < (k + 1) / 5)] for k in range(5)]
    shares = ", ".join(f"{np.mean(part < arguments.folded):.3f}" for part in fifths)
    print(f"folded, of all temperatures, in each fifth: {shares}")
    kept = frames[np.flatnonzero(time >= arguments.first)]
    print(f"from {arguments.first:.0%} on: {described(rmsd, kept, arguments.folded)}")
    moved = drift(kept, rmsd.of(kept))
    print(f"drift of RMSD in it: {moved.shift:+.2f} +- {moved.error:.2f} of its spread")
    late = progress(kept)[1] >= 0.5
    odd = np.asarray(kept.replicas) % 2 == 1
    for name, second in (("time", late), ("replicas", odd)):
        halves = pair_distance_divergence(
            kept[np.flatnonzero(second)], kept[np.flatnonzero(~second)]
        ).divergence
        print(
            f"halves by {name}: {halves.js:.4f}, floor {halves.floor:.4f}, "
            f"excess {halves.js - halves.floor:.4f} +- {halves.error:.4f}"
        )


if __name__ == "__main__":
    main()
