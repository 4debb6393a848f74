"""Peak memory and time of reading a trajectory and mapping it, for files larger than what may be
held at once.

    python scripts/benchmarks/reading.py --format trr --gigabytes 4 --folder /tmp

A file of the size asked for is made in a temporary folder: water molecules in a box, each atom held
at its place of a lattice by a spring, so that positions and forces agree and `check_units` can stay
on. It is read with `cgrec.read`, or by `FileSource.make` into a folder of a run (--source), mapped
to one site a molecule, and the largest resident memory of that child process is printed, beside
that of a child that only imports the same things. The file is removed afterwards.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

N_WATERS = 500
SPECIES = ["O", "H", "H"] * N_WATERS
EDGE = 2.5  # nm
SPREAD, THERMAL = 0.004, 2.4943  # nm, kJ/mol: each site is held by U = kT / 2 (x - x0)^2 / SPREAD^2
N_MADE = 100  # different frames; the file repeats them
WATER = np.array([[0.0, 0, 0], [0.0957, 0, 0], [-0.024, 0.0927, 0]])


def frames_of(n: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, n_sites, 3) float32 positions (nm) of an Einstein crystal at 300 K, and its forces
    (kJ/mol/nm).
    """
    rng = np.random.default_rng(0)
    side = int(np.ceil(N_WATERS ** (1 / 3)))
    lattice = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), -1).reshape(-1, 3)[
        :N_WATERS
    ]
    sites = (lattice[:, None] * EDGE / side + WATER).reshape(-1, 3)
    moved = SPREAD * rng.standard_normal((n, len(sites), 3), np.float32)
    return (sites + moved).astype(np.float32), -THERMAL / SPREAD**2 * moved


def make(path: Path, form: str, n_bytes: float) -> int:
    """Write the file; its number of frames."""
    per_frame = 3 * N_WATERS * 24 * (2.9 if form == "lammpstrj" else 1)
    n_frames = int(n_bytes / per_frame) // N_MADE * N_MADE
    if form == "npz":
        return make_npz(path, n_frames)
    if form == "lammpstrj":
        return make_dump(path, n_frames)
    import MDAnalysis

    universe = MDAnalysis.Universe.empty(3 * N_WATERS, trajectory=True, forces=True)
    with MDAnalysis.Writer(str(path), 3 * N_WATERS) as writer:
        positions, forces = frames_of(N_MADE)
        for t in range(n_frames):
            universe.atoms.positions = positions[t % N_MADE] * 10
            universe.atoms.forces = forces[t % N_MADE] / 10
            universe.dimensions = [10 * EDGE] * 3 + [90] * 3
            writer.write(universe.atoms)
    return n_frames


def make_npz(path: Path, n_frames: int) -> int:
    """An archive written member by member, a chunk at a time."""
    import zipfile

    made = frames_of(N_MADE)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for k, name in enumerate(("positions", "forces")):
            header = {"descr": "<f4", "fortran_order": False, "shape": (n_frames, 3 * N_WATERS, 3)}
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(file, header)
                for _ in range(n_frames // N_MADE):
                    file.write(made[k].data)
        for name, array in (("species", np.array(SPECIES)), ("box", np.array(EDGE))):
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array)
    return n_frames


def make_dump(path: Path, n_frames: int) -> int:
    """A LAMMPS dump of the same fifty frames again and again: text is slow to make."""
    texts = []
    for x, f in zip(*frames_of(50)):
        table = np.column_stack([x * 10, f / 41.84])
        rows = "\n".join(f"{i} " + " ".join(f"{v:.6f}" for v in r) for i, r in enumerate(table, 1))
        texts.append(rows + "\n")
    with path.open("w") as file:
        for t in range(n_frames):
            file.write(
                f"ITEM: TIMESTEP\n{t}\nITEM: NUMBER OF ATOMS\n{3 * N_WATERS}\nITEM: BOX BOUNDS "
                "pp pp pp\n"
            )
            file.write(f"0 {10 * EDGE}\n" * 3 + "ITEM: ATOMS id x y z fx fy fz\n" + texts[t % 50])
    return n_frames


def child(path: Path, source: bool, only_import: bool) -> None:
    """Read and map; prints what it took as json."""
    import MDAnalysis  # noqa: F401  # part of what reading imports

    import cgrec
    from cgrec.mapping import MoleculeCentres
    from cgrec.sources import FileSource

    start = time.perf_counter()
    found = {"n_frames": 0}
    if not only_import:
        options = {"temperature": 300.0, "check_units": True}
        if path.suffix == ".lammpstrj":
            options["lammps_units"] = "real"
        if path.suffix == ".npz":
            options |= {"length_unit": "nm", "energy_unit": "kJ/mol"}
        else:
            options["species"] = SPECIES
        if source:
            frames = FileSource(path=path, **options).make(path.parent / "level0", seed=0)
        else:
            frames = cgrec.read(path, scratch=path.parent, **options)
        found["read_s"] = round(time.perf_counter() - start, 1)
        found["read_peak_gb"] = peak(resource.RUSAGE_SELF)
        mapped = MoleculeCentres()(frames.system)(frames)
        found |= {"n_frames": len(mapped), "n_sites": mapped.n_sites}
    found |= {
        "seconds": round(time.perf_counter() - start, 1),
        "peak_gb": peak(resource.RUSAGE_SELF),
    }
    print(json.dumps(found))


def peak(who: int) -> float:
    """Largest resident memory so far in GB (10^9 bytes)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(who).ru_maxrss * unit / 1e9, 3)


def run(*arguments: str) -> dict[str, float]:
    """One child's answer."""
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--format", default="npz", choices=["npz", "trr", "lammpstrj"])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument(
        "--folder", type=Path, default=None, help="on a disk with room for twice the size"
    )
    parser.add_argument(
        "--source", action="store_true", help="through FileSource into a run's folder"
    )
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--only-import", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child is not None:
        child(given.child, given.source, given.only_import)
        return
    with tempfile.TemporaryDirectory(dir=given.folder, prefix="reading-") as folder:
        path = Path(folder) / f"a.{given.format}"
        n_frames = make(path, given.format, given.gigabytes * 1e9)
        size = path.stat().st_size / 1e9
        print(f"{path.name}: {size:.2f} GB, {n_frames} frames of {3 * N_WATERS} sites with forces")
        idle = run("--child", str(path), "--only-import")
        print(f"importing alone: {idle['peak_gb']} GB")
        found = run("--child", str(path), *(["--source"] if given.source else []))
        print(
            f"read in {found['read_s']} s, peak {found['read_peak_gb']} GB; read and mapped to "
            f"{found['n_sites']} sites in {found['seconds']} s, peak {found['peak_gb']} GB"
        )


if __name__ == "__main__":
    main()
