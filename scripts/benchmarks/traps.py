"""What reading notices of data that were spoilt on purpose, and how small a fault it sees.

python scripts/benchmarks/traps.py --five five_beads_positions.npy five_beads_forces.npy --atoms water.npz --sites spce.npz

Five beads of a peptide (angstrom, kcal/mol/angstrom, 300 K), all-atom water (angstrom, eV, 330 K; npz with species and
box) and one-site water (nm, kJ/mol/nm, 300 K; npz with box). Each is read as it is, then with one fault at a time. Prints
one line a fault: refused, remark or not noticed, with the statistic; and the smallest factor on the forces and difference
of temperature that are noticed.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from cgrec.frames import Frames
from cgrec.sampling import check_sample
from cgrec.system import System
from cgrec.trajectory_files import check_force_units, read

FIVE = System(
    names=("C1", "N2", "CA", "C4", "N5"),
    masses=[12.011, 14.007, 12.011, 12.011, 14.007],
    bonds=[(0, 1), (1, 2), (2, 3), (3, 4)],
)


def faults(frames: Frames) -> Iterator[tuple[str, Frames]]:
    """The sample as it is, then with every fault."""
    n, forces, rng = len(frames), frames.need_forces(), np.random.default_rng(0)
    yield "as it is", frames
    for factor in (0.9, 1.1, 4.184, 1 / 4.184, -1.0):
        yield f"forces x {factor:.4g}", replace(frames, forces=forces * factor)
    yield "previous frame's forces", replace(frames, forces=np.roll(forces, 1, axis=0))
    for shift in (-15.0, 15.0):
        yield f"T {shift:+g} K", replace(frames, temperature=frames.temperature + shift)
    yield "second half frozen", frames[np.minimum(np.arange(n), n // 2)]
    for factor in (0.9, 1.1):
        if frames.box is not None:
            yield f"box x {factor}", replace(frames, box=frames.box * factor)
            boxes = np.array(frames.boxes())
            boxes[n // 3] *= factor
            yield f"one frame's box x {factor}", replace(frames, box=boxes)
    yield "appended to itself", frames[np.r_[:n, :n]]
    yield "shuffled", frames[rng.permutation(n)]
    one = forces.copy()
    one[n // 3] = 1e7
    yield "one frame's forces 1e7", replace(frames, forces=one)


def judged(frames: Frames, folder: Path) -> str:
    """What is said when the frames are saved and read."""
    path = frames.save(folder / f"frames{np.random.default_rng().integers(1 << 40)}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            read(path)
        except ValueError as error:
            return f"refused: {str(error).split(': ', 1)[1]}"
    said = [str(w.message).split(": ", 1)[1] for w in caught]
    sentence = check_sample(frames)[1]
    said += [sentence] if sentence else []
    return f"remark: {'; '.join(said)}" if said else f"not noticed: {check_force_units(frames).message}"


def sensitivity(frames: Frames) -> str:
    """Smallest factor and temperature on each side that change the verdict from ok."""
    check = check_force_units(frames)
    low, high = check.estimate - check.sensitivity, check.estimate + check.sensitivity
    return (
        f"noticed: T given below {low:.0f} or above {high:.0f} K, forces x < {frames.temperature / high:.3f} or > "
        f"{frames.temperature / low:.3f} (estimate {check.estimate:.1f} +- {check.error:.1f} K, {len(frames)} frames)"
    )


def main() -> None:
    """Print the table of every sample that was given."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--five", nargs=2, type=Path, metavar=("POSITIONS", "FORCES"))
    parser.add_argument("--atoms", type=Path)
    parser.add_argument("--sites", type=Path)
    given = parser.parse_args()
    samples: dict[str, Frames] = {}
    warnings.simplefilter("ignore")
    if given.five:
        options = {"length_unit": "angstrom", "force_unit": "kcal/mol/angstrom", "temperature": 300}
        samples["five beads"] = read(
            given.five[0], FIVE, forces_path=given.five[1], check_units=False, **options
        )
    if given.atoms:
        options = {"length_unit": "angstrom", "energy_unit": "eV", "temperature": 330}
        samples["all-atom water"] = read(given.atoms, check_units=False, **options)
    if given.sites:
        options = {"length_unit": "nm", "energy_unit": "kJ/mol", "species": "W", "masses": {"W": 18.015}}
        samples["one-site water"] = read(given.sites, check_units=False, **options)
    if not samples:
        parser.error("give at least one of --five, --atoms, --sites")
    for name, frames in samples.items():
        print(f"\n{name}: {sensitivity(frames)}")
        for fault, spoilt in faults(frames):
            with tempfile.TemporaryDirectory() as folder:
                print(f"  {fault:26s} {judged(spoilt, Path(folder))[:170]}", flush=True)


if __name__ == "__main__":
    main()
