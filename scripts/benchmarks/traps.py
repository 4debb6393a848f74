"""What reading notices of data that were spoilt on purpose, and how small a fault it sees.

python scripts/benchmarks/traps.py --five five_beads_positions.npy five_beads_forces.npy --atoms
    water.npz \\ --sites spce.npz --also liquid.npz polymer.npz

Five beads of a peptide (angstrom, kcal/mol/angstrom, 300 K), all-atom water (angstrom, eV, 330 K;
npz with species and box), one-site water (nm, kJ/mol/nm, 300 K; npz with box), and npz that state
everything themselves. Each is read as it is, then with one fault at a time. Prints the smallest
factor on the forces and difference of temperature that are noticed in each, and one table of
faults: refused, remark (one that the sample as it is does not bring), or nothing. With --words also
what is said.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from cgrec.frames import Frames
from cgrec.io import check_force_units, read
from cgrec.system import System

FIVE = System(
    names=("C1", "N2", "CA", "C4", "N5"),
    masses=[12.011, 14.007, 12.011, 12.011, 14.007],
    bonds=[(0, 1), (1, 2), (2, 3), (3, 4)],
)


def faults(frames: Frames) -> Iterator[tuple[str, Frames]]:
    """The sample as it is, then with every fault."""
    yield "as it is", frames
    yield from _of_forces(frames)
    yield from _of_boxes(frames)
    yield from _of_order(frames)
    for shift in (-15.0, 15.0):
        yield f"T {shift:+g} K", replace(frames, temperature=frames.temperature + shift)


def _of_forces(frames: Frames) -> Iterator[tuple[str, Frames]]:
    n, forces, rng = len(frames), frames.need_forces(), np.random.default_rng(0)
    for factor in (0.9, 1.1, 4.184, 1 / 4.184, -1.0):
        yield f"forces x {factor:.4g}", replace(frames, forces=forces * factor)
    yield "previous frame's forces", replace(frames, forces=np.roll(forces, 1, axis=0))
    for share in (0.05, 0.01):
        wrong = rng.permutation(n)[: max(round(share * n), 1)]
        mixed = forces.copy()
        mixed[wrong] = forces[(wrong + n // 3) % n]
        yield f"forces of other frames in {share:.0%}", replace(frames, forces=mixed)
    yield "forces of two molecules exchanged", replace(frames, forces=forces[:, _exchanged(frames)])
    one = forces.copy()
    one[n // 3] = 1e7
    yield "one frame's forces 1e7", replace(frames, forces=one)


def _exchanged(frames: Frames) -> np.ndarray:
    """(n_sites,) numbers of sites, with two molecules of one kind exchanged; two sites of one
    element where there are no two such molecules.
    """
    system, order = frames.system, np.arange(frames.n_sites)
    sites = [np.flatnonzero(system.molecules == m) for m in range(int(system.molecules.max()) + 1)]
    kinds = [tuple(system.names[i] for i in s) for s in sites]
    for k in range(len(sites) - 1, 0, -1):
        if kinds[k] in kinds[:k]:
            a, b = sites[k], sites[kinds.index(kinds[k])]
            order[a], order[b] = b, a
            return order
    masses = np.round(system.masses, 1).tolist()
    j = next(k for k in range(len(masses) - 1, 0, -1) if masses[k] in masses[:k])
    i = masses.index(masses[j])
    order[[i, j]] = [j, i]
    return order


def _of_boxes(frames: Frames) -> Iterator[tuple[str, Frames]]:
    """Nothing of an open system."""
    if frames.box is None:
        return
    n = len(frames)
    for factor in (0.9, 0.98, 1.04, 1.1):
        yield f"box of all frames x {factor}", replace(frames, box=frames.box * factor)
    one, tenth = np.array([n // 3]), np.arange(3, n, 10)
    for name, which, factor in [
        ("one frame's box x 1.02", one, 1.02),
        ("every 10th frame's box x 1.04", tenth, 1.04),
    ]:
        boxes = np.array(frames.boxes())
        boxes[which] *= factor
        yield name, replace(frames, box=boxes)


def _of_order(frames: Frames) -> Iterator[tuple[str, Frames]]:
    n = len(frames)
    yield "second half frozen", frames[np.minimum(np.arange(n), n // 2)]
    yield "appended to itself", frames[np.r_[:n, :n]]
    yield "shuffled", frames[np.random.default_rng(0).permutation(n)]


def said_of(frames: Frames) -> tuple[bool, list[str]]:
    """Whether reading refuses the frames once they are saved, and all that it says."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        path = frames.save(Path(folder) / "frames")
        try:
            read(path)
        except ValueError as error:
            return True, [str(error).split(": ", 1)[1]]
    return False, [str(w.message).split(": ", 1)[1] for w in caught]


