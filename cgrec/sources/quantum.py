"""Level 0 from quantum chemistry: an all-atom NNP trained by active learning, then run.

The electrons are what is coarse-grained away here. Labels carry true energies, which no higher level has.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import geometry
from ..collective_variables import variables_from_config
from ..dynamics import CommitteeGuard, FeatureGuard, Langevin
from ..frames import Frames
from ..potential import Committee, DensityNetwork, Potential, fit_priors
from ..system import System
from ..training import ForceMatching
from ..trajectory_files import read
from .base import Source, write_json
from .labelling import Labeller


class QuantumSource(Source):
    """Active learning of an all-atom NNP on quantum-chemistry labels, then dynamics with it.

    Args:
        structure: file with the starting molecule, or "package:name" for one that ships with cgrec.
        temperature: K.
        dynamics: the run that gives level 0 its frames.
        exploration: the run that looks for structures to label in every round.
        training: of each committee member.
        final_training: of the NNP that is kept, once all labels are there.
        network: keyword arguments of DensityNetwork other than types, seed and energy_scale.
        labeller: the quantum chemistry.
        scatter: {name: four labels} dihedrals whose central bonds are turned at random for the first structures.
        potential: "package:name" of an NNP that ships with cgrec, to skip the learning; None learns from nothing.
        members: networks in the committee.
        first_runs, first_frames: short quantum runs, and frames kept of each.
        rounds: of training, exploring and labelling.
        labels: structures labelled per round.
        threshold: kJ/mol/nm, committee spread of a site's force that ends a replica.
    """

    def __init__(
        self, *, structure: str, temperature: float, dynamics: Langevin, exploration: Langevin, training: ForceMatching, final_training: ForceMatching, network: Mapping[str, Any],
        labeller: Labeller | None = None, scatter: Mapping[str, Any] | None = None, potential: str | None = None, members: int = 2,
        first_runs: int = 40, first_frames: int = 30, rounds: int = 4, labels: int = 1000, threshold: float = 1500.0,
    ) -> None:  # fmt: skip
        self.structure, self.temperature, self.dynamics, self.exploration = (
            structure,
            temperature,
            dynamics,
            exploration,
        )
        self.training, self.final_training = training, final_training
        self.network, self.labeller, self.scatter, self.potential = (
            dict(network),
            labeller or Labeller(),
            dict(scatter or {}),
            potential,
        )
        self.members, self.first_runs, self.first_frames = members, first_runs, first_frames
        self.rounds, self.labels, self.threshold = rounds, labels, threshold

    def recipe(self) -> dict[str, Any]:
        plain = {k: v for k, v in vars(self).items() if isinstance(v, str | int | float | dict | None)}
        nested = {
            k: _plain(v)
            for k, v in vars(self).items()
            if k in ("dynamics", "exploration", "training", "final_training", "labeller")
        }
        return {**plain, **nested}

    def packages(self) -> tuple[str, ...]:
        return ("cgrec", "numpy", "torch", "ase", "tblite")

    def sample(self, folder: Path, seed: int) -> Frames:
        folder.mkdir(parents=True, exist_ok=True)
        home = folder.parent
        if self.potential is not None:
            print(
                f"level 0 starts from the all-atom NNP {self.potential} that ships with cgrec; source.potential=null learns it anew from quantum chemistry",
                flush=True,
            )
            place = package_path(self.potential)
            potential, starts = Potential.load(place / "potential.pt"), Frames.load(place / "starts")
        else:
            potential, starts = self.learn(folder / "learning", seed)
        potential.save(home / "potential.pt")
        return self.run(potential, starts, folder, home, seed)

    def run(self, potential: Potential, starts: Frames, folder: Path, home: Path, seed: int) -> Frames:
        """Dynamics with the finished NNP."""
        if (folder / "frames").exists():
            return Frames.load(folder / "frames")
        guard = FeatureGuard.fit(potential, starts)
        frames, report = self.dynamics(
            potential,
            replace(starts, temperature=self.temperature),
            folder / "frames",
            seed=seed + 1,
            guard=guard,
            name="level 0: NNP dynamics",
        )
        write_json(home / "simulation.json", vars(report))
        return frames

    def learn(self, folder: Path, seed: int) -> tuple[Potential, Frames]:
        """Active learning; every round leaves its labels, so that a killed run loses at most a round."""
        folder.mkdir(parents=True, exist_ok=True)
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
        return committee.members[0], data[np.linspace(0, len(data) - 1, min(len(data), 2000)).astype(int)]  # type: ignore[return-value]

    def _first(self, place: Path, seed: int) -> Frames:
        if not place.exists():
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

    def _train(self, place: Path, data: Frames, seed: int, training: ForceMatching, n: int) -> Committee:
        place.mkdir(exist_ok=True)
        types = sorted(set(data.system.types))
        priors = fit_priors(data, types=types, cutoff=self.network["cutoff"])
        scale = float(np.sqrt(np.mean(np.asarray(data.need_forces()) ** 2))) * 0.05
        members = []
        for k in range(n):
            path = place / f"member_{k}.pt"
            if not path.exists():
                (place / f"member_{k}").mkdir(exist_ok=True)
                network = DensityNetwork(types=types, energy_scale=scale, seed=seed + k, **self.network)
                fitted, report = training(
                    network,
                    data,
                    priors=priors,
                    seed=seed + k,
                    folder=place / f"member_{k}",
                    name=f"{place.name} member {k}",
                )
                write_json(place / f"member_{k}.json", vars(report))
                fitted.save(path)
            members.append(Potential.load(path))
        return Committee(members)

    def _extend(self, place: Path, committee: Committee, data: Frames, seed: int, run: Path) -> Frames:
        if not place.exists():
            guard = CommitteeGuard(committee, self.threshold)
            member = committee.members[0]
            found, report = (
                (Frames.load(run), None)
                if run.exists()
                else self.exploration(member, data, run, seed=seed, guard=guard, name=run.name)
            )  # type: ignore[arg-type]
            chosen = self._choose(committee, found, np.random.default_rng((seed, 8)))
            new, failed = self.labeller.label(
                data.system, np.asarray(chosen.positions, float), self.temperature
            )
            errors = np.asarray(committee.members[0].energy_and_forces(new)[1]) - new.need_forces()  # type: ignore[operator]
            _note(
                place,
                failed=failed,
                kept=len(new),
                lost=None if report is None else len(report.lost),
                force_rmse_before_training=float(np.sqrt(np.mean(errors**2))),
            )
            new.save(place)
        return Frames.concatenate([data, Frames.load(place)])

    def _choose(self, committee: Committee, found: Frames, rng: np.random.Generator) -> Frames:
        """Half of the labels where the committee disagrees most, half at random (they keep the set honest)."""
        pool = found[rng.permutation(len(found))[: 6 * self.labels]]
        spread = np.concatenate(
            [
                committee.force_spread(committee.graph(pool[i : i + 256])).numpy()
                for i in range(0, len(pool), 256)
            ]
        )
        order = np.argsort(-spread)
        chosen = np.concatenate(
            [order[: self.labels // 2], rng.permutation(order[self.labels // 2 :])[: self.labels // 2]]
        )
        return pool[np.sort(chosen)]

    def start(self) -> Frames:
        """The starting molecule, typed by element."""
        path = package_path(self.structure) if self.structure.startswith("package:") else Path(self.structure)
        return read(path, temperature=self.temperature)


def scatter(
    system: System, positions: NDArray[Any], dihedrals: Mapping[str, Any], n: int, rng: np.random.Generator
) -> NDArray[Any]:
    """(n, n_sites, 3) copies of one structure, the given dihedrals turned at random, copies that clash thrown away."""
    variables, out = variables_from_config(dihedrals), list[NDArray[Any]]()
    far = ~_near(system)
    while len(out) < n:
        x = np.array(positions, float)
        for variable in variables:
            _, b, c, _ = variable.indices(system)[0]
            x = _turn(x, system, int(b), int(c), rng.uniform(-np.pi, np.pi))
        distances = np.linalg.norm(x[:, None] - x[None], axis=-1)
        if distances[far].min() > 0.16 or not variables:
            out.append(x + rng.normal(scale=0.002, size=x.shape))
    return np.array(out)


def _near(system: System) -> NDArray[np.bool_]:
    """Pairs up to two bonds apart, and each site with itself."""
    adjacent = np.eye(system.n_sites, dtype=int)
    adjacent[tuple(system.bonds.T)] = adjacent[tuple(system.bonds.T[::-1])] = 1
    return (adjacent @ adjacent) > 0


def _turn(x: NDArray[Any], system: System, b: int, c: int, angle: float) -> NDArray[Any]:
    """Everything on the far side of bond b-c turned about it."""
    from scipy.spatial.transform import Rotation

    side, queue = {c}, [c]
    neighbours = {i: set() for i in range(system.n_sites)}  # type: dict[int, set[int]]
    for i, j in system.bonds.tolist():
        neighbours[i].add(j)
        neighbours[j].add(i)
    while queue:
        new = neighbours[queue.pop()] - side - {b}
        side |= new
        queue += new
    moved = sorted(side)
    axis = (x[c] - x[b]) / geometry.distance(x, np.array([[b, c]]))
    x[moved] = Rotation.from_rotvec(axis * angle).apply(x[moved] - x[c]) + x[c]
    return x


def package_path(name: str) -> Path:
    """Path of "package:name", data that ships with cgrec. Raises FileNotFoundError naming what there is."""
    home = Path(str(files("cgrec"))) / "data"
    path = home / name.removeprefix("package:")
    if not path.exists():
        raise FileNotFoundError(f"cgrec ships no {name!r}: it has {sorted(p.name for p in home.iterdir())}")
    return path


def _note(place: Path, **numbers: Any) -> None:
    (place.parent / f"{place.name}.json").write_text(json.dumps(numbers, indent=1))


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "__dict__"):
        return {k: _plain(v) for k, v in vars(value).items()}
    return value if isinstance(value, str | int | float | bool | dict | None) else str(value)
