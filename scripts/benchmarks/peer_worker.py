"""One library of peers.py in a process of its own: reads jobs, a JSON object a line, and answers
each with one.

    python peer_worker.py LIBRARY --data FILE.npz --folder DIR [--threads 1]

Jobs: call, training, accuracy, memory (see the functions of those names). Needs numpy, torch and
the library only.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import math
import os
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peer_libraries import LIBRARIES, Water, explained
from torch import Tensor, nn


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("library", choices=sorted(LIBRARIES))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    # Answers keep the real stdout; what the libraries print goes to stderr.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = Worker(arguments.library, Water.load(arguments.data), arguments.folder)
    for line in sys.stdin:
        print(json.dumps(answer(worker, json.loads(line))), file=answers, flush=True)


def answer(worker: Worker, job: dict[str, Any]) -> dict[str, Any]:
    try:
        return getattr(worker, job.pop("job"))(**job)
    except (
        Exception
    ) as error:  # whatever a foreign library raises is a result of the benchmark: it did not run
        traceback.print_exc()
        return {
            "error": f"{type(error).__name__}: "
            f"{str(error).strip().splitlines()[0] if str(error) else ''}"
        }


class Worker:
    """Makes what a job needs once and keeps it warm for the next round."""

    def __init__(self, name: str, water: Water, folder: Path) -> None:
        self.name = name
        self.water = water
        self.folder = folder
        self.made: dict[Any, Any] = {}

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    def library(self, variant: str, inner: bool = False) -> Any:
        water = self.water.inner() if inner else self.water
        return self.once(
            (variant, inner), lambda: LIBRARIES[self.name](water, self.folder, variant)
        )

    def call(self, variant: str, copies: int, budget: float = 0.4) -> dict[str, float]:
        """Median seconds of a force call; everything is warm."""
        run = self.once(
            ("call", variant, copies), lambda: warm(self.library(variant).force_call(copies))
        )
        times: list[float] = []
        while len(times) < 3 or (sum(times) < budget and len(times) < 30):
            times.append(timed(run))
        return {"seconds": statistics.median(times)}

    def training(self, variant: str, batch: int, steps: int) -> dict[str, float]:
        """Seconds of an optimiser step with everything that belongs to it."""
        make = lambda: self.library(variant).trainer(batch, 0)  # noqa: E731
        return {"seconds": self.once(("training", variant, batch), make).round(steps)}

    def accuracy(
        self, variant: str, minutes: float, seed: int, inner: bool = False, **options: Any
    ) -> dict[str, float]:
        """Explained force fraction of the held-out frames (`inner`: of the last of the others)
        after `minutes` of training.
        """
        begin = time.process_time()
        result = self.library(variant, inner).trainer(seed=seed, **options).fit(minutes)
        return {**result, "cpu_seconds_in_all": time.process_time() - begin}

    def memory(self, variant: str, copies: int) -> dict[str, float]:
        """MiB that a force call needs beyond what the process holds before it; ask a fresh process."""
        run = self.library(variant).force_call(copies)
        if (
            variant == "eager"
        ):  # loads what is loaded once only; compiled calls have run, or need no such thing
            self.library(variant).force_call(1)()
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        before = resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
        seconds = timed(run)
        return {
            "MiB": resident("VmHWM") - before,
            "peak_MiB": resident("VmHWM"),
            "seconds": seconds,
        }


class PlainTrainer:
    """The one training loop all peers get: AMSGrad, cosine to the end of the time, averaged
    weights, clipped gradients.

    Graphs are made once and kept. Compiling, and everything else that a first step does, happens in
    the constructor.
    """

    def __init__(
        self, library: Any, model: nn.Module, batch: int, seed: int, learning_rate: float
    ) -> None:
        self.library = library
        self.model = model
        self.batch = batch
        self.learning_rate = learning_rate
        self.random = np.random.default_rng(seed)
        self.queue = np.zeros(0, int)
        self.examples = {}
        self.scale = library.water.force_scale
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        first = [p.detach().clone() for p in self.parameters]
        self.start()
        for _ in range(3):
            self.step(0.0)
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, first)
        self.start()

    def start(self) -> None:
        self.optimiser = torch.optim.Adam(self.parameters, lr=self.learning_rate, amsgrad=True)
        self.average = [p.detach().clone() for p in self.parameters]
        self.steps = 0

    def step(self, done: float) -> None:
        """One optimiser step; `done` is the share of the time that is over."""
        cosine = 0.5 * (1 + math.cos(math.pi * min(done, 1.0))) + 2e-3
        self.optimiser.param_groups[0]["lr"] = (
            self.learning_rate * cosine * min(1.0, (self.steps + 1) / 50)
        )
        frames = self.next_frames()
        error = self.forces(frames) - self.labels(frames)
        loss = (error / self.scale).square().mean()
        self.optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 10.0)
        self.optimiser.step()
        self.steps += 1
        with torch.no_grad():
            torch._foreach_lerp_(
                self.average, self.parameters, 1 - min(0.995, self.steps / (self.steps + 10))
            )

    def next_frames(self) -> list[int]:
        if len(self.queue) < self.batch:
            self.queue = self.random.permutation(self.library.water.n_training)
        frames, self.queue = self.queue[: self.batch], self.queue[self.batch :]
        return frames.tolist()

    def forces(self, frames: list[int]) -> Tensor:
        for frame in frames:
            if frame not in self.examples:
                self.examples[frame] = self.library.example(frame)
        return self.library.forces(
            self.model, self.library.batch([self.examples[k] for k in frames])
        )

    def labels(self, frames: list[int]) -> Tensor:
        return torch.from_numpy(self.library.water.forces[frames].reshape(-1, 3))

    def round(self, steps: int) -> float:
        """Seconds per step. The graphs are there."""
        state = self.random.bit_generator.state, self.queue
        for _ in range(steps):
            for frame in self.next_frames():
                self.examples.setdefault(frame, self.library.example(frame))
        self.random.bit_generator.state, self.queue = state
        begin = time.perf_counter()
        for _ in range(steps):
            self.step(0.0)
        return (time.perf_counter() - begin) / steps

    def fit(self, minutes: float) -> dict[str, float]:
        """Train for a CPU time, making graphs included, and judge the averaged weights by the
        held-out frames.
        """
        begin, budget = time.process_time(), 60 * minutes
        while (seconds := time.process_time() - begin) < budget:
            self.step(seconds / budget)
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, self.average)
        return {"explained": self.held_out(), "steps": self.steps, "seconds": seconds}

    def held_out(self) -> float:
        water = self.library.water
        frames = list(range(water.n_training, len(water.positions)))
        whole = [frames[k : k + self.batch] for k in range(0, len(frames), self.batch)]
        # compiled models know one shape
        whole = [group for group in whole if len(group) == self.batch]
        forces = torch.cat([self.forces(group).detach() for group in whole])
        labels = water.forces[[k for group in whole for k in group]].reshape(-1, 3)
        return explained(labels, forces.double().numpy())


def warm(call: Callable[[], Any]) -> Callable[[], Any]:
    for _ in range(6):  # TorchScript, inside e3nn, is at its best after a handful
        call()
    return call


def timed(call: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def resident(field: str) -> float:
    """MiB of a field of /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/self/status has no {field}: memory is measured on Linux only")


if __name__ == "__main__":
    main()
