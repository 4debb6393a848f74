"""The making of a level in four steps: map, fit, run, keep. `Level.make` calls it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from collections.abc import Mapping as MappingType
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..corrections import MeanForces
from ..dynamics import Langevin
from ..files import Json, read_json
from ..frames import Frames
from ..mapping import Mapping
from ..potential import Potential
from ..potential.priors import fitted
from ..roles import MeasuresParent, Prior, Rule
from ..run import layout
from ..run.digests import check_all, checked, keep, keep_json, made, note, open_record
from ..run.events import current_step, step
from ..run.lock import only_here
from ..run.recipes import OtherRecipe, stored
from ..run.stages import OF_LEVEL, claim, noted
from ..training import TrainingReport
from ..variables import CollectiveVariable
from .folder import LevelFolder
from .recipe import LevelRecipe
from .run import LevelRun
from .strays import Train
from .trial import try_priors

#: Frames that a weighted sample has to be worth (L. Kish) for a level to be made from it at all:
#: fewer say nothing of any mean. And the share of its frames that may weigh nothing at all: of more,
#: whole stretches do, which no fit can be made to.
FEWEST, NOTHING = 2.0, 0.1


def claim_level(
    level: LevelFolder,
    recipe: LevelRecipe,
    seed: int,
    parent: str | None = None,
    above: Sequence[Path] = (),
    dry: bool = False,
) -> None:
    """Refuse another recipe, or other frames below, than what is there was made with (see
    `cgrec.run.stages.claim`).

    Args:
        level: to be made.
        recipe, seed: of this level.
        parent: identity of the frames below, where it is known.
        above: folders of the levels above.
        dry: change nothing.

    Raises:
        OtherRecipe: naming the key and both values, and what to do.
    """
    before = stored(level.folder).get("map", {}).get("parent")
    if (
        None not in (before, parent)
        and before != parent
        and (level.folder / layout.TARGETS).exists()
    ):
        old = [str(p) for p in (level.folder, *above) if p.exists()]
        raise OtherRecipe(
            f"{level.folder} was made from other frames of the level below than are there "
            f"now: remove {', '.join(old)} and run the same "
            "command again, which makes it anew from these"
        )
    stages = recipe.stages(seed, before if parent is None else parent)
    key = level.name.removesuffix(" (direct)")
    claim(level.folder, stages, OF_LEVEL, prefix=f"levels.{key}.", above=above, dry=dry)


def make_level(
    level: LevelFolder,
    parent: Frames,
    recipe: LevelRecipe,
    seed: int,
    bias: tuple[CollectiveVariable, ...] = (),
    below: MappingType[str, Json] | None = None,
    identity: str | None = None,
    above: Sequence[Path] = (),
    model: Callable[[], Potential | None] | None = None,
) -> Frames:
    """Map, fit, run, keep; whatever is there already is not made again.

    Args:
        level: to be made.
        parent: frames of the level below, with forces.
        recipe: of this level.
        seed: of this level.
        bias: variables the parent's run was biased along.
        below: what priors of the level below measured (`measured`): those of this level that
            can, take it, for the parent may lack what it is measured from.
        identity: of the parent's frames, where they lie on disk (see `cgrec.frames.identity`).
        above: folders of levels made from this one.
        model: loads the potential of the level below, or None where it has none: what mean forces
            are made with.

    Raises:
        ValueError: mean forces of a level below that has no potential.
        OtherRecipe: what is there was made with another recipe.
        Changed: something of it was changed, damaged or removed.
        Busy: another process works here.
    """
    with only_here(level.folder):
        open_record(level.folder)
        check_all(level.folder)
        claim_level(level, recipe, seed, identity, above)
        with noted(level.folder):
            _check_weights(level, parent)
            targets = _map(level, parent, recipe)
            training = training_frames(parent, targets, bias)
            if recipe.mean_forces and not made(level.folder / layout.POTENTIAL):
                with step("mean forces"):
                    _label(level, parent, training, recipe.mean_forces, seed, model)
            training = labelled(level, training)
            with step("fit") if not made(level.folder / layout.POTENTIAL) else nullcontext():
                priors = measured_priors(level, recipe, parent, below or {})
                potential = _fit(level, training, priors, recipe, seed)
            return _run(level, potential, training, targets, recipe, seed)


def _check_weights(level: LevelFolder, parent: Frames) -> None:
    """ValueError where the weights of the parent leave next to nothing of it to fit to."""
    if parent.weights is None:
        return
    worth = parent.weight_efficiency() * len(parent)
    nothing = int((np.asarray(parent.weights) == 0).sum())
    if worth < FEWEST or nothing > NOTHING * len(parent):
        raise ValueError(
            f"levels.{level.name}: expected weights of the frames below that leave most of them "
            f"something, found {len(parent)} frames worth {worth:.1f} ({nothing} weigh nothing). "
            "Sample the level below again in another run=FOLDER: with less bias, or where it "
            "exchanges temperatures, with rungs that are nearer each other, and longer"
        )


def _map(level: LevelFolder, parent: Frames, recipe: LevelRecipe) -> Frames:
    there = made(level.folder / layout.MAPPING), made(level.folder / layout.TARGETS)
    with step("map") if not all(there) else nullcontext():
        if not there[0]:
            mapping = recipe.weigh_forces(mapping_of(recipe.mapping, parent), parent)
            keep(level.folder / layout.MAPPING, mapping.save)
        if not there[1]:
            level.mapping(parent).save(level.folder / layout.TARGETS)
    return level.targets


def _label(
    level: LevelFolder,
    parent: Frames,
    training: Frames,
    labels: MeanForces,
    seed: int,
    model: Callable[[], Potential | None] | None,
) -> None:
    """Make mean_forces, unless it is there."""
    place = level.folder / layout.LABELLING
    if made(level.folder / layout.MEAN_FORCES):
        shutil.rmtree(place, ignore_errors=True)  # what a kill left
        return
    potential = model() if model else None
    if potential is None:
        raise ValueError(
            f"levels.{level.name}.mean_forces: expected a level below whose potential can be run "
            "(source=force_field, or a level with a network), found one without; leave "
            "mean_forces out"
        )
    place.mkdir(exist_ok=True)
    found = labels(
        potential,
        parent,
        level.mapping,
        training,
        place,
        seed + 2,
        f"{level.name}: mean forces",
    )
    found.save(level.folder / layout.MEAN_FORCES)
    shutil.rmtree(place)


def labelled(level: LevelFolder, training: Frames) -> Frames:
    """What the level is trained on: `training`, or the same with mean forces where these were made."""
    path = level.folder / layout.MEAN_FORCES
    return Frames.load(checked(path)) if path.exists() else training


def measured_priors(
    level: LevelFolder, recipe: LevelRecipe, parent: Frames, below: MappingType[str, Json]
) -> list[Prior]:
    """The recipe's priors, with what those of them that measure the parent measured there."""
    priors: list[Prior] = []
    for prior in recipe.listed_priors:
        if isinstance(prior, MeasuresParent):
            path = level.folder / prior.record
            if not made(path):
                keep_json(path, prior.measure(parent, below.get(prior.record), level.name))
            prior = prior.given(read_json(path))
        priors.append(prior)
    return priors


