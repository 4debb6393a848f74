"""What company costs: training steps and force calls alone, and with two other processes computing on the same cores.

    python scripts/benchmarks/busy_machine.py            # on an otherwise idle machine; ratios are what to read
    python scripts/benchmarks/busy_machine.py --quick

Every row is a process of its own, because libgomp reads GOMP_SPINCOUNT once. "per share" is the time divided by what is
left of the cores: with c cores and two others, a process of t threads gets t * min(1, c / (t + 2)) of them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

BUSY = "while True: pass"
STEP = """
import sys, tempfile, time, warnings
from pathlib import Path
warnings.simplefilter("ignore")
import cgrec, torch
from cgrec.potential import DensityNetwork
from cgrec.sources import GaussianChainSource
from cgrec.training import ForceMatching
threads, steps = int(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(threads)
frames = GaussianChainSource(n_sites=5, n_frames=1000).make(Path(tempfile.mkdtemp()) / "frames", 1)
network = DensityNetwork.for_frames(frames, 1, cutoff=1.0, channels=8, width=32)
fit = lambda n: ForceMatching(steps=n, batch_size=128, validate_every=10**6, compile=True)(network, frames, seed=1)
fit(5)
begin = time.perf_counter(); fit(steps); one = time.perf_counter() - begin
begin = time.perf_counter(); fit(2 * steps); print(1000 * (time.perf_counter() - begin - one) / steps)
"""


def milliseconds(threads: int, spin: str | None, others: int, steps: int) -> float:
    """A training step of five beads, 128 frames, in ms; `spin` of GOMP_SPINCOUNT, None: libgomp's default."""
    environment = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_NUM_THREADS")}
    # cgrec sets its own bound where none is given, so the default has to be given by name.
    environment["GOMP_SPINCOUNT"] = "INFINITY" if spin is None else spin
    company = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(others)]
    try:
        command = [sys.executable, "-c", STEP, str(threads), str(steps)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    finally:
        for process in company:
            process.kill()
            process.wait()
    return float(done.stdout.split()[-1])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few steps only: does it run?")
    steps = 5 if parser.parse_args().quick else 100
    cores = os.cpu_count() or 1
    print("threads  spin      alone/ms  with two others/ms  ratio  ratio per share")
    for threads in (1, 2):
        for spin in ("10000",) if steps == 5 else (None, "10000"):
            alone, busy = (milliseconds(threads, spin, others, steps) for others in (0, 2))
            share = min(1.0, cores / (threads + 2))
            print(
                f"{threads:7d}  {spin or 'endless':8s}  {alone:8.1f}  {busy:18.1f}  {busy / alone:5.2f}  "
                f"{busy / alone * share:15.2f}",
                flush=True,
            )


if __name__ == "__main__":
    begin = time.perf_counter()
    main()
    print(f"{time.perf_counter() - begin:.0f} s")
