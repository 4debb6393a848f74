"""Neighbour tables of periodic boxes in C++, where there is a compiler.

vesin finds the pairs of 316 molecules in 0.7 ms and sorting them into a table takes as long again: together twice a
compiled force call, every few steps. Straight into the table it is 0.2 ms. vesin stays for everything else: boxes
narrower than twice the reach, machines without a compiler, and as the reference in the tests.
"""

from __future__ import annotations

import ctypes
import math
import warnings
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from .native import NoKernel, native_library


def periodic_table(
    positions: Tensor, reach: float, box: Tensor, out_of_reach: float
) -> tuple[Tensor, Tensor] | None:
    """(n_frames * n_sites, n_slots) neighbours and (..., 3) nm lattice shifts, as SiteGraph has them.

    Args:
        positions: (n_frames, n_sites, 3) nm; box: (n_frames, 3, 3) nm.
        reach: nm.
        out_of_reach: nm, shift of a free place.

    Returns:
        None where it has to be done another way.
    """
    library = _library()
    widths = 1.0 / torch.linalg.inv(box).norm(dim=1)
    if library is None or positions.device.type != "cpu" or float(widths.min()) < 2 * reach:
        return None
    frames, sites = positions.shape[:2]
    x, rows = positions.detach().double().contiguous(), box.double().contiguous()
    density = sites / float(torch.linalg.det(rows).abs().min())
    slots = 8 + int(1.3 * density * 4 / 3 * math.pi * reach**3)
    while True:
        index = torch.empty(frames * sites, slots, dtype=torch.long)
        shift = torch.empty(frames * sites, slots, 3, dtype=torch.float64)
        richest = max(_fill(library, k, x, rows, reach, out_of_reach, index, shift) for k in range(frames))
        if richest <= slots:
            used = max(richest, 1)
            return index[:, :used].contiguous(), shift[:, :used].to(positions.dtype).contiguous()
        slots = richest


def _fill(
    library: ctypes.CDLL, frame: int, x: Tensor, rows: Tensor, reach: float, out_of_reach: float, index: Tensor, shift: Tensor
) -> int:  # fmt: skip
    sites = x.shape[1]
    return library.neighbour_table(
        sites, x[frame].data_ptr(), rows[frame].data_ptr(), reach, index.shape[1], frame * sites, out_of_reach,
        index[frame * sites].data_ptr(), shift[frame * sites].data_ptr(),
    )  # fmt: skip


@lru_cache
def _library() -> ctypes.CDLL | None:
    try:
        library = native_library(Path(__file__).with_name("neighbours.cpp"))
    except NoKernel as reason:
        warnings.warn(f"{reason}; neighbours are found several times slower", stacklevel=2)
        return None
    number, pointer, integer = ctypes.c_double, ctypes.c_void_p, ctypes.c_int64
    library.neighbour_table.restype = integer
    library.neighbour_table.argtypes = [
        integer, pointer, pointer, number, integer, integer, number, pointer, pointer,
    ]  # fmt: skip
    return library
