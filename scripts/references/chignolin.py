"""Parent of CLN025 (YYDPETGTWY) by temperature exchange: python scripts/references/chignolin.py OUT

Amber ff14SB in GBn2, 32 replicas on 4 ladders of 8 temperatures from 300 to 510 K; half of them begin
folded, half unfolded. OUT/unfolded.pdb are the unfolded starts, from 700 K; OUT/level0 the run. The
same command goes on after a stop; a larger --length goes on from the end.

--ship writes the alpha carbons of the three coldest temperatures, with the forces on them, into the
package: what `cgrec climb experiment=chignolin` begins with.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import mdtraj
import numpy as np

from cgrec.dynamics import Exchange, Langevin
from cgrec.frames import Frames
from cgrec.io import write
from cgrec.mapping import alpha_carbons, least_noise
from cgrec.sources import ForceFieldSource, molecule
from cgrec.statistics.temperatures import weights_at

SHIPPED = Path(__file__).resolve().parents[2] / "cgrec" / "data" / "peptides"
FOLDED = SHIPPED / "cln025.pdb"
PARENT = SHIPPED / "cln025_alpha_carbons"
FORCE_FIELD = ("amber14-all.xml", "implicit/gbn2.xml")
#: K at which it unfolds within a nanosecond, and ps it is given for that.
HOT, MELTING = 700.0, 1000.0
#: nm from the native alpha carbons, beyond which nothing of the hairpin is left.
UNFOLDED = 0.45
#: Unfolded starts.
STARTS = 8
#: Temperatures of which frames are shipped: of hotter ones hardly a frame weighs anything at 300 K.
COLDEST = 3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--length", type=float, default=8000, help="ps of each replica")
    parser.add_argument("--ship", action="store_true", help="write what the package ships")
    arguments = parser.parse_args()
    if arguments.ship:
        ship(arguments.out / "level0" / "frames")
        return
    arguments.out.mkdir(parents=True, exist_ok=True)
    unfolded = arguments.out / "unfolded.pdb"
    if not unfolded.exists():
        melt(unfolded, arguments.out / "melt")
    source = ForceFieldSource(
        structure=[*[FOLDED] * unfolded.read_text().count("ENDMDL"), unfolded],
        force_field=FORCE_FIELD,
        temperature=300,
        dynamics=Langevin(
            n_replicas=32,
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


def ship(run: Path) -> None:
    """The alpha carbons of the coldest frames of a run, weighted to the lowest temperature."""
    frames = Frames.load(run)
    temperatures = np.load(run / "temperatures.npy")
    energies = np.load(run / "energies.npy")
    cold = np.flatnonzero(temperatures <= np.unique(temperatures)[COLDEST - 1] + 0.1)
    weights = weights_at(frames.temperature, energies[cold], temperatures[cold])
    chosen = replace(frames[cold], weights=weights, energies=None)
    mapped = least_noise(alpha_carbons(frames.system), chosen)(chosen)
    mapped = replace(
        mapped,
        # their bonds are no chemical ones
        system=replace(mapped.system, elements=("X",) * mapped.n_sites),
        positions=np.asarray(mapped.positions, np.float32),
        forces=np.asarray(mapped.forces, np.float32),
    )
    print(mapped, f"efficiency of the weights {mapped.weight_efficiency():.2f}")
    mapped.save(PARENT)


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
