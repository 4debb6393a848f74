"""Level 0 from quantum chemistry: an all-atom NNP trained by active learning, then run.

The electrons are what is coarse-grained away here. Labels carry true energies, which no higher
level has.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import geometry, layout
from ..collective_variables import variables_from_config
from ..digests import check_all, checked, digest, keep, keep_json, made, open_record
from ..dynamics import CommitteeGuard, feature_guard
from ..frames import Frames
from ..potential import Committee, Potential, fit_priors, network_maker
from ..recipes import described
from ..roles import Engine, NetworkMaker
from ..system import System
from ..training import CHECKPOINT, ForceMatching
from ..trajectory_files import read
from ..units import force_factor, thermal_energy
from .base import Source, package_path
from .labelling import Labeller

#: 1 eV/Angstrom in kJ/mol/nm.
EV_PER_ANGSTROM = force_factor("eV/angstrom")
#: Of the NNP on frames of its own run, in the folder of level 0.
FORCE_ERROR = layout.FORCE_ERROR


class QuantumSource(Source):
    """Active learning of an all-atom NNP on quantum-chemistry labels, then dynamics with it.

    Args:
        structure: file with the starting molecule, or "package:name" for one that ships with cgrec.
        temperature: K.
        dynamics: the run that gives level 0 its frames.
        exploration: the run that looks for structures to label in every round.
        training: of each committee member.
        final_training: of the NNP that is kept, once all labels are there.
        network: keyword arguments of DensityNetwork other than types, seed and energy_scale, or
            what makes another network.
        labeller: the quantum chemistry.
        scatter: {name: four labels} dihedrals whose central bonds are turned at random for the
            first structures.
        potential: "package:name" of an NNP that ships with cgrec, to skip the learning; None learns
            from nothing.
        members: networks in the committee.
        first_runs, first_frames: short quantum runs, and frames kept of each.
        rounds: of training, exploring and labelling.
        labels: structures labelled per round.
        threshold: kJ/mol/nm, committee spread of a site's force that ends a replica.
        check_labels: frames of the final run labelled to state the NNP's force error; 0 leaves the
            check out.
    """

    products = {
        "learn": ("learning", "starts", layout.POTENTIAL),
        "run": ("frames", FORCE_ERROR, layout.SOURCE),
    }

    def __init__(
        self,
        *,
        structure: str,
        temperature: float,
        dynamics: Engine,
        exploration: Engine,
        training: ForceMatching,
        final_training: ForceMatching,
        network: Mapping[str, Any] | NetworkMaker,
        labeller: Labeller | None = None,
        scatter: Mapping[str, Any] | None = None,
        potential: str | None = None,
        members: int = 2,
        first_runs: int = 60,
        first_frames: int = 40,
        rounds: int = 3,
        labels: int = 2000,
        threshold: float = 3000,
        check_labels: int = 200,
    ) -> None:
        self.structure = structure
        self.temperature = temperature
        self.dynamics = dynamics
        self.exploration = exploration
        self.training = training
        self.final_training = final_training
        self.network = dict(network) if isinstance(network, Mapping) else network
        self.labeller = labeller or Labeller()
        self.scatter = dict(scatter or {})
        self.potential = potential
        self.members = members
        self.first_runs = first_runs
        self.first_frames = first_frames
        self.rounds = rounds
        self.labels = labels
        self.threshold = threshold
        self.check_labels = check_labels
        if potential is None:
            network_maker(self.network, "for_labels")  # refuses wrong arguments before work starts

    def recipe(self) -> dict[str, Any]:
        shipped = (
            None
            if self.potential is None
            else digest(package_path(self.potential) / layout.POTENTIAL)
        )
        return {**described(vars(self)), "potential": shipped}

    def packages(self) -> tuple[str, ...]:
        return ("cgrec", "numpy", "torch", "ase", *self.labeller.packages())

    def system(self) -> System | None:
        """Of the starting molecule, or of the structures that ship with the potential."""
        return self.start().system if self.potential is None else self._shipped_starts().system

    def stages(self, seed: int) -> dict[str, Any]:
        (own,) = super().stages(seed).values()
        return run_apart(own, "check_labels")

    def finished(self, folder: Path) -> Frames | None:
        found = super().finished(folder)
        done = found is not None and self.dynamics.long_enough(folder / layout.FRAMES)
        return found if done and (self.check_labels == 0 or made(folder / FORCE_ERROR)) else None

    def sample(self, folder: Path, seed: int) -> Frames:
        home = folder.parent
        if not made(home / layout.POTENTIAL):
            potential, starts = (
                self._shipped()
                if self.potential is not None
                else self.learn(home / "learning", seed)
            )
            if not made(home / "starts"):
                starts.save(home / "starts")
            keep(home / layout.POTENTIAL, potential.save)
        potential, starts = (
            Potential.load(home / layout.POTENTIAL),
            Frames.load(checked(home / "starts")),
        )
        return self.run(potential, starts, home, seed)

    def _shipped(self) -> tuple[Potential, Frames]:
        print(
            f"level 0 starts from the all-atom NNP {self.potential} that ships with cgrec; "
            "source.potential=null learns it anew from quantum chemistry",
            flush=True,
        )
        place = package_path(str(self.potential))
        # An energy knows no temperature: the structures only start a run, at the temperature asked
        # for.
        starts = replace(self._shipped_starts(), temperature=float(self.temperature))
        return Potential.load(place / layout.POTENTIAL), starts

    def _shipped_starts(self) -> Frames:
        return Frames.load(package_path(str(self.potential)) / "starts")

    def run(self, potential: Potential, starts: Frames, home: Path, seed: int) -> Frames:
        """Dynamics with the finished NNP, and its force error on frames of that run."""
        place = home / layout.FRAMES
        if not (made(place) and self.dynamics.long_enough(place)):
            name = "level 0: NNP dynamics"
            guard = feature_guard(potential, starts, self.dynamics.save_every, name)
            self.dynamics(potential, starts, place, seed=seed + 1, guard=guard, name=name)
        frames, _ = self.dynamics.judged(place)
        if self.check_labels and not made(home / FORCE_ERROR):
            keep_json(home / FORCE_ERROR, self._check(potential, frames, seed))
        return frames

    def _check(self, potential: Potential, frames: Frames, seed: int) -> dict[str, Any]:
        """Force error of the NNP on fresh labels of frames of its own run, which no training has
        seen.
        """
        which = np.random.default_rng((seed, 9)).choice(
            len(frames), min(self.check_labels, len(frames)), replace=False
        )
        labelled, failed = self.labeller.label(
            frames.system, np.asarray(frames.positions[np.sort(which)], float), self.temperature
        )
        rmse = force_rmse(potential, labelled)
        print(
            f"all-atom NNP against the quantum chemistry on {len(labelled)} frames of its own run: "
            f"force RMSE {rmse:.1f} kJ/mol/nm = {rmse / EV_PER_ANGSTROM * 1e3:.1f} meV/A",
            flush=True,
        )
        return {"force_rmse": rmse, "force_rmse_frames": len(labelled), "not_converged": failed}

    def learn(self, folder: Path, seed: int) -> tuple[Potential, Frames]:
        """Active learning; every round leaves its labels, so that a killed run loses at most a
        round.
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
        make = network_maker(self.network, "for_labels")
        first = make(data, seed)
        priors = fit_priors(data, types=first.types, cutoff=first.cutoff)
        members = []
        for k in range(n):
            path = place / f"member_{k}.pt"
            if not made(path):
                (place / f"member_{k}").mkdir(exist_ok=True)
                fitted, report = training(
                    make(data, seed + k),
                    data,
                    priors=priors,
                    seed=seed + k,
                    folder=place / f"member_{k}",
                    name=f"{place.name} member {k}",
                )
                keep_json(place / f"member_{k}.json", report.to_json())
                keep(path, fitted.save)
            (place / f"member_{k}" / CHECKPOINT).unlink(missing_ok=True)
            members.append(Potential.load(path))
        return Committee(members)

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

    def start(self) -> Frames:
        """The starting molecule, typed by element."""
        return read(package_path(self.structure), temperature=self.temperature)


def scatter(
    system: System,
    positions: NDArray[Any],
    dihedrals: Mapping[str, Any],
    n: int,
    rng: np.random.Generator,
) -> NDArray[Any]:
    """(n, n_sites, 3) copies of one structure, the given dihedrals turned at random, copies that
    clash thrown away.
    """
    variables, out = variables_from_config(dihedrals), list[NDArray[Any]]()
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


def force_rmse(potential: Potential, labelled: Frames) -> float:
    """Root mean square force error per component, kJ/mol/nm."""
    return float(
        np.sqrt(np.mean((potential.energy_and_forces(labelled)[1] - labelled.need_forces()) ** 2))
    )


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


def _turn(x: NDArray[Any], system: System, b: int, c: int, angle: float) -> NDArray[Any]:
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


def _note(place: Path, **numbers: Any) -> None:
    keep_json(place.parent / f"{place.name}.json", numbers)


def run_apart(recipe: dict[str, Any], *also: str) -> dict[str, Any]:
    """{"learn": ..., "run": ...} of the recipe of a source that learns a network and runs it."""
    run = {k: recipe[k] for k in ("dynamics", "seed", *also)}
    return {"learn": {k: v for k, v in recipe.items() if k not in ("dynamics", *also)}, "run": run}
