"""`mean_force_labels`: labels almost without noise, where the parent is a model that can be called.

A force label of a kept site is the mean force plus the noise of everything that was left out. With
the kept sites held where they are, a short run of the rest averages the noise away: many times
fewer labels serve a fit as well (blue-moon and constrained-force averages: E. Darve, A. Pohorille,
J. Chem. Phys. 115, 9169 (2001)).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..dynamics.langevin import Langevin
from ..frames import Frames
from ..mapping import Mapping
from ..potential.base import Potential


def mean_force_labels(
    potential: Potential,
    starts: Frames,
    mapping: Mapping,
    folder: str | Path,
    *,
    length: float = 2.0,
    save_every: float = 0.01,
    equilibration: float = 0.2,
    timestep: float = 0.001,
    friction: float = 5.0,
    minimum_mass: float = 0.0,
    seed: int = 0,
) -> Frames:
    """Run the parent from each of `starts` with the kept sites held, and average the mapped forces.

    Args:
        potential: of the parent.
        starts: its frames, unweighted; every one gives a label.
        mapping: keeps single sites (`Pick`, `HeavyAtoms`, `Drop`) and takes each one's own force:
            where sites are centres of several, holding them needs constraints. Its force weights
            should be those of least noise.
        folder: of the run; the same call goes on where it was interrupted.
        length, save_every, equilibration, timestep: ps, of each run.
        friction: 1/ps. minimum_mass: amu, of the sites that move.
        seed: of the runs.

    Returns:
        Frames of the mapped System: positions of the kept sites, and their mean forces.

    Raises:
        ValueError: a site of the mapping is no single site of the parent.
    """
    kept = picked_sites(mapping)
    dynamics = Langevin(
        n_replicas=len(starts),
        length=length,
        save_every=save_every,
        equilibration=equilibration,
        timestep=timestep,
        friction=friction,
        minimum_mass=minimum_mass,
        held=[f"#{k}" for k in kept],
    )
    folder = Path(folder)
    if not folder.exists():
        dynamics(potential, starts, folder, seed=seed, name="mean forces")
    mapped = mapping(Frames.load(folder))
    replicas = np.asarray(mapped.replicas)
    groups = [np.flatnonzero(replicas == r) for r in np.unique(replicas)]
    forces = np.asarray(mapped.need_forces(), float)
    boxes = mapped.boxes()
    return Frames(
        mapped.system,
        np.stack([mapped.positions[g[0]] for g in groups]),
        mapped.temperature,
        forces=np.stack([forces[g].mean(0) for g in groups]),
        box=None if boxes is None else np.stack([boxes[g[0]] for g in groups]),
    )


def picked_sites(mapping: Mapping) -> NDArray[np.int64]:
    """(n_sites,) the site of the parent each site of the mapping is. Raises ValueError where one is
    made of several.
    """
    weights = mapping.sparse_position_weights
    atoms = np.diff(weights.indptr)
    several = np.flatnonzero(atoms != 1)
    if len(several):
        raise ValueError(
            "mean_force_labels: expected every site to be one site of the parent, found "
            f"{mapping.coarse.labels[several[0]]} made of "
            f"{atoms[several[0]]}; hold single sites (Pick, HeavyAtoms, Drop)"
        )
    return weights.indices.astype(np.int64)
