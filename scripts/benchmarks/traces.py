"""Proteins from their C-alpha trace by `cgrec.backmap`, whose library saw none of them: python
scripts/benchmarks/traces.py FILE.pdb ... --force-field amber14-all.xml implicit/gbn2.xml

The trace of the first frame of each file is filled in by both backbones, with and without the force
field. Norleucine is restored as methionine.

rmsd       nm, without superposition: N, CA, C, O; all heavy atoms that both have
seconds    of processor time for one frame, the mean of `--frames` copies of it
clashes    see `cgrec.backmapping.contacts`; "own": in the file, where it has hydrogens
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from one_site_water import table

import cgrec
from cgrec.backmapping.contacts import contacts
from cgrec.backmapping.restoring import BACKBONES
from cgrec.remarks import Remark

HEAD = [
    "file",
    "residues",
    "backbone",
    "force field",
    "cis",
    "hands",
    "broken",
    "clashes",
    "own",
    "rmsd backbone",
    "heavy",
    "seconds",
]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--force-field", nargs="*", default=[])
    parser.add_argument("--frames", type=int, default=1)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", Remark)
    rows = []
    for path in arguments.files:
        for backbone in BACKBONES:
            for files in [[], arguments.force_field][: 1 + bool(arguments.force_field)]:
                rows.append(row(path, backbone, files, arguments.frames))
                print(" ".join(rows[-1]), flush=True)
    print(table(HEAD, rows))


def row(path: Path, backbone: str, files: list[str], n: int) -> list[str]:
    """Of one file and choice."""
    true = cgrec.read(path, temperature=300.0, selection="protein")[:1]
    trace = cgrec.read(path, temperature=300.0, selection="name CA")[:1]
    rename = ["NLE:MET"] if "NLE" in trace.system.residue_names else []
    begin = time.process_time()
    made = cgrec.backmap(trace[[0] * n], backbone=backbone, force_field=files, rename=rename)
    seconds = (time.process_time() - begin) / n
    sound = made.sound
    own = contacts(true).clashes[0] if "H" in true.system.elements else "-"
    return [
        path.stem,
        str(trace.n_sites),
        backbone,
        "yes" if files else "no",
        str(sum(sound.cis.values())),
        str(sum(sound.wrong_hands.values())),
        str(sound.broken),
        f"{sound.clashes:.1f}",
        str(own),
        *(f"{v:.4f}" for v in rmsd(made.frames, true)),
        f"{seconds:.1f}",
    ]


def rmsd(made: cgrec.Frames, true: cgrec.Frames) -> tuple[float, float]:
    """nm of N, CA, C, O and of all heavy atoms that both have, mean over frames of the squares."""
    keys = zip(true.system.residue_numbers, true.system.names)
    there = {(int(r), name): k for k, (r, name) in enumerate(keys)}
    keys = zip(made.system.residue_numbers, made.system.names)
    pairs = [
        (k, there[int(r), name])
        for k, (r, name) in enumerate(keys)
        if name[0] != "H" and (int(r), name) in there
    ]
    i, j = np.array(pairs).T
    squares = ((made.positions[:, i] - true.positions[:, j]) ** 2).sum(-1)
    backbone = np.isin(np.array(made.system.names)[i], ["N", "CA", "C", "O"])
    return float(np.sqrt(squares[:, backbone].mean())), float(np.sqrt(squares.mean()))


if __name__ == "__main__":
    main()
