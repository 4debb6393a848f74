"""Print what a finished run measured as one table: python scripts/benchmarks/figures.py
runs/alanine_dipeptide

Distributions are compared on 64x64 bins; excess is JS minus its sampling floor, in nats (see
cgrec.observables).
"""

import argparse
import json
from pathlib import Path

import numpy as np

import cgrec
from cgrec.units import force_factor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--json", type=Path, help="write the table here, too")
    arguments = parser.parse_args()
    chain = cgrec.load(arguments.run)
    seconds = json.loads((chain.folder / "run.json").read_text())["seconds"]
    rows = [
        ("wall time of the whole climb", f"{seconds / 60:.1f} min"),
        *level_zero(chain.levels[0]),
    ]
    rows += [row for level in chain.levels[1:] for row in level_rows(level)]
    print(f"| figure | {chain.folder.name} |\n|---|---|")
    for figure, value in rows:
        print(f"| {figure} | {value} |")
    if arguments.json:
        arguments.json.write_text(json.dumps(dict(rows), indent=1, ensure_ascii=False))


def level_zero(level):
    run = level.simulation
    if not run:
        return
    if "force_rmse" in run:
        milli = run["force_rmse"] / force_factor("eV/angstrom") * 1e3
        yield (
            f"NNP against its labels, {run['force_rmse_frames']} frames of its own run",
            f"{milli:.1f} meV/Å",
        )
    yield (
        "NNP dynamics, replicas lost",
        f"{len(run['lost'])} of {run['replicas']} "
        f"({run['simulated'] / run['replicas'] * 1e3:.0f} ps each)",
    )
    yield from common(level, run)


def level_rows(level):
    report = level.report
    lost = report["replicas"]
    yield (
        f"{level.folder.name}: sites; explained force fraction",
        f"{report['n_sites']}; {report['explained_fraction']:.4f}",
    )
    yield f"{level.folder.name}: replicas lost", f"{lost['lost']} of {lost['started']}"
    for row in report["ledger"]:
        where = (
            f"{level.folder.name}: {row['level']} against {row['against']}, "
            f"{' '.join(row['variables'])}"
        )
        numbers = (
            f"{row['excess']:+.4f} ± {row['error']:.4f} (floor {row['floor']:.4f}, N_eff "
            f"{row['n_eff_model']:.0f}/{row['n_eff_reference']:.0f})"
        )
        yield f"{where}: excess JS", numbers
        for basin, (value, error) in row["basins"].items():
            if value is not None and row["against"] == "level 0":
                yield f"{where}: basin {basin}", f"{value:+.2f} ± {error or np.nan:.2f} kT"
    yield from common(level, level.simulation)


def common(level, run):
    kinetic, error = run["kinetic_temperature"]
    yield (
        f"{level.folder.name}: kinetic temperature; weight efficiency",
        f"{kinetic:.1f} ± {error:.1f} K; {run['weight_efficiency']:.2f}",
    )
    for centre, count in level.report.get("chirality_flips", {}).items():
        yield (
            f"{level.folder.name}: chirality flips at {centre}",
            f"{count} of {len(level.frames)} frames",
        )


if __name__ == "__main__":
    main()
