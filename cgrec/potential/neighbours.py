"""Neighbour tables in C++, where there is a compiler.

vesin finds the pairs of 316 molecules in 0.7 ms and sorting them into a table takes as long again:
together twice a compiled force call, every few steps. Straight into the table it is 0.2 ms. vesin
stays for everything else: boxes narrower than twice the reach, machines without a compiler, and as
the reference in the tests.

Open systems: in 64 replicas of 166 sites all distances at once took a third of a force evaluation,
and their memory grows with the square of the sites.
"""

from __future__ import annotations

import ctypes
import math
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from ..native import NoKernel, native_library
from ..remarks import remark
from ..threads import kernel_threads

#: Sites of an open frame up to which all distances are looked at: with cells they have to be sorted
#: again.
FEW = 1500


def periodic_table(
    positions: Tensor,
    reach: float,
    box: Tensor,
    out_of_reach: float,
    into: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor] | None:
    """(n_frames * n_sites, n_slots) neighbours and (..., 3) nm lattice shifts, as SiteGraph has
    them.

    Args:
        positions: (n_frames, n_sites, 3) nm; box: (n_frames, 3, 3) nm.
        reach: nm.
        out_of_reach: nm, shift of a free place.
        into: a table of this function that is overwritten and returned where it has columns enough.

    Returns:
        None where it has to be done another way.
    """
    library = _library()
    if library is None or positions.device.type != "cpu":
        return None
    x, rows = positions.detach().double().contiguous(), box.double().contiguous()
    if into is not None and into[1].dtype == torch.float64:
        richest = _fill(library, x, rows, reach, out_of_reach, *into)
        if 0 <= richest <= into[0].shape[1]:
            return into
    density = x.shape[1] / float(torch.linalg.det(rows).abs().min())
    slots = 8 + int(1.3 * density * 4 / 3 * math.pi * reach**3)
    while True:
        index = torch.empty(x.shape[0] * x.shape[1], slots, dtype=torch.long)
        shift = torch.empty(*index.shape, 3, dtype=torch.float64)
        richest = _fill(library, x, rows, reach, out_of_reach, index, shift)
        if richest < 0:
            return None
        if richest <= slots:
            used = max(richest, 1)
            return index[:, :used].contiguous(), shift[:, :used].to(positions.dtype).contiguous()
        slots = richest


def open_table(
    positions: Tensor, reach: float, out_of_reach: float, into: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor] | None:
    """As `periodic_table`, of open systems; the neighbours of a site are in the order of their
    numbers.
    """
    library = _library()
    if library is None or positions.device.type != "cpu":
        return None
    x = positions.detach().double().contiguous()

    def fill(index: Tensor | None, shift: Tensor | None) -> int:
        """Neighbours of the richest site; without a table they are only counted."""
        slots = 0 if index is None else index.shape[1]
        pointers = (None if t is None else t.data_ptr() for t in (index, shift))
        return library.open_table(
            *x.shape[:2], x.data_ptr(), reach, slots, out_of_reach, FEW, kernel_threads(), *pointers
        )

    if into is not None and into[1].dtype == torch.float64:
        richest = fill(*into)
        if richest <= into[0].shape[1]:
            return into
    else:
        richest = fill(None, None)
    index = torch.empty(x.shape[0] * x.shape[1], max(richest, 1), dtype=torch.long)
    shift = torch.empty(*index.shape, 3, dtype=torch.float64)
    fill(index, shift)
    return index, shift.to(positions.dtype)


def _fill(
    library: ctypes.CDLL,
    x: Tensor,
    rows: Tensor,
    reach: float,
    out_of_reach: float,
    index: Tensor,
    shift: Tensor,
) -> int:
    """Neighbours of the richest site of all frames; -1 where a box is too narrow."""
    sites = x.shape[1]
    found = [
        library.neighbour_table(
            sites,
            one.data_ptr(),
            box.data_ptr(),
            reach,
            index.shape[1],
            frame * sites,
            out_of_reach,
            index[frame * sites].data_ptr(),
            shift[frame * sites].data_ptr(),
        )
        for frame, (one, box) in enumerate(zip(x, rows))
    ]
    return -1 if min(found) < 0 else max(found)


@lru_cache
def _library() -> ctypes.CDLL | None:
    try:
        library = native_library(Path(__file__).with_name("neighbours.cpp"))
    except NoKernel as reason:
        remark(f"{reason}; neighbours are found several times slower")
        return None
    number, pointer, integer = ctypes.c_double, ctypes.c_void_p, ctypes.c_int64
    library.neighbour_table.restype = integer
    library.neighbour_table.argtypes = [
        integer,
        pointer,
        pointer,
        number,
        integer,
        integer,
        number,
        pointer,
        pointer,
    ]
    library.open_table.restype = integer
    library.open_table.argtypes = [
        integer,
        integer,
        pointer,
        number,
        integer,
        number,
        integer,
        integer,
        pointer,
        pointer,
    ]
    return library
