"""What can be said of a climb before its work: who its sites will be, and what it will need.

`cgrec check` prints it. What cannot work is refused, here and at the begin of every climb.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from inspect import signature
from pathlib import Path

from ..cell import widths
from ..dynamics import Langevin
from ..level import LevelRecipe
from ..sources import Source
from ..system import System
from .chain import Chain, foreseen

#: Bytes of a frame for each site: positions and forces, three numbers of four bytes each.
BYTES_PER_SITE = 24
GIGABYTE = 1e9


def forecast(chain: Chain) -> Iterator[tuple[str, str]]:
    """(what was looked at, what was found), of each thing that can be known.

    Raises:
        ValueError: what would fail later, by its key.
    """
    systems = foreseen(chain)
    names = ["level 0", *chain.recipes]
    if systems is None:
        yield "sites", "known when level 0 is made: labels can be compared only then"
        return
    for name, system in zip(names, systems):
        yield name, _in_words(system)
    yield "labels", _labels(chain, systems)
    yield "box", _box(chain)
    yield "disk", _disk(chain.folder, list(chain.recipes.values()), systems[1:])


def _in_words(system: System | None) -> str:
    if system is None:
        return "sites are chosen by the frames of the level below"
    molecules = len(system.molecule_sites())
    return f"{system.n_sites} sites in {molecules} molecule{'s' if molecules > 1 else ''}"


def _labels(chain: Chain, systems: Sequence[System | None]) -> str:
    """How many variables were looked up, of the chain and of each level that has its own."""
    own = {
        name: (len(recipe.variables), system is not None)
        for (name, recipe), system in zip(chain.recipes.items(), systems[1:])
        if recipe.variables
    }
    looked = [(len(chain.variables), "of the chain")] if chain.variables else []
    looked += [(n, f"of {name}") for name, (n, known) in own.items() if known]
    later = [name for name, (_, known) in own.items() if not known]
    if not looked and not later:
        return "no variables are named: levels are compared in those that suit their sites"
    said = [f"{n} variable{'s' if n > 1 else ''} {of}" for n, of in looked]
    found = [f"{', '.join(said)}: all labels mean sites"] if said else []
    found += [f"those of {', '.join(later)} are known when its sites are"] if later else []
    return "; ".join(found)


def _box(chain: Chain) -> str:
    """The narrowest half of the boxes of the first frames, where the source has read some.

    Raises:
        ValueError: a cutoff of a level is more than that: a site would meet two images of another.
    """
    boxes = chain.source.boxes() if isinstance(chain.source, Source) else None
    if boxes is None:
        return "none is known before the work: cutoffs cannot be compared with it"
    half = float(widths(boxes).min()) / 2
    for name, recipe in chain.recipes.items():
        for key, cutoff in _cutoffs(recipe):
            if cutoff > half:
                raise ValueError(
                    f"levels.{name}.{key}: expected at most half the box, {half:.3g} nm, found "
                    f"{cutoff:g}; give levels.{name}.{key}={0.95 * half:.2g}, or a larger box"
                )
    return f"half of it is {half:.3g} nm, no cutoff is more"


def _cutoffs(recipe: LevelRecipe) -> Iterator[tuple[str, float]]:
    """(key, nm) of the cutoffs of a recipe, that of the potential by default included."""
    stated = signature(recipe.potential).parameters.get("cutoff")
    named = {"potential.cutoff": None if stated is None else stated.default}
    if recipe.refine_pairs is not None:
        named["refine_pairs.cutoff"] = recipe.refine_pairs.cutoff
    for prior in recipe.listed_priors:
        named["priors.cutoff"] = getattr(prior, "cutoff", None) or named.get("priors.cutoff")
    for key, cutoff in named.items():
        if isinstance(cutoff, int | float):
            yield key, cutoff


def _disk(folder: Path, recipes: Sequence[LevelRecipe], systems: Sequence[System | None]) -> str:
    """Gigabytes that the frames of the levels will take, as far as known, and those that are free.

    Raises:
        ValueError: there is less than they take.
    """
    need = 0.0
    for recipe, system in zip(recipes, systems):
        run = recipe.dynamics
        if isinstance(run, Langevin) and system is not None:
            need += run.n_replicas * run.n_saves * system.n_sites * BYTES_PER_SITE / GIGABYTE
    place = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    free = shutil.disk_usage(place).free / GIGABYTE
    if need > free:
        raise ValueError(
            f"run: expected room for {need:.1f} GB of frames, found {free:.1f} GB free at {place}; "
            "give another run=FOLDER, a shorter length, fewer n_replicas, or a longer save_every"
        )
    return f"{need:.2g} GB of frames of the levels, {free:.0f} GB free"
