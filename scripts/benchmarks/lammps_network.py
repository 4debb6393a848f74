"""A level's network in LAMMPS (`cgrec export lammps`) against cgrec's own engine, against the splines
that `cgrec distil` makes of it, and on two MPI ranks, in one-site water.

    python scripts/benchmarks/lammps_network.py --json lammps.json
    python scripts/benchmarks/lammps_network.py --million     # 10^6 molecules on two ranks: memory

All run Langevin dynamics at 4 fs with a neighbour list of the same skin; they take turns, so that
whatever else the machine does hits all, and a ratio is the median over the rounds of the ratio within
a round. Every program has one thread for each rank. Boxes are copies of one of 316 molecules.
"""

import argparse
import json
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import one_site_water
import torch

from cgrec import Frames
from cgrec.corrections.distillation import distil
from cgrec.dynamics import Langevin
from cgrec.export import lammps_command, write_lammps
from cgrec.potential import DensityNetwork, Potential, fit_priors
from cgrec.training import ForceMatching

WATER = Path(__file__).parents[3] / "shared" / "data" / "water_onesite_spce" / "frames_000_799.npz"
TIMESTEP = 0.004  # ps


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--water", type=Path, default=WATER, help="npz of one-site water")
    parser.add_argument("--network", type=Path, help="a trained potential, or where to keep it")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 4], help="copies an axis")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--million", action="store_true", help="10^6 molecules on two ranks only")
    parser.add_argument("--json", type=Path, help="write the numbers here, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    frames = one_site_water.read(options.water)
    potential = trained(frames, options.network)
    with tempfile.TemporaryDirectory() as place:
        network = exported(potential, frames, Path(place) / "network")
        if options.million:
            result = million(network)
        else:
            splines, _ = distil(potential, frames, cutoff=0.45, three_cutoff=0.35)
            other = write_lammps(splines, frames, Path(place) / "splines")
            result = {
                "one rank and two, same energy": equality(network),
                "rows": [
                    row(potential, frames, network, other, n, options.rounds) for n in options.sizes
                ],
            }
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


def trained(frames: Frames, path: Path | None) -> Potential:
    if path and path.exists():
        return Potential.load(path)
    untrained = DensityNetwork.for_frames(frames, cutoff=0.6)
    priors = fit_priors(frames, types=untrained.types, cutoff=0.6)
    fit = ForceMatching(steps=500, batch_size=4, most_validation_frames=40)
    made, _ = fit(untrained, frames, priors=priors, seed=0, folder=None, name="one-site water")
    if path:
        made.save(path)
    return made


def exported(potential: Potential, frames: Frames, folder: Path) -> Path:
    write_lammps(potential, frames, folder, timestep=TIMESTEP)
    subprocess.run(["bash", "build.sh"], cwd=folder, check=True, capture_output=True)
    return folder


def lammps(folder: Path, copies: int, steps: int, ranks: int = 1) -> str:
    """What LAMMPS prints of so many steps of `copies` boxes an axis, which write nothing."""
    script = re.sub(r"^dump.*\n", "", (folder / "run.in").read_text(), flags=re.M)
    script = script.replace(
        "read_data system.data\n", f"read_data system.data\nreplicate {copies} {copies} {copies}\n"
    )
    script = script.replace("neighbor 2.0 bin", "neighbor 1.0 bin")
    name = f"timed_{copies}.in"
    (folder / name).write_text(script)
    start, environment = lammps_command(ranks)
    done = subprocess.run(
        [*start, "-in", name, "-var", "steps", str(steps)],
        cwd=folder,
        env={**environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def seconds_a_step(said: str, steps: int) -> float:
    found = re.search(r"Loop time of (\S+) on", said)
    if found is None:
        raise RuntimeError(f"LAMMPS did not finish: {said[-500:]}")
    return float(found[1]) / steps


def own(potential: Potential, frames: Frames, steps: int, folder: Path) -> float:
    """Seconds a step of cgrec's engine, by a longer and a shorter run."""
    times = []
    for n in (steps, 3 * steps):
        length = n * TIMESTEP
        run = Langevin(
            n_replicas=1, timestep=TIMESTEP, length=length, equilibration=0, save_every=length
        )
        begin = time.perf_counter()
        run(potential, frames[-1:], folder / str(n), seed=1)
        times.append(time.perf_counter() - begin)
    return (times[1] - times[0]) / (2 * steps)


def row(
    potential: Potential, frames: Frames, network: Path, splines: Path, n: int, rounds: int
) -> dict[str, object]:
    """Medians of times and ratios at n^3 copies."""
    large, steps = one_site_water.replicated(frames[-1:], n), max(40, 2000 // n**3)
    found: dict[str, list[float]] = {name: [] for name in ("own", "one", "two", "splines")}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as place:
            found["own"].append(own(potential, large, steps, Path(place)))
        found["one"].append(seconds_a_step(lammps(network, n, steps), steps))
        found["two"].append(seconds_a_step(lammps(network, n, steps, 2), steps))
        found["splines"].append(seconds_a_step(lammps(splines, n, steps), steps))
    median = {name: statistics.median(values) for name, values in found.items()}

    def ratio(first: str, second: str) -> float:
        return statistics.median(a / b for a, b in zip(found[first], found[second]))

    return {
        "sites": large.n_sites,
        "microseconds per site and step": {k: 1e6 * v / large.n_sites for k, v in median.items()},
        "speed over own engine": ratio("own", "one"),
        "speed over splines": ratio("splines", "one"),
        "two ranks over one": ratio("one", "two"),
    }


def equality(folder: Path) -> float:
    """Relative difference of the energies of one rank and of two."""
    energies = []
    for ranks in (1, 2):
        lines = lammps(folder, 1, 1, ranks).splitlines()
        start = next(k for k, line in enumerate(lines) if "PotEng" in line)
        energies.append(float(lines[start + 1].split()[2]))
    return abs(energies[1] - energies[0]) / abs(energies[0])


def million(folder: Path) -> dict[str, object]:
    """Memory and time of 10^6 molecules on two ranks."""
    said = lammps(folder, 15, 5, 2)
    memory = re.search(r"Per MPI rank memory allocation .* = (\S+) \| (\S+) \| (\S+) Mbytes", said)
    return {
        "sites": 316 * 15**3,
        "memory of LAMMPS' own arrays, MB a rank": memory and float(memory[2]),
        "seconds a step": seconds_a_step(said, 5),
    }


if __name__ == "__main__":
    main()