def _fit(
    level: LevelFolder, frames: Frames, priors: Sequence[Prior], recipe: LevelRecipe, seed: int
) -> Potential:
    path = level.folder / layout.POTENTIAL
    if not made(path):
        fixed = fitted(priors, frames, recipe.potential(frames, seed).types)
        try_priors(level.name, fixed, frames, recipe.dynamics)
        # a mean force is right however often its configuration occurs
        counted = replace(frames, weights=None) if recipe.mean_forces else frames

        def train(seen: Frames, folder: Path, k: int) -> tuple[Potential, TrainingReport]:
            untrained = recipe.potential(frames, seed + k)
            name = f"{level.name}: fit"
            return recipe.training(
                untrained, seen, priors=fixed, seed=seed, folder=folder, name=name
            )

        if recipe.strays is None:
            potential, report = train(counted, level.folder, 0)
            keep_losses(level, report.to_json())
        else:
            potential = _fit_with_strays(level, counted, fixed, recipe, seed, train)
        keep(path, potential.save)
    (level.folder / layout.FIT_CHECKPOINT).unlink(missing_ok=True)
    shutil.rmtree(level.folder / layout.TRIALS, ignore_errors=True)
    return Potential.load(path, recipe.training.torch_device)


def keep_losses(level: LevelFolder, report: object) -> None:
    """What a fit came to, and the table that it left."""
    note(level.folder / layout.LOSSES)
    keep_json(level.folder / layout.FIT, report)


def _fit_with_strays(
    level: LevelFolder,
    frames: Frames,
    priors: Sequence[Potential],
    recipe: LevelRecipe,
    seed: int,
    train: Train,
) -> Potential:
    assert recipe.strays is not None and isinstance(recipe.dynamics, Langevin)
    place = level.folder / layout.TRIALS
    potential, last, said = recipe.strays(
        train,
        frames,
        priors,
        recipe.dynamics,
        place,
        seed + 3,
        level.name,
        recipe.training.torch_device,
    )
    shutil.copy(last / layout.LOSSES, level.folder / layout.LOSSES)
    report = read_json(last / layout.FIT)
    keep_losses(level, report)
    keep_json(level.folder / layout.STRAYS, said)
    _come_to(last.name, report, len(said))
    return potential


def _come_to(taken: str, report: Json, n_fits: int) -> None:
    """Let the last line of the step be of the fit that is taken; its last bar was a trial run's."""
    fit = current_step()
    if fit is not None:
        steps, share = report.get("steps"), report.get("explained_fraction")
        explained = "" if share is None else f", explained {share:.2%}"
        fit.last = f"{steps} steps{explained} ({taken} is taken of {n_fits})"


def _run(
    level: LevelFolder,
    potential: Potential,
    training: Frames,
    targets: Frames,
    recipe: LevelRecipe,
    seed: int,
) -> Frames:
    device = recipe.training.torch_device
    run = LevelRun(level.folder, level.name, recipe.dynamics, training, targets, seed + 1, device)
    run.make(potential, recipe.all_corrections)
    return level.frames


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
