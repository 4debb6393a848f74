"""Run the all-atom parent of `experiment=nacl` as long as wanted: python
scripts/references/nacl_spce.py OUT --frames 3200

Another concentration is another number of pairs, of waters and another box; at the density of the
bench: `--pairs 19 --waters 505 --box 2.508` is 2.09 mol/kg, `--pairs 10 --waters 535 --box 2.5387`
1.04 mol/kg.

NaCl 4.1 M in SPC/E water: 38 Na, 38 Cl (Joung and Cheatham), 465 waters in a cube of 2.4827 nm at
298 K, PME to 0.9 nm, rigid water, Langevin middle 1/ps, 2 fs; ions and the plain forces on them
every 0.25 ps. The start is a random lattice that is relaxed and run for 300 ps. The box as a whole
diffuses, too, by kT / (mass x friction) = 0.25e-9 m^2/s, as it should under a Langevin thermostat:
take that off diffusion coefficients. Interrupted, the same command goes on. OUT.npz is what
`source.path` of the experiment takes. With --join the frames of another such run follow as a second
replica, its ions in this one's order. With --keep-water the oxygens are kept, too, and frames lie
0.5 ps apart: the reference of scripts/benchmarks/resolvation.py.
"""

import argparse
from pathlib import Path

import numpy as np

from cgrec.sources import OpenMMSource

BOX, IONS, WATERS, TEMPERATURE = 2.4827, 38, 465, 298.0  # nm, of each kind, K
WATER = np.array([[0, 0, 0], [0.081649, 0.057736, 0], [-0.081649, 0.057736, 0]])  # SPC/E, nm


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "out", type=Path, help="folder of the run; the result is written beside it as .npz"
    )
    parser.add_argument("--frames", type=int, default=3200, help="to keep, 0.25 ps apart")
    parser.add_argument("--pairs", type=int, default=IONS, help="of ions")
    parser.add_argument("--waters", type=int, default=WATERS)
    parser.add_argument("--box", type=float, default=BOX, help="side, nm")
    parser.add_argument("--keep-water", action="store_true", help="oxygens, too, 0.5 ps apart")
    parser.add_argument("--join", type=Path, help="npz of another run of the same box")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    structure = arguments.out / "start.pdb"
    if not structure.exists():
        random = np.random.default_rng(arguments.seed)
        write_start(structure, random, arguments.box, arguments.pairs, arguments.waters)
    stride, selection = (250, "name NA CL O") if arguments.keep_water else (125, "name NA CL")
    source = OpenMMSource(
        structure=structure,
        force_field=["amber14/spce.xml"],
        temperature=TEMPERATURE,
        n_frames=arguments.frames,
        stride=stride,
        equilibration=150_000,
        selection=selection,
        platform="CPU",
        frames_per_chunk=100,
    )
    frames = source.make(arguments.out, arguments.seed)
    arrays = {"positions": frames.positions, "forces": frames.forces}
    if arguments.join:
        arrays |= joined(arrays, frames.system.names, arguments.join)
    np.savez_compressed(
        arguments.out.with_suffix(".npz"),
        **arrays,
        site_names=np.array(frames.system.names),
        box=frames.box,
        temperature=TEMPERATURE,
        dt_ps=stride * 0.002,
    )


def joined(
    arrays: dict[str, np.ndarray], names: tuple[str, ...], path: Path
) -> dict[str, np.ndarray]:
    """Arrays with those of `path` behind them, and replica numbers."""
    with np.load(path) as other:
        places = {name: iter(np.flatnonzero(other["site_names"] == name)) for name in set(names)}
        order = [next(places[name]) for name in names]
        both = {k: np.concatenate([a, other[k][:, order]]) for k, a in arrays.items()}
    first = len(arrays["positions"])
    return both | {"replicas": np.repeat([0, 1], [first, len(both["positions"]) - first])}


def write_start(
    path: Path, random: np.random.Generator, box: float, ions: int, waters: int
) -> None:
    """Ions and randomly turned waters on random points of a cubic lattice, as a PDB file."""
    from openmm import Vec3, app
    from openmm.unit import nanometer
    from scipy.spatial.transform import Rotation

    per_side = int(np.ceil((2 * ions + waters) ** (1 / 3)))
    lattice = np.stack(np.meshgrid(*[np.arange(per_side)] * 3, indexing="ij"), -1).reshape(-1, 3)
    places = iter(random.permutation(lattice) * box / per_side)
    topology, positions = app.Topology(), []
    topology.setPeriodicBoxVectors(box * np.eye(3) * nanometer)
    chain, element = topology.addChain(), app.element.Element.getBySymbol
    for name, symbol in [("NA", "Na")] * ions + [("CL", "Cl")] * ions:
        topology.addAtom(name, element(symbol), topology.addResidue(name, chain))
        positions.append(next(places))
    for _ in range(waters):
        residue = topology.addResidue("HOH", chain)
        oxygen, *hydrogens = (
            topology.addAtom(n, element(n[0]), residue) for n in ("O", "H1", "H2")
        )
        for hydrogen in hydrogens:
            topology.addBond(oxygen, hydrogen)
        positions += list(next(places) + Rotation.random(random_state=random).apply(WATER))
    with path.open("w") as file:
        app.PDBFile.writeFile(topology, [Vec3(*map(float, x)) for x in positions] * nanometer, file)


if __name__ == "__main__":
    main()
