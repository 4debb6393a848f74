"""Importing packages that compile TorchScript beside torch_geometric, which puts a function of its
own over `torch.index_select`.

TorchScript cannot compile that function, so that whatever compiles at import (metatensor.torch,
which torch-pme imports where it is installed) fails in a process that has torch_geometric. The
original stands in its place meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def own_index_select() -> Iterator[None]:
    """`torch.index_select` is torch's own inside the block."""
    over = torch.index_select
    torch.index_select = torch._C._VariableFunctions.index_select
    try:
        yield
    finally:
        torch.index_select = over
