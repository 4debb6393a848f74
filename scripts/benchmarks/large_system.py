"""What 33,334 waters (100,002 atoms) cost on the way to one site a molecule: python
scripts/benchmarks/large_system.py

Stages, each in a process of its own on one thread: the map onto centres of mass with its force map,
the frames mapped and written, the fit of the priors, the fit of the guard of an untrained network,
and g(r) of all frames to 1.5 nm. Printed are seconds by the wall clock and of the processor, and
the peak memory of the whole process, with Python and torch in it; imports and the compilation of
kernels, once a machine, are not in the seconds. The box is made here: molecules on a jittered
lattice, random forces.

--exponents: what the map and g(r) cost at 316, 2,528 and 20,224 molecules.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

DENSITY = 33.3  # molecules a nm^3
CUTOFF = 0.6  # nm


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--molecules", type=int, default=33_334)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--json", type=Path, help="write everything measured here")
    parser.add_argument("--folder", type=Path, help="of the frames (default: temporary)")
    parser.add_argument("--quick", action="store_true", help="216 molecules, 4 frames")
    parser.add_argument(
        "--exponents", action="store_true", help="three sizes, of map and g(r) only"
    )
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        print(
            json.dumps(
                measured(arguments.stage, arguments.folder, arguments.molecules, arguments.frames)
            )
        )
        return
    if arguments.quick:
        arguments.molecules, arguments.frames = 216, 4
    if arguments.exponents:
        results = exponents(arguments)
    else:
        results = run(arguments.molecules, arguments.frames, STAGES, arguments.folder)
        stages = [stage for name, stage in results.items() if name != "make"]
        total = {unit: sum(stage[unit] for stage in stages) for unit in ("seconds", "cpu")}
        results["total"] = {**total, "peak_gb": max(stage["peak_gb"] for stage in stages)}
        print(line("all but the making", results["total"]))
    if arguments.json:
        arguments.json.write_text(json.dumps({**machine(), "stages": results}, indent=1))


def run(
    molecules: int, frames: int, stages: Any, folder: Path | None
) -> dict[str, dict[str, float]]:
    """{stage: seconds and peak_gb}, each from a process of its own."""
    print(
        f"{molecules} molecules, {3 * molecules} atoms, {frames} frames; {machine()['processor']}"
    )
    found = {}
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        for stage in stages:
            command = [sys.executable, __file__, "--stage", stage, "--folder", str(place)]
            command += ["--molecules", str(molecules), "--frames", str(frames)]
            threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
            done = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | threads
            )
            found[stage] = json.loads(done.stdout.splitlines()[-1])
            print(line(stage, found[stage]), flush=True)
    return found


def line(name: str, found: dict[str, float]) -> str:
    """One row of what is printed."""
    return (
        f"{name:20s} {found['seconds']:8.2f} s wall {found['cpu']:8.2f} s CPU "
        f"{found['peak_gb']:6.2f} GB"
    )


def exponents(arguments: argparse.Namespace) -> dict[str, Any]:
    """The same stages of three sizes, and what power of the size their time goes with."""
    import math

    sizes = (27, 64, 216) if arguments.quick else (316, 2_528, 20_224)
    stages = ("make", "map", "g(r)")
    found = {n: run(n, min(arguments.frames, 10), stages, None) for n in sizes}
    for stage in stages[1:]:
        seconds = [found[n][stage]["cpu"] for n in sizes]
        power = math.log(seconds[-1] / seconds[0]) / math.log(sizes[-1] / sizes[0])
        print(f"{stage:20s} exponent {power:.2f}")
    return {str(n): stage for n, stage in found.items()}


def machine() -> dict[str, str]:
    """The processor and whether it has AVX-512."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {"torch": version("torch"), "processor": platform.processor() or platform.machine()}
    known = dict(line.split(":", 1) for line in lines if ":" in line)
    wide = "with" if "avx512f" in known.get("flags\t\t", "") else "without"
    return {
        "torch": version("torch"),
        "processor": f"{known.get('model name	', platform.machine()).strip()}, {wide} AVX-512",
    }


def measured(stage: str, folder: Path, molecules: int, frames: int) -> dict[str, float]:
    """Seconds of the stage and peak memory of this process, GB."""
    work = STAGES[stage](folder, molecules, frames)
    begin = time.perf_counter(), time.process_time()
    work()
    seconds, cpu = time.perf_counter() - begin[0], time.process_time() - begin[1]
    unit = 1 if platform.system() == "Darwin" else 1024  # bytes there, kB here
    return {
        "seconds": seconds,
        "cpu": cpu,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9,
    }


