"""run.json: what a run was made with, and how to go on with it."""

from __future__ import annotations

import platform
import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from ..devices import resolved
from ..files import Json, read_json
from ..run import layout
from ..run.digests import keep_json, made

PACKAGES = ("cgrec", "torch", "e3nn", "torch-geometric", "numpy")


def write_run(folder: Path, seconds: float, seed: int, chosen_threads: Json) -> None:
    """run.json, anew after every level: the command to repeat, what it ran with, seconds of all
    sessions together.
    """
    keep_json(
        folder / layout.RUN,
        {
            "command": shlex.join(["cgrec", *sys.argv[1:]]),
            "commit": _commit(),
            "versions": {p: version(p) for p in PACKAGES},
            "seed": seed,
            "device": machine(),
            "threads": torch.get_num_threads(),
            "chosen_threads": chosen_threads,
            "seconds": seconds,
        },
    )


def earlier_seconds(folder: Path) -> float:
    """s that earlier sessions took."""
    path = folder / layout.RUN
    return float(read_json(path)["seconds"]) if made(path) else 0.0


def machine() -> str:
    """What computes: the processor, and the GPU where one is used."""
    device = resolved()
    if device.type == "cpu":
        return processor()
    return f"{torch.cuda.get_device_name(device)}, {processor()}"


def processor() -> str:
    """The name its maker gave the processor, else its architecture."""
    for found in (_of_linux(), _of_macos(), platform.processor(), platform.machine()):
        if found and found != "arm":
            return found
    return "unknown"


def _of_linux() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    name = re.search(r"^(?:model name|Hardware|Model)\s*:\s*(.+)$", text, re.MULTILINE)
    return " ".join(name[1].split()) if name else ""


def _of_macos() -> str:
    if sys.platform != "darwin":
        return ""
    return _said_by(["sysctl", "-n", "machdep.cpu.brand_string"])


def _commit() -> str:
    return _said_by(["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]) or (
        "installed package"
    )


def _said_by(command: list[str]) -> str:
    """What a program prints; "" where it fails or is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()
