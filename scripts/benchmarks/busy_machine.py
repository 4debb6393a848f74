"""What company costs: training steps, force calls and a small climb, alone and with two other
programs computing beside.

    python scripts/benchmarks/busy_machine.py            # on an otherwise idle machine; ratios are what to read
    python scripts/benchmarks/busy_machine.py --quick

Training steps and force calls of five beads x 128 frames, and a climb of alanine dipeptide that was
made short (seconds of its run.json, without imports), each for threads = 0 (chosen), 1 and 2. Each
company is a torch process that multiplies matrices on one thread. Alone and in company take turns,
and medians over rounds are printed, so that other work on the machine meets both. "best" is the
time in proportion to that of the better one of 1 and 2: at most 1.1 for threads = 0.

"per share" is the time in company x share / time alone. The share is what a fair scheduler leaves
of the cores: on c cores with two others a process of t threads gets t * min(1, c / (t + 2)) of
min(t, c) cores. threads = 0 is judged as one thread, which is the strictest share. The bound is 1.5
for threads = 0.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

BUSY = """
import torch
torch.set_num_threads(1)
a = torch.rand(300, 300)
print("computing", flush=True)
while True:
    b = a @ a
"""
WORK = """
import sys, tempfile, time, warnings
from pathlib import Path
warnings.simplefilter("ignore")
import cgrec, torch
import cgrec.training as training
from cgrec.potential import DensityNetwork
from cgrec.sources import GaussianChainSource
from cgrec.threads import chosen, use_threads
kind, threads = sys.argv[1], int(sys.argv[2])
frames = GaussianChainSource(n_sites=5, n_frames=1000).make(Path(tempfile.mkdtemp()) / "frames", 1)
network = DensityNetwork.for_frames(frames, 1, cutoff=1.0, channels=8, width=32)
compiled = network.compiled()
graph = compiled.graph(frames[:128])
stamps = []
plain = training.Fit.optimise
def optimise(self, graph):  # steps alone: from the begin of the first to that of the last
    stamps.append(time.perf_counter())
    return plain(self, graph)
training.Fit.optimise = optimise
def training_steps(n):
    fit = training.ForceMatching(steps=n + 1, batch_size=128, validate_every=10**6, patience=0, compile=True)
    fit(network, frames, seed=1)
def force_calls(n):
    with chosen("force calls", lambda: lambda: compiled(graph), len(graph.species)):
        stamps.append(time.perf_counter())
        for _ in range(n):
            compiled(graph)
            stamps.append(time.perf_counter())
for line in sys.stdin:
    stamps.clear()
    with use_threads(threads) as choices:
        {"training": training_steps, "forces": force_calls}[kind](int(line))
    taken = [one["threads"] for one in choices.values()] or [threads]
    print("took", 1000 * (stamps[-1] - stamps[0]) / (len(stamps) - 1), taken[0], flush=True)
