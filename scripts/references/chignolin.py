"""Parent of CLN025 (YYDPETGTWY) by temperature exchange: python scripts/references/chignolin.py OUT

Amber ff14SB in GBn2, 16 replicas on 2 ladders of 8 temperatures from 300 to 510 K; three of eleven
begin folded, the others unfolded. Few replicas, because each needs some 10 ns to forget how it began.
OUT/unfolded.pdb are the unfolded starts, from 700 K; OUT/level0 the run. The same command goes on
after a stop. What ships was made by the default length.

--ship writes alpha carbons of the run with the mean forces on them, from a run of 1.2 ps with the
alpha carbons held for each frame (OUT/labels; it goes on after a stop), into the package: what
`cgrec climb experiment=chignolin` begins with.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import mdtraj
import numpy as np

from cgrec.corrections import MeanForces
from cgrec.dynamics import Exchange, Langevin
from cgrec.frames import Frames
from cgrec.io import write
from cgrec.mapping import alpha_carbons, least_noise
from cgrec.potential import Potential
from cgrec.sources import ForceFieldSource, molecule
from cgrec.statistics.drift import progress
from cgrec.statistics.temperatures import weights_at

SHIPPED = Path(__file__).resolve().parents[2] / "cgrec" / "data" / "peptides"
FOLDED = SHIPPED / "cln025.pdb"
PARENT = SHIPPED / "cln025_alpha_carbons"
FORCE_FIELD = ("amber14-all.xml", "implicit/gbn2.xml")
#: K at which it unfolds within a nanosecond, and ps it is given for that.
HOT, MELTING = 700.0, 1000.0
#: nm from the native alpha carbons, beyond which nothing of the hairpin is left.
UNFOLDED = 0.45
#: Unfolded and folded starts.
STARTS, FOLDED_STARTS = 8, 3
#: Frames that are shipped of each temperature, from cold to hot. Hot ones weigh nothing at 300 K: they
#: are there for their mean forces, so that a model knows more than the two basins.
SHIPPED_OF_EACH = (6000, 4000, 3500, 3500, 3500, 3200, 3000, 3300)
#: Share of the run in which it forgets its starts, and what a frame of it weighs beside others.
RELAXING, EARLY = 0.2, 1e-6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--length", type=float, default=24400, help="ps of each replica")
    parser.add_argument("--ship", action="store_true", help="write what the package ships")
    arguments = parser.parse_args()
    if arguments.ship:
        ship(arguments.out)
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    unfolded = arguments.out / "unfolded.pdb"
    if not unfolded.exists():
        melt(unfolded, arguments.out / "melt")
    source = ForceFieldSource(
        structure=[*[FOLDED] * FOLDED_STARTS, unfolded],
        force_field=FORCE_FIELD,
        temperature=300,
        dynamics=Langevin(
            n_replicas=16,
            length=arguments.length,
            save_every=5,
            equilibration=100,
            timestep=0.004,
            minimum_mass=12,
            friction=0.5,
            keep_energies=True,
            exchange=Exchange(highest=1.7, rungs=8, every=50, keep="all"),
        ),
    )
    frames = source.make(arguments.out / "level0", seed=1)
    print(frames)


def ship(out: Path) -> None:
    """Alpha carbons of some frames of each temperature, weighted to the lowest, with mean forces."""
    if PARENT.exists():
        raise SystemExit(f"{PARENT}: what shipped before is there; remove it first")
    run = out / "level0" / "frames"
    frames = Frames.load(run)
    temperatures = np.load(run / "temperatures.npy")
    rungs = np.unique(temperatures.round(1))
    of_rung = [np.flatnonzero(abs(temperatures - rung) < 0.2) for rung in rungs]
    rng = np.random.default_rng(0)
    drawn = [rng.choice(own, n, replace=False) for own, n in zip(of_rung, SHIPPED_OF_EACH)]
    chosen = np.sort(np.concatenate(drawn))
    mapping = least_noise(alpha_carbons(frames.system), frames[of_rung[0]])
    atoms = replace(frames[chosen], weights=None, energies=None)
    potential = Potential.load(out / "level0" / "potential.pt").compiled()
    labels = MeanForces()(potential, atoms, mapping, mapping(atoms), out / "labels", seed=1)
    energies = np.load(run / "energies.npy")[chosen]
    weights = weights_at(frames.temperature, energies, temperatures[chosen])
    _, before = progress(frames)
    weights *= np.where(before[chosen] < RELAXING, EARLY, 1.0)
    labels = replace(
        labels,
        # their bonds are no chemical ones
        system=replace(labels.system, elements=("X",) * labels.n_sites),
        positions=np.asarray(labels.positions, np.float32),
        forces=np.asarray(labels.forces, np.float32),
        weights=weights / weights.mean(),
    )
    print(labels, f"efficiency of the weights {labels.weight_efficiency():.2f}")
    labels.save(PARENT)


def melt(path: Path, folder: Path) -> None:
    """Unfolded starts, from a hot run, as models of a PDB."""
    potential, start = molecule(FOLDED, FORCE_FIELD, HOT)
    engine = Langevin(
        n_replicas=STARTS,
        length=50,
        equilibration=MELTING,
        save_every=50,
        timestep=0.002,
        minimum_mass=12,
    )
    frames, _ = engine(potential, start, folder, seed=1, name="melt")
    native = mdtraj.load(str(FOLDED))
    found = mdtraj.Trajectory(np.asarray(frames.positions), native.topology)
    carbons = native.topology.select("name CA")
    away = mdtraj.rmsd(found, native, atom_indices=carbons) > UNFOLDED
    print(f"{away.sum()} of {len(frames)} frames at {HOT:.0f} K are unfolded")
    write(frames[np.flatnonzero(away)[-STARTS:]], path)


if __name__ == "__main__":
    main()
