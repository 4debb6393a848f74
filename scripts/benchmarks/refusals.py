"""How long a wrong setting takes to be refused, as a command of its own, the start of Python included.

The settings are those of tests/configuration/wrong_settings.yaml. Prints seconds on the wall and of the
processor, and what was said; then median and largest.

    python scripts/benchmarks/refusals.py --kind settings --most 40
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml

SETTINGS = Path(__file__).parents[2] / "tests" / "configuration" / "wrong_settings.yaml"
BASES = {
    "five": ["experiment=five_beads", "source.path=places.npy", "source.forces_path=forces.npy"],
    "gauss": ["experiment=gaussian_chain"],
    "default": [],
    "helix": ["experiment=helix"],
    "nacl": ["experiment=nacl", "source.path=places.npy"],
}


def processor_seconds() -> float:
    """Of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def refused(words: list[str], folder: Path) -> tuple[float, float, str]:
    """Seconds on the wall and of the processor, and what was said, of `cgrec check`."""
    begin, used = time.perf_counter(), processor_seconds()
    command = [sys.executable, "-m", "cgrec", "check", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - begin
    said = "NOT REFUSED" if done.returncode == 0 else done.stderr.strip().splitlines()[-1]
    return wall, processor_seconds() - used, said


def main() -> None:
    """Run the settings one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kind", default="settings", choices=["settings", "data"])
    parser.add_argument("--most", type=int, default=10**6, help="settings to run, evenly spread")
    options = parser.parse_args()
    settings = yaml.safe_load(SETTINGS.read_text())[options.kind]
    settings = settings[:: max(1, len(settings) // options.most)][: options.most]
    seconds = []
    with tempfile.TemporaryDirectory() as name:
        random = np.random.default_rng(0)
        for file in ("places", "forces"):
            chain = 1.4 * np.arange(5)[:, None] * [1, 0, 0]
            np.save(Path(name) / f"{file}.npy", chain + random.normal(size=(40, 5, 3)) * 0.03)
        for base, word, *_ in settings:
            wall, processor, said = refused([*BASES[base], word], Path(name))
            seconds.append((wall, processor))
            print(f"{wall:6.2f} s  {processor:6.2f} s  {said[:150]}", flush=True)
    walls, processors = zip(*seconds)
    print(
        f"{len(seconds)} settings: wall median {np.median(walls):.2f} s, largest {max(walls):.2f} s; "
        f"processor median {np.median(processors):.2f} s, largest {max(processors):.2f} s"
    )


if __name__ == "__main__":
    main()