"""
KINDS = ("training", "forces", "climb")
#: Level 0 by the NNP that ships, one level above, everything short.
CLIMB = [
    "climb",
    "++go_on=true",
    "bins=8",
    "~levels.l2",
    "~levels.l3",
    "++source.check_labels=0",
    *(
        f"++source.dynamics.{option}"
        for option in (
            "n_replicas=16",
            "length=0.2",
            "save_every=0.01",
            "equilibration=0.02",
            "compile=true",
            "timestep=0.001",
            "bias.growth=0.05",
        )
    ),
    "levels.l1.training.steps=250",
    "++levels.l1.training.compile=true",
    *(
        f"++levels.l1.dynamics.{option}"
        for option in (
            "n_replicas=64",
            "length=0.6",
            "equilibration=0.1",
            "compile=true",
            "bias.growth=0.3",
        )
    ),
]


@contextmanager
def company(others: int) -> Iterator[None]:
    """`others` processes that compute, as long as the block lasts."""
    running = [
        subprocess.Popen([sys.executable, "-c", BUSY], env=environment(), stdout=subprocess.PIPE)
        for _ in range(others)
    ]
    try:
        for process in running:
            assert process.stdout is not None
            process.stdout.readline()  # it has imported torch
        yield
    finally:
        for process in running:
            process.kill()
            process.communicate()


def environment() -> dict[str, str]:
    """This one's, without a number of threads."""
    return {
        k: v
        for k, v in os.environ.items()
        if k not in ("GOMP_SPINCOUNT", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    }


class Worker:
    """A process that makes training steps or force calls when asked."""

    def __init__(self, kind: str, threads: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORK, kind, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment(),
        )
        self(3)

    def __call__(self, steps: int) -> tuple[float, str]:
        """ms of one, and the number of threads it took."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(steps, file=self.process.stdin, flush=True)
        for line in self.process.stdout:
            if line.startswith("took "):
                return float(line.split()[1]), line.split()[2]
        raise RuntimeError("the process that was measured ended: run its code by hand to see why")


def climb(threads: int) -> tuple[float, str]:
    """Seconds of a climb in a new folder, and the numbers of threads its long steps took."""
    folder = Path(tempfile.mkdtemp())
    command = [sys.executable, "-m", "cgrec", *CLIMB, f"threads={threads}", f"run={folder / 'run'}"]
    try:
        done = subprocess.run(
            command, env=environment(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"the climb failed:\n{done.stderr[-2000:]}")
        about = json.loads((folder / "run" / "run.json").read_text())
    finally:
        shutil.rmtree(folder)
    taken = [str(one["threads"]) for one in about["chosen_threads"].values()]
    return about["seconds"], ",".join(taken) or str(threads)


def compare(
    name: str, unit: str, jobs: dict[int, Callable[[], tuple[float, str]]], rounds: int
) -> None:
    """Print a row for each number of threads; `jobs` give (time, threads taken)."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    found: dict[tuple[int, int], list[tuple[float, str]]] = {
        (t, o): [] for t in jobs for o in (0, 2)
    }
    for _ in range(rounds):
        for others in (0, 2):
            with company(others):
                for threads, job in jobs.items():
                    found[threads, others].append(job())
    times = {key: statistics.median(time for time, _ in rows) for key, rows in found.items()}
    for threads in jobs:
        alone, busy = times[threads, 0], times[threads, 2]
        best = " ".join(f"{times[threads, o] / min(times[1, o], times[2, o]):.2f}" for o in (0, 2))
        ratio = statistics.median(
            b[0] / a[0] for a, b in zip(found[threads, 0], found[threads, 2], strict=True)
        )
        judged = threads or 1
        share = judged * min(1.0, cores / (judged + 2)) / min(judged, cores)
        taken = " / ".join(" ".join(taken for _, taken in found[threads, o]) for o in (0, 2))
        print(
            f"{name:9s} {threads:7d}  {alone:9.2f} {busy:9.2f} {unit}  {ratio:5.2f}  "
            f"{ratio * share:9.2f}  {best:9s}  {taken}",
            flush=True,
        )


def processor() -> str:
    """Cores, and the widest vectors of the processor, which decide what a kernel gains."""
    path = Path("/proc/cpuinfo")
    flags = path.read_text() if path.exists() else ""
    widest = next(
        (name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags),
        "neither AVX",
    )
    return f"{os.cpu_count()} cores, {platform.machine()}, {widest}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few steps, no climb: does it run?")
    parser.add_argument(
        "--rounds", type=int, default=5, help="of training steps; a climb takes (rounds + 1) // 2"
    )
    parser.add_argument(
        "--only", nargs="+", choices=KINDS, help="of these (default: all; with --quick no climb)"
    )
    arguments = parser.parse_args()
    arguments.only = arguments.only or (KINDS[:2] if arguments.quick else KINDS)
    rounds = 1 if arguments.quick else arguments.rounds
    print(processor())
    print(
        "what      threads      alone    in company  ratio  per share  best       threads "
        "taken, alone / in company"
    )
    for kind in arguments.only:
        if kind == "climb":
            compare(kind, "s ", {t: partial(climb, t) for t in (0, 1, 2)}, (rounds + 1) // 2)
            continue
        number = {"training": (150, 5), "forces": (1000, 20)}[kind][arguments.quick]
        workers = {threads: Worker(kind, threads) for threads in (0, 1, 2)}
        try:
            compare(kind, "ms", {t: partial(one, number) for t, one in workers.items()}, rounds)
        finally:
            for worker in workers.values():
                worker.process.kill()
                worker.process.communicate()


if __name__ == "__main__":
    begin = time.perf_counter()
    main()
    print(f"{time.perf_counter() - begin:.0f} s")
