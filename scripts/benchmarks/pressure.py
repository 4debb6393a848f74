"""One-site water at constant pressure: density and compressibility against its parent's.

    python scripts/references/spce_at_pressure.py water_npt.npz --length 600
    python scripts/benchmarks/pressure.py water_npt.npz --out runs_of_pressure

A level is fitted to the parent (`experiment=water_spce`), its pairs are corrected, the volume's own term is
learned (`PressureMatching`), and it runs at the parent's pressure. Printed: the pressure without the term,
density and compressibility of both with errors, and what the level would be without it.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import one_site_water

import cgrec
from cgrec.statistics.errors import statistical_inefficiency
from cgrec.units import PRESSURE, thermal_energy


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("water", type=Path, help="npz of a parent at constant pressure")
    parser.add_argument("--out", type=Path, default=Path("runs_of_pressure"))
    parser.add_argument("--pressure", type=float, default=1.0, help="bar, of the parent")
    parser.add_argument("--length", type=float, default=300.0, help="ps a replica at pressure")
    parser.add_argument("--steps", type=int, default=2000, help="of the fit")
    parser.add_argument("--json", type=Path, help="write the numbers here, too")
    options = parser.parse_args()
    climb(options)
    level = cgrec.load(options.out / "level").levels[1]
    ran = level.run(
        to=options.out / "at_pressure",
        length=options.length,
        pressure=options.pressure,
        save_every=0.5,
        equilibration=20,
    )
    parent = cgrec.load(options.out / "level").levels[0].frames
    rows = {"parent": of(parent), "level": of(ran)}
    for name, found in rows.items():
        print(name, *(f"{key} {v:.4g} +- {e:.2g}" for key, (v, e) in found.items()), sep="; ")
    one_site_water.keep(options.json, rows)


def climb(options: argparse.Namespace) -> None:
    """The level, from the parent; goes on where it was."""
    corrections = (
        "levels.l1.corrections=[{_target_: cgrec.corrections.PressureMatching, "
        f"pressure: {options.pressure}}}]"
    )
    subprocess.run(
        [
            *(sys.executable, "-m", "cgrec", "climb", "experiment=water_spce", "threads=1"),
            f"source.path={options.water}",
            f"run={options.out / 'level'}",
            f"levels.l1.training.steps={options.steps}",
            "levels.l1.dynamics.n_replicas=8",
            corrections,
        ],
        check=True,
    )


def of(frames: cgrec.Frames) -> dict[str, tuple[float, float]]:
    """Density in sites per nm^3 and compressibility in 1e-6 / bar, with one standard error."""
    volumes = np.abs(np.linalg.det(np.asarray(frames.boxes(), float)))
    independent = len(volumes) / statistical_inefficiency(volumes, frames.replicas)
    mean, variance = volumes.mean(), volumes.var()
    density = frames.n_sites / mean
    squeezed = 1e6 * PRESSURE["bar"] * variance / (mean * thermal_energy(frames.temperature))
    return {
        "density": (density, density * np.sqrt(variance / independent) / mean),
        "compressibility": (squeezed, squeezed * np.sqrt(2 / independent)),
        "independent volumes": (independent, np.nan),
    }


if __name__ == "__main__":
    main()
