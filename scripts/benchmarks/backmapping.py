"""Atoms of alanine dipeptide brought back: python scripts/benchmarks/backmapping.py
runs/alanine_dipeptide OUT

Of a finished climb of `experiment=alanine_dipeptide` (or _full), each step with what it came to:
  heavy atoms -> 22 atoms     the backmapper of level 1
  backbone beads -> 22 atoms  one fitted through both mappings, straight from the sites of level 2
  three beads -> 22 atoms     `cgrec descend` from level 3's own simulation: populations of (phi, psi) basins against level 0
and draws a second on one core. What `cgrec analyse-backmapping` and `cgrec descend` have left in
the run is used; what is missing is made. OUT holds the second backmapper. Interrupted, the same
command goes on.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import one_site_water
import torch

import cgrec
from cgrec.commands.analyse_backmapping import AnalyseBackmapping
from cgrec.commands.descend import Descend
from cgrec.level import Level
from cgrec.observables.free_energy import BASINS_ALANINE, basins
from cgrec.observables.ledger import basin_differences
from cgrec.variables import variables_from_config


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--frames", type=int, default=300, help="coarse frames of each kind")
    parser.add_argument("--descend", type=int, default=5000, help="frames to go down with")
    parser.add_argument("--draws", type=int, default=20, help="to each of them, at the first step")
    parser.add_argument("--json", type=Path, help="write everything measured here")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    chain = cgrec.load(arguments.run)
    through = through_both(chain, arguments.out)
    found = {}
    for name, level in (("heavy atoms", chain.levels[1]), ("backbone beads", through)):
        if not (level.folder / "backmapping.json").exists():
            analysis = AnalyseBackmapping(run=str(chain.folder), level=1, frames=arguments.frames)
            analysis.reports(level, chain.levels[0])
        reports = json.loads((level.folder / "backmapping.json").read_text())
        found[name] = {
            key: cgrec.observables.BackmappingReport.from_json(r) for key, r in reports.items()
        }
        for key, report in found[name].items():
            print(f"{name} -> 22 atoms, {key}: {report.table()}\n")
    speed = {
        name: draws_a_second(level)
        for name, level in (("heavy atoms", chain.levels[1]), ("backbone beads", through))
    }
    print(
        one_site_water.table(
            ["draws a second", "with likelihood", "without"], [[k, *v] for k, v in speed.items()]
        )
    )
    if not (chain.folder / "descent_3_0" / "descent.json").exists():
        Descend(
            run=str(chain.folder),
            begin=3,
            to=0,
            frames=arguments.descend,
            draws=arguments.draws,
        )()
    down = descent(chain)
    audits = {
        level.name: json.loads(path.read_text())
        for level in chain.levels[1:]
        for path in [level.folder / "audit.json"]
        if path.exists()
    }
    audits = {
        name: {k: a[k] for k in ("rms", "slope", "entropy", "ess")} for name, a in audits.items()
    }
    for name, a in audits.items():
        print(
            f"audit of {name}: RMS {a['rms'][0]:.3f} +- {a['rms'][1]:.3f} kT, slope "
            f"{a['slope'][0]:.3f} +- {a['slope'][1]:.3f}"
        )
    one_site_water.keep(
        arguments.json,
        {
            "reports": {k: {n: r.to_json() for n, r in v.items()} for k, v in found.items()},
            "draws_a_second": speed,
            "descent": down,
            "audit": audits,
        },
    )


def through_both(chain: cgrec.Chain, folder: Path) -> Level:
    """A level with the sites of level 2 and level 0 for a parent."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "mapping.npz").exists():
        (chain.levels[2].mapping @ chain.levels[1].mapping).save(folder / "mapping.npz")
        chain.levels[2].potential.save(folder / "potential.pt")
        (folder / "frames").symlink_to((chain.levels[2].folder / "frames").resolve())
    return Level(folder, "backbone beads")


def draws_a_second(level: Level, n: int = 2000) -> list[float]:
    """With and without likelihood, from whole calls, medians of five."""
    backmapper = level.backmapper
    coarse = level.frames[np.linspace(0, len(level.frames) - 1, n).astype(int)]
    times = one_site_water.interleaved(
        {
            "with": lambda: timed(backmapper.draw, coarse),
            "without": lambda: timed(backmapper, coarse),
        },
        5,
    )
    return [n / float(np.median(times[k])) for k in ("with", "without")]


def timed(call, coarse: cgrec.Frames) -> float:
    begin = time.perf_counter()
    call(coarse)
    return time.perf_counter() - begin


def descent(chain: cgrec.Chain) -> dict:
    """Basins at level 0: its own, of the descended frames with their weights, and of level 1, which
    is above it.
    """
    variables = tuple(
        v
        for v in variables_from_config(
            {
                "phi": ["ACE:C", "ALA:N", "ALA:CA", "ALA:C"],
                "psi": ["ALA:N", "ALA:CA", "ALA:C", "NME:N"],
            }
        )
    )
    own = chain.levels[0].frames
    steps = json.loads((chain.folder / "descent_3_0" / "descent.json").read_text())["steps"]
    restored = cgrec.Frames.load(chain.folder / "descent_3_0" / "level0")
    rows, populations = basin_differences(restored, own, variables, BASINS_ALANINE), {}
    for name, frames in (("level 0", own), ("descended", restored)):
        populations[name] = {
            b: [v.population, v.population_error]
            for b, v in basins(frames, variables, BASINS_ALANINE).items()
        }
    print(
        one_site_water.table(
            ["down to", "ESS", "of this step", "resampled", "acceptance"],
            [
                [
                    s["level"],
                    s["ess"],
                    s["own_ess"],
                    str(s["resampled"]),
                    s["acceptance"] or float("nan"),
                ]
                for s in steps
            ],
        )
    )
    print(
        one_site_water.table(
            ["basin", "difference / kT", "error"], [[b, *v] for b, v in rows.items()]
        )
    )
    return {"steps": steps, "basins": rows, "populations": populations}


if __name__ == "__main__":
    main()
