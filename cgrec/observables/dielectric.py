"""The static permittivity of a polar fluid from the fluctuations of its dipole moment.

Public: `dipole_moments`, `dielectric_constant`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..cell import widths
from ..frames import Frames
from ..statistics.errors import Estimate, default_blocks, jackknife_error
from ..statistics.sampling import blocks_of
from ..units import COULOMB, thermal_energy


def dielectric_constant(
    frames: Frames, charges: ArrayLike | None = None, n_blocks: int | None = None
) -> Estimate[float]:
    """Relative permittivity 1 + 4 pi / (3 V kT) (<M^2> - <M>^2) / (4 pi epsilon_0), with its
    jackknife error.

    For a periodic box with a conducting boundary, which Ewald and PME sums have, and fixed charges,
    so that the permittivity at optical frequencies is one (M. Neumann, Mol. Phys. 50, 841 (1983)).
    M is that of the neutral molecules (`dipole_moments`): with ions it is what the solvent among
    them contributes. V is the mean volume.

    Args:
        frames: periodic, sampled at `Frames.temperature`; weights are honoured.
        charges: (n_sites,) e; default `System.charges`.
        n_blocks: for the error; default `statistics.default_blocks`.

    Raises:
        ValueError: no box, a single frame, or what `dipole_moments` refuses.
    """
    boxes = frames.boxes()
    if boxes is None:
        raise ValueError(
            "dielectric_constant: these Frames have no box; the formula holds for a periodic system"
        )
    moments, volumes = (
        dipole_moments(frames, charges),
        np.abs(np.linalg.det(np.asarray(boxes, float))),
    )
    w = frames.normalised_weights()

    def permittivity(weights: NDArray[np.float64]) -> float:
        weights = weights / weights.sum()
        mean = weights @ moments
        variance = weights @ ((moments - mean) ** 2).sum(1)
        kT = thermal_energy(frames.temperature)
        return float(1 + 4 * np.pi * COULOMB * variance / (3 * (weights @ volumes) * kT))

    left = []
    for block in blocks_of(frames, n_blocks or default_blocks(frames)):
        kept = w.copy()
        kept[block] = 0
        left.append(permittivity(kept))
    return Estimate(permittivity(w), jackknife_error(np.array(left)))


def dipole_moments(frames: Frames, charges: ArrayLike | None = None) -> NDArray[np.float64]:
    """(n_frames, 3) e nm: the dipole moment of all neutral molecules together. Charged ones, ions,
    are left out: theirs depends on the origin.

    Args:
        frames: with whole molecules.
        charges: (n_sites,) e; default `System.charges`.

    Raises:
        ValueError: no neutral molecule has charges; a molecule is broken across the box; not one
            charge a site.
    """
    system = frames.system
    q = np.asarray(system.charges if charges is None else charges, float)
    if q.shape != (system.n_sites,):
        raise ValueError(f"charges: expected {system.n_sites}, one a site, found shape {q.shape}")
    molecules = system.molecules
    neutral = np.abs(np.bincount(molecules, q)) < 1e-6
    q = np.where(neutral[molecules], q, 0.0)
    if not q.any():
        raise ValueError(
            "dipole_moments: expected neutral molecules with charges in them, found none "
            f"among {len(neutral)} molecules; "
            "give `charges` by site, or bonds to the System"
        )
    x = np.asarray(frames.positions, float)
    _check_whole(frames, x)
    return np.einsum("fid,i->fd", x, q)


def _check_whole(frames: Frames, x: NDArray[np.float64]) -> None:
    boxes, bonds = frames.boxes(), frames.system.bonds
    if boxes is None or not len(bonds):
        return
    width = widths(np.asarray(boxes, float)).min(1)
    longest = np.linalg.norm(x[:, bonds[:, 0]] - x[:, bonds[:, 1]], axis=-1)
    frame, bond = np.unravel_index(np.argmax(longest / width[:, None]), longest.shape)
    if longest[frame, bond] > width[frame] / 2:
        raise ValueError(
            f"dipole_moments: the bond {tuple(bonds[bond].tolist())} of frame {frame} is "
            f"{longest[frame, bond]:.3f} nm long in a box "
            f"{width[frame]:.3f} nm wide: the molecule is broken; make molecules whole first"
        )
