"""`ActiveLearning`: an all-atom network from quantum-chemistry labels of structures that it finds
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ... import geometry
from ...dynamics import CommitteeGuard
from ...frames import Frames
from ...potential import Committee, Potential, fit_priors
from ...roles import Engine
from ...run.digests import check_all, keep_json, made, open_record
from ...system import System
from ...training import ForceMatching, TrainingReport
from ...units import thermal_energy
from ...variables import variables_from_config
from .labelling import Labeller
from .learned import force_rmse, trained_once


@dataclass(frozen=True, kw_only=True)
class ActiveLearning:
    """Rounds of training a committee, exploring with it and labelling what it does not know.

    Attributes:
        start: reads the starting molecule, typed by element.
        temperature: K.
        make: makes an untrained network of labelled frames and a seed.
        others: as in `QuantumSource`.
    """

    start: Callable[[], Frames]
    temperature: float
    make: Callable[[Frames, int], Potential]
    labeller: Labeller
    exploration: Engine
    training: ForceMatching
    final_training: ForceMatching
    scatter: Mapping[str, Sequence[str]]
    members: int
    first_runs: int
    first_frames: int
    rounds: int
    labels: int
    threshold: float

    def __call__(self, folder: Path, seed: int) -> tuple[Potential, Frames]:
        """The network, and structures to start from. Every round leaves its labels in `folder`, so
        that a killed run loses at most a round.
        """
        open_record(folder)
        check_all(folder)
        data = self._first(folder / "labels_0", seed)
        for k in range(1, self.rounds + 1):
            committee = self._train(
                folder / f"committee_{k}", data, seed + 100 * k, self.training, self.members
            )
            data = self._extend(
                folder / f"labels_{k}", committee, data, seed + k, folder / f"exploration_{k}"
            )
        committee = self._train(
            folder / "final", data, seed + 100 * (self.rounds + 1), self.final_training, 1
        )
        some = np.linspace(0, len(data) - 1, min(len(data), 2000)).astype(int)
        starts = Frames(data.system, np.asarray(data.positions[some], np.float32), self.temperature)
        return committee.members[0], starts

    def _first(self, place: Path, seed: int) -> Frames:
        if not made(place):
            frame = self.start()
            rng = np.random.default_rng((seed, 7))
            starts = scatter(frame.system, frame.positions[0], self.scatter, self.first_runs, rng)
            temperatures = np.where(np.arange(len(starts)) % 2, 1.5, 1.0) * self.temperature
            data, failed = self.labeller.explore(
                frame.system,
                starts,
                temperatures,
                target=self.temperature,
                frames=self.first_frames,
                stride=10,
                timestep=0.001,
                seed=seed,
            )
            _note(place, failed=failed, kept=len(data))
            data.save(place)
        return Frames.load(place)

    def _train(
        self, place: Path, data: Frames, seed: int, training: ForceMatching, n: int
    ) -> Committee:
        open_record(place)
        check_all(place)
        first = self.make(data, seed)
        priors = fit_priors(data, types=first.types, cutoff=first.cutoff)

        def member(k: int) -> Potential:
            def fit(own: Path) -> tuple[Potential, TrainingReport]:
                return training(
                    self.make(data, seed + k),
                    data,
                    priors=priors,
                    seed=seed + k,
                    folder=own,
                    name=f"{place.name} member {k}",
                )

            return trained_once(place, k, training.torch_device, fit)

        return Committee([member(k) for k in range(n)])

    def _extend(
        self, place: Path, committee: Committee, data: Frames, seed: int, run: Path
    ) -> Frames:
        if not made(place):
            found = self._explore(committee, data, run, seed)
            chosen = self._choose(committee, found, np.random.default_rng((seed, 8)))
            new, failed = self.labeller.label(
                data.system, np.asarray(chosen.positions, float), self.temperature
            )
            new, hot = within_reach(new, float(np.min(data.energies)))  # type: ignore[arg-type]
            _note(
                place,
                failed=failed,
                too_hot=hot,
                kept=len(new),
                force_rmse_before_training=force_rmse(committee.members[0], new),
            )
            new.save(place)
        return Frames.concatenate([data, Frames.load(place)])

    def _explore(self, committee: Committee, data: Frames, run: Path, seed: int) -> Frames:
        if not made(run):
            guard = CommitteeGuard(committee.compiled(), self.threshold)
            options = copy(self.exploration)
            # to be lost where the committee disagrees is what this run is for
            options.use_lost = True
            _, report = options(
                committee.members[0], data, run, seed=seed, guard=guard, name=run.name
            )
            print(
                f"{run.name}: {len(report.lost)} of {report.replicas} replicas left the "
                "trusted region",
                flush=True,
            )
        return Frames.load(run)

    def _choose(self, committee: Committee, found: Frames, rng: np.random.Generator) -> Frames:
        """Half of the labels where the committee disagrees most, half at random (they keep the set
        honest).
        """
        pool, committee = (
            found[rng.permutation(len(found))[: 6 * self.labels]],
            committee.compiled(),
        )
        spread = np.concatenate(
            [
                committee.force_spread(committee.graph(pool[i : i + 256])).numpy()
                for i in range(0, len(pool), 256)
            ]
        )
        order = np.argsort(-spread)
        chosen = np.concatenate(
            [
                order[: self.labels // 2],
                rng.permutation(order[self.labels // 2 :])[: self.labels // 2],
            ]
        )
        return pool[np.sort(chosen)]


def scatter(
    system: System,
    positions: NDArray[np.float64],
    dihedrals: Mapping[str, Sequence[str]],
    n: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """(n, n_sites, 3) copies of one structure, the given dihedrals turned at random, copies that
    clash thrown away.
    """
    variables, out = variables_from_config(dihedrals), list[NDArray[np.float64]]()
    far = ~_near(system)
    while len(out) < n:
        x = np.array(positions, float)
        for variable in variables:
            _, b, c, _ = variable.indices(system)[0]
            x = _turn(x, system, int(b), int(c), rng.uniform(-np.pi, np.pi))
        distances = np.linalg.norm(x[:, None] - x[None], axis=-1)
        if distances[far].min(initial=np.inf) > 0.16 or not variables:
            out.append(x + rng.normal(scale=0.002, size=x.shape))
    return np.array(out)


def within_reach(frames: Frames, lowest: float, factor: float = 3.0) -> tuple[Frames, int]:
    """Frames whose energy above `lowest` is below `factor` times the thermal 3 n kT / 2, and how
    many were dropped.

    A run that breaks apart asks for labels no one needs: a network that has to fit them fits the
    rest worse.
    """
    bound = lowest + factor * 1.5 * frames.n_sites * thermal_energy(frames.temperature)
    keep = np.asarray(frames.energies) < bound
    if not keep.any():
        raise ValueError(
            f"all {len(frames)} structures to label lie above {bound:.0f} kJ/mol: the "
            "exploration ran away; train longer first, or lower the threshold"
        )
    return frames[keep], int((~keep).sum())


def _near(system: System) -> NDArray[np.bool_]:
    """Pairs up to two bonds apart, and each site with itself."""
    adjacent = np.eye(system.n_sites, dtype=int)
    adjacent[tuple(system.bonds.T)] = adjacent[tuple(system.bonds.T[::-1])] = 1
    return (adjacent @ adjacent) > 0


def _turn(
    x: NDArray[np.float64], system: System, b: int, c: int, angle: float
) -> NDArray[np.float64]:
    """Everything on the far side of bond b-c turned about it."""
    from scipy.spatial.transform import Rotation

    moved = system.beyond(b, c)
    if moved is None:
        raise ValueError(
            f"bond {system.labels[b]}-{system.labels[c]} is part of a ring and cannot be "
            "turned: take it out of source.scatter"
        )
    axis = (x[c] - x[b]) / geometry.distance(x, np.array([[b, c]]))
    x[moved] = Rotation.from_rotvec(axis * angle).apply(x[moved] - x[c]) + x[c]
    return x


def _note(place: Path, **numbers: float) -> None:
    keep_json(place.parent / f"{place.name}.json", numbers)
