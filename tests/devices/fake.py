"""A device that is not there: `cuda:0` for torch, while every number is computed by the CPU.

What a GPU refuses is refused here: operands of two devices, numpy of a tensor that lies there, random
numbers of a generator that lies elsewhere. What makes a GPU wait is counted. Its numbers are those of
the CPU, so that says nothing about the speed or the rounding of a real one.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch._dynamo  # what a mode needs of it is imported before torch is patched
import torch.fx.experimental.proxy_tensor
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

#: What it is called.
DEVICE = torch.device("cuda:0")
CPU = torch.device("cpu")

aten = torch.ops.aten
#: May mix devices: a copy from one to the other is what they are for.
_COPIES = (aten.copy_.default, aten._to_copy.default)
#: Take indices of the CPU to a tensor of the device.
_INDEXED = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")
#: Have no exception for a number of the CPU, as element-wise operations do.
_STRICT = ("aten::cat", "aten::stack")
#: Wait for the device, because the shape of what they give, or whether they fail, is known there alone.
_WAITING = (
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::unique_consecutive",
    "aten::bincount",
    "aten::equal",
    "aten::_linalg_check_errors",
)


@dataclass
class Traffic:
    """How often the host waited for the device, by the line that made it wait.

    Attributes:
        to_host: copies from the device, numbers read included.
        to_device: copies to it.
        waits: operations whose shape only the device knows.
    """

    to_host: Counter[str] = field(default_factory=Counter)
    to_device: Counter[str] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)

    def clear(self) -> None:
        """Begin to count anew."""
        for one in (self.to_host, self.to_device, self.waits):
            one.clear()

    @property
    def stops(self) -> int:
        """How often the host waited."""
        return self.to_host.total() + self.waits.total()


class OnDevice(Tensor):
    """A tensor of the device, and the one of the CPU that holds its numbers."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> OnDevice:
        made = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=DEVICE,
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        return _run(func, args, kwargs or {})

    def __getitem__(self, place: Any) -> Any:
        return super().__getitem__(_tensors(place))

    def __setitem__(self, place: Any, value: Any) -> None:
        super().__setitem__(_tensors(place), value)

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.held.__reduce_ex__(protocol)  # a file knows the device by map_location alone

    def __repr__(self, **_: Any) -> str:
        return f"OnDevice({self.held})"


def _tensors(place: Any) -> Any:
    """Lists and arrays of an index as tensors of the CPU, which torch makes of them by itself."""
    if isinstance(place, tuple):
        return tuple(_tensors(one) for one in place)
    if not isinstance(place, list | np.ndarray):
        return place
    return torch.as_tensor(place) if len(place) else torch.zeros(0, dtype=torch.long)


