"""Compare level 1's own run with the frames of its file source that the climb never saw.

    cgrec climb experiment=five_beads source.path=... source.forces_path=... source.stop=8000 \\
        run=runs/five_beads
    python scripts/benchmarks/held_out.py runs/five_beads

Frames before source.start and from source.stop on are mapped to level 1 and compared on 64x64 bins
(JS in nats).
"""

import argparse
import json
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import OmegaConf

import cgrec
from cgrec.observables import BASINS_ALANINE, ledger_row, table
from cgrec.variables import variables_from_config


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--json", type=Path, help="write the rows here, too")
    arguments = parser.parse_args()
    chain = cgrec.load(arguments.run)
    config = OmegaConf.load(chain.folder / "config.yaml")
    start, stop = config.source.start, config.source.stop
    unseen = [
        {"start": a, "stop": b}
        for a, b in ((None, start), (stop, None))
        if not (a is None and b is None)
    ]
    if not unseen:
        raise SystemExit(
            f"{chain.folder} used every frame: climb again with source.start or source.stop set"
        )
    parts = [instantiate({**config.source, **part}).sample(chain.folder, 0) for part in unseen]
    held_out = chain.levels[1].mapping(cgrec.Frames.concatenate(parts))
    variables = variables_from_config(OmegaConf.to_container(config.variables))
    rows = {}
    for name, ensemble in {
        "model": chain.levels[1].frames,
        "training frames": chain.levels[1].targets,
    }.items():
        print(f"{name} against {len(held_out)} held-out frames")
        row = ledger_row("l1", "level 0", ensemble, held_out, variables, definitions=BASINS_ALANINE)
        rows[name] = row.to_json()
        print(table([row]))
        print("basins, kT:", {k: f"{a:+.2f} +- {b:.2f}" for k, (a, b) in row.basins.items()})
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
