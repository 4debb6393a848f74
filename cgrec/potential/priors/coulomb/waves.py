"""Waves of periodic boxes: vectors of the reciprocal lattice."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def tops(box: Tensor, longest: Tensor) -> list[int]:
    """Largest index along each reciprocal vector of waves up to `longest` (n_frames,): |n| <= k |a|
    / 2 pi.
    """
    return [int(n) for n in (longest[:, None] * box.norm(dim=-1) / (2 * math.pi)).amax(0)]


def vectors(box: Tensor, n: Tensor) -> Tensor:
    """(n_frames, ..., 3) wave vectors of integers n (..., 3)."""
    return 2 * math.pi * torch.einsum("...a,fka->f...k", n.double(), torch.linalg.inv(box))


def waves(box: Tensor, longest: float) -> Tensor:
    """(n_frames, n_waves, 3) of all waves up to `longest`; those that are so in other frames only
    are zero.
    """
    axes = [
        torch.arange(-n, n + 1, device=box.device)
        for n in tops(box, box.new_full((len(box),), longest))
    ]
    k = vectors(box, torch.cartesian_prod(*axes))
    within = k.norm(dim=-1) <= longest
    return torch.where(within[..., None], k, 0.0)[:, within.any(0)]
