"""`Level`: one rung of the ladder, a folder on disk, made from the rung below by four steps: map, fit, run, keep."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .analysis import dielectric_constant
from .analysis.transport import Diffusion, diffusion
from .backmapping import BACKMAPPERS, Backmapper
from .collective_variables import CollectiveVariable, variables_from_config
from .distillation import DistillationReport, distil
from .dynamics import FeatureGuard, FrictionRound, Langevin, fit_friction
from .files import read_json, write_json
from .frames import Frames
from .mapping import FORCE_MAPS, Mapping
from .potential import MetadynamicsBias, Potential, fit_priors
from .potential.network import DensityNetwork
from .refinement import PairRefinement, correct_pairs, refine
from .system import System
from .training import ForceMatching, split

#: Share of the finer level's frames that no backmapper is fitted to, so that it can be judged by them.
HELD_OUT = 0.15


@dataclass(frozen=True)
class LevelRecipe:
    """How a level is made from the one below.

    Attributes:
        mapping: rule that picks the sites, System -> Mapping; or, where it `needs_frames`, the parent's Frames -> Mapping.
        potential: (targets, seed) -> untrained Potential.
        training: the fit.
        dynamics: the run.
        force_map: "basic", "constraint_aware" or "least_noise".
        priors: which priors to fit, keyword arguments of `fit_priors` other than types.
        variables: {name: site labels} this level is compared in; empty: the chain's variables.
        refine: {name: site labels} of one or two dihedrals along which the run is brought to the parent's averages
            (see `cgrec.refinement`); empty: not at all.
        refine_pairs: how its pair potentials are brought to the parent's radial distributions; None: not at all.

    Raises:
        ValueError: a keyword of a partial potential is unknown.
    """

    mapping: Callable[[Any], Mapping]
    potential: Callable[..., Potential]
    training: ForceMatching
    dynamics: Langevin
    force_map: str = "least_noise"
    priors: dict[str, Any] | None = None
    variables: Any = ()
    refine: Any = ()
    refine_pairs: PairRefinement | None = None

    def __post_init__(self) -> None:
        for name in ("variables", "refine"):
            if isinstance(getattr(self, name), dict):
                object.__setattr__(self, name, variables_from_config(getattr(self, name)))
        if self.force_map not in FORCE_MAPS:
            raise ValueError(f"force_map: expected one of {', '.join(FORCE_MAPS)}, found {self.force_map!r}")
        if isinstance(self.potential, partial):
            check_partial(self.potential)


@dataclass(frozen=True)
class Level:
    """A finished or half-finished rung.

    Attributes:
        folder: where everything of it lies.
        name: as in the configuration.
    """

    folder: Path
    name: str = field(default="")

    @property
    def frames(self) -> Frames:
        """The ensemble this level hands on."""
        return Frames.load(self.folder / "frames")

    @property
    def targets(self) -> Frames:
        """The parent's frames mapped to this level: what it was trained on."""
        return Frames.load(self.folder / "targets")

    @property
    def system(self) -> System:
        """Its sites."""
        return self.frames.system

    @property
    def mapping(self) -> Mapping:
        """From the level below."""
        return Mapping.load(self.folder / "mapping.npz")

    @property
    def potential(self) -> Potential:
        """Its PMF: trained, and refined if the recipe asked for it."""
        refined = self.folder / "refined.pt"
        name = "refined.pt" if refined.exists() else "potential.pt"
        return Potential.load(
            self._made(name, "potential", "climb to it first, or choose a level that was fitted")
        )

    def _made(self, name: str, what: str, way: str) -> Path:
        """Path of a product; FileNotFoundError with the way to it where it was not made."""
        path = self.folder / name
        if not path.exists():
            raise FileNotFoundError(f"{self.folder} holds no {what} ({name} is missing): {way}")
        return path

    @property
    def distilled(self) -> Potential:
        """What `distil` made of its PMF."""
        return Potential.load(self._made("distilled.pt", "distilled potential", "make it with cgrec distil"))

    @property
    def backmapper(self) -> Backmapper:
        """What brings frames of the level below back from its own."""
        way = "make it with fit_backmapper, cgrec descend or cgrec analyse-backmapping"
        return Backmapper.load(self._made("backmapper.pt", "backmapper", way), self.mapping)

    def fit_backmapper(self, below: Level, method: str = "flow", **options: Any) -> Backmapper:
        """Make backmapper.pt, which undoes the mapping from the level below.

        Args:
            below: whose frames it is fitted to, but for a share of their blocks by which it can be judged (`HELD_OUT`). Weights that
                are a function of this level's sites say nothing about atoms given sites, and are left out.
            method: "flow", "library" or "template".
            options: of its `fit`.

        Raises:
            FileExistsError: it is there already. ValueError: an unknown method.
        """
        if method not in BACKMAPPERS:
            raise ValueError(f"fit_backmapper: expected method {', '.join(BACKMAPPERS)}, found {method!r}")
        path = self.folder / "backmapper.pt"
        if path.exists():
            raise FileExistsError(f"{path} exists already: remove it yourself to fit another")
        begin = time.time()
        shown: Any = {"name": f"{self.name}: backmapper", "folder": self.folder} if method == "flow" else {}
        fitted = BACKMAPPERS[method].fit(self.backmapping_frames(below)[0], self.mapping, **shown, **options)
        about = {"method": method, "options": options, "seconds": time.time() - begin}
        write_json(self.folder / "backmapper.json", about)
        fitted.save(path)
        for checkpoint in self.folder.glob("flow_*.checkpoint.pt"):
            checkpoint.unlink()
        return fitted

    def backmapping_frames(self, below: Level) -> tuple[Frames, Frames]:
        """Frames of the level below a backmapper is fitted to, and those it is judged by."""
        fine = below.frames
        bias = below.bias_variables()
        same = training_frames(fine, self.mapping(replace(fine, forces=None)), bias).weights is None
        training, held = split(fine, HELD_OUT)
        fitted_to = fine[training]
        return replace(fitted_to, weights=None if same else fitted_to.weights), fine[np.concatenate(held)]

    def distil(self, **options: Any) -> DistillationReport:
        """Make distilled.pt, a fast potential, of its PMF, and distilled.json, what was lost.

        Args:
            options: of `cgrec.distillation.distil`.

        Raises:
            FileExistsError: it is there already.
            FileNotFoundError: the level has no potential, or no frames yet.
        """
        path = self.folder / "distilled.pt"
        if path.exists():
            raise FileExistsError(f"{path} exists already: remove it yourself to distil again")
        distilled, report = distil(self.potential, self.frames, **options)
        write_json(self.folder / "distilled.json", {**asdict(report), "options": options})
        distilled.save(path)
        return report

    def fit_friction(
        self, *, interval: float, length: float = 100.0, timestep: float = 0.01, replicas: int = 8, rounds: int = 4,
        friction: float = 5.0, seed: int = 0,
    ) -> tuple[dict[str, Diffusion], list[FrictionRound]]:  # fmt: skip
        """Find the friction of each site type with which this level diffuses as its parent does; leaves friction/ and friction.json.

        Args:
            interval: ps between the parent's frames, which must be unwrapped and unbiased.
            length, timestep: ps, of each run of `replicas`.
            rounds: runs at most.
            friction: 1/ps to begin with.
            seed: of the runs.

        Returns:
            The parent's diffusion by type, and the rounds (see `cgrec.dynamics.fit_friction`).
        """
        targets = self.targets
        wanted = {t: diffusion(targets, t, interval) for t in sorted(set(targets.system.types))}
        dynamics = Langevin(
            n_replicas=replicas, length=length, timestep=timestep, save_every=max(interval, timestep), equilibration=0.1 * length, friction=friction,
        )  # fmt: skip
        aims = {t: float(d.value) for t, d in wanted.items()}
        found = fit_friction(
            self.potential, self.frames, aims, dynamics, self.folder / "friction", rounds=rounds, seed=seed
        )
        parent = {t: [float(d.value), float(d.error)] for t, d in wanted.items()}
        write_json(self.folder / "friction.json", {"parent": parent, "rounds": [asdict(r) for r in found]})
        return wanted, found

    @property
    def report(self) -> dict[str, Any]:
        """Numbers of its making, empty before it is done."""
        path = self.folder / "report.json"
        return read_json(path) if path.exists() else {}

    def make(
        self, parent: Frames, recipe: LevelRecipe, seed: int, bias: tuple[CollectiveVariable, ...] = (),
        permittivity: float | None = None,
    ) -> Frames:  # fmt: skip
        """Map, fit, run, keep; whatever is there already is not made again.

        Args:
            parent: frames of the level below, with forces.
            recipe: of this level.
            seed: of this level.
            bias: variables the parent's run was biased along.
            permittivity: of the solvent, where a level below has it; else a Coulomb prior with permittivity null measures it
                from the dipoles of the parent.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        targets = self._map(parent, recipe)
        training = training_frames(parent, targets, bias)
        potential = self._fit(training, self._known_priors(recipe, parent, permittivity), recipe, seed)
        return self._run(potential, training, targets, recipe, seed)

    def _map(self, parent: Frames, recipe: LevelRecipe) -> Frames:
        if not (self.folder / "targets").exists():
            mapping = FORCE_MAPS[recipe.force_map](mapping_of(recipe.mapping, parent), parent)
            mapping.save(self.folder / "mapping.npz")
            mapping(parent).save(self.folder / "targets")
        return self.targets

    @property
    def permittivity(self) -> float | None:
        """Relative permittivity of the solvent in its Coulomb prior; None without one."""
        return _read(self.folder / "coulomb.json").get("permittivity")

    def _known_priors(
        self, recipe: LevelRecipe, parent: Frames, permittivity: float | None
    ) -> dict[str, Any] | None:
        """The recipe's priors with a number for the permittivity, which coulomb.json keeps."""
        coulomb = (recipe.priors or {}).get("coulomb")
        if not coulomb:
            return recipe.priors
        path, about = (
            self.folder / "coulomb.json",
            {"permittivity": coulomb.get("permittivity"), "from": "recipe"},
        )
        if about["permittivity"] is None and permittivity is not None:
            about = {"permittivity": permittivity, "from": "level below"}
        if about["permittivity"] is None and not path.exists():
            found = dielectric_constant(parent)
            about = {
                "permittivity": float(found.value),
                "error": float(found.error),
                "from": "dipoles of the parent",
            }
            print(
                f"{self.name}: relative permittivity {found.value:.1f} +- {found.error:.1f} from the parent's dipoles",
                flush=True,
            )
        if not path.exists():
            write_json(path, about)
        return {**(recipe.priors or {}), "coulomb": {**coulomb, "permittivity": _read(path)["permittivity"]}}

    def _fit(
        self, frames: Frames, wanted: dict[str, Any] | None, recipe: LevelRecipe, seed: int
    ) -> Potential:
        if not (self.folder / "potential.pt").exists():
            network = recipe.potential(frames, seed)
            priors = [] if wanted is None else fit_priors(frames, types=network.types, **wanted)
            fitted, report = recipe.training(
                network, frames, priors=priors, seed=seed, folder=self.folder, name=f"{self.name}: fit"
            )
            write_json(self.folder / "training.json", vars(report))
            fitted.save(self.folder / "potential.pt")
        return Potential.load(self.folder / "potential.pt", recipe.training.device)

    def _run(
        self, potential: Potential, training: Frames, targets: Frames, recipe: LevelRecipe, seed: int
    ) -> Frames:
        if (self.folder / "frames").exists():
            return self.frames
        first = self.folder / ("unrefined" if recipe.refine or recipe.refine_pairs else "frames")
        self._simulate(potential, training, targets, recipe, seed + 1, first)
        if recipe.refine:
            self._refine(potential, Frames.load(first), targets, recipe)
        if recipe.refine_pairs:
            self._refine_pairs(potential, training, targets, recipe, seed)
        return self.frames

    def _simulate(
        self,
        potential: Potential,
        training: Frames,
        targets: Frames,
        recipe: LevelRecipe,
        seed: int,
        place: Path,
    ) -> None:
        if place.exists():
            return
        has_network = any(isinstance(m, DensityNetwork) for m in potential.modules())
        guard = FeatureGuard.fit(potential, training) if has_network else None
        begin = time.time()
        name = f"{self.name}: run" + (f" ({place.name})" if place.name != "frames" else "")
        _, report = recipe.dynamics(potential, targets, place, seed=seed, guard=guard, name=name)
        write_json(self.folder / "simulation.json", {**vars(report), "wall": time.time() - begin})

    def _refine_pairs(
        self, potential: Potential, training: Frames, targets: Frames, recipe: LevelRecipe, seed: int
    ) -> None:
        """Correct and run again; the run of the last round is the level's ensemble."""
        options: Any = recipe.refine_pairs
        correction: Any = None
        run = self.folder / "unrefined"
        for k in range(1, options.rounds + 1):
            path = self.folder / f"correction_{k}.pt"
            if not path.exists():
                correct_pairs(potential.types, Frames.load(run), targets, options, correction).save(path)
            correction = Potential.load(path, recipe.training.device)
            total = potential + correction
            if k == options.rounds:
                total.save(self.folder / "refined.pt")
            run = self.folder / ("frames" if k == options.rounds else f"round_{k}")
            self._simulate(total, training, targets, recipe, seed + 1 + k, run)

    def _refine(self, potential: Potential, run: Frames, targets: Frames, recipe: LevelRecipe) -> None:
        refined, frames = refine(potential, run, targets, recipe.refine)
        refined.save(self.folder / "refined.pt")
        known = _read(self.folder / "simulation.json")
        about = {
            "weight_efficiency": frames.weight_efficiency(),
            "refined_along": {v.name: list(v.sites) for v in recipe.refine},
        }
        write_json(self.folder / "simulation.json", {**known, **about})
        frames.save(self.folder / "frames")

    def summary(
        self, variables: tuple[CollectiveVariable, ...], ledger: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """What report.json holds."""
        training, run = (_read(self.folder / f"{n}.json") for n in ("training", "simulation"))
        return {
            "name": self.name, "n_sites": self.system.n_sites, "n_frames": len(self.frames), "temperature": float(self.frames.temperature), "seconds": {"training": training.get("seconds", 0.0), "simulation": run.get("seconds", 0.0)},
            "ns_per_day": run.get("ns_per_day"), "simulated_ns": run.get("simulated"), "explained_fraction": training.get("explained_fraction"),
            "replicas": {"started": run.get("replicas"), "lost": len(run.get("lost", [])), "where": run.get("lost", [])},
            "kinetic_temperature": run.get("kinetic_temperature"), "weight_efficiency": run.get("weight_efficiency"), "training": training,
            "variables": {v.name: list(v.sites) for v in variables}, "ledger": ledger,
        }  # fmt: skip

    def bias_variables(self) -> tuple[CollectiveVariable, ...]:
        """What the weights of its frames are a function of: variables of its bias and of its refinement."""
        refined = _read(self.folder / "simulation.json").get("refined_along")
        variables = set(variables_from_config(refined))
        for path in (self.folder / place / "bias.pt" for place in ("frames", "unrefined", ".")):
            if path.exists():
                bias = Potential.load(path)
                variables |= set(bias.variables) if isinstance(bias, MetadynamicsBias) else set()
        return tuple(sorted(variables, key=lambda v: v.name))


def training_frames(parent: Frames, targets: Frames, bias: tuple[CollectiveVariable, ...]) -> Frames:
    """`targets` as the fit should see them: without weights where the bias does not disturb the mean forces.

    A bias that is a function of the coarse sites alone changes how often a coarse configuration occurs, not the mean of
    the fine forces given it. Whether it is such a function is checked by its values, before and after mapping.
    """
    if targets.weights is None or not bias or not all(v.defined_on(targets.system) for v in bias):
        return targets
    some = slice(None, None, max(1, len(targets) // 500))
    same = all(
        np.allclose(np.exp(1j * v.of(parent[some])), np.exp(1j * v.of(targets[some])), atol=1e-4)
        for v in bias
    )
    return replace(targets, weights=None) if same else targets


def mapping_of(rule: Callable[[Any], Mapping], parent: Frames) -> Mapping:
    """What a rule makes of the parent: of its System, or of its frames where it `needs_frames`."""
    return rule(parent if getattr(rule, "needs_frames", False) else parent.system)


def check_partial(function: partial[Any]) -> None:
    """ValueError where a keyword given so far is none of the function's: hydra does not look before the call."""
    known = inspect.signature(function.func).parameters
    unknown = sorted(set(function.keywords) - set(known))
    if unknown:
        raise ValueError(
            f"{function.func.__qualname__} has no argument {unknown}: expected some of {sorted(known)}"
        )


def _read(path: Path) -> dict[str, Any]:
    return read_json(path) if path.exists() else {}


def potential_of(level: Level) -> Potential | None:
    """Its potential, ready for many calls; None for level 0 from a file."""
    try:
        return level.potential.compiled()
    except FileNotFoundError:
        return None


def seed_of(*stream: int) -> int:
    """A seed for one (run seed, level, step) stream."""
    return int(np.random.SeedSequence(stream).generate_state(1)[0]) % (2**31)


def use_threads(n: int) -> None:
    """Let torch use `n` threads; 0 leaves its default."""
    if n:
        torch.set_num_threads(n)
