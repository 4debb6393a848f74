"""`Level`: one rung of the ladder, a folder on disk, made from the rung below by four steps: map,
fit, run, keep.
"""

from __future__ import annotations

import time
from collections.abc import Mapping as MappingType
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from .analysis.transport import Diffusion, diffusion
from .backmapping import BACKMAPPERS, Backmapper
from .collective_variables import CollectiveVariable, variables_from_config
from .corrections import FrictionRound, fit_friction
from .digests import check_all, checked, checked_json, keep, keep_json, made, note, open_record
from .distillation import DistillationReport, distil
from .dynamics import SIMULATION, Langevin
from .files import read_json
from .frames import Frames
from .level_recipe import LevelRecipe
from .level_run import BIAS, FIRST, FRAMES, REFINED, LevelRun
from .lock import only_here
from .mapping import Mapping
from .potential import Coulomb, MetadynamicsBias, Potential
from .potential.priors import fitted
from .recipes import OtherRecipe, stored
from .roles import MeasuresParent, Prior, Rule
from .stages import MEASURED, OF_LEVEL, claim, noted
from .system import System
from .training import split

#: Share of the finer level's frames that no backmapper is fitted to, so that it can be judged by
#: them.
HELD_OUT = 0.15


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
        return Frames.load(checked(self.folder / "frames"))

    @property
    def targets(self) -> Frames:
        """The parent's frames mapped to this level: what it was trained on."""
        return Frames.load(checked(self.folder / "targets"))

    @property
    def system(self) -> System:
        """Its sites."""
        return self.frames.system

    @property
    def mapping(self) -> Mapping:
        """From the level below."""
        return Mapping.load(checked(self.folder / "mapping.npz"))

    @property
    def potential(self) -> Potential:
        """Its PMF: trained, and refined if the recipe asked for it."""
        name = REFINED if checked(self.folder / REFINED).exists() else "potential.pt"
        return Potential.load(
            self._made(name, "potential", "climb to it first, or choose a level that was fitted")
        )

    def _made(self, name: str, what: str, way: str) -> Path:
        """Path of a product; FileNotFoundError with the way to it where it was not made."""
        path = checked(self.folder / name)
        if not path.exists():
            raise FileNotFoundError(f"{self.folder} holds no {what} ({name} is missing): {way}")
        return path

    @property
    def distilled(self) -> Potential:
        """What `distil` made of its PMF."""
        return Potential.load(
            self._made("distilled.pt", "distilled potential", "make it with cgrec distil")
        )

    @property
    def backmapper(self) -> Backmapper:
        """What brings frames of the level below back from its own."""
        way = "make it with fit_backmapper, cgrec descend or cgrec analyse-backmapping"
        return Backmapper.load(self._made("backmapper.pt", "backmapper", way), self.mapping)

    def fit_backmapper(self, below: Level, method: str = "flow", **options: Any) -> Backmapper:
        """Make backmapper.pt, which undoes the mapping from the level below.

        Args:
            below: whose frames it is fitted to, but for a share of their blocks by which it can be
                judged (`HELD_OUT`). Weights that are a function of this level's sites say nothing
                about atoms given sites, and are left out.
            method: "flow", "library" or "template".
            options: of its `fit`.

        Raises:
            FileExistsError: it is there already. ValueError: an unknown method.
        """
        if method not in BACKMAPPERS:
            raise ValueError(
                f"fit_backmapper: expected method {', '.join(BACKMAPPERS)}, found {method!r}"
            )
        path = self.folder / "backmapper.pt"
        if path.exists():
            raise FileExistsError(f"{path} exists already: remove it yourself to fit another")
        with only_here(self.folder):
            return self._fit_backmapper(below, method, path, options)

    def _fit_backmapper(
        self, below: Level, method: str, path: Path, options: dict[str, Any]
    ) -> Backmapper:
        begin = time.time()
        shown: Any = (
            {"name": f"{self.name}: backmapper", "folder": self.folder} if method == "flow" else {}
        )
        fitted = BACKMAPPERS[method].fit(
            self.backmapping_frames(below)[0], self.mapping, **shown, **options
        )
        about = {"method": method, "options": options, "seconds": time.time() - begin}
        keep_json(self.folder / "backmapper.json", about)
        keep(path, fitted.save)
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
        return replace(fitted_to, weights=None if same else fitted_to.weights), fine[
            np.concatenate(held)
        ]

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
        with only_here(self.folder):
            distilled, report = distil(self.potential, self.frames, **options)
            keep_json(self.folder / "distilled.json", {**asdict(report), "options": options})
            keep(path, distilled.save)
        return report

    def fit_friction(
        self,
        *,
        interval: float,
        length: float = 100.0,
        timestep: float = 0.01,
        replicas: int = 8,
        rounds: int = 4,
        friction: float = 5.0,
        seed: int = 0,
    ) -> tuple[dict[str, Diffusion], list[FrictionRound]]:
        """Find the friction of each site type with which this level diffuses as its parent does;
        leaves friction/ and friction.json.

        Args:
            interval: ps between the parent's frames, which must be unwrapped and unbiased.
            length: ps, of each run.
            timestep: ps.
            replicas: of each run.
            rounds: runs at most.
            friction: 1/ps to begin with.
            seed: of the runs.

        Returns:
            The parent's diffusion by type, and the rounds (see `cgrec.corrections.fit_friction`).
        """
        targets = self.targets
        wanted = {t: diffusion(targets, t, interval) for t in sorted(set(targets.system.types))}
        dynamics = Langevin(
            n_replicas=replicas,
            length=length,
            timestep=timestep,
            save_every=max(interval, timestep),
            equilibration=0.1 * length,
            friction=friction,
        )
        aims = {t: float(d.value) for t, d in wanted.items()}
        with only_here(self.folder):
            open_record(self.folder / "friction")
            found = fit_friction(
                self.potential,
                self.frames,
                aims,
                dynamics,
                self.folder / "friction",
                rounds=rounds,
                seed=seed,
            )
            parent = {t: [float(d.value), float(d.error)] for t, d in wanted.items()}
            about = {"parent": parent, "rounds": [asdict(r) for r in found]}
            keep_json(self.folder / "friction.json", about)
        return wanted, found

    @property
    def report(self) -> dict[str, Any]:
        """Numbers of its making, empty before it is done."""
        return checked_json(self.folder / "report.json")

    @property
    def simulation(self) -> dict[str, Any]:
        """What its run came to (`SimulationReport`), and at level 0 what is known of its NNP; empty
        before it is done.
        """
        places = (self.folder / FRAMES, self.folder / FIRST, self.folder)
        found = [p / SIMULATION for p in places if (p / SIMULATION).exists()]
        known = [checked_json(self.folder / name) for name in ("learning.json", "force_error.json")]
        return {**known[0], **known[1], **(read_json(found[0]) if found else {})}

    def claim(
        self,
        recipe: LevelRecipe,
        seed: int,
        parent: str | None = None,
        above: Sequence[Path] = (),
        dry: bool = False,
    ) -> None:
        """Refuse another recipe, or other frames below, than what is there was made with (see
        `cgrec.stages.claim`).

        Args:
            recipe, seed: of this level.
            parent: identity of the frames below, where it is known.
            above: folders of the levels above.
            dry: change nothing.

        Raises:
            OtherRecipe: naming the key and both values, and what to do.
        """
        before = stored(self.folder).get("map", {}).get("parent")
        if None not in (before, parent) and before != parent and (self.folder / "targets").exists():
            old = [str(p) for p in (self.folder, *above) if p.exists()]
            raise OtherRecipe(
                f"{self.folder} was made from other frames of the level below than are there "
                f"now: remove {', '.join(old)} and run the same "
                "command again, which makes it anew from these"
            )
        stages = recipe.stages(seed, before if parent is None else parent)
        key = self.name.removesuffix(" (direct)")
        claim(self.folder, stages, OF_LEVEL, prefix=f"levels.{key}.", above=above, dry=dry)

    def make(
        self,
        parent: Frames,
        recipe: LevelRecipe,
        seed: int,
        bias: tuple[CollectiveVariable, ...] = (),
        below: MappingType[str, Any] | None = None,
        identity: str | None = None,
        above: Sequence[Path] = (),
    ) -> Frames:
        """Map, fit, run, keep; whatever is there already is not made again.

        Args:
            parent: frames of the level below, with forces.
            recipe: of this level.
            seed: of this level.
            bias: variables the parent's run was biased along.
            below: what priors of the level below measured (`measured`): those of this level that
                can, take it, for the parent may lack what it is measured from.
            identity: of the parent's frames, where they lie on disk (see `cgrec.frames.identity`).
            above: folders of levels made from this one.

        Raises:
            OtherRecipe: what is there was made with another recipe.
            Changed: something of it was changed, damaged or removed.
            Busy: another process works here.
        """
        with only_here(self.folder):
            open_record(self.folder)
            check_all(self.folder)
            self.claim(recipe, seed, identity, above)
            with noted(self.folder):
                targets = self._map(parent, recipe)
                training = training_frames(parent, targets, bias)
                priors = self._measured_priors(recipe, parent, below or {})
                potential = self._fit(training, priors, recipe, seed)
                return self._run(potential, training, targets, recipe, seed)

    def _map(self, parent: Frames, recipe: LevelRecipe) -> Frames:
        if not made(self.folder / "mapping.npz"):
            mapping = recipe.weigh_forces(mapping_of(recipe.mapping, parent), parent)
            keep(self.folder / "mapping.npz", mapping.save)
        if not made(self.folder / "targets"):
            self.mapping(parent).save(self.folder / "targets")
        return self.targets

    @property
    def measured(self) -> dict[str, dict[str, Any]]:
        """{file: what its priors measured in the level below} (`cgrec.roles.MeasuresParent`)."""
        found = [path for pattern in MEASURED for path in sorted(self.folder.glob(pattern))]
        return {path.name: checked_json(path) for path in found}

    @property
    def permittivity(self) -> float | None:
        """Relative permittivity of the solvent in its Coulomb prior; None without one."""
        return self.measured.get(Coulomb.record, {}).get("permittivity")

    def _measured_priors(
        self, recipe: LevelRecipe, parent: Frames, below: MappingType[str, Any]
    ) -> list[Prior]:
        """The recipe's priors, with what those of them that measure the parent measured there."""
        priors: list[Prior] = []
        for prior in recipe.listed_priors:
            if isinstance(prior, MeasuresParent):
                path = self.folder / prior.record
                if not made(path):
                    keep_json(path, prior.measure(parent, below.get(prior.record), self.name))
                prior = prior.given(read_json(path))
            priors.append(prior)
        return priors

    def _fit(
        self, frames: Frames, priors: Sequence[Prior], recipe: LevelRecipe, seed: int
    ) -> Potential:
        path = self.folder / "potential.pt"
        if not made(path):
            network = recipe.potential(frames, seed)
            potential, report = recipe.training(
                network,
                frames,
                priors=fitted(priors, frames, network.types),
                seed=seed,
                folder=self.folder,
                name=f"{self.name}: fit",
            )
            note(self.folder / "training.csv")
            keep_json(self.folder / "training.json", report.to_json())
            keep(path, potential.save)
        (self.folder / "training.pt").unlink(missing_ok=True)
        return Potential.load(path, recipe.training.device)

    def _run(
        self,
        potential: Potential,
        training: Frames,
        targets: Frames,
        recipe: LevelRecipe,
        seed: int,
    ) -> Frames:
        device = recipe.training.device
        run = LevelRun(self.folder, self.name, recipe.dynamics, training, targets, seed + 1, device)
        run.make(potential, recipe.all_corrections)
        return self.frames

    def summary(
        self, variables: tuple[CollectiveVariable, ...], ledger: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """What report.json holds."""
        training, run = checked_json(self.folder / "training.json"), self.simulation
        return {
            "name": self.name,
            "n_sites": self.system.n_sites,
            "n_frames": len(self.frames),
            "temperature": float(self.frames.temperature),
            "seconds": {
                "training": training.get("seconds", 0.0),
                "simulation": run.get("seconds", 0.0),
            },
            "ns_per_day": run.get("ns_per_day"),
            "simulated_ns": run.get("simulated"),
            "explained_fraction": training.get("explained_fraction"),
            "replicas": {
                "started": run.get("replicas"),
                "lost": len(run.get("lost", [])),
                "where": run.get("lost", []),
            },
            "kinetic_temperature": run.get("kinetic_temperature"),
            "weight_efficiency": run.get("weight_efficiency"),
            "training": training,
            "variables": {v.name: list(v.sites) for v in variables},
            "ledger": ledger,
        }

    def bias_variables(self) -> tuple[CollectiveVariable, ...]:
        """What the weights of its frames are a function of: variables of its bias and of its
        refinement.
        """
        refined = self.simulation.get("refined_along")
        variables = set(variables_from_config(refined))
        for path in (self.folder / place / BIAS for place in (FRAMES, FIRST, ".")):
            if path.exists():
                bias = Potential.load(path)
                variables |= set(bias.variables) if isinstance(bias, MetadynamicsBias) else set()
        return tuple(sorted(variables, key=lambda v: v.name))


def training_frames(
    parent: Frames, targets: Frames, bias: tuple[CollectiveVariable, ...]
) -> Frames:
    """`targets` as the fit should see them: without weights where the bias does not disturb the
    mean forces.

    A bias that is a function of the coarse sites alone changes how often a coarse configuration
    occurs, not the mean of the fine forces given it. Whether it is such a function is checked by
    its values, before and after mapping.
    """
    if targets.weights is None or not bias or not all(v.defined_on(targets.system) for v in bias):
        return targets
    some = slice(None, None, max(1, len(targets) // 500))
    same = all(
        np.allclose(np.exp(1j * v.of(parent[some])), np.exp(1j * v.of(targets[some])), atol=1e-4)
        for v in bias
    )
    return replace(targets, weights=None) if same else targets


def mapping_of(rule: Rule, parent: Frames) -> Mapping:
    """What a rule makes of the parent: of its System, or of its frames where it `needs_frames`."""
    return rule(parent if getattr(rule, "needs_frames", False) else parent.system)


def potential_of(level: Level) -> Potential | None:
    """Its potential, ready for many calls; None for level 0 from a file."""
    try:
        return level.potential.compiled()
    except FileNotFoundError:
        return None


def seed_of(*stream: int) -> int:
    """A seed for one (run seed, level, step) stream."""
    return int(np.random.SeedSequence(stream).generate_state(1)[0]) % (2**31)