class _Everywhere(TorchDispatchMode):
    """Sees the operations that have no operand, such as torch.zeros on the device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        return _run(func, args, kwargs or {})


class NoCompiler(RuntimeError):
    """The device cannot be made up here."""


traffic = Traffic()
_is_available = torch.cuda.is_available


def _run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    tensors = [*_tensors_in(args), *_tensors_in(kwargs.values())]
    ours = [t for t in tensors if isinstance(t, OnDevice)]
    asked = kwargs.get("device")
    there = bool(ours) if asked is None else torch.device(asked).type == DEVICE.type
    name = func._schema.name
    if there or ours:
        _refuse_mixed(func, name, args, tensors)
        _count(func, name, args, kwargs, ours, there)
    if func is aten.copy_.default:
        there = isinstance(args[0], OnDevice)
    plain = {k: CPU if k == "device" and v is not None else v for k, v in kwargs.items()}
    plain.pop("pin_memory", None)
    if func is aten._pin_memory.default:
        return args[0]
    known = {id(t.held): t for t in ours}
    generator = _lent(plain, there, name)
    found = func(*_held(args), **{k: _held(v) for k, v in plain.items()})
    if generator is not None:
        generator.set_state(plain["generator"].get_state())
    if func is aten._to_copy.default and asked is None:
        there = bool(ours)
    if not there:
        return found
    return _changed(found, Tensor, lambda t: known[id(t)] if id(t) in known else OnDevice(t))


def _tensors_in(many: Iterable[Any]) -> Iterator[Tensor]:
    """Those of operands, which lie in them or in lists and tuples of them."""
    for one in many:
        if isinstance(one, Tensor):
            yield one
        elif isinstance(one, list | tuple):
            yield from _tensors_in(one)


def _changed(tree: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """What an operation takes or gives with each `kind` changed; torch's own walk through any tree
    takes several times the time of the operation.
    """
    if isinstance(tree, kind):
        return change(tree)
    if isinstance(tree, list | tuple):
        return type(tree)([_changed(one, kind, change) for one in tree])
    return tree


def _held(tree: Any) -> Any:
    return _changed(tree, OnDevice, lambda t: t.held)


def _refuse_mixed(func: Any, name: str, args: tuple[Any, ...], tensors: list[Tensor]) -> None:
    """As a GPU does; a number of the CPU may meet tensors of the device in element-wise operations."""
    if func in _COPIES or not any(isinstance(t, OnDevice) for t in tensors):
        return
    if name in _INDEXED:  # indices may lie on the CPU
        tensors = [t for t in (args[0], *args[2:3]) if isinstance(t, Tensor)]
    strict = name in _STRICT
    others = [t for t in tensors if not isinstance(t, OnDevice) and (t.ndim or strict)]
    changed = func._schema.is_mutable and type(args[0]) is Tensor
    if others and any(isinstance(t, OnDevice) for t in tensors) or changed:
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"{DEVICE} and cpu! ({name})"
        )


def _lent(kwargs: dict[str, Any], there: bool, name: str) -> torch.Generator | None:
    """Put a generator of the CPU with the state of the given one into `kwargs`, and give that one.

    Raises:
        RuntimeError: it lies elsewhere than what it is to fill.
    """
    given = kwargs.get("generator")
    if given is None:
        return None
    if given.device.type != (DEVICE if there else CPU).type:
        raise RuntimeError(
            f"Expected a '{DEVICE.type if there else 'cpu'}' device type for generator but found "
            f"'{given.device.type}' ({name})"
        )
    kwargs["generator"] = torch.Generator().set_state(given.get_state())
    return given


def _count(
    func: Any,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    ours: list[OnDevice],
    there: bool,
) -> None:
    if func is aten._local_scalar_dense.default:
        traffic.to_host[_line()] += 1
    elif func is aten._to_copy.default and kwargs.get("device") is not None:
        if bool(ours) != there:
            (traffic.to_device if there else traffic.to_host)[_line()] += 1
    elif func is aten.copy_.default:
        to, come = (isinstance(t, OnDevice) for t in args[:2])
        if to != come:
            (traffic.to_device if to else traffic.to_host)[_line()] += 1
    elif name in _WAITING or (name in _INDEXED and _by_mask(args[1])):
        traffic.waits[_line()] += 1
    elif name in _INDEXED and any(
        isinstance(t, Tensor) and not isinstance(t, OnDevice) for t in args[1]
    ):
        traffic.to_device[_line()] += 1


def _by_mask(indices: Any) -> bool:
    return any(isinstance(t, Tensor) and t.dtype in (torch.bool, torch.uint8) for t in indices)


def _line() -> str:
    """The innermost line of cgrec that is being run."""
    frame = sys._getframe()  # no text of the lines is read, as `traceback` would
    while frame is not None:
        name = frame.f_code.co_filename
        if "/cgrec/" in name and "/tests/" not in name:
            return f"{name.rpartition('/cgrec/')[2]}:{frame.f_lineno}"
        frame = frame.f_back
    return "a test"


def _on_device(device: object) -> bool:
    return device is not None and not isinstance(device, int) and "cuda" in str(device)


def _indexed(device: Any) -> Any:
    """`cuda` as `cuda:0`: for the bare name torch asks a driver which one is meant."""
    return DEVICE if _on_device(device) else device


def _patched() -> dict[str, Any]:
    """What in torch asks for a driver, or loses its mode, by its dotted name."""
    tensor, as_tensor, to, load = torch.tensor, torch.as_tensor, Tensor.to, torch.load

    def new_tensor(
        data: Any, *, device: Any = None, requires_grad: bool = False, **rest: Any
    ) -> Any:
        made = tensor(data, **rest)
        made = made if device is None else made.to(_indexed(device))
        return made.requires_grad_() if requires_grad else made

    def new_as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Any:
        if not isinstance(data, Tensor):
            data = as_tensor(data, dtype=dtype)
        return data.to(
            device=data.device if device is None else _indexed(device), dtype=dtype or data.dtype
        )

    def new_to(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        named = {k: _indexed(v) if k == "device" else v for k, v in kwargs.items()}
        first = [_indexed(a) if isinstance(a, str | torch.device) else a for a in args]
        return to(self, *first, **named)

    def new_load(file: Any, map_location: Any = None, **rest: Any) -> Any:
        found = load(file, map_location="cpu", **rest)
        return tree_map_only(Tensor, OnDevice, found) if _on_device(map_location) else found

    return {
        "torch.tensor": new_tensor,
        "torch.as_tensor": new_as_tensor,
        "torch.Tensor.to": new_to,
        "torch.Tensor.pin_memory": lambda self: self,
        "torch.load": new_load,
        # a parameter cannot become a tensor of another class, so that a module gets new ones
        "torch.__future__.get_overwrite_module_params_on_conversion": lambda: True,
        "torch.compile": lambda function, **_: function,
        # tracing is that of the CPU, where tests see to it
        "torch.fx.experimental.proxy_tensor.make_fx": lambda function: lambda *_: function,
        "torch.cuda._lazy_init": lambda: None,
        "torch.cuda.is_available": lambda: True,
        "torch.cuda.device_count": lambda: 1,
        "torch.cuda.current_device": lambda: 0,
        "torch.cuda.get_device_name": lambda *_: "a device that is not there",
        "torch.cuda.get_rng_state": lambda *_: torch.zeros(0, dtype=torch.uint8),
        "torch.cuda.set_rng_state": lambda *_: None,
    }


@lru_cache
def no_driver() -> ctypes.CDLL:
    """What answers in place of a driver; to be called before the first gradient of the process, for
    autograd counts devices then.

    Raises:
        NoCompiler: none is here.
    """
    compiler = shutil.which("g++")
    if compiler is None:
        raise NoCompiler("expected g++, found none")
    source, torch_home = Path(__file__).with_name("no_driver.cpp"), Path(torch.__file__).parent
    known = hashlib.sha256(source.read_bytes() + torch.__version__.encode()).hexdigest()[:16]
    made = source.parent / "__pycache__" / f"no_driver.{known}.so"
    if not made.exists():
        made.parent.mkdir(exist_ok=True)
        words = ["-std=c++20", "-O0", "-shared", "-fPIC", f"-I{torch_home / 'include'}"]
        libraries = [f"-L{torch_home / 'lib'}", "-ltorch_cpu", "-lc10"]
        partial = made.with_suffix(f".{os.getpid()}")
        subprocess.run([compiler, *words, str(source), "-o", str(partial), *libraries], check=True)
        partial.replace(made)
    library = ctypes.CDLL(str(made))
    library.be_there.argtypes = [ctypes.c_bool]
    library.no_driver()
    return library


def active() -> bool:
    """Whether the device is there."""
    return torch.cuda.is_available is not _is_available


@contextmanager
def fake_device() -> Iterator[Traffic]:
    """Inside the block `cuda` is there; gives the count of what the host waited for."""
    driver = no_driver()
    driver.be_there(True)
    traffic.clear()
    patches = [mock.patch(name, new) for name, new in _patched().items()]
    for one in patches:
        one.start()
    try:
        with _Everywhere():
            yield traffic
    finally:
        for one in reversed(patches):
            one.stop()
        driver.be_there(False)