# What each stage imports and compiles is done before the work it returns.


def make(folder: Path, molecules: int, frames: int) -> Callable[[], None]:
    """The box: frames/ of atoms in single precision."""
    import numpy as np

    from cgrec import Frames, System

    def work() -> None:
        rng = np.random.default_rng(0)
        side, per_side = (molecules / DENSITY) ** (1 / 3), int(np.ceil(molecules ** (1 / 3)))
        grid = np.stack(np.meshgrid(*[np.arange(per_side)] * 3, indexing="ij"), -1).reshape(
            -1, 1, 3
        )
        atoms = np.array([[0, 0, 0], [0.0957, 0, 0], [-0.024, 0.0927, 0]])
        start = (
            ((grid[:molecules] + 0.5) * side / per_side + atoms).reshape(-1, 3).astype(np.float32)
        )
        x = np.empty((frames, 3 * molecules, 3), np.float32)
        for frame in x:
            whole = rng.normal(scale=0.05, size=(molecules, 1, 3)).repeat(3, 1).reshape(-1, 3)
            frame[:] = start + whole + rng.normal(scale=0.005, size=start.shape)
        system = System(
            names=("O", "H1", "H2") * molecules,
            masses=[15.999, 1.008, 1.008] * molecules,
            elements=("O", "H", "H") * molecules,
            bonds=[(3 * k, 3 * k + h) for k in range(molecules) for h in (1, 2)],
            residue_names=("SOL",) * (3 * molecules),
        )
        forces = rng.normal(scale=500, size=x.shape).astype(np.float32)
        Frames(system, x, 300.0, forces=forces, box=side * np.eye(3)).save(folder / "frames")

    return work


def find_map(folder: Path, molecules: int, frames: int) -> Callable[[], None]:
    """Rule and mapping.npz."""
    from cgrec import Frames
    from cgrec.mapping import MoleculeCentres

    fine = Frames.load(folder / "frames").system
    return lambda: MoleculeCentres()(fine).save(folder / "mapping.npz")


def force_map(folder: Path, molecules: int, frames: int) -> Callable[[], None]:
    """The force map of least noise."""
    from cgrec import Frames
    from cgrec.mapping import Mapping, least_noise

    fine, mapping = Frames.load(folder / "frames"), Mapping.load(folder / "mapping.npz")
    return lambda: least_noise(mapping, fine).save(folder / "least_noise.npz")


def apply(folder: Path, molecules: int, frames: int) -> Callable[[], None]:
    """The mapping read and applied: targets/."""
    from cgrec import Frames
    from cgrec.mapping import Mapping

    def work() -> None:
        mapping = Mapping.load(folder / "mapping.npz")
        mapping(Frames.load(folder / "frames")).save(folder / "targets")

    return work


def prior(folder: Path, molecules: int, frames: int) -> Callable[[], None]:
    """Bonds, angles and excluded volume of the sites."""
    from cgrec import Frames
    from cgrec.potential import fit_priors

    def work() -> None:
        targets = Frames.load(folder / "targets")
        fit_priors(targets, types=sorted(set(targets.system.types)), cutoff=CUTOFF)

    return work


def guard(folder: Path, molecules: int, frames: int) -> Callable[[], None]:
    """The guard of an untrained network with its default sizes."""
    from cgrec import Frames
    from cgrec.dynamics import FeatureGuard
    from cgrec.potential import DensityNetwork

    targets = Frames.load(folder / "targets")
    network = DensityNetwork.for_frames(targets[:1], cutoff=CUTOFF)
    network.compiled()
    return lambda: FeatureGuard.fit(network, targets) and None


def radial(folder: Path, molecules: int, frames: int) -> Callable[[], None]:
    """g(r) of all frames."""
    import numpy as np

    from cgrec import Frames
    from cgrec.observables import radial_distributions

    targets = Frames.load(folder / "targets") if (folder / "targets").exists() else None
    if targets is None:
        from cgrec.mapping import Mapping

        targets = Mapping.load(folder / "mapping.npz")(Frames.load(folder / "frames"))
    few = Frames(
        targets.system.select(range(3)), np.array(targets.positions[:2, :3]), 300.0, box=targets.box
    )
    radial_distributions(few, 0.3)
    return lambda: radial_distributions(targets) and None


STAGES: dict[str, Callable[[Path, int, int], Callable[[], None]]] = {
    "make": make,
    "map": find_map,
    "force map": force_map,
    "apply": apply,
    "prior": prior,
    "guard": guard,
    "g(r)": radial,
}


if __name__ == "__main__":
    main()
