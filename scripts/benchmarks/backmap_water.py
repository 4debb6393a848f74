"""Atoms of liquid water brought back from one site a molecule: python
scripts/benchmarks/backmap_water.py runs/water --copies 2

Takes frames of level 1's own simulation of `experiment=water` (with --copies 2 of a box of 512
molecules run by its potential), puts geometries of level 0 on the sites in random directions, takes
the strain out, and turns the molecules by null-space Langevin dynamics under the all-atom NNP while
every centre of mass stays where it is. Compares O-O, O-H and H-H radial distributions from 0.15 nm
on with those of level 0, for each half of the dynamics. Interrupted, the same command goes on.
"""

import argparse
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import one_site_water
import torch

import cgrec
from cgrec.backmapping import LibraryBackmapper, minimise, null_space_langevin
from cgrec.dynamics import Langevin
from cgrec.files import package_path
from cgrec.observables.liquid import mean_absolute_difference, radial_distributions
from cgrec.potential import Potential

LOW = 0.15  # nm: everything between molecules


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path, help="folder for the pieces")
    parser.add_argument("--copies", type=int, default=1, help="of the box along each axis")
    parser.add_argument("--frames", type=int, default=16, help="coarse frames to restore")
    parser.add_argument("--length", type=float, default=8.0, help="ps of null-space dynamics")
    parser.add_argument(
        "--pieces", type=int, default=8, help="of the dynamics; between them it can be interrupted"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write everything measured here")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    level0, level1 = cgrec.load(arguments.run).levels[:2]
    atoms, mapping = level0.frames, level1.mapping
    coarse = coarse_frames(level1, arguments)
    if arguments.copies > 1:
        mapping = cgrec.mapping.MoleculeCentres()(
            one_site_water.replicated(atoms[:1], arguments.copies).system
        )
        coarse = replace(coarse, system=mapping.coarse)
    backmapper = LibraryBackmapper.fit(atoms, level1.mapping).of(mapping)
    nnp = Potential.load(package_path("package:water_nnp") / "committee.pt").members[0]
    pieces = dynamics(backmapper, coarse, nnp, arguments)
    rows = []
    for name, some in (
        ("first half", pieces[: len(pieces) // 2]),
        ("second half", pieces[len(pieces) // 2 :]),
    ):
        frames = cgrec.Frames.concatenate([replace(p, replicas=np.arange(len(p))) for p in some])
        frames = replace(frames, replicas=np.concatenate([p.replicas for p in some]))
        rows += compare(name, frames, atoms)
        miss = np.abs(mapping(some[-1][-len(coarse) :]).positions - coarse.positions).max()
        print(f"{name}: centres of mass off by {miss:.1e} nm")
    print(table(rows))
    one_site_water.keep(
        arguments.json,
        {
            "molecules": coarse.n_sites,
            "rows": rows,
            **{k: str(v) for k, v in vars(arguments).items()},
        },
    )


def coarse_frames(level: cgrec.Level, arguments: argparse.Namespace) -> cgrec.Frames:
    """Frames of level 1's own simulation, in a larger box run anew."""
    own = level.frames
    if arguments.copies == 1:
        return replace(
            own[np.linspace(0, len(own) - 1, arguments.frames).astype(int)],
            forces=None,
            weights=None,
        )
    folder = arguments.out / "coarse"
    if not folder.exists():
        start = one_site_water.replicated(own[:1], arguments.copies)
        run = Langevin(
            n_replicas=arguments.frames, length=1, save_every=1, equilibration=20, timestep=0.01
        )
        run(level.potential, start, folder, name="larger box")
    return replace(cgrec.Frames.load(folder), forces=None)


def dynamics(
    backmapper: LibraryBackmapper,
    coarse: cgrec.Frames,
    nnp: Potential,
    arguments: argparse.Namespace,
) -> list[cgrec.Frames]:
    """Pieces of null-space dynamics, kept one by one, each four frames of every coarse frame."""
    pieces: list[cgrec.Frames] = []
    for k in range(arguments.pieces):
        folder = arguments.out / f"piece{k}"
        if not folder.exists():
            generator = torch.Generator().manual_seed(k)
            last = (
                pieces[-1][-len(coarse) :]
                if pieces
                else minimise(backmapper(coarse), backmapper.mapping, nnp, steps=100)
            )
            steps = int(arguments.length / arguments.pieces / 0.0005)
            null_space_langevin(
                last,
                backmapper.mapping,
                nnp,
                steps=steps,
                save_every=steps // 4,
                generator=generator,
                name=f"piece {k + 1} of {arguments.pieces}",
            ).save(folder)
        pieces.append(cgrec.Frames.load(folder))
    return pieces


def compare(name: str, frames: cgrec.Frames, reference: cgrec.Frames) -> list[dict]:
    """Differences of g(r) up to half the smaller box."""
    both = [{g.types: g for g in radial_distributions(f)} for f in (frames, reference)]
    rows = []
    for types in both[0]:
        high = min(g[types].r[-1] for g in both)
        rows.append(
            {
                "which": name,
                "types": types,
                **asdict(mean_absolute_difference(*(g[types] for g in both), LOW, high)),
            }
        )
    return rows


def table(rows: list[dict]) -> str:
    return one_site_water.table(
        ["", "g(r)", "mean difference", "error", "floor"],
        [[r["which"], "-".join(r["types"]), r["value"], r["error"], r["floor"]] for r in rows],
    )


if __name__ == "__main__":
    main()
