"""Make small runs of every shipped experiment and command, and compare all that they leave, bit for
bit, with another time.

Before a change of the code that should change no result:

    python scripts/benchmarks/products.py make before

and after it, on the same machine:

    python scripts/benchmarks/products.py make after
    python scripts/benchmarks/products.py compare before after

What tells time (seconds, commits) is left out, as are pages and books of digests. Inputs that no
experiment ships, five beads and ions, are drawn here from harmonic wells: they need to be the same
twice, not good.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from crash_points import BOOKS, content, different

KT = 2.494  # kJ/mol at 300 K
TINY_RUN = (
    "n_replicas=4",
    "length=0.1",
    "save_every=0.01",
    "equilibration=0.01",
    "timestep=0.0005",
)
TINY_FIT = ("steps=150", "validate_every=50", "batch_size=32")
ALWAYS = ("threads=1", "++go_on=true", "bins=8")
#: Files that hold times or words and no result.
NO_RESULT = BOOKS | {"config.yaml", "remarks.json"}


def tiny(
    *levels: str, run: tuple[str, ...] = TINY_RUN, fit: tuple[str, ...] = TINY_FIT
) -> list[str]:
    """Overrides that shrink the levels of an experiment."""
    overrides = [*ALWAYS]
    for level in levels:
        overrides += [f"++levels.{level}.dynamics.{option}" for option in run]
        overrides += [f"++levels.{level}.training.{option}" for option in fit]
    return overrides


def sprung(
    rest: np.ndarray, n: int, spring: float, kT: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(n, sites, 3) positions and forces of sites each held to the mean of all: nothing moves as a
    whole.
    """
    moved = rng.normal(0, np.sqrt(kT / spring), (n, *rest.shape))
    moved -= moved.mean(1, keepdims=True)
    return rest + moved, -spring * moved


def five_beads(folder: Path) -> list[str]:
    """Coordinates and forces of five sites of a peptide in wells, as two .npy, and the overrides
    that read them.
    """
    rng = np.random.default_rng(1)
    # angstrom
    rest = np.array(
        [[0.0, 0, 0], [1.2, 0.6, 0.0], [2.5, 0.0, 0.3], [3.7, 0.8, -0.2], [4.8, 0.1, 0.4]]
    )
    positions, forces = sprung(rest, 400, 100.0, KT / 4.184, rng)  # kcal/mol/A^2
    np.save(folder / "xyz.npy", positions)
    np.save(folder / "forces.npy", forces)
    return [f"source.path={folder / 'xyz.npy'}", f"source.forces_path={folder / 'forces.npy'}"]


def ions(folder: Path) -> list[str]:
    """Eight sodium and eight chloride ions in wells in a box of 2.4 nm, as npz, and the override
    that reads them.
    """
    rng = np.random.default_rng(2)
    grid = (
        np.stack(np.meshgrid(*3 * [np.arange(3)], indexing="ij"), -1).reshape(-1, 3)[:16] * 0.8
        + 0.3
    )
    positions, forces = sprung(grid, 60, 500.0, KT, rng)  # kJ/mol/nm^2
    np.savez(
        folder / "ions.npz",
        positions=positions,
        forces=forces,
        box=np.full((60, 3), 2.4),
        species=np.array(["Na", "Cl"] * 8),
    )
    return [f"source.path={folder / 'ions.npz'}", "source.temperature=300"]


def commands(folder: Path) -> dict[str, list[str]]:
    """{name: command}; a command that needs a run comes after the one that makes it."""
    chain, alanine = f"run={folder / 'chain'}", f"run={folder / 'alanine'}"
    bias = ["growth=0.02", "height=0.05"]
    biased = [
        f"++levels.{level}.dynamics.bias.{option}" for level in ("l1", "l2") for option in bias
    ]
    source = [
        f"++source.dynamics.{option}"
        for option in (
            "n_replicas=32",
            "length=2",
            "save_every=0.1",
            "equilibration=0.3",
            "bias.growth=0.5",
        )
    ]
    fast = ("n_replicas=4", "length=1", "save_every=0.1", "equilibration=0.2")
    return {
        "chain": [
            "climb",
            "experiment=gaussian_chain",
            "source.n_frames=60",
            *tiny("l1", "l2", "l3", run=fast),
            chain,
        ],
        "alanine": [
            "climb",
            *tiny("l1", "l2", "l3"),
            *biased,
            *source,
            "++source.check_labels=0",
            alanine,
        ],
        "five_beads": [
            "climb",
            "experiment=five_beads",
            *five_beads(folder),
            *tiny("l1"),
            *biased[:2],
            f"run={folder / 'beads'}",
        ],
        "water": ["climb", "experiment=water", *tiny("l1"), f"run={folder / 'water'}"],
        "nacl": ["climb", "experiment=nacl", *ions(folder), *tiny("l1"), f"run={folder / 'nacl'}"],
        "descend": ["descend", alanine, "from=2", "to=0", "method=library", "frames=8", "rounds=1"],
        "distil": ["distil", alanine, "level=2", "n_frames=20", "n_held_out=5", "three_cutoff=0"],
        "export": ["export", "lammps", alanine, "level=2", f"to={folder / 'lammps'}"],
        "map": ["map", alanine, "level=0", "n_sites=3", f"to={folder / 'map'}"],
    }


def make(folder: Path, names: list[str]) -> None:
    """Give the commands, each in a process of its own; what they print stays beside what they make."""
    folder.mkdir(parents=True, exist_ok=False)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for name, command in commands(folder.resolve()).items():
        if names and name not in names:
            continue
        begin = time.time()
        with (folder / f"{name}.log").open("w") as log:
            done = subprocess.run(
                [sys.executable, "-m", "cgrec", *command], stdout=log, stderr=log, env=environment
            )
        print(f"{name}: exit {done.returncode}, {time.time() - begin:.0f} s", flush=True)
        if done.returncode:
            raise SystemExit(f"{name} failed:\n{(folder / f'{name}.log').read_text()[-2000:]}")


def left(folder: Path) -> dict[str, object]:
    """{file: what it says} of all that was made."""
    files = [
        p
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name not in NO_RESULT and p.suffix != ".log"
    ]
    return {str(p.relative_to(folder)): content(p) for p in files}


def main() -> None:
    """Make, or compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    making = verbs.add_parser("make")
    making.add_argument("folder", type=Path)
    making.add_argument("names", nargs="*", help="of commands; all where none is given")
    comparing = verbs.add_parser("compare")
    comparing.add_argument("folders", nargs=2, type=Path)
    options = parser.parse_args()
    if options.verb == "make":
        make(options.folder, options.names)
        return
    before, after = (left(folder) for folder in options.folders)
    changed = different(after, before)
    print(
        f"{len(before)} files before, {len(after)} after, {len(changed)} differ",
        *changed,
        sep="\n  ",
    )
    sys.exit(bool(changed))


if __name__ == "__main__":
    main()
