"""Frames of several temperatures as a weighted sample of one of them."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..needs import need
from ..units import BOLTZMANN


def weights_at(
    temperature: float, energies: ArrayLike, temperatures: ArrayLike
) -> NDArray[np.float64]:
    """(n_frames,) weights, of mean 1, that make a sample of several temperatures one of
    `temperature`.

    By MBAR (M. R. Shirts, J. D. Chodera, J. Chem. Phys. 129, 124105 (2008)), through pymbar. Frames
    that follow each other closely make the weights no worse, only their error smaller than it is.

    Args:
        temperature: K to have.
        energies: (n_frames,) kJ/mol.
        temperatures: (n_frames,) K each frame was sampled at.

    Raises:
        ImportError: pymbar is not installed.
        ValueError: numbers of different length, or not finite.
    """
    need_pymbar("frames of several temperatures")
    logging.getLogger("pymbar").setLevel(logging.ERROR)  # it advertises faster packages
    from pymbar import MBAR

    energy = np.asarray(energies, float)
    sampled = np.asarray(temperatures, float)
    if energy.shape != sampled.shape or not np.isfinite(energy).all():
        raise ValueError(
            f"weights_at: expected one finite energy and one temperature a frame, found "
            f"{energy.shape} and {sampled.shape}, {int((~np.isfinite(energy)).sum())} not finite"
        )
    states, of = np.unique(sampled, return_inverse=True)
    order = np.argsort(of, kind="stable")
    everywhere = np.append(1 / (BOLTZMANN * states), 1 / (BOLTZMANN * temperature))
    numbers = np.append(np.bincount(of), 0)
    reduced = everywhere[:, None] * (energy[order] - energy.min())
    found = MBAR(reduced, numbers, solver_protocol="robust").weights()[:, -1]
    weights = np.empty(len(energy))
    weights[order] = found / found.mean()
    return weights


def need_pymbar(owner: str) -> None:
    """Refuse what `owner` asks for where pymbar is not installed, before anything is run for it.

    Raises:
        ImportError: it is not, with the way to have it.
    """
    need(owner, "pymbar", "temperatures")
