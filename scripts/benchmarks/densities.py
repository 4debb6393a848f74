"""One model over several densities: the pressure of one-site water against its parent's.

    python scripts/references/spce_at_pressure.py water.npz --densities 32.4 33.4 34.4 --length 200
    python scripts/benchmarks/densities.py water.npz --out runs_of_densities

A level is fitted to the parents together (`experiment=water_spce`), its pairs are corrected, and the
volume's own term is learned from their pressures (`PressureMatching`, `pressures`). Then it runs anew at
each density, and at those between: printed are its pressure, with errors, and the parent's. A parent of
densities that the fit has not seen is `--held-out`.
"""

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import one_site_water

import cgrec
from cgrec.level.folder import LevelFolder
from cgrec.observables import pressure
from cgrec.statistics.errors import statistical_inefficiency


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("water", type=Path, help="npz of parents at several densities")
    parser.add_argument("--held-out", type=Path, help="npz of parents at other densities")
    parser.add_argument("--out", type=Path, default=Path("runs_of_densities"))
    parser.add_argument("--length", type=float, default=50.0, help="ps a replica and density")
    parser.add_argument("--steps", type=int, default=2000, help="of the fit")
    parser.add_argument("--json", type=Path, help="write the numbers here, too")
    options = parser.parse_args()
    parents = of_parents(options.water)
    climb(options, parents)
    level = cgrec.load(options.out / "level").levels[1]
    held_out = {} if options.held_out is None else of_parents(options.held_out)
    rows = {}
    for density, (parent, error) in sorted({**parents, **held_out}.items()):
        found = of_level(level, density, options)
        rows[f"{density:.3f}"] = {
            "seen": density in parents,
            "parent": (parent, error),
            "level": found,
            "difference": (found[0] - parent, float(np.hypot(found[1], error))),
        }
        print(
            f"{density:.3f} per nm^3{'' if density in parents else ', not seen'}: parent "
            f"{parent:.0f} +- {error:.0f} bar; level {found[0]:.0f} +- {found[1]:.0f}; "
            f"without the term {found[2]:.0f}"
        )
    one_site_water.keep(options.json, rows)


def of_parents(path: Path) -> dict[float, tuple[float, float]]:
    """{molecules per nm^3: pressure in bar, its error}."""
    with np.load(path) as data:
        density = data["positions"].shape[1] / np.abs(np.linalg.det(data["box"]))
        bars = data["pressure"]
    found = {}
    for one in np.unique(density.round(4)):
        here = bars[np.abs(density / one - 1) < 1e-4]
        independent = len(here) / statistical_inefficiency(here, np.zeros(len(here), int))
        found[float(one)] = (float(here.mean()), float(here.std() / np.sqrt(independent)))
    return found


def climb(options: argparse.Namespace, parents: dict[float, tuple[float, float]]) -> None:
    """The level, from all parents; goes on where it was."""
    pressures = ", ".join(f"[{d}, {bar:.3f}, {error:.3f}]" for d, (bar, error) in parents.items())
    corrections = (
        "levels.l1.corrections=[{_target_: cgrec.corrections.PressureMatching, "
        f"pressures: [{pressures}]}}]"
    )
    subprocess.run(
        [
            *(sys.executable, "-m", "cgrec", "climb", "experiment=water_spce", "threads=1"),
            f"source.path={options.water}",
            f"run={options.out / 'level'}",
            f"levels.l1.training.steps={options.steps}",
            "levels.l1.dynamics.n_replicas=9",
            f"levels.l1.dynamics.length={options.length}",
            corrections,
        ],
        check=True,
    )


def of_level(
    level: LevelFolder, density: float, options: argparse.Namespace
) -> tuple[float, float, float]:
    """bar: pressure in a new run at a density, its error, and what it is without the term."""
    start = options.out / f"start_{density:.3f}"
    if not start.exists():
        squeezed(level.frames, density).save(start)
    frames = level.run(
        to=options.out / f"run_{density:.3f}",
        start=str(start),
        length=options.length,
        save_every=0.25,
        equilibration=10,
        n_replicas=4,
    )
    some = frames[:: max(1, len(frames) // 400)]
    without = sum(
        level.potential.parts[1:-1], start=level.potential.parts[0]
    )  # the term is the last
    found = pressure(level.potential, some)
    return found.value, found.error, pressure(without, some).value


def squeezed(frames: cgrec.Frames, density: float) -> cgrec.Frames:
    """The frames, of whichever box, at one density."""
    boxes = np.asarray(frames.boxes(), float)
    volumes = np.abs(np.linalg.det(boxes))
    scale = (frames.n_sites / density / volumes) ** (1 / 3)
    return replace(
        frames,
        positions=frames.positions * scale[:, None, None],
        box=boxes[0] * scale[0],
        forces=None,
        energies=None,
        weights=None,
    )


if __name__ == "__main__":
    main()
