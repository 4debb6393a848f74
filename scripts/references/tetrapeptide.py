"""Too few frames of a short peptide, to see that a level made from them is not believed: python
tetrapeptide.py OUT

Ac-Asn-Asn-Gln-Gln-NHMe under amber14 in implicit water (OBC2) at 300 K, 2 fs, bonds to hydrogen
rigid: 140 frames 0.5 ps apart, all from one extended start, so that the slow dihedrals are hardly
sampled. The chain is built from standard bond lengths and angles (R. A. Engh & R. Huber, Acta
Cryst. A47, 392 (1991)), hydrogens by OpenMM. A minute on one core. OUT/frames is what `cgrec climb
experiment=tetrapeptide source.path=OUT/frames` takes. With --pack FILE the frames are also written
small, as tests/data/tetrapeptide.npz is.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from cgrec.frames import Frames
from cgrec.sources import OpenMMSource

SEQUENCE = ("ACE", "ASN", "ASN", "GLN", "GLN", "NME")
#: Name: three atoms it is placed from, and bond (angstrom), angle, dihedral (degrees); "-" is the
#: residue before.
BACKBONE = {
    "N": ("-N", "-CA", "-C", 1.329, 116.2, 135.0),
    "CA": ("-CA", "-C", "N", 1.458, 121.7, 180.0),
    "C": ("-C", "N", "CA", 1.525, 111.2, -75.0),
    "O": ("N", "CA", "C", 1.231, 120.8, -45.0),
    "CB": ("-C", "N", "CA", 1.530, 110.4, 165.0),
}
SIDE_CHAINS = {
    "ASN": {
        "CG": ("N", "CA", "CB", 1.516, 112.6, -65.0),
        "OD1": ("CA", "CB", "CG", 1.231, 120.8, -40.0),
        "ND2": ("CA", "CB", "CG", 1.328, 116.4, 140.0),
    },
    "GLN": {
        "CG": ("N", "CA", "CB", 1.520, 114.1, -65.0),
        "CD": ("CA", "CB", "CG", 1.516, 112.6, 180.0),
        "OE1": ("CB", "CG", "CD", 1.231, 120.8, -30.0),
        "NE2": ("CB", "CG", "CD", 1.328, 116.4, 150.0),
    },
}
ACETYL = {"CH3": (0.0, 0.0, 0.0), "C": (1.51, 0.0, 0.0), "O": (2.12, -1.07, 0.0)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "out", type=Path, help="folder of the run; frames/ in it is what a climb takes"
    )
    parser.add_argument("--frames", type=int, default=140, help="to keep, 0.5 ps apart")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--pack",
        type=Path,
        help="npz with positions in 1e-4 nm as integers, forces in half precision",
    )
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    structure = arguments.out / "start.pdb"
    if not structure.exists():
        write_start(structure)
    source = OpenMMSource(
        structure=structure,
        force_field=["amber14-all.xml", "implicit/obc2.xml"],
        temperature=300.0,
        n_frames=arguments.frames,
        stride=250,
        equilibration=2500,
        nonbonded="no_cutoff",
        platform="CPU",
    )
    frames = source.make(arguments.out, arguments.seed)
    if arguments.pack:
        pack(frames, arguments.pack)
    print(f"{arguments.out / 'frames'}: {len(frames)} frames of {frames.n_sites} atoms")


def write_start(path: Path) -> None:
    """The extended chain with its hydrogens, as a PDB."""
    from openmm import app, unit

    heavy = path.with_name("heavy.pdb")
    heavy.write_text(heavy_atoms())
    pdb = app.PDBFile(str(heavy))
    model = app.Modeller(pdb.topology, pdb.positions)
    model.addHydrogens(app.ForceField("amber14-all.xml"), pH=7.0)
    with path.open("w") as file:
        app.PDBFile.writeFile(model.topology, model.positions.in_units_of(unit.angstrom), file)


def heavy_atoms() -> str:
    """PDB text of the heavy atoms."""
    lines, before = [], {"N": np.array([-0.5, 1.2, 0.0]), "CA": np.zeros(3), "C": np.zeros(3)}
    for number, residue in enumerate(SEQUENCE, 1):
        atoms = placed(residue, before)
        for name, x in atoms.items():
            lines.append(
                f"ATOM  {len(lines) + 1:5d}  {name:<3s} {residue} A{number:4d}    "
                f"{x[0]:8.3f}{x[1]:8.3f}{x[2]:8.3f}  1.00  0.00          {name[0]:>2s}"
            )
        # the methyl carbon of the acetyl stands where the next residue looks for CA and N
        before = (
            {"N": np.array([-0.5, 1.2, 0.0]), "CA": atoms["CH3"], **atoms}
            if residue == "ACE"
            else atoms
        )
    return "\n".join([*lines, "END", ""])


def placed(residue: str, before: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """{name: position, angstrom} of one residue behind another."""
    if residue == "ACE":
        return {name: np.array(x) for name, x in ACETYL.items()}
    wanted = dict(BACKBONE, **SIDE_CHAINS.get(residue, {}))
    if residue == "NME":
        wanted = {"N": BACKBONE["N"], "C": BACKBONE["CA"]}  # its methyl carbon is called C
    atoms: dict[str, np.ndarray] = {}
    for name, (a, b, c, bond, angle, dihedral) in wanted.items():
        points = [before[p[1:]] if p.startswith("-") else atoms[p] for p in (a, b, c)]
        atoms[name] = attached(*points, bond, np.radians(angle), np.radians(dihedral))
    return atoms


def attached(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, bond: float, angle: float, dihedral: float
) -> np.ndarray:
    """The point `bond` from c, at `angle` to b-c and `dihedral` about it from a."""
    axis = (c - b) / np.linalg.norm(c - b)
    normal = np.cross(b - a, axis)
    normal /= np.linalg.norm(normal)
    side = np.cross(normal, axis)
    radial = np.cos(dihedral) * side + np.sin(dihedral) * normal
    return c + bond * (-np.cos(angle) * axis + np.sin(angle) * radial)


def pack(frames: Frames, path: Path) -> None:
    """Write the frames in a tenth of the space; positions to 1e-4 nm, forces to three digits."""
    np.savez_compressed(
        path,
        positions=np.round(np.asarray(frames.positions) * 1e4).astype(np.int16),
        forces=np.asarray(frames.forces, np.float16),
        system=np.array(json.dumps(frames.system.to_dict())),
        temperature=frames.temperature,
    )


if __name__ == "__main__":
    main()
