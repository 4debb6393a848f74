"""Where tensors live: the one setting `device`, and the one place that says what it means.

`auto`, the default of every step, is what the climb around it was told (`use_device`); where nobody
said anything, a CUDA device that torch sees, else the CPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from platform import system
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: What a climb was told.
_around: ContextVar[str] = ContextVar("device", default="auto")
#: Beginnings of names that people give to a GPU.
_GPU = ("gpu", "nvidia", "cuda", "hip", "rocm")
#: What a driver of a GPU leaves on Linux.
_DRIVERS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")


def is_gpu(device: str, key: str = "device") -> bool:
    """Whether a GPU is named; ValueError where `device` is no device of any machine."""
    kind, _, number = device.partition(":")
    named = kind == "cuda" and (number.isdecimal() or device == "cuda")
    if not named and device not in ("auto", "cpu"):
        near = "cuda" if device.lower().startswith(_GPU) else "cpu"
        raise ValueError(
            f"{key}: expected auto, cpu, cuda or cuda:0, found {device!r}; give {key}={near}"
        )
    return named


def check_device(device: str, key: str = "device") -> None:
    """ValueError where `device` is no device, or this machine has no driver for it: what can be known
    without torch, which takes seconds to import.
    """
    if (
        is_gpu(device, key)
        and system() == "Linux"
        and not any(Path(path).exists() for path in _DRIVERS)
    ):
        raise ValueError(
            f"{key}: expected a device of this machine, found {device!r} and no driver for it; "
            f"give {key}=cpu, or install the driver and a torch made for your GPU"
        )


def resolved(device: str = "auto", key: str = "device") -> torch.device:
    """The device that is meant.

    Args:
        device: auto, cpu, cuda or cuda:N.
        key: what the setting is called, for the message.

    Raises:
        ValueError: it is no device, or none of this machine.
    """
    import torch

    if device == "auto":
        device = _around.get()
    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return torch.device("cuda" if seen else "cpu")
    kind, _, number = device.partition(":")
    if kind != "cuda" or not seen:
        check_device(device, key)
    if kind == "cuda" and int(number or 0) >= seen:
        raise ValueError(
            f"{key}: expected a device of this machine, found {device!r}, of which torch sees "
            f"{seen}; give {key}=cpu, or install a torch made for your GPU"
        )
    return torch.device(device)


def asked() -> str:
    """What the climb around was told, for those that have devices of their own, such as OpenMM."""
    return _around.get()


def sent(values: Tensor, device: torch.device) -> Tensor:
    """`values` of the CPU on `device`; a GPU takes them while the CPU goes on."""
    if device.type == "cpu":
        return values
    return values.pin_memory().to(device, non_blocking=True)


@contextmanager
def use_device(device: str) -> Iterator[None]:
    """Inside the block, `auto` is this device."""
    before = _around.set(device)
    try:
        yield
    finally:
        _around.reset(before)