def sensitivity(frames: Frames) -> str:
    """Smallest factor and temperature on each side that change the verdict from ok."""
    check = check_force_units(frames)
    low, high = check.estimate - check.sensitivity, check.estimate + check.sensitivity
    return (
        f"noticed: T given below {low:.0f} or above {high:.0f} K, forces x < "
        f"{frames.temperature / high:.3f} "
        f"or > {frames.temperature / low:.3f} (estimate {check.estimate:.1f} +- "
        f"{check.error:.1f} K, "
        f"{len(frames)} frames)"
    )


def judge(frames: Frames, words: bool) -> dict[str, str]:
    """{fault: "refused", "remark" or "-"} of one sample; a remark counts where its words, numbers
    aside, are not among those of the sample as it is.
    """
    column: dict[str, str] = {}
    usual: set[str] = set()
    for fault, spoilt in faults(frames):
        refused, said = said_of(spoilt)
        plain = {
            re.sub(r"[-+]?[\d.]+(e[-+]?\d+)?", "#", part) for s in said for part in s.split("; ")
        }
        column[fault] = "refused" if refused else "remark" if plain - usual else "-"
        if fault == "as it is":
            usual = plain
        if words:
            print(f"  {fault:34s} {column[fault]:8s} {'; '.join(said)}", flush=True)
    return column


def samples_of(given: argparse.Namespace) -> dict[str, Frames]:
    """Name -> Frames of every sample that was given, read without checks."""
    samples: dict[str, Frames] = {}
    if given.five:
        options = {"length_unit": "angstrom", "force_unit": "kcal/mol/angstrom", "temperature": 300}
        path, forces = given.five
        samples["five beads"] = read(path, FIVE, forces_path=forces, check_units=False, **options)
    if given.atoms:
        options = {"length_unit": "angstrom", "energy_unit": "eV", "temperature": 330}
        samples["atoms"] = read(given.atoms, check_units=False, **options)
    if given.sites:
        options = {
            "length_unit": "nm",
            "energy_unit": "kJ/mol",
            "species": "W",
            "masses": {"W": 18.015},
        }
        samples["one-site"] = read(given.sites, check_units=False, **options)
    for path in given.also or ():
        samples[path.stem] = read(path, check_units=False)
    return samples


def main() -> None:
    """Print the table of all samples that were given."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--five", nargs=2, type=Path, metavar=("POSITIONS", "FORCES"))
    parser.add_argument("--atoms", type=Path)
    parser.add_argument("--sites", type=Path)
    parser.add_argument("--also", nargs="*", type=Path, metavar="NPZ")
    parser.add_argument("--words", action="store_true")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    samples = samples_of(given)
    if not samples:
        parser.error("give at least one of --five, --atoms, --sites, --also")
    columns = {}
    for name, frames in samples.items():
        print(f"{name}: {sensitivity(frames)}", flush=True)
        columns[name] = judge(frames, given.words)
    print("\n" + " " * 34 + "".join(f"{name:>12s}" for name in columns))
    for fault in dict.fromkeys(f for column in columns.values() for f in column):
        print(
            f"{fault:34s}" + "".join(f"{column.get(fault, ''):>12s}" for column in columns.values())
        )


if __name__ == "__main__":
    main()
