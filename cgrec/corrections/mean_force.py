"""`MeanForces`: labels almost without noise, where the parent is a model that can be called.

A force label of a kept site is the mean force plus the noise of everything that was left out. With
the kept sites held where they are, a short run of the rest averages the noise away: many times
fewer labels serve a fit as well (blue-moon and constrained-force averages: E. Darve, A. Pohorille,
J. Chem. Phys. 115, 9169 (2001)).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..dynamics.langevin import Langevin
from ..frames import Frames
from ..mapping import Mapping
from ..potential.base import Potential
from ..ranges import expect
from ..remarks import remark
from ..run.digests import made

#: nm, all coordinates of a frame together, by which held sites differ from where they were put.
_STILL = 1e-3


@dataclass(frozen=True, kw_only=True)
class MeanForces:
    """Replaces the force labels of a level by mean forces: a short run of the level below from each
    of its frames, with the sites of the level held.

    It costs `length` + `equilibration` of the level below a frame, all together one more run of it
    of that length with as many replicas as there are frames. The noise that it leaves of a label is
    about that of one frame times 2 tau / `length`, tau the time in which forces forget (of alpha
    carbons under a force field a few hundredths of a picosecond).

    Attributes:
        length, save_every, equilibration, timestep: ps, of each run.
        friction: 1/ps: less, and forces forget faster; more, and the rest sooner has its temperature.
        minimum_mass: amu, of the sites that move.
        most: frames that get a label, spread over all; None: all.
        portion: frames whose runs are made at once; a portion that is done is kept.
    """

    length: float = 1.0
    save_every: float = 0.04
    equilibration: float = 0.2
    timestep: float = 0.004
    friction: float = 5.0
    minimum_mass: float = 12.0
    most: int | None = None
    portion: int = 1000

    def __post_init__(self) -> None:
        expect(
            "MeanForces",
            above=0,
            length=self.length,
            save_every=self.save_every,
            timestep=self.timestep,
            friction=self.friction,
        )
        expect(
            "MeanForces",
            at_least=0,
            equilibration=self.equilibration,
            minimum_mass=self.minimum_mass,
        )
        expect(
            "MeanForces",
            at_least=1,
            portion=self.portion,
            most=1 if self.most is None else self.most,
        )
        if self.save_every > self.length:
            raise ValueError(
                "MeanForces: expected save_every of at most length, found "
                f"save_every={self.save_every}, length={self.length}"
            )

    def __call__(
        self,
        potential: Potential,
        parent: Frames,
        mapping: Mapping,
        targets: Frames,
        folder: Path,
        seed: int = 0,
        name: str = "mean forces",
    ) -> Frames:
        """`targets` with mean forces, or as many of them as `most` says.

        Args:
            potential: of the parent.
            parent: its frames.
            mapping: from it to the level.
            targets: the same frames mapped, whose weights are kept.
            folder: where portions are kept until all are done; remove it then.
            seed: of the runs.
            name: shown by the progress bar.

        Raises:
            ValueError: two sites of the mapping share one of the parent.
        """
        n = len(parent)
        chosen = np.unique(np.linspace(0, n - 1, min(n, self.most or n)).round().astype(int))
        portions = np.array_split(chosen, -(-len(chosen) // self.portion))
        found = []
        for k, index in enumerate(portions):
            done = folder / f"portion_{k}"
            if not made(done):
                run = folder / f"run_{k}"
                labels = mean_force_labels(
                    potential,
                    replace(parent[index], weights=None, replicas=None),
                    mapping,
                    run,
                    length=self.length,
                    save_every=self.save_every,
                    equilibration=self.equilibration,
                    timestep=self.timestep,
                    friction=self.friction,
                    minimum_mass=self.minimum_mass,
                    seed=seed + k,
                    name=f"{name} {k + 1}/{len(portions)}",
                )
                labels.save(done)
                shutil.rmtree(run)
            found.append(_in_order(Frames.load(done), targets[index]))
        labelled = np.concatenate([index[there] for index, (there, _) in zip(portions, found)])
        if len(labelled) < len(chosen):
            remark(
                f"{name}: {len(chosen) - len(labelled)} of {len(chosen)} frames have none, for their "
                "runs did not live to the end: they are left out of the fit"
            )
        forces = np.concatenate([forces for _, forces in found])
        # the runs are at one temperature, so are the labels
        return replace(targets[labelled], forces=forces, temperatures=None)


def _in_order(labels: Frames, targets: Frames) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
    """Numbers of the `targets` that have a label, and their forces: an engine draws its starts in an
    order of its own, and those that it lost have none. Held sites do not move, so they tell.
    """
    own, wanted = (np.asarray(f.positions, float).reshape(len(f), -1) for f in (labels, targets))
    away, nearest = cKDTree(own).query(wanted)
    there = np.flatnonzero(away < _STILL)
    return there, np.asarray(labels.forces)[nearest[there]]


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
    name: str = "mean forces",
) -> Frames:
    """Run the parent from each of `starts` with the sites of the mapping held, and average the mapped forces.

    Args:
        potential: of the parent.
        starts: its frames, unweighted; every one gives a label.
        mapping: whose sites are single ones of the parent or centres of several that share none
            (`Langevin.held`, `held_centres`). Its force weights should be those of least noise.
        folder: of the run; the same call goes on where it was interrupted.
        length, save_every, equilibration, timestep: ps, of each run.
        friction: 1/ps. minimum_mass: amu, of the sites that move.
        seed: of the runs.
        name: shown by the progress bar.

    Returns:
        Frames of the mapped System: positions of the kept sites, and their mean forces, in an order
        of its own.

    Raises:
        ValueError: two sites of the mapping share one of the parent.
    """
    held, centres = holding(mapping)
    dynamics = Langevin(
        n_replicas=len(starts),
        length=length,
        save_every=save_every,
        equilibration=equilibration,
        timestep=timestep,
        friction=friction,
        minimum_mass=minimum_mass,
        held=held,
        held_centres=centres or None,
    )
    folder = Path(folder)
    if not folder.exists():
        dynamics(potential, starts, folder, seed=seed, name=name)
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


def holding(mapping: Mapping) -> tuple[list[str], list[dict[str, float]]]:
    """What holds the sites of a mapping still in a run of the level below: sites that are held, and
    groups whose centres are, as `Langevin` takes them.

    Raises:
        ValueError: two sites of the mapping share one of the level below.
    """
    weights = mapping.sparse_position_weights.tocsr()
    shared = np.flatnonzero(np.bincount(weights.indices, minlength=weights.shape[1]) > 1)
    if len(shared):
        raise ValueError(
            "mean forces: expected a mapping whose sites share none of the level below, found "
            f"{mapping.fine.labels[shared[0]]} in several; do without mean forces"
        )
    held: list[str] = []
    centres: list[dict[str, float]] = []
    for first, end in zip(weights.indptr[:-1], weights.indptr[1:]):
        own = {
            f"#{site}": float(weight)
            for site, weight in zip(weights.indices[first:end], weights.data[first:end])
        }
        if len(own) == 1:
            held += own
        else:
            centres.append(own)
    return held, centres
