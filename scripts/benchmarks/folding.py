"""Figures of a level of alpha carbons beside its parent, for a protein that folds:

    python scripts/benchmarks/folding.py RUN --native cgrec/data/peptides/cln025.pdb

Free energy of folding (RMSD below --folded), mode of RMSD in the native basin, foldings and unfoldings
in the level's own run (below --low, above --high), and the excess Jensen-Shannon divergence of pair
distances and of the two slowest components (TICA of the pair distances, found in the level's own run:
frames of a parent may be no trajectory).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import cgrec
from cgrec.frames import Frames
from cgrec.observables import pair_distance_divergence, transitions
from cgrec.observables.free_energy import compare_distributions
from cgrec.statistics import jackknife_rows
from cgrec.variables import RMSD, TICA, PairDistances, single_numbers


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--native", type=Path, required=True, help="PDB file")
    parser.add_argument("--level", type=int, default=1)
    parser.add_argument("--folded", type=float, default=0.2, help="nm")
    parser.add_argument("--low", type=float, default=0.15, help="nm")
    parser.add_argument("--high", type=float, default=0.4, help="nm")
    parser.add_argument("--lag", type=int, default=20, help="frames, of TICA")
    arguments = parser.parse_args()
    level = cgrec.load(arguments.run).levels[arguments.level]
    own, parent = level.frames, level.targets
    rmsd = RMSD(structure=arguments.native)
    for name, frames in (("level", own), ("parent", parent)):
        print(f"{name}: {described(rmsd, frames, arguments.folded)}")
    counted = transitions(rmsd.of(own), arguments.low, arguments.high, own.replicas)
    print(
        f"own run: {counted.down} foldings, {counted.up} unfoldings (+- {counted.error:.1f} of both)"
    )
    lost = level.report["replicas"]
    print(f"lost: {lost['lost']} of {lost['started']} replicas")
    pairs = pair_distance_divergence(own, parent).divergence
    print(f"pair distances: excess {pairs.js - pairs.floor:.4f} +- {pairs.error:.4f}")
    slow = TICA.fit(own, PairDistances(), lag=arguments.lag, dim=2)
    parts = single_numbers(slow, own.system)
    found = compare_distributions(own, parent, parts, bins=32).divergence
    print(f"TICA: excess {found.js - found.floor:.4f} +- {found.error:.4f}")


def described(rmsd: RMSD, frames: Frames, folded: float) -> str:
    """Share that is folded and its free energy in kT, each with an error, and the mode of RMSD."""
    values = rmsd.of(frames)
    inside = (values < folded).astype(float)[:, None]
    share = jackknife_rows(frames, inside)
    energy = jackknife_rows(frames, inside, lambda mean: np.log(mean / (1 - mean)))
    edges = np.arange(0, folded + 0.01, 0.01)
    weights = frames.normalised_weights()
    counts, _ = np.histogram(values, edges, weights=weights)
    mode = edges[counts.argmax()] + 0.005
    return (
        f"folded {share.value[0]:.3f} +- {share.error[0]:.3f}, -Delta F "
        f"{energy.value[0]:+.2f} +- {energy.error[0]:.2f} kT, mode of RMSD {mode:.3f} nm"
    )


if __name__ == "__main__":
    main()
